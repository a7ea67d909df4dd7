"""`manage.py change_call CA… --url http://app/other`: let a call in progress go on with other TwiML, or end it."""

from __future__ import annotations

import argparse
import getpass
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from calls import command
from calls.models import Call

POLL_SECONDS = 0.05


class Command(BaseCommand):
    help = "Change a call in progress: other TwiML for it, or its end. Says what came of it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("call", help="SID of the leg to change: the caller's or the callee's, CA…")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--url", default="", help="go on with the TwiML of this URL")
        what.add_argument("--twiml", default="", metavar="XML", help="go on with this TwiML")
        what.add_argument("--end", action="store_const", const="completed", default="", help="end it")
        what.add_argument("--cancel", action="store_const", const="canceled", default="", help="end it if unanswered")
        parser.add_argument("--method", default="POST", choices=["GET", "POST"], help="how to request the URL (POST)")
        parser.add_argument("--fallback-url", default="", help="asked when the TwiML fails")
        parser.add_argument("--wait", type=float, default=5.0, metavar="SECONDS", help="for the engine's answer (5)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask for the change and wait for its outcome."""
        call = Call.objects.filter(pk=options["call"]).first()
        if call is None:
            raise CommandError(f"There is no call {options['call']}.")
        try:
            asked = command.request(
                call,
                status=options["end"] or options["cancel"],
                url=options["url"],
                method=options["method"],
                twiml=options["twiml"],
                fallback_url=options["fallback_url"],
                by=f"{getpass.getuser()} (command line)",
            )
        except command.CommandError as error:
            raise CommandError(f"{error.message} (error {error.code})") from error
        deadline = time.monotonic() + options["wait"]
        while asked.done_at is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            asked.refresh_from_db()
        if asked.done_at is None:
            raise CommandError(
                f"Command {asked.pk} is asked for, but no engine has answered within {options['wait']:g} s."
            )
        if not asked.ok:
            raise CommandError(asked.outcome)
        self.stdout.write(asked.outcome)
