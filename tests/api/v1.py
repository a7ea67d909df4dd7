"""Requests to /api/v1/ for tests: JSON in and out, by an account, a key or a session."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from routing.models import Account, ApiKey

ROOT = "/api/v1/"


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    body: Any
    headers: Any
    raw: bytes = b""

    def __getitem__(self, key: Any) -> Any:
        return self.body[key]

    @property
    def ids(self) -> list[Any]:
        """Return what identifies the rows of a page."""
        return [row.get("sid", row.get("id")) for row in self.body["results"]]


class V1:
    """Whoever makes the requests."""

    def __init__(self, authorization: str = "", user: User | None = None) -> None:
        self.http = APIClient(enforce_csrf_checks=False)
        if authorization:
            self.http.credentials(HTTP_AUTHORIZATION=authorization)
        if user:
            self.http.force_login(user)

    def ask(self, method: str, path: str, data: Any = None, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path = path if path.startswith("/") else ROOT + path
        given = {} if data is None else {"data": data, "format": "json"}
        answer = getattr(self.http, method.lower())(path, headers=named, **given)
        return reply(answer)

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("get", path, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> Reply:
        return self.ask("post", path, data, **headers)

    def patch(self, path: str, data: Any, **headers: str) -> Reply:
        return self.ask("patch", path, data, **headers)

    def put(self, path: str, data: Any, **headers: str) -> Reply:
        return self.ask("put", path, data, **headers)

    def delete(self, path: str, **headers: str) -> Reply:
        return self.ask("delete", path, **headers)

    def send(
        self, method: str, path: str, body: bytes | str, content_type: str = "application/json", **headers: str
    ) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return reply(self.http.generic(method, ROOT + path, cast(str, body), content_type=content_type, headers=named))


def reply(answer: Any) -> Reply:
    is_json = "json" in answer.headers.get("Content-Type", "") and answer.content
    return Reply(answer.status_code, answer.json() if is_json else None, answer.headers, answer.content)


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def by_token(account: Account) -> V1:
    return V1(basic(account.sid, account.auth_token))


def by_key(account: Account, *, read_only: bool = False) -> V1:
    key = ApiKey(account=account, read_only=read_only)
    secret = key.draw_secret()
    key.save()
    return V1(basic(key.sid, secret))


def by_session(*permissions: str, staff: bool = True) -> V1:
    """Return somebody who is logged in, with permissions such as `routing.view_ringgroup`."""
    user = User.objects.create_user(f"user{User.objects.count()}", is_staff=staff)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return V1(user=user)
