"""The bytes of a record of `journeys`, written as `schemas.return_journeys.encode_journey` would, at a tenth of its price.

Every milestone of every return is a record, so this is one of the hottest paths there are. A test decodes what is written here
and encodes it again: both must be the same to the byte.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import msgspec

from schemas.journey_messages import rendered
from schemas.outputs import CE_SOURCE
from schemas.return_journeys import JOURNEY_CE_TYPE
from streams.cases import case_id
from streams.journey_message import Message
from streams.journey_outlook import Estimate, Next
from streams.journey_progress import NOWHERE, STAGES, Money, Reached
from streams.keys import split_parcel_key
from streams.returns import Carried

_json = msgspec.json.Encoder().encode
_DAY_SECONDS = 86_400
_MINUTES = tuple(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60))
_SECONDS = tuple(f"{second:02d}" for second in range(60))
_MILESTONES = tuple(f'{{"milestone":"{milestone.value}","at":' for milestone in STAGES)
_UNREACHED = tuple(f'{head}null,"evidence":null}}' for head in _MILESTONES)
_STAGES = {number: f'"{milestone.value}"' for number, milestone in enumerate(STAGES)} | {NOWHERE: "null"}
_FIXED_HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_type", JOURNEY_CE_TYPE.encode()),
    ("ce_source", CE_SOURCE.encode()),
)
_CONTENT_TYPE = ("content-type", b"application/json")
_case_id = lru_cache(maxsize=8192)(case_id)


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return f"{datetime.fromtimestamp(day * _DAY_SECONDS, UTC):%Y-%m-%d}T"


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, 1440)
    return _date(day) + _MINUTES[minute] + _SECONDS[second]


def rfc3339(at_ms: int) -> str:
    """Return a time as CloudEvents headers and messages have it, always with milliseconds."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{_clock(seconds)}.{ms:03d}Z"


def _time(at_ms: int) -> str:
    """A time as msgspec writes it; 0: null."""
    if not at_ms:
        return "null"
    minutes, ms = divmod(at_ms, 60_000)
    if ms % 1000:
        return f'"{_clock(at_ms // 1000)}.{ms % 1000:03d}000Z"'
    return f'"{_date(minutes // 1440)}{_MINUTES[minutes % 1440]}{_SECONDS[ms // 1000]}Z"'


def milestones(reached: Sequence[Reached]) -> str:
    """All nine."""
    return ",".join(
        [
            f'{_MILESTONES[number]}{_time(one[0])},"evidence":"{one[1]}"}}' if one[0] else _UNREACHED[number]
            for number, one in enumerate(reached)
        ]
    )


def parcels(carried: Iterable[Carried]) -> list[tuple[str, str, str]]:
    """Of each parcel: up to its last scan, that scan, and the rest."""
    return [
        (
            f'{_parcel_names(one.parcel)}{_time(one.first_scan_ms)},"last_scan_at":',
            _time(one.last_scan_ms),
            f',"delivered_at":{_time(one.delivered_ms)},"checked_in_at":{_time(one.checked_in_ms)}}}',
        )
        for one in carried
    ]


@lru_cache(maxsize=8192)
def _parcel_names(parcel: str) -> str:
    carrier, number = (_json(name).decode() for name in split_parcel_key(parcel))
    return f'{{"carrier":{carrier},"tracking_number":{number},"first_scan_at":'


def next_step(ahead: Next | None) -> str:
    """What is waited for."""
    if ahead is None:
        return "null"
    rule = f'"{ahead.rule}"' if ahead.rule else "null"
    return f'{{"step":"{ahead.step}","due_at":{_time(ahead.due_ms)},"rule":{rule}}}'


def refund(promised_ms: int, expected: Estimate, paid: Money, *, released: bool) -> str:
    """What is known of the money."""
    known = _of_money(paid) if any(paid) else _NOTHING_PAID
    return (
        f'{{"promised_at":{_time(promised_ms)},"earliest_at":{_time(expected.earliest_ms)},'
        f'"latest_at":{_time(expected.latest_ms)},"released":{"true" if released else "false"},'
        f"{known}}}"
    )


