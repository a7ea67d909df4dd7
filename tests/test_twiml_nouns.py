"""What else may be in <Dial>: <Number>, <Client>, text, <Conference>, <Queue>; and what may be mixed."""

from __future__ import annotations

import pytest

from sipengine.twiml import BadNoun, Callback, Client, Conference, Dial, Number, Queue
from sipengine.twiml.accepted import NOUNS, Support
from tests.twiml_reading import ONE, codes, document, only, only_noun, remarked


class TestNouns:
    """One to ten nouns that ring somebody, mixed (Twilio's <Dial> and <Sip> pages); a bad one fails alone."""

    def test_nouns_keep_their_order(self) -> None:
        dial = only("<Dial><Sip>a@h</Sip><Sip>b@h</Sip></Dial>")
        assert [noun.addresses[0].uri.user for noun in dial.nouns] == ["a", "b"]

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

    def test_numbers_clients_and_addresses_may_be_mixed(self) -> None:
        dial = only("<Dial>1<Sip>a@h</Sip><Number>2</Number><Client>joe</Client> 3 </Dial>")
        assert [type(noun).__name__ for noun in dial.nouns] == ["Number", "Sip", "Number", "Client", "Number"]

    def test_a_noun_in_the_wrong_case_is_hinted_at(self) -> None:
        (remark,) = document(f"<Dial><sip>a@h</sip>{ONE}</Dial>").warnings
        assert remark.code == 13215
        assert remark.message.endswith("did you mean Sip?")

    @pytest.mark.parametrize("inner", ["", "<Sim>1</Sim>", "<Dial/>"])
    def test_with_nothing_left_to_dial_the_dial_fails(self, inner: str) -> None:
        (dial,) = document(f"<Dial>{inner}</Dial>").verbs
        assert isinstance(dial, Dial)
        assert dial.nouns == ()
        assert dial.problem is not None
        assert dial.problem.code == 13215


class TestNumber:
    """<Number>, and the plain text of <Dial>: a telephone number; 13221–13223 (Twilio's <Number> page)."""

    def test_plain_text_is_a_number(self) -> None:
        assert only_noun(" +15551234567\n") == only_noun("<Number>+15551234567</Number>") == Number("+15551234567")

    @pytest.mark.parametrize("number", ["+1 (555) 123-45.67", "+1/555/1234567"])
    def test_separators_are_left_out(self, number: str) -> None:
        assert only_noun(number) == Number("+15551234567")

    @pytest.mark.parametrize("number", ["112", "*21#"])
    def test_a_pbx_has_short_numbers_and_feature_codes(self, number: str) -> None:
        assert only_noun(number) == Number(number)

    def test_it_reads_its_attributes(self) -> None:
        noun = only_noun(
            "<Number sendDigits='wW19#*D' url='/u' method='GET' statusCallback='/s' statusCallbackEvent='answered'"
            " statusCallbackMethod='GET' machineDetection='Enable' amdStatusCallback='/amd' byoc='BY1'>1</Number>"
        )
        assert noun == Number(
            "1",
            "wW19#*D",
            url="/u",
            method="GET",
            callback=Callback("/s", "GET", ("answered",)),
            machine_detection=True,
            amd_callback=Callback("/amd", "POST", ("amd",)),
        )

    @pytest.mark.parametrize(
        ("attribute", "code"),
        [
            ("sendDigits='1-2'", 13222),
            ("method='PUT'", 13221),
            ("url='http://my_host/'", 11100),
            ("statusCallback='http://my_host/'", 11100),
            ("statusCallbackEvent='rung'", 12200),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_the_leg_is_dialled(self, attribute: str, code: int) -> None:
        verb, found = remarked(f"<Dial><Number {attribute}>1</Number></Dial>")
        assert (verb.nouns, found) == ((Number("1"),), [code])

    @pytest.mark.parametrize(
        ("text", "fix"),
        [
            ("1-800-FLOWERS", "give digits"),
            ("1" * 33, "give digits"),
            ("sip:a@h", "write it in a &lt;Sip&gt;"),
            ("a@h", "write it in a &lt;Sip&gt;"),
            ("client:joe", "write it in a &lt;Client&gt;"),
        ],
    )
    def test_what_is_no_number_is_a_bad_noun_that_says_how_to_write_it(self, text: str, fix: str) -> None:
        noun = only_noun(text)
        assert isinstance(noun, BadNoun)
        assert (noun.text, noun.code) == (text, 13223)
        assert fix.replace("&lt;", "<").replace("&gt;", ">") in noun.message

    @pytest.mark.parametrize("inner", ["<Number/>", "<Number>no</Number>"])
    def test_an_element_without_a_number_is_a_bad_noun(self, inner: str) -> None:
        assert only_noun(inner).code == 13223


class TestClient:
    """<Client>: an endpoint by its name, with parameters for it (Twilio's <Client> page)."""

    @pytest.mark.parametrize("inner", ["joe", "<Identity> joe </Identity>"])
    def test_it_has_a_name(self, inner: str) -> None:
        assert only_noun(f"<Client>{inner}</Client>") == Client("joe")

    def test_it_reads_its_attributes(self) -> None:
        noun = only_noun("<Client url='/u' method='GET' statusCallback='/s'>joe</Client>")
        assert noun == Client("joe", url="/u", method="GET", callback=Callback("/s", "POST", ("completed",)))

    def test_it_has_parameters(self) -> None:
        noun = only_noun("<Client>joe<Parameter name='order' value='4 &amp; 5'/><Parameter name='x'/></Client>")
        assert noun == Client("joe", (("order", "4 & 5"), ("x", "")))

    @pytest.mark.parametrize("name", ["", "n" * 257])
    def test_a_name_has_1_to_256_characters(self, name: str) -> None:
        noun = only_noun(f"<Client>{name}</Client>")
        assert isinstance(noun, BadNoun)
        assert noun.code == 13215

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            ("<Parameter name='a b' value='1'/>", 13252),
            ("<Parameter value='1'/>", 13252),
            ("<Parameter name='a' value='1&#10;2'/>", 32112),
            ("<Parameter name='a' value='1'/>" * 11, 13251),
            (f"<Parameter name='a' value='{'v' * 1024}'/>", 13253),
        ],
    )
    def test_parameters_obey_the_rules_of_headers(self, parameters: str, code: int) -> None:
        noun = only_noun(f"<Client>joe{parameters}</Client>")
        assert (noun.text, noun.code) == ("joe", code)

    @pytest.mark.parametrize("inner", ["<Identity>joe</Identity><Identity>ann</Identity>", "x<Identity>joe</Identity>"])
    def test_of_several_names_the_first_identity_is_rung(self, inner: str) -> None:
        verb, found = remarked(f"<Dial><Client>{inner}</Client></Dial>")
        assert (verb.nouns, found) == ((Client("joe"),), [12200])

    def test_other_children_are_skipped(self) -> None:
        assert codes("<Dial><Client>joe<Foo/></Client></Dial>") == [12200]


