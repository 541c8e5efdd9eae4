"""Stories: "at this hour this happens; by that hour this is expected". Each YAML file beside this one holds some.

A step has `at` (when it happened) and, when it was told later, `told`. Before it is appended the watermark has reached
the time at which it is told. `by` moves the watermark on and lists every change of every case since the last `by`:
`rule return parcel: change reason`, in order.
"""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.durations import parse_duration
from schemas.facts import LabelTerms
from schemas.outputs import Escalation
from schemas.policy import Policy
from schemas.vocabulary import CaseState, Evidence, Milestone
from tests.stages import Shop, identity_of, label_fact, only, parcel_fact, return_fact

STORIES = [
    pytest.param(story, id=f"{file.stem}: {story['story']}")
    for file in sorted(Path(__file__).parent.glob("*.yaml"))
    for story in YAML(typ="safe").load(file.read_text(encoding="utf-8"))
]


def ms(text: str) -> int:
    return int(parse_duration(text).total_seconds() * 1000)


def policy_of(story: dict[str, Any]) -> Policy:
    numbers = only().model_dump(mode="json")
    for rule, changed in story.get("rules", {}).items():
        numbers["rules"][rule].update(changed)
    return Policy.model_validate({**numbers, "levels": [], **story.get("policy", {})})


SCANS = {
    "scan": Milestone.IN_TRANSIT,
    "accepted": Milestone.ACCEPTED,
    "delivered": Milestone.DELIVERED,
    "lost": Milestone.LOST,
    "turned_back": Milestone.RETURNED_TO_SENDER,
}
OF_RETURN = {
    "requested": Milestone.RETURN_REQUESTED,
    "cancelled": Milestone.RETURN_CANCELLED,
    "checked_in_by_number": Milestone.CHECKED_IN,
}


def play(shop: Shop, step: dict[str, Any]) -> None:
    at, told = ms(step["at"]), ms(step.get("told", step["at"]))
    shop.reach(told)
    (what,) = set(step) - {"at", "told"}
    told_of = step[what]
    if what in OF_RETURN:
        return_id, more = (told_of, {}) if isinstance(told_of, str) else (told_of["return"], dict(told_of))
        more.pop("return", None)
        if "parcels" in more:
            more["parcels"] = tuple(more["parcels"])
        shop.return_fact(return_id, return_fact(OF_RETURN[what], at, told, **more))
        return
    told_of = {"parcel": told_of} if isinstance(told_of, str) else told_of
    parcel = told_of["parcel"]
    if what == "label":
        terms = {name: told_of[name] for name in ("origin", "destination", "facility") if name in told_of}
        shop.parcel_fact(parcel, label_fact(at, *told_of["returns"], arrived_ms=told, **terms))
    elif what == "voided":
        names = LabelTerms(returns=tuple(told_of.get("returns", ())), carrier="ups")
        fact = parcel_fact(Milestone.LABEL_VOIDED, at, evidence=Evidence.SYSTEM, label=names)
        shop.parcel_fact(parcel, fact)
    elif what == "taken_back":
        identity = identity_of(told_of["scan"])
        shop.parcel_fact(parcel, parcel_fact(Milestone.UNMAPPED, at, retracts=identity))
    else:
        evidence = {"announced": Evidence.ANNOUNCED, "checked_in": Evidence.WAREHOUSE_SCAN}
        milestone = {"announced": Milestone.CARRIER_PREADVISED, "checked_in": Milestone.CHECKED_IN, **SCANS}[
            what
        ]
        name = told_of.get("name")
        fact = parcel_fact(
            milestone,
            at,
            evidence=evidence.get(what, Evidence.CARRIER_SCAN),
            arrived_ms=told,
            place=told_of.get("place", ""),
            identity=identity_of(name) if name else None,
        )
        shop.parcel_fact(parcel, fact)


CHANGES = {
    CaseState.OPEN: "opened",
    CaseState.ESCALATED: "escalated",
    CaseState.RESOLVED: "resolved",
    CaseState.RETRACTED: "retracted",
}


def told(escalation: Escalation) -> str:
    change = CHANGES[escalation.state]
    if escalation.state is CaseState.ESCALATED:
        change += f" to {escalation.level}"
    elif escalation.state is not CaseState.OPEN:
        change += f" {escalation.reason}"
    if escalation.historical:
        change += " historical"
    return f"{escalation.rule} {escalation.return_id} {escalation.parcel}: {change}"


@pytest.mark.parametrize("story", STORIES)
def test_story(story: dict[str, Any]) -> None:
    shop = Shop(policy_of(story))
    for step in story["log"]:
        if "by" in step:
            shop.reach(ms(step["by"]))
            assert [told(escalation) for escalation in shop.news()] == step["expect"], f"by {step['by']}"
        elif "policy_applied" in step:
            shop.apply_policy(policy_of({**story, **step["policy_applied"]}))
        else:
            play(shop, step)
    assert not shop.news()
