"""The counter of a round-robin group."""

from __future__ import annotations

from django.db import models

from routing.models.groups import RingGroup


class RingGroupTurn(models.Model):
    """How many calls have taken their turn in a group. It changes with each call, so it is no part of the group."""

    group = models.OneToOneField(RingGroup, models.CASCADE, primary_key=True, related_name="turn")
    taken = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.group}: {self.taken}"
