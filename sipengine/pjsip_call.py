"""ADAPTER: one leg inside the PJSIP thread: its callbacks, and what is asked of it in the middle of a call.

Callbacks copy plain values and post events; they decide nothing. Nothing may keep a `Leg` past its DISCONNECTED
callback: the library gives the slot to the next INVITE, and the destructor hangs up whatever call has that slot.
"""

from __future__ import annotations

import functools
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import pjsua2 as pj

from routing.sipuri import SipUri
from sipengine.pjsip_audio import DIGIT_SECONDS, DTMF, plain
from sipengine.pjsip_quality import MediaCounts
from sipengine.ports import (
    Answered,
    Digit,
    Event,
    Headers,
    Held,
    LegId,
    Placed,
    ReferDeclined,
    ReferDone,
    Referred,
    Ringing,
    Target,
)

log = logging.getLogger("sipengine.pjsip")

UNREADABLE = "unreadable"  # stands for a message that is no UTF-8
REFER_SECONDS = 60.0  # how long a REFER that was accepted may stay without a final NOTIFY
HOLD_AGAIN_SECONDS = 0.2
DIGITS_AT_ONCE = 16  # the library's queue holds 32
NO_TELEPHONE_EVENT = "Remote does not support RFC 2833"


class Phone(Protocol):
    """What a leg needs of its phone."""

    def post(self, event: Event) -> None: ...

    def later(self, seconds: float, leg: LegId, command: Callable[..., None], *args: Any) -> None: ...

    def ended(self, call: Leg, code: int, reason: str, headers: Headers) -> None: ...

    def confirmed(self, call: Leg) -> None: ...

    def media_ready(self, leg: LegId) -> None: ...

    def tones(self, leg: LegId, digits: str) -> None: ...


def parse_headers(message: str) -> Headers:
    """Return the header fields of a SIP message as received, folded lines joined."""
    head = message.partition("\r\n\r\n")[0].split("\r\n")[1:]
    found: list[tuple[str, str]] = []
    for line in head:
        if line[:1] in (" ", "\t") and found:
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            found.append((name.strip(), value.strip()))
    return tuple(found)


def header(headers: Headers, name: str) -> str | None:
    """Return the first header field of this name."""
    low = name.lower()
    return next((value for found, value in headers if found.lower() == low), None)


def offers_srtp(message: str) -> bool:
    """Say whether the SDP of an INVITE offers encrypted media (RFC 4568)."""
    body = message.partition("\r\n\r\n")[2]
    return "RTP/SAVP" in body or "\na=crypto:" in body


def offers_hold(sdp: str) -> bool:
    """Say whether an offer puts us on hold: no media wanted of us (RFC 3264 §8.4), or none at all (RFC 2543)."""
    session, _, audio = sdp.partition("m=audio")
    audio = audio.partition("\nm=")[0]
    found = re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", audio, re.MULTILINE)
    found = found or re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", session, re.MULTILINE)
    address = re.search(r"^c=IN IP4 (\S+)", audio, re.MULTILINE) or re.search(r"^c=IN IP4 (\S+)", session, re.MULTILINE)
    return (bool(found) and found[-1] in ("sendonly", "inactive")) or (address is not None and address[1] == "0.0.0.0")


def options(headers: Headers = (), code: int = 0) -> pj.CallOpParam:
    """Return the options of a request or response: audio only, with these headers."""
    param = pj.CallOpParam(True)
    param.opt.audioCount, param.opt.videoCount, param.opt.textCount = 1, 0, 0
    if code:
        param.statusCode = code
    for name, value in headers:
        made = pj.SipHeader()
        made.hName, made.hValue = name, value
        param.txOption.headers.append(made)
    return param


@functools.lru_cache(maxsize=64)
def bare_options(code: int) -> pj.CallOpParam:
    """Return options without headers, made once: they are wanted several times a call."""
    return options((), code)


def _received(event: Any) -> str:
    """Return the SIP message that caused a call event, or nothing."""
    try:
        if event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
            return str(event.body.tsxState.src.rdata.wholeMsg)
        if event.type == pj.PJSIP_EVENT_RX_MSG:
            return str(event.body.rxMsg.rdata.wholeMsg)
    except UnicodeDecodeError:
        log.warning("a SIP message with undecodable bytes: its headers are ignored")
        return UNREADABLE
    return ""


def _stale(headers: Headers) -> bool:
    """Say whether a challenge only wants a fresh nonce used."""
    asked = header(headers, "Proxy-Authenticate") or header(headers, "WWW-Authenticate") or ""
    return "stale=true" in asked.lower().replace(" ", "").replace('"', "")


