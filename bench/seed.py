"""`python -m bench.seed '{"answer": 7001, …}' PORT [URL]`: the domain, endpoints and routes that the measurements call.

Runs in the environment of the stack to be measured. The numbers are those of the peer bench (docs/bench.md).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django


def seed(phones: dict[str, int], callbacks: int, voice_url: str) -> None:
    """Make the rows; `phones` are the UDP ports of the phones that answer, reject and ring for ever.

    The numbers 1001 and 1011 are 1000 and 1010 with status callbacks of every event to the TCP port `callbacks`.
    """
    from routing.models import Account, IpAccessControlList, Region, SipDomain

    account = Account.objects.create(friendly_name="Bench")
    loopback = IpAccessControlList.objects.create(account=account, friendly_name="Loopback")
    loopback.ip_addresses.create(friendly_name="Loopback", ip_address="127.0.0.1")
    domain = SipDomain.objects.create(
        account=account, domain_name="bench.invalid", voice_url=voice_url, is_default=True
    )
    domain.ip_access_control_lists.add(loopback)
    assert Region.objects.filter(is_default=True).exists()
    _routes(account, domain, phones, callbacks)


def _routes(account: Any, domain: Any, phones: dict[str, int], callbacks: int) -> None:
    from routing.models import Endpoint, RingGroup, RingGroupMember, Route

    def endpoint(user: str, kind: str, **more: Any) -> Endpoint:
        return Endpoint.objects.create(account=account, name=user, uri=f"sip:{user}@127.0.0.1:{phones[kind]}", **more)

    told = {
        "status_callback": f"http://127.0.0.1:{callbacks}/status",
        "status_callback_events": "initiated ringing answered completed",
    }

    answer = endpoint("answer", "answer")
    rejecting = [endpoint(f"reject{number}", "reject") for number in (1, 2)]
    ringing = [endpoint(f"r{number}", "ring") for number in range(1, 10)]

    def group(number: str, members: list[Endpoint], **more: Any) -> None:
        made = RingGroup.objects.create(account=account, name=number, **more)
        for position, member in enumerate(members):
            RingGroupMember.objects.create(group=made, endpoint=member, position=position)
        Route.objects.create(domain=domain, pattern=number, group=made)

    for number in ("1000", "1040"):
        Route.objects.create(domain=domain, pattern=number, endpoint=answer)
    telling = endpoint("telling", "answer", **told)
    Route.objects.create(domain=domain, pattern="1001", endpoint=telling)
    group("1011", [*(endpoint(f"t{number}", "ring", **told) for number in range(1, 10)), telling])
    group("1003", [*ringing[:2], answer])
    group("1010", [*ringing, answer])
    group("1020", [*rejecting, answer], strategy=RingGroup.Strategy.SEQUENTIAL)
    group("1030", [answer], record=RingGroup.Record.ANSWER)
    group("1031", [answer], record=RingGroup.Record.ANSWER_DUAL)
    group("1050", ringing[:1], ring_timeout=60)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    seed(json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
