"""What `manage.py bootstrap` makes, and that a second run has nothing to do."""

from __future__ import annotations

import io
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db.migrations.executor import MigrationExecutor
from pytest_django.fixtures import Settings

from routing import demo, resolve
from routing.fields import SecretError
from routing.management.commands import bootstrap
from routing.models import Account, Credential, Endpoint, RingGroup, SipDomain
from routing.validators import validate_password
from routing.voice import document

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Keep everything in a folder of the test's own, with static files that are quick to collect."""
    settings.DATA_DIR = tmp_path / "var"
    settings.RECORDINGS_DIR = settings.DATA_DIR / "recordings"
    settings.JOURNAL_DIR = settings.DATA_DIR / "journal"
    settings.MEDIA_CACHE_DIR = settings.DATA_DIR / "media-cache"
    settings.STATIC_ROOT = settings.DATA_DIR / "static"
    settings.PUBLIC_URL = "https://voice.example.com"
    settings.SIP_PUBLIC_ADDRESS, settings.SIP_PORT = "203.0.113.7", 5066
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.css").write_text("a {}")
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    # Django keeps finders in a cache that a change of STATICFILES_DIRS does not empty.
    cache_clear = getattr(finders.get_finder, "cache_clear")  # noqa: B009 (the stubs do not know it)
    cache_clear()
    yield tmp_path
    cache_clear()


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("bootstrap", *arguments, stdout=out, skip_checks=True)
    return out.getvalue()


class TestFirstRun:
    def test_it_makes_the_folders_for_nobody_else(self, settings: Settings) -> None:
        run()
        for folder in (settings.DATA_DIR, settings.RECORDINGS_DIR, settings.JOURNAL_DIR, settings.MEDIA_CACHE_DIR):
            assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700

    def test_it_makes_one_account_and_an_admin_whose_password_it_prints(self) -> None:
        text = run()
        found = re.search(r"login admin, password (\S+)", text)
        assert found
        assert User.objects.get(username="admin").check_password(found[1])
        assert Account.objects.count() == 1

    def test_it_prints_where_the_admin_is(self) -> None:
        assert "https://voice.example.com/admin/" in run()

    def test_it_collects_static_files(self, settings: Settings) -> None:
        run()
        assert (Path(settings.STATIC_ROOT) / "a.css").is_file()

    def test_without_demo_there_is_none(self) -> None:
        text = run()
        assert not SipDomain.objects.exists()
        assert "demo-call" not in text

    def test_it_migrates_when_there_is_something_to_migrate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        called = []
        monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda self, targets: ["one"])
        monkeypatch.setattr(bootstrap, "call_command", lambda name, **_: called.append(name))
        bootstrap.Command(stdout=io.StringIO()).migrate()
        assert called == ["migrate"]


class TestSecondRun:
    def test_it_changes_nothing(self) -> None:
        run("--demo")
        before = [model.objects.count() for model in (Account, User, SipDomain, Endpoint, RingGroup, Credential)]
        text = run("--demo")
        assert [m.objects.count() for m in (Account, User, SipDomain, Endpoint, RingGroup, Credential)] == before
        assert "shown only now" not in text
        assert "Collecting" not in text

    def test_it_collects_again_when_a_static_file_has_changed(self, data: Path) -> None:
        run()
        (data / "source" / "b.css").write_text("b {}")
        assert "Collecting" in run()

    def test_a_user_called_admin_is_made_superuser_when_there_is_none(self) -> None:
        User.objects.create(username="admin", is_active=False)
        assert "password" in run()
        assert User.objects.get().is_superuser

    def test_a_demo_is_not_added_to_a_domain_that_is_there(self) -> None:
        SipDomain.objects.create(account=Account.objects.create(friendly_name="x"), domain_name="mine.example.com")
        run("--demo")
        assert not Endpoint.objects.exists()


class TestDemo:
    def login(self, settings: Settings) -> dict[str, str]:
        kept: dict[str, str] = json.loads((Path(settings.DATA_DIR) / "demo.json").read_text())
        return kept

    def test_its_login_is_printed_and_kept_for_this_user_only(self, settings: Settings) -> None:
        text, path = run("--demo"), Path(settings.DATA_DIR) / "demo.json"
        kept = self.login(settings)
        assert kept["sip_address"] == "sip:100@203.0.113.7:5066"
        assert kept["sip_address"] in text
        assert kept["password"] in text
        assert kept["username"] == "demo"
        assert kept["admin_url"] == "https://voice.example.com/admin/"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_its_password_is_one_that_our_rules_accept(self) -> None:
        validate_password(demo.new_password())

    def test_every_row_passes_the_checks_of_the_admin(self) -> None:
        run("--demo")
        for model in (SipDomain, Credential, Endpoint, RingGroup):
            for row in model.objects.all():
                row.full_clean()

    def test_a_lost_login_file_is_written_again(self, settings: Settings) -> None:
        run("--demo")
        before = self.login(settings)
        (Path(settings.DATA_DIR) / "demo.json").write_text("{broken")
        run()
        assert self.login(settings) == before

    def test_its_login_opens_its_domain(self) -> None:
        run("--demo")
        domain = resolve.load_directory().default
        assert domain is not None
        assert domain.credentials_mapped
        assert list(domain.ha1) == ["demo"]

    @pytest.mark.parametrize(
        ("user", "expected"),
        [("100", 'record="record-from-answer-dual"'), ("101", 'sequential="true"'), ("200", "<Say>")],
    )
    def test_its_routes_lead_somewhere(self, user: str, expected: str) -> None:
        run("--demo")
        account = Account.objects.get()
        assert expected in document(resolve.destination(account, demo.DOMAIN, user)).xml

    def test_a_password_that_cannot_be_read_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreadable() -> str:
            raise SecretError("credential password: lost")

        run("--demo")
        monkeypatch.setattr(demo, "password", unreadable)
        out, err = io.StringIO(), io.StringIO()
        call_command("bootstrap", stdout=out, stderr=err, skip_checks=True)
        assert "cannot be read: credential password: lost" in err.getvalue()


class TestAddress:
    @pytest.mark.parametrize(
        ("bind", "public", "expected"),
        [
            ("0.0.0.0", "203.0.113.7", "203.0.113.7"),
            ("10.1.2.3", "", "10.1.2.3"),
            ("2001:db8::1", "", "[2001:db8::1]"),
            ("sip.example.com", "", "sip.example.com"),
        ],
    )
    def test_it_is_the_public_one_or_the_one_that_is_bound(
        self, settings: Settings, bind: str, public: str, expected: str
    ) -> None:
        settings.SIP_BIND, settings.SIP_PUBLIC_ADDRESS = bind, public
        assert bootstrap.sip_address() == expected

    @pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
    def test_listening_everywhere_it_is_an_address_of_this_machine(self, settings: Settings, bind: str) -> None:
        settings.SIP_BIND, settings.SIP_PUBLIC_ADDRESS = bind, ""
        assert bootstrap.sip_address() not in ("0.0.0.0", "[::]", "")
