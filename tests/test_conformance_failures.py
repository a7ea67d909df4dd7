"""What the operator is told when a leg fails: Twilio's codes (conformance §1.5, §1.12), once for each leg."""

from __future__ import annotations

from typing import Any

import pytest

from calls.entries import NoteEntry
from sipengine.ports import Answered, ReferDeclined
from tests.fakes import CALLER, T0, World

ALICE = "<Dial{}><Sip>sip:alice@127.0.0.1{}</Sip></Dial>"


async def dialled(attributes: str = "", uri: str = "", **settings: Any) -> World:
    made = World(ALICE.format(attributes, uri), **settings)
    await made.start()
    return made


def notes(made: World) -> list[tuple[int, str]]:
    return [(entry.code, entry.call_sid) for entry in made.entries if isinstance(entry, NoteEntry)]


class TestDialledLegs:
    """Twilio's error dictionary: 32011 for an endpoint that fails or is not there, 32106 for refused credentials."""

    @pytest.mark.parametrize(
        ("code", "told"),
        [(500, 32011), (503, 32011), (408, 32011), (0, 32011), (401, 32106), (403, 32106), (407, 32106)],
    )
    async def test_a_leg_that_failed_is_a_notification_of_its_own(self, code: int, told: int) -> None:
        made = await dialled()
        await made.ends("alice", code)
        assert made.last("alice").error_code == told
        assert notes(made) == [(told, made.last("alice").sid)]

    @pytest.mark.parametrize("code", [404, 410, 480, 484, 486, 600, 603, 604])
    async def test_what_a_person_or_a_wrong_number_answers_is_none(self, code: int) -> None:
        made = await dialled()
        await made.ends("alice", code)
        assert (made.last("alice").error_code, notes(made)) == (0, [])

    async def test_a_network_error_is_told_with_its_text(self) -> None:
        made = await dialled()
        await made.ends("alice", 0, error="no TLS connection", by_peer=False)
        message = next(entry.message for entry in made.entries if isinstance(entry, NoteEntry))
        assert "sip:alice@127.0.0.1" in message and "no TLS connection" in message

    async def test_a_leg_that_lost_or_was_given_up_is_none(self) -> None:
        made = await dialled()
        await made.ends("caller", 487)
        await made.ends("alice", 503, by_peer=False)
        assert (made.last("alice").status, notes(made)) == ("canceled", [])

    async def test_one_that_was_told_already_is_not_told_again(self) -> None:
        made = World("<Dial><Sip>sip:alice@no-such-host.invalid</Sip></Dial>")
        await made.start()
        await made.until(lambda: made.last("alice").status == "failed")
        assert made.codes() == [13254]

    @pytest.mark.parametrize(("uri", "told"), [(";secure=true", [32207]), (";secure=optional", []), ("", [])])
    async def test_a_phone_that_takes_no_srtp_where_it_is_demanded_is_32207(self, uri: str, told: list[int]) -> None:
        made = await dialled(uri=uri)
        await made.ends("alice", 488)
        assert made.codes() == told


class TestTheCaller:
    """A caller whose phone fails: 32022 without ACK, 32011 for anything else of the network."""

    async def test_a_caller_who_never_acknowledges_the_answer_is_32022(self) -> None:
        made = World("<Say>Hello</Say>")
        await made.start()
        await made.ends("caller", 408, error="the caller never acknowledged the answer (no ACK)", by_peer=False)
        assert made.codes() == [32022]
        assert made.last("caller").error_code == 32022

    async def test_a_connection_that_is_lost_is_32011(self) -> None:
        made = World("<Say>Hello</Say>")
        await made.start()
        await made.ends("caller", 200, error="Request Timeout", by_peer=False)
        assert made.codes() == [32011]

    @pytest.mark.parametrize("code", [200, 487])
    async def test_one_who_hangs_up_is_none(self, code: int) -> None:
        made = World("<Say>Hello</Say>")
        await made.start()
        await made.ends("caller", code)
        assert made.codes() == []


class TestTransfersWithoutReferUrl:
    """`<Dial>` without referUrl: the REFER is declined, which is 13802 for the operator (Twilio's error 13802)."""

    @pytest.mark.parametrize("by_caller", [True, False])
    async def test_the_one_who_tried_is_named(self, by_caller: bool) -> None:
        made = await dialled()
        await made.event(Answered(made.leg("alice"), T0 + 3))
        leg, sid = (CALLER, made.record.sid) if by_caller else (made.leg("alice"), made.last("alice").sid)
        await made.event(ReferDeclined(leg, T0 + 5, "sip:bob@b"))
        assert notes(made) == [(13802, sid)]
        assert made.phone.commands("hangup") == []

    async def test_it_is_told_also_while_nobody_is_dialled(self) -> None:
        made = World("<Say>Hello</Say>")
        await made.start()
        await made.event(ReferDeclined(CALLER, T0 + 5, "sip:bob@b"))
        assert made.codes() == [13802]
