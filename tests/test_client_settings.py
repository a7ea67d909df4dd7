"""The settings of requests to web applications, and what an operator reads of wrong ones (docs/operating.md)."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from calls.client_settings import check_webhook_networks, check_webhook_user_agent, client_policy


def test_the_policy_is_made_of_them(settings: Any) -> None:
    settings.WEBHOOK_USER_AGENT = "Cordboard"
    settings.WEBHOOK_DENY_NETWORKS = ["private"]
    settings.WEBHOOK_ALLOW_NETWORKS = ["10.1.2.3"]
    policy = client_policy()
    assert policy.user_agent == "Cordboard"
    assert policy.guard.refusal("10.1.2.4")
    assert not policy.guard.refusal("10.1.2.3")


def test_those_of_a_fresh_installation_are_right() -> None:
    assert not client_policy().guard.refusal("127.0.0.1")
    assert client_policy().user_agent == "TwilioProxy/1.1"


@pytest.mark.parametrize("name", ["WEBHOOK_DENY_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "SIP_DENY_NETWORKS"])
def test_a_network_that_is_none_is_named_with_its_setting(settings: Any, name: str) -> None:
    setattr(settings, name, ["10.0.0.0/8", "10.0.0.0/33"])
    (error,) = check_webhook_networks()
    assert error.msg.startswith(f"{name}: '10.0.0.0/33' is neither")


@pytest.mark.parametrize("text", ["", "a\r\nX-Evil: 1", "Vermittlung ü"])
def test_a_user_agent_that_cannot_be_sent_is_refused(settings: Any, text: str) -> None:
    settings.WEBHOOK_USER_AGENT = text
    (error,) = check_webhook_user_agent()
    assert "WEBHOOK_USER_AGENT" in error.msg


def test_the_checks_run_when_a_process_starts(settings: Any) -> None:
    settings.WEBHOOK_DENY_NETWORKS = ["nonsense"]
    assert "calls.E001" in {message.id for message in run_checks()}
