"""Changes to calls in progress that somebody asks for: queued as rows here, carried out by the engine of the call."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from calls import ledger
from calls.entries import CallbackSpec, EventEntry, QueuedCommand
from calls.models import HTTP_METHODS, URL_LENGTH, Call, CallRequest, Command
from calls.status import TERMINAL, Status
from calls.values import callback_json, callback_spec, recording_spec, room_change, text
from routing.validators import validate_url

log = logging.getLogger(__name__)

# Twilio's codes for a refused `POST Calls/CA…` (design conformance §1.12).
UNKNOWN_VALUE, BAD_URL, BAD_METHOD, WRONG_STATE, TWIML_TOO_LONG = 20001, 21205, 21209, 21220, 32018
TWIML_LENGTH = 4000
TAKEN_AT_ONCE = 100
LOST_AFTER = timedelta(seconds=60)  # engines look ten times a second
# In place of an engine's name: the call was ended before any engine took it.
NO_ENGINE = "(ended before any engine took it)"


class CommandError(ValueError):
    """A change that cannot be asked for; `code` is Twilio's error code, `message` names the field and the fix."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def request(
    call: Call,
    *,
    status: str = "",
    url: str = "",
    method: str = "POST",
    twiml: str = "",
    fallback_url: str = "",
    fallback_method: str = "POST",
    callback: CallbackSpec | None = None,
    time_limit: int | None = None,
    by: str = "",
) -> Command:
    """Ask for the end of a call (`status` completed or canceled), or that it goes on with other TwiML.

    With that or alone, `callback` replaces who is told of its progress, and `time_limit` is in how many seconds from
    now it is ended. Raise `CommandError` if it cannot be so. The call's engine carries it out within 300 ms and says
    in the row what came of it; a call that still waits for an engine is ended here and now, without any callback.
    """
    _check_what(status, url, twiml, fallback_url, alone=callback is not None or time_limit is not None)
    _check_document(url, method, twiml, fallback_url, fallback_method)
    now = timezone.now()
    with transaction.atomic():
        _check_state(Status(Call.objects.values_list("status", flat=True).get(pk=call.pk)), status)
        ended = bool(status) and _end_unclaimed(call.pk)
        command = Command.objects.create(
            call_id=call.pk,
            status=status,
            url=url,
            method=method,
            twiml=twiml,
            fallback_url=fallback_url,
            fallback_method=fallback_method,
            options={**_given("callback", callback_json(callback)), **_given("time_limit", time_limit)},
            requested_by=text(by, 255),
            created=now,
            done_at=now if ended else None,
            ok=True if ended else None,
            outcome="The call was ended before any engine took it." if ended else "",
        )
    log.info("call=%s command=%d asked for by %s: %s", call.pk, command.pk, by or "somebody", command)
    return command


