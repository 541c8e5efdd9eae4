"""A parcel: what is kept of it, how its journeys are told apart, and when it is forgotten."""

from msgspec.structs import replace

from schemas.facts import (
    MARKER_KEY,
    POLICY_KEY,
    ParcelFact,
    ParcelReport,
    Source,
    decode_return_record,
    encode_json,
)
from schemas.vocabulary import Evidence, Milestone
from streams.journeys import Journey, journeys, name_of
from streams.parcel import ParcelState, Seen, decode_parcel, merge, raw_facts
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    Record,
    StageRun,
    label,
    label_fact,
    marker,
    only,
    parcel_fact,
    parcels_run,
)

KEY = b"ups:1"


def state_of(*told: ParcelFact) -> ParcelState:
    state = ParcelState()
    for fact in told:
        merge(state, fact)
    return state


def facts_of(state: ParcelState) -> list[Seen]:
    return [Seen._make(raw) for raw in raw_facts(state)]


def journeys_of(*told: ParcelFact) -> list[Journey]:
    state = state_of(*told)
    return journeys(raw_facts(state), state.labels)


def scan(at_ms: int, milestone: Milestone = Milestone.IN_TRANSIT, identity: int | None = None) -> ParcelFact:
    return parcel_fact(milestone, at_ms, identity=identity)


def checked_in(at_ms: int) -> ParcelFact:
    return parcel_fact(Milestone.CHECKED_IN, at_ms, evidence=Evidence.WAREHOUSE_SCAN)


def started(*told: ParcelFact) -> StageRun:
    run = parcels_run()
    run.feed([Record(0, POLICY_KEY, only().to_log())])
    tell(run, *told)
    return run


def tell(run: StageRun, *told: ParcelFact) -> None:
    first = run.engine.next_offset
    run.feed([Record(first + i, KEY, encode_json(fact)) for i, fact in enumerate(told)])


def reach(run: StageRun, at_ms: int) -> None:
    run.feed([Record(run.engine.next_offset, MARKER_KEY, marker(MONDAY + at_ms))])


def reports(run: StageRun) -> list[tuple[str, ParcelReport]]:
    found = []
    for out in run.said:
        report = decode_return_record(out.value or b"")
        assert isinstance(report, ParcelReport)
        found.append((out.key.decode(), report))
    return found


# -- the fold ---------------------------------------------------------------------------------------------------


def test_a_packed_fact_opens_to_what_was_packed() -> None:
    state = state_of(
        label_fact(0, "R1"),
        replace(
            scan(5 * HOUR), source=Source("carrier-scans", 65_535, 2**39 + 5), arrived_ms=MONDAY + 6 * HOUR
        ),
    )
    fact = facts_of(state)[1]
    assert (fact.at_ms, fact.arrived_ms) == (MONDAY + 5 * HOUR, MONDAY + 6 * HOUR)
    assert fact.milestone == Milestone.IN_TRANSIT
    assert fact.source(state.topics) == Source("carrier-scans", 65_535, 2**39 + 5)


def test_of_one_identity_told_twice_the_earlier_arrival_and_the_smaller_source_are_kept() -> None:
    one = replace(scan(HOUR), arrived_ms=MONDAY + 9 * HOUR, source=Source("a-topic", 2, 7))
    other = replace(scan(HOUR), arrived_ms=MONDAY + 3 * HOUR, source=Source("b-topic", 0, 1))
    state = state_of(one, other)
    (fact,) = facts_of(state)
    assert fact.arrived_ms == MONDAY + 3 * HOUR
    assert fact.source(state.topics) == Source("a-topic", 2, 7)


def test_a_retraction_hides_a_fact_whether_it_comes_before_or_after_it() -> None:
    fact, retraction = scan(HOUR, identity=7), parcel_fact(Milestone.UNMAPPED, 2 * HOUR, retracts=7)
    assert facts_of(state_of(fact, retraction)) == facts_of(state_of(retraction, fact)) == []


