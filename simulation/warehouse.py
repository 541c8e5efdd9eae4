"""The facilities that returns go to, and what their docks write."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any, Final

from schemas.policy import FEED_RULES, Policy
from schemas.vocabulary import RuleId
from simulation.business_days import Calendar


@dataclass(frozen=True, slots=True)
class Facility:
    """A warehouse: where it is and when it works."""

    facility_id: str
    country: str
    city: str
    calendar: Calendar

    @property
    def place(self) -> dict[str, str]:
        """The place that a carrier writes when it delivers here."""
        return {"country": self.country, "city": self.city, "site": self.facility_id}


def _facility(facility_id: str, city: str, zone: str, country: str, subdivision: str | None) -> Facility:
    calendar = Calendar(
        time_zone=zone, country=country, subdivision=subdivision, opens=time(8), closes=time(17)
    )
    return Facility(facility_id, country, city, calendar)


LILLE: Final = _facility("LIL1", "Lille", "Europe/Paris", "FR", None)
LEIPZIG: Final = _facility("LEJ1", "Leipzig", "Europe/Berlin", "DE", "SN")
LOUISVILLE: Final = _facility("SDF1", "Louisville", "America/Kentucky/Louisville", "US", "KY")
FACILITIES: Final = (LILLE, LEIPZIG, LOUISVILLE)


def facilities_for_policy() -> dict[str, dict[str, Any]]:
    """The `facilities` section that a policy for this world needs, facility id -> its calendar and its place."""
    return {
        facility.facility_id: {**facility.calendar.for_policy(), "places": [facility.place]}
        for facility in FACILITIES
    }


def policy_of_this_world(policy: Policy, feeds: Mapping[str, Any] | None = None) -> Policy:
    """The given policy with the facilities above in place of its own, for a shop that hears of settled refunds.

    `feeds`: how feeds are watched, in a world in which one goes on (simulation/feed_story.py). None: not at all, for with the
    returns all feeds come to an end, and then all of them are silent.
    """
    numbers = policy.model_dump(mode="json")
    if RuleId.REFUND_NOT_SETTLED in numbers["rules"]:
        numbers["rules"][RuleId.REFUND_NOT_SETTLED]["enabled"] = True
    for rule in FEED_RULES & numbers["rules"].keys():
        numbers["rules"][rule]["enabled"] = feeds is not None
    watching = {"watched": False} if feeds is None else {**numbers["feeds"], **feeds}
    return Policy.model_validate(numbers | {"facilities": facilities_for_policy(), "feeds": watching})
