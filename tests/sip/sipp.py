"""Real SIP peers for tests: SIPp scenarios put together from steps, run as processes, read back as messages.

    phone = Sipp.uas(recv("INVITE"), respond(180), pause(200), respond(200, sdp=True), recv("ACK"), *answer_bye())
    caller = Sipp.uac(engine.address, "100", invite(), recv(180), recv(200), ack(), pause(500), *bye())

Steps are strings of SIPp XML; `Sipp` gives each peer a free port and a folder of its own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape

T = TypeVar("T")
HOST = "127.0.0.1"


def until(condition: Callable[[], T], seconds: float = 10.0, what: str = "the condition") -> T:
    """Wait for a condition to be true and return its value; fail the test when it does not become true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.02)  # the period of looking again, not a wait for something to have happened


def free_port() -> int:
    """Return a port that is free for UDP and TCP, and so is the next one."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((HOST, 0))
            port = int(udp.getsockname()[1])
            try:
                tcp.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


# --- steps -----------------------------------------------------------------------------------------------------------

SDP = """
v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
"""
NO_COMMON_CODEC = SDP.replace("RTP/AVP 0 101", "RTP/AVP 98").replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:98 SPEEX/16000")
REASONS = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 302: "Moved", 401: "Unauthorized",
           404: "Not Found", 407: "Proxy Authentication Required", 480: "Temporarily Unavailable", 486: "Busy Here",
           487: "Request Terminated", 500: "Server Error", 503: "Service Unavailable", 600: "Busy Everywhere",
           603: "Decline"}  # fmt: skip
_DIALOG = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: "Caller" <sip:caller@[local_ip]:[local_port]>;tag=[pid]A[call_number]
To: <sip:[service]@{host}>{to_tag}
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:caller@[local_ip]:[local_port];transport=[transport]>
"""


def _send(text: str, retrans: bool = False, action: str = "") -> str:
    opening = '<send retrans="500">' if retrans else "<send>"
    return f"{opening}<![CDATA[\n\n{text}\n\n]]>{action}</send>"


def _body(sdp: str | None) -> str:
    if sdp is None:
        return "Content-Length: 0\n"
    return f"Content-Type: application/sdp\nContent-Length: [len]\n{sdp}"


def recv(what: str | int, *, optional: bool = False, action: str = "", auth: bool = False, timeout: int = 0) -> str:
    """Expect a request (a method) or a response (a code)."""
    kind = f'response="{what}"' if isinstance(what, int) else f'request="{what}"'
    extra = ' optional="true"' if optional else ""
    extra += ' auth="true"' if auth else ""
    extra += f' timeout="{timeout}"' if timeout else ""
    return f'<recv {kind} rrs="true"{extra}>{action}</recv>'


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>'


def respond(code: int, *, sdp: bool | str = False, headers: str = "", retrans: bool | None = None) -> str:
    """Answer the last request."""
    body = SDP if sdp is True else sdp or None
    return _send(
        f"SIP/2.0 {code} {REASONS[code]}\n[last_Via:]\n[last_Record-Route:]\n[last_From:]\n"
        f"[last_To:];tag=[pid]B[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
        f"Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>\n{headers}{_body(body)}",
        retrans=code >= 200 if retrans is None else retrans,
    )


def respond_to_invite(code: int, *, sdp: bool = False) -> str:
    """Answer the INVITE after another request (a CANCEL) came in."""
    return _send(
        f"SIP/2.0 {code} {REASONS[code]}\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]B[call_number]\n"
        f"[last_Call-ID:]\nCSeq: [last_cseq_number] INVITE\n"
        f"Contact: <sip:phone@[local_ip]:[local_port]>\n{_body(SDP if sdp else None)}",
        retrans=True,
    )


def respond_ok() -> str:
    """Answer an in-dialog request with 200, without Contact or a new tag."""
    return _send("SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n")


def answer_bye() -> tuple[str, ...]:
    return (recv("BYE"), respond_ok())


def answer_cancel() -> tuple[str, ...]:
    return (recv("CANCEL"), respond_tagged_ok(), respond_to_invite(487), recv("ACK"))


def respond_tagged_ok() -> str:
    return _send(
        "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]B[call_number]\n[last_Call-ID:]\n"
        "[last_CSeq:]\nContent-Length: 0\n"
    )


def invite(
    *, sdp: bool | str = True, headers: str = "", host: str = "[remote_ip]:[remote_port]", cseq: int = 1, auth: bool = False
) -> str:
    """Call `[service]` at `host`; with `auth`, answer the challenge that came before."""
    body = SDP if sdp is True else sdp or None
    proof = "[authentication]\n" if auth else ""
    dialog = _DIALOG.format(host=host, to_tag="", cseq=cseq, method="INVITE")
    return _send(f"INVITE sip:[service]@{host} SIP/2.0\n{dialog}{proof}{headers}{_body(body)}", retrans=True)


def _in_dialog(method: str, cseq: int, host: str, *, retrans: bool) -> str:
    dialog = _DIALOG.format(host=host, to_tag="[peer_tag_param]", cseq=cseq, method=method)
    return _send(f"{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n{dialog}[routes]\nContent-Length: 0\n", retrans)


def ack(*, cseq: int = 1, host: str = "[remote_ip]:[remote_port]") -> str:
    return _in_dialog("ACK", cseq, host, retrans=False)


