"""How the cases of one policy differ from those of another, over the same records."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from agents.replay_playing import Replayed, ReplayedCase
from schemas.outputs import Escalation
from schemas.vocabulary import RuleId

OTHER_END = "other end"
NO_CARRIER = "(none)"
"""Of a case about a whole return."""

_RULES = {rule: number for number, rule in enumerate(RuleId)}


class Difference(StrEnum):
    """What becomes of one case under the policy that is compared."""

    GAINED = "gained"
    LOST = "lost"
    EARLIER = "earlier"
    LATER = "later"
    SAME = "same"


DIFFERENCES = (Difference.GAINED, Difference.LOST, Difference.EARLIER, Difference.LATER)
"""Those that are differences."""


class Compared(NamedTuple):
    """One case. None: it does not open under that policy."""

    difference: Difference
    before: ReplayedCase | None
    after: ReplayedCase | None

    @property
    def case(self) -> Escalation:
        """The case as it stands at the end, by the policy that is compared where it opens under both."""
        known = self.after or self.before
        assert known is not None
        return known.last

    @property
    def moved(self) -> timedelta:
        """How much later it opens; where that is the same, how much later it is due."""
        if self.before is None or self.after is None:
            return timedelta(0)
        old, new = self.before.opened, self.after.opened
        return new.effective_at - old.effective_at or new.due_at - old.due_at

    @property
    def ends_otherwise(self) -> bool:
        """It opens under both policies, and ends in another state or for another reason."""
        if self.before is None or self.after is None:
            return False
        old, new = self.before.last, self.after.last
        return (old.state, old.reason) != (new.state, new.reason)


def compare(before: Replayed, after: Replayed) -> list[Compared]:
    """Every case of either policy, matched by case id; by rule, then in the order in which they open."""
    cases = [
        _compared(before.cases.get(case_id), after.cases.get(case_id))
        for case_id in {**before.cases, **after.cases}
    ]
    return sorted(cases, key=_place)


def counted(cases: Iterable[Compared], name_of: Callable[[Compared], str]) -> Mapping[str, Counter[str]]:
    """Name (a rule, a carrier) -> how many cases of each difference, and how many OTHER_END."""
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        count = counts.setdefault(name_of(case), Counter())
        count[case.difference.value] += 1
        count[OTHER_END] += case.ends_otherwise
    return counts


def by_rule(cases: Iterable[Compared]) -> Mapping[str, Counter[str]]:
    """In the order of the rules."""
    return counted(cases, lambda case: case.case.rule.value)


def by_carrier(cases: Iterable[Compared]) -> Mapping[str, Counter[str]]:
    """In the order of the carriers' names."""
    return dict(sorted(counted(cases, lambda case: case.case.carrier or NO_CARRIER).items()))


def _compared(before: ReplayedCase | None, after: ReplayedCase | None) -> Compared:
    case = Compared(Difference.SAME, before, after)
    if before is None:
        return case._replace(difference=Difference.GAINED)
    if after is None:
        return case._replace(difference=Difference.LOST)
    if case.moved:
        sooner = case.moved < timedelta(0)
        return case._replace(difference=Difference.EARLIER if sooner else Difference.LATER)
    return case


def _place(compared: Compared) -> tuple[object, ...]:
    case = compared.after or compared.before
    assert case is not None
    return _RULES[case.opened.rule], case.opened.effective_at, case.opened.case_id