def test_more_than_16_retractions_keep_the_smallest_and_say_so() -> None:
    state = state_of(*(parcel_fact(Milestone.UNMAPPED, HOUR, retracts=i) for i in range(30, 10, -1)))
    assert [state.marks[at : at + 6] for at in range(0, len(state.marks), 6)] == [
        i.to_bytes(6, "big") for i in range(11, 27)
    ]
    assert state.truncated


def test_an_identity_that_straddles_two_packed_facts_is_not_found() -> None:
    state = state_of(scan(HOUR, identity=1), scan(2 * HOUR, identity=2))
    hidden = int.from_bytes(state.facts[9:15], "big")
    merge(state, scan(3 * HOUR, identity=hidden))
    assert len(facts_of(state)) == 3


# -- journeys ---------------------------------------------------------------------------------------------------


def test_a_label_after_the_end_of_a_journey_starts_the_next() -> None:
    first, second = label_fact(0, "R1"), label_fact(20 * DAY, "R2")
    told = journeys_of(
        first, scan(HOUR), scan(DAY, Milestone.DELIVERED), checked_in(2 * DAY), second, scan(21 * DAY)
    )
    assert [list(journey.returns()) for journey in told] == [["R1"], ["R2"]]
    assert [journey.name for journey in told] == [f"{first.identity:012x}", f"{second.identity:012x}"]
    assert [len(journey.scans) for journey in told] == [2, 1]


def test_a_second_label_on_a_moving_parcel_is_one_more_return_in_it() -> None:
    (journey,) = journeys_of(label_fact(0, "R1"), scan(HOUR), label_fact(2 * HOUR, "R2"), scan(DAY))
    assert list(journey.returns()) == ["R1", "R2"]


def test_a_label_told_after_the_first_scan_belongs_to_it_for_two_weeks() -> None:
    assert len(journeys_of(scan(0), label_fact(13 * DAY, "R1"))) == 1
    assert len(journeys_of(scan(0), label_fact(15 * DAY, "R1"))) == 2


def test_sixty_days_after_its_end_a_scan_belongs_to_somebody_elses_journey() -> None:
    life = (label_fact(0, "R1"), scan(HOUR), scan(DAY, Milestone.DELIVERED))
    assert len(journeys_of(*life, scan(30 * DAY))) == 1
    assert len(journeys_of(*life, scan(62 * DAY))) == 2


def test_a_parcel_found_after_seventy_days_is_on_the_journey_on_which_it_was_lost() -> None:
    assert len(journeys_of(label_fact(0, "R1"), scan(HOUR), scan(70 * DAY))) == 1


def test_a_journey_is_named_by_its_label_and_without_one_by_its_first_fact() -> None:
    first, later = scan(0), label_fact(HOUR, "R1")
    assert journeys_of(first)[0].name == f"{first.identity:012x}"
    assert journeys_of(first, later)[0].name == f"{later.identity:012x}"
    assert name_of(facts_of(state_of(first))[0]) == f"{first.identity:012x}"


def test_a_void_without_names_takes_the_label_back_for_all_and_an_earlier_one_for_nobody() -> None:
    void = parcel_fact(Milestone.LABEL_VOIDED, 5 * HOUR, evidence=Evidence.SYSTEM, label=label())
    (journey,) = journeys_of(label_fact(0, "R1", "R2"), void)
    assert all(journey.returns().values())
    (journey,) = journeys_of(label_fact(6 * HOUR, "R1"), void)
    assert journey.returns() == {"R1": None}


# -- reports ----------------------------------------------------------------------------------------------------


def test_a_report_is_sent_when_a_stage_changes_and_not_for_every_scan() -> None:
    run = started(label_fact(0, "R1"), *(scan(hours * HOUR) for hours in (5, 20, 30, 40)))
    tell(run, scan(50 * HOUR, Milestone.DELIVERED), checked_in(52 * HOUR))
    told = [
        (r.revision, bool(r.first_scan_ms), bool(r.delivered_ms), bool(r.checked_in_ms))
        for _, r in reports(run)
    ]
    assert told == [
        (1, False, False, False),
        (2, True, False, False),
        (3, True, True, False),
        (4, True, True, True),
    ]


