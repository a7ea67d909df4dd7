"""The TwiML parser: what each verb becomes, what each mistake costs, and that no bytes can do more than be refused.

Twilio's promises: https://www.twilio.com/docs/voice/twiml, …/dial, …/sip and its error dictionary.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import twilio.twiml.voice_response as builder
from hypothesis import given
from hypothesis import strategies as st

from routing.sipuri import parse as sip_uri
from sipengine.tones import RING_TONES
from sipengine.twiml import (
    MAX_BODY,
    BadNoun,
    Dial,
    Document,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Remark,
    Say,
    Sip,
    TwimlError,
    parse,
    verb_name,
)
from sipengine.twiml.accepted import ATTRIBUTES, NOUNS, SIP_CHILDREN, VERBS, Support

MATRIX = Path(__file__).parent.parent / "docs" / "twiml.md"


def document(inner: str) -> Document:
    return parse(f"<Response>{inner}</Response>".encode())


def only(inner: str) -> Any:
    """Return the one verb of a document that gives no cause for remarks."""
    read = document(inner)
    assert read.warnings == ()
    (verb,) = read.verbs
    return verb


def codes(inner: str) -> list[int]:
    return [remark.code for remark in document(inner).warnings]


def refusal(body: bytes) -> TwimlError:
    with pytest.raises(TwimlError) as caught:
        parse(body)
    return caught.value


class TestDocument:
    """One <Response>, at most 64 kB of well-formed UTF-8, read as a whole before anything runs."""

    def test_it_reads_the_verbs_in_order(self) -> None:
        read = document("<Say>a</Say><Pause/><Hangup/>")
        assert [verb_name(verb) for verb in read.verbs] == ["Say", "Pause", "Hangup"]

    def test_an_empty_response_has_no_verbs(self) -> None:
        assert parse(b"<Response/>") == Document((), ())

    def test_comments_and_processing_instructions_are_skipped(self) -> None:
        assert only("<!-- <Dial/> --><?php x?><Say>a<!-- b -->c</Say>") == Say("ac", None, None, 1)

    def test_it_takes_a_byte_order_mark_and_a_declaration(self) -> None:
        body = b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>\n<Response><Hangup/></Response>'
        assert parse(body).verbs == (Hangup(),)

    def test_it_takes_the_latin_1_that_the_document_declares(self) -> None:
        body = '<?xml version="1.0" encoding="ISO-8859-1"?><Response><Say>Grüß</Say></Response>'.encode("latin-1")
        assert parse(body).verbs == (Say("Grüß", None, None, 1),)

    def test_a_body_of_64_kb_is_taken(self) -> None:
        body = b"<Response/>"
        assert parse(body + b" " * (MAX_BODY - len(body))) == Document((), ())

    def test_a_body_of_64_kb_and_one_byte_is_too_large(self) -> None:
        body = b"<Response/>"
        assert refusal(body + b" " * (MAX_BODY + 1 - len(body))).code == 11750

    @pytest.mark.parametrize("body", [b"", b" \r\n\t ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
    def test_an_empty_body_has_its_own_code(self, body: bytes) -> None:
        assert refusal(body).code == 11770

    @pytest.mark.parametrize(
        "body",
        [
            b"junk",
            b"<Response>",
            b"<Response/>junk",
            b"<Response/><",
            b"<Response/></Response>",
            b"<Response/><![CDATA[x]]>",
            b"<Response><Say>a & b</Say></Response>",
            b"<Response><Say>&undefined;</Say></Response>",
            b"<Response><Dial action='/a' action='/b'/></Response>",
            b"\n<?xml version='1.0'?><Response/>",
            b"<Response><Say>\x01</Say></Response>",
            b"<Response>" + b"<Say>" * 400 + b"</Say>" * 400 + b"</Response>",
        ],
    )
    def test_what_is_not_well_formed_is_refused(self, body: bytes) -> None:
        assert refusal(body).code == 12100

    def test_a_parse_failure_names_line_and_column(self) -> None:
        error = refusal(b"<Response>\n  <Say>Tom & Jerry</Say>\n</Response>")
        assert (error.code, error.line) == (12100, 2)
        assert "line 2, column" in error.message

    @pytest.mark.parametrize(
        "body",
        [
            "<Response/>".encode("utf-16"),
            "<Response/>".encode("utf-16-le"),
            "<Response/>".encode("utf-32"),
            b"<Response><Say>a\0b</Say></Response>",
            b'<?xml version="1.0" encoding="UTF-16"?><Response/>',
            b'<?xml version="1.0" encoding="EBCDIC-CP-US"?><Response/>',
            b'<?xml version="1.0" encoding="\xff"?><Response/>',
        ],
    )
    def test_other_encodings_are_refused(self, body: bytes) -> None:
        error = refusal(body)
        assert (error.code, error.line) == (12100, 1)
        assert "UTF-8" in error.message

    def test_bytes_that_are_not_utf_8_are_found_by_line_and_column(self) -> None:
        error = refusal(b"<Response>\n <Say>\xff</Say></Response>")
        assert (error.code, error.line) == (12100, 2)
        assert "line 2, column 7" in error.message

    def test_another_xml_version_has_its_own_code(self) -> None:
        assert refusal(b'<?xml version="2.0"?><Response/>').code == 12101

    @pytest.mark.parametrize("body", [b"<response/>", b"<html><Response/></html>", b"<Response xmlns='urn:x'/>"])
    def test_another_root_is_refused(self, body: bytes) -> None:
        error = refusal(body)
        assert error.code == 12102
        assert "must be <Response>" in error.message

    @pytest.mark.parametrize(
        "between", ["", " ", "\n\n  ", "<!-- c -->", "\n<!-- ö -->", "<?php x?>"], ids=lambda text: repr(text)
    )
    def test_two_roots_are_called_two_roots(self, between: str) -> None:
        error = refusal(f"<Response/>{between}<Response/>".encode())
        assert error.code == 12102
        assert "second root element" in error.message

    def test_text_between_verbs_is_remarked_upon(self) -> None:
        read = document("hello <Hangup/> there")
        assert read.verbs == (Hangup(),)
        assert [remark.code for remark in read.warnings] == [12200]

    def test_attributes_of_the_response_are_remarked_upon(self) -> None:
        assert [remark.code for remark in parse(b"<Response a='1'/>").warnings] == [12200]

    def test_remarks_come_in_the_order_of_their_lines(self) -> None:
        read = document("\n<Dial><Sip a='1'>a@b</Sip>\n<Number>1</Number></Dial>\n<Foo/>")
        assert [remark.line for remark in read.warnings] == [2, 3, 4]


class TestEntities:
    """Nothing is expanded, loaded or fetched."""

    BOMB = b"<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'>%s]><Response><Say>&z;</Say></Response>"

    @pytest.mark.parametrize(
        "body",
        [
            b"<!DOCTYPE Response><Response/>",
            b"<?xml version='1.0'?>\n<!-- a --><?b c?>\n<!DOCTYPE Response SYSTEM 'file:///etc/passwd'><Response/>",
            b"<!DOCTYPE r [<!ENTITY x SYSTEM 'http://127.0.0.1:9/'>]><Response><Say>&x;</Say></Response>",
            b"<!DOCTYPE r [<!ENTITY x 'y'>]><Response a='&x;'/>",
            BOMB % b"".join(b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(25)),
        ],
        ids=["bare", "system", "external entity", "in an attribute", "billion laughs"],
    )
    def test_a_document_type_is_refused_at_once(self, body: bytes) -> None:
        before = time.perf_counter()
        error = refusal(body)
        assert error.code == 12100
        assert "<!DOCTYPE" in error.message
        assert time.perf_counter() - before < 0.1

    def test_a_long_prolog_does_not_slow_the_search_for_one(self) -> None:
        before = time.perf_counter()
        assert refusal(b"<!---->" * 9000).code == 12100
        assert refusal(b"<!--" * 15000).code == 12100
        assert refusal(b"<?" * 30000).code == 12100
        assert time.perf_counter() - before < 1

    def test_the_five_entities_of_xml_work(self) -> None:
        assert only("<Say>&lt;&gt;&amp;&quot;&apos;&#65;</Say>").text == "<>&\"'A"


class TestUnknownNames:
    """Unknown verbs and attributes: a warning 12200, and the call goes on. Names are case-sensitive."""

    def test_an_unknown_verb_is_skipped(self) -> None:
        read = document("<Foo><Say>x</Say></Foo><Hangup/>")
        assert read.verbs == (Hangup(),)
        assert read.warnings == (Remark(12200, "unknown verb <Foo> is skipped", 1),)

    def test_a_verb_in_the_wrong_case_is_unknown_and_hinted_at(self) -> None:
        (remark,) = document("<dial>sip:a@b</dial>").warnings
        assert remark.code == 12200
        assert remark.message.endswith("did you mean Dial?")

    @pytest.mark.parametrize("verb", sorted(verb for verb, support in VERBS.items() if support is Support.NOT_YET))
    def test_a_verb_that_is_not_supported_yet_says_so(self, verb: str) -> None:
        read = document(f"<{verb}/>")
        assert read.verbs == ()
        assert read.warnings == (Remark(12200, f"<{verb}> is not supported yet and is skipped", 1),)

    def test_an_unknown_attribute_is_ignored(self) -> None:
        read = document("<Hangup soon='1'/>")
        assert read.verbs == (Hangup(),)
        assert read.warnings == (Remark(12200, "<Hangup> has no attribute soon; it is ignored", 1),)

    def test_an_attribute_in_the_wrong_case_is_hinted_at(self) -> None:
        (remark,) = document("<Redirect Method='GET'>/x</Redirect>").warnings
        assert remark.message.endswith("did you mean method?")

    def test_children_of_a_verb_that_has_none_are_skipped(self) -> None:
        assert codes("<Pause><Say>x</Say></Pause>") == [12200]

    def test_long_names_and_values_are_shortened_in_remarks(self) -> None:
        (remark,) = document(f"<Pause length='{'x' * 5000}'/>").warnings
        assert len(remark.message) < 200

    def test_credentials_of_a_url_stay_out_of_remarks(self) -> None:
        (remark,) = document("<Redirect>ftp://user:secret@host/</Redirect>").warnings
        assert "secret" not in remark.message


class TestSay:
    """<Say>: text, voice, language, loop; 13510, 13511, 13512; at most 4,096 characters."""

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
    """<Play>: a URL; loop 0 is for ever, which is 1000 times; 13410."""

    def test_it_plays_a_url_once(self) -> None:
        assert only("<Play> https://h.example/a.mp3?x=1&amp;y=2 </Play>") == Play(
            "https://h.example/a.mp3?x=1&y=2", 1, None
        )

    @pytest.mark.parametrize("url", ["relative/a.wav", "/a.wav", "//h/a.wav", "file:///srv/a.wav", "http://u:p@h:81/"])
    def test_it_takes_relative_urls_and_local_files(self, url: str) -> None:
        assert only(f"<Play>{url}</Play>").url == url

    def test_loop_zero_is_a_thousand_times(self) -> None:
        assert only("<Play loop='0'>/a</Play>").loop == 1000

    def test_digits_are_not_supported_yet(self) -> None:
        read = document("<Play digits='12'/><Play digits='12'>/a</Play>")
        assert read.verbs == (Play("/a", 1, None),)
        assert [remark.code for remark in read.warnings] == [12200, 12200, 12200]

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


class TestSmallVerbs:
    """<Pause>, <Redirect>, <Reject>, <Hangup>."""

    def test_a_pause_lasts_a_second(self) -> None:
        assert only("<Pause/>") == Pause(1)

    def test_a_pause_lasts_as_long_as_it_says(self) -> None:
        assert only("<Pause length='10'/>") == Pause(10)

    @pytest.mark.parametrize("length", ["0", "-3", "1.5", "", "two"])
    def test_a_wrong_length_is_a_second(self, length: str) -> None:
        read = document(f"<Pause length='{length}'/>")
        assert read.verbs == (Pause(1),)
        assert [remark.code for remark in read.warnings] == [13910]

    def test_a_redirect_posts(self) -> None:
        assert only("<Redirect>../next</Redirect>") == Redirect("../next", "POST")

    def test_a_redirect_may_get(self) -> None:
        assert only("<Redirect method='get'>/next</Redirect>") == Redirect("/next", "GET")

    def test_a_redirect_with_a_wrong_method_posts(self) -> None:
        read = document("<Redirect method='PUT'>/next</Redirect>")
        assert read.verbs == (Redirect("/next", "POST"),)
        assert [remark.code for remark in read.warnings] == [13710]

    @pytest.mark.parametrize(("url", "code"), [("", 12200), ("javascript:x", 11100)])
    def test_a_redirect_to_nowhere_is_skipped(self, url: str, code: int) -> None:
        read = document(f"<Redirect>{url}</Redirect>")
        assert read.verbs == ()
        assert [remark.code for remark in read.warnings] == [code]

    @pytest.mark.parametrize(("attributes", "reason"), [("", "rejected"), ("reason='busy'", "busy")])
    def test_a_reject_has_a_reason(self, attributes: str, reason: str) -> None:
        assert only(f"<Reject {attributes}/>").reason == reason

    def test_a_reject_with_a_wrong_reason_is_rejected(self) -> None:
        read = document("<Reject reason='tired'/>")
        assert read.verbs == (Reject("rejected"),)
        assert [remark.code for remark in read.warnings] == [13810]


ONE = "<Sip>sip:a@h</Sip>"


class TestDial:
    """<Dial>: defaults, every attribute, and its codes 13210–13220, 13248, 13256, 1362x."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only(f"<Dial>{ONE}</Dial>") == Dial(
            nouns=(only_sip(ONE),),
            action=None,
            method="POST",
            timeout=30,
            time_limit=14400,
            caller_id=None,
            call_reason=None,
            answer_on_bridge=False,
            hangup_on_star=False,
            record=Record.NO,
            trim="do-not-trim",
            recording_track="both",
            recording_status_callback=None,
            recording_status_callback_method="POST",
            recording_status_callback_event=("completed",),
            ring_tone=None,
            sequential=False,
            refer_url=None,
            refer_method="POST",
            problem=None,
        )

    @pytest.mark.parametrize(
        ("attribute", "value", "field", "expected"),
        [
            ("action", "/done", "action", "/done"),
            ("action", "", "action", None),
            ("method", "GET", "method", "GET"),
            ("timeout", "5", "timeout", 5),
            ("timeout", "600", "timeout", 600),
            ("timeLimit", "86400", "time_limit", 86400),
            ("callerId", "+1.5-a_B", "caller_id", "+1.5-a_B"),
            ("callerId", "", "caller_id", None),
            ("callReason", "Your order", "call_reason", "Your order"),
            ("callReason", " ", "call_reason", None),
            ("answerOnBridge", "true", "answer_on_bridge", True),
            ("hangupOnStar", "TRUE", "hangup_on_star", True),
            ("record", "true", "record", Record.FROM_ANSWER),
            ("record", "false", "record", Record.NO),
            ("record", "do-not-record", "record", Record.NO),
            ("record", "record-from-answer", "record", Record.FROM_ANSWER),
            ("record", "record-from-ringing", "record", Record.FROM_RINGING),
            ("record", "record-from-answer-dual", "record", Record.FROM_ANSWER_DUAL),
            ("record", "record-from-ringing-dual", "record", Record.FROM_RINGING_DUAL),
            ("trim", "trim-silence", "trim", "trim-silence"),
            ("recordingTrack", "inbound", "recording_track", "inbound"),
            ("recordingStatusCallback", "https://h/r", "recording_status_callback", "https://h/r"),
            ("recordingStatusCallbackMethod", "GET", "recording_status_callback_method", "GET"),
            (
                "recordingStatusCallbackEvent",
                "absent in-progress",
                "recording_status_callback_event",
                ("in-progress", "absent"),
            ),
            ("ringTone", "us-old", "ring_tone", "us-old"),
            ("sequential", "true", "sequential", True),
            ("referUrl", "/refer", "refer_url", "/refer"),
            ("referMethod", "GET", "refer_method", "GET"),
        ],
    )
    def test_it_reads_its_attributes(self, attribute: str, value: str, field: str, expected: object) -> None:
        assert getattr(only(f"<Dial {attribute}='{value}'>{ONE}</Dial>"), field) == expected

    @pytest.mark.parametrize(
        ("attribute", "value", "code", "field", "used"),
        [
            ("action", "mailto:x@y", 11100, "action", None),
            ("method", "PUT", 13210, "method", "POST"),
            ("timeout", "4", 13212, "timeout", 5),
            ("timeout", "601", 13212, "timeout", 600),
            ("timeout", "soon", 13212, "timeout", 30),
            ("timeout", "9999999999", 13212, "timeout", 30),
            ("timeout", "", 13212, "timeout", 30),
            ("timeLimit", "0", 13216, "time_limit", 1),
            ("timeLimit", "86401", 13216, "time_limit", 86400),
            ("callerId", "two words", 13214, "caller_id", None),
            ("callerId", "client:joe", 13214, "caller_id", None),
            ("callerId", "1" * 65, 13248, "caller_id", None),
            ("callReason", "x" * 51, 12200, "call_reason", "x" * 50),
            ("answerOnBridge", "yes", 13219, "answer_on_bridge", False),
            ("hangupOnStar", "1", 13213, "hangup_on_star", False),
            ("record", "record", 13217, "record", Record.NO),
            ("trim", "all", 13699, "trim", "do-not-trim"),
            ("recordingTrack", "left", 13622, "recording_track", "both"),
            ("recordingStatusCallback", "http://my_host/", 13256, "recording_status_callback", None),
            ("recordingStatusCallbackEvent", "done", 13621, "recording_status_callback_event", ("completed",)),
            ("recordingStatusCallbackEvent", "absent done", 13621, "recording_status_callback_event", ("absent",)),
            ("ringTone", "xx", 13220, "ring_tone", None),
            ("sequential", "in order", 13218, "sequential", False),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(
        self, attribute: str, value: str, code: int, field: str, used: object
    ) -> None:
        read = document(f"<Dial {attribute}='{value}'>{ONE}</Dial>")
        assert [remark.code for remark in read.warnings] == [code]
        assert getattr(read.verbs[0], field) == used

    def test_a_remark_names_the_attribute_the_rule_and_what_is_used(self) -> None:
        (remark,) = document(f"\n<Dial timeout='700'>{ONE}</Dial>").warnings
        text = '<Dial timeout="700"> must be a whole number from 5 to 600; using 600'
        assert remark == Remark(13212, text, 2)

    @pytest.mark.parametrize("attribute", ["recordingConfigurationId", "events", "passports"])
    def test_what_is_accepted_and_ignored_leaves_no_trace(self, attribute: str) -> None:
        assert only(f"<Dial {attribute}='x'>{ONE}</Dial>") == only(f"<Dial>{ONE}</Dial>")

    def test_it_takes_every_ring_tone_that_there_is(self) -> None:
        for country in RING_TONES:
            assert only(f"<Dial ringTone='{country}'>{ONE}</Dial>").ring_tone == country


def only_sip(inner: str) -> Any:
    (noun,) = only(f"<Dial>{inner}</Dial>").nouns
    return noun


class TestNouns:
    """One to ten <Sip> nouns; other nouns are not yet supported (13215); a bad one fails alone."""

    def test_nouns_keep_their_order(self) -> None:
        dial = only("<Dial><Sip>a@h</Sip><Sip>b@h</Sip></Dial>")
        assert [noun.uri.user for noun in dial.nouns] == ["a", "b"]

    def test_ten_are_dialled(self) -> None:
        dial = only(f"<Dial>{ONE * 10}</Dial>")
        assert len(dial.nouns) == 10
        assert dial.problem is None

    def test_with_eleven_the_whole_dial_is_refused(self) -> None:
        dial = only(f"<Dial>{ONE * 11}</Dial>")
        assert dial.problem.code == 13250
        assert "11" in dial.problem.message

    @pytest.mark.parametrize("noun", sorted(noun for noun, support in NOUNS.items() if support is Support.NOT_YET))
    def test_other_nouns_are_skipped(self, noun: str) -> None:
        read = document(f"<Dial><{noun}>x</{noun}>{ONE}</Dial>")
        assert [remark.code for remark in read.warnings] == [13215]
        assert "not supported yet" in read.warnings[0].message
        assert read.verbs == document(f"<Dial>{ONE}</Dial>").verbs

    def test_a_plain_number_is_skipped(self) -> None:
        read = document(f"<Dial>+15551234567 {ONE}</Dial>")
        assert [remark.code for remark in read.warnings] == [13215]
        assert read.verbs == document(f"<Dial>{ONE}</Dial>").verbs

    def test_a_noun_in_the_wrong_case_is_hinted_at(self) -> None:
        (remark,) = document(f"<Dial><sip>a@h</sip>{ONE}</Dial>").warnings
        assert remark.code == 13215
        assert remark.message.endswith("did you mean Sip?")

    @pytest.mark.parametrize("inner", ["", "+15551234567", "<Number>1</Number>", "<Dial/>"])
    def test_with_nothing_left_to_dial_the_dial_fails(self, inner: str) -> None:
        (dial,) = document(f"<Dial>{inner}</Dial>").verbs
        assert isinstance(dial, Dial)
        assert dial.nouns == ()
        assert dial.problem is not None
        assert dial.problem.code == 13215


class TestSip:
    """<Sip>: URI, credentials, screening, status callback; 13241, 13243, 13249, 13251–13253."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only_sip(ONE) == Sip(sip_uri("sip:a@h"), None, None, None, "POST", None, (), "POST")

    def test_it_reads_its_attributes(self) -> None:
        sip = only_sip(
            "<Sip username='u' password=' p ' url='/screen' method='GET' statusCallback='http://h.example/cb'"
            " statusCallbackEvent='completed initiated' statusCallbackMethod='GET'>"
            "\n  sip:kate@h.example:5070;transport=tls;region=ie1?x-a=b%20c&amp;User-to-User=1 \n</Sip>"
        )
        uri = sip_uri("sip:kate@h.example:5070;transport=tls;region=ie1?x-a=b%20c&User-to-User=1")
        events = ("initiated", "completed")
        assert sip == Sip(uri, "u", " p ", "/screen", "GET", "http://h.example/cb", events, "GET")

    def test_its_password_is_not_printed(self) -> None:
        assert "hunter2" not in repr(only_sip("<Sip username='u' password='hunter2'>a@h</Sip>"))

    def test_a_status_callback_without_events_is_for_completed(self) -> None:
        assert only_sip("<Sip statusCallback='/cb'>a@h</Sip>").status_callback_events == ("completed",)

    def test_events_without_a_status_callback_mean_nothing(self) -> None:
        assert only_sip("<Sip statusCallbackEvent='ringing'>a@h</Sip>").status_callback_events == ()

    def test_events_may_be_parted_by_commas(self) -> None:
        sip = only_sip("<Sip statusCallback='/cb' statusCallbackEvent='ringing,answered'>a@h</Sip>")
        assert sip.status_callback_events == ("ringing", "answered")

    @pytest.mark.parametrize(
        ("attribute", "code"),
        [
            ("method='PUT'", 13241),
            ("url='ftp://h/'", 11100),
            ("statusCallback='http://my_host/cb'", 11100),
            ("statusCallbackEvent='rung'", 12200),
            ("statusCallbackMethod='PUT'", 12200),
            ("machineDetection='Enable'", 12200),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_the_leg_is_dialled(self, attribute: str, code: int) -> None:
        read = document(f"<Dial><Sip {attribute}>a@h</Sip></Dial>")
        assert [remark.code for remark in read.warnings] == [code]
        assert read.verbs == document("<Dial><Sip>a@h</Sip></Dial>").verbs

    @pytest.mark.parametrize("attributes", ["username='u'", "password='p'", "username='' password='p'"])
    def test_only_one_of_username_and_password_is_a_bad_noun(self, attributes: str) -> None:
        noun = only_sip(f"<Sip {attributes}>a@h</Sip>")
        assert isinstance(noun, BadNoun)
        assert (noun.text, noun.code) == ("a@h", 13249)

    def test_two_empty_credentials_are_none(self) -> None:
        sip = only_sip("<Sip username='' password=''>a@h</Sip>")
        assert (sip.username, sip.password) == (None, None)

    @pytest.mark.parametrize(("length", "kind"), [(255, Sip), (256, BadNoun)])
    def test_credentials_are_shorter_than_256_characters(self, length: int, kind: type) -> None:
        assert isinstance(only_sip(f"<Sip username='u' password='{'p' * length}'>a@h</Sip>"), kind)

    @pytest.mark.parametrize(
        ("uri", "code"),
        [
            ("", 13243),
            ("sip:a b@h", 13243),
            ("sip:" + "a" * 300 + "@h", 13243),
            ("sip:a@h?Subject=x", 13252),
            ("sip:a@h?x-a=" + "b" * 1024, 13253),
            ("sip:a@h?" + "&amp;".join(f"x-{number}=1" for number in range(40)), 13251),
        ],
    )
    def test_an_address_that_cannot_be_dialled_is_a_bad_noun(self, uri: str, code: int) -> None:
        dial = only(f"<Dial><Sip>{uri}</Sip>{ONE}</Dial>")
        bad, good = dial.nouns
        assert isinstance(bad, BadNoun)
        assert bad.code == code
        assert bad.message
        assert isinstance(good, Sip)
        assert dial.problem is None

    def test_a_uri_element_is_the_address(self) -> None:
        sip = only_sip("<Sip><Uri username='u' password='p'>sip:b@h</Uri></Sip>")
        assert (sip.uri.user, sip.username, sip.password) == ("b", "u", "p")

    def test_a_uri_element_without_credentials_has_those_of_its_sip(self) -> None:
        sip = only_sip("<Sip username='u' password='p'><Uri weight='1'>sip:b@h</Uri></Sip>")
        assert (sip.username, sip.password) == ("u", "p")

    def test_of_several_uri_elements_the_lowest_priority_is_dialled(self) -> None:
        read = document("<Dial><Sip><Uri priority='2'>b@h</Uri><Uri priority='1'>c@h</Uri></Sip></Dial>")
        assert [remark.code for remark in read.warnings] == [12200]
        (dial,) = read.verbs
        assert isinstance(dial, Dial)
        (noun,) = dial.nouns
        assert isinstance(noun, Sip)
        assert noun.uri.user == "c"

    def test_text_beside_a_uri_element_is_remarked_upon(self) -> None:
        assert codes("<Dial><Sip>a@h<Uri>b@h</Uri></Sip></Dial>") == [12200]

    def test_header_elements_are_added_to_the_uri(self) -> None:
        sip = only_sip(
            "<Sip>a@h?x-a=1<Headers><Header name='x-b' value='2 &amp; 3'/><Header name='User-to-User'/></Headers></Sip>"
        )
        assert sip.uri.headers == (("x-a", "1"), ("x-b", "2 & 3"), ("User-to-User", ""))

    def test_a_header_element_that_is_not_allowed_is_a_bad_noun(self) -> None:
        noun = only_sip("<Sip>a@h<Headers><Header name='Via' value='x'/></Headers></Sip>")
        assert isinstance(noun, BadNoun)
        assert noun.code == 13252

    def test_other_children_are_skipped(self) -> None:
        assert codes("<Dial><Sip>a@h<Foo/><Headers><Foo/></Headers></Sip></Dial>") == [12200, 12200]


class TestTwilioLibrary:
    """What the official builder writes is understood, and every attribute that it offers is in the tables."""

    def test_a_document_of_the_official_builder_is_read_without_a_remark(self) -> None:
        response = builder.VoiceResponse()
        response.say("Hello & welcome", voice="alice", language="en-GB", loop=2)
        response.play("https://h.example/a.mp3", loop=0)
        response.pause(length=2)
        dial = builder.Dial(action="/done", timeout=20, record="record-from-answer-dual", answer_on_bridge=True)
        dial.sip("sip:a@h?x-a=1&x-b=2", username="u", password="p", status_callback="/cb", url="/screen")
        sip = builder.Sip()
        sip.uri("sip:b@h", priority=1, username="u", password="p")
        sip.headers().header("x-c", "3")
        dial.append(sip)
        response.append(dial)
        response.redirect("/next", method="GET")
        response.reject(reason="busy")
        response.hangup()
        read = parse(str(response).encode())
        assert read.warnings == ()
        assert [verb_name(verb) for verb in read.verbs] == [
            *("Say", "Play", "Pause", "Dial", "Redirect", "Reject", "Hangup")
        ]

    @pytest.mark.parametrize("factory", ["dial", "hangup", "pause", "play", "redirect", "reject", "say"])
    def test_the_tables_know_every_attribute_of_the_builder(self, factory: str) -> None:
        assert offered(getattr(builder.VoiceResponse, factory)) <= set(ATTRIBUTES[factory.title()])

    def test_the_tables_know_every_attribute_of_its_sip_noun(self) -> None:
        assert offered(builder.Dial.sip) <= set(ATTRIBUTES["Sip"])

    def test_the_tables_know_every_verb_of_the_builder(self) -> None:
        not_verbs = {"MAP", "add_child", "append", "nest", "to_xml", "xml"}
        names = {name for name in dir(builder.VoiceResponse) if not name.startswith("_")} - not_verbs
        assert {name.title() for name in names} == set(VERBS)


def offered(factory: Any) -> set[str]:
    """Return the attributes that a method of the official builder documents, in TwiML's spelling."""
    content = {"self", "kwargs", "number", "url", "message", "sip_url"}
    names = set(factory.__code__.co_varnames[: factory.__code__.co_argcount]) - content
    return {re.sub(r"_(.)", lambda match: match[1].upper(), name.strip("_")) for name in names}


class TestMatrix:
    """docs/twiml.md says what the tables say."""

    def rows(self, heading: str) -> dict[str, list[str]]:
        """Return the rows of the table under a heading: first cell without marks → the other cells."""
        section = MATRIX.read_text().split(f"\n{heading}\n", 1)[1]
        section = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
        lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
        return {cells[0].strip(" `<>"): [cell.strip() for cell in cells[1:]] for cells in lines[2:]}

    @pytest.mark.parametrize(
        ("heading", "table"),
        [("## Verbs", VERBS), ("## Nouns of `<Dial>`", NOUNS), ("## Children of `<Sip>`", SIP_CHILDREN)],
    )
    def test_it_lists_every_element(self, heading: str, table: dict[str, Support]) -> None:
        assert self.rows(heading) == {name: [support.value] for name, support in table.items()}

    @pytest.mark.parametrize("element", sorted(ATTRIBUTES))
    def test_it_lists_every_attribute_with_its_code_and_support(self, element: str) -> None:
        rows = self.rows(f"### `<{element}>`")
        listed = {name: (int(cells[2]), cells[3]) for name, cells in rows.items()}
        assert listed == {
            name: (attribute.code, attribute.support.value) for name, attribute in ATTRIBUTES[element].items()
        }

    def test_every_default_that_it_prints_is_the_one_of_the_table(self) -> None:
        for element, attributes in ATTRIBUTES.items():
            rows = self.rows(f"### `<{element}>`")
            for name, attribute in attributes.items():
                if isinstance(attribute.default, (bool, int, str)):
                    assert rows[name][1] == str(attribute.default).replace("True", "true").replace("False", "false")


WORDS = st.sampled_from(
    [
        *("Response", "Dial", "Sip", "Say", "Play", "Uri", "Headers", "Header", "Number", "dial", "break"),
        *("<", ">", "</", "/>", "=", "'", '"', " ", "\n", "&amp;", "&", "<!--", "-->", "<![CDATA[", "]]>", "<?x", "?>"),
        *(
            "timeout",
            "loop",
            "record",
            "action",
            "priority",
            "xmlns",
            "xml:id",
            "http://[",
            "a@h",
            "0",
            "-1",
            "é",
            "\0",
        ),
    ]
)
ATTRIBUTE = st.tuples(
    st.sampled_from(sorted({name for attributes in ATTRIBUTES.values() for name in attributes})),
    st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="<&'\ufffe\uffff"), max_size=30),
)


