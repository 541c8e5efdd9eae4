"""The policy's part about feeds: when one is silent, what is held then, and for how long."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.policy_fields import Amounts, CountryWithHolidays, Duration, PolicyModel, TimeZone

FeedName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]


class WatchedFeed(PolicyModel):
    """What is special about one feed: a carrier, or `orders`, `labels`, `warehouse`."""

    watched: bool = True
    """False: it is never silent, and holds nothing."""
    country: CountryWithHolidays = ""
    """ISO 3166-1 alpha-2: nothing is expected on its public holidays; "": as `feeds.country`."""
    time_zone: TimeZone | None = None
    """Whose hours of the week its rhythm follows; None: as `feeds.time_zone`."""


class FeedPolicy(PolicyModel):
    """Numbers about all feeds (docs/feeds.md)."""

    watched: bool = True
    """False: no feed is watched, and nothing is held."""
    suspect_after: Annotated[int, Field(ge=1, le=1_000)] = 5
    """So many arrivals were to be expected since the last one: from here on its silence is not believed."""
    silent_after: Annotated[int, Field(ge=2, le=100_000)] = 20
    """So many: the feed is silent, if it has been quiet for `silent_for`, too."""
    silent_for: Duration = timedelta(minutes=30)
    hold_longest: Duration = timedelta(hours=48)
    """However long a feed is silent: what was due so long ago is told."""
    drain_least: Duration = timedelta(minutes=15)
    """So long after a silence nothing is told yet: its backlog is on its way."""
    drain_longest: Duration = timedelta(hours=6)
    high_value: Amounts = Field(default={})
    """What is worth at least as much is never held."""
    country: CountryWithHolidays = ""
    """Nothing is expected on its public holidays; "": of the default facility, if there is one."""
    time_zone: TimeZone | None = None
    """Whose hours of the week the rhythm of feeds follows; None: the default facility's, else UTC."""
    of: dict[FeedName, WatchedFeed] = Field(default={})
    """What is special about single feeds."""

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        if self.silent_after <= self.suspect_after:
            raise ValueError(
                f"silent_after {self.silent_after} must be more than suspect_after {self.suspect_after}: "
                "a feed is suspected first"
            )
        if self.drain_longest < self.drain_least:
            raise ValueError("drain_longest is shorter than drain_least; make it at least as long")
        if self.hold_longest <= self.silent_for + self.drain_least:
            raise ValueError(
                "hold_longest must be longer than silent_for and drain_least together: "
                "else what a silence holds is told before anybody knows of it"
            )
        return self
