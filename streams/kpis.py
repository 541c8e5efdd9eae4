"""What a return adds to the KPIs: a function of its state alone, so that a change adds the difference (streams/cells.py).

Milestones count on their UTC day, a leg on the day on which it ends, the parcels scanned on the day of their labels, a case
on the day of its deadline, the value at risk on the day of the oldest deadline of the cases that stand. Parcels count under
their own carrier, lane and facility; the return as a whole under those of the parcel that was labelled first. A leg counts
when both ends are known and the second is not the earlier one. A request that was amended counts by what it says now, on the
day of the first. A refund counts unless its payment failed. A parcel that the dock has counts though its label was voided since.

A return that is purged leaves what it has added.
"""

from copy import copy
from typing import Final
from zlib import crc32

from schemas.kpis import Count, Dimension, Leg, bucket_of
from schemas.money import CURRENCIES
from schemas.vocabulary import CaseState, Closure, Milestone, Resolution, RuleId
from streams.cases import COUNTED, STANDING, SUPPRESSED, value_of
from streams.cells import Adds, CellName, Slot, lets_go_ms
from streams.clocks import DAY_MS
from streams.keys import feed_named, split_parcel_key
from streams.returns import Carried, CaseRecord, ReturnState, Told, received_by_number

COUNTED_BY: Final = 2
"""Raised when what a state adds is worked out in another way. States counted by another reckoning subtract nothing, so the
families get other names with it: the cells begin anew.
"""
NOT_COUNTED: Final = -1
"""Of a return one change of which touched too many cells: it adds nothing any more."""
MOST_CELLS: Final = 96
"""A change may add to so many cells; each may have several kB, and a batch takes all of them."""
MOST_MINOR: Final = 10**13
"""Of one amount; more is counted as this."""

BUCKETS_OF_A_LEG: Final = 128
SUM_OF_A_LEG: Final = BUCKETS_OF_A_LEG - 1
"""Slot of a leg's seconds; those before are its buckets."""
FIRST_COUNT: Final = 1 << 14
"""Slots of counts begin here, those of legs below. The orders of the words here and of `Leg` and `Count` are in the changelog:
new ones go last.
"""
FIRST_AMOUNT: Final = 1 << 16
FIRST_CASE: Final = 1 << 24
AMOUNTS: Final = ("refunded_minor", "at_risk_minor")
CASES: Final = (
    "open",
    "escalated",
    "resolved",
    "retracted",
    "false_alarm",
    "explained",
    "already_over",
)
_LETTERS: Final = 26**3

