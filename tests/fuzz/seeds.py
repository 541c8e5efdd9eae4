"""What fuzzing begins with: records and payloads as they should be, and what earlier runs have kept."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fuzz.targets import GOOD
from tests.golden_payloads import goldens

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
    if target == "adapters":
        for golden in goldens():
            yield golden.adapter.encode() + b"\n" + golden.file.read_bytes()
    elif target == "decode":
        for number, event in enumerate(GOOD.values()):
            yield bytes([number]) + b"\n" + json.dumps(event).encode()
    elif target == "envelope":
        for event in GOOD.values():
            structured = json.dumps({**_CLOUD_EVENT, "data": event}).encode()
            yield b"content-type: application/cloudevents+json\n\n" + structured
            attributes = "".join(f"ce_{name}: {value}\n" for name, value in _CLOUD_EVENT.items())
            yield attributes.encode() + b"\n" + json.dumps(event).encode()
    else:
        for path in _PATHS:
            yield path.encode() + b"\n" + _DOCUMENT


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
