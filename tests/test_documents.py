"""Where a call's TwiML comes from: fallback, content types, relative addresses, and what the log may keep of it all."""

from __future__ import annotations

from typing import Any

import pytest

from calls.entries import CallRecord, Entry, EventEntry, NoteEntry
from calls.webclient import MAX_BODY, Fetched, FetchError
from calls.webhooks import WebhookError
from routing.answers import Application
from sipengine import twiml
from sipengine.documents import TWIML_KEPT, Documents, Goto, Inline
from sipengine.records import CallLog
from tests.fakes import FakeWeb

VOICE = Goto("http://app/voice", "POST")
HANGUP = "<Response><Hangup/></Response>"
MASKED = 'password="••••"'


class Call:
    """The documents of one call, whose application is at http://app/voice and its fallback at http://spare/fallback."""

    def __init__(self, fallback: str = "http://spare/fallback") -> None:
        self.web = FakeWeb({"http://app/voice": HANGUP, "http://spare/fallback": HANGUP})
        self.entries: list[Entry] = []
        self.status = "ringing"
        record = CallRecord("CA" + "0" * 32, "AC" + "0" * 32, "inbound", "ringing", "sip:carol@phone", "sip:1@pbx", 1.0)
        application = Application(
            account_sid=record.account_sid,
            auth_token="token",
            domain_sid="SD" + "0" * 32,
            domain_name="pbx",
            voice_url="http://app/voice",
            fallback_url=fallback,
            fallback_method="GET",
        )
        log = CallLog(self.entries.append, record)
        self.documents = Documents(self.web, log, application, lambda: [("CallStatus", self.status)])

    def serves(self, body: str | bytes, kind: str = "text/xml", url: str = "http://app/voice") -> None:
        content = body.encode() if isinstance(body, str) else body
        self.web.answers["http://app/voice"] = Fetched(url, "POST", 200, kind, content, 0.0123)

    def breaks(self, url: str, code: int = 11200, status: int = 500, body: bytes = b"") -> None:
        self.web.answers[url] = FetchError(code, f"HTTP {status}", url, "POST", status, body)

    async def verbs(self) -> tuple[twiml.Verb, ...]:
        """Return the verbs of the document at the voice URL."""
        found = await self.documents.get(VOICE)
        assert found is not None
        return found[0].verbs

    @property
    def notes(self) -> list[NoteEntry]:
        return [entry for entry in self.entries if isinstance(entry, NoteEntry)]

    def details(self, name: str) -> list[dict[str, Any]]:
        return [entry.detail for entry in self.entries if isinstance(entry, EventEntry) and entry.name == name]

    def asked(self) -> list[tuple[str, str]]:
        return [(url, method) for url, method, _ in self.web.asked]


class TestTheRequest:
    async def test_it_tells_the_call_as_it_is_now_and_then_what_the_step_adds(self) -> None:
        call = Call()
        call.status = "in-progress"
        call.web.answers["http://app/done"] = HANGUP
        await call.documents.get(Goto("http://app/done", "GET", (("DialCallStatus", "busy"),)))
        assert call.web.asked == [("http://app/done", "GET", {"CallStatus": "in-progress", "DialCallStatus": "busy"})]

    async def test_the_document_and_its_answer_are_returned(self) -> None:
        call = Call()
        found = await call.documents.get(VOICE)
        assert found is not None
        document, answer = found
        assert document.verbs == (twiml.Hangup(),)
        assert answer is not None and answer.body == HANGUP.encode()

    async def test_a_last_request_is_sent_without_a_document(self) -> None:
        call = Call()
        call.serves("this is no TwiML")
        await call.documents.tell(VOICE)
        assert call.asked() == [("http://app/voice", "POST")]
        assert call.notes == []

    async def test_a_last_request_that_fails_is_noted_and_asks_no_fallback(self) -> None:
        call = Call()
        call.breaks("http://app/voice")
        await call.documents.tell(VOICE)
        assert [note.code for note in call.notes] == [11200]
        assert call.asked() == [("http://app/voice", "POST")]


