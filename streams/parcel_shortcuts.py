"""Most facts are the next step of an ordinary life: label, first scan, scans on the way, delivery, check-in, each in time.

For these the outcome of a look is known without looking: what was waited for has come before its deadline, and the next
deadline is that of the new fact. So a look notes the `stage` of a parcel whose life has been ordinary so far, and the
fact that comes next in it takes the shortcut. Anything else (a late or older fact, a retraction, a second label, a
breach ever said, ...) takes the full look. tests/property/test_shortcuts.py holds the two against each other.
"""

from collections.abc import Sequence
from enum import IntEnum

from schemas.facts import ParcelFact, ParcelReport, encode_json
from schemas.vocabulary import Evidence, Milestone
from streams.journeys import NOTABLE, SILENT_MS, Journey
from streams.keys import HIDDEN, split_parcel_key
from streams.parcel import (
    FACT_BYTES,
    HEAD_BYTES,
    MOST_FACTS,
    MOST_RETURNS,
    ParcelState,
    append_fact,
    find_fact,
    label_of,
    pack_fact,
    pack_head,
    place_number,
    topics_of,
    unpack_head,
)
from streams.terms import CompiledPolicy, ParcelTerms
from streams.watermark import Outgoing


class Stage(IntEnum):
    """How far an ordinary life has come. Lives in changelogs: a number is never used again."""

    NOT_ORDINARY = 0
    LABELLED = 1
    ON_THE_WAY = 2
    DELIVERED = 3
    CHECKED_IN = 4


class Step(IntEnum):
    """What kind of step a fact is."""

    NOTHING = 0
    """Proves nothing that a rule waits for."""
    SCAN = 1
    DELIVERY = 2
    CHECK_IN = 3
    OTHER = 4
    """Only a look can tell."""


class Move(IntEnum):
    """What a step does at a stage."""

    KEEP = 0
    """Fold it in: no report changes, and no deadline moves nearer."""
    MOVE_ON = 1
    """As KEEP, but it has to be in time, and waits for the next."""
    FIRST_SCAN = 2
    DELIVERED = 3
    CHECKED_IN = 4
    LOOK = 5


_MOVES: dict[tuple[int, int], int] = {
    (int(stage), int(step)): int(move)
    for stage, moves in {
        Stage.LABELLED: (Move.KEEP, Move.FIRST_SCAN, Move.LOOK, Move.LOOK),
        Stage.ON_THE_WAY: (Move.KEEP, Move.MOVE_ON, Move.DELIVERED, Move.LOOK),
        Stage.DELIVERED: (Move.KEEP, Move.LOOK, Move.LOOK, Move.CHECKED_IN),
        Stage.CHECKED_IN: (Move.KEEP, Move.KEEP, Move.KEEP, Move.KEEP),
    }.items()
    for step, move in zip(Step, moves, strict=False)
}
_MOVE_ON, _LOOK = int(Move.MOVE_ON), int(Move.LOOK)
_FIRST_SCAN, _DELIVERED, _CHECKED_IN = int(Move.FIRST_SCAN), int(Move.DELIVERED), int(Move.CHECKED_IN)

_ON_THE_WAY = int(Stage.ON_THE_WAY)
_NEVER = 1 << 62
_PHYSICAL = (int(Evidence.AGENT_SCAN), int(Evidence.CARRIER_SCAN))

_AS_STEP = {
    Milestone.CHECKED_IN: Step.CHECK_IN,
    Milestone.LABEL_CREATED: Step.OTHER,
    Milestone.LABEL_VOIDED: Step.OTHER,
    Milestone.UNMAPPED: Step.OTHER,
    Milestone.PICKUP_SCHEDULED: Step.NOTHING,
    **dict.fromkeys(NOTABLE, Step.OTHER),
}
_STEPS: dict[tuple[int, int], int] = {
    (int(milestone), int(evidence)): int(
        _AS_STEP.get(
            milestone,
            Step.NOTHING
            if evidence not in {Evidence.AGENT_SCAN, Evidence.CARRIER_SCAN}
            else Step.DELIVERY
            if milestone is Milestone.DELIVERED
            else Step.SCAN,
        )
    )
    for milestone in Milestone
    for evidence in Evidence
}


