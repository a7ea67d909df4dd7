"""How numbers and clients are reached: Twilio's `<Number>` and `<Client>` pages, by trunks and endpoints of ours."""

from __future__ import annotations

import pytest

from routing.outbound import Dialplan, NoWay, Rule, Trunk, Way, client_key, plain_number
from routing.sipuri import SipUri

ACCOUNT = "AC" + "0" * 32
CARRIER = Way(SipUri("", "carrier.example", transport="tls", srtp="mandatory"), "user", "secret", "+4930999")


def trunk(*rules: Rule, name: str = "Carrier", way: Way = CARRIER) -> Trunk:
    return Trunk(name, way, rules)


def dialplan(*trunks: Trunk) -> Dialplan:
    return Dialplan({ACCOUNT: trunks})


def dialled(number: str, *rules: Rule) -> str:
    return dialplan(trunk(*rules)).trunk_ways(ACCOUNT, number)[0].uri.user


class TestPlainNumber:
    """Twilio's `<Number>` page: E.164; separators as in RFC 3966 §5.1.1 are left out."""

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("+14158675309", "+14158675309"),
            ("415-867-5309", "4158675309"),
            (" (415) 867.5309\n", "4158675309"),
            ("030/901 820", "030901820"),
            ("+49 (0)30 901820", "+4930901820"),
            ("+49 ( 0 ) 30", "+4930"),
            ("(0)30", "030"),
            ("\u202a+49\u00a030\u2011901\u2013820\u202c", "+4930901820"),
            ("*43", "*43"),
            ("*21*100#", "*21*100#"),
            ("+123456789012345", "+123456789012345"),
            ("1" * 32, "1" * 32),
        ],
    )
    def test_separators_are_left_out(self, text: str, number: str) -> None:
        assert plain_number(text) == number

    @pytest.mark.parametrize(
        "text", ["", "+", "-", "+1234567890123456", "1" * 33, "+49*30", "12a", "++49", "4+9", "٣٤٥", "sip:1@h", "1;x=y"]
    )
    def test_what_is_no_number_is_none(self, text: str) -> None:
        assert plain_number(text) is None


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "number", "rewritten"),
        [
            (Rule(""), "+4930123", "+4930123"),
            (Rule("+49", 3, "0"), "+4930123", "030123"),
            (Rule("+", 1, "00"), "+14155550100", "0014155550100"),
            (Rule("0", 1, "+49"), "030123", "+4930123"),
            (Rule("9", 1), "9100", "100"),
            (Rule("", 0, "55#"), "100", "55#100"),
        ],
    )
    def test_a_prefix_is_stripped_and_another_prepended(self, rule: Rule, number: str, rewritten: str) -> None:
        assert dialled(number, rule) == rewritten

    def test_the_first_rule_that_matches_counts(self) -> None:
        assert dialled("+4930123", Rule("+1"), Rule("+49", 3, "0"), Rule("")) == "030123"

    def test_a_rule_that_leaves_nothing_does_not_match(self) -> None:
        assert dialled("+49", Rule("+49", 3), Rule("+", 1, "00")) == "0049"


class TestNumber:
    def test_the_number_is_called_at_the_trunk_with_its_credentials_and_caller_id(self) -> None:
        uri = SipUri("+4930901820", "carrier.example", transport="tls", srtp="mandatory")
        found = dialplan(trunk(Rule(""))).trunk_ways(ACCOUNT, "+49 30 901820")
        assert found == (Way(uri, "user", "secret", "+4930999"),)

    def test_every_trunk_with_a_rule_for_it_is_a_way_in_order(self) -> None:
        plan = dialplan(
            trunk(Rule("+49", 3, "0")),
            trunk(Rule("+1"), name="US", way=Way(SipUri("", "us.example"))),
            trunk(Rule(""), name="Any", way=Way(SipUri("", "any.example"))),
        )
        found = [(way.uri.host, way.uri.user) for way in plan.trunk_ways(ACCOUNT, "+4930123")]
        assert found == [("carrier.example", "030123"), ("any.example", "+4930123")]

    def test_trunks_of_another_account_are_none_of_ours(self) -> None:
        with pytest.raises(NoWay, match="the account has no trunk; add one in the admin") as error:
            dialplan(trunk(Rule(""))).trunk_ways("AC" + "1" * 32, "100")
        assert error.value.code == 13224

    def test_a_number_that_no_rule_takes_names_the_trunks(self) -> None:
        with pytest.raises(NoWay, match=r"\+4930123 cannot be called: no rule of trunk US, UK matches") as error:
            dialplan(trunk(Rule("+1"), name="US"), trunk(Rule("+44"), name="UK")).trunk_ways(ACCOUNT, "+4930123")
        assert error.value.code == 13224

    def test_what_is_no_number_is_refused(self) -> None:
        with pytest.raises(NoWay, match="'alice' is no telephone number: give digits") as error:
            dialplan(trunk(Rule(""))).trunk_ways(ACCOUNT, "alice")
        assert error.value.code == 13223

    def test_an_address_that_the_number_makes_too_long_names_the_trunk(self) -> None:
        long = Way(SipUri("", ".".join(["a" * 60] * 4), port=5060))
        with pytest.raises(NoWay, match="trunk Carrier: SIP URI: 2.. characters") as error:
            dialplan(trunk(Rule(""), way=long)).trunk_ways(ACCOUNT, "+4930901820")
        assert error.value.code == 13243

    def test_the_password_is_not_in_the_representation(self) -> None:
        assert "secret" not in repr(CARRIER)


class TestClient:
    """Twilio's `<Client>` page: the noun's text is the client's identity."""

    PLAN = Dialplan(clients={(ACCOUNT, client_key("Alice Ünal")): Way(SipUri("alice", "phone.example"))})

    @pytest.mark.parametrize("identity", ["Alice Ünal", "alice ünal", " ALICE ÜNAL\n"])
    def test_the_endpoint_of_this_name_is_reached_in_whatever_case(self, identity: str) -> None:
        assert self.PLAN.client(ACCOUNT, identity).uri == SipUri("alice", "phone.example")

    @pytest.mark.parametrize(("account", "identity"), [(ACCOUNT, "bob"), ("AC" + "1" * 32, "Alice Ünal")])
    def test_another_name_or_account_is_not_found(self, account: str, identity: str) -> None:
        with pytest.raises(NoWay, match="there is no enabled endpoint named") as error:
            self.PLAN.client(account, identity)
        assert error.value.code == 32009
