"""<Dial> and <Sip>: attributes, defaults, limits, codes. Source: design conformance §1.2, 1.3."""

from __future__ import annotations

import pytest

from routing.sipuri import parse as sip_uri
from sipengine.tones import RING_TONES
from sipengine.twiml import Address, BadNoun, Callback, Dial, DialRecord, Remark, Sip
from tests.twiml_reading import ONE, codes, document, only, only_noun, remarked


class TestDial:
    """<Dial>: defaults, every attribute, and its codes 13210–13220, 13248, 13256, 1362x (Twilio's <Dial> page)."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only(f"<Dial>{ONE}</Dial>") == Dial(
            nouns=(only_noun(ONE),),
            room=None,
            action=None,
            method="POST",
            timeout=30,
            time_limit=14400,
            caller_id=None,
            call_reason=None,
            answer_on_bridge=False,
            hangup_on_star=False,
            record=DialRecord.NO,
            trim=False,
            recording_track="both",
            recording_callback=None,
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
            ("callerId", "client:joe", "caller_id", "joe"),
            ("callReason", "Your order", "call_reason", "Your order"),
            ("callReason", " ", "call_reason", None),
            ("callReason", "a&#13;&#10;Via: x", "call_reason", "a Via: x"),
            ("answerOnBridge", "true", "answer_on_bridge", True),
            ("hangupOnStar", "TRUE", "hangup_on_star", True),
            ("record", "true", "record", DialRecord.FROM_ANSWER),
            ("record", "false", "record", DialRecord.NO),
            ("record", "do-not-record", "record", DialRecord.NO),
            ("record", "record-from-answer", "record", DialRecord.FROM_ANSWER),
            ("record", "record-from-ringing", "record", DialRecord.FROM_RINGING),
            ("record", "record-from-answer-dual", "record", DialRecord.FROM_ANSWER_DUAL),
            ("record", "record-from-ringing-dual", "record", DialRecord.FROM_RINGING_DUAL),
            ("trim", "trim-silence", "trim", True),
            ("trim", "do-not-trim", "trim", False),
            ("recordingTrack", "inbound", "recording_track", "inbound"),
            ("recordingTrack", "outbound", "recording_track", "outbound"),
            (
                "recordingStatusCallback",
                "http://h/",
                "recording_callback",
                Callback("http://h/", "POST", ("completed",)),
            ),
            ("recordingStatusCallbackMethod", "GET", "recording_callback", None),
            ("recordingStatusCallbackEvent", "absent", "recording_callback", None),
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
            ("action", "https://u@my_host:8/", 11100, "action", None),
            ("method", "PUT", 13210, "method", "POST"),
            ("timeout", "4", 13212, "timeout", 5),
            ("timeout", "601", 13212, "timeout", 600),
            ("timeout", "soon", 13212, "timeout", 30),
            ("timeout", "9999999999", 13212, "timeout", 30),
            ("timeout", "", 13212, "timeout", 30),
            ("timeLimit", "0", 13216, "time_limit", 1),
            ("timeLimit", "86401", 13216, "time_limit", 86400),
            ("callerId", "two words", 13214, "caller_id", None),
            ("callerId", "sip:joe@h", 13214, "caller_id", None),
            ("callerId", "1" * 65, 13248, "caller_id", None),
            ("callReason", "a\x7f", 12200, "call_reason", None),
            ("callReason", "x" * 51, 12200, "call_reason", "x" * 50),
            ("answerOnBridge", "yes", 13219, "answer_on_bridge", False),
            ("hangupOnStar", "1", 13213, "hangup_on_star", False),
            ("record", "record", 13217, "record", DialRecord.NO),
            ("trim", "all", 12200, "trim", False),
            ("recordingTrack", "left", 13622, "recording_track", "both"),
            ("recordingStatusCallback", "http://my_host/", 13256, "recording_callback", None),
            ("recordingStatusCallbackMethod", "PUT", 12200, "recording_callback", None),
            ("recordingStatusCallbackEvent", "done", 13621, "recording_callback", None),
            ("ringTone", "xx", 13220, "ring_tone", None),
            ("sequential", "in order", 13218, "sequential", False),
            ("referUrl", "http://my_host/", 11100, "refer_url", None),
            ("referMethod", "PUT", 12200, "refer_method", "POST"),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(
        self, attribute: str, value: str, code: int, field: str, used: object
    ) -> None:
        read = document(f"<Dial {attribute}='{value}'>{ONE}</Dial>")
        assert [remark.code for remark in read.warnings] == [code]
        assert getattr(read.verbs[0], field) == used

    @pytest.mark.parametrize(
        ("given", "codes", "events"),
        [
            ("absent in-progress", [], ("in-progress", "absent")),
            ("completed,absent", [], ("completed", "absent")),
            (" ", [], ("completed",)),
            ("done", [13621], ("completed",)),
            ("absent done", [13621], ("absent",)),
        ],
    )
    def test_the_events_of_its_recording_callback(self, given: str, codes: list[int], events: tuple[str, ...]) -> None:
        attributes = f"recordingStatusCallback='/r' recordingStatusCallbackEvent='{given}'"
        verb, found = remarked(f"<Dial {attributes}>{ONE}</Dial>")
        assert verb.recording_callback == Callback("/r", "POST", events)
        assert found == codes

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


class TestSip:
    """<Sip>: URI, credentials, screening, status callback; 13241, 13243, 13249, 13251–13253."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only_noun(ONE) == Sip((Address(sip_uri("sip:a@h"), None, None, 0, 0),))

    def test_it_reads_its_attributes(self) -> None:
        sip = only_noun(
            "<Sip username='u' password=' p ' url='/screen' method='GET' statusCallback='http://h.example/cb'"
            " statusCallbackEvent='completed initiated' statusCallbackMethod='GET'>"
            "\n  sip:kate@h.example:5070;transport=tls;region=ie1?x-a=b%20c&amp;User-to-User=1 \n</Sip>"
        )
        uri = sip_uri("sip:kate@h.example:5070;transport=tls;region=ie1?x-a=b%20c&User-to-User=1")
        callback = Callback("http://h.example/cb", "GET", ("initiated", "completed"))
        assert sip == Sip((Address(uri, "u", " p "),), url="/screen", method="GET", callback=callback)

    def test_its_password_is_not_printed(self) -> None:
        assert "hunter2" not in repr(only_noun("<Sip username='u' password='hunter2'>a@h</Sip>"))

    def test_a_status_callback_without_events_is_for_completed(self) -> None:
        assert only_noun("<Sip statusCallback='/cb'>a@h</Sip>").callback == Callback("/cb", "POST", ("completed",))

    def test_events_without_a_status_callback_mean_nothing(self) -> None:
        assert only_noun("<Sip statusCallbackEvent='ringing'>a@h</Sip>").callback is None

    def test_events_may_be_parted_by_commas(self) -> None:
        sip = only_noun("<Sip statusCallback='/cb' statusCallbackEvent='ringing,answered'>a@h</Sip>")
        assert sip.callback.events == ("ringing", "answered")

    @pytest.mark.parametrize("kind", ["Enable", "DetectMessageEnd", "enable"])
    def test_machine_detection_may_be_asked_for(self, kind: str) -> None:
        assert only_noun(f"<Sip machineDetection='{kind}'>a@h</Sip>").machine_detection is True

    def test_its_result_has_a_callback(self) -> None:
        sip = only_noun(
            "<Sip machineDetection='Enable' amdStatusCallback='/amd' amdStatusCallbackMethod='GET'>a@h</Sip>"
        )
        assert sip.amd_callback == Callback("/amd", "GET", ("amd",))

    def test_without_machine_detection_there_is_no_result_to_tell(self) -> None:
        assert only_noun("<Sip amdStatusCallback='/amd'>a@h</Sip>").amd_callback is None

    @pytest.mark.parametrize(
        ("attribute", "low", "high"),
        [
            ("machineDetectionTimeout", 3, 60),
            ("machineDetectionSpeechThreshold", 1000, 6000),
            ("machineDetectionSpeechEndThreshold", 500, 5000),
            ("machineDetectionSilenceTimeout", 2000, 10_000),
        ],
    )
    def test_the_limits_of_machine_detection(self, attribute: str, low: int, high: int) -> None:
        found = [
            codes(f"<Dial><Sip machineDetection='Enable' {attribute}='{value}'>a@h</Sip></Dial>")
            for value in (low, high, low - 1, high + 1)
        ]
        assert found == [[], [], [12200], [12200]]

    @pytest.mark.parametrize(
        ("attribute", "code"),
        [
            ("method='PUT'", 13241),
            ("url='ftp://h/'", 11100),
            ("url='http://my_host/'", 11100),
            ("statusCallback='http://my_host/cb'", 11100),
            ("statusCallbackEvent='rung'", 12200),
            ("statusCallbackMethod='PUT'", 12200),
            ("machineDetection='Please'", 12200),
            ("amdStatusCallback='http://my_host/'", 11100),
            ("amdStatusCallbackMethod='PUT'", 12200),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_the_leg_is_dialled(self, attribute: str, code: int) -> None:
        verb, found = remarked(f"<Dial><Sip {attribute}>a@h</Sip></Dial>")
        assert verb == only("<Dial><Sip>a@h</Sip></Dial>")
        assert found == [code]

    @pytest.mark.parametrize("attributes", ["username='u'", "password='p'", "username='' password='p'"])
    def test_only_one_of_username_and_password_is_a_bad_noun(self, attributes: str) -> None:
        noun = only_noun(f"<Sip {attributes}>a@h</Sip>")
        assert isinstance(noun, BadNoun)
        assert (noun.text, noun.code) == ("a@h", 13249)

    def test_two_empty_credentials_are_none(self) -> None:
        sip = only_noun("<Sip username='' password=''>a@h</Sip>")
        assert sip == only_noun("<Sip>a@h</Sip>")

    @pytest.mark.parametrize(("length", "kind"), [(255, Sip), (256, BadNoun)])
    def test_credentials_are_shorter_than_256_characters(self, length: int, kind: type) -> None:
        assert isinstance(only_noun(f"<Sip username='u' password='{'p' * length}'>a@h</Sip>"), kind)

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

    def test_header_elements_are_added_to_the_uri(self) -> None:
        sip = only_noun(
            "<Sip>a@h?x-a=1<Headers><Header name='x-b' value='2 &amp; 3'/><Header name='User-to-User'/></Headers></Sip>"
        )
        (address,) = sip.addresses
        assert address.uri.headers == (("x-a", "1"), ("x-b", "2 & 3"), ("User-to-User", ""))

    def test_a_header_element_that_is_not_allowed_is_a_bad_noun(self) -> None:
        noun = only_noun("<Sip>a@h<Headers><Header name='Via' value='x'/></Headers></Sip>")
        assert isinstance(noun, BadNoun)
        assert noun.code == 13252

    def test_other_children_are_skipped(self) -> None:
        assert codes("<Dial><Sip>a@h<Foo/><Headers><Foo/></Headers></Sip></Dial>") == [12200, 12200]


class TestUri:
    """<Uri> in <Sip>: several addresses of one callee; priority, weight, credentials (Twilio's helper library)."""

    def test_it_is_the_address(self) -> None:
        sip = only_noun("<Sip><Uri username='u' password='p'>sip:b@h</Uri></Sip>")
        assert sip.addresses == (Address(sip_uri("sip:b@h"), "u", "p", 0, 0),)

    def test_several_are_kept_in_the_order_of_the_document(self) -> None:
        sip = only_noun("<Sip><Uri priority='2' weight='10'>b@h</Uri><Uri priority='1' weight='65535'>c@h</Uri></Sip>")
        found = [(address.uri.user, address.priority, address.weight) for address in sip.addresses]
        assert found == [("b", 2, 10), ("c", 1, 65_535)]

    def test_without_credentials_it_has_those_of_its_sip(self) -> None:
        sip = only_noun("<Sip username='u' password='p'><Uri>b@h</Uri><Uri username='v'>c@h</Uri></Sip>")
        found = [(address.username, address.password) for address in sip.addresses]
        assert found == [("u", "p"), ("v", "p")]

    @pytest.mark.parametrize("attribute", ["priority", "weight"])
    def test_numbers_are_0_to_65535(self, attribute: str) -> None:
        found = [codes(f"<Dial><Sip><Uri {attribute}='{value}'>b@h</Uri></Sip></Dial>") for value in (-1, 65_536, "x")]
        assert found == [[12200]] * 3

    def test_the_headers_of_the_sip_go_to_each(self) -> None:
        sip = only_noun(
            "<Sip><Uri>b@h?x-b=1</Uri><Uri>c@h</Uri><Headers><Header name='x-a' value='2'/></Headers></Sip>"
        )
        assert [address.uri.headers for address in sip.addresses] == [(("x-b", "1"), ("x-a", "2")), (("x-a", "2"),)]

    def test_text_beside_it_is_remarked_upon(self) -> None:
        verb, found = remarked("<Dial><Sip>a@h<Uri>b@h</Uri></Sip></Dial>")
        assert [address.uri.user for address in verb.nouns[0].addresses] == ["b"]
        assert found == [12200]

    def test_one_that_cannot_be_dialled_is_left_out(self) -> None:
        verb, found = remarked("<Dial><Sip><Uri>b b</Uri><Uri>c@h</Uri><Uri username='u'>d@h</Uri></Sip></Dial>")
        assert [address.uri.user for address in verb.nouns[0].addresses] == ["c"]
        assert found == [13243, 13249]

    def test_with_none_that_can_be_dialled_the_noun_is_bad(self) -> None:
        noun = only_noun("<Sip><Uri>b b</Uri><Uri/></Sip>")
        assert (noun.text, noun.code) == ("b b", 13243)

    def test_ten_are_tried_and_no_more(self) -> None:
        verb, found = remarked(f"<Dial><Sip>{'<Uri>b@h</Uri>' * 11}</Sip></Dial>")
        assert len(verb.nouns[0].addresses) == 10
        assert found == [13250]
