"""What is expected of the warehouse once the goods are there: the rules about inspection and shelf."""

from collections.abc import Iterator
from datetime import datetime

from schemas.vocabulary import Milestone, Reason, RuleId
from simulation.expectation import End, Expectation
from simulation.ledger import ParcelNews, ReturnNews
from simulation.parcel_story import ParcelStory
from simulation.return_story import ReturnStory
from simulation.terms import Terms

_DECIDED = (
    Milestone.REFUND_APPROVED,
    Milestone.REFUND_REFUSED,
    Milestone.REFUND_ISSUED,
    Milestone.REPLACEMENT_SENT,
)


def late_inspection(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """What has come waits to be looked at: each parcel by itself, or the goods that came without one."""
    rule = RuleId.LATE_INSPECTION
    for name, parcel in story.goods.items():
        received = came(story, parcel)
        if received is None:
            continue
        at, appended_at = received
        due = max(terms.used_up(rule, at, story.route_of(parcel)), appended_at + terms.settle)
        yield Expectation(rule, name, "", at, due, _looked_at(story, name, at))
    if not story.goods:
        for by_number in story.news(Milestone.CHECKED_IN)[:1]:
            due = terms.due(rule, by_number, story.route)
            yield Expectation(rule, "", "", by_number.at, due, _looked_at(story, "", by_number.at))


def came(story: ReturnStory, parcel: ParcelStory) -> tuple[datetime, datetime] | None:
    """When the warehouse got the parcel, and when that was appended."""
    told = (story.received.get(parcel.parcel), parcel.checked_in)
    return min(((news.at, news.appended_at) for news in told if news is not None), default=None)


def _looked_at(story: ReturnStory, parcel: str, came_at: datetime) -> tuple[End, ...]:
    restocked = [
        (news.at, Reason.RESTOCKED) for news in story.news(Milestone.RESTOCKED) if news.at >= came_at
    ]
    return (*_inspections_of(story, parcel, came_at), *restocked)


def _inspections_of(story: ReturnStory, parcel: str, came_at: datetime) -> list[End]:
    """Those that name the parcel; those that name none mean what had come by then, or all there is."""
    return [
        (news.at, Reason.INSPECTED)
        for news in story.news(Milestone.INSPECTED)
        if parcel in news.parcels or (not news.parcels and (news.at >= came_at or len(story.goods) <= 1))
    ]


def content_mismatch(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """Goods that are not what was announced: a case at once, until somebody has decided."""
    rule = RuleId.CONTENT_MISMATCH
    for news in story.news(Milestone.INSPECTED):
        if news.mismatch:
            ends = [*story.ends(*_DECIDED, since=news.at), *found_right(story, news)]
            due = terms.due(rule, news, story.route)
            yield Expectation(rule, "", news.identity, news.at, due, tuple(ends))
    for parcel, weighed, looked_into in wrong_weights(story, terms):
        if looked_into and looked_into[0][0] < weighed.at:
            continue  # people have opened it already
        due = terms.due(rule, weighed, story.route_of(parcel))
        ends = [*looked_into[:1], *story.ends(*_DECIDED, since=weighed.at)]
        yield Expectation(rule, parcel.parcel, "weight", weighed.at, due, tuple(ends))


def wrong_weights(story: ReturnStory, terms: Terms) -> Iterator[tuple[ParcelStory, ParcelNews, list[End]]]:
    """The parcels that weigh something else than their labels say, by which dock scan, and when people looked into them."""
    for name, parcel in story.goods.items():
        weighed, label, received = parcel.weighed, parcel.label, came(story, parcel)
        if weighed is None or label is None or received is None:
            continue
        if terms.weighs_wrong(label.grams, weighed.grams, story.route_of(parcel)):
            yield parcel, weighed, _inspections_of(story, name, received[0])


def found_right(story: ReturnStory, wrong: ReturnNews) -> list[End]:
    """When every parcel that was found wrong has been found right; an inspection without parcels is of all.

    Of two inspections at the same time the one that was appended later is the later one.
    """
    again = [
        news
        for news in story.news(Milestone.INSPECTED)
        if news.all_right and (news.at, news.appended_at) > (wrong.at, wrong.appended_at)
    ]
    if not again:
        return []
    times = [news.at for news in again if not news.parcels]
    parcels = wrong.parcels or tuple(story.goods)
    each = [[news.at for news in again if parcel in news.parcels] for parcel in parcels]
    if all(each):
        times.append(max((min(found) for found in each), default=again[0].at))
    return [(min(times), Reason.INSPECTED)] if times else []


def late_restock(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """What may be sold again waits for the shelf: the first such inspection for the first restocking, and so on."""
    rule = RuleId.LATE_RESTOCK
    restocked = story.news(Milestone.RESTOCKED)
    for_the_shelf = [news for news in story.news(Milestone.INSPECTED) if news.disposition == "restock"]
    for position, news in enumerate(for_the_shelf):
        ends = tuple((shelf.at, Reason.RESTOCKED) for shelf in restocked[position:][:1])
        due = terms.due(rule, news, story.route)
        yield Expectation(rule, "", news.identity, news.at, due, ends)
