"""What the simulated world's carriers send by their APIs is, read by the shipped adapters, what they had to tell."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest

from agents.adapters import readers_named
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact
from schemas.vocabulary import Evidence, Milestone
from simulation.api_carriers import API_CARRIERS, API_LANES
from simulation.api_shapes import SHAPES, History, Scan, Shape
from simulation.api_traffic import Sending, by_apis, ledger_of
from simulation.carriers import UNKNOWN_CODES
from simulation.happenings import SCANS
from simulation.ledger import Ledger, read_ledger
from simulation.world import World
from streams.identity import identity_of_id
from streams.intake import ANSWERS, Intake, IntakeMapper
from streams.places import place_token
from tests.golden_payloads import PayloadRecord

NAMES = [shape.adapter for shape in SHAPES]
MS = 1000
_NO_SCAN = {Milestone.LABEL_CREATED, Milestone.LABEL_VOIDED, Milestone.CHECKED_IN}
Steps = dict[str, Counter[tuple[int, int, int, str]]]
"""Parcel -> (when, milestone, evidence, place) of every step that is known of it."""


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=7, returns=300, lanes=API_LANES)


@pytest.fixture(scope="module")
def sendings(world: World) -> list[Sending]:
    return by_apis(world.events, world.until_at)


def intake() -> IntakeMapper:
    adapters = readers_named(f"{name}={name}" for name in NAMES)
    return IntakeMapper(load_carrier_codes(), adapters=adapters)


def taken(mapper: IntakeMapper, sending: Sending) -> Intake:
    record = PayloadRecord(sending.value, sending.key, headers=sending.headers)
    at_ms = int(sending.appears_at.timestamp()) * MS
    return mapper.map_chunk([record], sending.kind, at_ms, topic=sending.api or sending.kind, partition=0)


def read(sendings: Iterable[Sending]) -> Steps:
    """What intake makes of the records, each fact once, without what is taken back."""
    mapper, known, gone = intake(), defaultdict[str, dict[int, tuple[int, int, int, str]]](dict), set[int]()
    for sending in sendings:
        for _, key, value in taken(mapper, sending).facts:
            fact = decode_parcel_fact(value)
            if fact.retracts:
                gone.add(fact.retracts)
            else:
                step = (fact.occurred_ms, fact.milestone, fact.evidence, fact.place)
                known[key.decode()][fact.identity] = step
    steps = {
        parcel: Counter(step for identity, step in facts.items() if identity not in gone)
        for parcel, facts in known.items()
    }
    return {parcel: left for parcel, left in steps.items() if left}


def wanted(ledger: Ledger) -> Steps:
    """The same as the world knows it."""
    told: Steps = {}
    for parcel, news in ledger.parcels.items():
        gone = {one.retracts for one in news}
        steps = [one for one in news if one.retracts is None and one.milestone not in _NO_SCAN]
        told[parcel] = Counter(
            (int(one.at.timestamp()) * MS, one.milestone, one.evidence, place_token(*one.spot))
            for one in steps
            if one.identity not in gone
        )
    return {parcel: steps for parcel, steps in told.items() if steps}


def of(shape: Shape, sendings: Sequence[Sending]) -> list[Sending]:
    return [one for one in sendings if one.api == shape.adapter]


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_a_payload_is_read_as_exactly_what_the_carrier_had_to_tell(
    shape: Shape, sendings: list[Sending]
) -> None:
    mine = of(shape, sendings)
    steps = wanted(read_ledger(ledger_of(mine)))
    assert sum(steps[parcel].total() for parcel in steps) >= 40
    assert read(mine) == steps


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_order_of_the_payloads_makes_no_difference(shape: Shape, sendings: list[Sending]) -> None:
    mine = of(shape, sendings)
    assert read(reversed(mine)) == read(mine)


def test_nothing_of_it_is_refused(sendings: list[Sending]) -> None:
    mapper, counted = intake(), Counter[tuple[str, str]]()
    for sending in sendings:
        if sending.api:
            result = taken(mapper, sending)
            assert not result.refused, (sending.api, result.refused[0].detail)
            counted.update(result.counters)
    assert counted[ANSWERS, "error"] >= 20


@pytest.mark.parametrize("code", UNKNOWN_CODES)
@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_a_code_that_nobody_published_proves_nothing(shape: Shape, code: str, world: World) -> None:
    (carrier,) = [one for one in API_CARRIERS if one.hub[0].api == shape.codes_of]
    at = world.start_at + timedelta(hours=7)
    scan = Scan(at, carrier.hub[0].code_type, code, "Status updated", {"country": "FR"}, "7")
    value = shape.write([History(carrier.name, "N0001", [scan])])
    result = taken(intake(), Sending(at, SCANS, shape.adapter, b"N0001", value, (), ()))
    (fact,) = [decode_parcel_fact(value) for _, _, value in result.facts]
    assert (fact.milestone, fact.evidence) == (Milestone.UNMAPPED, Evidence.SYSTEM)
    assert fact.occurred_ms == int(at.timestamp()) * MS


def test_every_event_of_the_world_is_told_once_or_stays_as_it_is(
    world: World, sendings: list[Sending]
) -> None:
    told = [event for sending in sendings for event in sending.tells]
    assert len(told) == len([event for event in world.events if event.appears_at <= world.until_at]) or (
        len(world.events) - len(told) < 20  # told at the next asking, which is behind the end
    )
    scans = [sending for sending in sendings if sending.kind == SCANS and not sending.api]
    assert len(scans) < len([sending for sending in sendings if sending.api]) / 10


def test_histories_are_told_again_out_of_order_several_at_once_and_cut(sendings: list[Sending]) -> None:
    again = [one for one in sendings if one.api and not one.tells and one.value[:1] == b"{"]
    assert len(again) >= 20
    assert sum(len(one.tells) > 1 for one in sendings) >= 10
    fedex = [
        json.loads(one.value)
        for one in sendings
        if one.api == "fedex_rest_track_v1" and one.value[:1] == b"{"
    ]
    assert max(len(answer["output"]["completeTrackResults"]) for answer in fedex) >= 2
    lengths = defaultdict[str, list[int]](list)
    for answer in fedex:
        for result in answer["output"]["completeTrackResults"]:
            lengths[result["trackingNumber"]].append(len(result["trackResults"][0].get("scanEvents", ())))
    assert any(told.count(3) > 1 and max(told) == 3 for told in lengths.values()), "old scans have vanished"


def test_what_epcis_takes_back_is_an_error_declaration(sendings: list[Sending]) -> None:
    declared = [one for one in sendings if one.api == "epcis_2" and b"errorDeclaration" in one.value]
    (event,) = json.loads(declared[0].value)["epcisBody"]["eventList"]
    (result,) = [taken(intake(), declared[0])]
    (fact,) = [decode_parcel_fact(value) for _, _, value in result.facts]
    key = result.facts[0][1].decode()
    assert fact.retracts == identity_of_id("adapter epcis_2", "carrier_scan", f"{key} {event['eventID']}")
    (event_told,) = declared[0].tells
    assert json.loads(event_told.value)["type"] == "scan_retracted"


def test_the_same_world_gives_the_same_payloads(world: World, sendings: list[Sending]) -> None:
    assert by_apis(world.events, world.until_at) == sendings