class TestTheFallback:
    """Asked with ErrorCode and ErrorUrl when the primary fails; the next request tries the primary (§1.11)."""

    async def test_it_is_told_what_failed_besides_all_the_rest(self) -> None:
        call = Call()
        call.breaks("http://app/voice", 11203)
        found = await call.documents.get(Goto("http://app/voice", "POST", (("Digits", "1"),)))
        assert found is not None and found[0].verbs == (twiml.Hangup(),)
        url, method, parameters = call.web.asked[1]
        assert (url, method) == ("http://spare/fallback", "GET")
        assert parameters == {
            "CallStatus": "ringing",
            "Digits": "1",
            "ErrorCode": "11203",
            "ErrorUrl": "http://app/voice",
        }

    async def test_it_is_not_told_the_password_of_the_primary(self) -> None:
        call = Call()
        await call.documents.get(Goto("http://me:secret@app/gone#rc=0", "POST"))
        assert call.web.asked[1][2]["ErrorUrl"] == "http://app/gone"

    @pytest.mark.parametrize(
        ("body", "kind", "code"),
        [
            ("<Response>", "text/xml", 12100),
            ("<Answer/>", "text/xml", 12102),
            ("", "text/xml", 11770),
            ("%PDF", "application/pdf", 12300),
        ],
    )
    async def test_a_document_that_cannot_be_used_counts_as_failed(self, body: str, kind: str, code: int) -> None:
        call = Call()
        call.serves(body, kind)
        assert await call.documents.get(VOICE) is not None
        assert call.web.asked[1][2]["ErrorCode"] == str(code)

    async def test_the_next_request_tries_the_primary_again(self) -> None:
        call = Call()
        call.breaks("http://app/voice")
        await call.documents.get(VOICE)
        call.serves("<Response><Reject/></Response>")
        assert await call.verbs() == (twiml.Reject(reason="rejected"),)
        assert call.asked()[2:] == [("http://app/voice", "POST")]
        assert "ErrorCode" not in call.web.asked[2][2]

    async def test_without_one_there_is_no_document(self) -> None:
        call = Call(fallback="")
        call.breaks("http://app/voice")
        assert await call.documents.get(VOICE) is None
        assert len(call.web.asked) == 1

    async def test_when_it_fails_too_both_failures_are_noted(self) -> None:
        call = Call()
        call.breaks("http://app/voice", 11202)
        call.breaks("http://spare/fallback", 11210)
        assert await call.documents.get(VOICE) is None
        assert [(note.code, note.url) for note in call.notes] == [
            (11202, "http://app/voice"),
            (11210, "http://spare/fallback"),
        ]

    async def test_relative_addresses_are_those_of_the_fallback_document(self) -> None:
        call = Call()
        call.breaks("http://app/voice")
        await call.documents.get(VOICE)
        assert call.documents.absolute("next") == "http://spare/next"


class TestContentTypes:
    """Twilio's TwiML request page (conformance §1.1)."""

    @pytest.mark.parametrize("kind", ["text/xml", "application/xml", "text/html", "text/plain", ""])
    async def test_twiml_is_read_from(self, kind: str) -> None:
        call = Call()
        call.serves(HANGUP, kind)
        assert await call.verbs() == (twiml.Hangup(),)

    async def test_plain_text_is_spoken(self) -> None:
        call = Call()
        call.serves("  Grüße aus dem Büro\n", "text/plain")
        (say,) = await call.verbs()
        assert isinstance(say, twiml.Say) and say.text == "Grüße aus dem Büro"

    @pytest.mark.parametrize(("body", "code"), [("", 11770), (" \n", 11770), ("x" * (MAX_BODY + 1), 11750)])
    async def test_plain_text_that_is_empty_or_too_large_is_not_spoken(self, body: str, code: int) -> None:
        call = Call(fallback="")
        call.serves(body, "text/plain")
        assert await call.documents.get(VOICE) is None
        assert [note.code for note in call.notes] == [code]

    async def test_audio_is_played_from_where_it_came_and_then_the_call_ends(self) -> None:
        call = Call()
        call.serves(b"RIFF", "audio/x-wav", url="http://cdn/hello.wav")
        play, hangup = await call.verbs()
        assert isinstance(play, twiml.Play) and play.url == "http://cdn/hello.wav"
        assert hangup == twiml.Hangup()

    @pytest.mark.parametrize("kind", ["application/json", "image/png", "multipart/form-data", "nonsense"])
    async def test_anything_else_is_12300(self, kind: str) -> None:
        call = Call(fallback="")
        call.serves("{}", kind)
        assert await call.documents.get(VOICE) is None
        assert call.notes[0].code == 12300
        assert kind in call.notes[0].message