_LEG = {leg: number * BUCKETS_OF_A_LEG for number, leg in enumerate(Leg)}
_COUNT = {count: FIRST_COUNT + number for number, count in enumerate(Count)}
_COUNTED_MILESTONES = tuple(
    (int(milestone), _COUNT[count])
    for milestone, count in (
        (Milestone.RETURN_CANCELLED, Count.CANCELLED),
        (Milestone.INSPECTED, Count.INSPECTED),
        (Milestone.RESTOCKED, Count.RESTOCKED),
        (Milestone.REFUND_ISSUED, Count.REFUNDED),
        (Milestone.REFUND_REFUSED, Count.REFUSED),
        (Milestone.REPLACEMENT_SENT, Count.REPLACED),
    )
)
_LEGS_OF_RETURN = tuple(
    (int(start), int(end), _LEG[leg])
    for start, end, leg in (
        (Milestone.INSPECTED, Milestone.RESTOCKED, Leg.INSPECTED_TO_RESTOCKED),
        (Milestone.INSPECTED, Milestone.REFUND_ISSUED, Leg.INSPECTED_TO_REFUND),
        (Milestone.REFUND_APPROVED, Milestone.REFUND_ISSUED, Leg.APPROVED_TO_REFUND),
        (Milestone.RETURN_REQUESTED, Milestone.REFUND_ISSUED, Leg.REQUEST_TO_REFUND),
        (Milestone.RETURN_REQUESTED, Milestone.REPLACEMENT_SENT, Leg.REQUEST_TO_REPLACEMENT),
    )
)
_LABELLED, _SCANNED = _COUNT[Count.LABELLED], _COUNT[Count.SCANNED]
_REFUNDED_MINOR, _AT_RISK_MINOR = range(len(AMOUNTS))
_REQUESTED, _CHECKED_IN = int(Milestone.RETURN_REQUESTED), int(Milestone.CHECKED_IN)
_INSPECTED, _REFUND_ISSUED = int(Milestone.INSPECTED), int(Milestone.REFUND_ISSUED)
_REFUND_FAILED = int(Milestone.REFUND_FAILED)
_COUNTING = frozenset(
    (
        _REQUESTED,
        _CHECKED_IN,
        _REFUND_FAILED,
        *(milestone for milestone, _ in _COUNTED_MILESTONES),
        *(milestone for start, end, _ in _LEGS_OF_RETURN for milestone in (start, end)),
        int(Milestone.LABEL_CREATED),
        int(Milestone.LABEL_VOIDED),
    )
)
"""Labels say which parcels a check-in by the number of the return may mean."""
_RESOLUTIONS = {
    Resolution.REFUND.value: _COUNT[Count.FOR_REFUND],
    Resolution.EXCHANGE.value: _COUNT[Count.FOR_EXCHANGE],
    Resolution.STORE_CREDIT.value: _COUNT[Count.FOR_STORE_CREDIT],
}
_STATES = {
    **{state: CASES.index(state) for state in ("open", "escalated", "resolved", "retracted")},
    SUPPRESSED: CASES.index("explained"),
    COUNTED: CASES.index("already_over"),
}
_FALSE_ALARM = CASES.index("false_alarm")
_FAMILY_OF = {dimension: f"{dimension.value}.{COUNTED_BY}" for dimension in Dimension}
_FAMILIES = tuple(_FAMILY_OF.values())
_DIMENSION_OF = {family: dimension for dimension, family in _FAMILY_OF.items()}

Members = tuple[str, str, str, str, str, str]
"""Of the dimensions, in their order."""
Items = dict[Members, dict[tuple[int, Slot], int]]
"""Members -> (day, slot) -> how much."""
Sums = dict[CellName, dict[Slot, int]]


def family_of(dimension: Dimension) -> str:
    """Whose cells the snapshots of a dimension are said from."""
    return _FAMILY_OF[dimension]


def is_counted_now(family: str) -> bool:
    """Whether these cells are added to; else they are of another reckoning."""
    return family in _DIMENSION_OF


def dimension_of(family: str) -> Dimension:
    """What a family of cells that is counted now is by."""
    return _DIMENSION_OF[family]


def as_counted(state: ReturnState) -> ReturnState:
    """The state as it is now, to be kept while the state itself is changed."""
    return copy(state)


def adds(before: ReturnState, state: ReturnState, now_ms: int) -> Adds | None:
    """What the change of a state adds to the cells; the state notes that it has been counted."""
    if state.counted == NOT_COUNTED:
        return None
    if before.counted != COUNTED_BY:
        sums = _by_cell({}, _items(state), now_ms)
    elif _is_the_same(before, state):
        return None
    else:
        further = _further(before, state)
        old, new = ({}, further) if further is not None else (_items(before), _items(state))
        sums = _by_cell(old, new, now_ms)
    state.counted = COUNTED_BY
    if len(sums) > MOST_CELLS:
        state.counted = NOT_COUNTED
        return None
    return Adds(now_ms, sums) if sums else None


def _is_the_same(before: ReturnState, state: ReturnState) -> bool:
    """Whether nothing has changed that counts."""
    if before.carried != state.carried or before.cases != state.cases or before.marks != state.marks:
        return False
    return before.facts is state.facts or _counting(before) == _counting(state)


def _counting(state: ReturnState) -> list[Told]:
    return [fact for fact in state.facts if fact.milestone in _COUNTING]


