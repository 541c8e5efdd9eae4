"""Traces from an input record to what is said about it days later (docs/adr/0029): what is read, kept, given on and let go."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.carrier_codes import load_carrier_codes
from schemas.facts import FORGET_KEY, CaseCommand, Erasure, encode_json
from schemas.outputs import decode_escalation
from schemas.policy_loading import default_policy
from schemas.topics import InputKind
from schemas.vocabulary import CommandType, ErasureReason, Evidence, Milestone, RuleId
from streams.intake import Acceptance, Intake, IntakeMapper
from streams.intake_traces import ACCEPTED, IGNORED, REFUSED, Door, traced
from streams.partition import Partition
from streams.state_version import LEAST_READER, TRACES_READER
from streams.traces import (
    MOST_CONTEXTS,
    Context,
    SaidSpan,
    context_of,
    decode_kept,
    derived_span,
    is_trace,
    read_traceparent,
    trace_key,
)
from streams.watermark import Outgoing, decode_position
from tests.input_events import Record as InputRecord
from tests.input_events import scan
from tests.stages import (
    DAY,
    HOUR,
    MINUTE,
    MONDAY,
    Headers,
    Record,
    Shop,
    StageRun,
    case_command,
    label_fact,
    only,
    parcel_fact,
    return_fact,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def header(number: int, flags: str = "01") -> Headers:
    """A trace of its own for each number."""
    return [("traceparent", f"00-{number:032x}-{number:016x}-{flags}".encode())]


def trace_of(message: Outgoing) -> int:
    """The number of the trace that a message is in; 0: none."""
    context = context_of(message.headers)
    return int.from_bytes(context.trace) if context is not None else 0


def said(shop: Shop, topic: str = "escalations") -> list[Outgoing]:
    return [message for message in shop.returns.said if message.topic == topic and message.value is not None]


def rule_of(message: Outgoing) -> str:
    return decode_escalation(message.value or b"").rule


def traces_kept(run: StageRun) -> set[bytes]:
    return {key for key in run.store.rows if is_trace(key)}


def labelled(*, traces: bool = True, policy: Any = None) -> Shop:
    """A parcel with a label in trace 1, and its return with a request in trace 2."""
    shop = Shop(policy or only(), traces=traces)
    shop.parcel_fact("ups:1", label_fact(0, "R1"), header(1))
    shop.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0), header(2))
    return shop


# -- what is read -------------------------------------------------------------------------------------------------


def test_a_context_is_read_as_the_w3c_writes_it_and_written_as_it_was_read() -> None:
    context = read_traceparent(GOOD)
    assert context == Context(bytes.fromhex(TRACE), bytes.fromhex(SPAN), 1)
    assert context.header == GOOD
    assert read_traceparent(GOOD[:-2] + b"03") == context._replace(flags=3)
    assert read_traceparent(GOOD[:-2] + b"fd") == context, "flags that nobody has defined are not passed on"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"x" * 100_000,
        GOOD.upper(),
        GOOD + b"\n",
        GOOD + b"-00",
        b" " + GOOD,
        b"01" + GOOD[2:],
        b"ff" + GOOD[2:],
        GOOD.replace(TRACE.encode(), b"0" * 32),
        GOOD.replace(SPAN.encode(), b"0" * 16),
        GOOD.replace(b"-", b"_"),
        GOOD[:-1],
        GOOD.decode().encode("utf-16"),
        "\uff10\uff10-".encode() + GOOD[3:],
    ],
)
def test_whatever_is_no_context_is_as_none(value: bytes | None) -> None:
    assert read_traceparent(value) is None
    assert context_of([("traceparent", value), ("ce_traceparent", GOOD)]) == read_traceparent(GOOD)


def test_of_headers_kafkas_own_goes_first_and_two_that_differ_are_none() -> None:
    other = header(7)[0][1]
    assert context_of([("ce_traceparent", other), ("Traceparent", GOOD)]) == read_traceparent(GOOD)
    assert context_of([("traceparent", GOOD), ("traceparent", GOOD)]) == read_traceparent(GOOD)
    assert context_of([("traceparent", GOOD), ("traceparent", other)]) is None
    assert context_of([("tracestate", b"a=b")]) is None


# -- intake -------------------------------------------------------------------------------------------------------


INTAKE = IntakeMapper(load_carrier_codes(), Acceptance(max_past=timedelta(days=9_999)), tells_begins=True)


DOOR = Door("returnwatch", "scans", 3)


def taken(*given: tuple[Any, Headers], share: float = 0.0, door: Door = DOOR) -> tuple[Any, list[Any]]:
    records = [
        InputRecord(value if isinstance(value, bytes) else json.dumps(value).encode(), offset, list(headers))
        for offset, (value, headers) in enumerate(given)
    ]
    intake = INTAKE.map_chunk(records, InputKind.CARRIER_SCANS, MONDAY, topic="scans", partition=3)
    headers, spans = traced(records, intake, door, share)
    assert len(headers) == len(intake.facts)
    return headers, spans


def test_a_fact_carries_its_record_s_trace_and_the_span_of_intake() -> None:
    headers, spans = taken(
        (scan(), []), (scan(id="E2"), header(5)), (b"{", header(6)), (scan(id="E3"), header(7, "00"))
    )
    own = derived_span("returnwatch", "scans", "3", "1")
    assert headers == [[], [("traceparent", Context((5).to_bytes(16), own).header)], []]
    assert [(one.offset, one.parent, one.outcome, one.reason) for one in spans] == [
        (1, (5).to_bytes(8), ACCEPTED, ""),
        (2, (6).to_bytes(8), REFUSED, "not_json"),
    ]
    assert spans[0].context.span == own != spans[1].context.span


def test_the_trace_of_a_cloud_event_is_read_in_both_modes() -> None:
    around = {
        "specversion": "1.0",
        "id": "1",
        "source": "/wms",
        "type": "carrier_scan",
        "traceparent": GOOD.decode(),
    }
    structured = json.dumps({**around, "data": scan()}).encode()
    content_type = ("content-type", b"application/cloudevents+json; charset=utf-8")
    headers, spans = taken(
        (structured, [content_type]),
        (structured, [content_type, *header(9)]),
        (structured, []),
        (b"[1", [content_type]),
        (structured.replace(GOOD, b'1"'), [content_type]),
    )
    assert [one.context.trace.hex() for one in spans] == [TRACE, f"{9:032x}"]
    assert len(headers) == 2, "without its content type it is no event"


def test_a_share_of_the_records_without_a_trace_begins_one_and_always_the_same() -> None:
    given = [(scan(id=f"E{number}"), header(1, "00") if number < 50 else []) for number in range(1_050)]
    headers, spans = taken(*given, share=0.2)
    assert 130 < len(spans) < 270
    assert all(one.parent is None and one.offset >= 50 for one in spans), (
        "what its producer left out stays out"
    )
    assert taken(*given, share=0.2) == (headers, spans)
    assert len({one.context.trace for one in spans}) == len(spans)
    assert len(taken(*given, share=1.0)[1]) == 1_000


def test_two_installations_write_different_spans_into_one_trace() -> None:
    here, there = (taken((scan(), header(5)), door=DOOR._replace(app_id=name))[1][0] for name in "ab")
    assert here.context.trace == there.context.trace
    assert here.context.span != there.context.span


def test_other_records_in_the_same_place_of_another_cluster_begin_other_traces() -> None:
    here, there = (taken((scan(id=name), []), share=1.0)[1][0] for name in ("E1", "E2"))
    assert here.context.trace != there.context.trace


def test_a_record_of_which_nothing_comes_is_a_span_too() -> None:
    tombstone = InputRecord(b"", 0, list(header(4)))
    (span,) = traced([tombstone], Intake(begins=[0]), Door("returnwatch", "labels", 0), 0.0)[1]
    assert span.outcome == IGNORED


# -- from a scan to an escalation ---------------------------------------------------------------------------------


def test_an_escalation_that_time_makes_is_in_the_trace_of_the_last_scan() -> None:
    shop = labelled()
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, 4 * HOUR), header(3))
    for stage in (shop.parcels, shop.returns):
        stage.lose_disk()
        assert not [key for key, (armed_ms, _) in stage.store.rows.items() if is_trace(key) and armed_ms]
    shop.reach(30 * DAY)
    stalled = next(one for one in said(shop) if rule_of(one) == RuleId.STALLED_SILENT)
    assert trace_of(stalled) == 3
    headers = dict(stalled.headers)
    assert headers["traceparent"] == headers["ce_traceparent"]
    span = next(one for one in shop.returns.spans if one.message == stalled)
    assert span.parent == (3).to_bytes(8)
    assert span.context.header == headers["traceparent"]
    assert span.context.span == derived_span("escalations", headers["ce_id"].decode(), span.parent.hex())
    case = next(one for one in said(shop, "cases") if dict(one.headers)["ce_id"] == headers["ce_id"])
    assert dict(case.headers)["traceparent"] == header(3)[0][1], "how something stands is no span of its own"
    journeys = said(shop, "journeys")
    assert journeys
    assert {trace_of(one) for one in journeys} <= {1, 2, 3}


def test_a_case_about_a_parcel_is_in_that_parcel_s_trace() -> None:
    shop = labelled()
    shop.parcel_fact("ups:2", label_fact(0, "R1"), header(4))
    shop.return_fact("R1", return_fact(Milestone.RETURN_APPROVED, MINUTE), header(5))
    shop.reach(30 * DAY)
    traces = {decode_escalation(one.value or b"").parcel: trace_of(one) for one in said(shop)}
    assert traces == {"ups:1": 1, "ups:2": 4}


@pytest.mark.parametrize(("own", "trace"), [(header(2), 2), ([], 0)])
def test_a_case_about_a_parcel_is_never_in_another_parcel_s_trace(own: Headers, trace: int) -> None:
    shop = Shop(only(), traces=True)
    shop.parcel_fact("ups:1", label_fact(0, "R1"))
    shop.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0), own)
    shop.parcel_fact("ups:2", label_fact(0, "R1"), header(4))
    shop.reach(30 * DAY)
    traces = {decode_escalation(one.value or b"").parcel: trace_of(one) for one in said(shop)}
    assert traces == {"ups:1": trace, "ups:2": 4}


def test_an_answer_is_of_its_own_command_s_trace_or_of_none() -> None:
    shop = labelled()
    shop.reach(30 * DAY)
    case_id = decode_escalation(said(shop)[-1].value or b"").case_id
    command = case_command(CommandType.ACKNOWLEDGE, case_id, 30 * DAY)
    answers = []
    for headers in ([], header(8), header(9)):
        shop.command("R1", command, headers)
        answers.append(said(shop, "command-answers")[-1])
    assert len({dict(one.headers)["ce_id"] for one in answers}) == 1
    assert [trace_of(one) for one in answers] == [0, 8, 9]
    acknowledged = said(shop)[-1]
    assert trace_of(acknowledged) == 1, "what a command without a trace does to a case stays in the parcel's"
    spans = [one.context.span for one in shop.returns.spans if one.message.topic == "command-answers"]
    assert len(set(spans)) == len(spans) == 2


def test_what_a_record_makes_a_case_say_is_of_that_record_s_trace() -> None:
    shop = labelled()
    shop.reach(30 * DAY)
    opened = said(shop)[-1]
    case_id = decode_escalation(opened.value or b"").case_id
    shop.command("R1", case_command(CommandType.ACKNOWLEDGE, case_id, 30 * DAY), header(8))
    acknowledged, answer = said(shop)[-1], said(shop, "command-answers")[-1]
    assert (trace_of(opened), trace_of(acknowledged), trace_of(answer)) == (1, 8, 8)
    shop.parcel_fact("ups:1", parcel_fact(Milestone.ACCEPTED, 30 * DAY))
    shop.reach(30 * DAY + HOUR)
    resolved = said(shop)[-1]
    assert rule_of(resolved) == rule_of(opened)
    assert trace_of(resolved) == 1, "a record without a trace leaves what was known of its parcel"


def test_unsampled_and_hostile_headers_leave_nothing() -> None:
    shop = Shop(only(), traces=True)
    shop.parcel_fact("ups:1", label_fact(0, "R1"), header(1, "00"))
    shop.return_fact(
        "R1", return_fact(Milestone.RETURN_REQUESTED, 0), [("traceparent", b"00-" + b"\xff" * 60)]
    )
    shop.reach(30 * DAY)
    assert said(shop)
    assert not [one for one in shop.returns.said + shop.parcels.said if "traceparent" in dict(one.headers)]
    assert traces_kept(shop.parcels) | traces_kept(shop.returns) == set()


def test_with_traces_off_records_in_traces_leave_the_same_bytes_as_records_in_none() -> None:
    off, without = labelled(traces=False), Shop(only())
    without.parcel_fact("ups:1", label_fact(0, "R1"))
    without.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0))
    for shop in (off, without):
        shop.reach(30 * DAY)
    for one, other in ((off.parcels, without.parcels), (off.returns, without.returns)):
        assert one.said == other.said
        assert one.store.rows == other.store.rows
        assert one.store.position == other.store.position
        assert one.spans == []


def test_a_return_keeps_the_contexts_of_the_parcels_that_were_heard_of_last() -> None:
    shop = Shop(only(), traces=True)
    for number in range(1, 13):
        shop.parcel_fact(f"ups:{number}", label_fact(0, "R1"), header(number))
    kept = decode_kept(shop.returns.store.rows[trace_key(b"R1")][1])
    assert [one.about for one in kept] == [f"ups:{number}" for number in range(5, 13)]
    assert len(kept) == MOST_CONTEXTS
    shop.return_fact("R1", return_fact(Milestone.RETURN_REQUESTED, 0), header(99))
    for number in range(1, 13):
        shop.parcel_fact(f"ups:{number}", parcel_fact(Milestone.ACCEPTED, HOUR), header(number))
    kept = decode_kept(shop.returns.store.rows[trace_key(b"R1")][1])
    assert [one.about for one in kept] == ["", *(f"ups:{number}" for number in range(6, 13))], "its own stays"


# -- what is let go -----------------------------------------------------------------------------------------------


def least_reader(run: StageRun) -> int:
    return decode_position(run.store.position or b"").least_reader


@pytest.mark.parametrize("stays_on", [True, False])
def test_contexts_go_with_their_states_also_when_traces_were_switched_off(stays_on: bool) -> None:
    shop = labelled()
    assert (traces_kept(shop.parcels), traces_kept(shop.returns)) == (
        {trace_key(b"ups:1")},
        {trace_key(b"R1")},
    )
    shop.switch_traces(stays_on)
    for day in range(30, 900, 30):
        shop.reach(day * DAY)
    assert (shop.parcels.store.states, shop.returns.store.states) == ({}, {}), "all is purged in the end"
    assert traces_kept(shop.parcels) | traces_kept(shop.returns) == set()
    assert any(trace_of(one) for one in said(shop)) is stays_on


def test_only_a_version_that_knows_contexts_goes_on_from_a_partition_that_has_some() -> None:
    shop = Shop(only())
    shop.parcel_fact("ups:1", label_fact(0, "R1"), header(1))
    assert (least_reader(shop.parcels), least_reader(shop.returns)) == (LEAST_READER, LEAST_READER)
    shop.switch_traces(True)
    shop.parcel_fact("ups:2", label_fact(0, "R1"), header(2))
    assert (least_reader(shop.parcels), least_reader(shop.returns)) == (TRACES_READER, TRACES_READER)
    shop.switch_traces(False)
    shop.reach(HOUR)
    assert least_reader(shop.parcels) == TRACES_READER, "they are still there"
    for day in range(30, 900, 30):
        shop.reach(day * DAY)
    assert (least_reader(shop.parcels), least_reader(shop.returns)) == (LEAST_READER, LEAST_READER)


def forget_command() -> CaseCommand:
    told = case_command(CommandType.ACKNOWLEDGE, "", DAY)
    why = ErasureReason.DATA_SUBJECT_REQUEST
    return msgspec.structs.replace(told, command=CommandType.FORGET, why=why, salt="salt")


@pytest.mark.parametrize("trace", [9, 0])
def test_what_is_forgotten_leaves_no_context(trace: int) -> None:
    shop = labelled()
    shop.parcel_fact("ups:2", label_fact(0, "R1", "R2"), header(3))
    shop.reach(30 * DAY)
    opened = len(said(shop))
    assert opened
    shop._to(shop.returns, b"R1", encode_json(forget_command()), header(trace) if trace else [])
    shop._to(shop.parcels, FORGET_KEY, encode_json(Erasure("salt", MONDAY + 30 * DAY, "R1")))
    shop.reach(30 * DAY + HOUR)
    assert traces_kept(shop.returns) == {trace_key(b"R2")}
    assert traces_kept(shop.parcels) == set(), "nor of a parcel that goes on for another return"
    assert b"ups:2" in shop.parcels.store.states
    answer = said(shop, "command-answers")[-1]
    assert trace_of(answer) == trace, "what is answered is of the command's own trace, or of none"
    erased = [one for one in said(shop)[opened:] if b"R1" not in (one.key or b"")]
    assert {trace_of(one) for one in erased} == {trace}, "its trace would name what is forgotten"


# -- stops and starts ---------------------------------------------------------------------------------------------


def test_what_is_said_again_after_a_stop_has_the_same_headers() -> None:
    shop = labelled()
    reports = list(shop.parcels.last_said)
    shop.parcels.start()
    assert shop.parcels.engine.repeat(shop.parcels.store) == reports
    shop.reach(30 * DAY)
    last = list(shop.returns.last_said)
    shop.returns.start()
    assert shop.returns.engine.repeat(shop.returns.store) == last


def test_a_change_that_has_no_room_leaves_its_context_for_the_next_batch() -> None:
    run = Shop(default_policy(), traces=True).parcels
    engine, store = run.engine, run.store
    labels = [(f"ups:{number}".encode(), label_fact(0, f"R{number}")) for number in range(40)]
    records = [
        Record(engine.next_offset + place, key, encode_json(fact), header(place + 1))
        for place, (key, fact) in enumerate(labels)
    ]
    small = Partition(
        run.logic_of(),
        0,
        position=store.position,
        policy=store.policy,
        sources=("inputs",),
        max_bytes=3_000,
        traces=True,
    )
    batches, spans, start, end = 0, list[SaidSpan](), 0, records[-1].offset + 1
    while small.next_offset < end:
        batch = small.step(records, start, store, end)
        names = {write.key for write in batch.writes}
        assert {trace_key(key) for key in names if not is_trace(key)} == {
            key for key in names if is_trace(key)
        }
        store.apply(batch)
        start, batches = start + batch.consumed, batches + 1
        spans += batch.spans
    assert batches > 3
    assert decode_position(store.position or b"").traced == 40
    assert spans == [], "reports between the stages are no spans"


def test_a_scan_without_a_label_is_nobody_s_return_and_its_trace_waits_for_one() -> None:
    shop = Shop(only(), traces=True)
    dock = parcel_fact(Milestone.CHECKED_IN, 0, evidence=Evidence.WAREHOUSE_SCAN)
    shop.parcel_fact("ups:1", dock, header(3))
    shop.parcel_fact("ups:1", label_fact(HOUR, "R1"))
    (report,) = [one for one in shop.parcels.said if one.key == b"R1"]
    assert trace_of(report) == 3
