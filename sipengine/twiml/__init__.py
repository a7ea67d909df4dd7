"""PURE: TwiML: `parse` turns the bytes of a document into frozen verbs, and remarks with Twilio's codes."""

from sipengine.twiml.reader import MAX_BODY, parse
from sipengine.twiml.verbs import (
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
    Verb,
    verb_name,
)

__all__ = [
    "MAX_BODY",
    "BadNoun",
    "Dial",
    "Document",
    "Hangup",
    "Pause",
    "Play",
    "Record",
    "Redirect",
    "Reject",
    "Remark",
    "Say",
    "Sip",
    "TwimlError",
    "Verb",
    "parse",
    "verb_name",
]
