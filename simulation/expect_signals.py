"""What may be paid, as the oracle sees it: which refund tiers are released for a return, and which releases are revoked.

A tier is released once, when the goods have come as far as it asks and what that stands on was read and has settled; what
contradicts a release revokes it, and only another tier can be released after that.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from schemas.outputs import RefundAction, RefundSignal
from schemas.policy import RefundTier, ReleaseAt
from schemas.vocabulary import Milestone, Reason
from simulation.dossier import ReturnDossier, Stories, dossiers
from simulation.expect_dock import delivered_elsewhere_suspected
from simulation.expect_shop import came, found_right, wrong_weights
from simulation.expect_transit import sent_to_us_again
from simulation.ledger import LedgerEvent, ReturnNews, read_ledger
from simulation.parcel_story import ParcelStory
from simulation.reading import Reading
from simulation.return_story import ReturnStory
from simulation.terms import Terms

_OFF: Final = (Milestone.RETURN_CANCELLED, Milestone.REPLACEMENT_SENT)
_Came = tuple[datetime, datetime]
"""When the goods had come so far, and when the last that shows it was appended."""


class Release(NamedTuple):
    """One tier's release. `stage`: how far the goods had come."""

    tier: str
    stage: ReleaseAt
    at: datetime
    revoked: bool


@dataclass(frozen=True, slots=True)
class ExpectedSignals:
    """What is said about the refund of one return.

    `possible`: for each outcome that there may be, depending on how a worker came to know the records: tier -> (revoked, the
    earliest and the latest time of its release). `any_of`: what decides lies so close together that a worker that was held up
    may come to know it in any order, and may release any of these tiers, or none; empty: it does not.
    """

    return_id: str
    possible: tuple[dict[str, tuple[bool, datetime, datetime]], ...]
    any_of: frozenset[str] = frozenset()


def expected_signals(
    events: Iterable[LedgerEvent], terms: Terms, until_at: datetime, tolerance: timedelta = timedelta(0)
) -> list[ExpectedSignals]:
    """What is said of every return by the log time `until_at`, for workers that are held up for `tolerance` at most."""
    return [
        _of_return(dossier, terms, until_at, tolerance)
        for dossier in dossiers(read_ledger(events), terms)
        if isinstance(dossier, ReturnDossier)
    ]


def _of_return(
    dossier: ReturnDossier, terms: Terms, until_at: datetime, tolerance: timedelta
) -> ExpectedSignals:
    exact = _Walk(dossier, terms, Reading(), until_at)
    walks = [exact]
    if tolerance:
        later = terms.settling(terms.settle + tolerance)
        walks += [
            _Walk(dossier, terms, Reading(parcels_early=tolerance), until_at),
            _Walk(dossier, terms, Reading(returns_early=tolerance), until_at),
            _Walk(dossier, terms, Reading(tolerance, tolerance), until_at),
            _Walk(dossier, terms, Reading(gulp=tolerance), until_at),
            _Walk(dossier, terms, Reading(), until_at - tolerance),
            _Walk(dossier.under(later), later, Reading(), until_at),
        ]
    times: dict[_Outcome, dict[str, list[datetime]]] = {}
    for walk in walks:
        told = times.setdefault(tuple((one.tier, one.revoked) for one in walk.released), {})
        for one in walk.released:
            told.setdefault(one.tier, []).append(one.at)
    close = any(then - at <= tolerance + terms.settle for at, then in pairwise(exact.turns))
    return ExpectedSignals(
        dossier.return_id,
        tuple(
            {tier: (revoked, min(told[tier]), max(told[tier])) for tier, revoked in outcome}
            for outcome, told in times.items()
        ),
        frozenset(exact.fitting) if tolerance and close else frozenset(),
    )


_Outcome = tuple[tuple[str, bool], ...]
"""Tier and whether its release was revoked, in the order of the releases."""


