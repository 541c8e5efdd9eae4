"""Nothing about a person passes intake: canaries in every field, looked for in every output (docs/privacy.md).

What names the parcel (number, carrier) passes. The original bytes are in dead letters, and only there.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from agents.explain_events import PlayedStates
from agents.explain_states import find_subjects
from agents.metrics import Metrics
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.adapter_loading import shipped_adapter, shipped_adapters
from schemas.carrier_codes import load_carrier_codes
from schemas.explanations import encode_explanation
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from schemas.vocabulary import DeadLetterReason
from streams.adapting import Adapter
from streams.explaining import explain
from streams.gaps import GapCount
from streams.intake import Intake, IntakeMapper
from streams.reckoning import TellingPolicy
from tests.canaries import (
    CANARY,
    leaves,
    payload_with_more_fields,
    payloads_with_canaries,
    sung,
    with_leaf,
    with_more_fields,
)
from tests.dead_letters import Refusal
from tests.golden_payloads import ARRIVED_MS, Golden, PayloadRecord, goldens, mapper, taken
from tests.input_events import NOON_MS, command, dock, label, order, scan

ALL = list(goldens())
DAY_MS = 24 * 60 * 60 * 1000


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.adapter}/{golden.file.stem}")
def test_a_canary_in_any_field_of_a_payload_does_not_pass(golden: Golden) -> None:
    intake, record = mapper(golden.adapter), golden.record()
    assert record.value is not None
    tried = 0
    for name, value in payloads_with_canaries(record.value):
        result = taken(intake, golden.adapter, PayloadRecord(value, record.key))
        assert not sung(*(f"{one.reason} {one.detail} {one.action}".encode() for one in result.refused)), name
        assert not sung(
            json.dumps([list(key) for key in result.counters]).encode(), repr(result.arrivals).encode()
        ), name
        for _, key, raw in result.facts:
            if sung(key):
                continue  # it was the number of the parcel, or who carries it
            assert not sung(raw), name
        tried += 1
    assert tried > 1


@pytest.mark.parametrize("golden", ALL, ids=lambda golden: f"{golden.adapter}/{golden.file.stem}")
def test_fields_that_nobody_reads_do_not_pass(golden: Golden) -> None:
    record = golden.record()
    assert record.value is not None
    more = PayloadRecord(payload_with_more_fields(record.value), record.key)
    result = taken(mapper(golden.adapter), golden.adapter, more)
    assert not sung(*(part for _, key, value in result.facts for part in (key, value)))
    assert not sung(*(one.detail.encode() for one in result.refused))


# -- the contract's events -----------------------------------------------------------------------------------------

EVENTS: list[tuple[InputKind, dict[str, Any]]] = [
    (InputKind.ORDERS, order("return_requested", value={"amount": "19.90", "currency": "EUR"})),
    (InputKind.ORDERS, order("return_approved")),
    (InputKind.LABELS, label(service="standard", facility="F1", origin_country="FR")),
    (InputKind.CARRIER_SCANS, scan(text="Origin Scan", code_type="activity_code", api="ups_rest_track_v1")),
    (InputKind.CARRIER_SCANS, scan(id="scan-2", code="NOBODY", text="unknown")),
    (InputKind.WAREHOUSE, dock(carrier="ups", tracking_number="1Z999", facility="F1")),
    (InputKind.WAREHOUSE, dock("inspected", id="i1", return_id="R1", disposition="restock")),
    (InputKind.ORDERS, order("refund_issued", amount={"amount": "19.90", "currency": "EUR"})),
    (InputKind.COMMANDS, command("acknowledge")),
]
NAMES = {
    "carrier",
    "tracking_number",
    "return_id",
    "return_ids",
    "facility",
    "city",
    "site",
    "postal_code",
    "shop",
    "service",
}
NAMES |= {"id", "case_id", "by", "audit_id", "reason", "category"}
"""Ids and names of the user's own, which the contract takes; and places."""


def _with_canaries() -> Iterator[tuple[InputKind, dict[str, Any]]]:
    """Every event with canaries in unknown fields; then with one in each field that is neither an id nor a name."""
    for kind, event in EVENTS:
        yield kind, with_more_fields(event)
        for path in leaves(event):
            if not NAMES & set(path):
                yield kind, with_leaf(with_more_fields(event), path, CANARY)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[bytes]]:
    """What was logged, in words."""
    lines: list[bytes] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        lines.append(repr(event).encode())
        raise structlog.DropEvent

    with caplog.at_level(logging.DEBUG):
        structlog.configure(processors=[keep])
        yield lines
        lines.append(caplog.text.encode())
        structlog.reset_defaults()


