"""What every rule yields: something that is waited for, since when, until when, and what ended the waiting."""

from typing import NamedTuple

from schemas.vocabulary import RuleId
from streams.journeys import End
from streams.parcel import Seen


class Expectation(NamedTuple):
    """Something that was or is waited for. Of what came in time a rule may say nothing, where that is seen at once."""

    rule: RuleId
    anchor: str
    """Names the case, with rule, return and parcel."""
    start: Seen
    due_ms: int
    end: End | None
    """At or before `due_ms`: it came in time, and there is no breach."""
    holds: bool = True
    """False: no breach so far, but to be looked at again when it is due."""
