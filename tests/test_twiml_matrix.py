"""docs/twiml.md says what the code says, and the script that compares them finds what differs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.check_matrix import PAGE, differences, rows, with_codes

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


class TestMatrix:
    """The support matrix and the tables of the parser, the requests and the error codes agree in both directions."""

    def test_the_page_and_the_code_agree(self, page: str) -> None:
        assert differences(page) == []

    def test_the_script_runs_alone(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.check_matrix"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "agree" in done.stdout

    def test_the_table_of_codes_can_be_rewritten(self, page: str) -> None:
        stale = page.replace("| 11100 | error |", "| 11100 | warning |").replace("| 34003 | error |", "| 1 | error |")
        assert len(differences(stale)) == 3
        assert with_codes(stale) == page

    @pytest.mark.parametrize(
        ("said", "instead", "found"),
        [
            ("| `<Say>` | supported |", "| `<Say>` | not yet |", "## Verbs: Say is not yet on the page, supported in"),
            ("| `<Pay>` | not yet |\n", "", "## Verbs: Pay is in the code (not yet) and not on the page"),
            ("| `<Sim>` | not yet |", "| `<Fax>` | not yet |", "Fax is on the page and not in the code"),
            ("| `<Task>` | accepted and ignored |", "| `<Task>` | supported |", "### Children of `<Enqueue>`: Task is"),
            ("| 13510 | supported |", "| 13511 | supported |", "### `<Say>`: loop is"),
            ("| 5…600 seconds | 30 |", "| 5…600 seconds | 60 |", "### `<Dial>`: timeout is ('60',"),
            ("### `<Leave>`\n", "", "### `<Leave>` is not on the page"),
            ("| `byoc` |", "| `sim` |", "### `<Number>`: byoc is in the code"),
            ("| `DialBridged` | true, false | supported |\n", "", "DialBridged is in the code (supported) and not on"),
            ("| `SpeechResult` |  | not yet |", "| `SpeechResult` |  | supported |", "SpeechResult is on the page and"),
            ("### `url` of `<Queue>`\n", "", "### `url` of `<Queue>` has no table on the page"),
            ("| 12200 | warning |", "| 12201 | warning |", "## Error codes: 12201 is on the page and not in the code"),
        ],
    )
    def test_it_finds_what_differs(self, page: str, said: str, instead: str, found: str) -> None:
        assert said in page
        assert any(found in line for line in differences(page.replace(said, instead, 1)))

    def test_every_decision_has_a_reason(self, page: str) -> None:
        for heading in ("### Documents", "### `<Dial>` and those it rings", "### Other verbs and rooms"):
            assert all(answer and why for answer, why, _ in rows(page, heading).values())
