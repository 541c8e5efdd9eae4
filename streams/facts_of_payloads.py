"""From what a payload tells to facts about parcels. A history that is sent again gives the same facts again.

A scan is known by its producer's id, else by what it says without its free text: a reworded repeat is the same scan. What is
missing from a later history is not taken back: carriers shorten histories.
"""

from datetime import timedelta
from typing import Final

from schemas.carrier_codes import UNKNOWN, CarrierCodes, Meaning
from schemas.facts import LabelTerms, ParcelFact, Source, encode_json
from schemas.vocabulary import DeadLetterReason, Evidence, Milestone, TimeQuality
from streams.adapting import Payload, ScanSeen, Trouble
from streams.facts_of_events import CLAMPED, LATENESS_SAMPLE, OTHER, UNMAPPED, Chunk, FactMaker
from streams.gaps import NotUnderstood
from streams.identity import identity_of_content, identity_of_id
from streams.payload_news import PayloadNews
from streams.payload_times import ReadTime
from streams.refusal import RefusalError

ANSWERS: Final = "answers"
ERROR, EMPTY, TOO_OLD = "error", "empty", "too_old"
"""Labels of ANSWERS: an error or "not found" in place of a history; no event yet; a scan that is too old to count."""
ANSWER_KINDS: Final = (ERROR, EMPTY, TOO_OLD)
_EVENT: Final = "carrier_scan"
_NOWHERE = ("", "", "", "")
_MILLISECOND = timedelta(milliseconds=1)
_LAST_STEPS = frozenset({Milestone.DELIVERED, Milestone.DELIVERED_ELSEWHERE, Milestone.RETURNED_TO_SENDER})


