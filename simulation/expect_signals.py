"""What may be paid, as the oracle sees it: which refund tiers are released for a return, and which releases are revoked.

A tier is released once, when the goods have come as far as it asks and what that stands on was read and has settled; what
contradicts a release revokes it, and only a later tier can be released after that. When the customer asks for something else
the release is revoked and said again. What was said is compared in `simulation/judge_signals.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from schemas.outputs import RefundAction
from schemas.policy import RefundTier, ReleaseAt
from schemas.vocabulary import SignalReason
from simulation.dossier import ReturnDossier, Stories, dossiers
from simulation.ledger import LedgerEvent, ReturnNews, read_ledger
from simulation.payable import (
    ASKED_OTHERWISE,
    Asked,
    Why,
    amended,
    asked_by,
    came_to,
    fits,
    is_paid,
    is_under_way,
    left_of,
    may_stand,
    speaks_against,
)
from simulation.reading import Reading
from simulation.terms import Terms


class Said(NamedTuple):
    """A message that is expected, at some time from `earliest` to `latest`, with any of the reasons and terms."""

    action: RefundAction
    tier: str
    revision: int
    why: frozenset[Why]
    asked: frozenset[Asked]
    earliest: datetime
    latest: datetime

    def or_else(self, other: "Said") -> "Said":
        """The same message, as another way of reading has it."""
        return self._replace(
            why=self.why | other.why,
            asked=self.asked | other.asked,
            earliest=min(self.earliest, other.earliest),
            latest=max(self.latest, other.latest),
        )


class Calm(NamedTuple):
    """Nothing comes to be known from `since` to `until`: what every worker knows then that is not held up for longer."""

    since: datetime
    until: datetime
    against: bool
    paid: bool
    asked: Asked | None
    left: tuple[str, ...]
    """The tiers that the return fits and whose stage all of its goods have reached, in the policy's order."""
    stands: frozenset[str]
    """The tiers that a release may still stand on: at least some of the goods have come so far, and the return fits."""


@dataclass(frozen=True, slots=True)
class Loose:
    """What is certain where records lie so close together that a worker may come to know them in any order."""

    tiers: tuple[str, ...]
    """All that there are, in their order."""
    fitting: frozenset[str]
    """Those that the return fitted at some time."""
    asked: frozenset[Asked]
    why: frozenset[Why]
    calms: tuple[Calm, ...]


@dataclass(frozen=True, slots=True)
class ExpectedSignals:
    """What is said about the refund of one return.

    `possible`: what is said, for each outcome that there may be, depending on how a worker came to know the records. `loose`:
    what decides lies so close together that any of it may be said before the rest is known; None: it does not.
    """

    return_id: str
    possible: tuple[tuple[Said, ...], ...]
    loose: Loose | None = None


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
    ways: dict[tuple[tuple[str, int], ...], tuple[Said, ...]] = {}
    for walk in walks:
        shape = tuple((one.tier, one.revision) for one in walk.said)
        known = ways.get(shape, tuple(walk.said))
        ways[shape] = tuple(one.or_else(other) for one, other in zip(known, walk.said, strict=True))
    close = any(then - at <= tolerance + terms.settle for at, then in pairwise(exact.turns))
    loose = _loose(walks, terms, tolerance) if tolerance and close else None
    return ExpectedSignals(dossier.return_id, tuple(ways.values()), loose)


def _loose(walks: list["_Walk"], terms: Terms, tolerance: timedelta) -> Loose:
    calms = (
        one._replace(since=one.since + terms.settle + tolerance, until=one.until - tolerance)
        for one in walks[0].calms
    )
    return Loose(
        tuple(tier.tier for tier in terms.policy.refund_tiers),
        frozenset(tier for walk in walks for tier in walk.fitting),
        frozenset(asked for walk in walks for asked in walk.asked),
        frozenset(why for walk in walks for why in walk.why),
        tuple(calms),
    )


@dataclass(slots=True)
class _Release:
    """One tier's release, as it was last said."""

    tier: str
    stage: ReleaseAt
    parcels: frozenset[str]
    asked: Asked
    revision: int
    revoked_for: frozenset[Why] = frozenset()


