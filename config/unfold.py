"""The look of the admin: name, styles and the sidebar, for `settings.UNFOLD`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse, reverse_lazy


def _link(app: str, model: str) -> Callable[[HttpRequest], str]:
    def link(request: HttpRequest) -> str:
        try:
            return reverse(f"admin:{app}_{model}_changelist")
        except NoReverseMatch:
            return ""

    return link


def _allowed(app: str, model: str) -> Callable[[HttpRequest], bool]:
    link = _link(app, model)

    def allowed(request: HttpRequest) -> bool:
        return bool(link(request)) and request.user.has_perm(f"{app}.view_{model}")

    return allowed


def _item(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    link = _link(app, model)

    def active(request: HttpRequest) -> bool:
        # Of the list and of what is in it; other pages below it, such as the live board, have items of their own.
        path, root = request.path, link(request)
        return (
            bool(root) and path.startswith(root) and (path in (root, root + "add/") or path[len(root) :].count("/") > 1)
        )

    return {"title": title, "icon": icon, "link": link, "permission": _allowed(app, model), "active": active}


def _page(title: str, icon: str, name: str, permission: str) -> dict[str, Any]:
    """Return an item for a page that is no model's list."""

    def link(request: HttpRequest) -> str:
        try:
            return reverse(name)
        except NoReverseMatch:
            return ""

    def allowed(request: HttpRequest) -> bool:
        return bool(link(request)) and request.user.has_perm(permission)

    def active(request: HttpRequest) -> bool:
        return bool(request.path == link(request))

    return {"title": title, "icon": icon, "link": link, "permission": allowed, "active": active}


def _named(name: str) -> Callable[[HttpRequest], str]:
    return lambda request: reverse(name)


def _static(path: str) -> Callable[[HttpRequest], str]:
    def url(request: HttpRequest) -> str:
        from django.templatetags.static import static

        return static(path)

    return url


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Cordboard",
    "SITE_HEADER": "Cordboard",
    "SITE_SUBHEADER": "Programmable SIP voice",
    "SITE_SYMBOL": "settings_phone",
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "STYLES": [_static("routing/admin.css")],
    "SCRIPTS": [_static("calls/unheard.js"), _static("routing/sorting.js"), _static("routing/names.js")],
    "DASHBOARD_CALLBACK": "calls.admin_dashboard.callback",
    "LOGIN": {"form": "routing.login.LoginForm"},
    "ACCOUNT": {
        "navigation": [
            {"title": "Two-factor login", "link": _named("two-factor")},
            {"title": "Sessions", "link": _named("sessions")},
            {"title": "Change password", "link": _named("admin:password_change")},
        ]
    },
    "COMMAND": {"search_models": True},
    "SIDEBAR": {
        "show_search": False,
        "command_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Calls",
                "items": [
                    {"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                    _page("Live", "sensors", "admin:calls_call_live", "calls.view_call"),
                    _item("Calls", "call", "calls", "call"),
                    _item("Recordings", "mic", "calls", "recording"),
                    _item("Voicemail", "voicemail", "calls", "voicemailmessage"),
                    _item("Conferences", "groups", "calls", "conference"),
                    _item("Queues", "hourglass_top", "calls", "queue"),
                    _item("Debugger", "bug_report", "calls", "notification"),
                    _item("Webhooks", "webhook", "calls", "webhookdelivery"),
                ],
            },
            {
                "title": "Routing",
                "separator": True,
                "items": [
                    _item("Routes", "alt_route", "routing", "route"),
                    _item("Ring groups", "ring_volume", "routing", "ringgroup"),
                    _item("Opening hours", "schedule", "routing", "schedule"),
                    _item("Voicemail boxes", "inbox", "routing", "voicemail"),
                    _item("Blocked callers", "block", "routing", "blockedcaller"),
                    _item("Endpoints", "deskphone", "routing", "endpoint"),
                    _item("Trunks", "cell_tower", "routing", "trunk"),
                    _page("Simulator", "science", "simulator", "routing.view_route"),
                    _item("Phone numbers", "dialpad", "routing", "phonenumber"),
                    _item("Applications", "code", "routing", "application"),
                    _item("Regions", "public", "routing", "region"),
                ],
            },
            {
                "title": "SIP access",
                "separator": True,
                "items": [
                    _item("SIP domains", "dns", "routing", "sipdomain"),
                    _item("Credential lists", "key", "routing", "credentiallist"),
                    _item("IP access control lists", "shield", "routing", "ipaccesscontrollist"),
                ],
            },
            {
                "title": "System",
                "separator": True,
                "collapsible": True,
                "items": [
                    _item("Changes", "history", "routing", "change"),
                    _item("Accounts", "badge", "routing", "account"),
                    _item("API keys", "vpn_key", "routing", "apikey"),
                    _item("Retention", "auto_delete", "routing", "retentionrule"),
                    _item("Retention runs", "delete_history", "calls", "retentionrun"),
                    _item("Kept calls", "lock", "calls", "hold"),
                    _item("Who listened", "hearing", "calls", "recordingaccess"),
                    _item("Users", "person", "auth", "user"),
                    _item("User groups", "group", "auth", "group"),
                    _item("Queued tasks", "pending_actions", "django_q", "ormq"),
                    _item("Finished tasks", "task_alt", "django_q", "success"),
                    _item("Failed tasks", "report", "django_q", "failure"),
                    _item("Scheduled tasks", "schedule", "django_q", "schedule"),
                ],
            },
        ],
    },
}
