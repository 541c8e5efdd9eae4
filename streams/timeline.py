"""What is known of a return, as one list by event time: its own facts and those of its parcels, each record once."""

from collections.abc import Iterator, Mapping

from schemas.explanations import ExplainedFact
from schemas.facts import Source
from schemas.outputs import EvidenceSource, utc
from schemas.vocabulary import Evidence, Milestone, TimeQuality
from streams.keys import HIDDEN
from streams.parcel import MARK_BYTES, Label, ParcelState, packed_facts
from streams.returns import ReturnState, Told


def timeline(state: ReturnState, parcels: Mapping[str, ParcelState]) -> tuple[ExplainedFact, ...]:
    """By event time; of a label, which both stages keep, the parcel's."""
    facts = [fact for key, parcel in parcels.items() for fact in _of_parcel(key, parcel)]
    known = {(fact.source, fact.milestone) for fact in facts}
    facts += [fact for fact in _of_return(state) if (fact.source, fact.milestone) not in known]
    facts.sort(key=lambda fact: (fact.at, fact.arrived_at, fact.source.topic, fact.source.offset))
    return tuple(facts)


def _of_parcel(key: str, state: ParcelState) -> Iterator[ExplainedFact]:
    marks = state.marks
    retracted = {marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)}
    labels = {label.identity: label for label in state.labels}
    for seen in packed_facts(state):
        quality = TimeQuality((seen.content >> 1) & 7)
        clamped = "; in the future, counted as when it was read" if seen.content & 1 else ""
        yield ExplainedFact(
            at=utc(seen.at_ms),
            arrived_at=utc(seen.arrived_ms),
            milestone=Milestone(seen.milestone).name.lower(),
            evidence=Evidence(seen.evidence).name.lower(),
            parcel=key,
            details=_terms(labels.get(seen.identity)),
            time_quality=(quality.name.lower() if quality else "") + clamped,
            retracted=seen.identity.to_bytes(MARK_BYTES, "big") in retracted,
            source=_place(seen.source(state.topics)),
        )


def _terms(label: Label | None) -> str:
    """What a label says about the journey, and whose it is."""
    if label is None:
        return ""
    lane = f"{label.origin or '?'}-{label.destination or '?'}" if label.origin or label.destination else ""
    returns = ", ".join(
        "a return that was forgotten" if one.startswith(HIDDEN) else one for one in label.returns
    )
    named = (f"for {returns}" if returns else "", lane, label.facility, label.service)
    return ", ".join(word for word in named if word)


def _of_return(state: ReturnState) -> Iterator[ExplainedFact]:
    for fact in state.facts:
        yield ExplainedFact(
            at=utc(fact.at_ms),
            arrived_at=utc(fact.arrived_ms),
            milestone=Milestone(fact.milestone).name.lower(),
            details=", ".join(_details(fact)),
            retracted=fact.identity in state.marks,
            source=_place(fact.source),
        )


def _details(fact: Told) -> Iterator[str]:
    if fact.parcels:
        yield "of " + ", ".join(fact.parcels)
    if fact.milestone == Milestone.CHECKED_IN:
        yield "by the return's number"
        if fact.complete:
            yield "complete"
        elif fact.count > 1:
            yield f"{fact.count} parcels"
    if fact.facility:
        yield fact.facility
    if fact.promised_ms:
        yield f"refund promised by {utc(fact.promised_ms):%Y-%m-%d %H:%M}"
    if fact.disposition:
        yield fact.disposition
    if fact.mismatches:
        yield f"mismatch: {', '.join(fact.mismatches)}"
    if fact.terms is not None:
        terms = fact.terms
        named = (terms.method, terms.resolution, "withdrawal" if terms.withdrawal else "", terms.country)
        yield ", ".join(word for word in named if word not in {"", "parcel", "refund"})


def _place(source: Source) -> EvidenceSource:
    return EvidenceSource(source.topic, source.partition, source.offset)
