"""`manage.py place_call sip:alice@127.0.0.1:5071 --from 100 --say "Hello"`: queue a call for an engine to place."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse
from twilio.twiml.voice_response import VoiceResponse

from calls.place import PlaceError, queue_call
from routing.models import Account, RingGroup


class Command(BaseCommand):
    help = "Queue a call to a SIP URI. Once it is answered, TwiML says what happens. Prints the SID and the admin page."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("to", help="SIP URI to ring, e.g. 'sip:alice@127.0.0.1:5071;region=us1'")
        parser.add_argument("--from", dest="caller", default="cordboard", help="caller ID that is shown")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--url", default="", help="TwiML of this URL")
        what.add_argument("--say", default="", metavar="TEXT", help="read this text")
        what.add_argument("--group", default="", metavar="NAME", help="connect to this ring group")
        parser.add_argument("--timeout", type=int, default=60, help="seconds to let it ring (60)")
        parser.add_argument("--username", default="", help="for digest authentication, if the called side asks")
        parser.add_argument("--password", default="")
        parser.add_argument("--account", default="", metavar="AC…", help="needed only if there are several accounts")

    def handle(self, *args: Any, **options: Any) -> None:
        """Queue the call."""
        account = _account(options["account"])
        twiml = ""
        if options["say"]:
            response = VoiceResponse()
            response.say(options["say"])
            twiml = str(response)
        try:
            call = queue_call(
                account,
                options["to"],
                options["caller"],
                url=_group_url(account, options["group"]) if options["group"] else options["url"],
                twiml=twiml,
                timeout=options["timeout"],
                username=options["username"],
                password=options["password"],
            )
        except PlaceError as error:
            raise CommandError(f"{error.message} (error {error.code})") from error
        self.stdout.write(f"{call.sid}\n{settings.PUBLIC_URL}{call.admin_path}")


def _account(sid: str) -> Account:
    found = Account.objects.filter(pk=sid) if sid else Account.objects.filter(status=Account.Status.ACTIVE)
    match list(found[:2]):
        case [account]:
            return account
        case []:
            raise CommandError(f"--account: there is no account {sid}." if sid else "There is no active account.")
        case _:
            raise CommandError("There are several accounts: say which one with --account AC…")


def _group_url(account: Account, name: str) -> str:
    groups = RingGroup.objects.filter(account=account)
    match list(groups.filter(name__iexact=name)[:2]):
        case [group]:
            return f"{settings.PUBLIC_URL}{reverse('voice-group', args=[group.pk])}"
        case []:
            known = ", ".join(groups.values_list("name", flat=True)) or "there is none"
            raise CommandError(f"--group: no ring group is named {name!r}; known: {known}.")
        case _:
            raise CommandError(f"--group: several ring groups are named {name!r}: rename one.")
