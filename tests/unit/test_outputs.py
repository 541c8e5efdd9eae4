"""What the outside receives: escalations, cases, dead letters; and the topics they live on."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import jsonschema
import pytest

from agents.topics import TopicState, check_topic
from schemas.contracts_generation import contract_files
from schemas.dead_letters import FIRST_BYTES, DeadLetter, DeadLetterRecord, kept_letter
from schemas.money import minor_units
from schemas.outputs import (
    Escalation,
    EvidenceSource,
    Money,
    Severity,
    case_after,
    cloud_event_headers,
    decode_case,
    decode_escalation,
    encode_case,
    encode_escalation,
    utc,
)
from schemas.topics import DEAD_LETTER_ROOM, MIB, InputKind, TopicNames, TopicRole, TopicSpec, topic_specs
from schemas.vocabulary import CaseState, DeadLetterReason, Reason, RuleId

_NAMES = TopicNames.named(
    "shop", "rw-", {InputKind.ORDERS: ("orders", "old-orders"), InputKind.LABELS: ("labels",)}
)


def _escalation(**changes: Any) -> Escalation:
    fields: dict[str, Any] = {
        "case_id": "0b7c",
        "revision": 2,
        "rule": RuleId.STALLED_SILENT,
        "state": CaseState.ESCALATED,
        "previous_state": CaseState.OPEN,
        "reason": Reason.LEVEL,
        "level": 2,
        "severity": Severity.ERROR,
        "action": "open a carrier trace",
        "return_id": "R1",
        "parcel": "ups:1Z999",
        "value": Money(1990, "EUR"),
        "since_at": utc(1_772_000_000_000),
        "due_at": utc(1_772_432_000_000),
        "effective_at": utc(1_772_500_000_250),
        "evidence": (EvidenceSource("carrier-scans", 0, 17),),
        "explanation": "No scan for 5 days.",
    }
    return Escalation(**{**fields, **changes})


def test_a_repeat_of_a_change_is_the_same_record_byte_for_byte() -> None:
    assert encode_escalation(_escalation()) == encode_escalation(_escalation())
    assert cloud_event_headers(_escalation()) == cloud_event_headers(_escalation())


def test_what_is_written_can_be_read_again() -> None:
    escalation = _escalation()
    assert decode_escalation(encode_escalation(escalation)) == escalation
    assert decode_case(encode_case(escalation)) == case_after(escalation)


def test_the_published_schemas_describe_what_is_written() -> None:
    for value, contract in (
        (encode_escalation(_escalation()), "escalation.v1"),
        (encode_case(_escalation()), "case.v1"),
        (encode_escalation(_escalation(previous_state=None, value=None)), "escalation.v1"),
    ):
        jsonschema.validate(json.loads(value), json.loads(contract_files()[f"{contract}.schema.json"]))


def test_a_reader_of_version_1_ignores_fields_that_come_later() -> None:
    later = json.loads(encode_escalation(_escalation())) | {"field_of_the_future": 1}
    assert decode_escalation(json.dumps(later).encode()) == _escalation()


def test_times_are_utc_and_say_so() -> None:
    value = json.loads(encode_escalation(_escalation()))
    assert value["since_at"] == "2026-02-25T06:13:20Z"
    assert utc(1_772_000_000_000) == datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)


def test_headers_are_those_of_a_cloud_event_in_binary_mode() -> None:
    headers = dict(cloud_event_headers(_escalation()))
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"0b7c:2",
        "ce_type": b"com.returnwatch.case.escalated.v1",
        "ce_source": b"/returnwatch",
        "ce_subject": b"R1",
        "ce_time": b"2026-03-03T01:06:40.250Z",
        "content-type": b"application/json",
    }


@pytest.mark.parametrize("state", CaseState)
def test_every_state_of_a_case_has_a_type_of_its_own(state: CaseState) -> None:
    others = {
        dict(cloud_event_headers(_escalation(state=other)))["ce_type"]
        for other in CaseState
        if other != state
    }
    assert dict(cloud_event_headers(_escalation(state=state)))["ce_type"] not in others


def _dead_letter(value: bytes | None, **more: Any) -> DeadLetterRecord:
    fields: dict[str, Any] = {
        "topic": "orders",
        "partition": 4,
        "offset": 17,
        "key": b"k",
        "value": value,
        "original_headers": [("traceparent", b"00-ab"), ("empty", None)],
        "reason": DeadLetterReason.NOT_JSON,
        "detail": "JSON is malformed",
        "action": "Send one JSON object per record.",
    }
    return kept_letter(**{**fields, **more}).record()


def _size(record: DeadLetterRecord) -> int:
    headers = sum(len(name) + len(content or b"") + 10 for name, content in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def test_a_dead_letter_is_the_original_with_where_why_and_what_to_do() -> None:
    record = _dead_letter(b"\xff{oops")
    assert (record.key, record.value) == (b"k", b"\xff{oops")
    letter = DeadLetter.from_headers(record.headers)
    assert (letter.topic, letter.partition, letter.offset) == ("orders", 4, 17)
    assert letter.reason is DeadLetterReason.NOT_JSON
    assert letter.sha256 == sha256(b"\xff{oops").hexdigest()
    assert not letter.truncated
    assert ("traceparent", b"00-ab") in record.headers
    published = json.loads(contract_files()["dead-letter-headers.v1.schema.json"])["$defs"]["DeadLetter"]
    assert {name for name, _ in record.headers if name.startswith("returnwatch-")} == set(
        published["properties"]
    )


def test_a_null_record_stays_null_in_dead_letters() -> None:
    record = _dead_letter(None, reason=DeadLetterReason.NULL_VALUE)
    assert record.value is None
    assert DeadLetter.from_headers(record.headers).size == -1


def test_a_record_too_large_for_the_topic_is_kept_as_its_first_64_kib_and_hash() -> None:
    huge = b"x" * (5 * MIB)
    record = _dead_letter(huge, reason=DeadLetterReason.TOO_LARGE)
    letter = DeadLetter.from_headers(record.headers)
    assert record.value == huge[:FIRST_BYTES]
    assert letter.truncated
    assert (letter.size, letter.first_bytes) == (5 * MIB, FIRST_BYTES)
    assert letter.sha256 == sha256(huge).hexdigest()


@pytest.mark.parametrize("bulky", [{}, {"key": b"k" * MIB}, {"original_headers": [("h", b"h" * MIB)]}])
def test_whatever_was_refused_a_dead_letter_fits_its_topic(bulky: dict[str, Any]) -> None:
    for size in (0, MIB - 1, MIB, MIB + 1, 2 * MIB):
        record = _dead_letter(b"x" * size, detail="ü" * 5000, **bulky)
        assert _size(record) + 2048 <= MIB + DEAD_LETTER_ROOM
        assert size > MIB or record.value == b"x" * size, "every record that intake reads is kept whole"


def _specs(**changes: int) -> dict[str, TopicSpec]:
    counts = {"parcels_partitions": 8, "returns_partitions": 4, **changes}
    return {spec.name: spec for spec in topic_specs(_NAMES, **counts)}


def test_every_topic_is_listed_once_under_the_configured_names() -> None:
    assert set(_specs()) == {
        "orders",
        "old-orders",
        "labels",
        "rw-parcels",
        "rw-returns",
        "rw-heartbeats",
        "shop-parcel-state-changelog",
        "shop-return-state-changelog",
        "rw-escalations",
        "rw-cases",
        "rw-refund-signals",
        "rw-command-answers",
        "rw-journeys",
        "rw-kpis",
        "rw-dead-letters",
        "rw-dead-letter-outcomes",
    }
    assert _NAMES.kinds() == {
        "orders": InputKind.ORDERS,
        "old-orders": InputKind.ORDERS,
        "labels": InputKind.LABELS,
    }


def test_partition_counts_follow_the_stage_that_writes_them() -> None:
    counts = {name: spec.partitions for name, spec in _specs().items()}
    assert counts["rw-parcels"] == counts["shop-parcel-state-changelog"] == 8
    outputs = ("rw-escalations", "rw-cases", "rw-journeys", "rw-kpis")
    for name in ("rw-returns", "shop-return-state-changelog", *outputs):
        assert counts[name] == 4
    assert counts["orders"] is None, "inputs may have any partition count"


def test_what_correctness_rests_on_is_required_of_each_topic() -> None:
    config = {name: spec.creation_config() for name, spec in _specs().items()}
    assert config["rw-heartbeats"]["message.timestamp.type"] == "LogAppendTime"
    assert config["shop-parcel-state-changelog"]["cleanup.policy"] == "compact"
    assert int(config["shop-parcel-state-changelog"]["max.message.bytes"]) >= MIB
    assert int(config["shop-parcel-state-changelog"]["delete.retention.ms"]) >= 7 * 24 * 3_600_000
    for name in ("rw-cases", "rw-journeys", "rw-kpis"):
        assert config[name]["cleanup.policy"] == "compact"
    assert config["rw-escalations"]["cleanup.policy"] == "delete"
    assert int(config["rw-dead-letters"]["max.message.bytes"]) >= MIB + 64 * 1024


def test_a_topic_as_we_create_it_has_no_findings() -> None:
    for spec in _specs().values():
        check = check_topic(spec, spec.creation_partitions(), spec.creation_config())
        assert (check.state, check.differences) == (TopicState.OK, ())


@pytest.mark.parametrize(
    ("topic", "setting", "value"),
    [
        ("rw-heartbeats", "message.timestamp.type", "CreateTime"),
        ("rw-parcels", "cleanup.policy", "compact"),
        ("rw-parcels", "cleanup.policy", "compact,delete"),
        ("rw-parcels", "retention.ms", "3600000"),
        ("shop-return-state-changelog", "cleanup.policy", "delete"),
        ("shop-return-state-changelog", "max.message.bytes", "1000"),
        ("shop-return-state-changelog", "delete.retention.ms", "86400000"),
        ("rw-dead-letters", "max.message.bytes", "1048588"),
        ("rw-dead-letter-outcomes", "cleanup.policy", "compact"),
        ("rw-dead-letter-outcomes", "retention.ms", "2592000000"),
        ("orders", "cleanup.policy", "compact"),
    ],
)
def test_a_topic_that_would_lose_something_is_named_with_what_to_do(
    topic: str, setting: str, value: str
) -> None:
    spec = _specs()[topic]
    check = check_topic(spec, spec.creation_partitions(), {**spec.creation_config(), setting: value})
    (finding,) = check.findings()
    assert finding.where == f"topic {topic}"
    assert f"{setting}={value}" in finding.what
    assert f"--add-config {setting}=" in finding.todo


def test_a_wrong_partition_count_is_named() -> None:
    spec = _specs()["rw-parcels"]
    (finding,) = check_topic(spec, 9, spec.creation_config()).findings()
    assert finding.what == "has partitions=9, must be 8"


def test_more_than_enough_is_enough_and_without_limit_is_more_than_enough() -> None:
    spec = _specs()["shop-parcel-state-changelog"]
    for retention in ("-1", "9999999999"):
        check = check_topic(spec, 8, {**spec.creation_config(), "delete.retention.ms": retention})
        assert check.state is TopicState.OK


@pytest.mark.parametrize(
    ("topic", "setting"),
    [
        ("orders", "retention.ms"),
        ("rw-parcels", "retention.ms"),
        ("rw-returns", "retention.ms"),
        ("rw-escalations", "retention.ms"),
        ("rw-command-answers", "retention.ms"),
        ("rw-dead-letters", "retention.ms"),
        ("rw-cases", "max.compaction.lag.ms"),
        ("shop-return-state-changelog", "max.compaction.lag.ms"),
    ],
)
@pytest.mark.parametrize("value", ["-1", "9223372036854775807", "2592000001"])
def test_a_topic_that_keeps_what_was_erased_for_too_long_is_doubtful_and_not_refused(
    topic: str, setting: str, value: str
) -> None:
    spec = _specs()[topic]
    check = check_topic(spec, spec.creation_partitions(), {**spec.creation_config(), setting: value})
    (finding,) = check.findings()
    assert check.state is TopicState.DOUBTFUL
    assert "must be at most" in finding.what
    assert "docs/privacy.md" in finding.why


def test_no_worker_stands_still_for_a_topic_that_only_people_write_to() -> None:
    spec = _specs()["rw-dead-letter-outcomes"]
    check = check_topic(spec, 1, {**spec.creation_config(), "cleanup.policy": "compact", "retention.ms": "1"})
    assert (check.state, len(check.findings())) == (TopicState.DOUBTFUL, 2)


def test_a_topic_that_is_wrong_and_keeps_for_too_long_is_wrong() -> None:
    spec = _specs()["rw-parcels"]
    config = {**spec.creation_config(), "cleanup.policy": "compact", "retention.ms": "-1"}
    check = check_topic(spec, 8, config)
    assert (check.state, len(check.findings())) == (TopicState.WRONG, 2)


def test_a_single_broker_can_hold_the_topics() -> None:
    for spec in topic_specs(_NAMES, parcels_partitions=1, returns_partitions=1, replication_factor=1):
        if spec.role is not TopicRole.INPUT:
            assert spec.creation_config()["min.insync.replicas"] == "1"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("19.90", "EUR", 1990),
        ("1990", "JPY", 1990),
        ("1.5", "KWD", 1500),
        ("0", "USD", 0),
        ("0.005", "eur", 0),
    ],
)
def test_amounts_are_whole_minor_units(amount: str, currency: str, minor: int) -> None:
    assert minor_units(Decimal(amount), currency) == minor
