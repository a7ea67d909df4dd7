"""System checks of the settings that routing depends on; each hint is the line to write into `.env`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ValidationError

from routing.validators import validate_host

NEW_KEY = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())" draws one; '
    "write FIELD_ENCRYPTION_KEYS=<key> into .env. To change keys put the new one first, "
    "the old ones after a comma."
)


@register
def check_encryption_keys(**_: Any) -> list[CheckMessage]:
    """Refuse to start without a key that can encrypt passwords."""
    if not settings.FIELD_ENCRYPTION_KEYS:
        return [Error("FIELD_ENCRYPTION_KEYS is empty.", hint=NEW_KEY, id="routing.E001")]
    for number, key in enumerate(settings.FIELD_ENCRYPTION_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            text = f"FIELD_ENCRYPTION_KEYS: key {number} is not a Fernet key."
            return [Error(text, hint=NEW_KEY, id="routing.E002")]
    return []


@register
def check_public_url(**_: Any) -> list[CheckMessage]:
    """Refuse a PUBLIC_URL that signatures and callbacks cannot be made with."""
    parts = urlsplit(settings.PUBLIC_URL)
    if parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment:
        return []
    return [
        Error(
            f"PUBLIC_URL is not an absolute URL: {settings.PUBLIC_URL!r}.",
            hint="Write PUBLIC_URL=https://voice.example.com into .env: where this web process is reached.",
            id="routing.E003",
        )
    ]


def _is_behind_nat(bind: str) -> bool:
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        return False
    return address.is_private and not address.is_loopback and not address.is_unspecified


@register
def check_sip_addresses(**_: Any) -> list[CheckMessage]:
    """Warn of an address that phones outside cannot answer to; refuse one that is none."""
    public, bind = settings.SIP_PUBLIC_ADDRESS, settings.SIP_BIND
    if public:
        try:
            validate_host(public)
        except ValidationError:
            text = f"SIP_PUBLIC_ADDRESS is neither a host name nor an IP address: {public!r}."
            hint = "Write SIP_PUBLIC_ADDRESS=203.0.113.7 into .env: address only, without sip: and port."
            return [Error(text, hint=hint, id="routing.E004")]
    elif _is_behind_nat(bind):
        return [
            Warning(
                f"SIP_BIND={bind} is a private address and SIP_PUBLIC_ADDRESS is not set: "
                "phones outside this network will not hear anything.",
                hint="Write SIP_PUBLIC_ADDRESS=<your public IP address> into .env, or the same address as SIP_BIND "
                "if all phones are in this network.",
                id="routing.W002",
            )
        ]
    return []


@register
def check_tls_files(**_: Any) -> list[CheckMessage]:
    """Refuse half a TLS set-up; without a certificate there simply is no TLS."""
    cert, key = settings.SIP_TLS_CERT, settings.SIP_TLS_KEY
    if not cert:
        return []
    if not key:
        hint = "Write SIP_TLS_KEY=<path of the private key> into .env, or empty SIP_TLS_CERT."
        return [Error("SIP_TLS_CERT is set but SIP_TLS_KEY is not.", hint=hint, id="routing.E005")]
    missing = [
        (name, path) for name, path in (("SIP_TLS_CERT", cert), ("SIP_TLS_KEY", key)) if not Path(path).is_file()
    ]
    return [
        Error(f"{name}: there is no file {path}.", hint=f"Correct {name} in .env.", id="routing.E006")
        for name, path in missing
    ]
