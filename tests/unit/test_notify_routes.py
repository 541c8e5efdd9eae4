"""Who is told of a change, what they are sent, and what is told of a file that is wrong."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.errors import SettingsError
from agents.notify_command import endpoints_of, example, routes_of
from schemas.notify_routes import Match, NotifyRoutes
from schemas.outputs import EvidenceSource, Money, Severity, encode_escalation
from schemas.vocabulary import CaseState, Reason, RuleId
from schemas.webhooks import Signing, Webhook
from schemas.yaml_models import model_from_yaml
from streams.notify_bodies import (
    Told,
    pagerduty_body,
    secret_bytes,
    signed_headers,
    slack_body,
    told_singly,
    told_together,
    webhook_body,
    webhook_headers,
)
from streams.notify_routing import Action, action_of, counts_of, fits, told_of
from streams.webhook_proofs import Request, claim_of, doubt
from tests.case_changes import AT, case_change, ended
from tests.command_line import returnwatch

GOOD = """\
receivers:
  erp: {kind: webhook, url: "https://erp.example/in", secret: ERP_SECRET}
  oncall: {kind: pagerduty, routing_key: PAGER_KEY}
  finance: {kind: slack, url_from: FINANCE_URL, digest: {above: 5, per: 10m}}
routes:
  - name: everything
    to: [erp]
  - name: money
    match: {rules: [late_refund, refund_failed], severity: error, value: {EUR: 200, JPY: 30000}}
    to: [finance, oncall]
  - name: stuck
    match: {level: 2}
    to: [oncall]
