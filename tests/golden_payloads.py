"""Our own payloads in the shape of each API (tests/golden/), and the timelines that a person read from them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from schemas.adapter_loading import shipped_adapter
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact
from schemas.vocabulary import Evidence, Milestone, TimeQuality
from streams.adapting import Adapter
from streams.intake import ANSWERS, Intake, IntakeMapper

FOLDER = Path(__file__).parent / "golden"
ARRIVED_MS = int(datetime(2026, 3, 31, 12, tzinfo=UTC).timestamp() * 1000)
TIMELINE = ".timeline.yaml"


class PayloadRecord(NamedTuple):
    """A record as the transport hands it over."""

    value: bytes | None
    key: bytes | None = None
    offset: int = 1
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Golden(NamedTuple):
    """One payload and its timeline."""

    adapter: str
    file: Path
    timeline: dict[str, Any]

    def record(self) -> PayloadRecord:
        """The payload as a record."""
        key = self.timeline.get("key")
        return PayloadRecord(self.file.read_bytes(), str(key).encode() if key else None)


def goldens() -> Iterator[Golden]:
    """Every payload, in the order of the folders."""
    yaml = YAML(typ="safe")
    for timeline in sorted(FOLDER.glob(f"*/*{TIMELINE}")):
        (file,) = (
            other
            for other in timeline.parent.glob(timeline.name.removesuffix(TIMELINE) + ".*")
            if other != timeline
        )
        yield Golden(timeline.parent.name, file, yaml.load(timeline.read_text(encoding="utf-8")))


def mapper(*adapters: str) -> IntakeMapper:
    """An intake whose topics are called like the adapters that read them."""
    return IntakeMapper(
        load_carrier_codes(), adapters={name: Adapter(shipped_adapter(name)) for name in adapters}
    )


def taken(intake: IntakeMapper, topic: str, *records: PayloadRecord, arrived_ms: int = ARRIVED_MS) -> Intake:
    """What intake makes of records."""
    return intake.map_chunk(list(records), "carrier-scans", arrived_ms, topic=topic, partition=0)


def timelines(result: Intake) -> dict[str, list[str]]:
    """Parcel -> its facts, one line each, in the order of their times; the same fact once."""
    lines: dict[str, dict[int, str]] = {}
    for _, key, value in result.facts:
        fact = decode_parcel_fact(value)
        at = datetime.fromtimestamp(fact.occurred_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = f"{at} {Milestone(fact.milestone).name} {Evidence(fact.evidence).name} {TimeQuality(fact.quality).name}".lower()
        known = lines.setdefault(key.decode(), {})
        known[fact.identity] = (
            f"{at} retracted" if fact.retracts else told.replace("t", "T", 1).replace("z ", "Z ", 1)
        )
    return {key: sorted(known.values()) for key, known in lines.items()}


def answers(result: Intake) -> tuple[int, int]:
    """How many errors and empty histories."""
    return result.counters.get((ANSWERS, "error"), 0), result.counters.get((ANSWERS, "empty"), 0)
