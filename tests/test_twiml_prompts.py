"""What a caller hears and presses: <Say>, <Play>, <Pause>, <Gather>: attributes, defaults, limits, codes."""

from __future__ import annotations

import pytest

from sipengine.twiml import Gather, Pause, Play, Say
from tests.twiml_reading import codes, document, only, remarked


class TestSay:
    """<Say>: text, voice, language, loop; 13510, 13511, 13512; at most 4,096 characters (Twilio's <Say> page)."""

    def test_it_has_no_voice_of_its_own(self) -> None:
        assert only("<Say> Hello\n  world </Say>") == Say("Hello world", None, None, 1)

    def test_it_knows_its_attributes(self) -> None:
        assert only("<Say voice='alice' language='en-GB' loop='2'>x</Say>") == Say("x", "alice", "en-GB", 2)

    @pytest.mark.parametrize("voice", ["man", "woman", "Polly.Amy", "Polly.Joanna-Neural", "Google.en-GB-Standard-A"])
    def test_it_takes_the_voices_of_twilio(self, voice: str) -> None:
        assert only(f"<Say voice='{voice}'>x</Say>").voice == voice

    def test_ssml_is_taken_as_its_text(self) -> None:
        ssml = "<Say>One<break time='1s'/>two <prosody rate='slow'><emphasis>three</emphasis></prosody></Say>"
        assert only(ssml).text == "One two three"

    def test_other_children_are_read_with_a_remark(self) -> None:
        read = document("<Say>One <Play>two</Play></Say>")
        assert read.verbs == (Say("One two", None, None, 1),)
        assert [remark.code for remark in read.warnings] == [12200]

    def test_without_text_it_is_skipped(self) -> None:
        read = document("<Say> <break/> </Say>")
        assert read.verbs == ()
        assert [remark.code for remark in read.warnings] == [13520]

    def test_long_text_is_cut(self) -> None:
        read = document(f"<Say>{'a' * 4097}</Say>")
        assert read.verbs == (Say("a" * 4096, None, None, 1),)
        assert [remark.code for remark in read.warnings] == [13521]

    @pytest.mark.parametrize(
        ("attribute", "code"),
        [("loop='x'", 13510), ("loop='-1'", 13510), ("voice='robot'", 13511), ("language='english!'", 13512)],
    )
    def test_a_wrong_value_gives_way_to_the_default(self, attribute: str, code: int) -> None:
        read = document(f"<Say {attribute}>x</Say>")
        assert read.verbs == (Say("x", None, None, 1),)
        assert [remark.code for remark in read.warnings] == [code]

    @pytest.mark.parametrize(("loop", "times"), [("0", 1000), ("7", 7), (" 3 ", 3), ("1000000", 1000)])
    def test_loop_zero_is_a_thousand_times(self, loop: str, times: int) -> None:
        assert only(f"<Say loop='{loop}'>x</Say>").loop == times


