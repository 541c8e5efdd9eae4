"""Parcels of a carrier whose feed is silent just when they are due: some are on their way, and some are lost.

Each is requested so that its deadline lies in the outage. What happens in time is known only when the outage is over.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.vocabulary import RuleId
from simulation.aftermath import never_sent, received
from simulation.feed_story import CARRIER, FeedStory
from simulation.journey import HOUR, Journey, SimParcel
from simulation.legs import deliver, dock_time, labelled, through_hubs
from simulation.margins import FIRST_SCAN, SILENT
from simulation.story import Story, story

_DEAR: Final[dict[str, Any]] = {"value": {"amount": "1490.00", "currency": "EUR"}}


def posted_meanwhile(journey: Journey) -> None:
    """Handed over in the last hours: nothing is wrong."""
    _posted(journey, labelled(journey))


def dear_and_posted_meanwhile(journey: Journey) -> None:
    """The same, and worth so much that nobody waits: a case, which the backlog takes back."""
    parcel = journey.label(journey.request(**_DEAR) + journey.hours(0.02, 0.4), **_DEAR)
    _posted(journey, parcel)


def never_posted(journey: Journey) -> None:
    """Nobody hands it over."""
    never_sent(journey, labelled(journey))


def moved_meanwhile(journey: Journey) -> None:
    """After days in which nobody scanned it, it moves on."""
    parcel = labelled(journey)
    scanned = parcel.labelled_at + journey.hours(2, 6)
    journey.first_scan(parcel, scanned)
    moves = scanned + SILENT[False] - journey.hours(1, 3)
    journey.hub(parcel, moves)
    _goes_on(journey, parcel, moves)


def lost_meanwhile(journey: Journey) -> None:
    """Nobody scans it again; after weeks the shop gives up."""
    parcel = labelled(journey)
    journey.first_scan(parcel, parcel.labelled_at + journey.hours(2, 6))
    for return_id in parcel.returns:
        journey.order("refund_refused", journey.requested_at + journey.hours(300, 360), return_id)


def _posted(journey: Journey, parcel: SimParcel) -> None:
    scanned = parcel.labelled_at + FIRST_SCAN - journey.hours(1, 3)
    journey.first_scan(parcel, scanned)
    _goes_on(journey, parcel, scanned)


def _goes_on(journey: Journey, parcel: SimParcel, since: datetime) -> None:
    received(
        journey, parcel, dock_time(journey, deliver(journey, through_hubs(journey, parcel, since), parcel))
    )


def _told(before: timedelta, play: Callable[[Journey], None], *finds: RuleId) -> tuple[timedelta, Story]:
    return before, story(1, play, *finds)


OUTAGE: Final[tuple[tuple[timedelta, Story], ...]] = (
    _told(FIRST_SCAN, posted_meanwhile),
    _told(FIRST_SCAN, never_posted, RuleId.MISSING_FIRST_SCAN),
    _told(SILENT[False] + 4 * HOUR, moved_meanwhile),
    _told(SILENT[False] + 4 * HOUR, lost_meanwhile, RuleId.STALLED_SILENT),
    _told(FIRST_SCAN, dear_and_posted_meanwhile, RuleId.MISSING_FIRST_SCAN),
)
"""How long before the deadline that they are about they begin, and the stories. They are told in turn."""


def how_many(returns: int) -> int:
    """So many requests beside the others."""
    return max(2 * len(OUTAGE), returns // 40)


def begin(number: int, feed: FeedStory, journey: Callable[[datetime], Journey]) -> tuple[Journey, Story]:
    """Tell one of them. `journey`: makes one that is requested at a time."""
    before, told = OUTAGE[number % len(OUTAGE)]
    started = journey(feed.outage.from_at - before)
    started.choose_lane(lambda lane: lane.carrier.name == CARRIER.name)
    started.requested_at += started.hours(3, 12)
    told.play(started)
    return started, told
