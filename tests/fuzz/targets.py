"""What is fuzzed, and what has to hold whatever bytes come: a function for each target, which raises where it does not.

Some bytes of an input choose (a kind of topic, an adapter), up to the first line's end; the rest is what came.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from schemas.adapter_loading import shipped_adapter, shipped_adapters
from schemas.adapter_paths import asks_around, compile_path
from schemas.carrier_codes import load_carrier_codes
from schemas.envelopes import CHAINS
from schemas.facts import FORGET_KEY, decode_parcel_fact, decode_return_record
from schemas.source_checks import kinds_of, load_source, shipped_source, shipped_sources
from schemas.source_files import SourceFile
from schemas.topics import InputKind
from streams.adapting import MAX_EVENTS, Adapter
from streams.envelope import open_envelope, open_payload
from streams.intake import Intake, IntakeMapper
from streams.message_reading import MessageSource
from streams.refusal import RefusalError
from streams.registered_schemas import AVRO, JSON, PROTOBUF, Registered, reader_of
from streams.topic_envelopes import TopicEnvelope
from streams.wire_format import Unusable
from tests.envelopes import AVRO_SCAN as SCHEMA
from tests.envelopes import scan_file
from tests.input_events import NOON_MS, Record, command, dock, label, order, scan

GOOD: Final[Mapping[InputKind, dict[str, Any]]] = {
    InputKind.CARRIER_SCANS: scan(),
    InputKind.LABELS: label(),
    InputKind.ORDERS: order("return_approved"),
    InputKind.WAREHOUSE: dock("restocked", return_id="R1"),
    InputKind.COMMANDS: command("acknowledge"),
}
KINDS: Final = tuple(GOOD)
WIRING: Final = Path(__file__).parents[2] / "docs/examples/wiring"
MOST_FACTS: Final = 100
"""Of one event: a label that carries as many returns as the contract allows."""
T = TypeVar("T")


class WrongError(AssertionError):
    """What had to hold does not."""


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise WrongError(what)


def decode(data: bytes) -> None:
    """A record of the contract: taken or refused, the same each time, and at no cost of the records beside it."""
    chosen, value = _chosen(data)
    kind = KINDS[sum(chosen) % len(KINDS)]
    good = json.dumps(GOOD[kind]).encode()
    _among_good_ones(_mapper(), kind, kind.value, value, good)


def adapters(data: bytes) -> None:
    """A payload on a topic with an adapter: as above, and never more facts than events may be in a payload."""
    chosen, value = _chosen(data)
    names = shipped_adapters()
    name = chosen.decode("ascii", "replace")
    topic = name if name in names else names[sum(chosen) % len(names)]
    taken = _among_good_ones(_mapper(), InputKind.CARRIER_SCANS, topic, value, None)
    _must(len(taken.facts) <= MAX_EVENTS, "more facts than events")


def messages(data: bytes) -> None:
    """A user's own message on a topic with a source."""
    chosen, value = _chosen(data)
    names = tuple(_sources())
    name = chosen.decode("ascii", "replace")
    topic = name if name in names else names[sum(chosen) % len(names)]
    kind = next(iter(kinds_of(_sources()[topic])))
    taken = _among_good_ones(_mapper(), kind, topic, value, None)
    _must(len(taken.facts) <= MOST_FACTS * MAX_EVENTS, "more facts than events")


def envelope(data: bytes) -> None:
    """Headers and a value: opened, or refused with a reason."""
    named, value = _headers(data)
    opened = _or_refused(lambda: open_envelope(value, named))
    _must(opened is None or isinstance(opened.value, bytes), "an envelope holds bytes")
    payload = _or_refused(lambda: open_payload(value, named))
    _must(payload is None or isinstance(payload, bytes), "an envelope holds bytes")
    _among_good_ones(_mapper(), InputKind.CARRIER_SCANS, "carrier-scans", value, None, named)


def wrapped(data: bytes) -> None:
    """A record in a said envelope, by schemas that are there; or a schema, and data of it."""
    chosen, value = _chosen(data)
    chain, *headers = chosen.split(b"|")
    if chain == b"avro":
        schema, _, body = value.partition(b"\n")
        known = reader_of(Registered(7, AVRO, schema.decode("utf-8", "replace")))
        if not isinstance(known, Unusable):
            _or_refused(lambda: known(body))
        return
    names = tuple(CHAINS)
    name = chain.decode("ascii", "replace")
    topic = name if name in CHAINS else names[sum(chain) % len(names)]
    named = [("id", headers[0]), *(("eventType", one) for one in headers[1:])] if headers else []
    _among_good_ones(_wrapped_mapper(), InputKind.CARRIER_SCANS, topic, value, None, named)


