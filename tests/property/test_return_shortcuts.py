"""Ordinary returns take a shortcut; a look at every record would have said and kept the same."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.facts import MARKER_KEY, POLICY_KEY, ParcelReport, ReturnFact, encode_json
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import Milestone
from streams.findings import RULES
from streams.return_look import ReturnLook, look
from streams.watermark import PARCELS_SOURCE
from tests.property.parcel_lives import return_facts
from tests.stages import DAY, HOUR, MONDAY, Record, StageRun, marker, return_fact, returns_run

NUMBERS = default_policy().model_dump(mode="json")
POLICIES = (
    default_policy(),
    Policy.model_validate({**NUMBERS, "go_live_at": "2026-03-05T00:00:00Z"}),
    Policy.model_validate({**NUMBERS, "refund_tiers": [], "settle": "0s", "accept_age": "40d"}),
    Policy.model_validate(
        {
            **NUMBERS,
            "rules": {
                **NUMBERS["rules"],
                "refund_promise_broken": {**NUMBERS["rules"]["refund_promise_broken"], "enabled": False},
                "late_inspection": {**NUMBERS["rules"]["late_inspection"], "budget": "2 business days"},
            },
        }
    ),
)
STEPS = (
    Milestone.RETURN_REQUESTED,
    Milestone.RETURN_APPROVED,
    Milestone.LABEL_CREATED,
    Milestone.DROPOFF_CLAIMED,
    "scanned",
    "delivered",
    "checked in",
    Milestone.INSPECTED,
    Milestone.REFUND_APPROVED,
    Milestone.REFUND_REFUSED,
    Milestone.REFUND_ISSUED,
    Milestone.RESTOCKED,
    Milestone.REFUND_SETTLED,
    Milestone.DISPUTE_OPENED,
)
WORTH: dict[str, Any] = {"value_minor": 4990, "currency": "EUR"}
ABOUT: list[dict[str, Any]] = [{}] * 20
ABOUT += [{"linked": False, "unlinked_reason": "label_voided"}, {"parcel": "ups:2"}]
SELDOM = {Milestone.REFUND_REFUSED, Milestone.DISPUTE_OPENED}
Told = tuple[ReturnFact | ParcelReport, int]
"""A record, and the day that the watermark has reached before it."""


@st.composite
def lives(draw: st.DrawFn) -> list[Told]:
    """Mostly an ordinary life, now and then a step left out, late, early or out of order, or anything else."""
    at_ms, told = 0, list[Told]()
    report: dict[str, Any] = {"kind": "report", "parcel": "ups:1", "carrier": "ups", "revision": 0, **WORTH}
    report |= {"origin": "FR", "destination": draw(st.sampled_from(["FR", "DE"]))}
    for step in STEPS:
        at_ms += draw(st.sampled_from([0, HOUR, HOUR, 6 * HOUR, 20 * HOUR, 4 * DAY]))
        if draw(st.integers(0, 7)) == 0 or (step in SELDOM and draw(st.integers(0, 4))):
            continue
        if draw(st.integers(0, 20)) == 0:
            told.append((draw(return_facts(days=20)), at_ms // DAY))
        arrived_ms = at_ms + draw(st.sampled_from([0, 0, 0, HOUR, 3 * DAY]))
        reached = max(0, at_ms - draw(st.sampled_from([0, 0, 3 * DAY]))) // DAY
        if isinstance(step, Milestone):
            told.append((return_fact(step, at_ms, arrived_ms, **draw(more_of(step))), reached))
        if step is Milestone.LABEL_CREATED or isinstance(step, str):
            name = "label" if isinstance(step, Milestone) else step.replace(" ", "_")
            name = {"scanned": "first_scan"}.get(name, name)
            report |= {f"{name}_ms": MONDAY + at_ms, f"{name}_arrived_ms": MONDAY + arrived_ms}
            report["revision"] += 1
            about = draw(st.sampled_from(ABOUT))
            told.append((msgspec.convert({**report, **about}, ParcelReport), reached))
    if draw(st.integers(0, 3)) == 0:
        first, second = draw(st.tuples(*[st.integers(0, max(0, len(told) - 1))] * 2)) if told else (0, 0)
        if told:
            told[first], told[second] = (told[second][0], told[first][1]), (told[first][0], told[second][1])
    return told


def more_of(step: Milestone) -> st.SearchStrategy[dict[str, Any]]:
    if step is Milestone.RETURN_REQUESTED:
        terms = [["parcel", "refund", True, "FR"], ["in_store"], ["parcel", "exchange", True, "GB"]]
        terms += [
            ["parcel", "refund", True, "GB", "", "", "", "low"],
            ["parcel", "refund", False, "", "shop"],
        ]
        more: list[dict[str, Any]] = [{}, WORTH, {**WORTH, "promised_ms": MONDAY + 9 * DAY}]
        return st.sampled_from(more + [{**WORTH, "terms": one} for one in terms])
    if step is Milestone.INSPECTED:
        of_parcel = {"parcels": ("ups:1",), "disposition": "restock"}
        return st.sampled_from([{}, {"disposition": "restock"}, of_parcel, {"parcels": ("ups:2",)}])
    if step is Milestone.DROPOFF_CLAIMED:
        return st.sampled_from([{}, {"parcels": ("ups:1",)}, {"parcels": ("ups:2",)}])
    return st.just({"parcels": ("ups:1",)} if step is Milestone.LABEL_CREATED else {})


def live(told: list[Told], policy: Policy) -> StageRun:
    run = returns_run()
    run.feed([Record(0, POLICY_KEY, policy.to_log())])

    def reach(day: int) -> None:
        through, offset = MONDAY + day * DAY, run.engine.next_offset
        run.feed(
            [
                Record(offset, MARKER_KEY, marker(through)),
                Record(offset + 1, MARKER_KEY, marker(through, PARCELS_SOURCE)),
            ]
        )

    for record, reached in told:
        reach(reached)
        run.feed([Record(run.engine.next_offset, b"R1", encode_json(record))])
    reach(60)
    return run


@settings(max_examples=100, deadline=None)
@given(lives(), st.sampled_from(POLICIES))
def test_with_and_without_shortcuts_the_same_is_said_and_kept(told: list[Told], policy: Policy) -> None:
    short = live(told, policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.return_stage.next_look_ms", lambda *_args: 0)
        long = live(told, policy)
    assert short.said == long.said
    assert short.store.rows == long.store.rows


def test_every_rule_of_a_return_is_known_to_the_shortcut() -> None:
    """A rule that it does not know would never be asked of an ordinary return: give it one there, and steps here."""
    assert {rule.__name__ for _, rule in RULES} == {
        "content_mismatch",  # no return with mismatches is ordinary
        "dropoff_claim_unconfirmed",
        "late_inspection",
        "late_label",
        "late_refund",
        "late_refund_decision",
        "late_restock",
        "refund_failed",  # nor one with a failed refund
        "refund_not_settled",
        "refund_promises",
        "refunded_not_returned",
        "statutory_refund_deadline",
    }


def test_an_ordinary_return_is_looked_at_only_to_release_its_refund() -> None:
    report: dict[str, Any] = {"kind": "report", "parcel": "ups:1", "carrier": "ups", "revision": 0}
    reports = []
    for hours, *names in ((2, "label"), (24, "first_scan"), (48, "delivered"), (49, "checked_in")):
        report["revision"] += 1
        report |= {f"{names[0]}{end}": MONDAY + hours * HOUR for end in ("_ms", "_arrived_ms")}
        reports.append(msgspec.convert(report, ParcelReport))
    told: list[Told] = [
        (return_fact(Milestone.RETURN_REQUESTED, 0, **WORTH), 0),
        (return_fact(Milestone.RETURN_APPROVED, HOUR), 0),
        (return_fact(Milestone.LABEL_CREATED, 2 * HOUR, parcels=("ups:1",)), 0),
        (reports[0], 0),
        (reports[1], 1),
        (reports[2], 2),
        (reports[3], 2),
        (return_fact(Milestone.INSPECTED, 3 * DAY), 3),
        (return_fact(Milestone.REFUND_APPROVED, 3 * DAY + HOUR), 3),
        (return_fact(Milestone.REFUND_ISSUED, 3 * DAY + 2 * HOUR), 3),
        (return_fact(Milestone.REFUND_SETTLED, 4 * DAY), 4),
    ]
    looks: list[int] = []

    def counted(*args: Any, **more: Any) -> ReturnLook:
        looks.append(args[2])
        return look(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.return_stage.look", counted)
        run = live(told, default_policy())
    assert len(looks) == 1
    assert [message.topic for message in run.said] == ["refund-signals"]