def _by_cell(old: Items, new: Items, now_ms: int) -> Sums:
    """The differences, in the cells of all dimensions; days that are long over take nothing any more."""
    found: Sums = {}
    for members in old.keys() | new.keys():
        for day, more in _by_day(old.get(members, {}), new.get(members, {})).items():
            if lets_go_ms(day) <= now_ms:
                continue
            for family, member in zip(_FAMILIES, members, strict=True):
                name = CellName(family, day, member)
                found[name] = _sum(found[name], more) if name in found else more
    return {name: more for name, more in found.items() if more}


def _by_day(old: dict[tuple[int, Slot], int], new: dict[tuple[int, Slot], int]) -> dict[int, dict[Slot, int]]:
    changed: dict[int, dict[Slot, int]] = {}
    for key, amount in new.items() - old.items():
        changed.setdefault(key[0], {})[key[1]] = amount - old.get(key, 0)
    for key in old.keys() - new.keys():
        changed.setdefault(key[0], {})[key[1]] = -old[key]
    return changed


def _sum(one: dict[Slot, int], other: dict[Slot, int]) -> dict[Slot, int]:
    total = dict(one)
    for slot, amount in other.items():
        total[slot] = total.get(slot, 0) + amount
    return {slot: amount for slot, amount in total.items() if amount}


def case_slot(rule: str, kind: int) -> Slot:
    """Where the cases of a rule are counted that are `CASES[kind]` now. By a hash of the rule, which no other rule's is."""
    return FIRST_CASE + (crc32(rule.encode()) & 0xFFFFFF) * 8 + kind


def amount_slot(currency: str, kind: int) -> Slot:
    """Where the amounts `AMOUNTS[kind]` in a currency are added up."""
    number = 0
    for letter in currency:
        number = number * 26 + ord(letter) - ord("A")
    return FIRST_AMOUNT + kind * _LETTERS + number


# -- what one state adds ------------------------------------------------------------------------------------------


class _Return:
    """One return, and what it adds so far."""

    def __init__(self, state: ReturnState) -> None:
        self.state = state
        self.items: Items = {}
        self.first: dict[int, Told] = {}
        for fact in state.true_facts():
            self.first.setdefault(fact.milestone, fact)
        self.refunds = _paid(state) if _REFUND_ISSUED in self.first else []
        if self.refunds:
            self.first[_REFUND_ISSUED] = self.refunds[0]
        else:
            self.first.pop(_REFUND_ISSUED, None)
        self.parcels = [one for one in state.carried if one.label_ms and (one.linked or one.checked_in_ms)]
        if len(self.parcels) > 1:
            self.parcels.sort(key=_label_order)
        self.request = state.request()
        terms = self.request.terms if self.request is not None else None
        self.resolution = terms.resolution if terms is not None else Resolution.REFUND.value
        self._of_request = (terms.reason, terms.category) if terms is not None else ("", "")
        self.members = self.members_of(self.parcels[0] if self.parcels else None)

    def members_of(self, parcel: Carried | None, carrier: str = "") -> Members:
        """Of a parcel, or of a return without one."""
        if parcel is None:
            return ("", carrier, "", "", *self._of_request)
        origin, destination = parcel.origin, parcel.destination
        lane = f"{origin}-{destination}" if origin or destination else ""
        carrier = split_parcel_key(parcel.parcel)[0]
        return ("", carrier, lane, parcel.facility, *self._of_request)

    def of(self, members: Members) -> dict[tuple[int, Slot], int]:
        """What is added for these members so far."""
        return self.items.setdefault(members, {})


def _paid(state: ReturnState) -> list[Told]:
    """The refunds that did not fail: a failure takes back the newest before it, of its own amount if it names one."""
    words = [fact for fact in state.true_facts() if fact.milestone in {_REFUND_ISSUED, _REFUND_FAILED}]
    paid: list[Told] = []
    for fact in sorted(words, key=lambda fact: (fact.at_ms, fact.milestone == _REFUND_FAILED, fact.identity)):
        if fact.milestone == _REFUND_ISSUED:
            paid.append(fact)
        elif paid:
            meant = [one for one in paid if _amount(one) == _amount(fact)] if fact.currency else []
            paid.remove((meant or paid)[-1])
    return paid


