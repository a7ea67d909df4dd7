"""PURE: converters: the text of an attribute in, its value out, or `BadValue` with the rule that it breaks.

Sources: Twilio's voice TwiML pages; design conformance §1.2, 1.3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import urlsplit

from sipengine.twiml.verbs import DialRecord

MAX_LOOP = 1000
MAX_CALLER_ID = 64
MAX_CALL_REASON = 50


class BadValue(ValueError):
    """An attribute's value is wrong; `use` is what stands in (None: the default), `code` overrides the attribute's."""

    def __init__(self, expected: str, use: object = None, code: int | None = None) -> None:
        super().__init__(expected)
        self.use, self.code = use, code


def verbatim(value: str) -> str | None:
    """Take any text; empty text counts as absent."""
    return value or None


def _http_url(value: str) -> str | None:
    value = value.strip()
    if not value:
        return None
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise BadValue(f"must be a URL ({error})") from None
    if re.search(r"[\s\x00-\x1f]", value):
        raise BadValue("must be a URL without white space")
    if parts.scheme not in ("", "http", "https"):
        raise BadValue("must be a relative URL, or one that starts with http:// or https://")
    if (parts.scheme or parts.netloc) and not parts.hostname:
        raise BadValue("must have a host name")
    return value


def webhook_url(value: str) -> str | None:
    """Take a relative or absolute http(s) URL; empty text counts as absent.

    The host name of an absolute one has no underscores (Twilio's `<Sip>` page).
    """
    address = _http_url(value)
    if address and "_" in urlsplit(address).netloc.rpartition("@")[2]:
        raise BadValue("must have a host name without underscores")
    return address


def wait_url(value: str) -> str:
    """Take a URL as above; empty text is kept, it asks for silence."""
    return webhook_url(value) or ""


def media_url(value: str) -> str | None:
    """Take an http(s) URL, or a local file; which folders may be read is decided where it is opened."""
    return value.strip() if value.strip().startswith("file:///") else _http_url(value)


def choice(*values: str, **aliases: str) -> Callable[[str], str]:
    """Make a converter that takes one of `values`, in any case, or the alias of one."""
    known = {value.lower(): value for value in values} | aliases

    def convert(value: str) -> str:
        try:
            return known[value.strip().lower()]
        except KeyError:
            raise BadValue(f"must be one of: {', '.join((*values, *aliases))}") from None

    return convert


method = choice("GET", "POST")
_true_or_false = choice("true", "false")


def flag(value: str) -> bool:
    """Take true or false."""
    return _true_or_false(value) == "true"


_trim = choice("trim-silence", "do-not-trim")
_dial_record = choice(*DialRecord, true=DialRecord.FROM_ANSWER, false=DialRecord.NO)
_conference_record = choice("do-not-record", "record-from-start", true="record-from-start", false="do-not-record")


def trim(value: str) -> bool:
    """Take trim-silence (true) or do-not-trim (false)."""
    return _trim(value) == "trim-silence"


def dial_record(value: str) -> DialRecord:
    """Take what `<Dial record>` may be; true and false are the aliases of Twilio's older pages."""
    return DialRecord(_dial_record(value))


def conference_record(value: str) -> bool:
    """Take record-from-start (true) or do-not-record (false)."""
    return _conference_record(value) == "record-from-start"


def gather_input(value: str) -> str:
    """Take dtmf; speech is understood and not done."""
    asked = set(value.lower().split())
    if asked == {"dtmf"}:
        return "dtmf"
    if asked and asked <= {"dtmf", "speech"}:
        raise BadValue("asks for speech recognition, which is not there", use="dtmf")
    raise BadValue("must be dtmf")


def transcribe(value: str) -> bool:
    """Take true or false; true is understood and not done."""
    if flag(value):
        raise BadValue("asks for a transcription, which is not there", use=False, code=12200)
    return False


def transcribe_callback(value: str) -> None:
    """Take nothing: a URL asks for a transcription too, even without `transcribe`."""
    if value.strip():
        raise BadValue("asks for a transcription, which is not there")


def number(low: int, high: int) -> Callable[[str], int]:
    """Make a converter for whole numbers; one outside the range is clamped, with a remark."""

    def convert(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", value.strip()):
            raise BadValue(f"must be a whole number from {low} to {high}")
        result = min(max(int(value), low), high)
        if result != int(value):
            raise BadValue(f"must be a whole number from {low} to {high}", use=result)
        return result

    return convert


def count(high: int) -> Callable[[str], int]:
    """Make a converter for whole numbers from 1; too high a one is cut, with a remark, anything else is wrong."""

    def convert(value: str) -> int:
        if not re.fullmatch(r"\+?0*[1-9][0-9]{0,8}", value.strip()):
            raise BadValue(f"must be a whole number from 1 to {high}")
        if int(value) > high:
            raise BadValue(f"must be a whole number from 1 to {high}", use=high)
        return int(value)

    return convert


def loop(value: str) -> int:
    """Take a count of repetitions; 0 means until the call ends, which Twilio cuts at 1000."""
    if not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        raise BadValue("must be a number of times, or 0 for as long as the call lasts")
    return min(int(value) or MAX_LOOP, MAX_LOOP)


def matching(pattern: str, expected: str) -> Callable[[str], str | None]:
    """Make a converter for text that matches `pattern` as a whole; empty text counts as absent."""

    def convert(value: str) -> str | None:
        value = value.strip()
        if value and not re.fullmatch(pattern, value):
            raise BadValue(expected)
        return value or None

    return convert


_caller_id = matching(r"[A-Za-z0-9+\-_.]+", "must be letters, digits and + - _ . without white space")


def caller_id(value: str) -> str | None:
    """Take a number or a name; the `client:` that Twilio writes before the name of a client is left out."""
    value = value.strip().removeprefix("client:")
    if len(value) > MAX_CALLER_ID:
        raise BadValue(f"must be at most {MAX_CALLER_ID} characters", code=13248)
    return _caller_id(value)


def at_most(length: int) -> Callable[[str], str | None]:
    """Make a converter for a line of text, which is cut at `length` with a remark; white space counts as absent.

    It may become a SIP header, so line ends become spaces, and other control characters are refused.
    """

    def convert(value: str) -> str | None:
        value = " ".join(value.split())
        if any(unicodedata.category(char) == "Cc" for char in value):
            raise BadValue("must not hold control characters")
        if len(value) > length:
            raise BadValue(f"must be at most {length} characters", use=value[:length])
        return value or None

    return convert


def digits(value: str) -> str | None:
    """Take DTMF: 0-9 A-D # *, `w` for half a second of silence, `W` for a second."""
    value = value.strip()
    if not re.fullmatch(r"[0-9A-D#*wW]*", value):
        raise BadValue("must be of 0-9 A-D # * w W")
    return value or None


def finish_on_key(value: str) -> str:
    """Take one key, or nothing for no key at all (`<Gather>`)."""
    value = value.strip()
    if len(value) > 1:
        raise BadValue("must be one of 0-9 * #, or nothing", code=13311)
    return finish_on_keys(value)


def finish_on_keys(value: str) -> str:
    """Take any keys, or nothing for no key at all (`<Record>`)."""
    value = value.strip()
    if not re.fullmatch(r"[0-9*#]*", value):
        raise BadValue("must be of 0-9 * #, or nothing")
    return value


def events(
    known: tuple[str, ...], default: tuple[str, ...], never: tuple[str, ...] = ()
) -> Callable[[str], tuple[str, ...]]:
    """Make a converter for a list of event names; white space or commas part them, and none at all means `default`.

    Unknown names are left out, with a remark; so are those in `never`, which Twilio knows and we never send.
    """

    def convert(value: str) -> tuple[str, ...]:
        asked = set(re.split(r"[\s,]+", value)) - {""}
        found = tuple(event for event in known if event in asked) or default
        if asked - {*known, *never}:
            raise BadValue(f"may name only: {', '.join(known)}", use=found)
        if asked & set(never):
            unsent = " and ".join(event for event in never if event in asked)
            raise BadValue(f"asks for {unsent}, which is never sent", use=found, code=12200)
        return found

    return convert
