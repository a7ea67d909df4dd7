"""Incoming phone numbers through the official helper library."""

from __future__ import annotations

from typing import Any

import pytest
from twilio.rest import Client

from routing.models import Account, Application, PhoneNumber
from tests import rows
from tests.api.wire import refused

NUMBER = "+15550100"
URL = "https://example.com/voice"


class TestPhoneNumbers:
    """Twilio's IncomingPhoneNumber resource."""

    def test_one_is_made(self, client: Client) -> None:
        made = client.incoming_phone_numbers.create(
            phone_number=NUMBER,
            friendly_name="Sales",
            voice_url=URL,
            voice_method="GET",
            voice_fallback_url=f"{URL}/again",
            voice_fallback_method="GET",
            status_callback=f"{URL}/ended",
            status_callback_method="GET",
        )
        row = PhoneNumber.objects.get(pk=made.sid)
        assert (row.phone_number, row.friendly_name, row.voice_url, row.voice_method) == (NUMBER, "Sales", URL, "GET")
        assert (row.voice_fallback_url, row.voice_fallback_method) == (f"{URL}/again", "GET")
        assert (row.status_callback, row.status_callback_method) == (f"{URL}/ended", "GET")

    def test_its_name_is_its_number_unless_given(self, client: Client) -> None:
        assert client.incoming_phone_numbers.create(phone_number=NUMBER).friendly_name == NUMBER

    def test_it_is_fetched_listed_changed_and_deleted(self, client: Client) -> None:
        made = client.incoming_phone_numbers.create(phone_number=NUMBER)
        assert client.incoming_phone_numbers(made.sid).fetch().phone_number == NUMBER
        assert [found.sid for found in client.incoming_phone_numbers.list()] == [made.sid]
        assert made.update(voice_url=URL).voice_url == URL
        assert made.delete() and not PhoneNumber.objects.exists()

    def test_an_application_of_the_account_handles_it(self, client: Client, account: Account) -> None:
        app = Application.objects.create(account=account, voice_url=URL)
        made = client.incoming_phone_numbers.create(phone_number=NUMBER, voice_application_sid=app.sid)
        assert made.voice_application_sid == app.sid
        assert PhoneNumber.objects.get().handler == app
        assert made.update(voice_application_sid="").voice_application_sid is None

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({"phone_number": NUMBER}, 1),
            ({"phone_number": "5550"}, 2),
            ({"friendly_name": "Sales"}, 1),
            ({"beta": True}, 0),
            ({"beta": False}, 2),
            ({"origin": "twilio"}, 0),
            ({"origin": "hosted"}, 2),
        ],
    )
    def test_a_list_is_narrowed(self, client: Client, filters: dict[str, Any], count: int) -> None:
        client.incoming_phone_numbers.create(phone_number=NUMBER, friendly_name="Sales")
        client.incoming_phone_numbers.create(phone_number="+15550101")
        assert len(client.incoming_phone_numbers.list(**filters)) == count

    @pytest.mark.parametrize(
        ("given", "code", "word"),
        [
            ({"phone_number": "5550100"}, 21421, "PhoneNumber"),
            ({"phone_number": "+0555"}, 21421, "PhoneNumber"),
            ({"phone_number": "+1234567890123456"}, 21421, "PhoneNumber"),
            ({"phone_number": "+१२३४५"}, 21421, "PhoneNumber"),
            ({"area_code": "415"}, 20001, "AreaCode"),
            ({"phone_number": NUMBER, "voice_application_sid": "AP" + "0" * 32}, 21218, "VoiceApplicationSid"),
            ({"phone_number": NUMBER, "voice_application_sid": "nonsense"}, 21218, "VoiceApplicationSid"),
            ({"phone_number": NUMBER, "voice_receive_mode": "fax"}, 20001, "VoiceReceiveMode"),
            ({"phone_number": NUMBER, "sms_url": URL}, 20001, "SmsUrl"),
            ({"phone_number": NUMBER, "voice_url": "x"}, 21205, "VoiceUrl"),
        ],
    )
    def test_a_wrong_value_is_refused(self, client: Client, given: dict[str, Any], code: int, word: str) -> None:
        with refused(400, code, word):
            client.incoming_phone_numbers.create(**given)
        assert not PhoneNumber.objects.exists()

    def test_another_account_s_application_is_refused(self, client: Client) -> None:
        app = Application.objects.create(account=rows.account("Other"))
        with refused(400, 21218, app.sid):
            client.incoming_phone_numbers.create(phone_number=NUMBER, voice_application_sid=app.sid)

    def test_a_number_is_one_account_s(self, client: Client) -> None:
        PhoneNumber.objects.create(account=rows.account("Other"), phone_number=NUMBER)
        with refused(400, 21422, "PhoneNumber"):
            client.incoming_phone_numbers.create(phone_number=NUMBER)