class _Walk:
    """Goes through the records of a return, and says what is released and revoked."""

    def __init__(self, dossier: ReturnDossier, terms: Terms, how: Reading, until_at: datetime) -> None:
        self.terms = terms
        self.released: list[Release] = []
        self.turns: list[datetime] = []
        """When anything came to be known that decides about a release."""
        self.fitting: set[str] = set()
        """Tiers that the return fits."""
        self._stands: tuple[object, ...] = ()
        for moment, following in pairwise([*how.moments(dossier, until_at), until_at]):
            self._from(dossier.stories(*how.known_until(moment)), moment, following)

    def _from(self, stories: Stories, now: datetime, then: datetime) -> None:
        """Nothing more is known until then."""
        against = _speaks_against(stories, self.terms)
        self._note(stories, now, against=against)
        last = self.released[-1] if self.released else None
        if last is not None and not last.revoked and (against or _came_to(stories, last.stage) is None):
            self.released[-1] = last = last._replace(revoked=True)
        if against or (last is not None and not last.revoked):
            return
        ready = [(max(at, now), tier) for at, tier in self._settling(stories)]
        first = min((at for at, _ in ready), default=then)
        if first < then:
            tier = next(tier for at, tier in ready if at == first)
            self.released.append(Release(tier.tier, tier.release_at, first, revoked=False))

    def _note(self, stories: Stories, now: datetime, *, against: bool) -> None:
        whole, request = stories.whole, stories.whole.request
        if request is not None:
            self.fitting |= {one.tier for one in self.terms.policy.refund_tiers if _fits(one, request)}
        stages = [_came_to(stories, tier.release_at) for tier in self.terms.policy.refund_tiers]
        stands = (against, request is None, _is_paid(whole), *stages)
        if stands != self._stands:
            self.turns.append(now)
            self._stands = stands

    def _settling(self, stories: Stories) -> Iterator[tuple[datetime, RefundTier]]:
        """The tiers that can be released by what is known, in the policy's order, and from when on."""
        whole, request = stories.whole, stories.whole.request
        if request is None or _is_paid(whole):
            return
        used = {release.tier for release in self.released}
        for tier in self.terms.policy.refund_tiers:
            far = _came_to(stories, tier.release_at)
            if tier.tier not in used and far is not None and _fits(tier, request):
                yield max(*far, stories.read_at) + self.terms.settle, tier


def _is_paid(whole: ReturnStory) -> bool:
    return bool(whole.news(Milestone.REFUND_ISSUED, Milestone.REFUND_SETTLED))


def _fits(tier: RefundTier, request: ReturnNews) -> bool:
    if request.risk not in tier.customer_risk or (
        tier.categories and request.category not in tier.categories
    ):
        return False
    if tier.max_value is None:
        return True
    amount, currency = request.worth or (None, "")
    return amount is not None and currency in tier.max_value and amount <= tier.max_value[currency]


def _speaks_against(stories: Stories, terms: Terms) -> bool:
    """Whether anything that is known says that these goods are not to be paid for."""
    whole = stories.whole
    if any(whole.first(milestone) for milestone in _OFF):
        return True
    decisions = [news.at for news in whole.news(Milestone.REFUND_REFUSED)]
    approvals = [news.at for news in whole.news(Milestone.REFUND_APPROVED)]
    if decisions and max(approvals, default=decisions[-1]) <= decisions[-1]:
        return True
    if whole.request is not None and whole.request.resolution == "exchange":
        return True
    inspections = whole.news(Milestone.INSPECTED)
    for wrong in (news for news in inspections if not news.all_right):
        again = [news for news in inspections if news.at > wrong.at and news.all_right]
        if not found_right(whole, wrong, again):
            return True
    if any(not looked_into for _, _, looked_into in wrong_weights(whole, terms)):
        return True
    astray = (one for one in whole.linked.values() if _went_astray(one, terms))
    return any(came(whole, parcel) is None for parcel in astray)


def _went_astray(parcel: ParcelStory, terms: Terms) -> bool:
    if parcel.news(Milestone.RETURNED_TO_SENDER) and not sent_to_us_again(parcel, terms):
        return True
    wrong = delivered_elsewhere_suspected(parcel, terms)
    return any(not any(why is Reason.DELIVERED for _, why in one.ends) for one in wrong)