def expressions(data: bytes) -> None:
    """A path and a document: found is what JMESPath itself finds, however we went there."""
    chosen, value = _chosen(data)
    try:
        path, document = chosen.decode(), msgspec.json.decode(value)
        find = compile_path(path)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return
    except ValueError as taught:
        _must(bool(str(taught)), "an error has to say what is wrong")
        return
    found = find(document)
    if asks_around(path):
        return
    try:
        expected = jmespath.search(path.strip(), document)
    except JMESPathError:
        expected = None
    _must(_same(found, expected), f"{path!r} finds {found!r}, JMESPath {expected!r}")


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "adapters": adapters,
    "decode": decode,
    "envelope": envelope,
    "expressions": expressions,
    "messages": messages,
    "wrapped": wrapped,
}


@cache
def _mapper() -> IntakeMapper:
    readers: dict[str, Adapter | MessageSource] = {
        name: Adapter(shipped_adapter(name)) for name in shipped_adapters()
    }
    readers |= {name: MessageSource(file) for name, file in _sources().items()}
    return IntakeMapper(load_carrier_codes(), adapters=readers)


@cache
def _sources() -> Mapping[str, SourceFile]:
    """The shipped ones, and those of the page about wiring."""
    files = {name: shipped_source(name) for name in shipped_sources()}
    for name in ("orders", "warehouse"):
        path = WIRING / f"{name}.yaml"
        files[name] = load_source(path.read_text(encoding="utf-8"), path.name)
    return files


@cache
def _wrapped_mapper() -> IntakeMapper:
    envelopes = {chain: TopicEnvelope(layers) for chain, layers in CHAINS.items()}
    schemas = {
        1: reader_of(Registered(1, AVRO, json.dumps(SCHEMA))),
        2: reader_of(Registered(2, JSON, "{}")),
        3: reader_of(Registered(3, PROTOBUF, b64encode(scan_file().SerializeToString()).decode())),
        4: reader_of(Registered(4, AVRO, '"string"')),
    }
    return IntakeMapper(load_carrier_codes(), envelopes=envelopes, schemas=schemas)


def _among_good_ones(
    mapper: IntakeMapper,
    kind: InputKind,
    topic: str,
    value: bytes,
    good: bytes | None,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Intake:
    """Take a record in between two good ones, and by itself; returns what came of it by itself."""

    def take(*records: Record) -> Intake:
        return mapper.map_chunk(records, kind, NOON_MS, topic=topic, partition=0)

    one = Record(value, 1, list(headers), b"key")
    alone = take(one)
    _must(alone == take(one), "the same record was read in two ways")
    _must(bool(alone.facts or alone.refused or alone.counters), "nothing tells of a record")
    _must(len(alone.refused) <= 1, "a record was refused twice")
    for stage, key, fact in alone.facts:
        _must(bool(key), "a fact without a key")
        if stage == "parcels" and key != FORGET_KEY:
            decode_parcel_fact(fact)
        elif stage == "returns":
            decode_return_record(fact)
    if good is not None:
        before, after = take(Record(good, 0)), take(Record(good, 2))
        among = take(Record(good, 0), one, Record(good, 2))
        _must(among.facts == [*before.facts, *alone.facts, *after.facts], "records beside it came to harm")
    return alone


def _or_refused(opened: Callable[[], T]) -> T | None:
    try:
        return opened()
    except RefusalError as refusal:
        _must(bool(refusal.detail), "a refusal has to say why")
        return None


def _chosen(data: bytes) -> tuple[bytes, bytes]:
    chosen, _, rest = data.partition(b"\n")
    return chosen, rest


def _headers(data: bytes) -> tuple[list[tuple[str, bytes | None]], bytes]:
    """Lines of `name: value`, an empty one, and the record's value."""
    head, _, value = data.partition(b"\n\n")
    named: list[tuple[str, bytes | None]] = []
    for line in head.split(b"\n") if head else []:
        name, colon, content = line.partition(b": ")
        named.append((name.decode("utf-8", "replace"), content if colon else None))
    return named, value


def _same(found: Any, expected: Any) -> bool:
    """Whether two values are the same, with their types."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(_same(found[name], expected[name]) for name in found)
    if not isinstance(found, str | int | float | None):
        return True  # `&a`, which is no value of a document
    return bool(found == expected)
