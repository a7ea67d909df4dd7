"""The other verbs: <Record>, <Redirect>, <Reject>, <Hangup>, <Enqueue>, <Leave>, <Refer>: attributes, limits, codes."""

from __future__ import annotations

import pytest

from routing.sipuri import parse as sip_uri
from sipengine.twiml import Callback, Enqueue, Hangup, Leave, Record, Redirect, Refer, Reject
from tests.twiml_reading import codes, document, only, remarked


class TestSmallVerbs:
    """<Redirect>, <Reject>, <Hangup>, <Leave>; 13710, 13810 (Twilio's pages of these)."""

    def test_a_redirect_posts(self) -> None:
        assert only("<Redirect>../next</Redirect>") == Redirect("../next", "POST")

    def test_a_redirect_may_get(self) -> None:
        assert only("<Redirect method='get'>/next</Redirect>") == Redirect("/next", "GET")

    def test_a_redirect_with_a_wrong_method_posts(self) -> None:
        read = document("<Redirect method='PUT'>/next</Redirect>")
        assert read.verbs == (Redirect("/next", "POST"),)
        assert [remark.code for remark in read.warnings] == [13710]

    @pytest.mark.parametrize(("url", "code"), [("", 12200), ("javascript:x", 11100), ("http://my_host/", 11100)])
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

    def test_a_leave_and_a_hangup_have_nothing_to_say(self) -> None:
        assert document("<Leave/><Hangup/>").verbs == (Leave(), Hangup())


def record(**fields: object) -> Record:
    """Return a <Record> with the defaults of the page but for these fields."""
    defaults = {"action": None, "method": "POST", "timeout": 5, "finish_on_key": "1234567890*#", "max_length": 3600}
    more = {"play_beep": True, "trim": True, "callback": None}
    return Record(**{**defaults, **more, **fields})  # type: ignore[arg-type]


