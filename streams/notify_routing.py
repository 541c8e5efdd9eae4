"""Which receivers a change of a case goes to."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from schemas.canary import is_canary
from schemas.money import minor_units
from schemas.notify_routes import Match, NotifyRoutes, Receiver
from schemas.outputs import Case, Severity
from schemas.vocabulary import CaseState, Reason

_STEPS = tuple(Severity)
_ENDED = frozenset({CaseState.RESOLVED, CaseState.RETRACTED})


class Action(StrEnum):
    """What a change asks of whoever is on call; the words of PagerDuty's Events API, and NOTE for what asks nothing."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    NOTE = "note"


class Told(NamedTuple):
    """A receiver that is told, and the first route that named it."""

    receiver: str
    route: str


def action_of(case: Case) -> Action:
    """What the newest change of a case asks for."""
    if case.state in _ENDED:
        return Action.RESOLVE
    if case.reason in {Reason.ACKNOWLEDGED, Reason.SNOOZED}:
        return Action.ACKNOWLEDGE
    return Action.NOTE if case.reason is Reason.ASSIGNED else Action.TRIGGER


def told_of(
    routes: NotifyRoutes, case: Case, earlier: Mapping[str, str] = MappingProxyType({})
) -> Sequence[Told]:
    """The receivers of a change, in the order of the file, each once. Of historical cases and of canaries nobody is told.

    `earlier`: receiver -> route, of who was told of an earlier change of the case. They are told of what follows too, though
    it no longer fits: a case may end milder, or with less known of it, than it began, and who had its alarm has to hear so.
    """
    told = dict[str, Told]()
    if not case.historical and not is_canary(case.return_id):
        for route in routes.routes:
            if fits(route.match, case):
                for name in route.to:
                    told.setdefault(name, Told(name, route.name))
    for name, route_name in earlier.items():
        told.setdefault(name, Told(name, route_name))
    return tuple(
        one
        for one in told.values()
        if one.receiver in routes.receivers and _is_told(routes.receivers[one.receiver], case)
    )


def counts_of(routes: NotifyRoutes, cases: Iterable[Case]) -> dict[str, int]:
    """Route -> of how many cases it tells somebody. A receiver of two routes counts in both, though it is told once."""
    counts = dict.fromkeys((route.name for route in routes.routes), 0)
    for case in cases:
        told = {one.receiver for one in told_of(routes, case)}
        for route in routes.routes:
            counts[route.name] += fits(route.match, case) and not told.isdisjoint(route.to)
    return counts


def fits(match: Match, case: Case) -> bool:
    """Whether a route takes a change."""
    return (
        (not match.rules or case.rule in match.rules)
        and _STEPS.index(case.severity) >= _STEPS.index(match.severity)
        and case.level >= match.level
        and (not match.carriers or case.carrier in match.carriers)
        and (not match.facilities or case.facility in match.facilities)
        and _is_worth(match, case)
    )


def _is_worth(match: Match, case: Case) -> bool:
    if match.value is None:
        return True
    if case.value is None or case.value.currency not in match.value:
        return False
    least = minor_units(match.value[case.value.currency], case.value.currency)
    return case.value.amount_minor >= least


def _is_told(receiver: Receiver, case: Case) -> bool:
    """A pager has no word for a change that asks nothing of anybody."""
    return receiver.kind != "pagerduty" or action_of(case) is not Action.NOTE
