"""Everything that is ever said about one subject, and what was expected by what of it was known at a time."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from schemas.vocabulary import Milestone
from simulation.expect_dock import unexpected_parcel
from simulation.expectation import CaseKey, Expectation
from simulation.expectations import (
    expected_of_parcel,
    expected_of_return,
    explained_at_the_return,
    is_of_return,
)
from simulation.ledger import Ledger, ParcelNews
from simulation.parcel_story import News, ParcelStory, still_true
from simulation.return_story import ReturnStory
from simulation.terms import Terms


@dataclass(frozen=True, slots=True)
class Known:
    """What was expected at one moment."""

    breaches: list[Expectation]
    """What was not fulfilled in time, or will not be when the deadline comes and nothing else is heard."""
    in_time: frozenset[CaseKey]
    linked: frozenset[str]
    """The parcels whose labels hold."""


class Stories(NamedTuple):
    """A return at one moment. `parcels`: all that a label of it has ever named; `expected`: what is expected of them."""

    whole: ReturnStory
    parcels: list[ParcelStory]
    expected: list[Expectation]
    read_at: datetime
    """When the last was appended of what decides whether the goods have come, and of all that was said of the return."""


class Dossier(Protocol):
    """What can be known about a return, or about a parcel that belongs to none."""

    return_id: str
    parcel_times: Sequence[datetime]
    """When news of parcels were appended, in order."""
    return_times: Sequence[datetime]
    """When news of the return were appended, in order."""

    def known(self, parcels_until: datetime, returns_until: datetime) -> Known:
        """By what was appended until then."""
        ...

    def under(self, terms: Terms) -> "Dossier":
        """The same under other terms."""
        ...

    def worth(self, breach: Expectation) -> tuple[Decimal, str] | None:
        """What is at stake, by all that is ever said: of the return, or of the parcel."""
        ...


class ReturnDossier:
    """One return and its parcels."""

    def __init__(self, ledger: Ledger, terms: Terms, return_id: str) -> None:
        self.return_id = return_id
        self._ledger = ledger
        self._terms = terms
        self._told = _by_time(ledger.returns.get(return_id, []))
        self._parcels = {
            name: _by_time(ledger.parcels[name]) for name in ledger.parcels_of.get(return_id, [])
        }
        self._times = {
            name: sorted(news.appended_at for news in told) for name, told in self._parcels.items()
        }
        self.parcel_times: Sequence[datetime] = sorted(at for times in self._times.values() for at in times)
        self.return_times: Sequence[datetime] = sorted(news.appended_at for news in self._told)
        self._of_parcel: dict[tuple[str, int], tuple[ParcelStory, list[Expectation]]] = {}
        self._known: dict[tuple[int, ...], Known] = {}

    def under(self, terms: Terms) -> "ReturnDossier":
        """The same under other terms."""
        return ReturnDossier(self._ledger, terms, self.return_id)

    def known(self, parcels_until: datetime, returns_until: datetime) -> Known:
        """By what was appended until then."""
        counts = self._counts(parcels_until)
        question = (*counts.values(), bisect_right(self.return_times, returns_until))
        if question not in self._known:
            self._known[question] = self._judged(self.stories(parcels_until, returns_until))
        return self._known[question]

    def worth(self, breach: Expectation) -> tuple[Decimal, str] | None:
        """What is at stake, by all that is ever said: of the return, or of the parcel."""
        if is_of_return(breach.rule):
            return next((told.worth for told in self._told if told.worth is not None), None)
        labels = (told.route.worth for told in self._parcels.get(breach.parcel, ()))
        return next((worth for worth in labels if worth is not None), None)

    def stories(self, parcels_until: datetime, returns_until: datetime) -> Stories:
        """What was told until then, not judged."""
        counts = self._counts(parcels_until)
        told_of = [self._parcel(name, count, parcels_until) for name, count in counts.items() if count]
        parcels = [story for story, _ in told_of]
        whole = ReturnStory(still_true(self._told, returns_until), {story.parcel: story for story in parcels})
        heard = [at for at in self.return_times if at <= returns_until]
        heard += [at for story in parcels for at in story.decisive_at]
        heard += [
            news.appended_at
            for told in self._parcels.values()
            for news in told
            if news.retracts is not None and news.appended_at <= parcels_until
        ]
        read_at = max(heard, default=datetime.min.replace(tzinfo=UTC))
        return Stories(whole, parcels, [one for _, expected in told_of for one in expected], read_at)

    def heard(self, until: datetime) -> int:
        """How much was said of it and of its parcels."""
        return sum(self._counts(until).values()) + bisect_right(self.return_times, until)

    def _counts(self, parcels_until: datetime) -> dict[str, int]:
        return {name: bisect_right(times, parcels_until) for name, times in self._times.items()}

    def _parcel(self, name: str, count: int, until: datetime) -> tuple[ParcelStory, list[Expectation]]:
        question = (name, count)
        if question not in self._of_parcel:
            story = ParcelStory(name, still_true(self._parcels[name], until), self.return_id)
            self._of_parcel[question] = story, expected_of_parcel(story, self._terms)
        return self._of_parcel[question]

    def _judged(self, stories: Stories) -> Known:
        whole = stories.whole
        expectations = [
            *(explained_at_the_return(one, whole) for one in stories.expected),
            *expected_of_return(whole, self._terms),
        ]
        return _sorted_out(expectations, frozenset(whole.linked))


class ParcelDossier:
    """A parcel that came to the dock, as long as no label says whose it is."""

    def __init__(self, ledger: Ledger, terms: Terms, parcel: str) -> None:
        self.return_id = ""
        self.return_times: Sequence[datetime] = ()
        self._ledger = ledger
        self._terms = terms
        self._parcel = parcel
        self._told = _by_time(ledger.parcels[parcel])
        self.parcel_times: Sequence[datetime] = sorted(news.appended_at for news in self._told)

    def under(self, terms: Terms) -> "ParcelDossier":
        """The same under other terms."""
        return ParcelDossier(self._ledger, terms, self._parcel)

    def worth(self, breach: Expectation) -> tuple[Decimal, str] | None:  # noqa: ARG002 - nobody says
        """Unknown."""
        return None

    def known(self, parcels_until: datetime, returns_until: datetime) -> Known:  # noqa: ARG002 - of no return
        """By what was appended until then."""
        told = still_true(self._told, parcels_until)
        return _sorted_out(
            list(unexpected_parcel(self._parcel, told, self._terms)), frozenset({self._parcel})
        )


def _by_time(told: Sequence[News]) -> list[News]:
    return sorted(told, key=lambda news: (news.at, news.appended_at, str(news.identity)))


def _sorted_out(expectations: Sequence[Expectation], linked: frozenset[str]) -> Known:
    breaches = [one for one in expectations if one.breached]
    return Known(breaches, frozenset(one.key for one in expectations if not one.breached), linked)


def dossiers(ledger: Ledger, terms: Terms) -> list[ReturnDossier | ParcelDossier]:
    """One for every return, and one for every parcel that was scanned at a dock."""
    returns = sorted({*ledger.parcels_of, *ledger.returns})
    at_a_dock = [parcel for parcel, told in ledger.parcels.items() if _comes_unexpected(told)]
    return [
        *(ReturnDossier(ledger, terms, return_id) for return_id in returns),
        *(ParcelDossier(ledger, terms, parcel) for parcel in sorted(at_a_dock)),
    ]


def _comes_unexpected(told: Sequence[ParcelNews]) -> bool:
    """Whether the dock heard of it before any label was told."""
    first = next((n for n in told if n.milestone in {Milestone.LABEL_CREATED, Milestone.CHECKED_IN}), None)
    return first is not None and first.milestone is Milestone.CHECKED_IN
