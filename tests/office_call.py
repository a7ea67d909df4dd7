"""The call of `tests.office` that has everything: two legs, SIP messages, quality, TwiML, webhooks, a recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from calls import ladder, ledger
from calls.entries import CallRecord, EventEntry, QualityEntry, RecordingEntry
from calls.sipmessage import TracedMessage, read
from tests import samples

CALLER = "sip:+493012345678@198.51.100.10"
DIALLED = "sip:+493055501@office.example.com"
ALICE, BEN = "sip:alice@192.0.2.20:5060", "sip:ben@192.0.2.21:5060"
APP = "https://app.example.com"
TWIML = f"""<?xml version="1.0" encoding="UTF-8"?>
<Response><Dial timeout="20" answerOnBridge="true" record="record-from-answer-dual" action="/voice/group/1/next/">
<Sip statusCallback="{APP}/status">{ALICE}</Sip></Dial></Response>"""
HERE, CARRIER = "198.51.100.1:5060", "198.51.100.10:5060"
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\n"


@dataclass(frozen=True, slots=True)
class Example:
    """The call with its legs, whose times are seconds since the epoch."""

    call: CallRecord
    alice: CallRecord
    ben: CallRecord
    recording: RecordingEntry


def tell(account: Any, group: int, engine: str, start: float) -> Example:
    """Write a call to the group that Alice let ring for 20 s and Ben took for 74 s, as an engine tells of it."""
    call = samples.call(
        account, from_address=CALLER, to_address=DIALLED, start_time=start, ring_time=start + 0.1,
        answer_time=start + 26, end_time=start + 100, duration=74, engine=engine, group_id=group, ended_by="caller",
        reason="Ben answered and talked for 74 s. The caller hung up.", sip_call_id="a84b4c76e66710@198.51.100.10",
        source_ip="198.51.100.10", region="de1",
    )  # fmt: skip
    shared = {"engine": engine, "region": "de1"}
    alice = samples.leg(
        call, to_address=ALICE, status="no-answer", start_time=start + 0.1, ring_time=start + 0.3,
        end_time=start + 20.1, reason="Nobody answered within 20 s.", ended_by="engine",
        sip_call_id="1f0e-alice@198.51.100.1", **shared,
    )  # fmt: skip
    ben = samples.leg(
        call, to_address=BEN, status="completed", start_time=start + 20.1, ring_time=start + 20.3,
        answer_time=start + 26, end_time=start + 100, duration=74, sip_code=200,
        ended_by="caller", reason="The caller hung up after 74 s.", sip_call_id="1f0e-ben@198.51.100.1", **shared,
    )  # fmt: skip
    recording = samples.recording(call, start_time=start + 26)
    ledger.apply(
        [call, alice, ben, recording, *_events(call, alice, ben), *_callbacks(call, ben), *_quality(call, ben)]
    )
    ladder.write(engine, _messages(call, alice, ben))
    return Example(call, alice, ben, recording)


def _events(call: CallRecord, alice: CallRecord, ben: CallRecord) -> list[EventEntry]:
    start = call.start_time
    asked = [["CallSid", call.sid], ["From", CALLER], ["To", DIALLED], ["CallStatus", "ringing"]]
    url = "http://127.0.0.1:8000/voice/group/1/"
    told: list[tuple[float, str, dict[str, Any]]] = [
        (0, "invite", {"source": "198.51.100.10", "to": DIALLED}),
        (0.01, "admitted", {"domain": "office.example.com"}),
        (0.02, "twiml.request", {"url": url, "method": "POST", "parameters": asked}),
        (
            0.05,
            "twiml.response",
            {
                "url": url,
                "status": 200,
                "ms": 11,
                "bytes": len(TWIML),
                "body": TWIML,
                "why": "Route +493055501 to Sales.",
            },
        ),
        (0.06, "verb", {"name": "Dial"}),
        (0.1, "leg.placed", {"leg": alice.sid, "to": ALICE}),
        (0.3, "leg.ringing", {"leg": alice.sid, "to": ALICE, "code": 180}),
        (
            20.1,
            "leg.ended",
            {"leg": alice.sid, "to": ALICE, "status": "no-answer", "code": 487, "reason": alice.reason},
        ),
        (20.11, "leg.placed", {"leg": ben.sid, "to": BEN}),
        (20.3, "leg.ringing", {"leg": ben.sid, "to": BEN, "code": 180}),
        (26, "leg.answered", {"leg": ben.sid, "to": BEN, "code": 200}),
        (26.01, "answered", {}),
        (26.02, "bridged", {"leg": ben.sid}),
        (26.03, "recording.started", {}),
        (99.98, "leg.ended", {"leg": ben.sid, "to": BEN, "status": "completed", "code": 200}),
        (100, "recording.ended", {"seconds": 74}),
        (100, "ended", {"status": "completed", "code": 200, "reason": call.reason}),
    ]
    return [EventEntry(call.sid, number, start + at, name, detail) for number, (at, name, detail) in enumerate(told)]


def _callbacks(call: CallRecord, ben: CallRecord) -> list[Any]:
    start = call.start_time
    sent = [
        samples.delivery(ben, event=event, url=f"{APP}/status", time=start + at, sent_at=start + at)
        for event, at in (("initiated", 20.1), ("ringing", 20.3), ("answered", 26.0), ("completed", 100.0))
    ]
    failed = {"state": "failed", "response_status": 503, "error_code": 11200, "error": "HTTP 503", "milliseconds": 812}
    late = samples.delivery(
        call, topic="recording", url=f"{APP}/recordings", time=start + 101, sent_at=start + 101,
        response_body="<h1>503 Service Unavailable</h1>", **failed,
    )  # fmt: skip
    note = samples.note(
        call, url=f"{APP}/recordings", method="POST", time=start + 101, message="The recording callback got HTTP 503.",
        response_status=503,
    )  # fmt: skip
    return [*sent, late, note]


def _quality(call: CallRecord, ben: CallRecord) -> list[QualityEntry]:
    end = call.start_time + 100
    return [
        QualityEntry(call.sid, end, True, "PCMA/8000", 3702, 3698, 4, 0.0021, 0.009, 1, 0.0018, 0.031),
        QualityEntry(ben.sid, end, True, "PCMA/8000", 3699, 3702, 92, 0.0124, 0.06, 3, 0.004, 0.054),
    ]


def _messages(call: CallRecord, alice: CallRecord, ben: CallRecord) -> list[TracedMessage]:
    def messages(leg: CallRecord, peer: str, lines: str) -> list[TracedMessage]:
        found = []
        for line in lines.split("|"):
            at, way, method, start = line.split(" ", 3)
            body = SDP if start.startswith("INVITE") or (method == "INVITE" and "200" in start) else ""
            head = (
                f"{start}\r\nVia: SIP/2.0/UDP {HERE};branch=z9hG4bK776asdhds\r\nMax-Forwards: 70\r\n"
                f"From: <{leg.from_address}>;tag=1928301774\r\nTo: <{leg.to_address}>\r\n"
                f"Call-ID: {leg.sip_call_id}\r\nCSeq: 1 {method}\r\n"
                f"User-Agent: Cordboard\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
            sip = read(head.encode())
            assert sip is not None, head
            moment = round((call.start_time + float(at)) * 1e6)
            found.append(TracedMessage(moment, way == ">", "udp", HERE, peer, len(head), sip))
        return found

    ok, trying, ringing = "SIP/2.0 200 OK", "SIP/2.0 100 Trying", "SIP/2.0 180 Ringing"
    return [
        *messages(
            call,
            CARRIER,
            f"0 < INVITE INVITE {DIALLED} SIP/2.0|0.002 > INVITE {trying}|0.31 > INVITE {ringing}|26.01 > INVITE {ok}"
            f"|26.03 < ACK ACK {DIALLED} SIP/2.0|99.97 < BYE BYE {DIALLED} SIP/2.0|99.971 > BYE {ok}",
        ),
        *messages(
            alice,
            ALICE.partition("@")[2],
            f"0.1 > INVITE INVITE {ALICE} SIP/2.0|0.6 > INVITE INVITE {ALICE} SIP/2.0|0.61 < INVITE {trying}"
            f"|0.63 < INVITE {ringing}|20.1 > CANCEL CANCEL {ALICE} SIP/2.0|20.12 < CANCEL {ok}"
            f"|20.13 < INVITE SIP/2.0 487 Request Terminated|20.14 > ACK ACK {ALICE} SIP/2.0",
        ),
        *messages(
            ben,
            BEN.partition("@")[2],
            f"20.11 > INVITE INVITE {BEN} SIP/2.0|20.13 < INVITE {trying}|20.3 < INVITE {ringing}|26 < INVITE {ok}"
            f"|26.001 > ACK ACK {BEN} SIP/2.0|99.98 > BYE BYE {BEN} SIP/2.0|99.99 < BYE {ok}",
        ),
    ]


def speak(path: Path, seconds: float) -> None:
    """Write a recording of two who take turns, in the shape of speech: syllables, words, breath."""
    at = np.arange(int(seconds * 8000)) / 8000
    syllables = np.abs(np.sin(at * 11)) * (0.4 + 0.6 * np.abs(np.sin(at * 1.7))) * (np.sin(at * 0.9) > -0.6)
    turn = np.sin(at * 2 * np.pi / 19) > -0.1
    voices = [syllables * turn * np.sin(at * 900), syllables[::-1] * ~turn * np.sin(at * 700)]
    soundfile.write(path, np.stack([0.7 * voice for voice in voices], axis=1), 8000, subtype="PCM_16")
