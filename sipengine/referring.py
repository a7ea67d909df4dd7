"""asyncio: `<Refer>`: asks the caller's phone to call somebody else instead (RFC 3515).

Source: Twilio's `<Refer>` page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calls.verb_parameters import refer_parameters
from sipengine import twiml
from sipengine.documents import Done, Goto, How, Next

if TYPE_CHECKING:
    from sipengine.script import Script


async def refer(script: Script, verb: twiml.Refer) -> Next:
    """Send the REFER and wait for what comes of it; then go on at the action, or hang up if the transfer worked."""
    phone, line, log = script.services.phone, script.line, script.log
    log.event("refer.sent", target=verb.uri.address)
    done = await line.refer(lambda: phone.refer(line.id, verb.uri))
    accepted = 200 <= done.code < 300
    status = "completed" if accepted and done.notify_code < 300 else "failed"
    log.event("refer.done", done.time, code=done.code, notify_code=done.notify_code)
    if not accepted:
        log.note(13801, f"the caller's phone did not take the REFER (SIP {done.code})")
    if verb.action is None:
        return Done(reason="The call was transferred.", how=How.HANGUP) if status == "completed" else None
    parameters = refer_parameters(status, done.code, done.notify_code)
    return Goto(script.documents.absolute(verb.action), verb.method, parameters)
