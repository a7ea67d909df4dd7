"""`python -m bench.api_seed ROWS`: an account with a ring group of ten and a long call log, made by the database.

Runs in the environment of the web process to be measured, whichever database that has; prints JSON of what it made.
Three in four of the calls are the account's; each call has two dialled legs, which are rows like the call's own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

FIRST = 1_790_000_000  # of the calls, in seconds since 1970; the newest, the others are before it
APART = 31  # seconds between two rows
NUMBERS = 5000  # callers
STATUSES = (
    "completed",
    "completed",
    "completed",
    "completed",
    "completed",
    "completed",
    "no-answer",
    "busy",
    "canceled",
    "failed",
)

# How either database writes it; {i} is the number of the row.
_WORDS: dict[str, dict[str, str]] = {
    "sqlite": {
        "sid": "printf('CA%08x%024x', ({0} * 2654435761) % 4294967296, {0})",
        "time": "strftime('%Y-%m-%d %H:%M:%S', {0}, 'unixepoch')",
        "text": "CAST({0} AS TEXT)",
    },
    "postgresql": {
        "sid": "'CA' || lpad(to_hex(({0}::bigint * 2654435761) % 4294967296), 8, '0') || lpad(to_hex({0}), 24, '0')",
        "time": "to_timestamp({0})",
        "text": "({0})::text",
    },
}


def seed(rows: int) -> dict[str, Any]:
    """Make everything and return what requests need to know."""
    from routing.models import Account, Endpoint, RingGroup, RingGroupMember, SipDomain

    accounts = [Account.objects.create(friendly_name=name) for name in ("Bench", "Other")]
    account = accounts[0]
    domain = SipDomain.objects.create(account=account, domain_name="bench.invalid", is_default=True)
    phones = [
        Endpoint.objects.create(account=account, name=f"Phone {number}", uri=f"sip:{number}@198.51.100.7")
        for number in range(10)
    ]
    group = RingGroup.objects.create(account=account, name="Ten")
    for position, phone in enumerate(phones):
        RingGroupMember.objects.create(group=group, endpoint=phone, position=position)
    domain.routes.create(pattern="100", group=group)
    fill(rows, [one.sid for one in accounts], group.pk, phones[0].pk)
    return {"account": account.sid, "token": account.auth_token, "group": group.pk, "phone": phones[0].pk}


def fill(rows: int, accounts: list[str], group: int, endpoint: int) -> None:
    """Write the call log."""
    from django.db import connection

    from calls import statistics
    from calls.models import Call

    known = _columns(connection.vendor, accounts, group, endpoint)
    columns = {str(field.column): known.get(str(field.column), _default(field)) for field in Call._meta.concrete_fields}
    names, values = ", ".join(columns), ", ".join(columns.values())
    numbers = f"WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    table = Call._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"INSERT INTO {table} ({names}) {numbers} SELECT {values} FROM n")
        else:
            cursor.execute(f"{numbers} INSERT INTO {table} ({names}) SELECT {values} FROM n")
        if connection.vendor == "postgresql":  # which does so by itself, a minute later
            cursor.execute("ANALYZE")
    statistics.refresh()  # as the worker does


def _columns(vendor: str, accounts: list[str], group: int, endpoint: int) -> dict[str, str]:
    words = _WORDS[vendor]

    def moment(later: int) -> str:
        return words["time"].format(f"({FIRST} - i * {APART} + {later})")

    whose = f"CASE WHEN (i - i % 3) % 4 = 0 THEN '{accounts[1]}' ELSE '{accounts[0]}' END"
    chosen = " ".join(f"WHEN {number} THEN '{status}'" for number, status in enumerate(STATUSES))
    caller = f"'49' || {words['text'].format(f'30000000 + (i - i % 3) * 7919 % {NUMBERS}')}"
    dialled = words["text"].format("100 + i % 40")
    return {
        "sid": words["sid"].format("i"),
        "account_id": whose,
        "parent_id": f"CASE WHEN i % 3 = 0 THEN NULL ELSE {words['sid'].format('(i - i % 3)')} END",
        "direction": "CASE WHEN i % 3 = 0 THEN 'inbound' ELSE 'outbound-dial' END",
        "status": f"CASE (i / 3) % 10 {chosen} END",
        "from_address": f"'sip:' || {caller} || '@203.0.113.7'",
        "to_address": f"'sip:' || {dialled} || '@bench.invalid'",
        "from_user": caller,
        "to_user": dialled,
        "start_time": moment(0),
        "answer_time": moment(5),
        "end_time": moment(65),
        "duration": "60",
        "group_id": f"CASE WHEN i % 3 = 0 THEN {group} ELSE NULL END",
        "endpoint_id": f"CASE WHEN i % 3 = 0 THEN NULL ELSE {endpoint} END",
        "engine": "'bench'",
    }


def _default(field: Any) -> str:
    if field.null:
        return "NULL"
    return "0" if "Integer" in field.get_internal_type() else "''"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    print(json.dumps(seed(int(sys.argv[1]))))
