"""A travel agency's Cordboard after a busy week: names, numbers and calls as an operator would find them.

For tests that look at whole pages, and for the screenshots in docs/. It is the same each time but for SIDs, and for the
time: everything is told back from the moment that it is made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from calls import engines, ledger
from calls.entries import CallRecord, EngineEntry, Entry
from calls.models import (
    CallNote,
    CallTag,
    Conference,
    Hold,
    Participant,
    Queue,
    QueueMember,
    Recording,
    RecordingAccess,
    RetentionRun,
    SavedView,
    Tag,
    VoicemailMessage,
)
from routing.models import (
    Account,
    ApiKey,
    Application,
    BlockedCaller,
    Credential,
    CredentialList,
    EndingKind,
    Endpoint,
    IpAccessControlList,
    IpAddress,
    PhoneNumber,
    RetentionRule,
    RingGroup,
    Schedule,
    ScheduleException,
    ScheduleHours,
    SipDomain,
    TrunkRule,
    Voicemail,
)
from routing.sid import new_sid
from tests import office_call, rows, samples
from tests.office_call import Example

PEOPLE = ("Alice Adams", "Ben Clark", "Carol Diaz", "Daniel Evans", "Emma Fischer")
CALLERS = ("+493012345678", "+442079460123", "+12025550147", "+33123456789", "+4989998877", "200", "anonymous")
ENGINE = "sip1.example.com"
DAY = timedelta(days=1)
TALK_SECONDS = 74


@dataclass(frozen=True, slots=True)
class Office:
    """What tests look for in it."""

    account: Account
    domain: SipDomain
    group: RingGroup
    schedule: Schedule
    call: str  # the SID of the call that has everything
    live: str  # of one in progress
    recording: str


def furnish(user: User, folder: Path, past: int = 10) -> Office:
    """Make all of it, `past` calls besides; recordings go to `folder`. `user` is the author of what has one."""
    now = datetime.now(UTC)
    account = rows.account("Northwind Travel")
    phones = [
        rows.endpoint(account, name, uri=f"sip:{name.split()[0].lower()}@192.0.2.{20 + number}:5060")
        for number, name in enumerate(PEOPLE)
    ]
    domain, hours, groups = _routing(account, phones)
    _access(account, domain)
    _week(account, groups, phones, now, past)
    example = office_call.tell(account, groups[0].pk, ENGINE, now.timestamp() - 1500)
    recording = _heard(example, folder)
    _remarks(account, user, example, recording)
    live = _live(account, groups, phones, now)
    _rooms(account, live, now)
    _voicemail(account, groups, now, folder)
    return Office(account, domain, groups[0], hours, example.call.sid, live[0].sid, recording.sid)


def _routing(account: Account, phones: list[Endpoint]) -> tuple[SipDomain, Schedule, list[RingGroup]]:
    domain = rows.domain(account, "office.example.com", friendly_name="Head office", is_default=True)
    rows.trunk(account, TrunkRule(prefix="+49", strip=3, prepend="0"), "+", name="Carrier (Frankfurt)")
    hours = _hours(account)
    box = Voicemail.objects.create(
        account=account,
        name="Sales",
        emails="sales@example.com",
        greeting_text="Nobody is here. Please leave a message.",
    )
    night = rows.group(account, phones[3], name="Night desk", strategy="longest-idle")
    sales = rows.group(
        account, *phones[:3], name="Sales", strategy="sequential", ring_timeout=20, record="record-from-answer-dual",
        fallback=EndingKind.VOICEMAIL, fallback_voicemail=box, schedule=hours, closed=EndingKind.GROUP,
        closed_group=night,
    )  # fmt: skip
    support = rows.group(
        account, *phones[1:], name="Support", skip_busy=True, fallback=EndingKind.SAY,
        fallback_text="All our advisers are talking. Please call again later.",
    )  # fmt: skip
    for pattern, group in (("+493055501", sales), ("100", sales), ("101", support), ("+493055502*", night)):
        rows.route(domain, pattern, group=group)
    rows.route(domain, "200", endpoint=phones[0])
    rows.route(domain, "*97", url="https://app.example.com/voicemail")
    return domain, hours, [sales, support, night]


def _hours(account: Account) -> Schedule:
    hours = Schedule.objects.create(account=account, name="Office hours", time_zone="Europe/Berlin")
    for days, opens, closes in (("mon tue wed thu", 9, 17), ("fri", 9, 15)):
        ScheduleHours.objects.create(schedule=hours, weekdays=days, opens=time(opens), closes=time(closes))
    today = datetime.now(UTC).date()
    ScheduleException.objects.create(
        schedule=hours, name="Works outing", first_day=today + 4 * DAY, last_day=today + 4 * DAY
    )
    return hours


def _access(account: Account, domain: SipDomain) -> None:
    logins = CredentialList.objects.create(account=account, friendly_name="Desk phones")
    for name in ("alice", "ben", "carol"):
        Credential.objects.create(credential_list=logins, username=name, password=rows.PASSWORD)
    carrier = IpAccessControlList.objects.create(account=account, friendly_name="Carrier")
    IpAddress.objects.create(ip_access_control_list=carrier, friendly_name="Frankfurt", ip_address="198.51.100.10")
    domain.credential_lists.add(logins)
    url = "https://app.example.com/voice"
    app = Application.objects.create(account=account, friendly_name="Booking line", voice_url=url)
    PhoneNumber.objects.create(account=account, phone_number="+493055501", friendly_name="Berlin", application=app)
    BlockedCaller.objects.create(account=account, pattern="+4930900*", reason="Robocalls since May", created_by="ann")
    ApiKey.objects.create(account=account, friendly_name="Reporting", secret_hash="-", read_only=True)
    RetentionRule.objects.create(account=account, recordings_days=90, traces_days=7, calls_days=365)


def _week(account: Account, groups: list[RingGroup], phones: list[Endpoint], now: datetime, past: int) -> None:
    """Write calls of seven days: more by day than by night; most are answered."""
    entries: list[Entry] = []
    for number in range(past):
        back = timedelta(days=number % 7, minutes=37 * number % 540 + 35)
        start = (now - back).timestamp()
        status = ("completed", "completed", "completed", "no-answer", "completed", "busy", "completed", "failed")[
            number % 8
        ]
        talked = 40 + 13 * number % 260 if status == "completed" else None
        entries += _past(account, groups[number % 5 % 3], phones[number % 3], number, start, status, talked)
    ledger.apply(entries)


def _past(
    account: Account, group: RingGroup, phone: Endpoint, number: int, start: float, status: str, talked: int | None
) -> list[Entry]:
    rang = 3 + number % 17
    code = {"completed": 200, "no-answer": 480, "busy": 486, "failed": 503}[status]
    times: dict[str, Any] = {"answer_time": start + rang if talked else None, "end_time": start + rang + (talked or 0)}
    shared = {"status": status, "duration": talked, "sip_code": code, "engine": ENGINE, **times}
    caller = CALLERS[number % len(CALLERS)]
    call = samples.call(
        account, from_address=f"sip:{caller}@198.51.100.10", to_address="sip:+493055501@office.example.com",
        start_time=start, group_id=group.pk, ended_by="caller" if number % 3 else "callee", region="de1", **shared,
    )  # fmt: skip
    return [call, samples.leg(call, to_address=phone.uri, start_time=start + 1, **shared)]


def _heard(example: Example, folder: Path) -> Recording:
    """Finish the recording as the worker does, with a file that can be drawn and played."""
    path = folder / "example.wav"
    office_call.speak(path, TALK_SECONDS)
    whole = path.read_bytes()
    Recording.objects.filter(pk=example.recording.sid).update(
        status="completed",
        duration=TALK_SECONDS,
        size=len(whole),
        file=path.name,
        sha256=hashlib.sha256(whole).hexdigest(),
    )
    return Recording.objects.get(pk=example.recording.sid)


def _remarks(account: Account, user: User, example: Example, recording: Recording) -> None:
    sid = example.call.sid
    CallNote.objects.create(call_id=sid, text="Wants the Lisbon offer by e-mail until Friday.", author=user.username)
    for name in ("lisbon", "call back"):
        CallTag.objects.create(call_id=sid, tag=Tag.objects.create(account=account, name=name), added_by=user.username)
    SavedView.objects.create(owner=user, page="call", name="Missed today", query="outcome=missed", shared=True)
    Hold.objects.create(call_id=sid, who=user.username, reason="Complaint 4711")
    RecordingAccess.objects.create(
        recording_sid=recording.sid, call_sid=sid, account_sid=account.sid, user=user, who=user.username, how="play",
        extension="wav", ip="192.0.2.77",
    )  # fmt: skip
    began = datetime.now(UTC) - timedelta(minutes=20)
    RetentionRun.objects.create(
        account_sid=account.sid,
        kind="recordings",
        started=began,
        ended=began,
        before=began - 90 * DAY,
        rows=12,
        bytes=5_120_000,
    )


def _live(account: Account, groups: list[RingGroup], phones: list[Endpoint], now: datetime) -> list[CallRecord]:
    """Make three calls in progress (one talks, one rings, one waits in a queue), and the engine that carries them."""
    # Ahead of the clock, since its pages are looked at for minutes.
    told = EngineEntry(
        ENGINE, "0.9.0", "PJSIP 2.15", "sip1", 4711, "198.51.100.1:5060", ("de1",), now.timestamp() - 86_400,
        now.timestamp() + 600, "running", 1000, legs=5, calls=3, peak_legs=64, peak_calls=22,
    )  # fmt: skip
    open_ended: dict[str, Any] = {"end_time": None, "duration": None, "engine": ENGINE, "region": "de1"}
    calls = [
        samples.call(
            account,
            from_address=f"sip:{caller}@198.51.100.10",
            to_address="sip:+493055501@office.example.com",
            start_time=now.timestamp() - ago,
            answer_time=answered and now.timestamp() - ago + 8,
            status="in-progress" if answered else "ringing",
            group_id=groups[0].pk,
            **open_ended,
        )  # fmt: skip
        for caller, ago, answered in zip(CALLERS, (190, 12, 45), (True, None, True), strict=False)
    ]
    talks, rings, _ = calls
    ben = samples.leg(talks, to_address=phones[1].uri, status="in-progress", sip_code=200, **open_ended)
    ben = replace(ben, start_time=talks.start_time + 1, answer_time=talks.answer_time)
    alice = samples.leg(rings, to_address=phones[0].uri, status="ringing", sip_code=180, **open_ended)
    engines.tell(told)
    ledger.apply([*calls, ben, replace(alice, start_time=rings.start_time + 1)])
    return calls


def _rooms(account: Account, calls: list[CallRecord], now: datetime) -> None:
    room = Conference.objects.create(
        sid=new_sid("CF"),
        account=account,
        friendly_name="Morning briefing",
        status="in-progress",
        region="de1",
        engine=ENGINE,
    )
    for call, muted in ((calls[0], False), (calls[1], True)):
        Participant.objects.create(
            sid=new_sid("CP"),
            conference=room,
            call_id=call.sid,
            account=account,
            muted=muted,
            joined=now - timedelta(minutes=3),
        )
    queue = Queue.objects.create(sid=new_sid("QU"), account=account, friendly_name="Support")
    QueueMember.objects.create(
        call_id=calls[2].sid, queue=queue, account=account, engine=ENGINE, enqueued=now - timedelta(seconds=45)
    )


def _voicemail(account: Account, groups: list[RingGroup], now: datetime, folder: Path) -> None:
    box = groups[0].fallback_voicemail
    office_call.speak(folder / "message.wav", 9)
    for number, (caller, heard) in enumerate(zip(CALLERS[:3], (None, None, now), strict=True)):
        left = now - timedelta(hours=3 * number + 1)
        call = samples.call(
            account, start_time=left.timestamp(), from_address=f"sip:{caller}@198.51.100.10", duration=9
        )
        call.answer_time, call.end_time = left.timestamp(), left.timestamp() + 9
        entry = samples.recording(call, start_time=left.timestamp(), source="RecordVerb", channels=1)
        ledger.apply([call, entry])
        size = (folder / "message.wav").stat().st_size
        Recording.objects.filter(pk=entry.sid).update(status="completed", duration=9, size=size, file="message.wav")
        VoicemailMessage.objects.create(
            recording_id=entry.sid, account=account, call_id=call.sid, box=box, caller=call.from_address, time=left,
            duration=9, heard_at=heard, heard_by="ann" if heard else "", mail="sent", mail_to="sales@example.com",
            mail_sent=left,
        )  # fmt: skip
