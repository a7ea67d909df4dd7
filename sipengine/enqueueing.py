"""asyncio: `<Enqueue>`: a call waits, with music, until somebody takes it, it leaves, or it is sent elsewhere.

Source: Twilio's `<Enqueue>` and `<Leave>` pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from calls.verb_parameters import QueueOutcome, enqueue_parameters, queue_parameters, queue_wait_parameters
from calls.webhooks import Parameters
from sipengine import twiml
from sipengine.documents import Done, Goto, How, Next
from sipengine.ports import Digit, Event, Held
from sipengine.queues import Queue, Taking
from sipengine.records import Leg
from sipengine.script import Script
from sipengine.waiting import PROMPTS, SPOKEN, Aside, go_on, once, place_of, wait

IN_QUEUE = (*PROMPTS, twiml.Gather, twiml.Hangup, twiml.Leave)
FULL: QueueOutcome = "queue-full"


class EnqueueRun:
    """One `<Enqueue>` while it runs. `find` returns the queue; `errand` sees to something that nobody waits for."""

    def __init__(
        self,
        script: Script,
        verb: twiml.Enqueue,
        find: Callable[[], Queue],
        errand: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.entered = 0.0
        self._script = script
        self._verb = verb
        self._find = find
        self._errand = errand
        self._queue: Queue | None = None
        self._taker: Taking | None = None
        self._bridged = False
        self._hung_up = False
        self._gone = False
        self._waited: float | None = None
        self._left: asyncio.Future[QueueOutcome] = asyncio.get_running_loop().create_future()
        self._music = Aside(script, self._music_over)
        self._greeting = Aside(script)

    async def run(self) -> Next:
        """Wait, then talk if somebody takes the call; then go on at the action, or with the next verb."""
        script, verb = self._script, self._verb
        action = place_of(script, verb.action, verb.method)
        queue = self._find()
        if queue.full:
            script.log.event("queue.left", queue=queue.name, seconds=0, result=FULL)
            return await go_on(script, action, enqueue_parameters(FULL, "", 0), gone=self._gone)
        self._queue, self.entered = queue, time.monotonic()
        script.log.event("enqueue", queue=queue.name, sid=queue.sid)
        queue.enter(self)
        if self._taker is None:
            self._play_music()
        try:
            result = await asyncio.shield(self._left)
        except asyncio.CancelledError:
            self._tell_redirected(action, queue)
            raise
        step = await go_on(script, action, self._parameters(result, queue), gone=self._gone or self._hung_up)
        return Done(reason="The TwiML hung up.", how=How.HANGUP) if self._hung_up and not self._gone else step

    def abandon(self, *, parent_gone: bool) -> None:
        """Leave: the caller hung up, or the call goes on elsewhere."""
        self._gone = self._gone or parent_gone
        if parent_gone or self._script.ending:
            self._leave("bridged" if self._bridged else "hangup")
        else:
            self._leave("redirected-from-bridged" if self._bridged else "redirected")

    def on_event(self, event: Event) -> None:
        """Take an event of the caller's leg."""
        if isinstance(event, Digit) and self._bridged and self._taker is not None:
            self._taker.press(event.digit)
        if isinstance(event, Held) and self._bridged and self._taker is not None:
            self._taker.put_on_hold(event.held)

    @property
    def leg(self) -> Leg:
        """The leg that waits."""
        return self._script.leg

    def chosen(self, by: Taking) -> None:
        """Stop the music: `by` will connect this call, or return it."""
        self._taker = by
        self._music.stop()

    def returned(self) -> None:
        """Wait on: nobody talked with it after all."""
        self._taker = None
        self._greeting.stop()
        self._queue = self._find()  # an idle one may have been forgotten meanwhile
        self._queue.enter(self)
        if self._taker is None:
            self._play_music()

    def greet(self, step: Goto, dequeuing_sid: str, then: Callable[[], None]) -> None:
        """Run a document on this call before it is connected; one that fails does not keep the two apart."""
        script, queue = self._script, self._queue
        assert queue is not None
        self._greeting = Aside(script, lambda done: then())
        self._greeting.start(
            once(script, step, SPOKEN, lambda: queue_parameters(queue.sid, self._seconds(), dequeuing_sid))
        )

    def connected(self) -> None:
        """Take in that it is connected."""
        assert self._queue is not None
        self._bridged = True
        self._waited = self._seconds()
        self._queue.connected(self._waited)

    def released(self) -> None:
        """Go on with its own document: the talk is over."""
        self._taker = None
        self._leave("bridged")

    def _seconds(self) -> float:
        return time.monotonic() - self.entered if self._waited is None else self._waited

    def _parameters(self, result: QueueOutcome, queue: Queue) -> Parameters:
        return enqueue_parameters(result, queue.sid, self._seconds())

    def _play_music(self) -> None:
        queue = self._queue
        assert queue is not None
        self._music.start(
            wait(
                self._script,
                self._verb.wait_url,
                self._verb.wait_url_method,
                allowed=IN_QUEUE,
                extra=lambda: queue_wait_parameters(queue.state(self)),
                special={twiml.Leave: _leave_queue},
            )
        )

    def _music_over(self, done: Done) -> None:
        if self._taker is not None:  # somebody took the call in the very moment
            return
        match done.how:
            case How.LEAVE:
                self._leave("leave")
            case How.HANGUP:
                self._hung_up = True
                self._leave("hangup")

    def _leave(self, result: QueueOutcome) -> None:
        if self._queue is None or self._left.done():
            return
        self._waited = self._seconds()
        self._music.stop()
        self._greeting.stop()
        self._queue.leave(self)
        self._script.log.event("queue.left", queue=self._queue.name, seconds=round(self._waited), result=result)
        self._left.set_result(result)
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.lost()

    def _tell_redirected(self, action: Goto | None, queue: Queue) -> None:
        """Tell the action of a call that goes on elsewhere; nothing runs of its answer."""
        if action is not None and self._left.done() and not self._script.ending:
            parameters = tuple(self._parameters(self._left.result(), queue))
            self._errand(self._script.documents.tell(replace(action, parameters=parameters)))


async def _leave_queue(verb: twiml.Leave) -> Next:
    return Done(how=How.LEAVE)