"""
SECRETS = {
    "ERP_SECRET": "hush-hush-hush-hush",
    "PAGER_KEY": "R0UT1NG",
    "FINANCE_URL": "https://hooks.example/T/B/x",
}
RICH = Money(20_000, "EUR")


def routes(text: str = GOOD) -> NotifyRoutes:
    return model_from_yaml(NotifyRoutes, text, "notify.yaml")


def names(change: Any) -> list[str]:
    return [one.receiver for one in told_of(routes(), change)]


def single(change: Any) -> Told:
    return told_singly(encode_escalation(change))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ["erp"]),
        ({"value": RICH}, ["erp", "finance", "oncall"]),
        ({"value": Money(19_999, "EUR")}, ["erp"]),
        ({"value": Money(30_000, "JPY")}, ["erp", "finance", "oncall"]),
        ({"value": Money(1_000_000, "USD")}, ["erp"]),
        ({"value": RICH, "severity": Severity.WARNING}, ["erp"]),
        ({"value": RICH, "rule": RuleId.LATE_LABEL}, ["erp"]),
        ({"level": 2}, ["erp", "oncall"]),
        ({"level": 2, "historical": True}, []),
        ({"level": 2, "reason": Reason.ASSIGNED}, ["erp"]),
    ],
)
def test_a_change_goes_to_whom_every_route_that_fits_names_each_once(
    fields: dict[str, Any], told: list[str]
) -> None:
    assert names(case_change(**fields)) == told


def test_a_route_counts_the_cases_of_which_it_tells_somebody_though_another_tells_the_same() -> None:
    text = GOOD + "  - name: again\n    match: {carriers: [ups]}\n    to: [erp]\n"
    own, rich = case_change(carrier="ups"), case_change(carrier="ups", value=RICH)
    counts = counts_of(
        routes(text), [own, rich, case_change(carrier="mondial_relay"), case_change(historical=True)]
    )
    assert (counts["everything"], counts["money"], counts["again"]) == (3, 1, 2)


def test_carriers_and_facilities_are_asked_for_by_name() -> None:
    match = Match(carriers=("ups", "dhl"), facilities=("LYON",))
    assert fits(match, case_change(carrier="dhl", facility="LYON"))
    assert not fits(match, case_change(carrier="dhl", facility="LILLE"))
    assert not fits(match, case_change(carrier="gls", facility="LYON"))


@pytest.mark.parametrize(
    ("change", "action"),
    [
        (case_change(), Action.TRIGGER),
        (case_change(reason=Reason.LEVEL, level=2, state=CaseState.ESCALATED), Action.TRIGGER),
        (case_change(reason=Reason.REOPENED), Action.TRIGGER),
        (case_change(reason=Reason.SNOOZE_OVER), Action.TRIGGER),
        (case_change(reason=Reason.ACKNOWLEDGED), Action.ACKNOWLEDGE),
        (case_change(reason=Reason.SNOOZED), Action.ACKNOWLEDGE),
        (case_change(reason=Reason.ASSIGNED), Action.NOTE),
        (ended(), Action.RESOLVE),
        (ended(state=CaseState.RETRACTED, reason=Reason.LATE_EVIDENCE), Action.RESOLVE),
    ],
)
def test_what_a_change_asks_of_whoever_is_on_call(change: Any, action: Action) -> None:
    assert action_of(change) == action


def test_an_example_fits_the_route_that_it_is_for() -> None:
    for route in routes().routes:
        assert fits(route.match, example(route, AT)), route.name


STANDARD = Webhook(
    topic="t",
    secrets=["S"],
    signing=Signing(
        header="webhook-signature",
        encoding="base64",
        prefix="v1,",
        timestamp_header="webhook-timestamp",
        id_header="webhook-id",
        signed="{id}.{timestamp}.{body}",
    ),
)


def believed(headers: dict[str, str], body: bytes, secret: bytes, now_s: float = 1_614_265_330) -> bool:
    claim = claim_of(STANDARD, [secret], headers, now_s)
    return not isinstance(claim, str) and doubt(STANDARD, [secret], claim, Request("POST", "/", body)) is None


def test_what_is_signed_is_as_standard_webhooks_has_it() -> None:
    """The example of the specification's first implementation."""
    secret = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_is_signed_on_the_way_out_is_believed_on_the_way_in_and_nothing_else() -> None:
    secret, body = secret_bytes("hush-hush-hush-hush"), b'{"a":1}'
    headers = signed_headers(secret, "c1:1", 1_614_265_330, body)
    assert believed(headers, body, secret)
    rotated = headers | {"webhook-signature": "v1,AAAA " + headers["webhook-signature"]}
    assert believed(rotated, body, secret), "several signatures, one for each key"
    assert not believed(headers, b'{"a":2}', secret)
    assert not believed(headers | {"webhook-id": "c1:2"}, body, secret)
    assert not believed(headers | {"webhook-timestamp": "1614265331"}, body, secret)
    assert not believed({k: v for k, v in headers.items() if k != "webhook-id"}, body, secret)
    assert not believed(headers, body, secret, now_s=1_614_265_330 + 301)
    assert not believed(headers, body, secret_bytes("another-another-another"))


def test_a_program_gets_the_record_as_it_is_with_its_cloud_event() -> None:
    original = encode_escalation(case_change())[:-1] + b',"of_a_later_version":1}'
    told = told_singly(original)
    assert webhook_body(told) == original
    headers = webhook_headers(told)
    assert headers["ce-id"] == told.identity == "c1:1"
    assert headers["ce-type"] == "com.returnwatch.case.opened.v1"
    assert headers["content-type"] == "application/json"


def test_a_pager_gets_one_incident_for_each_case() -> None:
    change = case_change(value=RICH, carrier="dhl", parcel="dhl:X1")
    event = msgspec.json.decode(pagerduty_body(single(change), "KEY"))
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == ("KEY", "trigger", "c1")
    assert event["payload"]["severity"] == "error"
    assert event["payload"]["source"] == "dhl"
    assert event["payload"]["timestamp"] == "2026-11-20T09:00:00.000+00:00"
    assert event["payload"]["custom_details"]["value"] == "200.00 EUR"
    long = case_change(explanation="x" * 5_000)
    assert len(msgspec.json.decode(pagerduty_body(single(long), "KEY"))["payload"]["summary"]) == 1_024
    end = msgspec.json.decode(pagerduty_body(single(ended()), "KEY"))
    assert (end["event_action"], end["dedup_key"]) == ("resolve", "c1")
    assert "payload" not in end


