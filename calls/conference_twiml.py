"""PURE: the TwiML of a call that is placed into a conference. Source: Twilio's `<Conference>` page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lxml import etree

LONGEST_STAY = "86400"  # seconds; a call that is placed may have a limit of its own


def conference_twiml(name: str, attributes: Mapping[str, bool | int | str | Sequence[str] | None]) -> str:
    """Return a document that joins the conference of this name; attributes that are None are left out.

    Raise ValueError for characters that XML cannot have.
    """
    response = etree.Element("Response")
    dial = etree.SubElement(response, "Dial", timeLimit=LONGEST_STAY)
    conference = etree.SubElement(dial, "Conference")
    for key, value in attributes.items():
        match value:
            case None:
                continue
            case bool():
                conference.set(key, "true" if value else "false")
            case int():
                conference.set(key, str(value))
            case str():
                conference.set(key, value)
            case _:
                conference.set(key, " ".join(value))
    conference.text = name
    return etree.tostring(response, encoding="unicode")
