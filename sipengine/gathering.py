"""asyncio: `<Gather>`: digits that the caller presses, with prompts that the first digit interrupts.

Source: Twilio's `<Gather>` page. Digits that are pressed before the verb runs do not count.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from calls.verb_parameters import gather_parameters
from calls.webhooks import WebhookError
from sipengine import twiml
from sipengine.documents import Goto, Next
from sipengine.media import MediaError

if TYPE_CHECKING:
    from sipengine.script import Script


async def gather(script: Script, verb: twiml.Gather) -> Next:
    """Collect digits; go on at the action if there are any (or it wants to know of none), else with the next verb."""
    script.answer()
    script.log.event("gather", digits=verb.num_digits, timeout=verb.timeout)
    keys: asyncio.Queue[str] = asyncio.Queue()
    with script.line.heard(keys.put_nowait):
        first = await _prompted(script, verb, keys)
        digits, finished_on = await _collect(verb, keys, first)
    script.log.event("gather.done", count=len(digits), finished_on=finished_on)
    if not digits and not verb.action_on_empty_result:
        return None
    return Goto(script.documents.here(verb.action), verb.method, gather_parameters(digits, finished_on))


async def _prompted(script: Script, verb: twiml.Gather, keys: asyncio.Queue[str]) -> str | None:
    """Run the prompts until they end or a digit comes, which is returned."""
    if not verb.prompts:
        return None
    prompts = asyncio.ensure_future(_prompts(script, verb))
    pressed = asyncio.ensure_future(keys.get())
    try:
        await asyncio.wait({prompts, pressed}, return_when=asyncio.FIRST_COMPLETED)
        if prompts.done():
            prompts.result()
        return pressed.result() if pressed.done() else None
    finally:
        prompts.cancel()
        pressed.cancel()
        await asyncio.wait({prompts, pressed})  # not `await prompts`: its cancellation would hide one of ours


async def _prompts(script: Script, verb: twiml.Gather) -> None:
    for prompt in verb.prompts:
        try:
            match prompt:
                case twiml.Say():
                    await script.say(prompt)
                case twiml.Play():
                    await script.play(prompt)
                case twiml.Pause():
                    await asyncio.sleep(prompt.length)
        except (MediaError, WebhookError) as error:
            script.log.note(error.code, error.message)


async def _collect(verb: twiml.Gather, keys: asyncio.Queue[str], first: str | None) -> tuple[str, str]:
    """Return the digits and the key that finished them, "" if it was their number or the time."""
    digits, key = "", first
    while True:
        if key is None:
            try:
                async with asyncio.timeout(verb.timeout):
                    key = await keys.get()
            except TimeoutError:
                return digits, ""
        if key == verb.finish_on_key:
            return digits, key
        digits, key = digits + key, None
        if verb.num_digits and len(digits) >= verb.num_digits:
            return digits, ""
