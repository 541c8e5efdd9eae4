"""Reads a carrier's payload as its adapter file says: which parcels it is about, and what happened to each of them.

Pure and the same for every API: what differs is data (schemas/adapter_files.py). A payload is read as far as it can be read:
what cannot, is told by its place in it, and the rest counts. Free text is looked at by the carrier tables and goes no further.
"""

from typing import Final, NamedTuple

from schemas.adapter_files import AdapterFile
from schemas.adapter_paths import compile_path
from schemas.vocabulary import DeadLetterReason
from streams.payload_finding import (
    MAX_TEXT_CHARS,
    CodeSeen,
    Scope,
    carrier_of,
    code_of,
    direction_of,
    first_text,
    place_of,
    seen_by_of,
    steps_of,
    time_of,
    truth,
    walk_steps,
)
from streams.payload_times import ReadTime, at_arrival
from streams.payload_tree import json_tree, unpacked, xml_tree
from streams.refusal import RefusalError

__all__ = ["MAX_EVENTS", "MAX_PACKAGES", "Adapter", "CodeSeen", "Payload", "ScanSeen", "Trouble"]

MAX_PACKAGES: Final = 500
MAX_EVENTS: Final = 2000
"""Of one payload; with more it is refused whole."""
_MAX_KEY_CHARS = 128
_SHOWN_TROUBLES = 3


class ScanSeen(NamedTuple):
    """One event of a parcel's history."""

    carrier: str
    """Whose parcel it is, as the payload or the file names it."""
    seen_by: str
    """Whose tables are asked: another carrier where one hands the parcel on."""
    number: str
    codes: tuple[CodeSeen, ...]
    text: str
    time: ReadTime
    direction: str
    place: tuple[str, str, str, str]
    """Country, city, postal code, site."""
    event_id: str
    retracted: bool


class Trouble(NamedTuple):
    """What could not be read: why, and where; names places in the payload, never contents."""

    reason: DeadLetterReason
    detail: str


class Payload(NamedTuple):
    """What a payload tells."""

    histories: list[list[ScanSeen]]
    """One for each parcel that has events."""
    errors: int
    """Parcels, or the whole payload, with an error or a "not found" in place of a history."""
    empty: int
    """Parcels without any event yet."""
    troubles: list[Trouble]

    def trouble(self) -> Trouble | None:
        """All that could not be read, as one; None: everything was."""
        if not self.troubles:
            return None
        shown = "; ".join(trouble.detail for trouble in self.troubles[:_SHOWN_TROUBLES])
        more = len(self.troubles) - _SHOWN_TROUBLES
        return Trouble(self.troubles[0].reason, f"{shown}; and {more} more" if more > 0 else shown)


