"""The scans of the shop's outgoing parcels: steady traffic of one carrier that belongs to no return.

They fill what the returns leave of the carrier's rhythm (simulation/feed_story.py), so that its feed never runs dry.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.vocabulary import RuleId
from simulation.carriers import LANES, UNKNOWN_CODES
from simulation.feed_sight import Arrival
from simulation.feed_story import CARRIER, HOUR, FeedStory, is_of
from simulation.happenings import SCANS, Draft, SimEvent, write_plain
from simulation.ledger import LedgerEvent

BELT: Final = 60
"""So many parcels lie between two of the three scans of a parcel."""
_FIRST_SERIAL: Final = 8_000_000
_MINUTE: Final = timedelta(minutes=1)
_STAGES: Final = (*CARRIER.hub, CARRIER.delivered)
_PLACES: Final = next(lane for _, lane in LANES if lane.carrier is CARRIER).stops()


def kept_back(events: Iterable[SimEvent], story: FeedStory) -> Iterator[SimEvent]:
    """The events as they appear: those of the carrier that fall into its outage only when that is over."""
    for event in events:
        if story.outage.covers(event.appears_at) and of_the_carrier(event):
            yield event._replace(appears_at=story.appears_at(event.appears_at))
        else:
            yield event


def came_of_the_carrier(ledger: Iterable[LedgerEvent]) -> list[Arrival]:
    """When the carrier's scans were appended, and how long after they had happened."""
    return [Arrival(event.appended_at, _lateness(event)) for event in ledger if of_the_carrier(event)]


def _lateness(event: LedgerEvent) -> timedelta:
    body = json.loads(event.value)
    try:
        return event.appended_at - datetime.fromisoformat(body.get("data", body)["occurred_at"])
    except (KeyError, TypeError, ValueError):
        return timedelta(0)  # broken on purpose: it is refused


def of_the_carrier(event: SimEvent | LedgerEvent) -> bool:
    """Whether it is a scan of the carrier."""
    if event.kind != SCANS:
        return False
    try:
        body = json.loads(event.value)
        return is_of(CARRIER, body.get("data", body).get("carrier"))
    except (ValueError, AttributeError):
        return False


def outgoing(
    events: Iterable[SimEvent], story: FeedStory, rng: random.Random, since: datetime, until: datetime
) -> Iterator[SimEvent]:
    """A scan in each part of an hour in which there is none among `events`, as if there were no outage."""
    there: dict[datetime, set[int]] = defaultdict(set)
    for event in events:
        if of_the_carrier(event):
            hour = event.appears_at.replace(minute=0, second=0, microsecond=0)
            parts = story.at_least(hour)
            there[hour].add(int((event.appears_at - hour) / HOUR * parts))
    count = 0
    hour = since.replace(minute=0, second=0, microsecond=0)
    while hour < until:
        parts = story.at_least(hour)
        for part in range(parts):
            if part not in there[hour]:
                at = hour + (part + rng.random()) / parts * HOUR
                yield write_plain(_scan(count, at.replace(microsecond=0), story, rng))
                count += 1
        hour += HOUR


def _scan(count: int, at: datetime, story: FeedStory, rng: random.Random) -> Draft:
    stage = count % len(_STAGES)
    serial = count // len(_STAGES) + (len(_STAGES) - 1 - stage) * BELT
    number = f"{CARRIER.prefix}0000{_FIRST_SERIAL + serial:07d}{CARRIER.suffix}"
    code = _STAGES[stage]
    wrong = story.spell(at)
    body: dict[str, Any] = {
        "type": "carrier_scan",
        "carrier": CARRIER.name,
        "tracking_number": number,
        "api": code.api,
        "code_type": code.code_type,
        "code": rng.choice(UNKNOWN_CODES) if wrong is RuleId.MAPPING_GAP else code.code,
        "place": rng.choice(_PLACES),
    }
    late = rng.randint(1, 15) * _MINUTE
    if wrong is RuleId.FEED_LAGGING:
        late = rng.randint(90, 240) * _MINUTE
    elif wrong is RuleId.CLOCK_SKEW:
        late = -rng.randint(30, 60) * _MINUTE
    return Draft(SCANS, number, body, at - late, story.appears_at(at), f"out-{count}")
