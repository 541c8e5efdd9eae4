"""Parcels of two carriers, one of whose feeds goes quiet for a day: what happens, what arrives when, and what is truly wrong.

It knows nothing of how Returnwatch decides. What happens to a parcel is drawn first; when it becomes known follows from the
outage; `wrong` says by the letter of the rules what happened too late or never, whatever was known when.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from agents.scenario_events import API
from schemas.facts import Arrivals
from schemas.topics import InputKind

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MONDAY = 1_767_571_200_000
"""Monday 2026-01-05 00:00 UTC."""
ALLOWANCE = 30 * MINUTE
FIRST_SCAN, SILENCE = 72 * HOUR + ALLOWANCE, 5 * DAY + ALLOWANCE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_DAY = (8, 10, 10, 10, 9, 3, 1)
_BY_HOUR = (0, 0, 0, 0, 1, 4, 8, 10, 10, 9, 8, 7, 7, 8, 9, 10, 9, 8, 6, 3, 1, 0, 0, 0)


def rate(at_ms: int) -> int:
    """Of 100, how busy a carrier is at this time: much by day, nothing by night, little at the weekend."""
    hours = (at_ms - MONDAY) // HOUR
    return _BY_DAY[hours // 24 % 7] * _BY_HOUR[hours % 24]


class Happening(NamedTuple):
    """An event: when it happens, when it is known, and what it says."""

    known_ms: int
    kind: InputKind
    value: bytes


@dataclass
class Outage:
    """When a carrier's feed is quiet, and over how long its backlog comes in then."""

    carrier: str
    begin_ms: int
    end_ms: int
    backlog_ms: int = 40 * MINUTE

    def known_ms(self, carrier: str, at_ms: int, delay_ms: int) -> int:
        """When what happens is known."""
        known_ms = at_ms + delay_ms
        if carrier != self.carrier or not self.begin_ms <= known_ms < self.end_ms:
            return known_ms
        through = (known_ms - self.begin_ms) / (self.end_ms - self.begin_ms)
        return self.end_ms + int(through * self.backlog_ms)


@dataclass
class OutageWorld:
    """See the head of this file."""

    outage: Outage
    until_ms: int
    seed: int = 1
    happenings: list[Happening] = field(default_factory=list)
    wrong: set[tuple[str, str]] = field(default_factory=set)
    """(rule, return) of everything that was truly too late, by the end."""
    due_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    saved: Counter[str] = field(default_factory=Counter)
    """Rule -> what came in time, and was not known by its deadline, for the feed was quiet."""

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._number = 0

    def parcel(self, carrier: str, label_ms: int, first_ms: int | None, gaps: list[int]) -> None:
        """A parcel with a label, a first scan so much later (None: never), and scans so long after each other."""
        self._number += 1
        number, return_id = f"{carrier[:3]}{self._number:07}".upper(), f"R{self._number:07}"
        about = {"carrier": carrier, "tracking_number": number}
        said = {"return_ids": [return_id], "value": {"amount": "40.00", "currency": "EUR"}}
        self._tell(label_ms, label_ms + MINUTE, InputKind.LABELS, {"type": "label_created", **about, **said})
        if first_ms is None:
            self._waited(carrier, "missing_first_scan", return_id, label_ms + FIRST_SCAN, None, None)
            return
        at_ms = label_ms + first_ms
        known_ms = self._scan(about, at_ms, "accepted")
        self._waited(carrier, "missing_first_scan", return_id, label_ms + FIRST_SCAN, at_ms, known_ms)
        for index, gap in enumerate(gaps):
            due_ms = at_ms + SILENCE
            at_ms += gap
            last = index == len(gaps) - 1
            known_ms = self._scan(about, at_ms, "delivered" if last else "in_transit", place=f"Hub {index}")
            self._waited(carrier, "stalled_silent", return_id, due_ms, at_ms, known_ms)
        if not gaps:
            self._waited(carrier, "stalled_silent", return_id, at_ms + SILENCE, None, None)

    def _waited(
        self, carrier: str, rule: str, return_id: str, due_ms: int, at_ms: int | None, known_ms: int | None
    ) -> None:
        if due_ms > self.until_ms:
            return
        if at_ms is None or at_ms > due_ms:
            self.wrong.add((rule, return_id))
            self.due_ms[rule, return_id] = due_ms
        elif known_ms is not None and known_ms > due_ms and carrier == self.outage.carrier:
            self.saved[rule] += 1

    def _scan(self, about: dict[str, str], at_ms: int, milestone: str, place: str = "Lyon") -> int:
        known_ms = self.outage.known_ms(about["carrier"], at_ms, self._random.randrange(20) * MINUTE)
        event = {
            "type": "carrier_scan",
            **about,
            "api": API,
            "code_type": "carrier_scan",
            "code": milestone,
            "place": {"country": "FR", "city": place},
        }
        self._tell(at_ms, known_ms, InputKind.CARRIER_SCANS, event)
        return known_ms

    def _tell(self, at_ms: int, known_ms: int, kind: InputKind, event: Mapping[str, object]) -> None:
        at = {"id": f"e{len(self.happenings)}", "occurred_at": _iso(at_ms)}
        self.happenings.append(Happening(known_ms, kind, json.dumps({**event, **at}).encode()))

    def lives(self, carrier: str, count: int, from_ms: int, to_ms: int) -> None:
        """Parcels whose labels are made between two times: most travel as they should, some late, some never."""
        draw = self._random
        for _ in range(count):
            label_ms = draw.randrange(from_ms, to_ms, MINUTE)
            fate = draw.random()
            first = _apart(draw, 2 * HOUR, 3 * DAY, FIRST_SCAN)
            gaps = [_apart(draw, 6 * HOUR, 2 * DAY, SILENCE) for _ in range(draw.randrange(2, 5))]
            if fate < 0.01:
                self.parcel(carrier, label_ms, None, [])
            elif fate < 0.02:
                self.parcel(carrier, label_ms, FIRST_SCAN + draw.randrange(HOUR, 2 * DAY, MINUTE), gaps)
            elif fate < 0.03:
                self.parcel(carrier, label_ms, first, [])
            elif fate < 0.35:
                self.parcel(carrier, label_ms, _apart(draw, 2 * DAY, FIRST_SCAN, FIRST_SCAN), gaps)
            elif fate < 0.60:
                self.parcel(carrier, label_ms, first, [_apart(draw, 4 * DAY, SILENCE, SILENCE), *gaps])
            else:
                self.parcel(carrier, label_ms, first, gaps)

    def background(self, carrier: str, from_ms: int, to_ms: int, busy: int) -> Iterator[tuple[int, Arrivals]]:
        """What else comes of a carrier, minute by minute, when it is `busy` scans an hour at its busiest."""
        for at_ms in range(from_ms, to_ms, MINUTE):
            if carrier == self.outage.carrier and self.outage.begin_ms <= at_ms < self.outage.end_ms:
                continue
            wanted = busy * rate(at_ms) / 100 / 60
            count = int(wanted) + (self._random.random() < wanted % 1)
            if count:
                yield at_ms, Arrivals(count)


def _apart(draw: Random, least: int, most: int, limit: int) -> int:
    """A time in whole minutes that is in time or late by more than half an hour: feeds are up to twenty minutes late."""
    while True:
        drawn = draw.randrange(least, most, MINUTE)
        if abs(drawn - limit) > ALLOWANCE + 20 * MINUTE:
            return drawn


def _iso(at_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat()