def ack_with_sdp(*, cseq: int = 1) -> str:
    """Acknowledge a 200 that carried the offer (late offer, RFC 3264)."""
    dialog = _DIALOG.format(host="[remote_ip]:[remote_port]", to_tag="[peer_tag_param]", cseq=cseq, method="ACK")
    return _send(f"ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n{dialog}{_body(SDP)}")


def bye(*, cseq: int = 2, host: str = "[remote_ip]:[remote_port]") -> tuple[str, ...]:
    return (_in_dialog("BYE", cseq, host, retrans=True), recv(200))


def cancel(*, host: str = "[remote_ip]:[remote_port]") -> tuple[str, ...]:
    """Give up a call that rings, and take its 487."""
    dialog = _DIALOG.format(host=host, to_tag="", cseq=1, method="CANCEL").replace("[branch]", "[branch-3]")
    sent = _send(f"CANCEL sip:[service]@{host} SIP/2.0\n{dialog}Content-Length: 0\n")
    return (sent, recv(180, optional=True), recv(200), recv(487), ack_of_refusal(host=host))


def ack_of_refusal(*, cseq: int = 1, host: str = "[remote_ip]:[remote_port]") -> str:
    """Acknowledge a final response of 300 or more: same branch as the INVITE (RFC 3261 §17.1.1.3)."""
    dialog = _DIALOG.format(host=host, to_tag="[peer_tag_param]", cseq=cseq, method="ACK")
    return _send(f"ACK sip:[service]@{host} SIP/2.0\n{dialog}Content-Length: 0\n")


def rtp(seconds: float) -> str:
    """Send `seconds` of silence as G.711 so that the far side has audio."""
    return f'<nop><action><exec rtp_stream="apattern,{int(seconds * 50)},0,PCMU/8000"/></action></nop>'


# --- processes -------------------------------------------------------------------------------------------------------


class Sipp:
    """One SIPp process: `calls` calls of one scenario."""

    def __init__(self, folder: Path, name: str, steps: Sequence[str], arguments: Sequence[str], port: int) -> None:
        self.port = port
        self.folder = folder / f"{name}-{port}"
        self.folder.mkdir(parents=True)
        scenario = self.folder / "scenario.xml"
        scenario.write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{escape(name)}">\n' + "\n".join(steps) + "\n</scenario>\n"
        )
        self._output = (self.folder / "output").open("w")
        self._process = subprocess.Popen(
            ["sipp", *arguments, "-sf", str(scenario), "-i", HOST, "-p", str(port), "-nostdin", "-trace_msg",
             "-message_file", str(self.folder / "messages"), "-trace_err", "-error_file", str(self.folder / "errors"),
             "-timeout", "60s", "-timeout_error", "-cid_str", f"{name}-%u-%p@%s"],  # fmt: skip
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def uri(self) -> str:
        """The address of this peer as a `<Sip>` noun names it."""
        return f"sip:phone@{HOST}:{self.port}"

    def wait(self, seconds: float = 30.0) -> None:
        """Wait for all calls to have gone through the whole scenario; fail the test if one did not."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"SIPp {self.folder.name} is still running:\n{self.trace()[-3000:]}") from None
        assert code == 0, f"SIPp {self.folder.name} ended with {code}:\n{self.errors()}\n{self.trace()[-3000:]}"

    def running(self) -> bool:
        return self._process.poll() is None

    def trace(self) -> str:
        """Return everything that was sent and received."""
        try:
            return (self.folder / "messages").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def errors(self) -> str:
        found = list(self.folder.glob("errors*"))
        return "".join(path.read_text(errors="replace") for path in found)[-2000:]

    def received(self, start: str) -> list[str]:
        """Return the messages that came in and whose first line starts so: `received("INVITE")`, `received("SIP/2.0 200")`."""
        parts = re.split(r"^-{20,}.*$", self.trace(), flags=re.MULTILINE)
        found = []
        for part in parts:
            head, _, message = part.strip().partition("\n\n")
            if "received" in head and message.startswith(start):
                found.append(message)
        return found

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


class Peers:
    """Makes SIPp peers for one test and ends them with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Sipp] = []

    def phone(self, *steps: str, calls: int = 1, transport: str = "u1", port: int | None = None) -> Sipp:
        """Start a peer that is called (UAS)."""
        return self._start("phone", steps, ["-m", str(calls), "-t", transport], port)

    def caller(
        self, target: str, number: str, *steps: str, calls: int = 1, transport: str = "u1", login: tuple[str, str] | None = None
    ) -> Sipp:
        """Start a peer that calls `number` at `target` (UAC)."""
        credentials = ["-au", login[0], "-ap", login[1]] if login else []
        arguments = [target, "-s", number, "-m", str(calls), "-r", "20", "-t", transport, *credentials]
        return self._start("caller", steps, arguments, None)

    def _start(self, name: str, steps: Sequence[str], arguments: list[str], port: int | None) -> Sipp:
        peer = Sipp(self._folder, name, steps, arguments, port or free_port())
        self._all.append(peer)
        if name == "phone":
            until(lambda: _listening(peer.port, "t1" in arguments) or not peer.running(), what="SIPp's port")
        return peer

    def end(self) -> None:
        for peer in self._all:
            peer.end()


def _listening(port: int, tcp: bool) -> bool:
    """Look into the kernel's table whether a port is bound."""
    table = Path("/proc/net/tcp" if tcp else "/proc/net/udp").read_text()
    return f":{port:04X} " in table
