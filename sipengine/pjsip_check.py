"""ADAPTER: sends OPTIONS requests outside any call, to see whether a far end is there.

The library names in its callback only the account that sent a request, so each request that is under way has an account
to itself; it is used again when the transaction is over, at most 32 s later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from routing.sipuri import SipUri
from sipengine.pjsip_audio import plain
from sipengine.pjsip_call import header, parse_headers
from sipengine.pjsip_config import Account, Accounts, PhoneError, RegionAddress
from sipengine.pjsip_watch import Clock
from sipengine.ports import Checked, Event

MOST = 40  # requests under way; the library has 256 accounts


class Checks:
    """The OPTIONS requests that are under way. All methods run in the PJSIP thread."""

    def __init__(self, accounts: Accounts, clock: Clock, post: Callable[[Event], None]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._post = post
        self._idle: dict[tuple[RegionAddress, str], list[Account]] = {}
        self._made = 0
        self._waiting: dict[int, float] = {}  # number -> when it was sent

    def close(self) -> None:
        """Let the accounts die."""
        self._idle.clear()

    def send(self, number: int, region: RegionAddress, uri: SipUri, seconds: float) -> None:
        """Send an OPTIONS; its one `Checked` follows within so many seconds."""
        kind = uri.transport
        self._waiting[number] = time.monotonic()
        try:
            account = self._account(region, kind)
            param = pj.SendRequestParam()
            param.method = "OPTIONS"
            param.txOption.targetUri = uri.request_uri
            account.asked = lambda prm: self._answered(number, account, (region, kind), prm)
            account.sendRequest(param)
        except (pj.Error, PhoneError, KeyError) as error:
            self._tell(number, error=f"the request could not be sent: {plain(error)}")
            return
        self._clock.after(seconds, self._late, number, seconds)

    def _account(self, region: RegionAddress, kind: str) -> Account:
        idle = self._idle.setdefault((region, kind), [])
        if idle:
            return idle.pop()
        if self._made >= MOST:
            raise PhoneError(f"{MOST} checks are under way: try again in half a minute")
        account = self._accounts.separate(region, kind)
        self._made += 1
        return account

    def _late(self, number: int, seconds: float) -> None:
        self._tell(number, error=f"no answer within {seconds:g} s")

    def _answered(self, number: int, account: Account, place: tuple[RegionAddress, str], prm: Any) -> None:
        self._idle[place].append(account)
        state = prm.e.body.tsxState
        if state.type != pj.PJSIP_EVENT_RX_MSG:
            # The library's own 408 or 503: nothing came, or the connection could not be made.
            code, text = int(state.tsx.statusCode), str(state.tsx.statusText)
            self._tell(number, error="no answer" if code == 408 else f"it cannot be reached: {text}")
            return
        try:
            message = str(state.src.rdata.wholeMsg)
        except UnicodeDecodeError:
            message = ""
        headers = parse_headers(message)
        self._tell(
            number,
            code=int(state.tsx.statusCode),
            reason=str(state.tsx.statusText),
            server=header(headers, "Server") or header(headers, "User-Agent") or "",
        )

    def _tell(self, number: int, *, code: int = 0, reason: str = "", server: str = "", error: str = "") -> None:
        sent = self._waiting.pop(number, None)
        if sent is not None:
            seconds = time.monotonic() - sent if code else None
            self._post(Checked(number, time.time(), code, reason, server, seconds, error))
