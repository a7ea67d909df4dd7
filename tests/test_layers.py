"""Who may import what: the table of docs/architecture.md, held against every import statement of the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("routing", "calls", "sipengine")  # each may import those before it, never those after


@dataclass(frozen=True)
class Layer:
    """Modules that match one of `modules`, and what they may import of ours (layers) and of others (packages)."""

    name: str
    modules: frozenset[str]
    ours: frozenset[str]
    others: frozenset[str]
    never: frozenset[str]  # of the standard library


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def layer(name: str, modules: str, ours: str, others: str = "", never: str = "") -> Layer:
    return Layer(name, words(modules), words(ours), words(others), words(never))


# Modules of these names must be pure; any other whose docstring begins with PURE: is held to the same rule.
PURE = layer(
    "pure",
    "routing.answers routing.sid routing.errors routing.sipuri routing.digest routing.admission "
    "routing.outbound calls.status calls.entries calls.webhooks calls.wav sipengine.twiml sipengine.dial",
    ours="pure",
    others="lxml defusedxml orjson",
    never="asyncio concurrent http multiprocessing queue selectors socket ssl subprocess threading",
)
WEB = "django rest_framework drf_spectacular django_filters twilio unfold cryptography environ"
MEDIA = "numpy soundfile soxr espeakng_loader"
LAYERS = (  # the first one that matches
    layer("command", "*.management *.management.*", ours="*", others="*"),
    # The admin shows the queue of background tasks too, which belongs to no app of ours.
    layer(
        "admin",
        "routing.admin* routing.*forms routing.theme routing.form_guard",
        ours="pure routing admin login",
        others=WEB + " django_q holidays",
        never="asyncio",
    ),
    layer("login", "routing.login routing.two_factor", ours="pure routing", others=WEB + " axes django_otp qrcode"),
    layer("routing", "routing routing.*", ours="pure routing", others=WEB + " holidays soundfile", never="asyncio"),
    layer(
        "webclient",
        "calls.webclient calls.guarded calls.callback_request",
        ours="pure webclient",
        others="aiohttp yarl",
    ),
    layer("audio", "calls.audio calls.waveform", ours="pure audio", others="numpy soundfile orjson"),
    layer(
        "calls",
        "calls calls.*",
        ours="pure routing admin webclient audio calls",
        others=WEB + " django_q",
        never="asyncio",
    ),
    layer("store", "sipengine.store", ours="pure ports routing calls", others="django"),
    layer("simulator", "sipengine.simulator", ours="pure routing admin calls", others=WEB),
    layer("pjsip", "sipengine.pjsip*", ours="pure ports pjsip", others="pjsua2"),
    layer("ports", "sipengine.ports", ours="pure"),
    layer("certificate", "sipengine.certificate", ours="pure", others="cryptography"),
    layer("app", "sipengine.apps", ours="pure", others="django"),
    layer("softphone", "sipengine.softphone", ours="pure ports pjsip certificate"),
    layer("engine", "sipengine sipengine.*", ours="pure ports webclient engine", others="aiohttp yarl orjson " + MEDIA),
    layer("config", "config config.*", ours="pure routing calls config simulator", others=WEB + " granian uvloop"),
)


@dataclass(frozen=True)
class Module:
    """One source file as a module; `package` is what its relative imports start from."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


def layer_of(name: str, modules: Mapping[str, Module]) -> Layer:
    known = modules.get(name)
    docstring = (ast.get_docstring(known.tree) or "") if known else ""
    pure = docstring.startswith("PURE:") or any(name == pure or name.startswith(pure + ".") for pure in PURE.modules)
    return PURE if pure else next(one for one in LAYERS if any(fnmatchcase(name, glob) for glob in one.modules))