def _of_money(paid: Money) -> str:
    return (
        f'"approved_at":{_time(paid.approved_ms)},"refused_at":{_time(paid.refused_ms)},'
        f'"issued_at":{_time(paid.issued_ms)},"settled_at":{_time(paid.settled_ms)},"failed_at":{_time(paid.failed_ms)}'
    )


_NOTHING_PAID = _of_money(Money(0, 0, 0, 0, 0, 0))


Open = tuple[str, str, str, str, int, int]
"""(rule, parcel, anchor, severity, since, due) of a case."""


def open_cases(return_id: str, cases: Iterable[Open]) -> str:
    """Those that are shown."""
    return ",".join(
        [
            f'{{"case_id":"{_case_id(rule, return_id, parcel, anchor)}","rule":"{rule}",'
            f'"severity":"{severity}","parcel":{_json(parcel).decode()},'
            f'"since_at":{_time(since_ms)},"due_at":{_time(due_ms)}}}'
            for rule, parcel, anchor, severity, since_ms, due_ms in cases
        ]
    )


def message(said: Message) -> str:
    """Key and parameters."""
    if not said.name:
        return f'{{"key":"{said.key}","parameters":{{}}'
    value = said.text or rfc3339(said.at_ms)
    return f'{{"key":"{said.key}","parameters":{{"{said.name}":"{value}"}}'


def texts(said: Message) -> str:
    """What the customer reads."""
    return _texts(said.key, said.name, said.text, said.at_ms // (_DAY_SECONDS * 1000))


@lru_cache(maxsize=4096)
def _texts(key: str, name: str, text: str, day: int) -> str:
    """The texts show no more of a time than its day."""
    parameters = {name: text or rfc3339(day * _DAY_SECONDS * 1000)} if name else {}
    return _json(rendered(key, parameters)).decode()


def record(
    return_id: str,
    revision: int,
    body: tuple[str, list[tuple[str, str, str]], str, str],
    said: Message,
    effective_ms: int,
    policy_hash: str,
) -> bytes:
    """The value. `body`: stage to milestones, parcels, next step to open cases, message without its texts."""
    first, of_parcels, middle, key = body
    shown = ",".join([before + scan + after for before, scan, after in of_parcels])
    return (
        f'{{"return_id":{_json(return_id).decode()},"revision":{revision},{first}{shown}{middle}{key},"text":{texts(said)}}},'
        f'"effective_at":{_time_of_effect(effective_ms)},"policy_hash":{_json(policy_hash).decode()}}}'
    ).encode()


def _time_of_effect(effective_ms: int) -> str:
    return _time(effective_ms) if effective_ms else '"1970-01-01T00:00:00Z"'


def first_part(stage: int, status: str, reached: Sequence[Reached]) -> str:
    """From the stage to the parcels."""
    return f'"stage":{_STAGES[stage]},"status":"{status}","milestones":[{milestones(reached)}],"parcels":['


def middle_part(ahead: str, money: str, cases: str, case_count: int) -> str:
    """From the parcels to the message."""
    return f'],"next_step":{ahead},"refund":{money},"open_cases":[{cases}],"open_case_count":{case_count},"message":'


def digest(body: tuple[str, list[tuple[str, str, str]], str, str]) -> int:
    """64 bits of all of it but the last scans, the same in every process; never 0."""
    first, of_parcels, middle, key = body
    parts = [first, *[before + after for before, _, after in of_parcels], middle, key]
    return int.from_bytes(blake2b("".join(parts).encode(), digest_size=8).digest()) or 1


def headers(return_id: str, identity: str, effective_ms: int) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 in binary mode, in the order of schemas.outputs.cloud_event_fields."""
    version, ce_type, source = _FIXED_HEADERS
    return [
        version,
        ("ce_id", identity.encode()),
        ce_type,
        source,
        ("ce_subject", return_id.encode()),
        ("ce_time", rfc3339(effective_ms).encode()),
        _CONTENT_TYPE,
    ]