def test_facts_told_again_send_nothing() -> None:
    life = [label_fact(0, "R1"), scan(5 * HOUR), scan(50 * HOUR, Milestone.DELIVERED), checked_in(52 * HOUR)]
    run = started(*life)
    before = len(run.said), run.store.rows[KEY]
    tell(run, *reversed(life), *life)
    assert (len(run.said), run.store.rows[KEY]) == before
    assert run.counters["duplicate", "parcels"] == 8


def test_a_parcel_without_a_label_says_nothing_until_one_comes_and_then_everything() -> None:
    run = started(scan(0), scan(DAY, Milestone.DELIVERED))
    assert not run.said
    tell(run, label_fact(HOUR, "R1", "R2"))
    assert [(key, report.delivered_ms - MONDAY) for key, report in reports(run)] == [("R1", DAY), ("R2", DAY)]


def test_a_label_taken_back_as_an_error_unlinks_its_return() -> None:
    wrong = label_fact(0, "R1")
    run = started(wrong, parcel_fact(Milestone.UNMAPPED, HOUR, retracts=wrong.identity))
    assert [(key, r.linked, r.unlinked_reason) for key, r in reports(run)] == [
        ("R1", True, ""),
        ("R1", False, "unlinked"),
    ]


def test_a_codes_meaning_that_nobody_knows_moves_nothing() -> None:
    run = started(parcel_fact(Milestone.UNMAPPED, 0, evidence=Evidence.SYSTEM))
    assert not run.store.rows
    assert run.counters["unmapped", "parcels"] == 1


# -- forgetting -------------------------------------------------------------------------------------------------


def test_a_parcel_that_never_gets_a_label_is_forgotten_and_counted() -> None:
    run = started(scan(0), scan(5 * DAY))
    reach(run, 34 * DAY)
    assert KEY in run.store.rows
    reach(run, 35 * DAY)
    assert KEY not in run.store.rows
    assert run.counters["orphan_expired", ""] == 1


def test_a_finished_parcel_is_forgotten_and_its_history_told_again_is_too_old() -> None:
    life = [label_fact(0, "R1"), scan(HOUR), scan(DAY, Milestone.DELIVERED), checked_in(25 * HOUR)]
    run = started(*life)
    reach(run, 25 * HOUR + 119 * DAY)
    assert KEY in run.store.rows
    reach(run, 25 * HOUR + 120 * DAY)
    assert KEY not in run.store.rows
    tell(run, *life)
    assert KEY not in run.store.rows
    assert run.counters["too_old", "parcels"] == 4


def test_a_breach_that_nobody_ended_expires_before_the_parcel_is_forgotten() -> None:
    run = started(label_fact(0, "R1"))
    reach(run, 200 * DAY)
    assert KEY not in run.store.rows
    last = reports(run)[-1][1].breaches
    assert [(breach.state, breach.reason) for breach in last] == [("ended", "expired")]


def test_a_lone_retraction_is_forgotten_too() -> None:
    run = started(parcel_fact(Milestone.UNMAPPED, 0, retracts=5))
    assert KEY in run.store.rows
    reach(run, 31 * DAY)
    assert KEY not in run.store.rows


def test_a_typical_parcel_takes_about_40_bytes_for_each_fact() -> None:
    life = [
        label_fact(0, "R1"),
        *(scan(h * HOUR, identity=h) for h in range(10, 70, 10)),
        checked_in(80 * HOUR),
    ]
    raw = started(*life).store.rows[KEY][1]
    assert len(raw) < 40 * len(life) + 100
    assert len(facts_of(decode_parcel(raw))) == 8
