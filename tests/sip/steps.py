"""SIPp scenarios put together from steps: each function returns SIPp XML that sends or expects one message.

    phone = peers.phone(recv("INVITE"), respond(180), pause(200), respond(200, sdp=True), recv("ACK"), *answer_bye())
    caller = peers.caller(engine.address, "100", invite(), *progress(), recv(200), ack(), pause(500), *bye())

A phone is called (UAS), a caller calls (UAC). What several tests do is named at the end.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

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
HOLDS = SDP.replace("a=sendrecv", "a=sendonly").replace("o=- 1 1", "o=- 1 2")
TAKES_BACK = SDP.replace("o=- 1 1", "o=- 1 3")
NO_COMMON_CODEC = SDP.replace("RTP/AVP 0 101", "RTP/AVP 98").replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:98 SPEEX/16000")
OUR_HOST = "[remote_ip]:[remote_port]"
_DIALOG = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: "Caller" <sip:caller@[local_ip]:[local_port]>;tag=[pid]A[call_number]
To: <sip:[service]@{host}>{to_tag}
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:caller@[local_ip]:[local_port];transport=[transport]>
"""
_OWN_VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"


def _send(text: str, *, retrans: bool = False) -> str:
    opening = '<send retrans="500">' if retrans else "<send>"
    return f"{opening}<![CDATA[\n\n{text}\n\n]]></send>"


def _body(sdp: bool | str, headers: str = "") -> str:
    text = SDP if sdp is True else sdp
    if not text:
        return f"{headers}Content-Length: 0\n"
    return f"{headers}Content-Type: application/sdp\nContent-Length: [len]\n{text}"


def recv(what: str | int, *, optional: bool = False, auth: bool = False, action: str = "") -> str:
    """Expect a request (a method) or a response (a code)."""
    kind = f'response="{what}"' if isinstance(what, int) else f'request="{what}"'
    extra = ' optional="true"' if optional else ""
    extra += ' auth="true"' if auth else ""
    return f'<recv {kind} rrs="true"{extra}>{action}</recv>'


def progress() -> tuple[str, ...]:
    """Expect any provisional responses, before something else that must come."""
    return tuple(recv(code, optional=True) for code in (100, 180, 183))


def ringing(code: int = 180) -> tuple[str, ...]:
    """Expect to be told that it rings."""
    return (recv(100, optional=True), recv(code))


def pause(milliseconds: int) -> str:
    """Let time pass. What another peer must have done by then, `cue` waits for."""
    return f'<pause milliseconds="{milliseconds}"/>'


def cue() -> str:
    """Wait for the test's word: `Sipp.cue`, or `finish` when all others have got as far as they can."""
    return recv("CUE")


# --- as a phone ------------------------------------------------------------------------------------------------------


def respond(code: int, *, sdp: bool | str = False, headers: str = "") -> str:
    """Answer the last request; `headers` are whole lines."""
    return _send(
        f"SIP/2.0 {code} Said by a test\n[last_Via:]\n[last_Record-Route:]\n[last_From:]\n"
        f"[last_To:];tag=[pid]B[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
        f"Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>\n{_body(sdp, headers)}",
        retrans=code >= 200,
    )


def respond_to_invite(code: int, *, sdp: bool = False) -> str:
    """Answer the INVITE after another request (a CANCEL) came in."""
    return _send(
        f"SIP/2.0 {code} Said by a test\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]B[call_number]\n"
        f"[last_Call-ID:]\nCSeq: [last_cseq_number] INVITE\n"
        f"Contact: <sip:phone@[local_ip]:[local_port]>\n{_body(sdp)}",
        retrans=True,
    )


def respond_ok(headers: str = "") -> str:
    """Answer an in-dialog request with 200, without Contact or a new tag."""
    return _send(
        f"SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n{_body(False, headers)}"
    )


def respond_to_cancel() -> str:
    return _send(
        "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]B[call_number]\n[last_Call-ID:]\n"
        "[last_CSeq:]\nContent-Length: 0\n"
    )


def answer_bye(headers: str = "") -> tuple[str, ...]:
    return (recv("BYE"), respond_ok(headers))


def answer_cancel() -> tuple[str, ...]:
    return (recv("CANCEL"), respond_to_cancel(), respond_to_invite(487), recv("ACK"))


def recv_invite() -> str:
    """Expect an INVITE and keep its From, which `phone_bye` needs."""
    kept = '<action><ereg regexp=".*" search_in="hdr" header="From:" assign_to="caller"/></action>'
    return recv("INVITE", action=kept)


def phone_bye(headers: str = "") -> tuple[str, ...]:
    """Hang up as the one who was called."""
    text = (
        f"BYE [next_url] SIP/2.0\n{_OWN_VIA}Max-Forwards: 70\n"
        "From: <sip:phone@[local_ip]:[local_port]>;tag=[pid]B[call_number]\nTo: [$caller]\n"
        f"Call-ID: [call_id]\nCSeq: 1 BYE\n{headers}Content-Length: 0\n"
    )
    return (_send(text, retrans=True), recv(200))


# --- as a caller -----------------------------------------------------------------------------------------------------