class TestInline:
    """TwiML that was given with the call has no address of its own."""

    async def test_it_is_parsed_without_a_request(self) -> None:
        call = Call()
        found = await call.documents.get(Inline(HANGUP.encode()))
        assert found is not None
        assert found == (twiml.Document((twiml.Hangup(),), ()), None)
        assert call.web.asked == []

    async def test_a_relative_address_in_it_is_15004(self) -> None:
        call = Call()
        await call.documents.get(Inline(HANGUP.encode()))
        with pytest.raises(WebhookError) as caught:
            call.documents.absolute("/done")
        assert caught.value.code == 15004

    async def test_an_absolute_address_in_it_is_good(self) -> None:
        call = Call()
        await call.documents.get(Inline(HANGUP.encode()))
        assert call.documents.absolute("http://app/done") == "http://app/done"

    async def test_an_error_in_it_is_noted_and_no_fallback_asked(self) -> None:
        call = Call()
        assert await call.documents.get(Inline(b"<Response>")) is None
        assert [(note.code, note.url, note.response_body) for note in call.notes] == [(12100, "", "<Response>")]
        assert call.web.asked == []

    async def test_its_warnings_are_noted(self) -> None:
        call = Call()
        await call.documents.get(Inline(b"<Response><Enqueue/></Response>"))
        assert [(note.code, note.level) for note in call.notes] == [(12200, "warning")]


class TestRelativeAddresses:
    """They belong to the current document, as it was reached in the end (conformance §1.1)."""

    @pytest.mark.parametrize(
        ("url", "absolute"),
        [
            ("next", "http://app/menu/next"),
            ("/next?a=1", "http://app/next?a=1"),
            ("?page=2", "http://app/menu/main?page=2"),
            ("//other/x", "http://other/x"),
            ("https://other/x#rc=0", "https://other/x#rc=0"),
            ("", "http://app/menu/main?page=1"),
        ],
    )
    async def test_they_are_resolved_against_the_document(self, url: str, absolute: str) -> None:
        call = Call()
        call.serves(HANGUP, url="http://app/menu/main?page=1")
        await call.documents.get(VOICE)
        assert call.documents.absolute(url) == absolute

    async def test_a_document_that_failed_does_not_become_their_base(self) -> None:
        call = Call(fallback="")
        await call.documents.get(VOICE)
        call.web.answers["http://elsewhere/x"] = "<Response>"
        await call.documents.get(Goto("http://elsewhere/x", "POST"))
        assert call.documents.absolute("next") == "http://app/next"

    async def test_what_is_no_web_address_is_11100(self) -> None:
        call = Call()
        await call.documents.get(VOICE)
        with pytest.raises(WebhookError) as caught:
            call.documents.absolute("ftp://files/x")
        assert caught.value.code == 11100


