"""What is known about one parcel at one moment, told for one of its returns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from schemas.vocabulary import Milestone, Reason
from simulation.ledger import ParcelNews, ReturnNews, Route

News = TypeVar("News", ParcelNews, ReturnNews)

End = tuple[datetime, Reason]
"""Something that ends waiting: when it happened, and what it is called."""

_GIVEN_UP: Final = {
    Milestone.RETURNED_TO_SENDER: Reason.TURNED_BACK,
    Milestone.LOST: Reason.LOST,
    Milestone.DISPOSED: Reason.LOST,
}


def still_true(news: Sequence[News], now: datetime) -> list[News]:
    """What was appended until `now` and not taken back by then."""
    known = [item for item in news if item.appended_at <= now]
    taken_back = {item.retracts for item in known if item.retracts is not None}
    if not taken_back:
        return known
    return [item for item in known if item.retracts is None and item.identity not in taken_back]


class ParcelStory:
    """The parcel's label for the return, its scans in order of event time, and what ended its journey."""

    def __init__(self, told: Sequence[ParcelNews], return_id: str) -> None:
        """`told`: news of this parcel that are still true, in order of event time."""
        self.return_id = return_id
        labels = [n for n in told if n.milestone is Milestone.LABEL_CREATED and return_id in n.returns]
        self.label = labels[0] if labels else None
        self.route = labels[0].route if labels else Route("", "", "", "")
        self.scans = [n for n in told if n.physical]
        self.delivered = next((n for n in self.scans if n.milestone is Milestone.DELIVERED), None)
        self.checked_in_at = next((n.at for n in told if n.milestone is Milestone.CHECKED_IN), None)
        self.voided_at = next((n.at for n in told if self._voids(n)), None)
        given_up = [(n.at, _GIVEN_UP[n.milestone]) for n in told if n.milestone in _GIVEN_UP]
        self.given_up: End | None = given_up[0] if given_up else None

    def _voids(self, news: ParcelNews) -> bool:
        names_it = not news.returns or self.return_id in news.returns
        after_the_label = self.label is not None and news.at >= self.label.at
        return news.milestone is Milestone.LABEL_VOIDED and names_it and after_the_label

    def waits_for_check_in_at(self, at: datetime) -> bool:
        """Whether it has a label of the time, which holds, and the dock has not scanned it by then."""
        if self.label is None or self.label.at > at or self.voided_at is not None:
            return False
        return self.checked_in_at is None or self.checked_in_at > at


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
