"""TwiML of Twilio's own library, and the tables against it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import twilio.twiml.voice_response as builder

from sipengine.twiml import parse, verb_name
from sipengine.twiml.accepted import ATTRIBUTES, NOUNS, VERBS


class TestTwilioLibrary:
    """What the official builder writes is understood, and every attribute that it offers is in the tables."""

    def test_a_document_of_the_official_builder_is_read_without_a_remark(self) -> None:
        response = builder.VoiceResponse()
        response.say("Hello & welcome", voice="alice", language="en-GB", loop=2)
        response.play("https://h.example/a.mp3", loop=0)
        response.pause(length=2)
        dial = builder.Dial(action="/done", timeout=20, record="record-from-answer-dual", answer_on_bridge=True)
        dial.sip("sip:a@h?x-a=1&x-b=2", username="u", password="p", status_callback="/cb", url="/screen")
        sip = builder.Sip()
        sip.uri("sip:b@h", priority=1, username="u", password="p")
        sip.headers().header("x-c", "3")
        dial.append(sip)
        dial.number("+15551234567", send_digits="1ww2", status_callback_event="answered completed")
        client = builder.Client(status_callback="/cb")
        client.identity("joe")
        client.parameter(name="order", value="42")
        dial.append(client)
        response.append(dial)
        room = response.dial()
        room.conference("lobby", beep="onEnter", muted=True, max_participants=3, wait_url="", event_callback_url="/e")
        response.dial().queue("support", url="/about-to-connect")
        gather = response.gather(num_digits=4, finish_on_key="", barge_in=True, action_on_empty_result=True)
        gather.say("Your number?")
        gather.play("/beep.wav")
        gather.pause(length=2)
        response.record(max_length=30, trim="do-not-trim", recording_status_callback="/r", transcribe=False)
        response.play(digits="1w2")
        response.enqueue("support", wait_url="/wait", max_queue_size=3)
        response.leave()
        response.refer(action="/referred").sip("sip:bob@h")
        response.redirect("/next", method="GET")
        response.reject(reason="busy")
        response.hangup()
        read = parse(str(response).encode())
        assert read.warnings == ()
        assert [verb_name(verb) for verb in read.verbs] == [
            *("Say", "Play", "Pause", "Dial", "Dial", "Dial", "Gather", "Record", "Play", "Enqueue", "Leave", "Refer"),
            *("Redirect", "Reject", "Hangup"),
        ]

    @pytest.mark.parametrize("factory", [verb.lower() for verb in VERBS if verb in ATTRIBUTES and verb != "Queue"])
    def test_the_tables_know_every_attribute_of_the_builder(self, factory: str) -> None:
        assert offered(getattr(builder.VoiceResponse, factory)) <= set(ATTRIBUTES[factory.title()])

    @pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun in ATTRIBUTES])
    def test_the_tables_know_every_attribute_of_its_nouns(self, noun: str) -> None:
        assert offered(getattr(builder.Dial, noun.lower())) <= set(ATTRIBUTES[noun])

    @pytest.mark.parametrize(("parent", "child"), [("Sip", "Uri"), ("Headers", "Header"), ("Client", "Parameter")])
    def test_the_tables_know_every_attribute_of_its_children_of_nouns(self, parent: str, child: str) -> None:
        assert offered(getattr(getattr(builder, parent), child.lower())) == set(ATTRIBUTES[child])

    def test_the_tables_know_every_noun_of_the_builder(self) -> None:
        names = {name for name in vars(builder.Dial) if not name.startswith("_")}
        assert {name.title().replace("_a", "A").replace("Whats_App", "WhatsApp") for name in names} <= set(NOUNS)

    def test_the_tables_know_every_verb_of_the_builder(self) -> None:
        not_verbs = {"MAP", "add_child", "append", "nest", "to_xml", "xml"}
        names = {name for name in dir(builder.VoiceResponse) if not name.startswith("_")} - not_verbs
        assert {name.title() for name in names} == set(VERBS)


# What these take first is their text.
WITH_TEXT = {"dial", "play", "redirect", "say", "enqueue", "number", "client", "conference", "queue", "sip", "uri"}


def offered(factory: Any) -> set[str]:
    """Return the attributes that a method of the official builder documents, in TwiML's spelling."""
    code = factory.__code__
    names = code.co_varnames[2 if factory.__name__ in WITH_TEXT else 1 : code.co_argcount]
    return {re.sub(r"_(.)", lambda match: match[1].upper(), name.strip("_")) for name in names}
