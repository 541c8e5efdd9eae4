"""What a file of messages would become: its events or facts, what of it is dropped, and what is not understood."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from agents.adapters import Reader
from agents.message_files import MessageFile
from schemas.carrier_codes import CarrierCodes
from schemas.facts import ParcelFact, decode_parcel_fact
from schemas.field_words import looks_personal
from schemas.topics import MAX_RECORD_BYTES, InputKind
from schemas.vocabulary import Evidence, Milestone, TimeQuality
from streams.adapting import Adapter, Payload, ScanSeen
from streams.check_digits import doubts_of
from streams.facts_of_events import UNMAPPED, Chunk, FactMaker
from streams.facts_of_messages import MessageFacts
from streams.facts_of_payloads import PayloadFacts
from streams.intake import Acceptance
from streams.message_finding import shown
from streams.message_paths import Names, leaves, path_of, read_ways, tree_bytes
from streams.message_reading import Message, MessageSource, Told
from streams.payload_times import ReadTime
from streams.payload_tree import json_tree, unpacked, xml_tree
from streams.refusal import RefusalError

_LATE_MS = 4_102_444_800_000
"""2100: what says no time is not put before what does."""
_MOST_ASKED = 20
"""Messages in which a field that nothing reads is looked for."""
_NOT_SHOWN = frozenset({"type", "occurred_at", "return_id", "carrier", "tracking_number"})


class Row(NamedTuple):
    """One event of a message, as a person reads it."""

    type: str
    subject: str
    time: str
    quality: str
    fields: dict[str, str]


class Trial(NamedTuple):
    """What came of one message."""

    where: str
    rows: tuple[Row, ...]
    skipped: int
    not_understood: tuple[str, ...]


class Trials(NamedTuple):
    """What came of all of them."""

    trials: tuple[Trial, ...]
    dropped: tuple[str, ...]
    """Paths of fields that nothing reads."""
    personal: tuple[str, ...]
    """Those of them that look like personal data."""
    doubtful: tuple[str, ...]
    """What speaks against tracking numbers; they are read all the same."""

    @property
    def understood(self) -> bool:
        """Whether everything was."""
        return not any(one.not_understood for one in self.trials)


def tried(messages: Sequence[MessageFile], reader: Reader, codes: CarrierCodes) -> Trials:
    """Return what messages become."""
    arrived_ms = max((_latest_ms(each, reader) for each in messages), default=0)
    trials = tuple(_Trying(reader, codes, arrived_ms).of(each) for each in messages)
    dropped = [path_of(way) for way in _dropped(messages, reader)]
    personal = tuple(path for path in dropped if looks_personal(path))
    about = (key for one in trials for row in one.rows for key in row.subject.split(", "))
    doubtful = doubts_of(key for key in dict.fromkeys(about) if ":" in key)
    return Trials(trials, tuple(path for path in dropped if path not in personal), personal, tuple(doubtful))


def _read(value: bytes, reader: Reader) -> Message | Payload:
    return reader.read(value, _LATE_MS, MAX_RECORD_BYTES)


def _times(told: Message | Payload) -> list[ReadTime]:
    if isinstance(told, Message):
        return [one.time for one in told.told]
    return [scan.time for scans in told.histories for scan in scans]


def _latest_ms(message: MessageFile, reader: Reader) -> int:
    """When a message may have come at the earliest."""
    try:
        times = _times(_read(message.value, reader))
    except RefusalError:
        return 0
    return max((time.end_ms for time in times if time.written), default=0)


class _Trying:
    def __init__(self, reader: Reader, codes: CarrierCodes, arrived_ms: int) -> None:
        accept = Acceptance()
        self._reader, self._codes, self._arrived_ms = reader, codes, arrived_ms
        self._maker = FactMaker(codes, accept.max_future, accept.max_past)
        self._messages = MessageFacts(self._maker)
        self._payloads = PayloadFacts(codes, self._maker, accept.max_future, accept.max_past)

    def of(self, message: MessageFile) -> Trial:
        """Return what comes of one message."""
        try:
            told = self._reader.read(message.value, self._arrived_ms, MAX_RECORD_BYTES)
        except RefusalError as refusal:
            return Trial(message.where, (), 0, (f"{refusal.reason.value}: {refusal.detail}",))
        if isinstance(told, Message):
            rows, doubts = self._of_message(told)
            skipped = told.skipped
        else:
            rows, doubts = self._of_payload(told)
            skipped = told.errors + told.empty
        doubts += [f"{one.reason.value}: {one.detail}" for one in told.troubles]
        return Trial(message.where, tuple(rows), skipped, tuple(doubts))

    def _chunk(self) -> Chunk:
        return Chunk(InputKind.WAREHOUSE.value, "test", 0, self._arrived_ms, self._arrived_ms)

    def _of_message(self, message: Message) -> tuple[list[Row], list[str]]:
        rows, doubts = [], list[str]()
        for one in message.told:
            chunk = self._chunk()
            trouble = self._messages.add(chunk, Message([one], 0, []), 0)
            if trouble is not None:
                doubts.append(f"{trouble.reason.value}: {trouble.detail}")
                continue
            rows.append(self._row(one, chunk))
            if any(name == UNMAPPED for name, _ in chunk.counters):
                doubts.append(f"unmapped: code {one.fields.get('code', '')!r} of {one.fields['carrier']}")
        return rows, doubts

    def _row(self, one: Told, chunk: Chunk) -> Row:
        subject = ", ".join(dict.fromkeys(key.decode("utf-8", "replace") for _, key, _ in chunk.facts))
        fields = {name: _text(value) for name, value in one.fields.items() if name not in _NOT_SHOWN}
        if one.type == "carrier_scan":
            fields = {"proves": _proves(decode_parcel_fact(chunk.facts[0][2])), **fields}
            fields.pop("text", None)  # free text goes no further than this
        return Row(one.type, subject, _at(one.time, one.time.end_ms), _quality(one.time), fields)

    def _of_payload(self, payload: Payload) -> tuple[list[Row], list[str]]:
        rows, doubts = [], list[str]()
        assert isinstance(self._reader, Adapter)  # only adapters read payloads
        for scans in payload.histories:
            for scan in scans:
                chunk = self._chunk()
                self._payloads.add(
                    chunk, Payload([[scan]], 0, 0, []), self._reader.name, history=True, offset=0
                )
                for _, key, value in chunk.facts:
                    rows.append(_scan_row(scan, key.decode("utf-8", "replace"), decode_parcel_fact(value)))
                if any(name == UNMAPPED for name, _ in chunk.counters):
                    doubts.append(_unmapped(scan, self._codes))
        return rows, doubts


def _scan_row(scan: ScanSeen, key: str, fact: ParcelFact) -> Row:
    fields = {"proves": _proves(fact)}
    code = next((code.code for code in scan.codes if code.code), "")
    fields |= {name: text for name, text in (("code", code), ("place", fact.place)) if text}
    return Row("carrier_scan", key, _at(scan.time, fact.occurred_ms), _quality(scan.time), fields)


def _unmapped(scan: ScanSeen, codes: CarrierCodes) -> str:
    carrier = codes.carrier(scan.seen_by)
    asked = [f"{one.api}, {one.type}, {one.code!r}" for one in scan.codes if one.code]
    asked = asked or [f"{one.api}, {one.type}, the text alone ({shown(scan.text)})" for one in scan.codes]
    return f"unmapped: no row of {carrier} has {' or '.join(asked)}"


def _proves(fact: ParcelFact) -> str:
    return f"{Milestone(fact.milestone).name.lower()} by {Evidence(fact.evidence).name.lower()}"


def _at(time: ReadTime, ms: int) -> str:
    if not time.written:
        return "on arrival"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _quality(time: ReadTime) -> str:
    return TimeQuality(time.quality).name.lower()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(_text(part) for part in value.values())
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _dropped(messages: Sequence[MessageFile], reader: Reader) -> list[Names]:
    """The ways to fields that no message was read by, in the order in which they come."""
    seen: dict[Names, int] = {}
    read = set[Names]()
    for message in messages:
        try:
            tree, is_json = _tree(message.value)
        except RefusalError:
            continue
        here = {way for way, _ in leaves(tree)}
        asked = {way for way in here if way not in read and seen.get(way, 0) < _MOST_ASKED}
        for way, _ in leaves(tree):
            seen.setdefault(way, 0)
        for way in asked:
            seen[way] += 1

        def outcome(changed: Any, is_json: bool = is_json) -> object:
            try:
                told = _read(tree_bytes(changed, is_json=is_json), reader)
            except RefusalError as refusal:
                return refusal.reason, refusal.detail
            if isinstance(told, Message):
                return [(one.type, one.fields, one.time) for one in told.told], told.skipped, told.troubles
            return told

        read |= read_ways(tree, outcome, asked)
    return [way for way in seen if way not in read]


def _tree(value: bytes) -> tuple[Any, bool]:
    """Return a message as a tree, and whether it was JSON. Raises RefusalError."""
    body = unpacked(value, MAX_RECORD_BYTES)
    is_json = body.lstrip()[:1] in {b"{", b"["}
    return (json_tree(body) if is_json else xml_tree(body)), is_json


def tree_of(message: MessageFile) -> tuple[Any, bool]:
    """Return a message as a tree, and whether it was JSON. Raises RefusalError."""
    return _tree(message.value)


def source_reads(reader: Reader, message: MessageFile) -> bool:
    """Whether a reader finds events in a message, and nothing that it does not understand."""
    try:
        told = _read(message.value, reader)
    except RefusalError:
        return False
    if isinstance(reader, MessageSource):
        assert isinstance(told, Message)  # sources read messages
        return bool(told.told) and not told.troubles
    return bool(_times(told)) and not told.troubles
