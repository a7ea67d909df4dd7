"""What paths below a conference or a queue have in common: which room they name, and what of it is there.

A conference may be named by its SID, or by its name while it is not over.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.urls import URLPattern, path, register_converter

from calls.command import CommandError
from calls.models import Conference, Queue
from calls.place import PlaceError
from calls.room_models import NAME_LENGTH
from routing.api.errors import ApiError, not_found
from routing.api.views import ApiView
from routing.sid import is_sid

_NAMES = {"to": "To", "from": "From", "username and password": "SipAuthUsername and SipAuthPassword"}


class NameConverter:
    """A SID, or a name with anything but a slash in it (and a NUL, which PostgreSQL does not take)."""

    regex = rf"[^/\x00]{{1,{2 * NAME_LENGTH}}}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(NameConverter, "room")


def named_resource(route: str, view: Any, name: str) -> list[URLPattern]:
    """Return the two patterns of a resource whose path ends in a name; with `.json` first, or it is the name's."""
    return [path(f"{route}.json", view, name=name), path(route, view)]


def refused(error: PlaceError | CommandError) -> ApiError:
    """Return a refusal under the name of the parameter that it is about."""
    field, colon, words = error.message.partition(":")
    return ApiError(error.code, f"{_NAMES.get(field, field)}{colon}{words}")


class OfConference(ApiView):
    """What is below one conference of the account."""

    def find_conference(self) -> Conference | None:
        """Return the conference that the path names: of several of that name the newest that is not over."""
        name = self.kwargs["conference"]
        mine = Conference.objects.filter(account=self.account)
        if is_sid(name, "CF"):
            return mine.filter(pk=name).first()
        still = mine.filter(~Q(status=Conference.Status.COMPLETED), friendly_name=name.strip())
        return still.order_by("-created").first()

    def conference(self) -> Conference:
        """Return the conference that the path names; raise `ApiError` 20404."""
        found = self.find_conference()
        if found is None:
            raise not_found(self.request)
        return found


class OfQueue(ApiView):
    """What is below one queue of the account."""

    def queue(self) -> Queue:
        """Return the queue that the path names; raise `ApiError` 20404."""
        found = Queue.objects.filter(account=self.account, pk=self.kwargs["queue"]).first()
        if found is None:
            raise not_found(self.request)
        return found
