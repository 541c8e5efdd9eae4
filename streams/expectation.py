"""What every rule yields: something that is waited for, since when, until when, and what ended the waiting."""

from typing import NamedTuple

from schemas.vocabulary import RuleId
from streams.journeys import End
from streams.parcel import Seen


class Expectation(NamedTuple):
    """An expectation that was not, or not yet, fulfilled in time. `end` is later than `due_ms`, or None."""

    rule: RuleId
    anchor: str
    """Names the case, with rule, return and parcel."""
    start: Seen
    due_ms: int
    end: End | None
    holds: bool = True
    """False: no breach so far, but to be looked at again when it is due."""
