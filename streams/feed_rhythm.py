"""The rhythm of one feed, learned from its own weeks: how many arrivals to expect in each hour of the week.

An hour that has closed moves its own hour of the week towards what came in it: at first to the mean of all, later by a quarter.
Nothing is expected of an hour of the week that was never seen. Not learned: public holidays, hours in which the feed was
silent or draining, and hours of which we do not know when in them things came, as after our own downtime. What is so left out
twice in a row is learned anew the third time: a feed that stays silent on Saturdays has another rhythm now.

Beside it, how long it is usually quiet: in each hour of the week, for a feed that sends in batches or whose day ends in the
middle of an hour, and ever. A gap that would be a silence is usual only when there were three of them.
"""

import msgspec

from streams.feed_terms import ARRIVAL, HOLIDAY, hours_between

HOURS = 168
_SETTLED = 4
_LEFT_OUT = 2
_USUAL_SHARE = 16
_MOST_LONG_GAPS = 8
_USUAL_LONG_GAPS = 3
_LONG_GAPS_MINUTES = 21 * 24 * 60
_APART_MINUTES = 60


class Rhythm(msgspec.Struct, array_like=True, gc=False):
    """What was learned of one feed."""

    rates: list[int] = msgspec.field(default_factory=lambda: [0] * HOURS)
    """Thousandths of an arrival per hour, for each hour of the week."""
    known: list[int] = msgspec.field(default_factory=lambda: [0] * HOURS)
    """How often each hour was learned; counted no further than is needed."""
    left_out: list[int] = msgspec.field(default_factory=lambda: [0] * HOURS)
    """How often in a row it was not."""
    longest_gap: int = 0
    """The longest time without arrivals that was no silence, as what was to be expected meanwhile; fades by the week."""
    late: int = 0
    """Thousandths of arrivals that are usually late."""
    unmapped: int = 0
    """Thousandths of scans that usually have unknown codes."""
    hours: int = 0
    """So many hours have told of these shares."""
    per_week: int = 0
    """Thousandths of an arrival in a whole week."""
    gaps: list[int] = msgspec.field(default_factory=lambda: [0] * HOURS)
    """The most arrivals that are usually missing at a time, in each hour of the week."""
    long_gaps: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(minute, what was to be expected) of the last gaps that were silences, or would have been."""
    zone: str = ""
    """The time zone by whose clocks the hours of the week are counted."""

    def rate(self, slot: int) -> int:
        """What to expect in an hour of the week, as far as it is known."""
        return 0 if slot == HOLIDAY else self.rates[slot]

    def move_to(self, zone: str, hour: int) -> None:
        """Its week is told by the clocks of another time zone: what was learned stays where it is in time. `hour`: now."""
        if zone == self.zone:
            return
        ahead = hours_between(self.zone, zone, hour) if self.zone else 0
        self.zone = zone
        for learned in (self.rates, self.known, self.left_out, self.gaps):
            learned[:] = [learned[(slot - ahead) % HOURS] for slot in range(HOURS)]

    def learn(self, slot: int, count: int) -> None:
        """An hour has closed in which so many came."""
        times = self.known[slot] = min(self.known[slot] + 1, _SETTLED)
        more = (count * 1_000 - self.rates[slot]) // times
        self.rates[slot] += more
        self.per_week += more
        self.left_out[slot] = 0

    def leave_out(self, slot: int, count: int) -> None:
        """An hour has closed that tells nothing, unless it is so each week."""
        if self.left_out[slot] >= _LEFT_OUT:
            self.known[slot] = 0
            self.learn(slot, count)
        else:
            self.left_out[slot] += 1

    def learn_shares(self, late: int, unmapped: int) -> None:
        """How many of the arrivals of an hour had something the matter with them, in thousandths."""
        self.hours = min(self.hours + 1, _USUAL_SHARE)
        self.late += (late - self.late) // self.hours
        self.unmapped += (unmapped - self.unmapped) // self.hours

    def learn_gap(self, expected: int) -> None:
        """It was heard again, and had not been silent."""
        self.longest_gap = max(self.longest_gap, expected)

    def note_long_gap(self, minute: int, expected: int) -> None:
        """It was heard again, and had been silent: usual, if there were three such gaps in three weeks."""
        recent = [gap for gap in self.long_gaps if minute - gap[0] <= _LONG_GAPS_MINUTES]
        if recent and minute - recent[-1][0] < _APART_MINUTES:
            began, before = recent.pop()  # a feed that stutters for a while is no three times
            minute, expected = began, max(before, expected)
        self.long_gaps = [*recent, (minute, expected)][-_MOST_LONG_GAPS:]
        if len(self.long_gaps) >= _USUAL_LONG_GAPS:
            self.learn_gap(sorted(gap for _, gap in self.long_gaps)[-_USUAL_LONG_GAPS])

    def learn_usual_gap(self, slot: int, expected: int) -> None:
        """An hour has closed in which so much was missing at most."""
        usual = self.gaps[slot]
        self.gaps[slot] = max(expected // ARRIVAL, usual - -(-usual // 4))

    def doubtful_gap(self, slot: int) -> int:
        """What is half more than usually missing in this hour of the week."""
        return self.gaps[slot] * ARRIVAL * 3 // 2

    def fade(self) -> None:
        """A day has passed."""
        self.longest_gap -= self.longest_gap // 32

    @property
    def twice_the_longest_gap(self) -> int:
        """What has to be expected in vain before a feed that sends in batches is silent."""
        return 2 * self.longest_gap
