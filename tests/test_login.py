"""Logging in: one-time codes, who must have them, throttling of guesses, and the list of sessions."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django.fixtures import Settings

from routing import roles
from routing.models import Account, UserSession
from routing.user_sessions import browser, forget_ended
from tests import rows

pytestmark = pytest.mark.django_db
PASSWORD = "Correct-Horse-9"
LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def no_failures_yet() -> None:
    cache.clear()


@pytest.fixture
def ana() -> User:
    user = User.objects.create_user("ana", password=PASSWORD, is_staff=True)
    roles.assign(user, "admin", False)
    return user


def log_in(client: Client, token: str = "", password: str = PASSWORD, **headers: Any) -> Any:
    return client.post(LOGIN, {"username": "ana", "password": password, "otp_token": token}, **headers)


def code_of(device: TOTPDevice, drift: int = 0) -> str:
    return f"{totp(device.bin_key, drift=drift):06d}"


def enrol(client: Client, user: User) -> list[str]:
    """Set two-factor login up on its page and return the recovery codes."""
    client.get(reverse("two-factor"))
    device = TOTPDevice.objects.get(user=user)
    # The code of the step before, so that the next login can use that of now.
    answer = client.post(reverse("two-factor"), {"do": "confirm", "code": code_of(device, -1)})
    return re.findall(r"<li><code>([a-z2-7]{10})</code>", answer.content.decode())


class TestTwoFactor:
    def test_who_has_none_logs_in_with_the_password(self, client: Client, ana: User) -> None:
        assert log_in(client).status_code == 302
        assert client.get("/admin/").status_code == 200

    def test_it_is_set_up_with_a_picture_and_a_code(self, client: Client, ana: User) -> None:
        client.force_login(ana)
        page = client.get(reverse("two-factor")).content.decode()
        assert "<svg" in page and '<code class="cb-key">' in page
        wrong = client.post(reverse("two-factor"), {"do": "confirm", "code": "12 34"})
        assert "is the clock of your phone right?" in wrong.content.decode()
        assert not TOTPDevice.objects.get(user=ana).confirmed

    def test_the_code_is_asked_for_from_then_on(self, client: Client, ana: User) -> None:
        client.force_login(ana)
        assert len(enrol(client, ana)) == 10
        other = Client()
        assert "Enter the code that your app shows" in log_in(other).content.decode()
        assert "This code is wrong" in log_in(other, "000000").content.decode()
        with time_machine.travel(timezone.now() + timedelta(seconds=5), tick=True):  # after the pause for guesses
            assert log_in(other, code_of(TOTPDevice.objects.get(user=ana))).status_code == 302

    def test_a_recovery_code_lets_in_once(self, client: Client, ana: User) -> None:
        client.force_login(ana)
        code = enrol(client, ana)[0]
        assert log_in(Client(), f" {code.upper()} ").status_code == 302
        assert log_in(Client(), code).status_code == 200

    def test_setting_it_up_ends_the_other_sessions(self, client: Client, ana: User) -> None:
        other = Client()
        log_in(other)
        log_in(client)
        enrol(client, ana)
        assert other.get("/admin/").status_code == 302
        assert client.get("/admin/").status_code == 200

    def test_turning_it_off_needs_the_password(self, client: Client, ana: User) -> None:
        client.force_login(ana)
        enrol(client, ana)
        client.post(reverse("two-factor"), {"do": "off", "password": "guessed"})
        assert TOTPDevice.objects.filter(user=ana, confirmed=True).exists()
        client.post(reverse("two-factor"), {"do": "off", "password": PASSWORD})
        assert not TOTPDevice.objects.filter(user=ana, confirmed=True).exists()
        assert not StaticDevice.objects.exists()
        assert log_in(Client()).status_code == 302

    def test_new_recovery_codes_replace_the_old(self, client: Client, ana: User) -> None:
        client.force_login(ana)
        old = enrol(client, ana)
        answer = client.post(reverse("two-factor"), {"do": "codes", "password": PASSWORD})
        new = re.findall(r"<code>([a-z2-7]{10})</code>", answer.content.decode())
        assert len(new) == 10 and not set(new) & set(old)
        assert new[0] not in client.get(reverse("two-factor")).content.decode()
        assert log_in(Client(), old[0]).status_code == 200

    def test_an_admin_helps_who_has_lost_the_phone(self, admin_client: Client, client: Client, ana: User) -> None:
        client.force_login(ana)
        enrol(client, ana)
        values = {"action": "reset_two_factor", "_selected_action": [ana.pk]}
        admin_client.post(reverse("admin:auth_user_changelist"), values)
        assert log_in(Client()).status_code == 302
        assert LogEntry.objects.filter(object_id=str(ana.pk), change_message__contains="two-factor").count() == 2

    def test_nobody_reads_the_secrets_of_others(self, admin_client: Client, ana: User) -> None:
        device = TOTPDevice.objects.create(user=ana, confirmed=True)
        for path in ("otp_totp/totpdevice/", f"otp_totp/totpdevice/{device.pk}/qrcode/", "otp_static/staticdevice/"):
            assert admin_client.get(f"/admin/{path}").status_code == 404

    def test_admins_are_led_to_it_where_it_is_demanded(self, client: Client, ana: User, settings: Settings) -> None:
        settings.REQUIRE_TWO_FACTOR = True
        client.force_login(ana)
        assert client.get("/admin/")["Location"] == reverse("two-factor")
        assert client.get("/api/v1/endpoints").status_code == 403
        pretending = {"Authorization": "Basic eDp5"}  # the admin takes no keys: it is the session that would let in
        assert client.get("/admin/", headers=pretending)["Location"] == reverse("two-factor")
        assert client.get(f"/recordings/RE{'1' * 32}.wav", headers=pretending).status_code == 403
        enrol(client, ana)
        assert client.get("/admin/").status_code == 200

    def test_others_are_not(self, client: Client, ana: User, settings: Settings) -> None:
        settings.REQUIRE_TWO_FACTOR = True
        roles.assign(ana, "operator", False)
        client.force_login(ana)
        assert client.get("/admin/").status_code == 200


class TestThrottling:
    def test_who_guesses_is_locked_out_and_told_for_how_long(self, client: Client, ana: User) -> None:
        answers = [log_in(client, password=f"guess {number}") for number in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 200, 429]
        right = log_in(client)
        assert right.status_code == 429
        assert "15 minutes" in right.content.decode()
        assert 0 < int(right["Retry-After"]) <= 900
        with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
            assert log_in(client).status_code == 302

    def test_others_at_other_addresses_are_not(self, client: Client, ana: User) -> None:
        for number in range(5):
            log_in(client, password=f"guess {number}", REMOTE_ADDR="203.0.113.66")
        assert log_in(client, REMOTE_ADDR="203.0.113.67").status_code == 302

    def test_the_api_counts_wrong_credentials_by_account_and_address(self, client: Client, settings: Settings) -> None:
        settings.API_ATTEMPTS = 3
        account, other = rows.account(), rows.account("Other")

        def ask(of: Account, token: str, address: str = "203.0.113.66") -> Any:
            value = base64.b64encode(f"{of.pk}:{token}".encode()).decode()
            return client.get(
                f"/2010-04-01/Accounts/{of.pk}.json", headers={"Authorization": f"Basic {value}"}, REMOTE_ADDR=address
            )

        assert [ask(account, "0" * 32).status_code for _ in range(4)] == [401, 401, 401, 429]
        refused = ask(account, account.auth_token)
        assert refused.status_code == 429 and refused.json()["code"] == 20429 and refused["Retry-After"]
        assert ask(account, account.auth_token, "203.0.113.67").status_code == 200
        assert ask(other, other.auth_token).status_code == 200


class TestSessions:
    def test_a_login_is_listed_with_browser_and_address(self, client: Client, ana: User) -> None:
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
        log_in(client, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT=agent)
        page = client.get(reverse("sessions")).content.decode()
        assert "Firefox on Linux" in page and "203.0.113.9" in page and "this one" in page

    def test_a_program_is_told_without_what_cannot_be_seen(self, client: Client, ana: User) -> None:
        log_in(client, HTTP_USER_AGENT="curl\0\u202e\x1b[2J/8")
        assert UserSession.objects.get().user_agent == "curl[2J/8"

    def test_it_is_noted_once_a_minute_at_most(
        self, client: Client, ana: User, django_assert_max_num_queries: Any
    ) -> None:
        log_in(client)
        before = UserSession.objects.get().seen
        client.get("/healthz")
        client.get(reverse("two-factor"))
        assert UserSession.objects.get().seen == before
        with time_machine.travel(timezone.now() + timedelta(minutes=2), tick=True):
            client.get(reverse("two-factor"))
        assert UserSession.objects.get().seen > before

    def test_one_ends_another_of_his_own(self, client: Client, ana: User) -> None:
        other = Client()
        log_in(other)
        log_in(client)
        row = UserSession.objects.exclude(key=client.session.session_key).get()
        client.post(reverse("sessions"), {"end": row.pk})
        assert other.get("/admin/").status_code == 302
        assert client.get("/admin/").status_code == 200

    def test_operators_neither_see_nor_end_sessions_of_others(self, client: Client, ana: User) -> None:
        other = Client()
        other.force_login(User.objects.create(username="bo", is_staff=True))
        other.get(reverse("sessions"))
        roles.assign(ana, "operator", False)
        log_in(client)
        assert "Sessions of others" not in client.get(reverse("sessions")).content.decode()
        client.post(reverse("sessions"), {"end": UserSession.objects.get(user__username="bo").pk})
        assert other.get(reverse("sessions")).status_code == 200

    def test_admins_end_those_of_others(self, client: Client, ana: User) -> None:
        other = Client()
        other.force_login(User.objects.create(username="bo", is_staff=True))
        other.get(reverse("sessions"))
        log_in(client)
        assert "Sessions of others" in client.get(reverse("sessions")).content.decode()
        client.post(reverse("sessions"), {"end": UserSession.objects.get(user__username="bo").pk})
        assert other.get(reverse("sessions")).status_code == 302

    def test_a_new_password_ends_the_others_and_keeps_this_one(self, client: Client, ana: User) -> None:
        other = Client()
        log_in(other)
        log_in(client)
        new = "Another-Horse-8"
        values = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        assert client.post(reverse("admin:password_change"), values).status_code == 302
        assert other.get("/admin/").status_code == 302
        page = client.get(reverse("sessions"))
        assert page.status_code == 200 and len(page.context["own"]) == 1

    def test_a_logout_takes_the_row_along(self, client: Client, ana: User) -> None:
        log_in(client)
        client.post(reverse("admin:logout"))
        assert not UserSession.objects.exists()

    def test_expired_ones_are_forgotten(self, client: Client, ana: User) -> None:
        log_in(client)
        with time_machine.travel(timezone.now() + timedelta(days=30), tick=False):
            assert forget_ended() == 1

    @pytest.mark.parametrize("end", ["", "x", "9" * 40, "0"])
    def test_nonsense_ends_nothing(self, client: Client, ana: User, end: str) -> None:
        log_in(client)
        assert client.post(reverse("sessions"), {"end": end}).status_code == 302
        assert UserSession.objects.count() == 1

    def test_unknown_programs_are_shown_as_they_say(self) -> None:
        assert browser("curl/8.0") == "curl/8.0"
        assert browser("") == "unknown"
