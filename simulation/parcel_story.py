"""What is known about one parcel at one moment, told for one of its returns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from schemas.vocabulary import Evidence, Milestone, Reason
from simulation.expectation import End
from simulation.ledger import NOWHERE, ParcelNews, ReturnNews

News = TypeVar("News", ParcelNews, ReturnNews)

_GIVEN_UP: Final = {
    Milestone.RETURNED_TO_SENDER: Reason.TURNED_BACK,
    Milestone.LOST: Reason.LOST,
    Milestone.DISPOSED: Reason.LOST,
}
_DECISIVE: Final = {Milestone.DELIVERED_ELSEWHERE, *_GIVEN_UP}
_HEARSAY: Final = {Evidence.ANNOUNCED, Evidence.CLAIMED}
_HOLDS: Final = {Milestone.CUSTOMS_HOLD, Milestone.AVAILABLE_FOR_PICKUP}


def still_true(news: Sequence[News], now: datetime) -> list[News]:
    """What was appended until `now` and not taken back by then."""
    known = [item for item in news if item.appended_at <= now]
    taken_back = {item.retracts for item in known if item.retracts is not None}
    if not taken_back:
        return known
    return [item for item in known if item.retracts is None and item.identity not in taken_back]


class Run(NamedTuple):
    """News of the same kind, with nothing between them that ends what they say. `ended`: the scan that does."""

    first: ParcelNews
    ended: ParcelNews | None
    later: tuple[ParcelNews, ...] = ()
    """Scans that would have ended it, had the one before not been known."""

    @property
    def ends(self) -> list[End]:
        """The end of the run, if it has one, and what a worker may take for it that has not read that one yet."""
        enders = () if self.ended is None else (self.ended, *self.later)
        return [(ender.at, name_of(ender)) for ender in enders]


class Hold(NamedTuple):
    """Somebody keeps the parcel from moving. `until`: the next scan; None: nobody has scanned it since."""

    kind: Milestone
    since: datetime
    until: datetime | None


class ParcelStory:
    """The parcel's label for the return, its scans in order of event time, and what ended its journey."""

    def __init__(self, parcel: str, told: Sequence[ParcelNews], return_id: str) -> None:
        """`told`: news of this parcel that are still true, in order of event time."""
        self.parcel = parcel
        self.return_id = return_id
        self._seen: dict[Milestone, list[ParcelNews]] = {}
        for news in told:
            if news.evidence not in _HEARSAY:
                self._seen.setdefault(news.milestone, []).append(news)
        labels = [n for n in told if n.milestone is Milestone.LABEL_CREATED and return_id in n.returns]
        self.label = labels[0] if labels else None
        self.route = labels[0].route if labels else NOWHERE
        self.scans = [n for n in told if n.physical]
        self.delivered = next((n for n in self.scans if n.milestone is Milestone.DELIVERED), None)
        self.checked_in = next((n for n in told if n.milestone is Milestone.CHECKED_IN), None)
        self.weighed = next(
            (n for n in reversed(told) if n.milestone is Milestone.CHECKED_IN and n.grams), None
        )
        """The last dock scan that tells a weight."""
        self.voided_at = next((n.at for n in told if self._voids(n)), None)
        self._given_up = [(n, self._found_at(n)) for n in told if n.milestone in _GIVEN_UP]
        """Each word of the carrier that it will not come, and when a scan refuted it."""
        self.decisive_at = [news.appended_at for news in told if self._is_decisive(news)]
        """When what says whether the goods have come was appended."""
        self.holds = list(self._find_holds())
        """When somebody kept the parcel, by time; several holds before the same scan are one."""

    def _voids(self, news: ParcelNews) -> bool:
        names_it = not news.returns or self.return_id in news.returns
        after_the_label = self.label is not None and news.at >= self.label.at
        return news.milestone is Milestone.LABEL_VOIDED and names_it and after_the_label

    def _is_decisive(self, news: ParcelNews) -> bool:
        if news.milestone is Milestone.CHECKED_IN:
            return news is self.checked_in or news is self.weighed
        if news.milestone is Milestone.DELIVERED:
            return news.physical and (self.checked_in is None or news.at <= self.checked_in.at)
        if news.milestone in {Milestone.LABEL_CREATED, Milestone.LABEL_VOIDED}:
            return True
        return news.milestone in _DECISIVE and news.evidence not in _HEARSAY

    @property
    def linked(self) -> bool:
        """Whether a label of the return holds."""
        return self.label is not None and self.voided_at is None

    @property
    def checked_in_or_voided(self) -> list[End]:
        """The ends that every rule knows: the dock has it, or its label was taken back."""
        ends: list[End] = []
        if self.checked_in is not None:
            ends.append((self.checked_in.at, Reason.CHECKED_IN))
        if self.voided_at is not None:
            ends.append((self.voided_at, Reason.LABEL_VOIDED))
        return ends

    def _found_at(self, news: ParcelNews) -> datetime | None:
        if news.milestone is Milestone.RETURNED_TO_SENDER:
            return None
        return next((scan.at for scan in self.scans_after(news) if scan.milestone not in _GIVEN_UP), None)

    @property
    def over(self) -> list[End]:
        """The ends of the journey but for the delivery: as above, or the carrier gave it up and has not found it."""
        for_good = [(news.at, _GIVEN_UP[news.milestone]) for news, found in self._given_up if found is None]
        return [*self.checked_in_or_voided, *for_good[:1]]

    def over_since(self, at: datetime) -> list[End]:
        """The same for something that is waited for since then: to be given up ends it, whether it is found later or not."""
        next_words = [
            (news.at, _GIVEN_UP[news.milestone])
            for news, found in self._given_up
            if found is None or found > at
        ]
        return [*self.checked_in_or_voided, *next_words[:1]]

    def found_after(self, at: datetime) -> datetime | None:
        """When it was found after it was next given up, or is found that had been given up by then."""
        return next((found for _, found in self._given_up if found is None or found > at), None)

    def given_up_at(self, at: datetime) -> bool:
        """Whether the carrier had given it up and not found it."""
        return any(news.at <= at and (found is None or at < found) for news, found in self._given_up)

    @property
    def is_destroyed(self) -> bool:
        """Whether the carrier says that it destroyed it, and nobody has seen it since."""
        return any(found is None and n.milestone is Milestone.DISPOSED for n, found in self._given_up)

    def is_found_by(self, scan: ParcelNews) -> bool:
        """Whether the carrier had called it lost until this scan."""
        return any(scan.at == found for _, found in self._given_up)

    @property
    def arrived(self) -> list[End]:
        """The deliveries, here or elsewhere: the first of each."""
        elsewhere = next((n for n in self.scans if n.milestone is Milestone.DELIVERED_ELSEWHERE), None)
        return [(scan.at, name_of(scan)) for scan in (self.delivered, elsewhere) if scan is not None]

    def news(self, *milestones: Milestone) -> list[ParcelNews]:
        """What was seen of these milestones, by whomever; not what was only announced or claimed."""
        found = [news for milestone in milestones for news in self._seen.get(milestone, ())]
        return found if len(milestones) == 1 else sorted(found, key=lambda news: news.at)

    def scans_after(self, news: ParcelNews) -> list[ParcelNews]:
        """The physical scans that are later."""
        return [scan for scan in self.scans if scan.at > news.at]

    def _find_holds(self) -> Iterator[Hold]:
        until: datetime | None = None
        for news in self.news(*_HOLDS):
            if news.evidence is Evidence.SYSTEM or (until is not None and news.at < until):
                continue
            following = self.scans_after(news)
            yield Hold(news.milestone, news.at, following[0].at if following else None)
            if not following:
                return
            until = following[0].at

    def waits_for_check_in_at(self, at: datetime) -> bool:
        """Whether it has a label of the time, which holds, and the dock has not scanned it by then."""
        if self.label is None or self.label.at > at or self.voided_at is not None:
            return False
        return self.checked_in is None or self.checked_in.at > at


