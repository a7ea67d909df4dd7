"""`manage.py bootstrap [--demo]`: make everything ready to start; quick when there is nothing to do."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from routing import database_checks, demo
from routing.fields import SecretError
from routing.models import Account, SipDomain

ADMIN = "admin"


class Command(BaseCommand):
    help = "Create folders, tables, static files, the first account and login; with --demo something to call."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="add a demo domain, phones and routes if there is none")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what is missing, then say where to go."""
        create_folders()
        self.migrate()
        self.collect_static()
        account = first_account()
        password = create_admin()
        login = self.demo_login(account, create=options["demo"])
        self.stdout.write(f"Admin:      {settings.PUBLIC_URL}/admin/")
        if password:
            self.stdout.write(f"            login {ADMIN}, password {password} (shown only now)")
        if login:
            self.print_demo(login)

    def migrate(self) -> None:
        """Bring the tables up to date; raise `CommandError` if the database cannot be used."""
        for problem in database_checks.unreachable():
            raise CommandError(database_checks.in_a_line(problem))
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            self.stdout.write("Updating the database …")
            call_command("migrate", interactive=False, verbosity=0)

    def collect_static(self) -> None:
        """Gather the files that the web process serves, if they have changed since the last time."""
        stamp, current = Path(str(settings.STATIC_ROOT)) / ".collected", fingerprint()
        if stamp.is_file() and stamp.read_text(encoding="ascii") == current:
            return
        self.stdout.write("Collecting static files …")
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
        stamp.write_text(current, encoding="ascii")

    def demo_login(self, account: Account, create: bool) -> demo.DemoLogin | None:
        """Make the demo if asked and there is no SIP domain yet; return its login, if there is one, and keep it."""
        if create and not SipDomain.objects.exists():
            demo.create(account, demo.new_password())
        try:
            password = demo.password()
        except SecretError as error:
            self.stderr.write(f"The demo's password cannot be read: {error}.")
            return None
        if password is None:
            return None
        address = f"sip:100@{sip_address()}:{settings.SIP_PORT}"
        login = demo.DemoLogin(f"{settings.PUBLIC_URL}/admin/", address, demo.DOMAIN, demo.USERNAME, password)
        path = Path(settings.DATA_DIR) / "demo.json"
        if login != demo.read(path):
            demo.write(path, login)
        return login

    def print_demo(self, login: demo.DemoLogin) -> None:
        """Say how to call the demo."""
        self.stdout.write(f"Call:       {login.sip_address}")
        self.stdout.write(f"            username {login.username}, password {login.password}")
        self.stdout.write("            100 rings three phones at once, 101 one after the other, 200 speaks")
        self.stdout.write("Try next:   ./cordboard demo-call")


def create_folders() -> None:
    """Make the folders that the settings name; recordings and journals are nobody else's business."""
    for path in (settings.DATA_DIR, settings.RECORDINGS_DIR, settings.JOURNAL_DIR, settings.MEDIA_CACHE_DIR):
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)


def fingerprint() -> str:
    """Return what changes whenever a static file of an installed package or of ours does."""
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def first_account() -> Account:
    """Return the oldest account; make one if there is none."""
    return Account.objects.first() or Account.objects.create(friendly_name="Main account")


def create_admin() -> str:
    """Make the first superuser and return its password; empty if there is one already."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return ""
    password = secrets.token_urlsafe(12)
    user, _ = users.get_or_create(username=ADMIN)
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    return password


def sip_address() -> str:
    """Return the address that phones reach the engine at: the public one, else this machine's own."""
    if settings.SIP_PUBLIC_ADDRESS:
        return str(settings.SIP_PUBLIC_ADDRESS)
    try:
        bind = ipaddress.ip_address(settings.SIP_BIND)
    except ValueError:
        return str(settings.SIP_BIND)
    if bind.is_unspecified:
        bind = ipaddress.ip_address(_own_address(bind.version))
    return f"[{bind}]" if bind.version == 6 else str(bind)


def _own_address(version: int) -> str:
    """Return the source address that packets to the internet would have; nothing is sent."""
    family, target = (socket.AF_INET6, "2001:db8::1") if version == 6 else (socket.AF_INET, "203.0.113.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if version == 6 else "127.0.0.1"