def first_label(
    key: bytes, fact: ParcelFact, watermark_ms: int, policy: CompiledPolicy
) -> tuple[ParcelState, list[Outgoing]] | None:
    """The state of a parcel that nothing was known of, and the reports to send. None: it needs a look."""
    terms = fact.label
    if terms is None or not terms.returns or fact.milestone != Milestone.LABEL_CREATED or fact.retracts:
        return None
    if len(terms.returns) > MOST_RETURNS or any(name.startswith(HIDDEN) for name in terms.returns):
        return None
    deadlines = policy.terms_of(split_parcel_key(key.decode())[0], terms)
    at_ms = fact.occurred_ms
    look_ms = at_ms + policy.accept_age_ms
    for deadline in (deadlines.first_scan, deadlines.unused):
        if deadline.enabled:
            look_ms = min(look_ms, deadline.due_ms(at_ms, fact.arrived_ms))
    if look_ms <= watermark_ms or at_ms < 0:
        return None
    state = ParcelState(
        facts=pack_fact(fact, 0),
        labels=(label_of(fact.identity, terms),),
        topics=(fact.source.topic,),
        look_ms=look_ms,
        stage=int(Stage.LABELLED),
        where=b"\0\0\0",
        told=tuple(sorted(set(terms.returns))),
    )
    return state, _tell(key, state, 0, 0)


def _move_of(fact: ParcelFact, stage: int, newest_ms: int) -> int:
    """What the fact does at a stage; a LOOK, unless it is the newest of its journey, weighs nothing and takes nothing back."""
    if not newest_ms < fact.occurred_ms <= newest_ms + SILENT_MS or fact.retracts or fact.weight_grams:
        return _LOOK
    return _MOVES.get((stage, _STEPS.get((fact.milestone, fact.evidence), 4)), _LOOK)


def pass_by(
    raw: bytes, fact: ParcelFact, watermark_ms: int, policy: CompiledPolicy
) -> tuple[bytes, int] | None:
    """Fold a fact that changes no report into an encoded state; the new one, and when to look. None: not so simple."""
    stage, count, topics_bytes, look_ms, quiet_ms = unpack_head(raw)
    end = HEAD_BYTES + count * FACT_BYTES
    newest_ms = int.from_bytes(raw[end - FACT_BYTES : end - FACT_BYTES + 6], "big")
    move = _move_of(fact, stage, newest_ms) if watermark_ms < look_ms else _LOOK
    if move > _MOVE_ON or count >= MOST_FACTS - 1:
        return None
    if move == _MOVE_ON:
        at_ms = fact.occurred_ms
        least_ms = max(at_ms + quiet_ms, fact.arrived_ms + policy.settle_ms)
        if at_ms > look_ms or least_ms <= watermark_ms:
            return None
        look_ms = min(look_ms, least_ms)
    facts, topics = raw[HEAD_BYTES:end], topics_of(raw[end : end + topics_bytes])
    if fact.source.topic not in topics or find_fact(facts, fact.identity) >= 0:
        return None
    head = pack_head(stage, count + 1, topics_bytes, look_ms, quiet_ms)
    return b"".join((head, facts, pack_fact(fact, topics.index(fact.source.topic)), raw[end:])), look_ms


def take_shortcut(
    key: bytes, state: ParcelState, fact: ParcelFact, watermark_ms: int, policy: CompiledPolicy
) -> list[Outgoing] | None:
    """Fold the fact in if an ordinary life moves on to its next stage with it; the reports to send. None: it needs a look."""
    at_ms, look_ms = fact.occurred_ms, state.look_ms
    newest_ms = int.from_bytes(state.facts[-FACT_BYTES : 6 - FACT_BYTES], "big")
    move = _move_of(fact, state.stage, newest_ms) if watermark_ms < look_ms else _LOOK
    if move <= _MOVE_ON or move == _LOOK or at_ms > look_ms:
        return None
    label = state.labels[0]
    terms = policy.terms_of(split_parcel_key(key.decode())[0], label)
    if (
        move == _DELIVERED
        and fact.place
        and terms.our_places
        and place_number(fact.place) not in terms.our_places
    ):
        return None
    look_ms = min(_next_due(move, fact, terms), at_ms + policy.accept_age_ms)
    if look_ms <= watermark_ms or not append_fact(state, fact):
        return None
    state.look_ms = look_ms
    return _move_on(key, state, move, at_ms, terms)


def _next_due(move: int, fact: ParcelFact, terms: ParcelTerms) -> int:
    at_ms, arrived_ms = fact.occurred_ms, fact.arrived_ms
    if move == _FIRST_SCAN:
        waits = (terms.silence, terms.progress, terms.transit)
        return min([wait.due_ms(at_ms, arrived_ms) for wait in waits if wait.enabled], default=_NEVER)
    if move == _DELIVERED and terms.dock.enabled:
        return terms.dock.due_ms(at_ms, arrived_ms)
    return _NEVER


def _move_on(key: bytes, state: ParcelState, move: int, at_ms: int, terms: ParcelTerms) -> list[Outgoing]:
    """The fact that was just folded in begins the next stage."""
    label_at, scan_at, delivered_at = state.where
    newest = len(state.facts) // FACT_BYTES - 1
    state.quiet_ms = 0
    if move == _CHECKED_IN:
        state.stage = int(Stage.CHECKED_IN)
        return _tell(key, state, _last_scan_ms(state), at_ms)
    if move == _FIRST_SCAN:
        state.stage, scan_at, state.quiet_ms = int(Stage.ON_THE_WAY), newest, terms.quiet_ms
    else:
        state.stage, delivered_at = int(Stage.DELIVERED), newest
    state.where = bytes((label_at, scan_at, delivered_at))
    return _tell(key, state, at_ms, 0)