def test_a_chat_shows_a_hostile_text_as_it_is() -> None:
    change = case_change(return_id="<!channel> `x` & <https://bad.example|refund>")
    message = msgspec.json.decode(slack_body(single(change)))
    text = message["blocks"][0]["text"]["text"]
    assert "<" not in message["text"] + text
    assert "&lt;!channel&gt; 'x' &amp; &lt;https://bad.example|refund&gt;" in text
    end = msgspec.json.decode(slack_body(single(ended())))
    assert end["blocks"][0]["text"]["text"].startswith(
        ":white_check_mark: *late_refund resolved (refund_issued): RMA-1"
    )


def test_a_digest_counts_by_rule_names_some_and_is_as_bad_as_the_worst() -> None:
    changes = [case_change(f"c{number}", return_id=f"RMA-{number}") for number in range(12)]
    changes.append(case_change("c99", rule=RuleId.REFUND_FAILED, severity=Severity.CRITICAL))
    told = told_together("digest:1", [encode_escalation(one) for one in changes])
    text = msgspec.json.decode(slack_body(told))["blocks"][0]["text"]["text"]
    assert "13 changes of 13 cases" in text
    assert "`late_refund`: 12" in text
    assert "and 3 more" in text
    event = msgspec.json.decode(pagerduty_body(told, "KEY"))
    assert (event["dedup_key"], event["payload"]["severity"]) == ("digest:1", "critical")
    body = msgspec.json.decode(webhook_body(told))
    assert (body["count"], body["changes"][0]["return_id"]) == (13, "RMA-0")


def test_what_is_sent_holds_no_more_than_the_record_does() -> None:
    """Evidence tells of topics of the inside; a chat needs none of it."""
    change = case_change(evidence=(EvidenceSource("orders", 3, 4711),))
    assert b"4711" not in slack_body(single(change)) + pagerduty_body(single(change), "KEY")


def findings(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "notify.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        routes_of(file)
    return [str(one).removeprefix(f"{tmp_path}/") for one in raised.value.findings]


def test_a_file_that_is_wrong_is_told_by_line_and_column(tmp_path: Path) -> None:
    text = """\
receivers:
  erp: {kind: webhook, url: "http://erp.example/in", secret: whsec_Zm9v}
  chat: {kind: slac, url_from: URL}
routes:
  - {name: a, to: [erp], match: {rules: [late_refnd], severty: error}}
"""
    found = findings(text, tmp_path)
    assert [one.split(": ")[0] for one in found] == [
        "notify.yaml:2:29",
        "notify.yaml:2:62",
        "notify.yaml:3:9",
        "notify.yaml:5:42",
        "notify.yaml:5:55",
    ]
    assert "write https://" in found[0]
    assert "Zm9v" not in found[1]
    assert "did you mean `late_refund`?" in found[3]
    assert "did you mean `severity`?" in found[4]


def test_a_receiver_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    text = GOOD.replace("to: [finance, oncall]", "to: [finance, uncall]").replace(
        "name: stuck", "name: money"
    )
    assert findings(text, tmp_path) == [
        "notify.yaml:10:19: routes.1.to.1: there is no receiver 'uncall'; known are erp, finance, oncall",
        "notify.yaml:11:11: routes.2.name: there are two routes 'money'; one of them needs another name",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"https://erp.example/in"', '"ftp://erp.example"', "is no address like"),
        ('"https://erp.example/in"', '"https://me:pw@erp.example"', "has a user name in it"),
        ('"https://erp.example/in"', '"https://erp.example:99999/"', "is no address: its host or its port"),
        ('url: "https://erp.example/in", ', "", "`url`, or `url_from`"),
        ("above: 5", "above: 0", "greater than or equal to 1"),
        ("per: 10m", "per: 2d", "from 1s to 1d"),
        ("to: [erp]", "to: []", "at least 1 item"),
    ],
)
def test_what_makes_no_sense_is_refused(before: str, after: str, words: str, tmp_path: Path) -> None:
    assert words in "\n".join(findings(GOOD.replace(before, after), tmp_path))


