"""The OpenAPI document of /api/v1/, and what schemathesis makes of it: requests that nobody would send by hand.

Source: OpenAPI 3.0; schemathesis' checks `not_a_server_error` and `response_schema_conformance`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as limits
from pytest_django import Settings
from schemathesis.checks import not_a_server_error, response_schema_conformance
from schemathesis.core.failures import FailureGroup

from calls import ledger
from routing.models import Account
from tests import rows, samples
from tests.api.v1 import basic, by_token

pytestmark = pytest.mark.django_db

EXAMPLES = 6  # of each operation: the whole takes some seconds


@pytest.fixture
def document(account: Account) -> dict[str, Any]:
    """The part of the OpenAPI document that is about /api/v1/."""
    answer = by_token(account).get("/api/schema/?format=json")
    assert answer.status == 200
    whole: dict[str, Any] = json.loads(answer.raw)
    return {**whole, "paths": {path: one for path, one in whole["paths"].items() if path.startswith("/api/v1/")}}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_nothing_about_the_documents_is_a_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both APIs: a warning is a name that changes, or a type that is not told."""
    call_command("spectacular", file=str(tmp_path / "schema.yml"), fail_on_warn=True)
    assert "Warning" not in capsys.readouterr().err


class TestDocument:
    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/ring-groups/{id}",
            "/api/v1/ring-groups/{id}/twiml",
            "/api/v1/ring-groups/{id}/ring",
            "/api/v1/ring-groups/import",
            "/api/v1/endpoints/export",
            "/api/v1/credential-lists/{list_sid}/credentials/{sid}",
            "/api/v1/routes/order",
            "/api/v1/calls/{sid}",
            "/api/v1/recordings/{sid}",
            "/api/v1/webhook-deliveries/{sid}/replay",
            "/api/v1/schedules/{id}",
            "/api/v1/voicemail-boxes/{id}",
            "/api/v1/blocked-callers/{id}",
            "/api/v1/voicemail-messages/{recording}/heard",
        ],
    )
    def test_every_path_is_in_it(self, document: dict[str, Any], path: str) -> None:
        assert path in document["paths"]

    def test_every_operation_names_its_problems(self, document: dict[str, Any]) -> None:
        for path, method, operation in operations(document):
            missing = {"400", "401", "403", "404", "429"} - set(operation["responses"])
            assert not missing, (path, method)

    def test_conditions_are_told(self, document: dict[str, Any]) -> None:
        patch = document["paths"]["/api/v1/ring-groups/{id}"]["patch"]
        assert {"409", "412", "428"} <= set(patch["responses"])
        assert "If-Match" in [parameter["name"] for parameter in patch["parameters"]]

    def test_secrets_are_written_only(self, document: dict[str, Any]) -> None:
        for name in ("Endpoint", "Trunk", "Credential"):
            [schema] = [found for key, found in document["components"]["schemas"].items() if key == name]
            assert schema["properties"]["password"]["writeOnly"] is True

    def test_the_page_works_offline(self, account: Account) -> None:
        page = by_token(account).get("/api/docs/").raw.decode()
        assert "/static/drf_spectacular_sidecar/" in page
        assert "cdn." not in page


@pytest.fixture
def everything(account: Account) -> dict[str, Any]:
    """One row of everything, so that requests find something; their identifiers by resource."""
    phone = rows.endpoint(account)
    group = rows.group(account, phone)
    domain = rows.domain(account)
    route = rows.route(domain, "100", group=group)
    trunk = rows.trunk(account, "+49")
    phones = account.credential_lists.create(friendly_name="Phones")
    credential = phones.credentials.create(username="a", password=rows.PASSWORD)
    call = samples.call(account)
    recording, delivery = samples.recording(call, status="absent"), samples.delivery(call)
    ledger.apply([call, recording, delivery])
    schedule = account.schedules.create(name="Office")
    box = account.voicemails.create(name="Support")
    blocked = account.blocked_callers.create(pattern="+4930")
    message = box.messages.create(
        recording_id=recording.sid, account=account, call_id=call.sid, time=timezone.now(), duration=3.0
    )
    return {
        "endpoints": phone.pk, "ring-groups": group.pk, "domains": domain.pk, "routes": route.pk, "trunks": trunk.pk,
        "credential-lists": phones.pk, "credentials": credential.pk, "calls": call.sid, "recordings": recording.sid,
        "webhook-deliveries": delivery.sid, "regions": 1, "schedules": schedule.pk, "voicemail-boxes": box.pk,
        "blocked-callers": blocked.pk, "voicemail-messages": message.pk,
    }  # fmt: skip


def test_nothing_that_schemathesis_sends_ends_in_a_server_error(
    everything: dict[str, Any], account: Account, settings: Settings
) -> None:
    """And every answer is as the document says."""
    settings.API_RATE = ""
    application = get_wsgi_application()
    head = {"Authorization": basic(account.sid, account.auth_token)}
    faults: list[str] = []
    tried = 0

    def attempt(case: schemathesis.Case[Any]) -> None:
        nonlocal tried
        tried += 1
        if tried % 2:  # half of the requests find something
            aim(case, everything)
        undone = transaction.savepoint()
        try:
            case.validate_response(case.call(headers=head), checks=[not_a_server_error, response_schema_conformance])
        except FailureGroup as error:
            faults.append(f"{case.method} {case.formatted_path}: {error.exceptions}")
        finally:
            transaction.savepoint_rollback(undone)

    few: Any = limits(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    api = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application).include(path_regex="^/api/v1/")
    for found in api.get_all_operations():
        generated: Any = given(cast(Any, found).ok().as_strategy())
        few(generated(attempt))()
    assert faults == []
    assert tried > 200


def aim(case: schemathesis.Case[Any], everything: dict[str, Any]) -> None:
    """Put identifiers of rows that there are into the path, and lift the condition."""
    names = case.path_parameters or {}
    resource = case.path.split("/")[3]
    for name in names:
        names[name] = str(everything["credentials" if "list_sid" in names and name == "sid" else resource])
    if case.headers and "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