def _came_to(stories: Stories, stage: ReleaseAt) -> _Came | None:
    """Since when all parcels have come so far; without any, the goods themselves."""
    whole = stories.whole
    if stage is ReleaseAt.INSPECTED:
        return _inspected(stories)
    if whole.linked:
        each = [_parcel_came_to(stories, parcel, stage) for parcel in whole.linked.values()]
        there = [one for one in each if one is not None]
        if len(there) < len(each):
            return None
        return max(at for at, _ in there), max(appended_at for _, appended_at in there)
    at_the_dock = [
        one.checked_in for one in stories.parcels if one.label is not None and one.checked_in is not None
    ]
    if at_the_dock:
        last = max(at_the_dock, key=lambda news: news.at)
        return last.at, last.appended_at
    by_number = whole.first(Milestone.CHECKED_IN)
    return None if by_number is None else (by_number.at, by_number.appended_at)


def _parcel_came_to(stories: Stories, parcel: ParcelStory, stage: ReleaseAt) -> _Came | None:
    seen = parcel.scans[0] if parcel.scans else None
    if stage is ReleaseAt.DELIVERED:
        seen = parcel.delivered
    received = came(stories.whole, parcel)
    found = [] if received is None else [received]
    if seen is not None:
        found.append((seen.at, seen.appended_at))
    return min(found, default=None)


def _inspected(stories: Stories) -> _Came | None:
    whole = stories.whole
    inspections = whole.news(Milestone.INSPECTED)
    if not inspections:
        return None
    times, read = [inspections[0].at], [news.appended_at for news in inspections]
    for name, parcel in whole.linked.items():
        received = came(whole, parcel)
        if received is None:
            return None
        means_it = [
            news.at
            for news in inspections
            if (name in news.parcels if news.parcels else len(whole.linked) == 1 or news.at >= received[0])
        ]
        if not means_it:
            return None
        times.append(means_it[0])
        read.append(received[1])
    return max(times), max(read)


def is_held(stories: Stories, terms: Terms) -> bool:
    """Whether these goods are not to be paid for, by what is known."""
    return _speaks_against(stories, terms)


def next_tier(request: ReturnNews, terms: Terms, used: Collection[str]) -> RefundTier | None:
    """The first that the return fits, of those that have not released it."""
    left = (tier for tier in terms.policy.refund_tiers if tier.tier not in used)
    return next((tier for tier in left if _fits(tier, request)), None)


def wrong_signals(
    expected: Iterable[ExpectedSignals], told: Iterable[RefundSignal], bound: timedelta
) -> list[str]:
    """What was said, each message once, and should not have been, or was not said and should have been: in sentences."""
    releases: dict[str, dict[str, datetime]] = defaultdict(dict)
    revoked: dict[str, set[str]] = defaultdict(set)
    for signal in told:
        if signal.action is RefundAction.REVOKE:
            revoked[signal.return_id].add(signal.tier)
        else:
            releases[signal.return_id][signal.tier] = signal.effective_at
    problems = []
    for one in expected:
        found = releases.pop(one.return_id, {})
        ended = revoked[one.return_id]
        stand = found.keys() - ended
        if one.any_of and found.keys() <= one.any_of and ended <= found.keys() and len(stand) < 2:
            continue
        if not any(_fits_what_is_possible(found, ended, way, bound) for way in one.possible):
            problems.append(f"refund of {one.return_id}: {_shown(found, ended)}; possible: {one.possible}")
    return [
        *problems,
        *(f"refund of {name}, which nobody knows: {found}" for name, found in releases.items()),
    ]


def _fits_what_is_possible(
    found: Mapping[str, datetime],
    revoked: Collection[str],
    way: Mapping[str, tuple[bool, datetime, datetime]],
    bound: timedelta,
) -> bool:
    return found.keys() == way.keys() and all(
        (tier in revoked) is is_revoked and earliest <= found[tier] <= latest + bound
        for tier, (is_revoked, earliest, latest) in way.items()
    )


def _shown(found: Mapping[str, datetime], revoked: Collection[str]) -> str:
    told = [f"{tier} at {at:%m-%d %H:%M}{', revoked' * (tier in revoked)}" for tier, at in found.items()]
    return "; ".join(told) or "nothing was released"
