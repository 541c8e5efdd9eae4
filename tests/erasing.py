"""A shop in virtual time of which returns are forgotten, for tests: all that it keeps and says can be searched."""

import json
import zlib
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from agents.virtual_time import InputRecord, VirtualTime, answers_of, escalations_of
from schemas.carrier_codes import load_carrier_codes
from schemas.command_answers import CommandAnswer
from schemas.events import KIND_OF_TYPE
from schemas.outputs import Escalation
from schemas.policy import Policy
from streams.intake import IntakeMapper
from streams.partition import Outgoing
from tests.stages import DAY, MONDAY, only

START = datetime.fromisoformat("2026-01-05T00:00:00+00:00")


def event(event_type: str, day: float, **fields: Any) -> dict[str, Any]:
    """An event of a type, `day` days after the start."""
    at = (START + timedelta(days=day)).isoformat()
    number = zlib.crc32(repr((event_type, day, sorted(fields.items()))).encode())
    return {"type": event_type, "id": f"E{number}", "occurred_at": at, **fields}


def parcel(event_type: str, day: float, number: str, **fields: Any) -> dict[str, Any]:
    return event(event_type, day, carrier="ups", tracking_number=number, **fields)


def forget(return_id: str, day: float, *, command_id: str = "F1", by: str = "dpo-1") -> dict[str, Any]:
    told = event("forget", day, return_id=return_id, by=by, reason="data_subject_request")
    return {**told, "id": command_id}


class Erasing:
    """See the head of this file. Everything is told at its own time, and time may be moved on."""

    def __init__(self, policy: Policy | None = None, partitions: int = 2) -> None:
        self.engine = VirtualTime(
            (policy or only()).to_log(),
            partitions=partitions,
            mapper=IntakeMapper(load_carrier_codes(), salt="of this test"),
        )
        self._numbers: Counter[str] = Counter()
        self.said: list[Outgoing] = []
        self._heard = 0

    def tell(self, *events: dict[str, Any], at_day: float | None = None) -> None:
        """Append events, each when it happened, or all of them at a later time."""
        for one in events:
            happened = (datetime.fromisoformat(one["occurred_at"]) - START) / timedelta(days=1)
            day = happened if at_day is None else at_day
            kind = KIND_OF_TYPE[one["type"]]
            record = InputRecord(self._numbers[kind], json.dumps(one).encode())
            self._numbers[kind] += 1
            intake = self.engine.append([record], kind, MONDAY + int(day * DAY))
            assert not intake.refused

    def reach(self, day: float) -> None:
        """The watermarks come to this time."""
        # What parcels tell on the way waits in `returns` until the next marker.
        for _ in range(2):
            self.engine.advance(MONDAY + int(day * DAY))
        self.said += self.engine.said()

    def heard(self) -> list[Outgoing]:
        """What was said since the last call."""
        said, self._heard = self.said[self._heard :], len(self.said)
        return said

    def news(self) -> list[Escalation]:
        return escalations_of(self.heard())

    def answers(self) -> list[CommandAnswer]:
        return answers_of(self.heard())

    def kept(self) -> dict[bytes, bytes]:
        """All states, hidden ones among them."""
        return self.engine.states("parcels") | self.engine.states("returns")

    def cases(self) -> dict[bytes, bytes]:
        """What a compacted `cases` holds."""
        newest = {out.key: out.value for out in self.said if out.topic == "cases"}
        return {key: value for key, value in newest.items() if value is not None}

    def traces_of(self, *names: str) -> list[bytes]:
        """Whatever still holds one of the names."""
        rows = [key + value for key, value in (self.kept() | self.cases()).items()]
        return [row for row in rows for name in names if name.encode() in row]