def element(tag: str, attributes: list[tuple[str, str]], inner: list[str]) -> str:
    written = "".join(f" {name}='{value}'" for name, value in dict(attributes).items())
    return f"<{tag}{written}>{''.join(inner)}</{tag}>"


TREE = st.recursive(
    st.text("ab:@/ ", max_size=5),
    lambda children: st.builds(
        element,
        st.sampled_from(sorted({*VERBS, *NOUNS, *ATTRIBUTES, "break", "foo"})),
        st.lists(ATTRIBUTE, max_size=4),
        st.lists(children, max_size=4),
    ),
    max_leaves=12,
)


def refuses_or_reads(body: bytes) -> None:
    try:
        read = parse(body)
    except TwimlError as error:
        assert error.code in (11750, 11770, 12100, 12101, 12102)
        assert error.message
    else:
        assert all(remark.message and len(remark.message) < 700 for remark in read.warnings)


class TestAnyBytes:
    """Whatever a web server answers, the parser raises nothing but TwimlError."""

    @given(st.binary(max_size=300))
    def test_random_bytes(self, body: bytes) -> None:
        refuses_or_reads(body)

    @given(st.binary(max_size=60))
    def test_random_bytes_within_a_response(self, inner: bytes) -> None:
        refuses_or_reads(b"<Response><Dial><Sip>" + inner + b"</Sip></Dial></Response>")

    @given(st.lists(WORDS, max_size=40).map("".join))
    def test_random_markup(self, text: str) -> None:
        refuses_or_reads(text.encode())

    @given(TREE)
    def test_random_trees_are_read(self, inner: str) -> None:
        read = document(inner)
        for verb in read.verbs:
            assert verb_name(verb) in VERBS
