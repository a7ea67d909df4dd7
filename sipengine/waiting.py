"""asyncio: what a leg hears while it waits in a room (a queue, a conference that has not begun), and where its call
goes when it leaves.

Sources: `waitUrl` on Twilio's `<Conference>` and `<Enqueue>` pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from typing import Any

from calls.webclient import Fetched
from calls.webhooks import Parameters, WebhookError
from sipengine import twiml
from sipengine.documents import Documents, Done, Goto, How, Inline, Next
from sipengine.media import MediaError
from sipengine.script import Script, Special

log = logging.getLogger("sipengine.call")

PROMPTS: tuple[type, ...] = (twiml.Say, twiml.Play, twiml.Pause)
SPOKEN = (*PROMPTS, twiml.Redirect)  # in what is heard once
QUICK_SECONDS = 1.0  # a document that is over sooner has nothing to hear
LONGEST_PAUSE = 60.0
FOREVER = 1000  # rounds of an audio file, each of which takes its length


class AsideDocuments(Documents):
    """Documents that run beside a call's own: of few verbs, without fallback, told `extra` parameters.

    A `<Redirect>` that is not among the allowed verbs ends the document; `onward` is where it leads. An audio file in
    place of a document is played `rounds` times.
    """

    def __init__(
        self, script: Script, allowed: tuple[type, ...], extra: Callable[[], Parameters], rounds: int = FOREVER
    ) -> None:
        super().__init__(
            script.services.web,
            script.log,
            replace(script.documents.application, fallback_url=""),
            lambda: [*script.leg.voice_parameters(), *extra()],
        )
        self._script = script
        self._allowed = allowed
        self._rounds = rounds
        self.onward: Goto | None = None

    async def get(self, step: Goto | Inline) -> tuple[twiml.Document, Fetched | None] | None:
        """Return the document with the verbs that may be in it; None on failure."""
        self.onward = None
        found = await super().get(step)
        if found is None:
            return None
        document, answer = found
        if answer is not None and answer.content_type.startswith("audio/"):
            verbs: tuple[twiml.Verb, ...] = (twiml.Play(url=answer.url, loop=self._rounds, digits=None),)
        else:
            verbs = tuple(self._usable(document))
        return replace(document, verbs=verbs), answer

    def _usable(self, document: twiml.Document) -> Iterator[twiml.Verb]:
        for verb in document.verbs:
            if isinstance(verb, self._allowed):
                yield verb
            elif isinstance(verb, twiml.Redirect):
                try:
                    self.onward = Goto(self.absolute(verb.url), verb.method)
                except WebhookError as error:
                    self._script.log.note(error.code, error.message)
                return
            else:
                code = 13201 if isinstance(verb, twiml.Dial) else 12200
                self._script.log.note(code, f"<{twiml.verb_name(verb)}> cannot be used in this document: skipped")


async def wait(
    script: Script,
    url: str | None,
    method: str,
    *,
    allowed: tuple[type, ...],
    extra: Callable[[], Parameters],
    special: Mapping[type, Special] | None = None,
) -> Done:
    """Play to a leg what a `waitUrl` names, over and over; None is our hold music, "" is silence.

    Runs until it is cancelled, or until the document itself ends the waiting (`<Leave>`, `<Hangup>`). A document that
    cannot be had gives way to the hold music.
    """
    first = place_of(script, url, method) if url else None
    if first is not None:
        documents = AsideDocuments(script, allowed, extra)
        aside = Script(script.services, script.leg, script.line, documents, script.log, special=special)
        done = await _over_and_over(aside, documents, first)
        if done is not None:
            return done
    never: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
    with await _hold_music(script) if url != "" else contextlib.nullcontext():
        return await never


async def once(script: Script, step: Goto, allowed: tuple[type, ...], extra: Callable[[], Parameters]) -> Done:
    """Run a document beside a leg's own verb, from its beginning to its end."""
    documents = AsideDocuments(script, allowed, extra, rounds=1)
    return await Script(script.services, script.leg, script.line, documents, script.log).run(step)


async def _over_and_over(aside: Script, documents: AsideDocuments, first: Goto) -> Done | None:
    loop = asyncio.get_running_loop()
    step, pause = first, 0.0
    while True:
        began = loop.time()
        done = await aside.run(step)
        if done.how in (How.LEAVE, How.HANGUP):
            return done
        if done.how is How.FAILED:
            return None
        step = documents.onward or first
        # A document with nothing to hear in it must not ask for itself as fast as it can.
        quick = loop.time() - began < QUICK_SECONDS
        pause = min(max(2 * pause, QUICK_SECONDS), LONGEST_PAUSE) if quick else 0.0
        await asyncio.sleep(pause)


async def _hold_music(script: Script) -> contextlib.AbstractContextManager[None]:
    try:
        return script.line.music(await script.services.media.hold_music())
    except MediaError as error:
        script.log.note(error.code, error.message)
        return contextlib.nullcontext()


class Aside:
    """What runs beside a leg's verb, one thing at a time; what fails is noted, and ends nothing else.

    `over` is called when it comes to an end by itself.
    """

    def __init__(self, script: Script, over: Callable[[Done], None] = lambda done: None) -> None:
        self._script = script
        self._over = over
        self._task: asyncio.Task[Done] | None = None

    def start(self, work: Coroutine[Any, Any, Done]) -> None:
        """Run this from now on, instead of what runs."""
        self.stop()
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Cancel what runs."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _ended(self, task: asyncio.Task[Done]) -> None:
        if task is not self._task or task.cancelled():
            return
        self._task = None
        error = task.exception()
        if error is None:
            self._over(task.result())
            return
        self._script.log.note(12400, f"the engine failed: {error!r}")
        log.error("call=%s", self._script.leg.record.sid, exc_info=error)
        self._over(Done(how=How.FAILED))


def place_of(script: Script, url: str | None, method: str) -> Goto | None:
    """Return where a URL of a verb leads; one that cannot be requested is noted and counts as none."""
    try:
        return None if url is None else Goto(script.documents.absolute(url), method)
    except WebhookError as error:
        script.log.note(error.code, error.message)
        return None


async def go_on(script: Script, action: Goto | None, parameters: Parameters, *, gone: bool) -> Next:
    """Go on at the action, if there is one. A caller who has hung up is gone: the answer is nobody's to run for."""
    if action is None:
        return Done(how=How.GONE) if gone else None
    step = replace(action, parameters=tuple(parameters))
    if not gone:
        return step
    await script.documents.tell(step)
    return Done(how=How.GONE)
