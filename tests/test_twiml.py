"""The TwiML parser: documents as a whole; what is not known; and that no bytes can do more than be refused.

Twilio's promises: https://www.twilio.com/docs/voice/twiml and its error dictionary. The verbs have tests of their own:
test_twiml_prompts, _dial, _nouns, _verbs.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipengine.twiml import MAX_BODY, Document, Hangup, Remark, Say, TwimlError, parse, verb_name
from sipengine.twiml.accepted import ATTRIBUTES, CHILDREN, NOUNS, VERBS, WHY_NOT, Support
from tests.twiml_reading import codes, document, only


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
        read = document("\n<Dial><Sip a='1'>a@b</Sip>\n<Sim>1</Sim></Dial>\n<Foo/>")
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
        before = time.thread_time()
        error = refusal(body)
        assert error.code == 12100
        assert "<!DOCTYPE" in error.message
        assert time.thread_time() - before < 1

    def test_a_long_prolog_does_not_slow_the_search_for_one(self) -> None:
        before = time.thread_time()
        assert refusal(b"<!---->" * 9000).code == 12100
        assert refusal(b"<!--" * 15000).code == 12100
        assert refusal(b"<?" * 30000).code == 12100
        assert time.thread_time() - before < 1

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
    def test_a_verb_that_is_not_supported_yet_says_what_is_missing(self, verb: str) -> None:
        read = document(f"<{verb} name='x'><Stream url='wss://h'/></{verb}><Hangup/>")
        assert read.verbs == (Hangup(),)
        text = f"<{verb}> is not supported yet and is skipped: {WHY_NOT[verb]}"
        assert read.warnings == (Remark(12200, text, 1),)

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


INNER = sorted({*NOUNS, *(child for children in CHILDREN.values() for child in children)})


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

    @given(
        st.sampled_from(["Dial", "Gather", "Refer", "Enqueue"]),
        st.lists(ATTRIBUTE, max_size=4),
        st.lists(
            st.builds(element, st.sampled_from(INNER), st.lists(ATTRIBUTE, max_size=6), st.lists(TREE)), max_size=4
        ),
    )
    def test_random_nouns_and_prompts_are_read(self, tag: str, attributes: Any, inner: list[str]) -> None:
        for verb in document(element(tag, attributes, inner)).verbs:
            assert verb_name(verb) == tag
