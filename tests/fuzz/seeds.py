"""What fuzzing begins with: records and payloads as they should be, and what earlier runs have kept."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.envelopes import AVRO_SCAN, framed, written
from tests.fuzz.targets import GOOD, WIRING
from tests.golden_payloads import FOLDER, goldens
from tests.input_events import scan

CORPUS = Path(__file__).with_name("corpus")
_CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "//shop", "type": "carrier_scan"}
_PATHS = (
    "a.b",
    "a || b.c",
    '"$document".a',
    "a[].b",
    "a[?b=='c'] | [0]",
    "[a, b]",
    "{a: b}",
    "!(a.b)",
    "a >= `4`",
    "join('/', [a, b])",
    "@",
    "to_number(a)",
    "a[0:2].b",
)
_DOCUMENT = b'{"a": {"b": [1, "2", null, {"c": "d"}]}, "b": {"c": false}, "c": 4}'


def seeds(target: str) -> Iterator[bytes]:
    """Yield what a target begins with when nothing has been kept."""
    yield from _SEEDS[target]()


def _adapters() -> Iterator[bytes]:
    for golden in goldens():
        yield golden.adapter.encode() + b"\n" + golden.file.read_bytes()


def _decode() -> Iterator[bytes]:
    for number, event in enumerate(GOOD.values()):
        yield bytes([number]) + b"\n" + json.dumps(event).encode()


def _envelope() -> Iterator[bytes]:
    for event in GOOD.values():
        structured = json.dumps({**_CLOUD_EVENT, "data": event}).encode()
        yield b"content-type: application/cloudevents+json\n\n" + structured
        attributes = "".join(f"ce_{name}: {value}\n" for name, value in _CLOUD_EVENT.items())
        yield attributes.encode() + b"\n" + json.dumps(event).encode()


def _expressions() -> Iterator[bytes]:
    for path in _PATHS:
        yield path.encode() + b"\n" + _DOCUMENT


def _messages() -> Iterator[bytes]:
    for file in sorted((FOLDER / "sources").glob("*/*.json")):
        yield file.parent.name.encode() + b"\n" + file.read_bytes()
    for name in ("orders", "warehouse"):
        for line in (WIRING / f"{name}.jsonl").read_bytes().splitlines():
            yield name.encode() + b"\n" + line


def _wrapped() -> Iterator[bytes]:
    row = scan()
    change = {"before": None, "after": row, "source": {"table": "scans"}, "op": "c", "ts_ms": 1}
    struct = {
        "type": "struct",
        "fields": [{"type": "int64", "name": "io.debezium.time.Date", "field": "code"}],
    }
    schema = {"type": "struct", "fields": [struct | {"field": "after"}]}
    for one in (row, change, {"schema": schema, "payload": change}, {"schema": struct, "payload": row}):
        yield b"debezium\n" + json.dumps(one).encode()
    event = {"schema": None, "payload": json.dumps({**_CLOUD_EVENT, "data": row})}
    for payload in (row, json.dumps(row), event):
        yield b"outbox|row-1|carrier_scan\n" + json.dumps(payload).encode()
    data = written(AVRO_SCAN, row | {"occurred_at": datetime(2026, 3, 2, tzinfo=UTC)})
    yield b"confluent\n" + framed(1, data)
    yield b"confluent+debezium\n" + framed(2, json.dumps(change).encode())
    yield b"confluent\n" + framed(3, b"\x02\x02\x22\x03ups")
    yield b"confluent+outbox|row-1|carrier_scan\n" + framed(4, written("string", json.dumps(row)))
    yield b"avro\n" + json.dumps(AVRO_SCAN).encode() + b"\n" + data


_SEEDS: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    "adapters": _adapters,
    "decode": _decode,
    "envelope": _envelope,
    "expressions": _expressions,
    "messages": _messages,
    "wrapped": _wrapped,
}


def kept(target: str) -> Iterator[bytes]:
    """Yield what earlier runs have kept: a line each, in Base64."""
    file = _file(target)
    for line in file.read_text(encoding="ascii").splitlines() if file.exists() else []:
        yield b64decode(line)


def keep(target: str, inputs: Iterable[bytes]) -> int:
    """Write the corpus of a target anew, the shortest first; returns how many inputs it has."""
    lines = sorted({b64encode(one).decode() for one in inputs}, key=lambda line: (len(line), line))
    CORPUS.mkdir(exist_ok=True)
    _file(target).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    return len(lines)


def _file(target: str) -> Path:
    return CORPUS / f"{target}.txt"