def room(**fields: object) -> Conference:
    """Return the <Conference> `lobby` with the defaults of the page but for these fields."""
    flags = {"muted": False, "beep": "true", "start_on_enter": True, "end_on_exit": False}
    waiting = {"wait_url": None, "wait_method": "POST", "max_participants": 250}
    more = {"record": False, "trim": True, "callback": None, "recording_callback": None, "label": None}
    return Conference(**{"name": "lobby", **flags, **waiting, **more, **fields})  # type: ignore[arg-type]


class TestConference:
    """<Conference>: a room of this name; 13230–13235 (Twilio's <Conference> page)."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        dial = only("<Dial><Conference> lobby </Conference></Dial>")
        assert (dial.nouns, dial.room, dial.problem) == ((), room(), None)

    @pytest.mark.parametrize(
        ("attribute", "value", "field", "expected"),
        [
            ("muted", "true", "muted", True),
            ("beep", "false", "beep", "false"),
            ("beep", "onenter", "beep", "onEnter"),
            ("beep", "onExit", "beep", "onExit"),
            ("startConferenceOnEnter", "false", "start_on_enter", False),
            ("endConferenceOnExit", "true", "end_on_exit", True),
            ("waitUrl", "/music", "wait_url", "/music"),
            ("waitUrl", "", "wait_url", ""),
            ("waitMethod", "GET", "wait_method", "GET"),
            ("maxParticipants", "2", "max_participants", 2),
            ("maxParticipants", "250", "max_participants", 250),
            ("record", "record-from-start", "record", True),
            ("record", "true", "record", True),
            ("record", "do-not-record", "record", False),
            ("trim", "do-not-trim", "trim", False),
            ("statusCallback", "/s", "callback", Callback("/s", "POST", ("start", "end"))),
            ("statusCallbackEvent", "join", "callback", None),
            ("statusCallbackMethod", "GET", "callback", None),
            ("recordingStatusCallback", "/r", "recording_callback", Callback("/r", "POST", ("completed",))),
            ("recordingStatusCallbackEvent", "absent", "recording_callback", None),
            ("recordingStatusCallbackMethod", "GET", "recording_callback", None),
            ("participantLabel", "anna", "label", "anna"),
            ("coach", "CA1", "coach", "CA1"),
        ],
    )
    def test_it_reads_its_attributes(self, attribute: str, value: str, field: str, expected: object) -> None:
        dial = only(f"<Dial><Conference {attribute}='{value}'>lobby</Conference></Dial>")
        assert dial.room == room(**{field: expected})

    @pytest.mark.parametrize(
        ("attribute", "value", "code", "field", "used"),
        [
            ("muted", "1", 13230, "muted", False),
            ("endConferenceOnExit", "1", 13231, "end_on_exit", False),
            ("startConferenceOnEnter", "1", 13232, "start_on_enter", True),
            ("waitUrl", "http://my_host/", 13233, "wait_url", None),
            ("waitMethod", "PUT", 13234, "wait_method", "POST"),
            ("beep", "loud", 13235, "beep", "true"),
            ("maxParticipants", "1", 12200, "max_participants", 2),
            ("maxParticipants", "251", 12200, "max_participants", 250),
            ("maxParticipants", "many", 12200, "max_participants", 250),
            ("record", "record-from-answer", 12200, "record", False),
            ("trim", "x", 12200, "trim", True),
            ("statusCallback", "http://my_host/", 11100, "callback", None),
            ("statusCallbackMethod", "PUT", 12200, "callback", None),
            ("statusCallbackEvent", "sing", 12200, "callback", None),
            ("recordingStatusCallback", "http://my_host/", 13256, "recording_callback", None),
            ("recordingStatusCallbackEvent", "x", 13621, "recording_callback", None),
            ("recordingStatusCallbackMethod", "PUT", 12200, "recording_callback", None),
            ("participantLabel", "n" * 129, 12200, "label", "n" * 128),
        ],
    )
    def test_a_wrong_value_is_remarked_upon_and_replaced(
        self, attribute: str, value: str, code: int, field: str, used: object
    ) -> None:
        verb, found = remarked(f"<Dial><Conference {attribute}='{value}'>lobby</Conference></Dial>")
        assert (verb.room, found) == (room(**{field: used}), [code])

    @pytest.mark.parametrize(
        ("given", "codes", "events"),
        [
            ("leave join", [], ("join", "leave")),
            ("start end join leave mute hold modify", [], ("start", "end", "join", "leave", "mute", "hold", "modify")),
            ("join speaker announcement", [12200], ("join",)),
            ("speaker", [12200], ("start", "end")),
        ],
    )
    def test_the_events_of_its_status_callback(self, given: str, codes: list[int], events: tuple[str, ...]) -> None:
        attributes = f"statusCallback='/s' statusCallbackEvent='{given}'"
        verb, found = remarked(f"<Dial><Conference {attributes}>lobby</Conference></Dial>")
        assert (verb.room.callback, found) == (Callback("/s", "POST", events), codes)

    def test_events_that_are_never_sent_are_named(self) -> None:
        (remark,) = document("<Dial><Conference statusCallbackEvent='speaker'>lobby</Conference></Dial>").warnings
        assert "asks for speaker, which is never sent" in remark.message

    @pytest.mark.parametrize(
        "attribute", ["region", "jitterBufferSize", "eventCallbackUrl", "recordingConfigurationId"]
    )
    def test_what_is_accepted_and_ignored_leaves_no_trace(self, attribute: str) -> None:
        assert only(f"<Dial><Conference {attribute}='x'>lobby</Conference></Dial>").room == room()

    def test_names_are_case_sensitive(self) -> None:
        assert only("<Dial><Conference>Lobby</Conference></Dial>").room.name == "Lobby"


class TestQueueNoun:
    """<Queue>: who has waited longest in the queue of this name (Twilio's <Queue> page)."""

    def test_its_defaults_are_those_of_the_page(self) -> None:
        dial = only("<Dial><Queue>support</Queue></Dial>")
        assert (dial.nouns, dial.room, dial.problem) == ((), Queue("support", None, "POST"), None)

    def test_it_reads_its_attributes(self) -> None:
        dial = only("<Dial><Queue url='/u' method='GET' reservationSid='x' postWorkActivitySid='y'>q</Queue></Dial>")
        assert dial.room == Queue("q", "/u", "GET")

    @pytest.mark.parametrize(("attribute", "code"), [("url='http://my_host/'", 11100), ("method='PUT'", 12200)])
    def test_a_wrong_value_is_remarked_upon_and_replaced(self, attribute: str, code: int) -> None:
        verb, found = remarked(f"<Dial><Queue {attribute}>q</Queue></Dial>")
        assert (verb.room, found) == (Queue("q", None, "POST"), [code])


class TestRooms:
    """A room stands alone in its <Dial>: what comes first decides, the rest is skipped (13215; our decision)."""

    @pytest.mark.parametrize("kind", ["Conference", "Queue"])
    @pytest.mark.parametrize(("length", "problem"), [(0, 13215), (1, None), (128, None), (129, 13215)])
    def test_a_name_has_1_to_128_characters(self, kind: str, length: int, problem: int | None) -> None:
        dial = only(f"<Dial><{kind}>{'n' * length}</{kind}></Dial>")
        assert (dial.problem and dial.problem.code) == problem

    @pytest.mark.parametrize("other", [ONE, "1", "<Conference>b</Conference>", "<Queue>b</Queue>", "<Sip>a b</Sip>"])
    def test_what_comes_after_a_room_is_skipped(self, other: str) -> None:
        verb, found = remarked(f"<Dial><Conference>lobby</Conference>{other}</Dial>")
        assert (verb.nouns, verb.room, verb.problem) == ((), room(), None)
        assert found == [13215]

    @pytest.mark.parametrize("first", [ONE, "1", "<Client>joe</Client>"])
    def test_a_room_after_those_to_ring_is_skipped(self, first: str) -> None:
        verb, found = remarked(f"<Dial>{first}<Queue>q</Queue></Dial>")
        assert (len(verb.nouns), verb.room) == (1, None)
        assert found == [13215]
