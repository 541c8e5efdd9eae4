"""What is known about one return at one moment: what shop and warehouse say, and the stories of its parcels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from schemas.vocabulary import Milestone, Reason
from simulation.expectation import End
from simulation.ledger import NOWHERE, ReturnNews, Route
from simulation.parcel_story import ParcelStory, meant_by_number


class ReturnStory:
    """`parcels`: every parcel that a label of the return has ever named; `linked`: those whose label holds.

    `goods`: what is paid for: those, and what has come to the dock on a label that does not hold.
    """

    def __init__(self, told: Sequence[ReturnNews], parcels: Mapping[str, ParcelStory]) -> None:
        """`told`: news of this return that are still true, in order of event time."""
        self._told: dict[Milestone, list[ReturnNews]] = {}
        for news in told:
            self._told.setdefault(news.milestone, []).append(news)
        self.parcels = parcels
        self.linked = {name: story for name, story in parcels.items() if story.linked}
        came_all_the_same = {
            name: story
            for name, story in parcels.items()
            if name not in self.linked and story.label is not None and story.checked_in is not None
        }
        self.goods = self.linked | came_all_the_same
        self.received = _received_by_number(parcels, self.news(Milestone.CHECKED_IN))
        """The check-in by number that accounts for a parcel."""
        self.labelled_at = min((s.label.at for s in parcels.values() if s.label is not None), default=None)

    def news(self, *milestones: Milestone) -> list[ReturnNews]:
        """What was said of these milestones, by time."""
        found = [news for milestone in milestones for news in self._told.get(milestone, ())]
        return found if len(milestones) == 1 else sorted(found, key=lambda news: news.at)

    def first(self, milestone: Milestone) -> ReturnNews | None:
        """The earliest of these."""
        return next(iter(self._told.get(milestone, ())), None)

    def ends(self, *milestones: Milestone, since: datetime | None = None) -> list[End]:
        """The first of each of these, after which nothing is waited for any more; `since`: not before."""
        firsts = (
            next((news for news in self._told.get(milestone, ()) if since is None or news.at >= since), None)
            for milestone in milestones
        )
        return [(news.at, _REASONS[news.milestone]) for news in firsts if news is not None]

    @property
    def checked_in_by_number(self) -> list[End]:
        """The first check-in by number, whichever parcel it means."""
        return [(news.at, Reason.CHECKED_IN_BY_RETURN) for news in self.news(Milestone.CHECKED_IN)[:1]]

    def came_at(self, parcel: ParcelStory) -> datetime | None:
        """When the warehouse got a parcel, by whatever it calls it."""
        told = (self.received.get(parcel.parcel), parcel.checked_in)
        return min((news.at for news in told if news is not None), default=None)

    @property
    def wholly_inspected(self) -> ReturnNews | None:
        """The inspection after which none of its parcels was left: each by its name, or with all that was there."""
        inspections = self.news(Milestone.INSPECTED)
        if not self.linked:
            return inspections[0] if inspections else None
        others = [one for one in self.parcels.values() if not one.linked and one.checked_in is not None]
        alone = len(self.linked) == 1 and not others
        last: ReturnNews | None = None
        for name, parcel in self.linked.items():
            came_at = self.came_at(parcel)
            of_it = [
                news
                for news in inspections
                if name in news.parcels
                or (not news.parcels and (alone or (came_at is not None and news.at >= came_at)))
            ]
            if not of_it:
                return None
            if last is None or of_it[0].at > last.at:
                last = of_it[0]
        return last

    @property
    def request(self) -> ReturnNews | None:
        """What the customer asks for: the last word of each thing, with the time of the first."""
        told = self.news(Milestone.RETURN_REQUESTED)
        if len(told) < 2:
            return told[0] if told else None
        worth = [news.worth for news in told if news.worth is not None]
        promised = [news.promised_at for news in told if news.promised_at is not None]
        return replace(
            told[-1],
            at=told[0].at,
            identity=told[0].identity,
            worth=worth[-1] if worth else None,
            promised_at=promised[-1] if promised else None,
        )

    @property
    def in_store(self) -> bool:
        """Whether the goods come back without a parcel."""
        return self.request is not None and self.request.method == "in_store"

    @property
    def route(self) -> Route:
        """Whose carrier, lane and facility decide about the return as a whole: those of its first parcel."""
        labels = [(s.label.at, name) for name, s in self.linked.items() if s.label is not None]
        return self.route_of(self.linked[min(labels)[1]] if labels else None)

    def route_of(self, parcel: ParcelStory | None) -> Route:
        """Of one of its parcels, or of none; the request knows the shop and the value better than a label."""
        route = NOWHERE if parcel is None else parcel.route
        if self.request is None:
            return route
        return route._replace(shop=self.request.shop or route.shop, worth=self.request.worth or route.worth)


_REASONS = {
    Milestone.RETURN_CANCELLED: Reason.RETURN_CANCELLED,
    Milestone.INSPECTED: Reason.INSPECTED,
    Milestone.RESTOCKED: Reason.RESTOCKED,
    Milestone.REFUND_APPROVED: Reason.REFUND_APPROVED,
    Milestone.REFUND_REFUSED: Reason.REFUND_REFUSED,
    Milestone.REFUND_ISSUED: Reason.REFUND_ISSUED,
    Milestone.REFUND_SETTLED: Reason.REFUND_SETTLED,
    Milestone.REFUND_FAILED: Reason.REFUND_FAILED,
    Milestone.REPLACEMENT_SENT: Reason.REPLACEMENT_SENT,
}


def _received_by_number(
    stories: Mapping[str, ParcelStory], check_ins: Sequence[ReturnNews]
) -> dict[str, ReturnNews]:
    """By which check-in that named the return only each parcel was received.

    A check-in can mean parcels that were labelled before it and that no check-in before it accounts for.
    """
    received: dict[str, ReturnNews] = {}
    for check_in in check_ins:
        waiting = {
            name: story
            for name, story in stories.items()
            if name not in received and story.waits_for_check_in_at(check_in.at)
        }
        received.update(dict.fromkeys(meant_by_number(check_in, waiting), check_in))
    return received
