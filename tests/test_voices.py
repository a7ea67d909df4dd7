"""Which voice of espeak-ng speaks for which voice and language of Twilio."""

from __future__ import annotations

import pytest

from sipengine.voices import choose, nearest

# A part of what espeak-ng has, as `espeak.languages()` gives it.
LANGUAGES = {
    "en": "en",
    "en-gb": "en",
    "en-us": "en-US",
    "de": "de",
    "fr": "fr",
    "fr-be": "fr-BE",
    "pt": "pt",
    "pt-br": "pt-BR",
    "es": "es",
    "es-419": "es-419",
    "cmn": "cmn",
    "yue": "yue",
    "nb": "nb",
}


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en-US", "en-US"),
        ("en-GB", "en"),
        ("en-AU", "en"),
        ("de-DE", "de"),
        ("fr-CA", "fr"),
        ("fr-BE", "fr-BE"),
        ("pt-BR", "pt-BR"),
        ("pt-PT", "pt"),
        ("es-US", "es-419"),
        ("zh-CN", "cmn"),
        ("zh-HK", "yue"),
        ("nb-NO", "nb"),
        ("tlh", None),
    ],
)
def test_a_language_gets_the_nearest_voice(language: str, voice: str | None) -> None:
    assert nearest(language, LANGUAGES) == voice


@pytest.mark.parametrize(
    ("voice", "language", "chosen"),
    [
        (None, None, "en-US"),
        ("", "", "en-US"),
        ("man", None, "en-US+m3"),
        ("woman", "de-DE", "de+f3"),
        ("alice", "en-GB", "en+f3"),
        ("Polly.Joanna", None, "en-US+f3"),
        ("Polly.Joanna-Neural", None, "en-US+f3"),
        ("Polly.Hans", None, "de+m3"),
        ("Polly.Amy", "fr-FR", "fr+f3"),
        ("Polly.Céline", None, "fr+f3"),
        ("Polly.Rémi-Neural", None, "fr+m3"),
        ("Polly.Vitória", None, "pt-BR+f3"),
        ("Google.pt-BR-Standard-A", None, "pt-BR"),
    ],
)
def test_twilios_voices_imply_language_and_gender(voice: str | None, language: str | None, chosen: str) -> None:
    choice = choose(voice, language, "en-US", LANGUAGES)
    assert choice.voice == chosen
    assert choice.remarks == ()


@pytest.mark.parametrize("voice", ["Polly.Nobody", "Google.x", "robot", "ElevenLabs.Rachel"])
def test_an_unknown_voice_is_the_default_with_a_remark(voice: str) -> None:
    choice = choose(voice, None, "en-US", LANGUAGES)
    assert choice.voice == "en-US"
    assert [remark.code for remark in choice.remarks] == [13511]


def test_an_unknown_language_is_the_default_with_a_remark() -> None:
    choice = choose("woman", "tlh", "en-US", LANGUAGES)
    assert choice.voice == "en-US+f3"
    assert [remark.code for remark in choice.remarks] == [13512]


def test_the_gender_that_is_asked_for_replaces_that_of_the_default() -> None:
    assert choose("woman", None, "de+m3", LANGUAGES).voice == "de+f3"
