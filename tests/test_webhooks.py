"""What requests to web applications say, and their signature. Vectors: twilio-python's request validator, its tests."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from calls.webhooks import (
    Completion,
    DialResult,
    RecordingState,
    VoiceCall,
    WebhookError,
    connection_overrides,
    credentials,
    dial_parameters,
    fallback_parameters,
    form,
    recording_parameters,
    resolve_url,
    rfc2822,
    sign,
    signed_url,
    status_parameters,
    voice_parameters,
    with_query,
)
from routing.overrides import Overrides

# --- the signature -------------------------------------------------------------------------------------------------

TOKEN, URL = "12345", "https://mycompany.com/myapp.php?foo=1&bar=2"
PARAMS = [
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Digits", "1234"),
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
]


def test_the_vector_of_twilios_page() -> None:
    assert sign(TOKEN, URL, PARAMS) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_the_vector_with_a_name_that_occurs_several_times() -> None:
    params = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
    assert sign(TOKEN, URL, params) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


def test_the_vector_of_a_body_that_is_no_form() -> None:
    body_hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    assert sign(TOKEN, f"{URL}&bodySHA256={body_hash}") == "a9nBmqA0ju/hNViExpshrM61xv4="


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=6))
def test_a_form_is_encoded_as_browsers_do(params: list[tuple[str, str]]) -> None:
    assert form(params) == urlencode(params)
    assert parse_qsl(form(params), keep_blank_values=True) == params


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=6, unique_by=lambda pair: pair[0]))
def test_twilios_validator_accepts_what_is_signed(params: list[tuple[str, str]]) -> None:
    assert RequestValidator(TOKEN).validate(URL, dict(params), sign(TOKEN, URL, params))


@pytest.mark.parametrize("params", [[], PARAMS[1:], [*PARAMS, ("X", "1")]])
def test_other_parameters_have_another_signature(params: list[tuple[str, str]]) -> None:
    assert sign(TOKEN, URL, params) != sign(TOKEN, URL, PARAMS)


# --- the URL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://h.example/a?b=c", "https://h.example/a?b=c"),
        ("https://user:pa%20ss@h.example:8443/a", "https://h.example:8443/a"),
        ("https://h.example/a?b=c#rc=2&rp=all", "https://h.example/a?b=c"),
        ("http://h.example", "http://h.example/"),
        ("http://h.example?x=1", "http://h.example/?x=1"),
        (" http://h.example/a b/ü?q=ü \n", "http://h.example/a%20b/%C3%BC?q=%C3%BC"),
        ("http://h.example/a%2Fb?q=1%2C2+3&q=[x]", "http://h.example/a%2Fb?q=1%2C2+3&q=[x]"),
        ("http://[2001:db8::1]:8000/a", "http://[2001:db8::1]:8000/a"),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/a"),
        ("https://bücher.example:8443/a", "https://xn--bcher-kva.example:8443/a"),
    ],
)
def test_what_is_requested_and_signed(url: str, signed: str) -> None:
    assert signed_url(url) == signed


BAD_URLS = [
    "",
    "/a",
    "ftp://h/a",
    "mailto:a@h",
    "http://",
    "http:///a",
    "http://h:0/",
    "http://h:x/",
    "http://[::1/",
    "http://h h/",
    "http://ü..example/",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(WebhookError) as error:
        signed_url(url)
    assert error.value.code == 11100


@pytest.mark.parametrize("url", ["http://my_app/voice", "https://user:pass@a_b.example.com/"])
def test_a_host_name_with_an_underscore_is_refused(url: str) -> None:
    with pytest.raises(WebhookError, match="underscore") as error:
        signed_url(url)
    assert error.value.code == 11100


def test_an_underscore_elsewhere_is_fine() -> None:
    assert signed_url("https://a_b:c_d@h.example/e_f?g_h=1") == "https://h.example/e_f?g_h=1"


def test_the_message_of_a_refused_url_does_not_hold_its_password() -> None:
    with pytest.raises(WebhookError) as error:
        signed_url("ftp://user:hunter2@h.example/a#x")
    assert error.value.message.startswith("URL 'ftp://h.example/a' is not")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h.example/a", "http://h.example/a?A=1+2&B=%2B1"),
        ("http://h.example/a?x=y#rc=1", "http://h.example/a?x=y&A=1+2&B=%2B1"),
    ],
)
def test_a_get_request_has_its_parameters_in_the_query(url: str, expected: str) -> None:
    assert with_query(url, [("A", "1 2"), ("B", "+1")]) == expected


def test_a_get_request_without_parameters_has_no_question_mark() -> None:
    assert with_query("http://h.example/a", []) == "http://h.example/a"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h.example/a", None),
        ("http://user:p%40ss@h.example/a", ("user", "p@ss")),
        ("http://user@h.example/a", ("user", "")),
        ("http://a@b:c@h.example/a", ("a@b", "c")),
    ],
)
def test_credentials_come_out_of_the_url(url: str, expected: tuple[str, str] | None) -> None:
    assert credentials(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/done", "https://user:pass@h.example:8443/done"),
        ("done?x=1", "https://user:pass@h.example:8443/voice/done?x=1"),
        ("../done", "https://user:pass@h.example:8443/done"),
        ("?x=1", "https://user:pass@h.example:8443/voice/start?x=1"),
        ("", "https://user:pass@h.example:8443/voice/start?a=b"),
        (" \n/done ", "https://user:pass@h.example:8443/done"),
        ("/done#rc=3", "https://user:pass@h.example:8443/done#rc=3"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example/x", "http://other.example/x"),
    ],
)
def test_a_relative_url_is_that_of_the_document(url: str, expected: str) -> None:
    assert resolve_url("https://user:pass@h.example:8443/voice/start?a=b", url) == expected


@pytest.mark.parametrize("url", ["/done", "done", "", "//h/x"])
def test_inline_twiml_has_no_base_for_a_relative_url(url: str) -> None:
    with pytest.raises(WebhookError) as error:
        resolve_url("", url)
    assert error.value.code == 15004


def test_inline_twiml_may_name_an_absolute_url() -> None:
    assert resolve_url("", "http://h.example/x") == "http://h.example/x"


@pytest.mark.parametrize(
    "url", ["http://my_app/", "mailto:a@h", "javascript:alert(1)", "file:///etc/passwd", "http://[::1/x", "//[::1/x"]
)
def test_a_url_in_twiml_must_be_http(url: str) -> None:
    with pytest.raises(WebhookError) as error:
        resolve_url("http://h.example/", url)
    assert error.value.code == 11100


# --- connection overrides ------------------------------------------------------------------------------------------

ALL = frozenset({"4xx", "5xx", "ct", "rt"})


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", Overrides(5.0, 15.0, 15.0, 1, frozenset({"ct"}))),
        ("#top", Overrides()),
        ("#e=dublin,ashburn&sni=n", Overrides()),
        ("#ct=2000&rt=3500&tt=10000", Overrides(2.0, 3.5, 10.0)),
        ("#ct=100&rt=15000&rc=0", Overrides(0.1, retries=0)),
        ("#ct=10000&rc=5&rp=all", Overrides(10.0, retries=5, retry_on=ALL)),
        ("#rc=2&rp=4xx,rt", Overrides(retries=2, retry_on=frozenset({"4xx", "rt"}))),
        ("#rp=5xx%2Cct", Overrides(retry_on=frozenset({"5xx", "ct"}))),
    ],
)
def test_overrides_come_out_of_the_fragment(fragment: str, expected: Overrides) -> None:
    assert connection_overrides("https://h.example/a?rc=9" + fragment) == expected


@pytest.mark.parametrize(
    "fragment",
    [
        "ct=99",
        "ct=10001",
        "rt=15001",
        "tt=0",
        "tt=999999",
        "rc=6",
        "rc=-1",
        "rc=",
        "rc=1.5",
        "rc=²",
        "rp=",
        "rp=3xx",
        "rp=ct,",
    ],
)
def test_overrides_out_of_range_are_refused(fragment: str) -> None:
    with pytest.raises(WebhookError) as error:
        connection_overrides("https://h.example/a#" + fragment)
    assert error.value.code == 11243


# --- parameters ----------------------------------------------------------------------------------------------------

CALL = VoiceCall(
    call_sid="CA" + "0" * 32,
    account_sid="AC" + "0" * 32,
    from_address="sip:alice@phone.example",
    to_address="sip:100@pbx.example.com",
    status="ringing",
    direction="inbound",
)


def test_a_voice_request_tells_at_least_this() -> None:
    assert voice_parameters(CALL) == [
        ("CallSid", "CA" + "0" * 32),
        ("AccountSid", "AC" + "0" * 32),
        ("From", "sip:alice@phone.example"),
        ("To", "sip:100@pbx.example.com"),
        ("Caller", "sip:alice@phone.example"),
        ("Called", "sip:100@pbx.example.com"),
        ("CallStatus", "ringing"),
        ("ApiVersion", "2010-04-01"),
        ("Direction", "inbound"),
    ]


def test_an_inbound_sip_call_tells_where_it_came_from() -> None:
    call = replace(
        CALL,
        forwarded_from="sip:bob@phone.example",
        sip_domain="pbx.example.com",
        sip_domain_sid="SD" + "0" * 32,
        sip_username="alice",
        sip_call_id="call-1@phone",
        sip_source_ip="192.0.2.7",
    )
    assert voice_parameters(call)[9:] == [
        ("ForwardedFrom", "sip:bob@phone.example"),
        ("SipDomain", "pbx.example.com"),
        ("SipDomainSid", "SD" + "0" * 32),
        ("SipUsername", "alice"),
        ("SipCallId", "call-1@phone"),
        ("SipSourceIp", "192.0.2.7"),
    ]


def test_a_dialled_leg_tells_its_parent() -> None:
    assert ("ParentCallSid", "CA1") in voice_parameters(replace(CALL, parent_call_sid="CA1", direction="outbound-dial"))


def test_a_screening_request_tells_of_the_callee_with_the_headers_of_its_answer() -> None:
    child = VoiceCall(
        call_sid="CA2",
        account_sid="AC1",
        from_address="+15550001",
        to_address="sip:bob@phone.example",
        status="in-progress",
        direction="outbound-dial",
        parent_call_sid="CA1",
        sip_domain="pbx.example.com",
        sip_domain_sid="SD1",
        sip_call_id="c2@engine",
        sip_source_ip="192.0.2.9",
        headers=(("X-Desk", "7"), ("Server", "phone")),
    )
    assert voice_parameters(child) == [
        ("CallSid", "CA2"),
        ("AccountSid", "AC1"),
        ("From", "+15550001"),
        ("To", "sip:bob@phone.example"),
        ("Caller", "+15550001"),
        ("Called", "sip:bob@phone.example"),
        ("CallStatus", "in-progress"),
        ("ApiVersion", "2010-04-01"),
        ("Direction", "outbound-dial"),
        ("ParentCallSid", "CA1"),
        ("SipDomain", "pbx.example.com"),
        ("SipDomainSid", "SD1"),
        ("SipCallId", "c2@engine"),
        ("SipSourceIp", "192.0.2.9"),
        ("SipHeader_X-Desk", "7"),
    ]


def test_only_x_headers_and_user_to_user_are_told_named_as_received() -> None:
    headers = (
        ("Via", "SIP/2.0/UDP h"),
        ("X-Foo", "1"),
        ("x-foo", "2"),
        ("User-to-User", "00;encoding=hex"),
        ("user-to-user", "01"),
        ("P-Asserted-Identity", "<sip:a@h>"),
        ("X-Empty", ""),
    )
    assert voice_parameters(replace(CALL, headers=headers))[9:] == [
        ("SipHeader_X-Foo", "1"),
        ("SipHeader_x-foo", "2"),
        ("SipHeader_User-to-User", "00;encoding=hex"),
        ("SipHeader_user-to-user", "01"),
        ("SipHeader_X-Empty", ""),
    ]


def test_a_bridged_dial_tells_all() -> None:
    result = DialResult(
        "completed", "CA2", 49, True, "http://h/RE1", "c2@engine", 200, (("X-Queue", "sales"), ("Server", "pbx"))
    )
    assert dial_parameters(result) == [
        ("DialCallStatus", "completed"),
        ("DialCallSid", "CA2"),
        ("DialCallDuration", "49"),
        ("DialBridged", "true"),
        ("RecordingUrl", "http://h/RE1"),
        ("DialSipCallId", "c2@engine"),
        ("DialSipResponseCode", "200"),
        ("DialSipHeader_X-Queue", "sales"),
    ]


def test_a_dial_that_nobody_answered_tells_no_duration() -> None:
    assert dial_parameters(DialResult("no-answer", "CA2", sip_call_id="c2@engine", sip_code=487)) == [
        ("DialCallStatus", "no-answer"),
        ("DialCallSid", "CA2"),
        ("DialBridged", "false"),
        ("DialSipCallId", "c2@engine"),
        ("DialSipResponseCode", "487"),
    ]


def test_a_dial_without_any_leg_tells_only_that() -> None:
    assert dial_parameters(DialResult("failed", "")) == [("DialCallStatus", "failed"), ("DialBridged", "false")]


def test_an_answer_that_ended_at_once_has_a_duration_of_zero() -> None:
    assert ("DialCallDuration", "0") in dial_parameters(DialResult("completed", "CA2", 0))


def test_a_status_callback_tells_the_call_the_time_and_its_place_in_the_order() -> None:
    call = replace(CALL, status="initiated", parent_call_sid="CA1", direction="outbound-dial")
    assert status_parameters(call, 0, 1521971599.7) == [
        *voice_parameters(call),
        ("Timestamp", "Sun, 25 Mar 2018 09:53:19 +0000"),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", "0"),
    ]


def test_a_status_callback_tells_what_machine_detection_found() -> None:
    call = replace(CALL, status="in-progress", answered_by="unknown")
    assert ("AnsweredBy", "unknown") in status_parameters(call, 2, 0)


def test_the_completed_callback_tells_duration_code_and_recording() -> None:
    call = replace(CALL, status="completed")
    completion = Completion(49, 200, "RE1", "http://h/RE1", 48)
    assert status_parameters(call, 3, 0, completion)[9:-3] == [
        ("CallDuration", "49"),
        ("Duration", "1"),
        ("SipResponseCode", "200"),
        ("RecordingUrl", "http://h/RE1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "48"),
    ]


def test_a_call_that_was_busy_tells_durations_of_zero() -> None:
    assert status_parameters(replace(CALL, status="busy"), 2, 0, Completion(0, 486))[9:-3] == [
        ("CallDuration", "0"),
        ("Duration", "0"),
        ("SipResponseCode", "486"),
    ]


@pytest.mark.parametrize(("seconds", "minutes"), [(0, "0"), (1, "1"), (60, "1"), (61, "2"), (3600, "60")])
def test_minutes_are_rounded_up(seconds: int, minutes: str) -> None:
    assert dict(status_parameters(CALL, 0, 0, Completion(seconds)))["Duration"] == minutes


def test_no_sip_code_is_told_when_there_was_no_response() -> None:
    assert "SipResponseCode" not in dict(status_parameters(CALL, 0, 0, Completion(0)))


RECORDING = RecordingState("AC1", "CA1", "RE1", "http://h/RE1", "completed", 2, 0, "DialVerb", "both", 49)


def test_a_recording_callback_tells_the_recording() -> None:
    assert recording_parameters(RECORDING) == [
        ("AccountSid", "AC1"),
        ("CallSid", "CA1"),
        ("RecordingSid", "RE1"),
        ("RecordingUrl", "http://h/RE1"),
        ("RecordingStatus", "completed"),
        ("RecordingDuration", "49"),
        ("RecordingChannels", "2"),
        ("RecordingStartTime", "Thu, 01 Jan 1970 00:00:00 +0000"),
        ("RecordingSource", "DialVerb"),
        ("RecordingTrack", "both"),
    ]


def test_a_recording_in_progress_has_no_duration() -> None:
    recording = replace(RECORDING, status="in-progress", duration=None)
    assert "RecordingDuration" not in dict(recording_parameters(recording))


def test_the_recording_of_a_conference_names_the_conference() -> None:
    told = recording_parameters(replace(RECORDING, call_sid="", source="Conference", conference_sid="CF1"))
    assert told[:3] == [("AccountSid", "AC1"), ("ConferenceSid", "CF1"), ("RecordingSid", "RE1")]


def test_the_fallback_request_tells_code_and_url_without_its_secrets() -> None:
    assert fallback_parameters(11200, "http://user:hunter2@h.example/a?u=b@c#rc=2") == [
        ("ErrorCode", "11200"),
        ("ErrorUrl", "http://h.example/a?u=b@c"),
    ]


def test_times_are_utc_in_rfc_2822_form() -> None:
    assert rfc2822(1283286988) == "Tue, 31 Aug 2010 20:36:28 +0000"


def test_a_signed_voice_request_passes_twilios_validator() -> None:
    call = replace(CALL, headers=(("X-Foo", "ü & 1"),))
    url = "https://user:pass@h.example/voice?x=1#rc=2"
    signature = sign(TOKEN, signed_url(url), voice_parameters(call))
    received = dict(parse_qsl(urlencode(voice_parameters(call))))
    assert RequestValidator(TOKEN).validate("https://h.example/voice?x=1", received, signature)


def test_a_signed_get_request_passes_twilios_validator() -> None:
    url = with_query("https://h.example/voice?x=1#rc=2", voice_parameters(CALL))
    assert urlsplit(url).path == "/voice"
    assert RequestValidator(TOKEN).validate(url, {}, sign(TOKEN, url))
