"""Whose turn it is in round-robin groups: one counter a group, kept apart from the group, whose history it is not."""

from __future__ import annotations

from django.db import connection

from routing.models.turns import RingGroupTurn


def take(group_id: int) -> int:
    """Return the turn of this call and count on; two calls never get the same."""
    table = RingGroupTurn._meta.db_table
    # One statement, which PostgreSQL and SQLite both carry out at once.
    query = (
        f"INSERT INTO {table} (group_id, taken) VALUES (%s, 1) "
        f"ON CONFLICT (group_id) DO UPDATE SET taken = {table}.taken + 1 RETURNING taken"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [group_id])
        return int(cursor.fetchone()[0]) - 1


def peek(group_id: int) -> int:
    """Return the turn that the next call gets."""
    return RingGroupTurn.objects.filter(pk=group_id).values_list("taken", flat=True).first() or 0