class PayloadFacts:
    """Makes the facts of payloads. They depend on no state; what is told of feeds does (streams/payload_news.py)."""

    def __init__(
        self, codes: CarrierCodes, maker: FactMaker, max_future: timedelta, max_past: timedelta
    ) -> None:
        """Take the carrier codes and how far a scan's time may be from its arrival."""
        self._codes = codes
        self._maker = maker
        self._max_future_ms = max_future // _MILLISECOND
        self._max_past_ms = max_past // _MILLISECOND
        self._news = PayloadNews()

    def add(
        self, chunk: Chunk, payload: Payload, adapter: str, *, history: bool, offset: int
    ) -> Trouble | None:
        """Add a payload's facts to the chunk; returns what of it could not be read."""
        source = Source(chunk.topic, chunk.partition, offset)
        made = old = 0
        for scans in payload.histories:
            try:
                added = self._parcel(chunk, scans, adapter, source, history=history)
            except RefusalError as refusal:
                payload.troubles.append(Trouble(refusal.reason, refusal.detail))
                continue
            made += added
            old += len(scans) - added
        for label, count in ((ERROR, payload.errors), (EMPTY, payload.empty), (TOO_OLD, old)):
            if count:
                chunk.count(ANSWERS, label, count)
        if old and not made and not payload.troubles:
            days = self._max_past_ms // (24 * 60 * 60 * 1000)
            return Trouble(
                DeadLetterReason.TIME_OUT_OF_RANGE, f"every scan is more than {days} days before the arrival"
            )
        return payload.trouble()

    def _parcel(
        self, chunk: Chunk, scans: list[ScanSeen], adapter: str, source: Source, *, history: bool
    ) -> int:
        """Add the facts of one parcel; returns of how many scans. Raises RefusalError, and then adds nothing."""
        carrier, key = self._maker.parcel_of(chunk, scans[0].carrier, scans[0].number)
        known_carrier = carrier in self._codes.carriers
        feed = carrier if known_carrier else OTHER
        told = [
            (scan, self._meaning(scan)) for scan in scans if not self._is_too_old(scan.time, chunk.arrived_ms)
        ]
        ends = [
            scan.time.start_ms
            for scan, meaning in told
            if meaning.milestone in _LAST_STEPS and scan.time.quality is not TimeQuality.DATE_ONLY
        ]
        latest, latest_scan, latest_unmapped, any_clamped = 0, 0, False, False
        for scan, meaning in told:
            time = scan.time
            clamped = time.start_ms > chunk.arrived_ms + self._max_future_ms
            any_clamped = any_clamped or clamped
            if not meaning.understood:
                chunk.count(UNMAPPED, feed)
                if chunk.gaps is not None:
                    chunk.gaps.append(self._gap(scan, key))
            if clamped:
                chunk.count(CLAMPED, _EVENT)
            occurred_ms = chunk.arrived_ms if clamped else _occurred_ms(time, meaning, ends, chunk.arrived_ms)
            fact = self._fact(
                chunk, scan, meaning, adapter, (carrier, key), source, occurred_ms, clamped=clamped
            )
            if time.start_ms >= latest:
                latest, latest_scan, latest_unmapped = time.start_ms, fact.identity, not meaning.understood
            chunk.facts.append(("parcels", key.encode(), encode_json(fact)))
        if told:
            chunk.events[_EVENT] = chunk.events.get(_EVENT, 0) + len(told)
            if self._news.is_new(latest_scan, chunk.topic, chunk.partition, source.offset):
                written_ms = chunk.appended_ms if history else latest
                chunk.arrived(feed, written_ms, clamped=any_clamped, unmapped=latest_unmapped)
            if not history and not source.offset % LATENESS_SAMPLE:
                chunk.lateness_ms.append(max(0, chunk.arrived_ms - latest))
        return len(told)

    def _fact(
        self,
        chunk: Chunk,
        scan: ScanSeen,
        meaning: Meaning,
        adapter: str,
        parcel: tuple[str, str],
        source: Source,
        occurred_ms: int,
        *,
        clamped: bool,
    ) -> ParcelFact:
        carrier, key = parcel
        coded = [code for code in scan.codes if code.code]
        place = self._maker.place_of(scan.place) if scan.place != _NOWHERE else ""
        if scan.event_id:
            identity = identity_of_id(f"adapter {adapter}", _EVENT, f"{key} {scan.event_id}")
            if scan.retracted:
                taken_back = identity_of_id(f"adapter {adapter}", "scan_retracted", f"{key} {scan.event_id}")
                seen = (occurred_ms, chunk.arrived_ms, source)
                return ParcelFact(taken_back, Milestone.UNMAPPED, Evidence.SYSTEM, *seen, retracts=identity)
        else:
            said = [f"{each.api} {each.type} {each.code}" for each in coded]
            if not said:
                said = [f"milestone {meaning.milestone.value}"]
            identity = identity_of_content(
                _EVENT, f"adapter {adapter}", key, scan.time.written, scan.direction, place, *said
            )
        return ParcelFact(
            identity,
            meaning.milestone,
            meaning.evidence,
            occurred_ms,
            chunk.arrived_ms,
            source,
            scan.time.quality,
            place,
            self._codes.kept(coded[0].code) if coded else "",
            LabelTerms((), carrier) if meaning.milestone is Milestone.LABEL_VOIDED else None,
            "",
            0,
            clamped,
        )

    def _meaning(self, scan: ScanSeen) -> Meaning:
        """Return what the first code proves that the tables know."""
        carrier, lookup, direction = (
            self._codes.carrier(scan.seen_by),
            self._codes.lookup,
            scan.direction or None,
        )
        for code in scan.codes:
            if code.only_for and carrier not in code.only_for:
                continue
            meaning = lookup(carrier, code.api, code.type, code.code, scan.text, direction)
            if meaning.known:
                return meaning
        return UNKNOWN

    def _gap(self, scan: ScanSeen, key: str) -> NotUnderstood:
        carrier = self._codes.carrier(scan.seen_by)
        asked = (code for code in scan.codes if not code.only_for or carrier in code.only_for)
        codes = tuple((code.api, code.type, code.code) for code in asked)
        return NotUnderstood(key, carrier, codes, scan.text, scan.direction)

    def _is_too_old(self, time: ReadTime, arrived_ms: int) -> bool:
        return time.end_ms < arrived_ms - self._max_past_ms


def _occurred_ms(time: ReadTime, meaning: Meaning, ends: list[int], arrived_ms: int) -> int:
    """Return the end of the interval that cannot raise a false alarm: the later one, but not behind the arrival.

    A step on the way of which only the date is known is not put behind a delivery of the same day, whose hour is known.
    `ends`: when the parcel's last steps were, those whose hour is known.
    """
    if time.start_ms == time.end_ms:
        return time.start_ms
    latest = max(time.start_ms, min(time.end_ms, arrived_ms))
    if time.quality is TimeQuality.DATE_ONLY and meaning.milestone not in _LAST_STEPS:
        return min([latest, *(ended_ms for ended_ms in ends if time.start_ms <= ended_ms)])
    return latest