class TestTheLog:
    """The operator reads everything but the secrets."""

    async def test_request_and_response_are_on_the_timeline(self) -> None:
        call = Call()
        call.serves(HANGUP)
        await call.documents.get(VOICE)
        assert call.details("twiml.request") == [
            {"url": "http://app/voice", "method": "POST", "parameters": [["CallStatus", "ringing"]]}
        ]
        assert call.details("twiml.response") == [
            {"url": "http://app/voice", "status": 200, "ms": 12.3, "body": HANGUP}
        ]

    async def test_a_failure_keeps_what_the_server_said(self) -> None:
        call = Call(fallback="")
        call.breaks("http://app/voice", body=b"KeyError: 'To'")
        await call.documents.get(VOICE)
        (note,) = call.notes
        assert (note.code, note.url, note.method, note.response_status) == (11200, "http://app/voice", "POST", 500)
        assert note.response_body == "KeyError: 'To'"
        assert call.details("twiml.failed") == [{"url": "http://app/voice", "code": 11200, "reason": "HTTP 500"}]

    async def test_an_error_names_its_line(self) -> None:
        call = Call(fallback="")
        call.serves("<Response>\n<Say>\n</Response>")
        await call.documents.get(VOICE)
        assert "(line 3)" in call.notes[0].message

    async def test_a_warning_names_its_line_and_the_document_runs(self) -> None:
        call = Call()
        call.serves("<Response>\n<Enqueue/><Hangup/></Response>")
        assert await call.verbs() == (twiml.Hangup(),)
        assert [(note.code, note.url) for note in call.notes] == [(12200, "http://app/voice")]
        assert "(line 2)" in call.notes[0].message

    async def test_a_long_document_is_cut(self) -> None:
        call = Call()
        call.serves(f"<Response><!-- {'ü' * 30_000} --></Response>")
        await call.documents.get(VOICE)
        assert len(call.details("twiml.response")[0]["body"]) == TWIML_KEPT

    async def test_bytes_that_are_no_text_are_shown_as_far_as_they_are(self) -> None:
        call = Call(fallback="")
        call.serves(b"\xff\xfe\x00garbage", "text/xml")
        await call.documents.get(VOICE)
        assert "garbage" in call.details("twiml.response")[0]["body"]

    @pytest.mark.parametrize(
        "attribute",
        [
            'password="geheim"',
            "password='geheim'",
            'password = "geheim"',
            'password\n=\n"ge&quot;geheim"',
            'password=""',
        ],
    )
    async def test_passwords_of_sip_nouns_are_masked(self, attribute: str) -> None:
        call = Call()
        call.serves(f'<Response><Dial><Sip username="u" {attribute}>sip:a@h</Sip></Dial></Response>')
        await call.documents.get(VOICE)
        assert "geheim" not in repr(call.entries)
        assert "••••" in call.details("twiml.response")[0]["body"]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "latin-1"])
    async def test_passwords_are_masked_in_what_cannot_be_parsed_too(self, encoding: str) -> None:
        call = Call(fallback="")
        call.serves('<Response><Dial><Sip password="geheim">ü</Dial>'.encode(encoding))
        await call.documents.get(VOICE)
        assert call.notes[0].code == 12100
        # The ledger takes NUL bytes out of what it writes.
        assert "geheim" not in repr(call.entries).replace(r"\x00", "")

    async def test_passwords_in_the_answer_of_a_failed_request_are_masked(self) -> None:
        call = Call(fallback="")
        call.breaks("http://app/voice", body=b'<Sip password="geheim">')
        await call.documents.get(VOICE)
        assert call.notes[0].response_body == f"<Sip {MASKED}>"

    async def test_the_login_in_an_address_is_not_shown(self) -> None:
        call = Call(fallback="")
        url = "http://me:geheim@app/x#rc=0"
        call.web.answers[url] = Fetched(url, "POST", 200, "text/xml", b"<Response><Enqueue/></Response>", 0.1)
        await call.documents.get(Goto(url, "POST"))
        await call.documents.get(Goto("http://me:geheim@app/gone", "POST"))
        assert "geheim" not in repr(call.entries)
        assert [note.url for note in call.notes] == ["http://app/x", "http://app/gone"]

    @pytest.mark.parametrize("login", ["me:geheim@", "geheim@", "me:p@geheim@", "me:%40geheim@"])
    async def test_a_login_in_an_address_inside_the_document_is_not_shown(self, login: str) -> None:
        call = Call()
        call.serves(f"<Response><Play>https://{login}cdn/a.wav</Play></Response>")
        (play,) = await call.verbs()
        assert isinstance(play, twiml.Play) and play.url == f"https://{login}cdn/a.wav"
        assert "geheim" not in repr(call.entries)
        assert "cdn/a.wav" in call.details("twiml.response")[0]["body"]

    async def test_what_looks_like_a_login_only_is_shown(self) -> None:
        call = Call()
        call.serves("<Response><!-- http://docs/x, mail me@example.com --><Dial><Sip>sip:a@h</Sip></Dial></Response>")
        await call.documents.get(VOICE)
        assert "me@example.com --><Dial><Sip>sip:a@h<" in call.details("twiml.response")[0]["body"]
