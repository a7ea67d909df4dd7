"""Compare docs/twiml.md with the code in both directions, and say where they differ.

Run it with `.venv/bin/python -m tests.check_matrix`; a test does so too. With `--update` it first rewrites the table of
error codes, which holds nothing that the code does not know. What is compared: elements, attributes with default, code
and support, request parameters, error codes.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from routing.errors import CATALOGUE
from sipengine.twiml.accepted import ATTRIBUTES, CHILDREN, NOUNS, VERBS, Attribute, Support

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "twiml.md"

SOURCES = {"webhooks": ROOT / "calls" / "webhooks.py", "verbs": ROOT / "calls" / "verb_parameters.py"}
REQUESTS: Mapping[str, tuple[str, str]] = {
    "### Every request for TwiML": ("webhooks", "voice_parameters"),
    "### Fallback URL": ("webhooks", "fallback_parameters"),
    "### `action` of `<Dial>`": ("webhooks", "dial_parameters"),
    "### `statusCallback` of a call": ("webhooks", "status_parameters"),
    "### `recordingStatusCallback`": ("webhooks", "recording_parameters"),
    "### `amdStatusCallback`": ("verbs", "amd_parameters"),
    "### `action` of `<Gather>`": ("verbs", "gather_parameters"),
    "### `action` of `<Record>`": ("verbs", "record_parameters"),
    "### `referUrl` of `<Dial>`": ("verbs", "transfer_parameters"),
    "### `action` of `<Refer>`": ("verbs", "refer_parameters"),
    "### `waitUrl` of `<Enqueue>`": ("verbs", "queue_wait_parameters"),
    "### `action` of `<Enqueue>`": ("verbs", "enqueue_parameters"),
    "### `url` of `<Queue>`": ("verbs", "queue_parameters"),
    "### `waitUrl` of `<Conference>`": ("verbs", "conference_wait_parameters"),
    "### `statusCallback` of `<Conference>`": ("verbs", "conference_parameters"),
}
"""Heading of a table of parameters → file and function that build them."""

Rows = dict[str, list[str]]


def rows(page: str, heading: str) -> Rows:
    """Return the rows of the first table under a heading: first cell without marks → the other cells."""
    _, found, rest = page.partition(f"\n{heading}\n")
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0] if found else ""
    lines = [re.split(r"(?<!\\)\|", line.strip("|")) for line in section.splitlines() if line.startswith("|")]
    return {cells[0].strip(" `<>"): [cell.strip() for cell in cells[1:]] for cells in lines[2:]}


def differences(page: str) -> list[str]:
    """Return one line for each difference between the page and the code."""
    return [*_elements(page), *_attributes(page), *_parameters(page), *_codes(page)]


def _compared(heading: str, said: Mapping[str, object], real: Mapping[str, object]) -> Iterator[str]:
    for name in sorted({*said, *real}):
        if name not in real:
            yield f"{heading}: {name} is on the page and not in the code"
        elif name not in said:
            yield f"{heading}: {name} is in the code ({real[name]}) and not on the page"
        elif said[name] != real[name]:
            yield f"{heading}: {name} is {said[name]} on the page, {real[name]} in the code"


def _elements(page: str) -> Iterator[str]:
    tables: dict[str, Mapping[str, Support]] = {"## Verbs": VERBS, "## Nouns of `<Dial>`": NOUNS}
    tables |= {f"### Children of `<{parent}>`": children for parent, children in CHILDREN.items()}
    for heading, table in tables.items():
        said = {name: cells[0] for name, cells in rows(page, heading).items()}
        yield from _compared(heading, said, {name: support.value for name, support in table.items()})


def _attributes(page: str) -> Iterator[str]:
    for element, attributes in ATTRIBUTES.items():
        heading = f"### `<{element}>`"
        if f"\n{heading}\n" not in page:
            yield f"{heading} is not on the page"
        said = rows(page, heading)
        for name, attribute in attributes.items():
            if name in said and attribute.default in (None, "", 0) and attribute.default is not False:
                said[name][1] = attribute.printed(attribute.default)  # the page tells in words what is done then
        real = {name: _as_row(attribute) for name, attribute in attributes.items()}
        yield from _compared(heading, {name: tuple(cells[1:4]) for name, cells in said.items()}, real)


def _as_row(attribute: Attribute) -> tuple[str, str, str]:
    return attribute.printed(attribute.default), str(attribute.code), attribute.support.value


def _parameters(page: str) -> Iterator[str]:
    functions = {file: _functions(path) for file, path in SOURCES.items()}
    for heading, (file, function) in REQUESTS.items():
        table = rows(page, heading)
        if not table:
            yield f"{heading} has no table on the page"
        said = {name for name, cells in table.items() if cells[-1] == Support.SUPPORTED.value}
        real = set(_wire_names(function, functions[file]))
        if function not in ("voice_parameters", "amd_parameters", "conference_parameters", "recording_parameters"):
            real -= set(_wire_names("voice_parameters", functions["webhooks"]))
        supported = Support.SUPPORTED.value
        yield from _compared(heading, dict.fromkeys(said, supported), dict.fromkeys(real, supported))


def _functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _wire_names(function: str, functions: Mapping[str, ast.FunctionDef]) -> Iterator[str]:
    """Yield the names of the pairs that a function builds, those of its helpers included; `X_…` for a prefix."""
    for node in ast.walk(functions[function]):
        match node:
            case ast.Tuple(elts=[ast.Constant(value=str(name)), _]) if name[:1].isupper():
                yield name
            case ast.Tuple(elts=[ast.JoinedStr(values=[ast.Constant(value=str(prefix)), *_]), _]):
                yield f"{prefix}…"
            case ast.Call(func=ast.Name(id=called)) if called in functions and called.endswith("_parameters"):
                yield from _wire_names(called, functions)


def _codes(page: str) -> Iterator[str]:
    said = {name: tuple(cells) for name, cells in rows(page, "## Error codes").items()}
    yield from _compared("## Error codes", said, dict(_code_rows()))


def _code_rows() -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield the rows of the table of codes: code, and level, meaning, support; used by our code means supported."""
    used = _used()
    for code, entry in CATALOGUE.items():
        support = Support.SUPPORTED if str(code) in used else Support.NOT_YET
        yield str(code), (entry.level, entry.text.replace("|", "\\|"), support.value)


@functools.cache
def _used() -> frozenset[str]:
    paths = (path for app in ("routing", "calls", "sipengine") for path in (ROOT / app).rglob("*.py"))
    return frozenset(_numbers(path for path in paths if path.name != "errors.py"))


def _numbers(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the numbers in source code that are written as codes are, with five digits and no underscore."""
    for path in paths:
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.NUMBER and len(token.string) == 5:
                    yield token.string


def with_codes(page: str) -> str:
    """Return the page with the table of error codes as the code has it."""
    table = "".join(f"| {code} | {' | '.join(cells)} |\n" for code, cells in _code_rows())
    pattern = re.compile(r"(?<=\n)(## Error codes\n.*?\|---\|\n)(\|[^\n]*\n)*", re.DOTALL)
    return pattern.sub(lambda match: match[1] + table, page)


def main() -> int:
    """Print what differs; return 1 if anything does."""
    if "--update" in sys.argv[1:]:
        PAGE.write_text(with_codes(PAGE.read_text()))
    found = differences(PAGE.read_text())
    print("\n".join(found) or "docs/twiml.md and the code agree")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