class TestPlay:
    """<Play>: a URL or digits; loop 0 is for ever, which is 1000 times; 13410, 13430 (Twilio's <Play> page)."""

    def test_it_plays_a_url_once(self) -> None:
        assert only("<Play> https://h.example/a.mp3?x=1&amp;y=2 </Play>") == Play(
            "https://h.example/a.mp3?x=1&y=2", 1, None
        )

    @pytest.mark.parametrize("url", ["relative/a.wav", "/a.wav", "//h/a.wav", "file:///srv/a.wav", "http://u:p@h:81/"])
    def test_it_takes_relative_urls_and_local_files(self, url: str) -> None:
        assert only(f"<Play>{url}</Play>").url == url

    def test_loop_zero_is_a_thousand_times(self) -> None:
        assert only("<Play loop='0'>/a</Play>").loop == 1000

    def test_digits_need_no_url(self) -> None:
        assert only("<Play digits='wW19ABCD#*' loop='2'/>") == Play("", 2, "wW19ABCD#*")

    @pytest.mark.parametrize("url", ["/a", "ftp://h/"])
    def test_digits_go_before_a_url(self, url: str) -> None:
        verb, found = remarked(f"<Play digits='12'>{url}</Play>")
        assert verb == Play("", 1, "12")
        assert len(found) == 1

    @pytest.mark.parametrize("digits", ["1-2", "1,2", "abcd", "E"])
    def test_wrong_digits_give_way_to_the_url(self, digits: str) -> None:
        assert remarked(f"<Play digits='{digits}'>/a</Play>") == (Play("/a", 1, None), [13430])

    def test_with_wrong_digits_and_no_url_it_is_skipped(self) -> None:
        read = document("<Play digits='E'/>")
        assert read.verbs == ()
        assert [remark.code for remark in read.warnings] == [13430, 12200]

    def test_a_media_host_may_have_an_underscore(self) -> None:
        assert only("<Play>http://my_host/a.wav</Play>").url == "http://my_host/a.wav"

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("", 12200),
            ("ftp://h/a.wav", 11100),
            ("http:///a.wav", 11100),
            ("http://[x/a", 11100),
            ("a b.wav", 11100),
            ("https:x", 11100),
        ],
    )
    def test_without_a_usable_url_it_is_skipped(self, url: str, code: int) -> None:
        read = document(f"<Play>{url}</Play>")
        assert read.verbs == ()
        assert [remark.code for remark in read.warnings] == [code]

    def test_a_wrong_loop_is_once(self) -> None:
        read = document("<Play loop='often'>/a</Play>")
        assert read.verbs == (Play("/a", 1, None),)
        assert [remark.code for remark in read.warnings] == [13410]


class TestPause:
    """<Pause>: 1 second, or `length` of them; 13910 (Twilio's <Pause> page)."""

    def test_a_pause_lasts_a_second(self) -> None:
        assert only("<Pause/>") == Pause(1)

    def test_a_pause_lasts_as_long_as_it_says(self) -> None:
        assert only("<Pause length='10'/>") == Pause(10)

    @pytest.mark.parametrize("length", ["0", "-3", "1.5", "", "two"])
    def test_a_wrong_length_is_a_second(self, length: str) -> None:
        read = document(f"<Pause length='{length}'/>")
        assert read.verbs == (Pause(1),)
        assert [remark.code for remark in read.warnings] == [13910]


def gather(**fields: object) -> Gather:
    """Return a <Gather> without prompts, with the defaults of the page but for these fields."""
    defaults = {"action": None, "method": "POST", "timeout": 5, "finish_on_key": "#", "num_digits": 0}
    return Gather(**{"prompts": (), **defaults, "action_on_empty_result": False, **fields})  # type: ignore[arg-type]


