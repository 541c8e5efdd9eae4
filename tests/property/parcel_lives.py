"""Strategies: facts about a parcel, likely and unlikely ones, and logs of them."""

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.facts import LabelTerms, ParcelFact, ReturnFact, Source
from schemas.vocabulary import Evidence, Milestone
from tests.stages import DAY, HOUR, MONDAY, parcel_fact, return_fact

SCANS = (
    Milestone.ACCEPTED,
    Milestone.IN_TRANSIT,
    Milestone.OUT_FOR_DELIVERY,
    Milestone.DELAYED,
    Milestone.DELIVERED,
    Milestone.RETURNED_TO_SENDER,
    Milestone.AVAILABLE_FOR_PICKUP,
    Milestone.DELIVERY_ATTEMPTED,
    Milestone.DELIVERED_ELSEWHERE,
    Milestone.MISROUTED,
    Milestone.DAMAGED,
)
KINDS = st.sampled_from(
    [
        *(("scan", milestone) for milestone in (*SCANS, *[Milestone.IN_TRANSIT, Milestone.DELIVERED] * 3)),
        ("announced", Milestone.CARRIER_PREADVISED),
        ("inferred", Milestone.LOST),
        ("inferred", Milestone.CUSTOMS_HOLD),
        ("inferred", Milestone.PICKUP_FAILED),
        ("dock", Milestone.CHECKED_IN),
        ("matched", Milestone.CHECKED_IN),
        ("label", Milestone.LABEL_CREATED),
        ("label", Milestone.LABEL_CREATED),
        ("void", Milestone.LABEL_VOIDED),
        ("retraction", Milestone.UNMAPPED),
        ("unmapped", Milestone.UNMAPPED),
    ]
)
EVIDENCE = {
    "scan": Evidence.CARRIER_SCAN,
    "announced": Evidence.ANNOUNCED,
    "inferred": Evidence.CARRIER_INFERRED,
    "dock": Evidence.WAREHOUSE_SCAN,
    "matched": Evidence.WAREHOUSE_MATCH,
    "unmapped": Evidence.SYSTEM,
}
TOPICS = st.sampled_from(["labels", "carrier-scans", "warehouse", "a-second-feed"])
RETURNS = st.lists(st.sampled_from(["R1", "R2"]), min_size=1, max_size=2, unique=True).map(tuple)


@st.composite
def facts(draw: st.DrawFn, *, days: int = 40, identities: int = 12) -> ParcelFact:
    """One fact. Few identities and coarse times, so that things meet."""
    kind, milestone = draw(KINDS)
    at_ms = draw(st.integers(0, days * 4)) * 6 * HOUR
    identity = draw(st.integers(1, identities))
    terms = None
    if kind in {"label", "void"}:
        names = draw(RETURNS) if kind == "label" else draw(st.one_of(st.just(()), RETURNS))
        terms = LabelTerms(
            returns=names,
            carrier="ups",
            origin="FR",
            destination=draw(st.sampled_from(["FR", "DE", ""])),
            weight_grams=draw(st.sampled_from([0, 1_800])),
        )
    fact = parcel_fact(
        milestone,
        at_ms,
        evidence=EVIDENCE.get(kind, Evidence.SYSTEM),
        arrived_ms=at_ms + draw(st.sampled_from([0, HOUR, 3 * DAY])),
        identity=identity,
        place=draw(st.sampled_from(["", "lyon", "dijon", "lille"])) if kind == "scan" else "",
        label=terms,
        retracts=draw(st.integers(1, identities)) if kind == "retraction" else 0,
        source=Source(draw(TOPICS), draw(st.integers(0, 2)), draw(st.integers(0, 9))),
    )
    if milestone is not Milestone.CHECKED_IN:
        return fact
    return replace(fact, weight_grams=draw(st.sampled_from([0, 300, 1_900])))


OF_RETURNS = (
    Milestone.RETURN_REQUESTED,
    Milestone.RETURN_APPROVED,
    Milestone.RETURN_CANCELLED,
    Milestone.DROPOFF_CLAIMED,
    Milestone.LABEL_CREATED,
    Milestone.CHECKED_IN,
    Milestone.INSPECTED,
    Milestone.RESTOCKED,
    Milestone.REFUND_APPROVED,
    Milestone.REFUND_REFUSED,
    Milestone.REFUND_ISSUED,
    Milestone.REFUND_SETTLED,
    Milestone.REFUND_FAILED,
    Milestone.REPLACEMENT_SENT,
)


@st.composite
def return_facts(draw: st.DrawFn, *, days: int = 40) -> ReturnFact:
    """One fact of a return's shop or warehouse."""
    milestone = draw(st.sampled_from(OF_RETURNS))
    at_ms = draw(st.integers(0, days * 4)) * 6 * HOUR
    more: dict[str, Any] = {}
    if milestone is Milestone.CHECKED_IN:
        more = draw(st.sampled_from([{}, {"complete": True}, {"count": 2}, {"parcels": ("ups:1",)}]))
    elif milestone is Milestone.INSPECTED:
        more = draw(st.sampled_from([{}, {"disposition": "restock"}, {"mismatches": ("empty_box",)}]))
    elif milestone is Milestone.RETURN_REQUESTED:
        promised = {"promised_ms": MONDAY + at_ms + 9 * DAY}
        terms = [["parcel", "refund", True, "FR"], ["in_store"], ["parcel", "exchange", True, "GB"]]
        more = draw(st.sampled_from([{}, promised, *({"terms": one} for one in terms)]))
    return return_fact(milestone, at_ms, **more)


LATEST_MS = MONDAY + 400 * DAY
