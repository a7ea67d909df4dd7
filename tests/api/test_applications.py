"""Applications through the official helper library."""

from __future__ import annotations

import pytest
from twilio.rest import Client

from routing.models import Account, Application, PhoneNumber
from tests.api.wire import refused

URL = "https://example.com/voice"


class TestApplications:
    """Twilio's Application resource; conformance §1.14."""

    def test_one_is_made_with_its_voice_urls(self, client: Client) -> None:
        made = client.applications.create(
            friendly_name="Menu",
            voice_url=URL,
            voice_method="GET",
            voice_fallback_url=f"{URL}/again",
            voice_fallback_method="GET",
            status_callback=f"{URL}/ended",
            status_callback_method="GET",
        )
        row = Application.objects.get(pk=made.sid)
        assert (row.friendly_name, row.voice_url, row.voice_method) == ("Menu", URL, "GET")
        assert (row.voice_fallback_url, row.voice_fallback_method) == (f"{URL}/again", "GET")
        assert (row.status_callback, row.status_callback_method) == (f"{URL}/ended", "GET")

    def test_nothing_is_required(self, client: Client) -> None:
        made = client.applications.create()
        assert (made.voice_method, made.voice_url, made.friendly_name) == ("POST", None, None)

    def test_it_is_fetched(self, client: Client) -> None:
        made = client.applications.create(friendly_name="Menu")
        assert client.applications(made.sid).fetch().friendly_name == "Menu"

    def test_what_is_not_named_in_an_update_stays(self, client: Client) -> None:
        made = client.applications.create(friendly_name="Menu", voice_url=URL)
        made.update(friendly_name="Old menu")
        assert client.applications(made.sid).fetch().voice_url == URL

    def test_an_empty_value_takes_a_url_away(self, client: Client) -> None:
        made = client.applications.create(voice_url=URL)
        assert made.update(voice_url="").voice_url is None

    def test_a_list_is_narrowed_by_name(self, client: Client) -> None:
        client.applications.create(friendly_name="Menu")
        client.applications.create(friendly_name="Other")
        assert [found.friendly_name for found in client.applications.list(friendly_name="Menu")] == ["Menu"]

    def test_numbers_of_a_deleted_one_have_their_own_urls_again(self, client: Client, account: Account) -> None:
        made = client.applications.create()
        PhoneNumber.objects.create(account=account, phone_number="+15550100", application_id=made.sid)
        assert client.applications(made.sid).delete()
        assert PhoneNumber.objects.get().application is None

    def test_a_deleted_one_is_gone(self, client: Client) -> None:
        made = client.applications.create()
        made.delete()
        with refused(404, 20404, made.sid):
            made.fetch()

    @pytest.mark.parametrize(
        ("name", "value", "code", "word"),
        [
            ("voice_url", "example.com", 21205, "VoiceUrl"),
            ("voice_url", "https://under_score.example/", 21205, "underscore"),
            ("voice_url", "https://example.com/" + "x" * 2000, 21205, "2000"),
            ("voice_method", "PUT", 21209, "VoiceMethod: must be one of GET, POST"),
            ("friendly_name", "x" * 65, 20001, "FriendlyName"),
            ("friendly_name", "a\0b", 20001, "FriendlyName"),
            ("sms_url", URL, 20001, "SmsUrl: is not supported here"),
        ],
    )
    def test_a_wrong_value_is_refused_by_its_name(
        self, client: Client, name: str, value: str, code: int, word: str
    ) -> None:
        with refused(400, code, word):
            client.applications.create(**{name: value})
        assert not Application.objects.exists()

    def test_an_update_is_made_whole_or_not_at_all(self, client: Client) -> None:
        made = client.applications.create(friendly_name="Menu")
        with refused(400, 21205):
            made.update(friendly_name="New", voice_url="nonsense")
        assert client.applications(made.sid).fetch().friendly_name == "Menu"
