"""Policies: what they may say, and how a wrong one is refused."""

import json
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
from ruamel.yaml import YAML

from schemas.durations import BusinessDays, duration_text, parse_budget, parse_duration
from schemas.policy import Policy, policy_from_log
from schemas.policy_loading import PolicyError, default_policy, load_policy
from schemas.vocabulary import RuleId
from streams.clocks import DAY_MS
from streams.reckoning import reckon
from streams.terms import CompiledPolicy

RULES = """\
rules:
  missing_first_scan: {budget: 72h, action: ask}
  stalled_silent: {budget: 5d, international: 7d, action: trace}
  stalled_no_progress: {budget: 7d, action: trace}
  delivered_not_checked_in: {budget: 1 business day, action: search}
"""


def findings(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy(dedent(text), "policy.yaml")
    return caught.value.findings


def test_the_default_policy_names_every_rule_and_survives_the_log() -> None:
    policy = default_policy()
    assert list(policy.rules) == list(RuleId)
    assert policy_from_log(policy.to_log()) == (policy, policy.hash)


def test_the_same_numbers_written_otherwise_have_the_same_hash() -> None:
    one, other = load_policy(RULES, "a"), load_policy(RULES.replace("72h", '"3d"').replace("7d", "1w"), "b")
    assert one.hash == other.hash
    assert one.hash != load_policy(RULES.replace("72h", "73h"), "c").hash


def test_every_finding_is_told_at_once_with_its_line_and_column() -> None:
    told = findings(
        """\
        rules:
          missing_first_scn: {budget: 72h, action: ask}
          stalled_silent:
            bugdet: 5d
            action: trace
            severity: loud
          stalled_no_progress: {budget: 0h, action: trace}
          delivered_not_checked_in:
            budget: 1 busines day
            action: search
        levels:
          - {after: 48h, level: 2}
          - {after: 24h, level: 3}
        setle: 30m
        go_live_at: 2026-01-01T00:00:00
        """
    )
    assert [finding.split(": ")[0] for finding in told] == [
        "policy.yaml:2:3",
        "policy.yaml:4:5",
        "policy.yaml:6:15",
        "policy.yaml:7:33",
        "policy.yaml:9:13",
        "policy.yaml:12:3",
        "policy.yaml:14:1",
        "policy.yaml:15:13",
    ]
    text = "\n".join(told)
    for hint in (
        "did you mean `missing_first_scan`?",
        "did you mean `budget`?",
        "none of info, warning, error, critical",
        "a budget of nothing would make every parcel late",
        "`1 business day`",
        "level 3 must come after level 2",
        "did you mean `settle`?",
        "write it as 2026-01-31T08:00:00+01:00",
    ):
        assert hint in text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "start from `returnwatch policy show --default`"),
        ("- a\n", "a policy is a mapping"),
        ("rules: [\n", "not YAML"),
        ("rules: {}\nrules: {}\n", "stands here twice"),
        (RULES + "  refund_promise_at_risk: {budget: 4d}\n", "takes no budget: it is due by promise_warning"),
        (RULES + "stop_clocks: {customs: 7}\n", "a duration needs its unit"),
        (RULES + "stop_clocks: {custom: 7d}\n", "did you mean `customs`?"),
        (RULES + "statutes: [{count_from: notice}]\n", "did you mean `counts_from`?"),
        (RULES + "refund_tiers: [{relase_at: delivered}]\n", "did you mean `release_at`?"),
        (
            RULES + "refund_tiers: [{tier: a, release_at: delivered, max_value: {eur: 5}}]\n",
            "`eur` is no currency; write it in capitals, as EUR",
        ),
        (
            RULES + "facilities: {LIL1: {time_zone: Europe/Paris, places: [{country: FR, town: Lille}]}}\n",
            "known here: city, country, postal_code, site",
        ),
        (
            RULES
            + "statutes: [{jurisdiction: A, countries: [FR, FR], counts_from: notice, days: 14, source: a law}]\n",
            "two statutes cannot both hold",
        ),
        (RULES + "facilities: {L: {time_zone: Paris}}\n", "no time zone of the IANA database"),
        (RULES + "facilities: {L: {time_zone: UTC, country: XX}}\n", "has no public holidays here"),
        (RULES + "facilities: {L: {time_zone: UTC, working_days: []}}\n", "a facility that never works"),
        (
            RULES + 'facilities: {L: {time_zone: UTC, opens: "17:00", closes: "08:00"}}\n',
            "is not before closes",
        ),
        (RULES + "default_facility: LIL1\n", "'LIL1' is not in facilities"),
        (RULES + "accept_age: 1h\n", "would forget parcels that are on their way"),
        (RULES + "accept_age: 72h\n", "what is forgotten before its deadline is never found"),
        (RULES + "allowances: {UPS: 1h}\n", "write it in lower case"),
        (RULES + "settle: 30\n", "a duration needs its unit"),
        (
            RULES.replace("72h, action", "72h, overrides: [{budget: 1d}], action"),
            "needs a carrier, lane, service, facility, shop or value",
        ),
        (
            RULES.replace(
                "72h, action",
                "72h, overrides: [{carrier: ups, budget: 1d}, {carrier: ups, budget: 2d}], action",
            ),
            "two overrides fit the same parcels, with 1d and 2d",
        ),
        (
            RULES.replace(
                "72h, action",
                "72h, overrides: [{value_from: {EUR: 9}, budget: 1d}, {value_below: {EUR: 10}, budget: 2d}], action",
            ),
            "two overrides fit the same parcels",
        ),
        (
            RULES.replace(
                "72h, action",
                "72h, overrides: [{value_from: {EUR: 9}, value_below: {EUR: 9}, budget: 1d}], action",
            ),
            "no value is at least 9 and below 9 EUR",
        ),
        (
            RULES.replace("72h, action", "72h, overrides: [{lane: fr-de, budget: 1d}], action"),
            "two country codes, as FR-DE",
        ),
    ],
)
def test_a_wrong_policy_is_refused_with_a_hint(text: str, hint: str) -> None:
    assert hint in "\n".join(findings(text))