def imports(module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    """Yield the full name of everything the module imports, wherever the statement stands."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(source, names, level):
                base = ".".join(module.package.split(".")[: len(module.package.split(".")) - (level or 1) + 1])
                source = ".".join(filter(None, (base if level else "", source)))
                members = (f"{source}.{alias.name}" for alias in names)
                yield from {member if member in modules else source for member in members}


def allowed(module: Module, target: str, modules: Mapping[str, Module]) -> bool:
    here, top = layer_of(module.name, modules), target.partition(".")[0]
    if top in (*APPS, "config"):
        there = layer_of(target, modules)
        app = module.name.partition(".")[0]
        upward = app in APPS and top in APPS and APPS.index(top) > APPS.index(app)
        return "*" in here.ours or (there.name in here.ours and not upward)
    if top in sys.stdlib_module_names:
        return top not in here.never
    return top in here.others or "*" in here.others


def violations(modules: Mapping[str, Module], names: Iterable[str]) -> list[str]:
    return [
        f"{name} ({layer_of(name, modules).name}) imports {target}"
        for name in names
        for target in imports(modules[name], modules)
        if not allowed(modules[name], target, modules)
    ]


def read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), ast.parse(path.read_bytes()), is_package)


@pytest.fixture(scope="module")
def code() -> dict[str, Module]:
    found = (read(path) for folder in (*APPS, "config") for path in sorted((ROOT / folder).rglob("*.py")))
    return {module.name: module for module in found}


def test_no_import_crosses_a_layer(code: dict[str, Module]) -> None:
    assert violations(code, code) == []


@pytest.mark.parametrize("app", APPS)
def test_the_init_files_of_the_apps_are_empty(app: str) -> None:
    assert (ROOT / app / "__init__.py").read_bytes() == b""


def test_the_pure_modules_say_so(code: dict[str, Module]) -> None:
    silent = [name for name in PURE.modules if not (ast.get_docstring(code[name].tree) or "").startswith("PURE:")]
    assert silent == []


def test_pure_modules_load_neither_django_nor_asyncio_nor_pjsua2(code: dict[str, Module]) -> None:
    pure = [name for name in code if layer_of(name, code) is PURE]
    program = f"import sys, {', '.join(pure)}; print(*{{'django', 'asyncio', 'pjsua2'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


FORBIDDEN = [
    ("routing.sipuri", "import django", "django"),
    ("routing.sipuri", "from asyncio import Queue", "asyncio"),
    ("routing.sipuri", "def f():\n    import socket", "socket"),
    ("routing.admission", "from routing import models", "routing.models"),
    ("routing.admission", "from .models import Endpoint", "routing.models"),
    ("routing.answers", "from calls.status import Status", "calls.status"),
    ("routing.models.base", "from calls import status", "calls.status"),
    ("routing.models.base", "from ...calls import status", "calls.status"),
    ("routing.views", "import sipengine.engine", "sipengine.engine"),
    ("routing.views", "import asyncio", "asyncio"),
    ("routing.resolve", "from django_q.tasks import async_task", "django_q.tasks"),
    ("calls.status", "from sipengine.dial import Dial", "sipengine.dial"),
    ("calls.tasks", "from sipengine import ports", "sipengine.ports"),
    ("calls.webhooks", "import aiohttp", "aiohttp"),
    ("calls.wav", "import numpy", "numpy"),
    ("sipengine.session", "from django.conf import settings", "django.conf"),
    ("sipengine.session", "from calls.models import Call", "calls.models"),
    ("sipengine.session", "from routing.resolve import load_directory", "routing.resolve"),
    ("sipengine.session", "from sipengine import store", "sipengine.store"),
    ("sipengine.engine", "from sipengine.pjsip import PjsipPhone", "sipengine.pjsip"),
    ("sipengine.engine", "import pjsua2", "pjsua2"),
    ("sipengine.engine", "import requests", "requests"),
    ("sipengine.ports", "from sipengine.session import CallSession", "sipengine.session"),
    ("sipengine.dial", "from sipengine.ports import LegId", "sipengine.ports"),
    ("sipengine.store", "from sipengine.engine import Engine", "sipengine.engine"),
    ("sipengine.store", "import pjsua2", "pjsua2"),
    ("sipengine.pjsip", "if True:\n    import django", "django"),
    ("sipengine.pjsip", "from calls.models import Call", "calls.models"),
    ("config.runner", "import pjsua2 as pj", "pjsua2"),
]


def with_source(code: Mapping[str, Module], name: str, source: str) -> dict[str, Module]:
    docstring = ast.get_docstring(code[name].tree) if name in code else ""
    return {**code, name: Module(name, ast.parse(f"{docstring!r}\n{source}"))}


@pytest.mark.parametrize(("name", "source", "target"), FORBIDDEN)
def test_a_forbidden_import_is_found(code: dict[str, Module], name: str, source: str, target: str) -> None:
    changed = with_source(code, name, source)
    assert [text.rpartition(" ")[2] for text in violations(changed, [name])] == [target]


PERMITTED = [
    ("routing.admission", "from routing import digest\nfrom routing.answers import Peer\nimport hmac"),
    ("routing.voice", "from twilio.twiml.voice_response import Dial\nfrom .models import Endpoint"),
    ("calls.webhooks", "from routing.sid import new_sid"),
    ("calls.tasks", "from django_q.tasks import async_task\nfrom routing.models import Account"),
    ("sipengine.twiml", "from lxml import etree\nfrom routing import sipuri"),
    (
        "sipengine.session",
        "import asyncio, aiohttp\nfrom calls.status import Status\nfrom sipengine.ports import Phone",
    ),
    ("sipengine.store", "from calls.models import Call\nfrom routing.resolve import load_directory\nimport django"),
    ("sipengine.pjsip", "import pjsua2 as pj\nimport threading\nfrom sipengine import ports"),
    ("sipengine.management.commands.sipengine", "import django, pjsua2, uvloop\nfrom sipengine import pjsip, store"),
]


@pytest.mark.parametrize(("name", "source"), PERMITTED)
def test_a_permitted_import_passes(code: dict[str, Module], name: str, source: str) -> None:
    assert violations(with_source(code, name, source), [name]) == []