class Leg(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """One leg. `answered` and `over` see to it that each is told once."""

    def __init__(self, phone: Phone, account: pj.Account, leg: LegId, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.phone = phone
        self.leg = leg
        self.incoming = call_id != pj.PJSUA_INVALID_ID
        self.target: Target | None = None
        self.media: pj.AudioMedia | None = None
        self.announced = False
        self.challenged = False
        self.accepted = False  # a 200 of ours went out
        self.answered = False
        self._answer = ""  # the 2xx to our INVITE
        self.ours = False  # we ended it
        self.over = False
        self.final = 0
        self.error = ""
        self.held = False  # by the far end
        self._offered_hold: bool | None = None  # by its last offer, until that is in force
        self._holding = self._hold_wanted = False  # by us
        self._reinviting = False
        self.refer_allowed = False
        self._referring = False
        self._refer_code = 0
        self._refers = 0
        self._digits = ""
        self._dialling = False
        self.counts = MediaCounts()

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        match info.state:
            case pj.PJSIP_INV_STATE_CALLING:
                self.phone.post(Placed(self.leg, time.time(), info.callIdString))
            case pj.PJSIP_INV_STATE_EARLY if not self.incoming:
                self.phone.post(Ringing(self.leg, time.time(), info.lastStatusCode, media=False))
            case pj.PJSIP_INV_STATE_CONNECTING if not self.incoming:
                self._answer = _received(prm.e)
            case pj.PJSIP_INV_STATE_CONFIRMED:
                self._confirmed()
            case pj.PJSIP_INV_STATE_DISCONNECTED:
                self._disconnected(info, prm)

    def _confirmed(self) -> None:
        if self.media is None and not self.incoming:
            # The library has sent a BYE already: the SDP of the answer is no answer to ours.
            self.ours, self.final, self.error = True, 488, "the media of the answer cannot be used"
            return
        self.answered, self.final = True, 200
        self.phone.post(Answered(self.leg, time.time(), parse_headers(self._answer)))
        self.phone.confirmed(self)
        self._settle_hold()

    def _disconnected(self, info: Any, prm: Any) -> None:
        message = "" if self.ours else _received(prm.e)
        headers = parse_headers(message)
        code = self.final or info.lastStatusCode
        if self.answered and not self.ours and message != UNREADABLE and not message.startswith("BYE"):
            self.ours, self.error = True, info.lastReason  # the library ended it: its session timer ran out
        if self.accepted and not (self.answered or self.ours or message.startswith("BYE")):
            # RFC 3261 §13.3.1.4: the 200 was repeated until the transaction gave up.
            code, self.error = 408, "the caller never acknowledged the answer (no ACK)"
        self.phone.ended(self, code, info.lastReason, headers)

    def onCallMediaState(self, prm: Any) -> None:
        if self.over:
            return
        again = self.media is not None
        try:
            self.media = self.getAudioMedia(-1)
        except pj.Error:
            self.media = None
        if self.media is not None:
            if not (self.announced or self.incoming or self._answer):
                self.announced = True
                self.phone.post(Ringing(self.leg, time.time(), 183, media=True))
            self.phone.media_ready(self.leg)
            self._dial()
        if again or self.held:
            self._look_at_hold()

    def onStreamDestroyed(self, prm: Any) -> None:
        if self.answered and not self.over:
            self.counts.stream_ends(self)

    def may_answer(self, challenge: str) -> bool:
        """Say whether credentials may go out: the first time, and again only for a stale nonce (RFC 2617 §3.2.1).

        The library takes every new nonce for stale and would send a wrong password three times.
        """
        first, self.challenged = not self.challenged, True
        return first or _stale(parse_headers(challenge))

    def onCallRxOffer(self, prm: Any) -> None:
        self._offered_hold = offers_hold(prm.offer.wholeSdp)

    def _look_at_hold(self) -> None:
        """Tell a change of the far end's hold, now that the answer to it is in force.

        While we hold, the library's own state says only that; then the far end's last offer counts.
        """
        info = self.getInfo()  # what it holds lives as long as it does
        statuses = [media.status for media in info.media if media.type == pj.PJMEDIA_TYPE_AUDIO]
        offered, self._offered_hold = self._offered_hold, None
        if pj.PJSUA_CALL_MEDIA_LOCAL_HOLD in statuses:
            held = self.held if offered is None else offered
        else:
            held = pj.PJSUA_CALL_MEDIA_REMOTE_HOLD in statuses
        if held != self.held:
            self.held = held
            self.phone.post(Held(self.leg, time.time(), held))

    def hold(self, held: bool) -> None:
        """Put the far end on hold or take it back as soon as no other re-INVITE is under way."""
        self._hold_wanted = held
        self._settle_hold()

    def _settle_hold(self) -> None:
        if self.over or self._reinviting or not self.answered or self._hold_wanted == self._holding:
            return
        try:
            if self._hold_wanted:
                self.setHold(bare_options(0))
            else:
                param = options()
                param.opt.flag = pj.PJSUA_CALL_UNHOLD
                self.reinvite(param)
        except pj.Error as error:
            # Not confirmed yet, or the far end's own re-INVITE is under way: both pass.
            log.debug("leg=%d hold waits: %s", self.leg, plain(error))
            self.phone.later(HOLD_AGAIN_SECONDS, self.leg, Leg._settle_hold)
            return
        self._reinviting, self._holding = True, self._hold_wanted

    @property
    def on_hold(self) -> bool:
        """Say whether either side holds the other."""
        return self.held or self._holding

    def packets(self) -> int:
        """Return the number of RTP packets that came in the present stream."""
        try:
            stat = self.getStreamStat(0)  # what it holds lives as long as it does
        except pj.Error:
            return 0
        return int(stat.rtcp.rxStat.pkt)

    def onCallTsxState(self, prm: Any) -> None:
        # Called for every message of every call: nothing may be looked up unless it is waited for.
        if self._reinviting:
            transaction = prm.e.body.tsxState.tsx
            if (
                transaction.role == pj.PJSIP_ROLE_UAC
                and transaction.method == "INVITE"
                and transaction.state >= pj.PJSIP_TSX_STATE_COMPLETED
            ):
                self._reinvited(transaction.statusCode)

    def _reinvited(self, code: int) -> None:
        self._reinviting = False
        if code == 491:  # both sides offered at once (RFC 3261 §14.1): try again when the other is through
            self._holding = not self._holding
            self.phone.later(random.uniform(2.1, 4.0), self.leg, Leg._settle_hold)
        elif code >= 300:
            log.warning("leg=%d the far end refused our re-INVITE with %d", self.leg, code)
            self._holding = self._hold_wanted = not self._holding
        else:
            self._settle_hold()

    def onCallTransferRequest(self, prm: Any) -> None:
        # requirements/pjsua2.patch: the library answers, sends the NOTIFYs and dials nobody.
        bracketed = re.search(r"<([^>]*)>", prm.dstUri)
        target = (bracketed[1] if bracketed else prm.dstUri.partition(";")[0]).strip()
        told = Referred if self.refer_allowed else ReferDeclined
        prm.statusCode = pj.PJSIP_SC_ACCEPTED if self.refer_allowed else pj.PJSIP_SC_DECLINE
        self.phone.post(told(self.leg, time.time(), target))

    def onCallReplaceRequest(self, prm: Any) -> None:
        # The library would put the new call in this one's place, in tables that know nothing of it (RFC 3891 §3).
        prm.statusCode = pj.PJSIP_SC_DECLINE

    def refer(self, uri: SipUri) -> None:
        """Send a REFER; its one `ReferDone` comes from here, or from `end_refer`."""
        if self._referring:
            self.phone.post(ReferDone(self.leg, time.time(), 491))
            return
        self._referring, self._refer_code, self._refers = True, 0, self._refers + 1
        try:
            self.xfer(f"<{replace(uri, region='', srtp='off').text}>", bare_options(0))
        except pj.Error as error:
            log.warning("leg=%d cannot send a REFER: %s", self.leg, plain(error))
            self.end_refer()
            return
        self.phone.later(REFER_SECONDS, self.leg, Leg._give_up_refer, self._refers)

    def end_refer(self, notify_code: int = 0) -> None:
        """Tell what came of our REFER, if one is open."""
        if self._referring:
            self._referring = False
            self.phone.post(ReferDone(self.leg, time.time(), self._refer_code, notify_code))

    def _give_up_refer(self, number: int) -> None:
        if number == self._refers:
            self.end_refer()

    def onCallTransferStatus(self, prm: Any) -> None:
        code = int(prm.statusCode)
        if prm.reason == "Accepted" and not self._refer_code:  # the 2xx itself, in the library's own words
            self._refer_code = 202
            if prm.finalNotify:  # Refer-Sub: false (RFC 4488), so nothing will follow
                self.end_refer()
        elif self._refer_code:
            if prm.finalNotify or code >= 200:
                self.end_refer(code)
        elif code >= 300:
            self._refer_code = code
            self.end_refer()

    def onDtmfDigit(self, prm: Any) -> None:
        if prm.digit in DTMF:
            self.phone.post(Digit(self.leg, time.time(), prm.digit.upper()))

    def send_digits(self, digits: str) -> None:
        """Send digits after those that wait, as soon as there is audio."""
        self._digits += "".join(digit for digit in digits if digit in DTMF).upper()
        if not self._dialling:
            self._dial()

    def send_info(self, digit: str) -> None:
        """Send one digit by INFO (application/dtmf-relay)."""
        param = pj.CallSendRequestParam()
        param.method = "INFO"
        param.txOption.contentType = "application/dtmf-relay"
        param.txOption.msgBody = f"Signal={digit}\r\nDuration=160\r\n"
        try:
            self.sendRequest(param)
        except pj.Error as error:
            log.warning("leg=%d cannot send INFO: %s", self.leg, plain(error))

    def _dial(self) -> None:
        self._dialling = False
        if self.media is None or not self._digits or self.over:
            return
        digits, self._digits = self._digits[:DIGITS_AT_ONCE], self._digits[DIGITS_AT_ONCE:]
        try:
            self.dialDtmf(digits)
        except pj.Error as error:
            if NO_TELEPHONE_EVENT not in plain(error):
                log.warning("leg=%d cannot send digits: %s", self.leg, plain(error))
                return
            self.phone.tones(self.leg, digits)
        self._dialling = True
        self.phone.later(len(digits) * DIGIT_SECONDS, self.leg, Leg._dial)