def _outputs(engine: VirtualTime, taken_in: list[Intake], policy: bytes, now_ms: int) -> Iterator[bytes]:
    for intake in taken_in:
        for _, key, value in intake.facts:
            yield from (key, value)
        for gone in intake.refused:
            yield f"{gone.reason} {gone.detail} {gone.action}".encode()
        yield repr((intake.counters, intake.arrivals)).encode()
    for out in engine.said():
        yield repr(out).encode()
    for stage in ("parcels", "returns"):
        for key, _, raw in engine.kept(stage):
            yield from (key, raw)
    for subject in asyncio.run(find_subjects(PlayedStates(engine, policy, now_ms, "memory"), "R1")):
        yield encode_explanation(explain(subject.known, TellingPolicy(policy)))
    yield repr(engine.counts()).encode()


def test_canaries_in_events_and_payloads_are_in_no_output(logged: list[bytes]) -> None:
    """Facts, both stages' states, everything that is said, explanations, counters, metrics, logs, gaps."""
    codes = load_carrier_codes()
    adapters = {name: Adapter(shipped_adapter(name)) for name in shipped_adapters()}
    intake = IntakeMapper(codes, adapters=adapters, tells_gaps=True)
    policy = default_policy().to_log()
    engine = VirtualTime(
        policy, inputs={**ONE_TOPIC_OF_EACH_KIND, **dict.fromkeys(adapters, 1)}, mapper=intake
    )
    gaps, taken_in, offset, at_ms = GapCount(codes), list[Intake](), 0, NOON_MS
    for kind, event in _with_canaries():
        offset, at_ms = offset + 1, at_ms + 1_000
        taken_in.append(engine.append([InputRecord(offset, json.dumps(event).encode())], kind, at_ms))
    for golden in ALL:
        value = payload_with_more_fields(golden.record().value or b"")
        record = InputRecord(0, value, key=golden.record().key)
        at_ms = max(at_ms, ARRIVED_MS)
        taken_in.append(engine.append([record], InputKind.CARRIER_SCANS, at_ms, topic=golden.adapter))
    assert sum(len(one.facts) for one in taken_in) > 100
    assert any(one.refused for one in taken_in), "some fields take no text"
    for one in taken_in:
        for gap in one.gaps:
            gaps.add(gap, at_ms, "t/0@1")
    for days in (1, 30, 90):
        engine.advance(at_ms + days * DAY_MS)
        found = sung(*_outputs(engine, taken_in, policy, at_ms + days * DAY_MS))
        assert not found
    assert not sung(*(repr(text.shown).encode() for gap in gaps.gaps() for text in gap.told()))
    assert not sung(*logged)


def test_a_carrier_that_is_a_canary_is_in_no_metric() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.unmapped_codes.labels(metrics.carrier(CANARY)).inc()
    metrics.doubtful_numbers.labels(metrics.carrier(CANARY)).inc()
    assert not sung(generate_latest(metrics.registry))


def test_the_headers_of_a_dead_letter_hold_nothing_of_the_record() -> None:
    """Its value does, by design: the original bytes."""
    bodies = [
        json.dumps(with_leaf(event, path, CANARY)).encode() for _, event in EVENTS for path in leaves(event)
    ]
    bodies += [
        CANARY.encode(),
        f'{{"type": "{CANARY}"}}'.encode(),
        f'{{"{CANARY}": 1'.encode(),
        f"<a>{CANARY}".encode(),
    ]
    reasons = set[DeadLetterReason]()
    for kind in InputKind:
        topics = [
            kind.value,
            *(["royalmail_tracking_v2", "usps_webtools_track"] if kind is InputKind.CARRIER_SCANS else []),
        ]
        for topic in topics:
            intake = mapper("royalmail_tracking_v2", "usps_webtools_track")
            result = intake.map_chunk(
                [PayloadRecord(body) for body in bodies], kind, NOON_MS, topic=topic, partition=0
            )
            for one in result.refused:
                reasons.add(one.reason)
                letter = Refusal(1, reason=one.reason, detail=one.detail, headers=[("x", b"y")]).letter()
                told = [value or b"" for name, value in letter.headers if name != "x"]
                assert not sung(*told), (topic, one.detail)
    assert len(reasons) > 5
