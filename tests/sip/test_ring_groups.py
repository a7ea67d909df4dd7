"""Ring groups with real phones, against all processes: press 1 to take the call, and who is in a call is not rung."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.sip.sipp import HOST
from tests.sip.softphones import Softphone, Softphones
from tests.stack import Stack
from tests.waiting import until

PREPARE = """
from routing.models import *
account = Account.objects.get()
acl = IpAccessControlList.objects.create(account=account, friendly_name="loopback")
acl.ip_addresses.create(friendly_name="loopback", ip_address="127.0.0.1")
domain = SipDomain.objects.create(account=account, domain_name="groups.example", is_default=True)
domain.ip_access_control_lists.set([acl])
phones = [
    Endpoint.objects.create(account=account, name=name, uri=f"sip:{name}@127.0.0.1") for name in ("alice", "bob")
]
for user, settings in (("100", {"confirm": True}), ("200", {"skip_busy": True})):
    group = RingGroup.objects.create(account=account, name=user, **settings)
    for position, phone in enumerate(phones):
        group.members.create(endpoint=phone, position=position)
    domain.routes.create(pattern=user, group=group)
domain.routes.create(pattern="300", endpoint=phones[0])
"""


class GroupStack(Stack):
    """A stack whose database can be asked, and that knows two phones."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database = databases.empty(folder)
        self.environment["DATABASE_URL"] = self.database.url

    def prepare(self) -> None:
        super().prepare()
        done = self.manage("shell", "-v", "0", "-c", PREPARE)
        assert done.returncode == 0, done.stderr

    def uri(self, user: str) -> str:
        return f"sip:{user}@{HOST}:{self.sip}"

    def settle(self, alice: Softphone, bob: Softphone) -> None:
        """Let the endpoints be these phones."""
        for name, phone in (("alice", alice), ("bob", bob)):
            uri = f"sip:{name}@{HOST}:{phone.port}"
            self.database.execute("UPDATE routing_endpoint SET uri=? WHERE name=?", uri, name)

    def legs(self, caller: str) -> dict[str, str]:
        """Return the state of each leg of the last call from a user, by the user that was dialled."""
        sql = (
            "SELECT leg.to_user AS name, leg.status AS status FROM calls_call leg "
            "JOIN calls_call parent ON parent.sid = leg.parent_id WHERE parent.from_user = ?"
        )
        return {str(row["name"]): str(row["status"]) for row in self.database.rows(sql, caller)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GroupStack]:
    made = GroupStack(tmp_path_factory.mktemp("groups"))
    made.start()
    yield made
    made.stop()


def test_whoever_presses_1_gets_the_call_and_a_mailbox_does_not(stack: GroupStack, softphones: Softphones) -> None:
    """Alice's mailbox picks up at once and says nothing; Bob picks up later, hears who calls, and presses 1."""
    alice, bob = softphones.phones(("--answer", "0"), ("--answer", "1", "--at", "2:digits:1"))
    stack.settle(alice, bob)
    caller = softphones.caller(stack.uri("100"), "--from", "carol")
    mailbox, person, answered = (phone.wait("answered").time for phone in (alice, bob, caller))
    assert mailbox < person < answered
    alice.wait("ended")
    assert not bob.told("ended")
    caller.hang_up()
    bob.wait("ended")


def test_who_is_in_a_call_is_not_rung(stack: GroupStack, softphones: Softphones) -> None:
    alice, bob = softphones.phones(("--answer", "0"), ("--answer", "0"))
    stack.settle(alice, bob)
    first = softphones.caller(stack.uri("300"), "--from", "dave")
    first.wait("answered")
    until(lambda: stack.legs("dave") == {"alice": "in-progress"}, "Alice's conversation in the log")
    second = softphones.caller(stack.uri("200"), "--from", "erin")
    second.wait("answered")
    second.hang_up()
    until(lambda: stack.legs("erin") == {"bob": "completed"}, "the call without Alice in the log")
    assert len(alice.told("invite")) == 1