@dataclass(slots=True)
class _Walk:
    """Goes through the records of a return, and says what is released and revoked."""

    dossier: ReturnDossier
    terms: Terms
    how: Reading
    until_at: datetime
    said: list[Said] = field(default_factory=list)
    turns: list[datetime] = field(default_factory=list)
    """When anything came to be known that decides about a release."""
    fitting: set[str] = field(default_factory=set)
    """Tiers that the return fits."""
    asked: set[Asked] = field(default_factory=set)
    why: set[Why] = field(default_factory=set)
    """All that spoke for or against a release at any time."""
    calms: list[Calm] = field(default_factory=list)
    _releases: dict[str, _Release] = field(default_factory=dict)
    _stands: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        for moment, following in pairwise([*self.how.moments(self.dossier, self.until_at), self.until_at]):
            self._from(self.dossier.stories(*self.how.known_until(moment)), moment, following)

    def _from(self, stories: Stories, now: datetime, then: datetime) -> None:
        """Nothing more is known until then."""
        against = frozenset(speaks_against(stories, self.terms))
        self._note(stories, now, then, against)
        standing = next((one for one in self._releases.values() if not one.revoked_for), None)
        if standing is not None:
            standing.revoked_for = against or self._outgrown(stories, standing)
            if not standing.revoked_for:
                return
            standing.revision += 1
            self._say(RefundAction.REVOKE, standing, standing.revoked_for, now)
        if against:
            return
        ready = [(max(at, now), tier, why) for at, tier, why in self._settling(stories)]
        first = min((at for at, _, _ in ready), default=then)
        if first < then:
            tier, why = next((tier, why) for at, tier, why in ready if at == first)
            self._release(stories, tier, why, first)

    def _release(self, stories: Stories, tier: RefundTier, since: datetime, at: datetime) -> None:
        known = self._releases.pop(tier.tier, None)
        revision = 1 if known is None else known.revision + 1
        goods, asked = frozenset(stories.whole.goods), asked_by(stories.whole.request)
        self._releases[tier.tier] = _Release(tier.tier, tier.release_at, goods, asked, revision)
        why = frozenset({(SignalReason(tier.release_at.value), since)})
        self._say(RefundAction.RELEASE, self._releases[tier.tier], why, at)

    def _say(self, action: RefundAction, of: _Release, why: frozenset[Why], at: datetime) -> None:
        self.said.append(Said(action, of.tier, of.revision, why, frozenset({of.asked}), at, at))

    def _outgrown(self, stories: Stories, release: _Release) -> frozenset[Why]:
        """Why a release stands no more that nothing speaks against."""
        whole, paid = stories.whole, is_paid(stories.whole)
        goods = {
            name: parcel
            for name, parcel in whole.goods.items()
            if name in release.parcels or (not paid and is_under_way(whole, parcel))
        }
        if came_to(stories, release.stage, goods) is None:
            return frozenset({(SignalReason.LATE_EVIDENCE, None)})
        tier = next(one for one in self.terms.policy.refund_tiers if one.tier == release.tier)
        asked, same = asked_by(whole.request), release.asked.is_same_money(asked_by(whole.request))
        if not paid and not (same and whole.request is not None and fits(tier, whole.request)):
            return frozenset({amended(whole)})
        if same:
            release.asked = asked
        return frozenset()

    def _note(self, stories: Stories, now: datetime, then: datetime, against: frozenset[Why]) -> None:
        whole, request, tiers = stories.whole, stories.whole.request, self.terms.policy.refund_tiers
        fitting = [one for one in tiers if request is not None and fits(one, request)]
        asked = None if request is None else asked_by(request)
        stages = {stage: came_to(stories, stage, whole.goods) for stage in ReleaseAt}
        each = [came_to(stories, stage, dict([one])) for stage in ReleaseAt for one in whole.goods.items()]
        used = [name for name, parcel in whole.goods.items() if is_under_way(whole, parcel)]
        stands = (against, asked, is_paid(whole), *stages.values(), *each, *used)
        if stands != self._stands:
            self.turns.append(now)
            self._stands = stands
        self.fitting |= {one.tier for one in fitting}
        self.why |= {(SignalReason(stage.value), there[0]) for stage, there in stages.items() if there}
        self.why |= {*against, (SignalReason.LATE_EVIDENCE, None)}
        if request is not None and asked is not None:
            self.asked.add(asked)
            self.why.add(amended(whole))
        left = tuple(tier.tier for tier in fitting if stages[tier.release_at])
        stands_on = frozenset(tier.tier for tier in fitting if may_stand(stories, tier.release_at))
        self.calms.append(Calm(now, then, bool(against), is_paid(whole), asked, left, stands_on))

    def _settling(self, stories: Stories) -> Iterator[tuple[datetime, RefundTier, datetime]]:
        """The tiers that can be released by what is known, in the policy's order, from when on, and since when they might."""
        whole, request = stories.whole, stories.whole.request
        if request is None or is_paid(whole):
            return
        told = [
            place for place, one in enumerate(self.terms.policy.refund_tiers) if one.tier in self._releases
        ]
        for tier in self.terms.policy.refund_tiers[max(told, default=0) :]:
            known = self._releases.get(tier.tier)
            used = known is not None and not all(why in ASKED_OTHERWISE for why, _ in known.revoked_for)
            far = came_to(stories, tier.release_at, whole.goods)
            if not used and far is not None and fits(tier, request):
                yield max(*far, stories.read_at) + self.terms.settle, tier, far[0]


def is_held(stories: Stories, terms: Terms) -> bool:
    """Whether these goods are not to be paid for, by what is known."""
    return any(speaks_against(stories, terms))


def next_tier(
    request: ReturnNews, terms: Terms, told: Mapping[str, SignalReason | None]
) -> RefundTier | None:
    """The first that the return fits, of those that may still release it.

    `told`: tiers that have, and why that was revoked; None: it stands.
    """
    tiers = terms.policy.refund_tiers
    left = left_of([one.tier for one in tiers], told)
    return next((one for one in tiers if one.tier in left and fits(one, request)), None)
