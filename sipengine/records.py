"""asyncio: the engine's own view of a call while it lives: its record, its timeline, and how both reach the journal.

Every change of a status goes through `advance`, so an illegal one is found where it is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from calls.entries import CallRecord, Entry, EventEntry, NoteEntry, QualityEntry, RecordingEntry
from calls.status import TERMINAL, Direction, Status, advance
from calls.webhooks import Headers, VoiceCall, voice_parameters
from routing.errors import lookup
from routing.sid import new_sid
from sipengine.ports import Ended, LegId, Measured

log = logging.getLogger("sipengine.call")

BODY_KEPT = 4096  # characters of a response that a note keeps


@dataclass(slots=True)
class SipFacts:
    """What a leg's INVITE, or the answer to ours, said: for the parameters of every request about it."""

    domain: str = ""
    call_id: str = ""
    source_ip: str = ""
    username: str = ""
    forwarded_from: str = ""
    headers: Headers = ()


@dataclass(slots=True)
class Leg:
    """One leg of a call in progress: the phone's number for it (None until placed), and its record."""

    record: CallRecord
    id: LegId | None = None
    told: str = ""  # the status that the process's log has told last
    sip: SipFacts = field(default_factory=SipFacts)
    answered_by: str = ""  # "unknown" where machine detection was asked for

    @property
    def status(self) -> Status:
        """The leg's status now."""
        return Status(self.record.status)

    @property
    def answered(self) -> bool:
        """Say whether the leg was ever answered."""
        return self.record.answer_time is not None

    @property
    def ended(self) -> bool:
        """Say whether the leg has had its terminal status."""
        return self.status in TERMINAL

    @property
    def inbound(self) -> bool:
        """Say whether the far end called us."""
        return self.record.direction == Direction.INBOUND

    def voice_call(self, status: str = "") -> VoiceCall:
        """Return the leg as requests tell it, in this status or the one that it has."""
        record, sip = self.record, self.sip
        return VoiceCall(
            call_sid=record.sid,
            account_sid=record.account_sid,
            from_address=record.from_address,
            to_address=record.to_address,
            status=status or record.status,
            direction=record.direction,
            parent_call_sid=record.parent_sid,
            forwarded_from=sip.forwarded_from,
            sip_domain=sip.domain,
            sip_domain_sid=record.domain_sid,
            sip_username=sip.username,
            sip_call_id=sip.call_id,
            sip_source_ip=sip.source_ip,
            headers=sip.headers,
            answered_by=self.answered_by,
        )

    def voice_parameters(self) -> list[tuple[str, str]]:
        """Return what every request about this leg tells."""
        return voice_parameters(self.voice_call())

    def move(self, status: Status, when: float) -> bool:
        """Set the status; return False when the leg has it already. Times follow from it."""
        record = self.record
        if record.status == status:
            return False
        record.status = advance(self.status, status).value
        if status is Status.RINGING and record.ring_time is None:
            record.ring_time = when
        elif status is Status.IN_PROGRESS:
            record.answer_time = when
        elif status in TERMINAL:
            record.end_time = when
            # A clock that was set back during the call must not make its duration negative.
            record.duration = max(0, round(when - record.answer_time)) if record.answer_time is not None else 0
        return True


class Growing(Protocol):
    """What a call needs to know of a recording that runs."""

    entry: RecordingEntry

    @property
    def over(self) -> bool: ...

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class CallLog:
    """Writes one call's records, timeline and notes. The timeline is the parent's: child legs are named in it.

    `recorders` are the recordings that the call has begun, oldest first.
    """

    def __init__(self, put: Callable[[Entry], None], parent: CallRecord) -> None:
        self._put = put
        self._parent = parent
        self._number = 0
        self.recorders: list[Growing] = []

    def save(self, leg: Leg) -> None:
        """Write the leg's record as it is now."""
        self._put(leg.record)
        record = leg.record
        # Ten phones that are called and ring would hide the story of the call: only how a child leg ends is told.
        if leg.told == record.status:
            return
        leg.told = record.status
        worth = record.sid == self._parent.sid or record.answer_time is not None or leg.ended
        log.log(
            logging.INFO if worth else logging.DEBUG,
            "call=%s leg=%s status=%s sip=%d to=%s %s",
            self._parent.sid,
            record.sid,
            record.status,
            record.sip_code,
            record.to_address,
            record.reason,
        )

    def event(self, name: str, when: float | None = None, /, **detail: Any) -> None:
        """Add a line to the timeline."""
        self._put(EventEntry(self._parent.sid, self._number, when or time.time(), name, detail))
        self._number += 1

    def note(
        self,
        code: int,
        message: str,
        *,
        call_sid: str = "",
        url: str = "",
        method: str = "",
        status: int = 0,
        body: str = "",
    ) -> None:
        """Tell the operator that something went wrong, with Twilio's code."""
        level = lookup(code).level
        log.warning("call=%s code=%d %s: %s %s", self._parent.sid, code, level, message, url)
        self._put(
            NoteEntry(
                sid=new_sid("NO"),
                account_sid=self._parent.account_sid,
                call_sid=call_sid or self._parent.sid,
                time=time.time(),
                code=code,
                level=level,
                message=message,
                url=url,
                method=method,
                response_status=status,
                response_body=body[:BODY_KEPT],
            )
        )

    def next_address(self, leg: Leg, event: Ended) -> None:
        """Tell that an address of the leg could not be reached, and which Call-ID its INVITE had."""
        record = leg.record
        tried = {"sip_call_id": record.sip_call_id} if record.sip_call_id else {}
        self.event("leg.next-address", event.time, leg=record.sid, code=event.code, **tried)

    def measured(self, leg: Leg, event: Measured) -> None:
        """Write how the leg's audio has gone so far."""
        stats = event.stats
        self._put(
            QualityEntry(
                call_sid=leg.record.sid,
                time=event.time,
                final=event.final,
                codec=stats.codec,
                packets_in=stats.packets_in,
                packets_out=stats.packets_out,
                lost_in=stats.lost_in,
                jitter_in=stats.jitter_in,
                jitter_in_max=stats.jitter_in_max,
                lost_out=stats.lost_out,
                jitter_out=stats.jitter_out,
                round_trip=stats.round_trip,
            )
        )

    def entry(self, entry: Entry) -> None:
        """Write any other entry of this call."""
        self._put(entry)

    def stop_recording(self, call_sid: str) -> None:
        """End the recordings of a leg that is over; a conference's goes on with the others."""
        for recorder in self.recorders:
            if recorder.entry.call_sid == call_sid and not recorder.entry.conference_sid:
                recorder.stop()