class TestRecord:
    """<Record>: defaults, attributes, callback; 13610–13616, 13621 (Twilio's <Record> page)."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only("<Record/>") == record()

    @pytest.mark.parametrize(
        ("attribute", "value", "field", "expected"),
        [
            ("action", "/done", "action", "/done"),
            ("method", "GET", "method", "GET"),
            ("timeout", "1", "timeout", 1),
            ("finishOnKey", "12*", "finish_on_key", "12*"),
            ("finishOnKey", "", "finish_on_key", ""),
            ("maxLength", "30", "max_length", 30),
            ("maxLength", "86400", "max_length", 86_400),
            ("playBeep", "false", "play_beep", False),
            ("trim", "do-not-trim", "trim", False),
            ("trim", "trim-silence", "trim", True),
            ("transcribe", "false", "trim", True),
            ("transcribeCallback", "", "trim", True),
            ("recordingConfigurationId", "x", "trim", True),
            ("recordingStatusCallback", "/r", "callback", Callback("/r", "POST", ("completed",))),
            ("recordingStatusCallback", "", "callback", None),
            ("recordingStatusCallbackMethod", "GET", "callback", None),
        ],
    )
    def test_it_reads_its_attributes(self, attribute: str, value: str, field: str, expected: object) -> None:
        assert only(f"<Record {attribute}='{value}'/>") == record(**{field: expected})

    def test_its_callback_has_a_method_and_events(self) -> None:
        verb = only(
            "<Record recordingStatusCallback='/r' recordingStatusCallbackMethod='GET'"
            " recordingStatusCallbackEvent='absent, in-progress'/>"
        )
        assert verb.callback == Callback("/r", "GET", ("in-progress", "absent"))

    @pytest.mark.parametrize(
        ("attribute", "value", "code", "field", "used"),
        [
            ("action", "mailto:x@y", 11100, "action", None),
            ("method", "PUT", 13610, "method", "POST"),
            ("timeout", "0", 13611, "timeout", 5),
            ("maxLength", "0", 13612, "max_length", 3600),
            ("maxLength", "forever", 13612, "max_length", 3600),
            ("maxLength", "99999", 13612, "max_length", 86_400),
            ("finishOnKey", "A", 13613, "finish_on_key", "1234567890*#"),
            ("playBeep", "1", 13616, "play_beep", True),
            ("trim", "true", 12200, "trim", True),
            ("transcribe", "true", 12200, "trim", True),
            ("transcribe", "1", 13614, "trim", True),
            ("transcribeCallback", "/t", 12200, "trim", True),
            ("recordingStatusCallback", "http://my_host/", 13256, "callback", None),
            ("recordingStatusCallbackMethod", "PUT", 12200, "callback", None),
            ("recordingStatusCallbackEvent", "done", 13621, "callback", None),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(
        self, attribute: str, value: str, code: int, field: str, used: object
    ) -> None:
        assert remarked(f"<Record {attribute}='{value}'/>") == (record(**{field: used}), [code])

    def test_a_remark_spells_the_value_as_twiml_does(self) -> None:
        (remark,) = document("<Record trim='x'/>").warnings
        assert remark.message.endswith("using trim-silence")

    def test_children_are_skipped(self) -> None:
        assert remarked("<Record><Say>x</Say></Record>") == (record(), [12200])


class TestEnqueue:
    """<Enqueue>: the name of a queue, its waiting music, what comes after (Twilio's <Enqueue> page)."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only("<Enqueue> support </Enqueue>") == Enqueue("support", None, "POST", None, "POST")

    def test_it_reads_its_attributes(self) -> None:
        verb = only("<Enqueue action='/a' method='GET' waitUrl='/w' waitUrlMethod='GET'>q</Enqueue>")
        assert verb == Enqueue("q", "/a", "GET", "/w", "GET")

    def test_an_empty_wait_url_asks_for_silence(self) -> None:
        assert only("<Enqueue waitUrl=''>q</Enqueue>").wait_url == ""

    @pytest.mark.parametrize("attribute", ["workflowSid", "maxQueueSize"])
    def test_what_is_accepted_and_ignored_leaves_no_trace(self, attribute: str) -> None:
        assert only(f"<Enqueue {attribute}='1'>q</Enqueue>") == only("<Enqueue>q</Enqueue>")

    def test_a_task_is_accepted_and_ignored(self) -> None:
        assert only("<Enqueue>q<Task>{}</Task></Enqueue>").name == "q"

    @pytest.mark.parametrize(
        ("attribute", "code"),
        [
            ("action='http://my_host/'", 11100),
            ("method='PUT'", 12200),
            ("waitUrl='ftp://h/'", 11100),
            ("waitUrlMethod='PUT'", 12200),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(self, attribute: str, code: int) -> None:
        assert remarked(f"<Enqueue {attribute}>q</Enqueue>") == (only("<Enqueue>q</Enqueue>"), [code])

    @pytest.mark.parametrize(("length", "count"), [(1, 1), (128, 1), (0, 0), (129, 0)])
    def test_a_name_has_1_to_128_characters(self, length: int, count: int) -> None:
        read = document(f"<Enqueue>{'q' * length}</Enqueue>")
        assert len(read.verbs) == count
        assert [remark.code for remark in read.warnings] == [12200] * (1 - count)


class TestRefer:
    """<Refer>: whom the caller's phone shall call instead, in <Sip> or <ReferSip> (Twilio's <Refer> page)."""

    @pytest.mark.parametrize("child", ["Sip", "ReferSip"])
    def test_it_names_a_sip_uri(self, child: str) -> None:
        verb = only(f"<Refer action='/a' method='GET'><{child}> sip:bob@h?x-a=1 </{child}></Refer>")
        assert verb == Refer(sip_uri("sip:bob@h?x-a=1"), "/a", "GET")

    def test_its_defaults_are_those_of_the_page(self) -> None:
        assert only("<Refer><Sip>bob@h</Sip></Refer>") == Refer(sip_uri("sip:bob@h"), None, "POST")

    @pytest.mark.parametrize(
        ("attribute", "code"), [("action='http://my_host/'", 11100), ("method='PUT'", 12200), ("foo='1'", 12200)]
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(self, attribute: str, code: int) -> None:
        assert remarked(f"<Refer {attribute}><Sip>b@h</Sip></Refer>") == (only("<Refer><Sip>b@h</Sip></Refer>"), [code])

    def test_its_sip_has_no_attributes(self) -> None:
        assert codes("<Refer><Sip username='u'>b@h</Sip></Refer>") == [12200]

    @pytest.mark.parametrize(
        ("inner", "code"), [("", 12200), ("bob@h", 12200), ("<Number>1</Number>", 12200), ("<Sip>a b</Sip>", 13243)]
    )
    def test_without_an_address_it_is_skipped(self, inner: str, code: int) -> None:
        read = document(f"<Refer>{inner}</Refer>")
        assert read.verbs == ()
        assert code in [remark.code for remark in read.warnings]

    def test_of_several_addresses_the_first_one_is_used(self) -> None:
        verb, found = remarked("<Refer><Sip>a@h</Sip><ReferSip>b@h</ReferSip></Refer>")
        assert (verb.uri.user, found) == ("a", [12200])
