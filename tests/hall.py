"""Many calls on one scripted phone: what rooms are tested in. Callers go by names; each has a session of its own."""

from __future__ import annotations

from typing import Any

from calls.entries import CallRecord, EventEntry
from calls.status import Direction, Status
from routing.answers import Application
from sipengine.documents import Goto
from sipengine.ports import Digit, Ended, LegId, PlayDone
from sipengine.records import SipFacts
from sipengine.session import CallSession
from tests.fakes import T0, World

FIRST_LEG = 1001


class Hall(World):
    """Calls come in by `call`; the TwiML of alice is at http://app/alice and her leg's number is `leg("alice")`."""

    def __init__(self, **dial: Any) -> None:
        super().__init__("", **dial)
        self.sessions: dict[str, CallSession] = {}
        self.ended: set[str] = set()
        self.rooms = self.services.rooms

    def enter(self, name: str, twiml: str) -> CallSession:
        """Let a call come in, of which nothing has run yet."""
        url = f"http://app/{name}"
        self.web.answers[url] = f"<Response>{twiml}</Response>"
        record = CallRecord(
            sid="CA" + name.encode().hex().rjust(32, "0"),
            account_sid=self.record.account_sid,
            direction=Direction.INBOUND.value,
            status=Status.RINGING.value,
            from_address=f"sip:{name}@phone",
            to_address="sip:room@pbx",
            start_time=T0,
            ring_time=T0,
        )
        application = Application(record.account_sid, "token", "SD" + "0" * 32, "pbx", url, fallback_url="http://app/f")
        session = self.sessions[name] = CallSession(self.services, application, record, SipFacts(domain="pbx"))
        session.start_inbound(FIRST_LEG + len(self.sessions), lambda session: self.ended.add(name))
        return session

    async def call(self, name: str, twiml: str) -> CallSession:
        """Let a call come in and do all that it can."""
        session = self.enter(name, twiml)
        await self.settle()
        return session

    def leg(self, user: str) -> LegId:
        leg = self.sessions[user].parent.id
        assert leg is not None
        return leg

    def sid(self, name: str) -> str:
        return self.sessions[name].parent.record.sid

    def hang_up_now(self, name: str) -> None:
        """Let a far end hang up, with nothing else run."""
        self.phone.done.append(("ended", self.leg(name)))
        self._dispatch(Ended(self.leg(name), T0 + 60, 200))

    async def hangs_up(self, name: str) -> None:
        self.hang_up_now(name)
        await self.settle()

    async def presses_key(self, name: str, digit: str) -> None:
        await self.event(Digit(self.leg(name), T0 + 4, digit))

    def redirect_now(self, name: str, url: str) -> None:
        self.sessions[name].redirect(Goto(url, "POST"))

    async def is_redirected(self, name: str, url: str) -> None:
        self.redirect_now(name, url)
        await self.settle()

    async def heard_out(self, name: str) -> None:
        """Let what plays to a caller come to its end."""
        for player, (leg, _) in tuple(self.phone.playing.items()):
            if leg == self.leg(name):
                await self.event(PlayDone(leg, player))

    def plays(self, name: str) -> list[str]:
        """Return what plays to a caller now."""
        return [what for leg, what in self.phone.playing.values() if leg == self.leg(name)]

    def hears(self) -> dict[str, set[str]]:
        """Return who hears whom now, by all commands given so far: listener → speakers."""
        names = {self.leg(name): name for name in self.sessions if self.sessions[name].parent.id is not None}
        pairs: set[tuple[int, int]] = set()
        for what, *legs in self.phone.done:
            one, other = (*legs, 0, 0)[:2]
            match what:
                case "bridge":
                    pairs |= {(one, other), (other, one)}
                case "hear":
                    pairs.add((one, other))
                case "unbridge":
                    pairs -= {(one, other), (other, one)}
                case "ended":
                    pairs = {pair for pair in pairs if one not in pair}
        heard: dict[str, set[str]] = {}
        for listener, speaker in pairs:
            heard.setdefault(names[listener], set()).add(names[speaker])
        return heard

    def asked_of(self, url: str) -> list[dict[str, str]]:
        """Return the parameters of every request for this URL."""
        return [parameters for asked, _, parameters in self.web.asked if asked == url]

    def told(self, *names: str) -> list[tuple[str, ...]]:
        """Return these parameters of every callback sent so far, in order."""
        return [tuple(dict(entry.parameters).get(name, "") for name in names) for entry in self.sent]

    def timeline(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of a call."""
        sid = self.sid(name)
        return [(e.name, e.detail) for e in self.entries if isinstance(e, EventEntry) and e.call_sid == sid]

    async def everybody_hangs_up(self) -> None:
        """End every call that is still there, and wait for its session to be over."""
        for name, session in self.sessions.items():
            if not session.parent.ended:
                self.hang_up_now(name)
        await self.until(lambda: self.ended == set(self.sessions))
