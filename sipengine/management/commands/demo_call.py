"""`manage.py demo_call`: one caller and three phones place a real call through the running Cordboard; then the call log
is held against what they did.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from calls.models import Call, Recording
from calls.recordings import path_of
from calls.status import TERMINAL
from routing import demo
from routing.models import Endpoint
from routing.sipuri import SipUri
from sipengine.demo import (
    CALLER,
    CHECK_LOG,
    FORK,
    HUNT,
    LOCAL,
    NAMES,
    TONES,
    DemoError,
    Line,
    Plan,
    Sound,
    Story,
    heard,
    measured,
    play,
)

NOBODY = "nobody"
LOG_SECONDS = 15.0  # for the journal
REFUSED_SECONDS = 2.0  # for the row of a refused call; strangers have none
WORKER_SECONDS = 20.0
START_FIRST = "run ./cordboard up in another terminal first"
LOGIN = "look at the credential and access lists of the demo's SIP domain (the login used here is in demo.json)"
CHECKS = {
    401: LOGIN,
    403: LOGIN,
    404: "look at the SIP domains and their routes",
    407: LOGIN,
    488: "look at SIP_CODECS in .env: there is no codec in common",
    500: "look at Notifications, and at the lines of ./cordboard up",
    503: "the engine is full or being stopped; look at MAX_LEGS and MAX_SETUPS in .env",
}

Found = TypeVar("Found")


class Command(BaseCommand):
    help = "Place a real call from one softphone to three others through the running Cordboard, and show its log."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        phones = [*(name.lower() for name in NAMES), NOBODY]
        parser.add_argument("--number", choices=[FORK, HUNT], default=FORK, help="100 rings all, 101 one by one (100)")
        parser.add_argument("--answer-by", choices=phones, default="bob", help="which phone answers (bob)")
        parser.add_argument("--talk", type=_talk, default=4.0, metavar="SECONDS", help="how long they talk (4)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Place the call, wait for its log, compare."""
        winner = None if options["answer_by"] == NOBODY else options["answer_by"].capitalize()
        plan = Plan(options["number"], winner, options["talk"])
        line, phones = find_line(), find_phones()
        try:
            with tempfile.TemporaryDirectory(prefix="demo-call-") as folder:
                story = play(plan, line, phones, Path(folder), self.stdout.write)
                sounds = heard(plan, Path(folder))
        except DemoError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; the phones have hung up.") from None
        call = find_call(story)
        legs = settled_legs(call)
        recordings = finished_recordings(call)
        sounds = [*recorded(plan, recordings), *sounds]
        self.show_legs(call, legs, phones)
        self.show_audio(recordings, sounds)
        self.stdout.write(f"\nThe call in the admin: {settings.PUBLIC_URL}{call.admin_path}")
        # Wrong sounds follow from wrong legs, and would only hide them.
        problems = differences(plan, story, legs, phones) or wrong_sounds(plan, recordings, sounds)
        if problems:
            raise CommandError("Not as expected: " + "; ".join(problems) + ".")

    def show_legs(self, call: Call, legs: Sequence[Call], phones: Mapping[str, SipUri]) -> None:
        """Print the call's legs and notifications as the database has them."""
        names = {uri.address: name for name, uri in phones.items()} | {call.to_address: CALLER}
        rows = [("leg", "to", "SIP", "status", "rang", "talked", "why it ended")]
        rows += [
            (
                names.get(leg.to_address, "?"),
                leg.to_address,
                str(leg.sip_code or "-"),
                leg.status,
                _time(leg.ring_seconds),
                _time(leg.talk_seconds),
                leg.reason,
            )
            for leg in legs
        ]
        self.stdout.write("\nThe call log")
        self.table(rows)
        for notification in call.notifications.all():
            self.stdout.write(f"  {notification.level} {notification.code}: {notification.message}")

    def show_audio(self, recordings: Sequence[Recording], sounds: Sequence[Sound]) -> None:
        """Print the recordings, and every tone that was measured next to the one that was played."""
        self.stdout.write("\nRecording")
        rows = [(one.sid, one.status, _time(one.duration), f"{one.channels} channels", one.error) for one in recordings]
        self.table(rows or [("none",)])
        if sounds:
            self.stdout.write("\nAudio, measured")
        self.table(
            [
                (
                    sound.where,
                    f"{sound.hertz:.0f} Hz",
                    "silence" if sound.dbfs == -math.inf else f"{sound.dbfs:.0f} dBFS",
                    f"{sound.speaker} plays {TONES[sound.speaker]} Hz",
                    "ok" if sound.right else "WRONG",
                )
                for sound in sounds
            ]
        )

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  " + "  ".join(cells).rstrip())


def find_line() -> Line:
    """Return the engine's address and the demo's login; raise `CommandError` when either is missing."""
    path = Path(settings.DATA_DIR) / "demo.json"
    login = demo.read(path)
    if login is None:
        raise CommandError(f"{path} is missing or cannot be read: {START_FIRST}.")
    host = LOCAL if settings.SIP_BIND in ("0.0.0.0", "") else settings.SIP_BIND
    if not answers_options(host, settings.SIP_PORT):
        raise CommandError(f"No engine answers at sip:{host}:{settings.SIP_PORT}: {START_FIRST}.")
    return Line(host, settings.SIP_PORT, login.username, login.password)