class Adapter:
    """An adapter file, ready to read payloads."""

    def __init__(self, file: AdapterFile) -> None:
        self.name = file.adapter
        self.tells_history = file.tells == "history"
        self._is_json = file.format == "json"
        self._expects = [compile_path(path) for path in file.expects]
        self._error = truth(file.error)
        self._packages, self._events = steps_of(file.packages), steps_of(file.events)
        self._number = first_text(file.package.number, _MAX_KEY_CHARS + 1)
        self._package_error = truth(file.package.error)
        self._carrier, self._direction = carrier_of(file), direction_of(file)
        self._event = _EventReader(file)

    def read(self, value: bytes, arrived_ms: int, max_bytes: int, key: bytes | None = None) -> Payload:
        """Return what a payload tells; `key`: the record's. Raises RefusalError if it is none of this API, or too large."""
        body = unpacked(value, max_bytes)
        tree = json_tree(body) if self._is_json else xml_tree(body)
        whole = Scope(tree, None, None, tree, (key or b"").decode("utf-8", "replace"))
        if self._error is not None and self._error(whole):
            return Payload([], 1, 0, [])
        if all(path(tree) is None for path in self._expects):
            detail = f"nothing that {self.name} payloads have was found in it"
            raise RefusalError(DeadLetterReason.UNKNOWN_SHAPE, detail)
        packages = walk_steps(self._packages, whole, MAX_PACKAGES, f"{MAX_PACKAGES} packages")
        histories: list[list[ScanSeen]] = []
        troubles: list[Trouble] = []
        errors, empty, left = 0, int(not packages), MAX_EVENTS
        for place, package in enumerate(packages):
            if self._package_error is not None and self._package_error(package):
                errors += 1
                continue
            events = walk_steps(self._events, package.as_package(), left, f"{MAX_EVENTS} events")
            left -= len(events)
            before = len(histories) + len(troubles)
            if events:
                histories += self._history(package, events, place, arrived_ms, troubles)
            empty += len(histories) + len(troubles) == before
        return Payload(_by_parcel(histories), errors, empty, troubles)

    def _history(
        self, package: Scope, events: list[Scope], place: int, arrived_ms: int, troubles: list[Trouble]
    ) -> list[list[ScanSeen]]:
        """Return the history of a parcel, if it has one; what cannot be read is added to the troubles."""
        number = self._number(package)
        if not 0 < len(number) <= _MAX_KEY_CHARS:
            why = f"packages[{place}]: no tracking number of 1 to {_MAX_KEY_CHARS} characters"
            troubles.append(Trouble(DeadLetterReason.MISSING_FIELD, why))
            return []
        carrier, direction = self._carrier(package), self._direction(package)
        seen: list[ScanSeen] = []
        for at, event in enumerate(events):
            read = self._event.read(event, carrier, number, direction, arrived_ms)
            if isinstance(read, ScanSeen):
                seen.append(read)
            elif read is not None:
                troubles.append(read._replace(detail=f"packages[{place}].events[{at}]: {read.detail}"))
        return [seen] if seen else []


def _by_parcel(histories: list[list[ScanSeen]]) -> list[list[ScanSeen]]:
    """Return one history for each parcel: some payloads repeat the parcel with each event."""
    if len(histories) <= 1:
        return histories
    together: dict[tuple[str, str], list[ScanSeen]] = {}
    for scans in histories:
        together.setdefault((scans[0].carrier, scans[0].number), []).extend(scans)
    return list(together.values())


class _EventReader:
    """Reads one event."""

    def __init__(self, file: AdapterFile) -> None:
        event = file.event
        self._seen_by = seen_by_of(file)
        self._codes = [code_of(code, file.adapter) for code in event.codes]
        self._times = [time_of(one) for one in event.times]
        self._at_arrival = event.without_time == "arrival"
        self._text = first_text(event.text, MAX_TEXT_CHARS)
        self._skip = truth(event.skip)
        self._where = place_of(event.place)
        self._id = first_text((event.id,) if event.id else (), _MAX_KEY_CHARS)
        self._retracted = truth(event.retracted)

    def read(
        self, event: Scope, carrier: str, number: str, direction: str, arrived_ms: int
    ) -> ScanSeen | Trouble | None:
        """Return the event; None: it is none of this parcel."""
        if self._skip is not None and self._skip(event):
            return None
        where = self._where(event)
        time = self._time(event, where.place[0], where.region, arrived_ms)
        if isinstance(time, Trouble):
            return time
        codes = tuple([seen for code in self._codes if (seen := code(event)) is not None])
        event_id = self._id(event)
        retracted = bool(event_id) and self._retracted is not None and self._retracted(event)
        return ScanSeen(
            carrier,
            self._seen_by(event) or carrier,
            number,
            codes,
            self._text(event),
            time,
            direction,
            where.place,
            event_id,
            retracted,
        )

    def _time(self, event: Scope, country: str, region: str, arrived_ms: int) -> ReadTime | Trouble:
        unread = False
        for find in self._times:
            text, read = find(event, country, region)
            if read is not None:
                return read
            unread = unread or bool(text)
        if self._at_arrival and not unread:
            return at_arrival(arrived_ms)
        if unread:
            return Trouble(DeadLetterReason.BAD_VALUE, "a time in a form that the adapter does not know")
        return Trouble(DeadLetterReason.MISSING_FIELD, "no time")
