"""PURE: Twilio's voices and languages of `<Say>`, mapped to the nearest voice of espeak-ng.

Sources: Twilio's text-to-speech page (man, woman, alice, Polly.*, Google.*) and Amazon Polly's list of voices.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sipengine.twiml import Remark

BAD_VOICE, BAD_LANGUAGE = 13511, 13512

# espeak-ng's variants: a female and a male timbre that stay clear in the telephone band.
_VARIANTS = {"f": "+f3", "m": "+m3"}

# Languages that Twilio names otherwise than espeak-ng does.
_ALIASES = {
    "arb": "ar",
    "cmn-cn": "cmn",
    "cmn-tw": "cmn",
    "en-au": "en-gb",
    "en-ie": "en-gb",
    "en-in": "en-gb",
    "en-nz": "en-gb",
    "en-uk": "en-gb",
    "en-za": "en-gb",
    "es-us": "es-419",
    "yue-cn": "yue",
    "yue-hk": "yue",
    "zh": "cmn",
    "zh-cn": "cmn",
    "zh-hk": "yue",
    "zh-tw": "cmn",
}

# Amazon Polly: language → names of its female voices / names of its male voices.
_POLLY = {
    "ar": "Zeina Hala/Zayd",
    "ca": "Arlet/",
    "cmn": "Zhiyu/",
    "cs": "Jitka/",
    "cy": "Gwyneth/",
    "da": "Naja Sofie/Mads",
    "de": "Marlene Vicki Hannah Sabrina/Hans Daniel",
    "en-gb": "Amy Emma Nicole Olivia Aditi Raveena Kajal Niamh Aria Ayanda Jasmine/Brian Arthur Russell Geraint",
    "en-us": (
        "Joanna Ivy Kendra Kimberly Salli Danielle Ruth Tiffany/Matthew Joey Justin Kevin Gregory Stephen Patrick"
    ),
    "es": "Conchita Lucia/Enrique Sergio Raul Alba",
    "es-419": "Mia Lupe Penelope/Andres Miguel Pedro",
    "fi": "Suvi/",
    "fr": "Celine Lea Chantal Gabrielle/Mathieu Remi Liam",
    "fr-be": "Isabelle/",
    "is": "Dora/Karl",
    "it": "Carla Bianca Beatrice/Giorgio Adriano Lorenzo",
    "ja": "Mizuki Kazuha Tomoko/Takumi",
    "ko": "Seoyeon Jihye/",
    "nb": "Liv Ida/",
    "nl": "Lotte Laura Lisa/Ruben",
    "pl": "Ewa Maja Ola/Jacek Jan",
    "pt": "Ines/Cristiano",
    "pt-br": "Camila Vitoria/Ricardo Thiago",
    "ro": "Carmen/",
    "ru": "Tatyana/Maxim",
    "sv": "Astrid Elin/",
    "tr": "Filiz Burcu/",
    "yue": "Hiujin/",
}

Gender = Literal["f", "m"]


def _polly() -> dict[str, tuple[str, Gender]]:
    voices: dict[str, tuple[str, Gender]] = {}
    for language, names in _POLLY.items():
        female, _, male = names.partition("/")
        voices |= {name.lower(): (language, "f") for name in female.split()}
        voices |= {name.lower(): (language, "m") for name in male.split()}
    return voices


_POLLY_VOICES = _polly()


@dataclass(frozen=True, slots=True)
class Choice:
    """The espeak-ng voice to speak with, and what could not be had as it was asked for."""

    voice: str
    remarks: tuple[Remark, ...] = ()


def choose(voice: str | None, language: str | None, default: str, languages: Mapping[str, str]) -> Choice:
    """Return the nearest voice that espeak-ng has; `languages` are its language codes (lower case) → voice names.

    `default` is the name of the voice for texts that ask for nothing, or for something that there is not.
    """
    remarks: list[Remark] = []
    spoken, gender = _asked(voice)
    if voice and spoken is None and gender is None:
        remarks.append(Remark(BAD_VOICE, f"<Say>: there is no voice {voice}; using {default}", 0))
    tongue = language or spoken
    name = default
    if tongue:
        found = nearest(tongue, languages)
        if found is None:
            remarks.append(Remark(BAD_LANGUAGE, f"<Say>: no voice speaks {tongue}; using {default}", 0))
        name = found or default
    if gender:
        name = name.partition("+")[0] + _VARIANTS[gender]
    return Choice(name, tuple(remarks))


def nearest(language: str, languages: Mapping[str, str]) -> str | None:
    """Return the voice for a language tag: the very tag, else what Twilio's name stands for, else the bare language."""
    tag = language.lower()
    for candidate in (tag, _ALIASES.get(tag, ""), tag.partition("-")[0]):
        if candidate in languages:
            return languages[candidate]
    return None


def _asked(voice: str | None) -> tuple[str | None, Gender | None]:
    """Return the language and the gender that a voice name of Twilio's implies."""
    match (voice or "").partition("."):
        case "man", "", "":
            return None, "m"
        case "woman" | "alice", "", "":
            return None, "f"
        case "Polly", ".", name:
            # Engine suffixes as in Joanna-Neural, Joanna-Generative say nothing of the language.
            return _POLLY_VOICES.get(_plain(name.partition("-")[0]), (None, None))
        case "Google", ".", name if name.count("-") >= 2:
            return "-".join(name.split("-")[:2]), None
        case _:
            return None, None


def _plain(name: str) -> str:
    """Return a name without capitals and accents: Amazon writes Léa, Twilio's examples Lea."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(letter)
    )
