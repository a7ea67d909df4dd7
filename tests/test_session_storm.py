"""Any TwiML, any events in any order, any live change: what a call keeps to all the same (conformance §1.4–1.10)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storm import CALLER, TURNS, JumpingLoop, Step, Storm, run

CALLBACK = ' statusCallback="/cb" statusCallbackEvent="initiated ringing answered completed"'
BRIDGE = ' answerOnBridge="true"'
CALLBACKS = ("", ' statusCallback="/cb"', CALLBACK, CALLBACK + ' machineDetection="Enable" amdStatusCallback="/amd"')
HOSTS = ("127.0.0.1", "127.0.0.1", "127.0.0.1", "slow.test", "bad.test", "good.test")
SCREENS = ("", "", "", "{yes}", "{asks}", "{tapes}", "{no}", "{gone}")


@st.composite
def nouns(draw: st.DrawFn) -> str:
    made = []
    for index in range(draw(st.integers(1, 4))):
        told, screen = draw(st.sampled_from(CALLBACKS)), draw(st.sampled_from(SCREENS))
        user = "u" if not screen else "no" if screen in ("{no}", "{gone}") else "scr"
        more = told + (f' url="{screen}"' if screen else "")
        address = f"sip:{user}{index}@{draw(st.sampled_from(HOSTS))}"
        two = f'<Uri priority="1">{address}</Uri><Uri priority="2">sip:{user}9@127.0.0.1</Uri>'
        made.append(
            draw(
                st.sampled_from(
                    (
                        f"<Sip{more}>{address}</Sip>",
                        f"<Sip{more}>{address}</Sip>",
                        f"<Sip{more}>{two}</Sip>",
                        '<Number sendDigits="1w2">+49301234</Number>',
                        "<Number>12</Number>",
                        "<Client>joe</Client>",
                        "<Client>nobody</Client>",
                        "<Sip>sip:@@</Sip>",
                    )
                )
            )
        )
    return "".join(made)


ATTRIBUTES = (
    ' sequential="true"',
    BRIDGE,
    ' hangupOnStar="true"',
    ' record="record-from-answer-dual" recordingStatusCallback="/rec" recordingStatusCallbackEvent="in-progress"',
    ' record="record-from-ringing" recordingTrack="outbound"',
    ' record="record-from-ringing-dual"',
    ' ringTone="de"',
    ' timeout="5"',
    ' timeLimit="20"',
    ' referUrl="{refers}"',
    ' action="{action}"',
    ' action="{action}"',
)
DIALS = st.builds(
    lambda attributes, inner: f"<Dial{''.join({one.split('=')[0]: one for one in attributes}.values())}>{inner}</Dial>",
    st.lists(st.sampled_from(ATTRIBUTES), max_size=6, unique=True),
    nouns(),
)
VERBS = st.one_of(
    DIALS,
    DIALS,
    st.sampled_from(
        (
            "<Say>Hello</Say>",
            '<Say loop="2">Hello</Say>',
            "<Play>/ring.wav</Play>",
            "<Play>/broken.wav</Play>",
            '<Play digits="1w2W3"/>',
            '<Pause length="2"/>',
            '<Gather action="{doc}" timeout="3"><Say>One</Say><Pause/><Play>/broken.wav</Play></Gather>',
            '<Gather action="{doc}" timeout="3" actionOnEmptyResult="true" numDigits="1"/>',
            '<Record action="{doc}" timeout="3" maxLength="9" recordingStatusCallback="/rec"/>',
            '<Record action="{doc}" playBeep="false" timeout="3"/>',
            "<Redirect>{doc}</Redirect>",
            "<Redirect>{gone}</Redirect>",
            "<Reject/>",
            '<Reject reason="busy"/>',
            "<Hangup/>",
            '<Refer action="{doc}"><Sip>sip:x@127.0.0.1</Sip></Refer>',
            "<Refer><Sip>sip:x@127.0.0.1</Sip></Refer>",
            "<Leave/>",
        )
    ),
)
DOCUMENTS = st.lists(st.lists(VERBS, min_size=1, max_size=3).map("".join), min_size=1, max_size=4)
SILENT = st.one_of(
    DIALS.map(lambda dial: dial.replace(BRIDGE, "").replace("<Dial", f"<Dial{BRIDGE}", 1)),
    st.sampled_from(("<Pause/>", "<Redirect>{doc}</Redirect>", "<Reject/>")),
)
KINDS = (
    *("rings", "early", "answers", "answers", "ends", "ends", "presses", "played", "quiet", "refers", "referred"),
    *("holds", "resumes", "silent", "breaks", "disk", "stale", "waits"),
)
COMMANDS = ("redirected", "rewritten", "completed", "canceled")
CODES = st.sampled_from((0, 200, 404, 408, 480, 486, 487, 503, 600))
PACE = st.sampled_from((0, 0, 1, 2, 3, TURNS, TURNS, TURNS))


EVENTS = tuple(kind for kind in KINDS if kind not in ("refers", "silent"))


def told_at_the_action(dial: str) -> str:
    """Return a `<Dial>` that has an action and refers nobody."""
    bare = dial.replace(' action="{action}"', "").replace(' referUrl="{refers}"', "")
    return bare.replace("<Dial", '<Dial action="{action}"', 1)


def steps(kinds: tuple[str, ...]) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.builds(Step, st.sampled_from(kinds), st.integers(0, 5), CODES, PACE), max_size=25)


def storm(
    docs: list[str], happens: list[Step], *, out: bool = False, delay: float = 0.0, media_ends: bool = False
) -> Storm:
    async def play(loop: JumpingLoop) -> Storm:
        made = Storm(loop, docs, delay=delay, media_ends=media_ends)
        await (made.call_out() if out else made.call_in())
        for step in happens:
            await made.take(step)
        await made.finish()
        return made

    return run(play)


class TestAnyStorm:
    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(DOCUMENTS, steps(KINDS + COMMANDS), st.booleans(), st.sampled_from((0.0, 0.0, 2.0)), st.booleans())
    def test_no_call_is_left_and_every_leg_ends_once(
        self, docs: list[str], happens: list[Step], out: bool, delay: float, media_ends: bool
    ) -> None:
        made = storm(docs, happens, out=out, delay=delay, media_ends=media_ends)
        assert made.faults == []

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(DIALS.map(told_at_the_action), min_size=1, max_size=4), steps(EVENTS))
    def test_every_dial_with_an_action_tells_its_end_once(self, docs: list[str], happens: list[Step]) -> None:
        made = storm(docs, happens)
        assert made.faults == []
        assert len([url for url, told in made.web.asked if "DialCallStatus" in told]) == made.world.events().count(
            "dial"
        )

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(SILENT, min_size=1, max_size=4), steps(EVENTS))
    def test_with_answer_on_bridge_the_caller_is_answered_at_the_bridge(
        self, docs: list[str], happens: list[Step]
    ) -> None:
        made = storm(docs, happens)
        assert made.faults == []
        heard = [one for one in made.phone.done if one[0] not in ("stop", "unbridge")]
        for command, after in zip(heard, heard[1:], strict=False):
            if command == ("answer", CALLER):
                assert after[:2] == ("bridge", CALLER)