def _given(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _check_what(status: str, url: str, twiml: str, fallback_url: str, *, alone: bool) -> None:
    asked = [bool(status), bool(url), bool(twiml)].count(True)
    if asked != 1 and not (alone and asked == 0):
        raise CommandError(
            BAD_URL, "Give exactly one of status, url and twiml: how to end the call, or how it goes on."
        )
    if status and status not in Command.Status:
        raise CommandError(UNKNOWN_VALUE, f"status: {status[:20]!r} is neither completed nor canceled.")
    if status and fallback_url:
        raise CommandError(BAD_URL, "fallback_url: a call that is ended asks for no document; leave it out.")


def _check_document(url: str, method: str, twiml: str, fallback_url: str, fallback_method: str) -> None:
    if len(twiml) > TWIML_LENGTH:
        raise CommandError(
            TWIML_TOO_LONG, f"twiml: {len(twiml)} characters; at most {TWIML_LENGTH}. Serve a longer one from a URL."
        )
    for name, value in (("method", method), ("fallback_method", fallback_method)):
        if value not in dict(HTTP_METHODS):
            raise CommandError(BAD_METHOD, f"{name}: {value[:20]!r} is neither GET nor POST.")
    for name, value in (("url", url), ("fallback_url", fallback_url)):
        if len(value) > URL_LENGTH:
            raise CommandError(BAD_URL, f"{name}: {len(value)} characters; at most {URL_LENGTH}.")
        try:
            if value:
                validate_url(value)
        except ValidationError as error:
            raise CommandError(BAD_URL, f"{name}: {error.messages[0]}") from error


def _check_state(now: Status, wanted: str) -> None:
    if now in TERMINAL:
        raise CommandError(WRONG_STATE, f"The call is over ({now}): it cannot be changed any more.")
    if wanted == Command.Status.CANCELED and now is Status.IN_PROGRESS:
        raise CommandError(WRONG_STATE, "The call has been answered: only completed ends it, canceled does not.")


def _end_unclaimed(sid: str) -> bool:
    """End a queued call that no engine has taken; return False if there is an engine to ask.

    Taking the request away, with the same conditional UPDATE as an engine's, settles who is first.
    """
    now = timezone.now()
    waiting = CallRequest.objects.filter(pk=sid, claimed_by="")
    if not waiting.update(claimed_by=NO_ENGINE, claimed_at=now):
        return False
    reason = "It was canceled before any engine took it."
    if not Call.objects.filter(pk=sid, status=Status.QUEUED).update(
        status=Status.CANCELED, end_time=now, duration=0, ended_by="operator", reason=reason
    ):
        return False
    detail = {"status": Status.CANCELED.value, "code": 0, "reason": reason}
    ledger.apply([EventEntry(sid, ledger.next_event_number(sid), now.timestamp(), "ended", detail)])
    return True


def take(engine: str) -> list[QueuedCommand]:
    """Take the commands to calls of this engine, oldest first; each is handed out once."""
    if not _any_waiting():
        return []
    taken = []
    waiting = Command.objects.filter(done_at=None, claimed_by="", call__engine=engine)
    for command in waiting.order_by("pk")[:TAKEN_AT_ONCE]:
        mine = Command.objects.filter(pk=command.pk, claimed_by="", done_at=None)
        if mine.update(claimed_by=engine, claimed_at=timezone.now()):
            taken.append(_queued(command))
    return taken


def _any_waiting() -> bool:
    """Look for unclaimed commands; in plain SQL, since engines ask ten times a second and there are mostly none."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {Command._meta.db_table} WHERE done_at IS NULL AND claimed_by = '' LIMIT 1")
        return cursor.fetchone() is not None


def _queued(command: Command) -> QueuedCommand:
    return QueuedCommand(
        id=command.pk,
        call_sid=command.call_id,
        status=command.status,
        url=command.url,
        method=command.method,
        twiml=command.twiml,
        fallback_url=command.fallback_url,
        fallback_method=command.fallback_method,
        by=command.requested_by,
        action=command.action,
        recording_sid=command.options.get("recording_sid", ""),
        recording=recording_spec(command.options.get("recording")),
        callback=callback_spec(command.options.get("callback")),
        time_limit=command.options.get("time_limit"),
        room=room_change(command.options.get("room")),
    )


def settle_dead(engine: str) -> int:
    """Say of every command that this engine had not carried out when it died that it was not; return how many."""
    theirs = Q(claimed_by=engine) | Q(claimed_by="", call__engine=engine)
    commands = Command.objects.filter(theirs, done_at=None)
    return sum(_fail(command, f"Engine {engine} stopped before it could carry this out.") for command in commands)


def settle_lost() -> int:
    """Say what became of commands that no engine will carry out any more; return how many.

    Those are commands to a call that is over, and those that an engine has not taken, or not answered, in a minute.
    """
    before = timezone.now() - LOST_AFTER
    settled = 0
    for command in Command.objects.filter(done_at=None).select_related("call"):
        status, engine = command.call.status, command.call.engine
        late = (command.claimed_at or command.created) < before
        if command.claimed_by and late:
            settled += _fail(command, f"Engine {command.claimed_by} took it and did not say what came of it.")
        elif not command.claimed_by and status in TERMINAL:
            settled += _fail(command, f"The call was over ({status}) before it could be changed.")
        elif not command.claimed_by and late and status != Status.QUEUED:
            settled += _fail(command, f"Engine {engine} did not take it: is it running?")
    return settled


def _fail(command: Command, why: str) -> int:
    """Mark a command as not carried out, unless its state has changed since it was read."""
    same = Command.objects.filter(pk=command.pk, claimed_by=command.claimed_by, done_at=None)
    with transaction.atomic():
        settled = same.update(done_at=timezone.now(), ok=False, outcome=f"{why} (error {WRONG_STATE})")
        if settled:
            ledger.never_recorded([command.pk])
    return settled