class TestGather:
    """<Gather>: defaults, attributes, nested prompts; 13310–13314, 13320–13322, 13326 (Twilio's <Gather> page)."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only("<Gather/>") == gather()

    @pytest.mark.parametrize(
        ("attribute", "value", "field", "expected"),
        [
            ("input", "dtmf", "prompts", ()),
            ("input", " DTMF ", "prompts", ()),
            ("action", "/digits", "action", "/digits"),
            ("action", "", "action", None),
            ("method", "get", "method", "GET"),
            ("timeout", "1", "timeout", 1),
            ("timeout", " 86400 ", "timeout", 86_400),
            ("finishOnKey", "*", "finish_on_key", "*"),
            ("finishOnKey", "", "finish_on_key", ""),
            ("numDigits", "1", "num_digits", 1),
            ("numDigits", "1000", "num_digits", 1000),
            ("actionOnEmptyResult", "true", "action_on_empty_result", True),
        ],
    )
    def test_it_reads_its_attributes(self, attribute: str, value: str, field: str, expected: object) -> None:
        assert only(f"<Gather {attribute}='{value}'/>") == gather(**{field: expected})

    @pytest.mark.parametrize(
        ("attribute", "value", "code", "field", "used"),
        [
            ("input", "voice", 13326, "prompts", ()),
            ("input", "", 13326, "prompts", ()),
            ("action", "http://my_host/", 11100, "action", None),
            ("method", "PUT", 13312, "method", "POST"),
            ("timeout", "0", 13313, "timeout", 5),
            ("timeout", "auto", 13313, "timeout", 5),
            ("timeout", "-2", 13313, "timeout", 5),
            ("timeout", "1.5", 13313, "timeout", 5),
            ("timeout", "86401", 13313, "timeout", 86_400),
            ("finishOnKey", "A", 13310, "finish_on_key", "#"),
            ("finishOnKey", "12", 13311, "finish_on_key", "#"),
            ("numDigits", "0", 13314, "num_digits", 0),
            ("numDigits", "four", 13314, "num_digits", 0),
            ("numDigits", "1001", 13314, "num_digits", 1000),
            ("actionOnEmptyResult", "yes", 12200, "action_on_empty_result", False),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(
        self, attribute: str, value: str, code: int, field: str, used: object
    ) -> None:
        assert remarked(f"<Gather {attribute}='{value}'/>") == (gather(**{field: used}), [code])

    @pytest.mark.parametrize("given", ["speech", "dtmf speech", "speech dtmf"])
    def test_speech_is_remarked_upon_and_digits_are_gathered(self, given: str) -> None:
        read = document(f"<Gather input='{given}'/>")
        assert read.verbs == (gather(),)
        assert [remark.code for remark in read.warnings] == [13326]
        assert "speech recognition, which is not there" in read.warnings[0].message

    @pytest.mark.parametrize(
        "attribute",
        [
            *("speechTimeout", "maxSpeechTime", "speechModel", "enhanced", "hints", "language", "profanityFilter"),
            *("partialResultCallback", "partialResultCallbackMethod", "bargeIn", "debug"),
        ],
    )
    def test_what_concerns_speech_is_accepted_and_ignored(self, attribute: str) -> None:
        assert only(f"<Gather {attribute}='auto'/>") == gather()

    def test_its_prompts_are_say_play_and_pause_in_order(self) -> None:
        verb = only("<Gather><Say>Hi</Say><Play>/a.wav</Play><Pause length='2'/></Gather>")
        assert verb.prompts == (Say("Hi", None, None, 1), Play("/a.wav", 1, None), Pause(2))

    def test_a_prompt_without_content_is_left_out(self) -> None:
        assert remarked("<Gather><Say/><Pause/></Gather>") == (gather(prompts=(Pause(1),)), [13520])

    @pytest.mark.parametrize("child", ["<Hangup/>", "<Dial>1</Dial>", "<Gather/>", "<say>x</say>"])
    def test_another_verb_inside_is_skipped(self, child: str) -> None:
        assert remarked(f"<Gather>{child}<Pause/></Gather>") == (gather(prompts=(Pause(1),)), [13320])

    def test_a_prompt_in_the_wrong_case_is_hinted_at(self) -> None:
        (remark,) = document("<Gather><say>x</say></Gather>").warnings
        assert remark.message.endswith("did you mean Say?")

    def test_text_of_its_own_is_skipped(self) -> None:
        assert remarked("<Gather>press a key</Gather>") == (gather(), [12200])

    @pytest.mark.parametrize(
        ("child", "code"),
        [
            ("<Say voice='robot'>x</Say>", 13321),
            ("<Say loop='x'>x</Say>", 13322),
            ("<Say language='!'>x</Say>", 13512),
            ("<Play loop='x'>/a</Play>", 13410),
            ("<Pause length='x'/>", 13910),
        ],
    )
    def test_wrong_values_of_nested_prompts_have_the_codes_of_nested_ones(self, child: str, code: int) -> None:
        assert codes(f"<Gather>{child}</Gather>") == [code]