def name_of(scan: ParcelNews) -> Reason:
    """What a scan is called that ends waiting."""
    if scan.milestone is Milestone.DELIVERED:
        return Reason.DELIVERED
    if scan.milestone is Milestone.DELIVERED_ELSEWHERE:
        return Reason.DELIVERED_ELSEWHERE
    return _GIVEN_UP.get(scan.milestone, Reason.PROGRESS)


def runs(
    news: Sequence[ParcelNews],
    enders: Sequence[ParcelNews],
    found_after: Callable[[datetime], datetime | None],
    *,
    or_at_once: bool = False,
) -> list[Run]:
    """Cut the news, in order of time, wherever one of the enders lies between two of them, or it was lost and found.

    Of enders of the very time of the first news only a delivery ends the run; `or_at_once`: any of them.
    """
    found: list[Run] = []
    for item in news:
        if found:
            found_at, ended = found_after(found[-1].first.at), found[-1].ended
            goes_on = (ended is None or item.at < ended.at) and (found_at is None or item.at < found_at)
            if goes_on:
                continue
        at_once = (ender for ender in enders if ender.at == item.at and ender is not item)
        ended = next((e for e in at_once if or_at_once or e.milestone is Milestone.DELIVERED), None)
        later = [ender for ender in enders if ender.at > item.at]
        found.append(Run(item, ended or next(iter(later), None), tuple(later if ended else later[1:])))
    return found


def stopped(
    due: datetime,
    start: datetime,
    story: ParcelStory,
    caps: Mapping[Milestone, timedelta],
    closed: Sequence[tuple[datetime, datetime]] = (),
) -> datetime:
    """The deadline of a clock that began at `start` and stands still while somebody holds the parcel.

    `closed`: when it stands still anyway, which has been counted.
    """
    left = dict(caps)
    counted = [span for span in closed if span[0] < due]
    for hold in story.holds:
        if start <= hold.since < due:
            still = left[hold.kind] if hold.until is None else min(left[hold.kind], hold.until - hold.since)
            left[hold.kind] -= still
            until = hold.since + still
            overlaps = (min(until, end) - max(hold.since, begin) for begin, end in counted)
            due += still - sum((one for one in overlaps if one > timedelta(0)), timedelta(0))
    return due


def meant_by_number(check_in: ReturnNews, waiting: Mapping[str, ParcelStory]) -> list[str]:
    """Which of the waiting parcels a check-in by the number of the return accounts for.

    `waiting`: the return's parcels that no check-in accounts for yet. Those that the event names; all of them if it
    says complete; the only one, if there is only one; else as many delivered ones as it counts, oldest delivery first.
    """
    if check_in.parcels:
        return [name for name in check_in.parcels if name in waiting]
    if check_in.complete or len(waiting) == 1:
        return list(waiting)
    delivered = [(story.delivered.at, name) for name, story in waiting.items() if story.delivered is not None]
    return [name for _, name in sorted(delivered)[: check_in.count]]
