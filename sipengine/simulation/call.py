"""PURE: one simulated call: TwiML documents run verb by verb on a clock of its own."""

from __future__ import annotations

from typing import assert_never

from calls.status import Status, refusal
from sipengine import dial, twiml
from sipengine.simulation.ringing import SimulatedDial
from sipengine.simulation.scene import Ask, CallerGone, Leg, Moment, Over, Page, Phone, Scene, Story

MAX_DOCUMENTS = 50
WORDS_PER_SECOND = 2.5
PLAY_SECONDS = 5.0  # of a file that is not looked at


def simulate(first: Page, ask: Ask, scene: Scene) -> Story:
    """Tell what happens to a call that is answered with `first`."""
    return SimulatedCall(ask, scene).run(first)


class SimulatedCall:
    """One simulated call; `now` is its clock."""

    def __init__(self, ask: Ask, scene: Scene) -> None:
        self.ask, self.scene = ask, scene
        self.now = 0.0
        self.answered = False
        self.reached = False
        self.moments: list[Moment] = []
        self.legs: list[Leg] = []
        self.pages: list[tuple[float, Page]] = []
        self.last: dial.Finish | None = None

    def run(self, first: Page) -> Story:
        """Run the first document and all that follow it."""
        self.tell("The call comes in.")
        try:
            page: Page | None = first
            while page is not None:
                page = self._document(page)
            end = self._after_last_verb()
        except Over as over:
            end = over
        except CallerGone:
            end = Over("The caller hung up before anybody answered.", "quiet", 487)
        self.tell(end.text, end.tone)
        return Story(
            tuple(sorted(self.moments, key=lambda moment: moment.seconds)),
            tuple(self.legs),
            tuple(self.pages),
            end.text,
            end.tone,
            0 if self.answered else end.code,
            self.now,
            end.known,
        )

    def tell(self, text: str, tone: str = "plain") -> None:
        """Add a line to the story."""
        self.moments.append(Moment(self.now, text, tone))

    @property
    def leaves(self) -> float | None:
        """When the caller hangs up if nobody has answered by then."""
        return None if self.reached else self.scene.patience

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the caller leaves meanwhile."""
        if self.leaves is not None and self.now + seconds >= self.leaves:
            self.now = max(self.now, self.leaves)
            raise CallerGone
        self.now += seconds

    def asked(self, url: str, **values: str) -> Page:
        """Return the document of a URL; end the story if it is not ours to know."""
        status = "in-progress" if self.answered else "ringing"
        page = self.ask(url, {"CallStatus": status, **values})
        if page is None:
            text = f"The application at {url} decides how it goes on: only it knows what it answers."
            raise Over(text, "plain", known=False)
        return page

    def parsed(self, page: Page) -> twiml.Document:
        """Read a document; tell that it was served, and what is wrong with it."""
        self.pages.append((self.now, page))
        if len(self.pages) > MAX_DOCUMENTS:
            raise Over("The documents go round without end; the engine gives up, too.", "bad", 480)
        for why in page.why:
            self.tell(why, "quiet")
        try:
            document = twiml.parse(page.xml.encode())
        except twiml.TwimlError as error:
            raise Over(f"The document cannot be run: {error.message} (error {error.code}).", "bad", 500) from None
        for remark in document.warnings:
            self.tell(f"Line {remark.line}: {remark.message} (warning {remark.code}).", "busy")
        return document

    def answer(self) -> None:
        """Answer the caller, unless that has been done."""
        if not self.answered:
            self.answered = True
            self.tell("The call is answered: from here on it counts as a connected call.")

    def _document(self, page: Page) -> Page | None:
        for verb in self.parsed(page).verbs:
            step = self._verb(verb, page.url)
            if step is not None:
                return step
        return None

    def _verb(self, verb: twiml.Verb, here: str) -> Page | None:
        match verb:
            case twiml.Say() | twiml.Play():
                self.answer()
                self.prompt(verb)
            case twiml.Pause(length=length):
                self.wait(length)
            case twiml.Gather():
                return self._gather(verb, here)
            case twiml.Record():
                return self._record(verb, here)
            case twiml.Redirect(url=url):
                return self.asked(url)
            case twiml.Dial():
                return self._dial(verb)
            case twiml.Reject(reason=reason) if not self.answered:
                busy = reason == "busy"
                raise Over(f"The call is rejected{' as busy' * busy}.", "busy" if busy else "bad", 486 if busy else 404)
            case twiml.Reject() | twiml.Hangup():
                raise self._hung_up()
            case twiml.Enqueue(name=name):
                self.answer()
                self.tell(f"The caller waits in the queue {name}.", "good")
                raise Over(f"It goes on when somebody takes the caller out of the queue {name}.", "plain", known=False)
            case twiml.Refer(uri=uri):
                self.answer()
                raise Over(f"The caller's phone is asked to call {uri.address} instead.", "good")
            case twiml.Leave():
                self.tell("<Leave> has no meaning outside a queue and is skipped.", "busy")
            case _:
                assert_never(verb)
        return None

    def prompt(self, verb: twiml.Say | twiml.Play | twiml.Pause) -> None:
        """Let the caller hear a prompt."""
        match verb:
            case twiml.Say(text=text, loop=loop):
                self.tell(f"The caller hears: “{text}”")
                self.wait(spoken(text) * loop)
            case twiml.Play(digits=str(digits)):
                self.tell(f"The keys {digits} are sent.")
                self.wait(0.5 * len(digits))
            case twiml.Play(url=url, loop=loop):
                self.tell(f"The caller hears {url} (taken as {PLAY_SECONDS:.0f} s).")
                self.wait(PLAY_SECONDS * loop)
            case twiml.Pause(length=length):
                self.wait(length)

    def screening(self, url: str, leg: Leg, phone: Phone) -> tuple[float, bool]:
        """Return how long the callee's screening document takes from now, and whether the callee takes the call."""
        began, page = self.now, self.ask(url, {"CallStatus": "in-progress"})
        if page is None:
            self.tell(f"The application at {url} asks {leg.name}; taken as a yes.", "quiet")
        accepted = True
        while page is not None:
            page, accepted = self._screened(page, leg, phone)
        return self.now - began, accepted

    def _screened(self, page: Page, leg: Leg, phone: Phone) -> tuple[Page | None, bool]:
        for verb in self.parsed(page).verbs:
            match verb:
                case twiml.Say() | twiml.Play() | twiml.Pause():
                    self._callee_hears(verb, leg)
                case twiml.Gather():
                    for prompt in verb.prompts:
                        self._callee_hears(prompt, leg)
                    if phone.accepts:
                        self.tell(f"{leg.name} presses 1.")
                        return self.ask(verb.action or page.url, {"CallStatus": "in-progress", "Digits": "1"}), True
                    self.now += verb.timeout
                    self.tell(f"{leg.name} presses nothing for {verb.timeout} s.", "quiet")
                case twiml.Redirect(url=url):
                    return self.ask(url, {"CallStatus": "in-progress"}), True
                case twiml.Hangup() | twiml.Reject():
                    return None, False
                case _:
                    self.tell(f"<{twiml.verb_name(verb)}> does nothing while a call is screened.", "busy")
        return None, True

    def _callee_hears(self, verb: twiml.Say | twiml.Play | twiml.Pause, leg: Leg) -> None:
        # The caller's patience is the dial's business meanwhile.
        match verb:
            case twiml.Say(text=text, loop=loop):
                self.tell(f"{leg.name} hears: “{text}”")
                self.now += spoken(text) * loop
            case twiml.Play(url=url, loop=loop):
                self.tell(f"{leg.name} hears {url or 'keys'}.")
                self.now += PLAY_SECONDS * loop
            case twiml.Pause(length=length):
                self.now += length

    def _gather(self, verb: twiml.Gather, here: str) -> Page | None:
        self.answer()
        for prompt in verb.prompts:
            self.prompt(prompt)
        digits = self.scene.digits[: verb.num_digits or None]
        if digits:
            self.tell(f"The caller presses {digits}.")
        else:
            self.wait(verb.timeout)
            self.tell(f"The caller presses nothing for {verb.timeout} s.", "quiet")
            if not verb.action_on_empty_result:
                return None
        return self.asked(verb.action or here, Digits=digits)

    def _record(self, verb: twiml.Record, here: str) -> Page | None:
        self.answer()
        self.reached = True
        seconds = min(self.scene.speaks, verb.max_length)
        self.tell(f"After the beep the caller speaks for {seconds:.0f} s, which is recorded.", "good")
        self.wait(seconds)
        # Most people hang up when they have spoken, and the action URL is told so.
        self.ask(
            verb.action or here, {"CallStatus": "completed", "RecordingDuration": f"{seconds:.0f}", "Digits": "hangup"}
        )
        raise Over("The caller has left a message and hung up.", "good")

    def _dial(self, verb: twiml.Dial) -> Page | None:
        if verb.problem is not None:
            self.tell(f"The dial fails: {verb.problem.message} (error {verb.problem.code}).", "bad")
            return self.asked(verb.action, DialCallStatus="failed") if verb.action is not None else None
        if verb.room is not None:
            return self._room(verb)
        if not verb.answer_on_bridge:
            self.answer()
        run = SimulatedDial(self, verb)
        run.run()
        self.last = run.finish
        if run.caller_left:
            raise CallerGone
        if verb.action is None:
            return None
        return self.asked(verb.action, DialCallStatus=run.finish.status.value, DialSipResponseCode=str(run.finish.code))

    def _room(self, verb: twiml.Dial) -> Page | None:
        self.answer()
        self.reached = True
        match verb.room:
            case twiml.Conference(name=name):
                self.tell(f"The caller joins the conference {name} and talks for {self.scene.talk:.0f} s.", "good")
                self.wait(self.scene.talk)
                raise Over(f"The caller leaves the conference {name}.", "good")
            case _:
                name = verb.room.name if verb.room else ""
                text = f"The caller is connected with whoever has waited longest in the queue {name}."
                raise Over(text, "good", known=False)

    def _hung_up(self) -> Over:
        return Over("The call is hung up.", "quiet") if self.answered else self._after_last_verb()

    def _after_last_verb(self) -> Over:
        """Say how a call ends whose TwiML is over."""
        if self.last is not None and self.last.bridged:
            return Over("The call is over.", "good")
        if self.answered:
            return Over("The TwiML has come to its end: the call is hung up.", "quiet")
        if self.last is None:
            return Over("The TwiML ends without an answer: the caller gets SIP 603.", "bad", 603)
        code = refusal(self.last.status, self.last.code)
        tone = "bad" if self.last.status is Status.FAILED else "busy"
        return Over(f"Nobody answered ({self.last.status.value}): the caller gets SIP {code}.", tone, code)


def spoken(text: str) -> float:
    """Return about how many seconds a text takes when it is read aloud."""
    return max(1.0, len(text.split()) / WORDS_PER_SECOND)