def invite(
    *,
    sdp: bool | str = True,
    headers: str = "",
    host: str = OUR_HOST,
    user: str = "[service]",
    cseq: int = 1,
    auth: bool = False,
) -> str:
    """Call `user` at `host`; with `auth`, answer the challenge that came before."""
    proof = "[authentication]\n" if auth else ""
    dialog = _DIALOG.format(host=host, to_tag="", cseq=cseq, method="INVITE").replace("[service]", user)
    return _send(f"INVITE sip:{user}@{host} SIP/2.0\n{dialog}{proof}{_body(sdp, headers)}", retrans=True)


def in_dialog(method: str, *, cseq: int, headers: str = "", body: str = "", sdp: str = "") -> str:
    """Send a request within the answered call."""
    dialog = _DIALOG.format(host=OUR_HOST, to_tag="[peer_tag_param]", cseq=cseq, method=method)
    content = f"{headers}Content-Length: [len]\n\n{body}" if body else _body(sdp, headers)
    return _send(f"{method} sip:[service]@{OUR_HOST} SIP/2.0\n{dialog}{content}", retrans=method != "ACK")


def ack(*, cseq: int = 1) -> str:
    return in_dialog("ACK", cseq=cseq)


def ack_with_sdp(*, cseq: int = 1) -> str:
    """Acknowledge a 200 that carried the offer (late offer, RFC 3264)."""
    dialog = _DIALOG.format(host=OUR_HOST, to_tag="[peer_tag_param]", cseq=cseq, method="ACK")
    return _send(f"ACK sip:[service]@{OUR_HOST} SIP/2.0\n{dialog}{_body(True)}")


def bye(*, cseq: int = 2) -> tuple[str, ...]:
    return (in_dialog("BYE", cseq=cseq), recv(200))


def star(*, cseq: int = 2) -> tuple[str, ...]:
    """Press * by SIP INFO."""
    body = "Signal=*\nDuration=160"
    return (in_dialog("INFO", cseq=cseq, headers="Content-Type: application/dtmf-relay\n", body=body), recv(200))


def info(body: str, *, kind: str = "application/dtmf-relay", cseq: int = 2) -> str:
    """Send this body by SIP INFO."""
    return in_dialog("INFO", cseq=cseq, headers=f"Content-Type: {kind}\n", body=body)


def reinvite(*, cseq: int = 2, sdp: str = SDP) -> tuple[str, ...]:
    """Offer this anew in the answered call, and take the answer."""
    return (in_dialog("INVITE", cseq=cseq, sdp=sdp), recv(100, optional=True), recv(200), ack(cseq=cseq))


def refer(target: str, *, cseq: int = 2, headers: str = "") -> str:
    """Ask to be connected to somebody else; answers and NOTIFYs are not waited for."""
    return in_dialog("REFER", cseq=cseq, headers=f"Refer-To: <{target}>\n{headers}")


def recv_notify() -> tuple[str, ...]:
    """Take a NOTIFY and confirm it."""
    return (recv("NOTIFY"), respond_ok())


def ack_of_refusal(*, cseq: int = 1, host: str = OUR_HOST) -> str:
    """Acknowledge a final response of 300 or more: in the INVITE's own transaction (RFC 3261 §17.1.1.3)."""
    dialog = _DIALOG.format(host=host, to_tag="[peer_tag_param]", cseq=cseq, method="ACK")
    return _send(f"ACK sip:[service]@{host} SIP/2.0\n{_in_last_transaction(dialog)}Content-Length: 0\n")


def cancel(*, host: str = OUR_HOST) -> tuple[str, ...]:
    """Give up a call that rings, and take its 487."""
    dialog = _DIALOG.format(host=host, to_tag="", cseq=1, method="CANCEL")
    sent = _send(f"CANCEL sip:[service]@{host} SIP/2.0\n{_in_last_transaction(dialog)}Content-Length: 0\n")
    return (sent, *(recv(code, optional=True) for code in (180, 183)), recv(200), recv(487), ack_of_refusal(host=host))


def _in_last_transaction(dialog: str) -> str:
    return dialog.replace(_OWN_VIA, "[last_Via:]\n")


# --- whole scenarios -------------------------------------------------------------------------------------------------

ANSWERS = (recv("INVITE"), respond(180), pause(100), respond(200, sdp=True), recv("ACK"), *answer_bye())
RINGS = (recv("INVITE"), respond(180), *answer_cancel())
HANGS_UP = (recv_invite(), respond(180), respond(200, sdp=True), recv("ACK"), pause(200), *phone_bye())
TALKS = (invite(), *progress(), recv(200), ack(), cue(), pause(200), *bye())
LISTENS = (invite(), *progress(), recv(200), ack(), *answer_bye())
GIVES_UP = (invite(), *ringing(), cue(), pause(100), *cancel())


def refuses(code: int, *, headers: str = "") -> tuple[str, ...]:
    """Be a phone that refuses each call."""
    return (recv("INVITE"), respond(code, headers=headers), recv("ACK"))


def refused(code: int, *, sdp: bool | str = True, headers: str = "", host: str = OUR_HOST) -> tuple[str, ...]:
    """Be a caller who is refused with this code."""
    sent = invite(sdp=sdp, headers=headers, host=host)
    return (sent, *progress(), recv(code), ack_of_refusal(host=host))


def scenario(name: str, steps: tuple[str, ...]) -> str:
    """Return the XML document of a scenario."""
    body = "\n".join(steps)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{escape(name)}">\n{body}\n</scenario>\n'
