"""What grows without end, a parcel, a return or names: it is bounded and counted, and stops nothing that lies behind it."""

import pytest

from schemas.facts import (
    MARKER_KEY,
    POLICY_KEY,
    ParcelReport,
    ReportedBreach,
    Source,
    decode_return_record,
    encode_json,
)
from schemas.outputs import decode_escalation
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import Milestone
from streams.batch import MOST_SAID_BYTES
from streams.parcel import decode_parcel
from streams.returns import MOST_PARCELS, decode_return
from streams.terms import MOST_TERMS, CompiledPolicy
from streams.watermark import PARCELS_SOURCE
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    Record,
    StageRun,
    label_fact,
    marker,
    parcel_fact,
    parcels_run,
    return_fact,
    returns_run,
)

POLICY = default_policy().to_log()


def breach(number: int) -> ReportedBreach:
    due_ms = MONDAY + 72 * HOUR
    return ReportedBreach(
        "missing_first_scan",
        f"{number:012x}",
        MONDAY,
        due_ms,
        due_ms,
        "open",
        "due",
        evidence=(Source("labels", 0, number),),
    )


def report(parcel: str, breaches: int = 1) -> ParcelReport:
    told = tuple(breach(number) for number in range(breaches))
    return ParcelReport(parcel, 1, "ups", label_ms=MONDAY, breaches=told)


def reach(run: StageRun, at_ms: int) -> None:
    for source in ("inputs", PARCELS_SOURCE):
        run.feed([Record(run.engine.next_offset, MARKER_KEY, marker(MONDAY + at_ms, source))])


def feed(run: StageRun, key: str, *values: object) -> None:
    first = run.engine.next_offset
    run.feed([Record(first + i, key.encode(), encode_json(value)) for i, value in enumerate(values)])


def started(run: StageRun) -> StageRun:
    run.feed([Record(0, POLICY_KEY, POLICY)])
    reach(run, HOUR)
    return run


def states_said(run: StageRun) -> list[str]:
    said = [decode_escalation(out.value or b"") for out in run.said if out.topic == "escalations"]
    return sorted(f"{one.parcel} {one.state.value}" for one in said)


CANCELLED = return_fact(Milestone.RETURN_CANCELLED, 73 * HOUR)


@pytest.mark.parametrize(
    "letter", ["Z", "\U0001f4e6"], ids=["ordinary numbers", "as long as intake lets them be"]
)
def test_a_cancelled_return_with_four_hundred_late_parcels_closes_a_hundred_cases(letter: str) -> None:
    run = started(returns_run())
    parcels = [f"ups:{number:03}{letter * (15 if letter == 'Z' else 125)}" for number in range(400)]
    return_id = "R1" if letter == "Z" else letter * 128
    feed(run, return_id, *(report(parcel) for parcel in parcels))
    reach(run, 74 * HOUR)
    feed(run, return_id, CANCELLED)
    reach(run, 75 * HOUR)
    kept = sorted(parcels)[:MOST_PARCELS]
    assert states_said(run) == sorted(
        f"{parcel} {state}" for parcel in kept for state in ("open", "resolved")
    )
    assert run.counters["truncated", "returns"] == 1
    assert run.largest_batch <= 900_000
    assert ("oversized", "returns") not in run.counters
    assert run.engine.standing_cases() == {}


def test_more_than_one_look_can_say_is_said_a_millisecond_later_each_change_once() -> None:
    run = started(returns_run())
    feed(run, "R1", *(report(f"ups:{number}", breaches=8) for number in range(90)))
    reach(run, 74 * HOUR)
    feed(run, "R1", CANCELLED)
    run.start()
    reach(run, 75 * HOUR)
    assert len(run.said_of_cases) == 2 * 2 * 90 * 8
    assert len({dict(out.headers)["ce_id"] for out in run.said_of_cases}) == len(run.said_of_cases) // 2
    assert run.largest_batch <= 900_000
    assert run.engine.standing_cases() == {}


def test_a_return_opens_no_more_than_about_a_thousand_cases() -> None:
    run = started(returns_run())
    feed(run, "R1", *(report(f"ups:{number}", breaches=30) for number in range(100)))
    reach(run, 74 * HOUR)
    reach(run, 75 * HOUR)
    opened = states_said(run)
    assert 1_000 < len(opened) < 1_300
    assert run.largest_batch <= 900_000
    assert run.counters["truncated", "returns"] >= 1
    feed(run, "R2", report("ups:x"))
    reach(run, 76 * HOUR)
    assert "ups:x open" in states_said(run)