def _tell(key: bytes, state: ParcelState, last_scan_ms: int, checked_in_ms: int) -> list[Outgoing]:
    """The report of an ordinary life, to each of the returns, under the next revision."""
    label_at, scan_at, delivered_at = state.where
    facts, stage, number = state.facts, state.stage, int.from_bytes
    label_content = number(facts[label_at * FACT_BYTES : label_at * FACT_BYTES + 8], "big")
    label_ms, label_arrived_ms = _times(facts, label_at)
    scan = delivery = (0, 0)
    if stage >= _ON_THE_WAY:
        scan = _times(facts, scan_at)
    if stage > _ON_THE_WAY:
        delivery = _times(facts, delivered_at)
    check_in = _times(facts, len(facts) // FACT_BYTES - 1) if checked_in_ms else (0, 0)
    decisive_ms = max(label_arrived_ms, delivery[1], check_in[1])
    told = (label_content, label_arrived_ms, *scan, *delivery, *check_in, decisive_ms)
    state.digest = digest((0, 1, *told))
    state.revision += 1
    label, parcel = state.labels[0], key.decode()
    report = ParcelReport(
        parcel=parcel,
        revision=state.revision,
        carrier=split_parcel_key(parcel)[0],
        origin=label.origin,
        destination=label.destination,
        facility=label.facility,
        value_minor=label.value_minor,
        currency=label.currency,
        service=label.service,
        shop=label.shop,
        label_ms=label_ms,
        first_scan_ms=scan[0],
        last_scan_ms=last_scan_ms,
        delivered_ms=delivery[0],
        delivered_arrived_ms=delivery[1],
        checked_in_ms=checked_in_ms,
        first_scan_arrived_ms=scan[1],
        checked_in_arrived_ms=check_in[1],
        label_arrived_ms=label_arrived_ms,
        decisive_arrived_ms=decisive_ms,
        expected_grams=label.weight_grams,
    )
    value = encode_json(report)
    return [Outgoing("returns", return_id.encode(), value, [], None) for return_id in state.told]


def _times(facts: bytes, index: int) -> tuple[int, int]:
    """Event time and arrival of a fact."""
    at = index * FACT_BYTES
    return int.from_bytes(facts[at : at + 6], "big"), int.from_bytes(facts[at + 16 : at + 22], "big")


def _last_scan_ms(state: ParcelState) -> int:
    """Event time of the last physical scan, which is seldom far from the end."""
    facts = state.facts
    for at in range(len(facts) - FACT_BYTES, -1, -FACT_BYTES):
        if facts[at + 7] >> 4 in _PHYSICAL:
            return int.from_bytes(facts[at : at + 6], "big")
    return 0


def digest(told: tuple[int, ...]) -> int:
    """64 bits of what a report says besides breaches and label terms.

    `hash` of integers is the same in every process; an interpreter that hashed otherwise would at worst
    say the same again under the next revision.
    """
    return hash(told) or 1


def note_stage(state: ParcelState, found: Sequence[Journey], deadlines: ParcelTerms | None) -> None:
    """After a look: note how far an ordinary life has come, for the shortcut of the next fact."""
    state.stage, state.quiet_ms = int(Stage.NOT_ORDINARY), 0
    told_of = state.marks or state.breaches or state.diversions or state.held
    if len(found) != 1 or deadlines is None or told_of or state.truncated:
        return
    journey = found[0]
    if len(journey.labels) != 1 or journey.voids or journey.notable or journey.given_ups:
        return
    if journey.delivered is not None and journey.scan_times[-1] > journey.delivered.at_ms:
        return
    fact, label = journey.labels[0]
    if state.told != tuple(sorted(label.returns)):
        return
    delivered = journey.delivered
    if journey.checked_in is not None:
        stage = Stage.CHECKED_IN if delivered is not None else Stage.NOT_ORDINARY
    elif delivered is not None:
        stage = Stage.DELIVERED
    else:
        stage = Stage.ON_THE_WAY if journey.scans else Stage.LABELLED
    state.stage = int(stage)
    state.quiet_ms = deadlines.quiet_ms if stage is Stage.ON_THE_WAY else 0
    facts = state.facts
    state.where = bytes(
        find_fact(facts, one) // FACT_BYTES if one else 0
        for one in (
            fact.identity,
            journey.scan(0).identity if journey.scans else 0,
            delivered.identity if delivered is not None else 0,
        )
    )
