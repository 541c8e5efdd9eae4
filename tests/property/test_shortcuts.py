"""An ordinary life takes shortcuts; a look at every fact would have said and kept the same."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.facts import MARKER_KEY, POLICY_KEY, ParcelFact, encode_json
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import Evidence, Milestone
from streams.parcel import decode_parcel, fold_of
from streams.parcel_look import Look, look
from tests.property.parcel_lives import facts
from tests.stages import DAY, HOUR, MONDAY, Record, StageRun, label_fact, marker, parcel_fact, parcels_run

LILLE = {"LIL1": {"time_zone": "Europe/Paris", "places": [{"country": "FR", "city": "Lille"}]}}
NUMBERS = default_policy().model_dump(mode="json")
POLICY = Record(0, POLICY_KEY, Policy.model_validate({**NUMBERS, "facilities": LILLE}).to_log())


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[ParcelFact, int]]:
    """Mostly an ordinary life, each fact with the watermark (days) reached before it; now and then anything else."""
    at_ms, told = 0, []
    steps = [
        None,
        (Milestone.CARRIER_PREADVISED, Evidence.ANNOUNCED),
        (Milestone.ACCEPTED, Evidence.AGENT_SCAN),
        *[(Milestone.IN_TRANSIT, Evidence.CARRIER_SCAN)] * 4,
        (Milestone.DELIVERED, Evidence.CARRIER_SCAN),
        (Milestone.DELIVERED, Evidence.CARRIER_SCAN),
        (Milestone.IN_TRANSIT, Evidence.CARRIER_SCAN),
        (Milestone.CHECKED_IN, Evidence.WAREHOUSE_SCAN),
        (Milestone.DELIVERED, Evidence.CARRIER_SCAN),
    ]
    for step in steps:
        if step is not None and draw(st.integers(0, 8)) == 0:
            continue
        if draw(st.integers(0, 20)) == 0:
            told.append((draw(facts(days=20)), at_ms // DAY))
        at_ms += draw(st.sampled_from([HOUR, 20 * HOUR, 20 * HOUR, 4 * DAY, 6 * DAY]))
        reached = max(0, at_ms - draw(st.sampled_from([0, HOUR, 3 * DAY, 9 * DAY]))) // DAY
        place = draw(st.sampled_from(["", "FR/lyon", "FR/dijon", "FR/lille"]))
        if step is None:
            told.append((label_fact(at_ms, "R1", "R2", facility="LIL1"), reached))
        else:
            arrived_ms = at_ms + draw(st.sampled_from([0, 0, 0, 7 * DAY]))
            fact = parcel_fact(step[0], at_ms, evidence=step[1], place=place, arrived_ms=arrived_ms)
            if step[0] is Milestone.CHECKED_IN:
                fact = replace(fact, weight_grams=draw(st.sampled_from([0, 0, 300])))
            told.append((fact, reached))
    return told


def live(told: list[tuple[ParcelFact, int]]) -> StageRun:
    run = parcels_run()
    run.feed([POLICY])
    for fact, reached in told:
        offset = run.engine.next_offset
        run.feed(
            [
                Record(offset, MARKER_KEY, marker(MONDAY + reached * DAY)),
                Record(offset + 1, b"ups:1", encode_json(fact)),
            ]
        )
    run.feed([Record(run.engine.next_offset, MARKER_KEY, marker(MONDAY + 60 * DAY))])
    return run


@settings(max_examples=60, deadline=None)
@given(lives())
def test_with_and_without_shortcuts_the_same_is_said_and_kept(told: list[tuple[ParcelFact, int]]) -> None:
    short = live(told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.parcel_stage.take_shortcut", lambda *_args: None)
        patch.setattr("streams.parcel_stage.first_label", lambda *_args: None)
        patch.setattr("streams.parcel_stage.pass_by", lambda *_args: None)
        long = live(told)
    assert [(out.key, out.value) for out in short.said] == [(out.key, out.value) for out in long.said]
    ours, theirs = (decode_parcel(run.store.rows[b"ups:1"][1]) for run in (short, long))
    assert fold_of(ours) == fold_of(theirs)
    assert (ours.revision, ours.breaches, ours.digest) == (theirs.revision, theirs.breaches, theirs.digest)


def test_an_ordinary_life_is_never_looked_at() -> None:
    told = [label_fact(0, "R1")]
    told += [parcel_fact(Milestone.IN_TRANSIT, hours * HOUR, place=f"p{hours}") for hours in (10, 30, 50)]
    told += [parcel_fact(Milestone.DELIVERED, 60 * HOUR)]
    told += [parcel_fact(Milestone.CHECKED_IN, 62 * HOUR, evidence=Evidence.WAREHOUSE_SCAN)]
    looks: list[object] = []

    def counted(*args: Any) -> Look:
        looks.append(args)
        return look(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.parcel_stage.look", counted)
        run = parcels_run()
        run.feed([POLICY, *(Record(i, b"ups:1", encode_json(fact)) for i, fact in enumerate(told, 1))])
    assert not looks
    assert len(run.said) == 4


def test_a_scan_that_overtook_the_one_before_it_is_not_due_later_for_it() -> None:
    """The first scan arrived a week late and settles; the silence after the second has its own, earlier deadline."""
    first = parcel_fact(Milestone.ACCEPTED, HOUR, arrived_ms=7 * DAY, place="lyon")
    second = parcel_fact(Milestone.IN_TRANSIT, 2 * HOUR, arrived_ms=2 * HOUR, place="dijon")
    run = parcels_run()
    told = [label_fact(0, "R1"), first, second]
    run.feed([POLICY, *(Record(i, b"ups:1", encode_json(fact)) for i, fact in enumerate(told, 1))])
    run.feed([Record(4, MARKER_KEY, marker(MONDAY + 5 * DAY + 2 * HOUR))])
    assert b'"rule":"stalled_silent"' in (run.said[-1].value or b"")


def test_a_second_delivery_at_a_wrong_place_is_suspected_in_time() -> None:
    run = parcels_run()
    told = [label_fact(0, "R1", facility="LIL1"), parcel_fact(Milestone.ACCEPTED, HOUR)]
    told += [
        parcel_fact(Milestone.DELIVERED, DAY),
        parcel_fact(Milestone.DELIVERED, DAY + HOUR, place="FR/nice"),
    ]
    run.feed([POLICY, *(Record(i, b"ups:1", encode_json(fact)) for i, fact in enumerate(told, 1))])
    run.feed([Record(5, MARKER_KEY, marker(MONDAY + DAY + 2 * HOUR))])
    (breach,) = decode_parcel(run.store.rows[b"ups:1"][1]).breaches
    assert breach.rule == "delivered_elsewhere_suspected"