def test_reports_that_no_return_can_hold_are_not_taken_in_and_what_follows_is() -> None:
    run = started(returns_run())
    feed(run, "R1", *(report(f"ups:{number}", breaches=100) for number in range(100)), CANCELLED)
    feed(run, "R2", report("ups:x"))
    assert len(run.store.rows[b"R1"][1]) <= 260_000
    assert run.counters["truncated", "returns"] > 1
    assert [one.parcel for one in decode_return(run.store.rows[b"R2"][1]).carried] == ["ups:x"]


def test_a_parcel_with_ever_more_returns_tells_the_first_hundred() -> None:
    run = started(parcels_run())
    for number in range(4):
        names = [f"R{number}{i:02}" for i in range(40)]
        feed(run, "ups:1", label_fact(number * HOUR, *names))
    told = decode_parcel(run.store.rows[b"ups:1"][1]).told
    assert told == tuple(f"R{number}{i:02}" for number in range(3) for i in range(40))[:100]
    assert {out.key.decode() for out in run.said} == set(told)
    assert run.counters["truncated", "parcels"] == 1
    latest = decode_return_record(run.said[-1].value or b"")
    assert isinstance(latest, ParcelReport)
    assert latest.truncated
    feed(run, "ups:1", label_fact(4 * HOUR, "R999"))
    before = len(run.said)
    feed(
        run, "ups:1", parcel_fact(Milestone.IN_TRANSIT, 5 * HOUR), parcel_fact(Milestone.IN_TRANSIT, 6 * HOUR)
    )
    assert len(run.said) - before == 100  # the first scan is news, the second is not


def test_one_batch_holds_no_more_messages_than_memory_allows() -> None:
    run = started(parcels_run(max_bytes=20_000_000))
    names = [f"{i:03}{'R' * 125}" for i in range(100)]
    first = run.engine.next_offset
    records = [Record(first + i, f"ups:{i}".encode(), encode_json(label_fact(0, *names))) for i in range(200)]
    held, start = [], 0
    while start < len(records):
        batch = run.engine.step(records, start, run.store, first + len(records))
        run.store.apply(batch)
        held.append(sum(out.size_bytes for out in batch.outgoing))
        start += batch.consumed
    assert len(held) > 1
    assert max(held) <= MOST_SAID_BYTES


def test_a_change_that_fits_into_no_batch_is_passed_over_and_counted() -> None:
    run = started(parcels_run())
    names = [f"{i:05}{'R' * 120}" for i in range(8_000)]
    feed(run, "ups:1", label_fact(0, *names))
    feed(run, "ups:2", label_fact(0, "R2"))
    assert run.counters["oversized", "parcels"] == 1
    assert list(run.store.rows) == [b"ups:2"]
    assert [out.key for out in run.said] == [b"R2"]


def compiled() -> CompiledPolicy:
    numbers = default_policy().model_dump(mode="json")
    overrides = [{"facility": "LIL1", "budget": "3d"}, {"carrier": "ups", "budget": "1d"}]
    numbers["rules"]["stalled_silent"]["overrides"] = overrides
    return CompiledPolicy(Policy.model_validate(numbers).to_log())


def silent_days(policy: CompiledPolicy, carrier: str, facility: str) -> float:
    return policy.terms(carrier, "FR", "FR", facility).silence.due_ms(0, 0) / DAY


def test_names_that_the_policy_does_not_know_share_their_deadlines() -> None:
    policy = compiled()
    known, unknown = policy.terms("ups", "FR", "FR", "LIL1"), policy.terms("nobody", "FR", "FR", "typed")
    assert all(policy.terms(f"c{i}", "FR", "FR", f"typed {i}") is unknown for i in range(100))
    assert policy.terms("ups", "FR", "FR", "LIL1") is known
    assert [silent_days(policy, "nobody", "LIL1"), silent_days(policy, "ups", "typed")] == [3, 1]


def test_deadlines_of_no_more_than_ten_thousand_lanes_are_kept_at_hand() -> None:
    policy = compiled()
    first = policy.terms("ups", "0", "FR", "")
    for i in range(MOST_TERMS):
        policy.terms("ups", f"{i}", "FR", "")
    assert policy.terms("ups", "0", "FR", "") is first
    policy.terms("ups", "one more", "FR", "")
    again = policy.terms("ups", "0", "FR", "")
    assert again is not first
    assert again.silence.due_ms(0, 0) == first.silence.due_ms(0, 0)
