"""The state of a parcel, and the cases in the end, do not depend on the order or the number of times facts are told."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.facts import (
    MARKER_KEY,
    POLICY_KEY,
    ParcelFact,
    ParcelReport,
    ReturnFact,
    decode_return_record,
    encode_json,
)
from schemas.policy_loading import default_policy
from streams.parcel import ParcelState, encode_parcel, fold_of, merge
from streams.returns import ReturnState, encode_return, merge_fact
from tests.property.parcel_lives import facts, return_facts
from tests.stages import DAY, MONDAY, Record, marker, parcels_run


def folded(told: list[ParcelFact]) -> bytes:
    state = ParcelState()
    for fact in told:
        merge(state, fact)
    return encode_parcel(ParcelState(*fold_of(state)))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(facts(), min_size=1, max_size=12))
def test_any_order_and_repetition_of_a_parcels_facts_gives_the_same_bytes(
    data: st.DataObject, told: list[ParcelFact]
) -> None:
    repeated = told + data.draw(st.lists(st.sampled_from(told), max_size=5), label="repeated")
    shuffled = data.draw(st.permutations(repeated), label="order")
    assert folded(shuffled) == folded(told)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.lists(return_facts(), min_size=1, max_size=8))
def test_any_order_and_repetition_of_a_returns_facts_gives_the_same_bytes(
    data: st.DataObject, told: list[ReturnFact]
) -> None:
    def state(order: list[ReturnFact]) -> bytes:
        result = ReturnState()
        for fact in order:
            merge_fact(result, fact)
        return encode_return(result)

    shuffled = data.draw(st.permutations(told + told[:3]), label="order")
    assert state(shuffled) == state(told)


def breaches_in_the_end(told: list[ParcelFact]) -> list[object]:
    """What the parcel reports to the returns it carries after everything was told, as time goes on."""
    run = parcels_run()
    records = [Record(0, POLICY_KEY, default_policy().to_log())]
    records += [Record(i, b"ups:1", encode_json(fact)) for i, fact in enumerate(told, 1)]
    run.feed(records)
    reached: list[object] = []
    for days in (10, 30, 60, 110):
        run.feed([Record(run.engine.next_offset, MARKER_KEY, marker(MONDAY + days * DAY))])
        row = run.store.rows.get(b"ups:1")
        reports = run.logic.report(b"ups:1", row[1]) if row else []
        for out in reports:
            report = decode_return_record(out.value or b"")
            if isinstance(report, ParcelReport) and report.linked:
                reached.append((days, out.key, replace(report, revision=0)))
    return reached


@settings(max_examples=40, deadline=None)
@given(st.data(), st.lists(facts(), min_size=1, max_size=10))
def test_any_order_of_the_facts_gives_the_same_breaches(data: st.DataObject, told: list[ParcelFact]) -> None:
    shuffled = data.draw(st.permutations(told + told[:2]), label="order")
    assert breaches_in_the_end(shuffled) == breaches_in_the_end(told)


def test_more_than_64_facts_keep_the_earliest_16_and_the_latest_48_and_say_so() -> None:
    from schemas.vocabulary import Milestone
    from streams.parcel import FACT_BYTES, raw_facts
    from tests.stages import HOUR, parcel_fact

    state = ParcelState()
    for hour in range(80):
        merge(state, parcel_fact(Milestone.IN_TRANSIT, hour * HOUR, identity=hour + 1))
    kept = [(raw[0] >> 16) - MONDAY for raw in raw_facts(state)]
    assert state.truncated
    assert len(state.facts) == 64 * FACT_BYTES
    assert kept == [hour * HOUR for hour in (*range(16), *range(32, 80))]
