"""How a worker comes to know what is appended: a worker that was held up knows more at a deadline than was known then."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from simulation.dossier import Dossier

_AT_ONCE: Final = timedelta(0)


class Reading(NamedTuple):
    """How much too early the worker knows it, or in how large gulps it reads."""

    parcels_early: timedelta = _AT_ONCE
    returns_early: timedelta = _AT_ONCE
    gulp: timedelta = _AT_ONCE

    def moments(self, dossier: Dossier, until_at: datetime) -> list[datetime]:
        """When it comes to know something, in order, until then."""
        appended = {at - self.parcels_early for at in dossier.parcel_times}
        appended |= {at - self.returns_early for at in dossier.return_times}
        moments: list[datetime] = []
        for at in sorted(appended):
            swallowed = self.gulp and moments and at <= moments[-1] + self.gulp
            if at <= until_at and not swallowed:
                moments.append(at)
        return moments

    def known_until(self, moment: datetime) -> tuple[datetime, datetime]:
        """Until when it knows, at one of these moments, what was appended about parcels, and about returns."""
        ahead = moment + self.gulp
        return ahead + self.parcels_early, ahead + self.returns_early