def test_a_file_says_what_differs_from_the_default() -> None:
    usual = default_policy()
    policy = load_policy(
        "rules: {stalled_silent: {budget: 3d}, late_refund: {severity: info}}\nsettle: 1h\n", "p"
    )
    silent, refund = policy.rules[RuleId.STALLED_SILENT], policy.rules[RuleId.LATE_REFUND]
    assert (silent.budget, silent.international) == (timedelta(days=3), None), (
        "one budget, at home and abroad"
    )
    assert (refund.severity, refund.budget) == ("info", usual.rules[RuleId.LATE_REFUND].budget)
    assert policy.settle == timedelta(hours=1)
    assert policy.model_copy(update={"rules": usual.rules, "settle": usual.settle}) == usual


def test_a_rule_that_is_newer_than_the_policy_in_force_is_off() -> None:
    numbers = default_policy().model_dump(mode="json")
    del numbers["rules"]["late_refund"]
    terms = CompiledPolicy(Policy.model_validate(numbers).to_log()).terms("ups", "", "", "")
    assert not terms.deadlines[RuleId.LATE_REFUND].enabled
    assert terms.deadlines[RuleId.LATE_LABEL].enabled


@pytest.mark.parametrize("text", ["72", "h", "3 days", "-5h", "", "500d", "1h30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration(text)


def test_durations_and_budgets() -> None:
    assert parse_duration("1d 12h") == timedelta(hours=36)
    assert duration_text(timedelta(hours=36, milliseconds=5)) == "1d12h5ms"
    assert parse_budget("2 business days") == BusinessDays(2)
    assert parse_budget("90m") == timedelta(minutes=90)


def compiled(changes: str) -> CompiledPolicy:
    return CompiledPolicy(
        load_policy(RULES.replace("5d, international", f"5d, {changes} international"), "p").to_log()
    )


def silent_days(
    policy: CompiledPolicy, carrier: str, origin: str, destination: str, facility: str = ""
) -> float:
    return policy.terms(carrier, origin, destination, facility).silence.due_ms(0, 0) / DAY_MS


def test_the_budget_between_countries_needs_both_of_them() -> None:
    policy = compiled("")
    assert silent_days(policy, "ups", "FR", "FR") == 5
    assert silent_days(policy, "ups", "FR", "DE") == 7
    assert silent_days(policy, "ups", "FR", "") == 5


def test_the_most_specific_override_wins() -> None:
    policy = compiled(
        "overrides: [{carrier: ups, budget: 1d}, {lane: FR-DE, budget: 2d}, {facility: LIL1, budget: 3d},"
        " {carrier: ups, lane: FR-DE, budget: 4d}, {carrier: fedex, budget: 6d}],"
    )
    assert silent_days(policy, "ups", "FR", "FR") == 1
    assert silent_days(policy, "dhl", "FR", "DE") == 2
    assert silent_days(policy, "ups", "IT", "IT", "LIL1") == 3
    assert silent_days(policy, "ups", "FR", "DE", "LIL1") == 4
    assert silent_days(policy, "fedex", "FR", "FR") == 6


def test_service_shop_and_value_band_have_budgets_of_their_own() -> None:
    policy = compiled(
        "overrides: [{service: express, budget: 1d}, {shop: main, budget: 2d}, {value_from: {EUR: 100}, budget: 3d},"
        " {value_from: {EUR: 10}, value_below: {EUR: 100}, budget: 4d}, {service: express, shop: main, budget: 6h}],"
    )

    def days(service: str = "", shop: str = "", euros: float = 0, currency: str = "EUR") -> float:
        terms = policy.terms("ups", "FR", "FR", "", service, shop, int(euros * 100), currency)
        return terms.silence.due_ms(0, 0) / DAY_MS

    assert days() == 5
    assert days(service="express") == 1
    assert days(shop="main") == 2
    assert days(service="express", shop="main") == 0.25
    assert days(shop="main", euros=500) == 2, "a shop goes before a value"
    assert [days(euros=euros) for euros in (9.99, 10, 99.99, 100)] == [5, 4, 4, 3]
    assert days(euros=500, currency="USD") == 5


def test_severity_and_action_follow_the_level() -> None:
    text = (
        RULES + "levels: [{after: 1d, level: 2, severity: error}, {after: 2d, level: 3, route: team lead}]\n"
    )
    policy = CompiledPolicy(load_policy(text, "p").to_log())
    rule = RuleId.STALLED_SILENT
    assert [policy.severity(rule, level) for level in (1, 2, 3)] == ["warning", "error", "error"]
    assert [policy.action(rule, level) for level in (1, 2, 3)] == ["trace", "trace", "team lead"]


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        default_policy().settle = timedelta(0)  # type: ignore[misc]


def test_the_canonical_text_loads_to_the_same_policy() -> None:
    policy = load_policy(
        RULES + 'facilities: {L: {time_zone: Europe/Paris, country: FR, closes: "24:00"}}\n', "p"
    )
    assert Policy.model_validate_json(policy.canonical()) == policy


def test_the_published_schema_takes_what_is_right_and_marks_what_is_wrong() -> None:
    contract = Path(__file__).parents[2] / "schemas" / "contracts" / "policy.v1.schema.json"
    editor = jsonschema.Draft202012Validator(json.loads(contract.read_text(encoding="utf-8")))
    default = resources.files("schemas").joinpath("default_policy.yaml").read_text(encoding="utf-8")
    for right in (default, "rules: {stalled_silent: {budget: 2 business days}}", "settle: 1h 30m"):
        editor.validate(YAML(typ="safe").load(right))
    for wrong in ("rules: {stalled: {budget: 2d}}", "settle: 30", "levels: [{after: 1d}]", "setle: 1h"):
        assert not editor.is_valid(YAML(typ="safe").load(wrong)), wrong


STRIKE = {
    "carrier": "ups",
    "from_at": "2026-03-05T00:00:00+01:00",
    "until_at": "2026-03-07T00:00:00+01:00",
    "reason": "strike",
    "source": "ups.com",
}


@pytest.mark.parametrize(
    ("closures", "taught"),
    [
        ([{**STRIKE, "until_at": "2026-03-04T00:00:00+01:00"}], "swap from_at and until_at"),
        (
            [STRIKE, {**STRIKE, "from_at": "2026-03-06T00:00:00+01:00", "reason": "snow"}],
            "overlap, 'strike' and 'snow'",
        ),
        ([{**STRIKE, "carrier": "fedexx"}], "did you mean fedex"),
    ],
)
def test_closures_that_cannot_be_meant_are_told(closures: list[dict[str, str]], taught: str) -> None:
    numbers = default_policy().model_dump(mode="json")
    with pytest.raises(ValueError, match=taught):
        Policy.model_validate({**numbers, "closures": closures})


def test_closures_of_other_parcels_may_overlap_and_every_hour_counts_once() -> None:
    numbers = default_policy().model_dump(mode="json")
    french = {
        **STRIKE,
        "country": "FR",
        "from_at": "2026-03-06T00:00:00+01:00",
        "until_at": "2026-03-08T00:00:00+01:00",
    }
    policy = CompiledPolicy(Policy.model_validate({**numbers, "closures": [french, STRIKE]}).to_log())
    start_ms = int(datetime(2026, 3, 4, tzinfo=UTC).timestamp() * 1_000)
    day_ms = 86_400_000
    late = {
        country: policy.terms("ups", country, country, "").silence.due_ms(start_ms, 0) - start_ms - 5 * day_ms
        for country in ("FR", "DE")
    }
    assert late == {"FR": 3 * day_ms, "DE": 2 * day_ms}
    assert policy.terms("dhl_express", "FR", "FR", "").silence.due_ms(start_ms, 0) == start_ms + 5 * day_ms
    told = reckon(policy.terms("ups", "FR", "FR", "").silence, start_ms, 0)
    assert [(part.why.value, part.more_ms // day_ms, part.details) for part in told.later] == [
        ("carrier_closed", 2, "strike (ups.com)"),
        ("carrier_closed", 1, "strike (ups.com)"),
    ]
    dock = policy.terms("ups", "DE", "DE", "").dock.due_ms(start_ms, 0)
    assert dock == start_ms + day_ms, "the dock works"