def _amount(fact: Told) -> tuple[str, int]:
    return fact.currency, fact.value_minor


_Added = dict[tuple[int, Slot], int]


def _add(added: _Added, at_ms: int, slot: Slot, amount: int = 1) -> None:
    key = (at_ms // DAY_MS, slot)
    added[key] = added.get(key, 0) + amount


def _add_leg(added: _Added, leg: int, start_ms: int, end_ms: int, times: int = 1) -> None:
    if 0 < start_ms <= end_ms:
        day, seconds = end_ms // DAY_MS, (end_ms - start_ms) // 1000
        key = (day, leg + bucket_of(seconds))
        added[key] = added.get(key, 0) + times
        if seconds:
            key = (day, leg + SUM_OF_A_LEG)
            added[key] = added.get(key, 0) + seconds * times


def _label_order(parcel: Carried) -> tuple[int, str]:
    return parcel.label_ms, parcel.parcel


def _items(state: ReturnState) -> Items:
    one = _Return(state)
    received_ms = _add_parcels(one)
    _add_milestones(one, received_ms)
    if state.cases:
        _add_cases(one)
    return one.items


def _further(before: ReturnState, state: ReturnState) -> Items | None:
    """The difference where its one parcel has come further and all else is as it was, which is most often so. None: it is not.

    What `_items` of both states would give, in a third of the time.
    """
    if len(before.carried) != 1 or len(state.carried) != 1 or before.cases != state.cases:
        return None
    old, new = before.carried[0], state.carried[0]
    if before.facts is not state.facts or before.marks != state.marks or _terms(old) != _terms(new):
        return None
    one = _Return(state)
    if _CHECKED_IN in one.first or not one.parcels or not new.linked:
        return None
    added = one.of(one.members)
    _add_way(added, old, one.first.get(_INSPECTED), -1)
    _add_way(added, new, one.first.get(_INSPECTED), 1)
    return {one.members: {key: amount for key, amount in added.items() if amount}}


def _terms(parcel: Carried) -> tuple[object, ...]:
    where = (parcel.parcel, parcel.origin, parcel.destination, parcel.facility)
    return (*where, parcel.linked, parcel.label_ms, parcel.value_minor, parcel.currency)


def _add_way(added: _Added, parcel: Carried, inspected: Told | None, times: int) -> None:
    """How far the only parcel has come, with what follows from it for the return."""
    label_ms, first_ms = parcel.label_ms, parcel.first_scan_ms
    delivered_ms, received_ms = parcel.delivered_ms, parcel.checked_in_ms
    if first_ms:
        _add(added, label_ms, _SCANNED, times)
    _add_leg(added, _LEG[Leg.LABEL_TO_FIRST_SCAN], label_ms, first_ms, times)
    _add_leg(added, _LEG[Leg.FIRST_SCAN_TO_DELIVERED], first_ms, delivered_ms, times)
    _add_leg(added, _LEG[Leg.DELIVERED_TO_RECEIVED], delivered_ms, received_ms, times)
    if received_ms:
        _add(added, received_ms, _COUNT[Count.RECEIVED], times)
        if inspected is not None:
            _add_leg(added, _LEG[Leg.RECEIVED_TO_INSPECTED], received_ms, inspected.at_ms, times)


def _add_parcels(one: _Return) -> int:
    """The legs of its parcels. Returns when the warehouse got the first of them, or something under the return's number."""
    by_number = received_by_number(one.state) if _CHECKED_IN in one.first else {}
    received = [one.first[_CHECKED_IN].at_ms] if _CHECKED_IN in one.first else []
    for parcel in one.parcels:
        added = one.of(one.members_of(parcel) if len(one.parcels) > 1 else one.members)
        label_ms, first_ms, delivered_ms = parcel.label_ms, parcel.first_scan_ms, parcel.delivered_ms
        _add(added, label_ms, _LABELLED)
        if first_ms:
            _add(added, label_ms, _SCANNED)
        check_in = by_number.get(parcel.parcel)
        times = [parcel.checked_in_ms, check_in.at_ms if check_in is not None else 0]
        received_ms = min([at_ms for at_ms in times if at_ms], default=0)
        if received_ms:
            received.append(received_ms)
        _add_leg(added, _LEG[Leg.LABEL_TO_FIRST_SCAN], label_ms, first_ms)
        _add_leg(added, _LEG[Leg.FIRST_SCAN_TO_DELIVERED], first_ms, delivered_ms)
        _add_leg(added, _LEG[Leg.DELIVERED_TO_RECEIVED], delivered_ms, received_ms)
    return min(received, default=0)


def _add_milestones(one: _Return, received_ms: int) -> None:
    """What orders and warehouse tell of the return as a whole."""
    first, added = one.first, one.of(one.members)
    request = one.request
    if request is not None:
        _add(added, request.at_ms, _COUNT[Count.REQUESTED])
        _add(added, request.at_ms, _RESOLUTIONS.get(one.resolution, _COUNT[Count.FOR_REFUND]))
        label_ms = one.parcels[0].label_ms if one.parcels else 0
        _add_leg(added, _LEG[Leg.REQUEST_TO_LABEL], request.at_ms, label_ms)
    if received_ms:
        _add(added, received_ms, _COUNT[Count.RECEIVED])
        if _INSPECTED in first:
            _add_leg(added, _LEG[Leg.RECEIVED_TO_INSPECTED], received_ms, first[_INSPECTED].at_ms)
    for milestone, slot in _COUNTED_MILESTONES:
        if milestone in first:
            _add(added, first[milestone].at_ms, slot)
    for start, end, leg in _LEGS_OF_RETURN:
        if end in first and start in first:
            _add_leg(added, leg, first[start].at_ms, first[end].at_ms)
    for refund in one.refunds:
        _add_amount(added, refund.at_ms, refund.currency, refund.value_minor, _REFUNDED_MINOR)


def _add_amount(added: _Added, at_ms: int, currency: str, minor: int, kind: int) -> None:
    if currency in CURRENCIES and minor:
        _add(added, at_ms, amount_slot(currency, kind), min(minor, MOST_MINOR))


def _add_cases(one: _Return) -> None:
    standing = []
    for case in one.state.cases:
        _add(one.of(_members_of_case(one, case)), case.due_ms, case_slot(case.rule, _kind_of(case)))
        if case.state in STANDING and not _is_of_no_return(case):
            standing.append(case.due_ms)
    if standing:
        oldest_ms, added = min(standing), one.of(one.members)
        _add(added, oldest_ms, _COUNT[Count.AT_RISK])
        value = value_of(one.state, next((parcel for parcel in one.parcels if parcel.currency), None))
        if value is not None:
            _add_amount(added, oldest_ms, value.currency, value.amount_minor, _AT_RISK_MINOR)


def _members_of_case(one: _Return, case: CaseRecord) -> Members:
    if not case.parcel:
        return one.members
    carried = next((parcel for parcel in one.state.carried if parcel.parcel == case.parcel), None)
    return one.members_of(carried, split_parcel_key(case.parcel)[0])


def _is_of_no_return(case: CaseRecord) -> bool:
    """Whether it is about a feed, or a parcel that nobody has asked for: no customer waits."""
    return case.rule == RuleId.UNEXPECTED_PARCEL or bool(feed_named(case.parcel))


def _kind_of(case: CaseRecord) -> int:
    handling = case.handling
    if case.state == CaseState.RESOLVED and handling is not None and handling.closure == Closure.FALSE_ALARM:
        return _FALSE_ALARM
    return _STATES[case.state]
