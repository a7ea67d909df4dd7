"""asyncio: TwiML on one leg. Fetch a document, parse all of it, run its verbs: one async function a verb, which returns
`None` (next verb), `Goto`/`Inline` (another document) or `Done`.

The caller of a call, a callee who is screened and one who waits in a queue all run a script. Verbs that only some of
them may use (`<Dial>`, `<Enqueue>`, …) are handed in by whoever owns the leg.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, assert_never

from calls.status import Status
from calls.webclient import Fetched
from calls.webhooks import WebhookError, without_secrets
from sipengine import twiml
from sipengine.documents import Documents, Done, Goto, How, Next, Step
from sipengine.gathering import gather
from sipengine.line import Line
from sipengine.media import MediaError
from sipengine.records import CallLog, Leg
from sipengine.services import Joint, Services
from sipengine.voicemail import RecordRun

MAX_DOCUMENTS = 200  # of one call: a `<Redirect>` to itself must come to an end
APOLOGY = "An application error has occurred. Goodbye."

Special = Callable[[Any], Awaitable[Next]]


class Script:
    """Runs documents on one leg. `special` are the verbs of its owner; `answer` answers the leg if need be.

    `joint` is what the running verb has joined the leg with, if it must be told before the verb may be cancelled.
    `ending` is true once the call is being ended from outside: no document is run any more.
    """

    def __init__(
        self,
        services: Services,
        leg: Leg,
        line: Line,
        documents: Documents,
        log: CallLog,
        *,
        answer: Callable[[], None] = lambda: None,
        special: Mapping[type, Special] | None = None,
        heard: Callable[[Fetched], None] = lambda answer: None,
    ) -> None:
        self.services = services
        self.leg = leg
        self.line = line
        self.documents = documents
        self.log = log
        self.joint: Joint | None = None
        self.ending = False
        self.answer = answer
        self._special = special or {}
        self._heard = heard

    async def run(self, first: Step) -> Done:
        """Run documents until the TwiML is over."""
        step: Step = first
        for _ in range(MAX_DOCUMENTS):
            if isinstance(step, Done):
                return step
            found = await self.documents.get(step)
            if found is None:
                why = "The TwiML could not be had, and no fallback helped; see the notifications."
                return Done(500, Status.FAILED, why, How.FAILED)
            document, answer = found
            if answer is not None:
                self._heard(answer)
            step = await self._execute(document)
        self.log.note(11215, f"the call asked for more than {MAX_DOCUMENTS} documents: it was ended")
        return Done(480, Status.FAILED, "The TwiML redirected without end.", How.REJECT)

    async def apologise(self) -> None:
        """Say that the application failed (Twilio's last resort before it hangs up)."""
        try:
            await self.say(twiml.Say(text=APOLOGY, voice=None, language=None, loop=1))
        except MediaError as error:
            self.log.note(error.code, error.message)

    async def _execute(self, document: twiml.Document) -> Step:
        for verb in document.verbs:
            if isinstance(verb, twiml.Pause | twiml.Hangup | twiml.Reject):  # the others have events of their own
                self.log.event("verb", verb=twiml.verb_name(verb))
            try:
                step = await self._verb(verb)
            except (MediaError, WebhookError) as error:
                self.log.note(error.code, error.message)
                step = None
            if self.leg.ended:
                return Done(how=How.GONE)
            if step is not None:
                return step
        return Done(reason="The TwiML came to its end.")

    async def _verb(self, verb: twiml.Verb) -> Next:
        match verb:
            case twiml.Say():
                await self.say(verb)
            case twiml.Play():
                await self.play(verb)
            case twiml.Pause():
                await asyncio.sleep(verb.length)
            case twiml.Gather():
                return await gather(self, verb)
            case twiml.Record():
                return await self.join(RecordRun(self, verb))
            case twiml.Redirect():
                self.log.event("redirect", url=without_secrets(verb.url))
                return Goto(self.documents.absolute(verb.url), verb.method)
            case twiml.Hangup():
                return Done(reason="The TwiML hung up.", how=How.HANGUP)
            case twiml.Dial() | twiml.Reject() | twiml.Enqueue() | twiml.Leave() | twiml.Refer():
                return await self._special_verb(verb)
            case _:
                assert_never(verb)
        return None

    async def _special_verb(self, verb: twiml.Verb) -> Next:
        run = self._special.get(type(verb))
        if run is not None:
            return await run(verb)
        code = 13201 if isinstance(verb, twiml.Dial) else 12200
        self.log.note(code, f"<{twiml.verb_name(verb)}> cannot be used at this point and is skipped")
        return None

    async def join(self, joint: JointVerb) -> Next:
        """Run a verb that must be told of the caller's end rather than be cancelled."""
        self.joint = joint
        try:
            return await joint.run()
        finally:
            joint.abandon(parent_gone=False)
            self.joint = None

    async def say(self, verb: twiml.Say) -> None:
        """Speak a text."""
        self.answer()
        path = await self.services.media.say(verb.text, verb.voice, verb.language)
        self.log.event("say", text=verb.text[:200])
        await self.line.play(path, verb.loop)

    async def play(self, verb: twiml.Play) -> None:
        """Play what a URL names, or send digits."""
        self.answer()
        if verb.digits:
            self.log.event("digits.sent", count=sum(char not in "wW" for char in verb.digits))
            for _ in range(verb.loop):
                await self.line.send_digits(verb.digits)
            return
        url = verb.url if verb.url.startswith("file:") else self.documents.absolute(verb.url)
        path = await self.services.media.play(url)
        self.log.event("play", url=without_secrets(verb.url))
        await self.line.play(path, verb.loop)


class JointVerb(Joint, Protocol):
    """A joint that is a verb: `run` returns what comes next."""

    async def run(self) -> Next: ...