def find_phones() -> dict[str, SipUri]:
    """Return where the demo's phones are called; raise `CommandError` for one that cannot be played here."""
    found = {}
    for name in NAMES:
        endpoint = Endpoint.objects.filter(name=name).first()
        if endpoint is None:
            raise CommandError(f"The demo's endpoint {name} is gone: make it again in the admin.")
        uri = found[name] = endpoint.sip_uri()
        if uri.transport == "tls" or not uri.host.startswith("127."):
            raise CommandError(
                f"Endpoint {name} has left this machine ({uri.text}): it must be at {LOCAL}, UDP or TCP."
            )
    return found


def answers_options(host: str, port: int) -> bool:
    """Tell whether something answers a SIP OPTIONS there (RFC 3261 §11) within two seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(1.0)
        try:
            link.connect((host, port))
            request = _options_request(f"{host}:{port}", "{}:{}".format(*link.getsockname()))
            for _ in range(2):
                link.send(request)
                with contextlib.suppress(TimeoutError):
                    return link.recv(4096).startswith(b"SIP/2.0 ")
        except OSError:
            return False
    return False


def _options_request(to: str, own: str) -> bytes:
    lines = [
        f"OPTIONS sip:{to} SIP/2.0",
        f"Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK{secrets.token_hex(8)}",
        "Max-Forwards: 70",
        f"From: <sip:demo-call@{own}>;tag={secrets.token_hex(4)}",
        f"To: <sip:{to}>",
        f"Call-ID: {secrets.token_hex(8)}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:demo-call@{own}>",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def poll(look: Callable[[], Found | None], seconds: float) -> Found | None:
    """Look again and again until something is found; None when the time is over."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def find_call(story: Story) -> Call:
    """Return the caller's leg; raise `CommandError` if it was refused without one, or is not written."""
    refused = None if story.connected or story.ending is None else story.ending.fact("code")
    rows = Call.objects.filter(sip_call_id=story.call_id, parent=None)
    call = poll(rows.first, LOG_SECONDS if refused is None else REFUSED_SECONDS)
    if call is not None:
        return call
    if refused is None or story.ending is None:
        raise CommandError(f"The call is not in the database after {LOG_SECONDS:.0f} s: {CHECK_LOG}.")
    reason = story.ending.fact("error") or story.ending.fact("reason")
    raise CommandError(f"The call was refused: {refused} {reason}; {CHECKS.get(refused, CHECK_LOG)}.")


def settled_legs(call: Call) -> list[Call]:
    """Return the caller's leg and those that it dialled, once all have ended."""

    def look() -> list[Call] | None:
        legs = [*Call.objects.filter(pk=call.pk), *call.legs.order_by("start_time", "pk")]
        return legs if all(leg.status in TERMINAL for leg in legs) else None

    legs = poll(look, LOG_SECONDS)
    if legs is None:
        raise CommandError(f"The call log still has open legs after {LOG_SECONDS:.0f} s: {CHECK_LOG}.")
    return legs


def finished_recordings(call: Call) -> list[Recording]:
    """Return the call's recordings, once the worker has made their files."""
    unfinished = (Recording.Status.IN_PROGRESS, Recording.Status.PROCESSING)

    def look() -> list[Recording] | None:
        found = list(call.recordings.all())
        return None if any(one.status in unfinished for one in found) else found

    recordings = poll(look, WORKER_SECONDS)
    if recordings is None:
        raise CommandError(
            f"The recording is not finished after {WORKER_SECONDS:.0f} s: does the worker run? {CHECK_LOG}."
        )
    return recordings


def recorded(plan: Plan, recordings: Sequence[Recording]) -> list[Sound]:
    """Measure both channels of each recording: the caller is to be left, the phone that answered right."""
    sides = ((0, "left", CALLER), (1, "right", plan.winner))
    return [
        measured(f"recording, {side}", path_of(recording), channel, speaker)
        for recording in recordings
        for channel, side, speaker in sides
        if speaker and recording.status == Recording.Status.COMPLETED and channel < recording.channels
    ]


def differences(plan: Plan, story: Story, legs: Sequence[Call], phones: Mapping[str, SipUri]) -> list[str]:
    """Say what the call log has otherwise than planned."""
    if not legs[1:]:
        return ["no phone was called: the log above and the call's page say why"]
    rows = {leg.to_address: leg for leg in legs[1:]}
    found = []
    for name in plan.called:
        leg, expected = rows.get(phones[name].address), plan.status(name)
        if leg is None:
            found.append(f"{name} was not called (is it still a member of the demo's group?)")
        elif leg.status != expected:
            found.append(f"{name}'s leg is {leg.status} with SIP {leg.sip_code} and not {expected}")
    if plan.winner and not story.connected:
        found.append("the caller was never connected")
    return found


def wrong_sounds(plan: Plan, recordings: Sequence[Recording], sounds: Sequence[Sound]) -> list[str]:
    """Say what was not heard, or not recorded."""
    found = [f"{sound.where}: not {sound.speaker}'s {TONES[sound.speaker]} Hz" for sound in sounds if not sound.right]
    found += [f"recording {one.sid} is {one.status}" for one in recordings if one.status != Recording.Status.COMPLETED]
    if plan.winner and plan.number == FORK and not recordings:
        found.append("there is no recording (does the demo's group still record?)")
    return found


def _talk(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 2 <= seconds <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 2 to 600")
    return seconds


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
