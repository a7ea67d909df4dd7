"""The catalogue of error codes."""

from __future__ import annotations

import pytest

from routing.errors import CATALOGUE, ErrorCode, lookup

# Conformance §1.12, ranges written out; W and E as there, where it says so.
ERRORS = (
    "11200 11201 11202 11203 11205 11206 11210 11215 11216 11217 11220 11235 11236 11237 11241 11243 11750 11770 12100 "
    "12101 12102 12300 12400 13201 13247 13256 13621 13801 13802 15000 15002 15004 32018 32022 32201 32202 32207 32208 "
    "32209 32222"
)
WARNINGS = (
    "12200 13210 13212 13213 13214 13215 13216 13217 13218 13219 13220 13221 13222 13223 13224 13225 13226 13227 13241 "
    "13242 13243 13244 13245 13246 13248 13249 13250 13251 13252 13253 13254 13255 13710 13810 13910 15003 21221 21222 "
    "21223 21224 21225 21226 21227 21228 21229 32002 32006 32007 32008 32009 32011 32014 32015 32110 32111 32112 32113"
)
OF_EITHER_LEVEL = (
    "13230 13231 13232 13233 13234 13235 13310 13311 13312 13313 13314 13320 13321 13322 13325 13410 13420 13510 13511 "
    "13520 13610 13611 13612 13613 13614 13615 13616 13622 20001 20003 20004 20404 20429 21201 21205 21206 21208 21209 "
    "21210 21211 21212 21213 21217 21218 21220 21230 21231 21232 21233 21235 21236 21237 21238 21239 21240 21241 21242 "
    "21243 21481 32001 32101 32102 32103 32105 32106 32210 32212 32214 32215 32220 32221 32223 34002 34003"
)


@pytest.mark.parametrize("code", [int(code) for code in ERRORS.split()])
def test_these_are_errors(code: int) -> None:
    assert CATALOGUE[code].level == "error"


@pytest.mark.parametrize("code", [int(code) for code in WARNINGS.split()])
def test_these_are_warnings(code: int) -> None:
    assert CATALOGUE[code].level == "warning"


@pytest.mark.parametrize("code", [int(code) for code in OF_EITHER_LEVEL.split()])
def test_these_are_known(code: int) -> None:
    assert CATALOGUE[code].code == code


@pytest.mark.parametrize(
    ("code", "status"),
    [(20003, 401), (20004, 405), (20403, 403), (20404, 404), (20429, 429), (20500, 500), (21220, 400), (21211, 400)],
)
def test_rest_answers_have_their_http_status(code: int, status: int) -> None:
    assert lookup(code).http_status == status


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: str(entry.code))
def test_every_entry_says_what_happened_and_what_to_do(entry: ErrorCode) -> None:
    assert entry.text[-1] == entry.hint[-1] == "." and len(entry.text) > 15 and len(entry.hint) > 10


def test_the_catalogue_is_in_the_order_of_codes_and_has_none_twice() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE) and len(CATALOGUE) == 187


def test_an_unknown_code_is_an_error_that_names_itself() -> None:
    assert lookup(99999) == ErrorCode(99999, "error", "Error 99999.", lookup(99999).hint, 400)
