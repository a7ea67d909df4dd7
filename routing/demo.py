"""The demo set-up: a SIP domain with one login, three phones on this machine, and three routes to try."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db import transaction

from routing.models import (
    Account,
    Credential,
    CredentialList,
    EndingKind,
    Endpoint,
    RingGroup,
    RingGroupMember,
    Route,
    SipDomain,
)

DOMAIN = "demo.cordboard.local"
USERNAME = "demo"
PHONES = (("Alice", 5071), ("Bob", 5072), ("Carol", 5073))
WELCOME = "Welcome to Cordboard. This call was answered by a route that speaks. Goodbye."


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """What a phone needs to call the demo, as `demo.json` keeps it for `demo_call`."""

    admin_url: str
    sip_address: str
    domain: str
    username: str
    password: str


def new_password() -> str:
    """Draw a password that Twilio's rules for credentials accept."""
    while True:
        text = secrets.token_urlsafe(12)
        if any(c.isdigit() for c in text) and any(c.isupper() for c in text) and any(c.islower() for c in text):
            return text


@transaction.atomic
def create(account: Account, password: str) -> None:
    """Make the demo's rows: 100 rings three phones at once, 101 one after the other, 200 speaks."""
    phones = CredentialList.objects.create(account=account, friendly_name="Demo phones")
    Credential.objects.create(credential_list=phones, username=USERNAME, password=password)
    domain = SipDomain.objects.create(account=account, domain_name=DOMAIN, friendly_name="Demo", is_default=True)
    domain.credential_lists.add(phones)
    endpoints = [
        Endpoint.objects.create(account=account, name=name, uri=f"sip:{name.lower()}@127.0.0.1:{port}")
        for name, port in PHONES
    ]
    demo = RingGroup.objects.create(
        account=account, name="Demo", ring_timeout=20, record=RingGroup.Record.ANSWER_DUAL, answer_on_bridge=True
    )
    hunt = RingGroup.objects.create(
        account=account, name="Hunt", strategy=RingGroup.Strategy.SEQUENTIAL, ring_timeout=10
    )
    welcome = RingGroup.objects.create(account=account, name="Welcome", fallback=EndingKind.SAY, fallback_text=WELCOME)
    for group in (demo, hunt):
        for position, endpoint in enumerate(endpoints):
            RingGroupMember.objects.create(group=group, endpoint=endpoint, position=position)
    for pattern, group in (("100", demo), ("101", hunt), ("200", welcome)):
        Route.objects.create(domain=domain, pattern=pattern, group=group)


def password() -> str | None:
    """Return the demo login's password, None if there is no demo; raise `SecretError` if it cannot be decrypted."""
    logins = Credential.objects.filter(username=USERNAME, credential_list__sip_domains__domain_name=DOMAIN)
    credential = logins.first()
    return credential.password if credential else None


def write(path: Path, login: DemoLogin) -> None:
    """Keep the login for `demo_call`, readable by this user only."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(login), file, indent=2)


def read(path: Path) -> DemoLogin | None:
    """Return the login that `write` kept, None if there is none that can be read."""
    try:
        return DemoLogin(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