def test_an_address_that_cannot_be_read_is_not_shown(tmp_path: Path) -> None:
    found = findings(GOOD.replace("https://erp.example/in", "https://me:pa55/w0rd@erp.example"), tmp_path)
    assert "its host or its port cannot be read" in found[0]
    assert "pa55" not in found[0]
    assert "w0rd" not in found[0]


@pytest.mark.parametrize("secret", ["whsec_Zm9v", "hush", "fifteen-bytes-x"])
def test_a_key_that_can_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(SettingsError, match=r"ERP_SECRET: is a key of \d+ bytes"):
        endpoints_of(routes(), {**SECRETS, "ERP_SECRET": secret}, "notify.yaml")


def test_a_secret_with_nothing_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing follows whsec_"):
        secret_bytes("whsec_")


def test_a_chat_makes_no_mention_and_no_link_of_what_others_wrote() -> None:
    hostile = "@channel https://evil.example/pay *now* _or_"
    text = msgspec.json.decode(slack_body(single(case_change(return_id=hostile))))["blocks"][0]["text"]
    assert text["verbatim"] is True
    assert f"return: {hostile}" in text["text"]


def test_secrets_come_from_variables_or_the_files_that_they_name(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("R0UT1NG\n", encoding="utf-8")
    given = {**SECRETS, "PAGER_KEY": "", "PAGER_KEY_FILE": str(tmp_path / "key")}
    endpoints = endpoints_of(routes(), given, "notify.yaml")
    assert endpoints["oncall"].secrets.key == "R0UT1NG"
    assert endpoints["erp"].secrets.signing == b"hush-hush-hush-hush"
    assert endpoints["finance"].secrets.url == SECRETS["FINANCE_URL"]


def test_secrets_that_are_missing_are_told_all_at_once_and_shown_never() -> None:
    given = {"ERP_SECRET": "whsec_###", "FINANCE_URL": "http://hooks.example/s3cret"}
    with pytest.raises(SettingsError) as raised:
        endpoints_of(routes(), given, "notify.yaml")
    text = str(raised.value)
    assert "notify.yaml: erp: ERP_SECRET: what follows whsec_ is not base64" in text
    assert "notify.yaml: oncall: there is no environment variable PAGER_KEY, or it is empty" in text
    assert "notify.yaml: finance: the address in FINANCE_URL is not encrypted" in text
    assert "s3cret" not in text
    assert "###" not in text


def test_check_shows_who_is_told_of_what_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(GOOD, encoding="utf-8")
    for name, text in SECRETS.items():
        monkeypatch.setenv(name, text)
    answer = returnwatch("notify", "check", str(file))
    assert answer.code == 0, answer.err
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert "everything everything erp" in lines
    assert any("late_refund or refund_failed; error or worse" in line for line in lines)
    assert "stuck level 2 or higher oncall" in lines
    assert "R0UT1NG" not in answer.out + answer.err


def test_amounts_are_in_the_main_unit_of_their_currency() -> None:
    match = Match(value={"BHD": Decimal("1.5")})
    assert fits(match, case_change(value=Money(1_500, "BHD")))
    assert not fits(match, case_change(value=Money(1_499, "BHD")))


def test_of_a_canary_nobody_is_told() -> None:
    assert names(case_change()) == ["erp"]
    assert names(case_change(return_id="returnwatch-canary-1")) == []
