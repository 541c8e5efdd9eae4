"""Events for measuring: parcels with a label, scans and a check-in, interleaved as their lives would be.

Written straight into record batches with their partition: an ordinary producer would take longer than the worker that
is measured. Keys are tracking numbers, partitions `crc32(key) % count` on every topic.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

LABELS, SCANS, WAREHOUSE, ORDERS = "labels", "carrier-scans", "warehouse", "orders"
INPUT_TOPICS = (ORDERS, LABELS, SCANS, WAREHOUSE)

LABEL = (
    '{"type":"label_created","id":"L%d","occurred_at":"%s","carrier":"ups","tracking_number":"%s",'
    '"return_ids":["RMA-%d"],"service":"ground","origin_country":"FR","destination_country":"DE","facility":"leipzig"}'
)
SCAN = (
    '{"type":"carrier_scan","id":"S%d-%d","occurred_at":"%s","carrier":"ups","tracking_number":"%s",'
    '"api":"ups_track_alert","code_type":"%s","code":"%s","text":"%s","place":{"country":"%s","city":"%s"}}'
)
CHECK_IN = (
    '{"type":"checked_in","id":"W%d","occurred_at":"%s",'
    '"carrier":"ups","tracking_number":"%s","facility":"leipzig"}'
)

ORDER = '{"type":"%s","id":"O%d-%d","occurred_at":"%s","return_id":"RMA-%d"%s}'
REQUEST = (
    ',"value":{"amount":"49.90","currency":"EUR"},"promised_refund_at":"2099-01-01T00:00:00Z","country":"FR"'
)
OF_THE_SHOP = (
    (-3, ORDERS, "return_requested", REQUEST),
    (-2, ORDERS, "return_approved", ""),
    (120, WAREHOUSE, "inspected", ',"disposition":"restock"'),
    (121, ORDERS, "refund_approved", ""),
    (125, ORDERS, "refund_issued", ""),
    (130, WAREHOUSE, "restocked", ""),
)
"""Hours after the label, topic, type, more fields: what a shop and its warehouse say of a return besides."""

SCANS_OF_A_PARCEL = (
    (20, "type I", "OR", "Origin Scan", "FR", "Lille"),
    (30, "type I", "DP", "Departed from Facility", "FR", "Lille"),
    (50, "type I", "AR", "Arrived at Facility", "BE", "Liege"),
    (70, "type I", "AR", "Arrived at Facility", "DE", "Koeln"),
    (94, "type I", "OT", "Out for Delivery", "DE", "Leipzig"),
    (98, "type D", "FS", "DELIVERED", "DE", "Leipzig"),
)
"""Hours after the label, code type, code, text, country, city."""
CHECK_IN_HOURS = 102
EVENTS_OF_A_PARCEL = len(SCANS_OF_A_PARCEL) + 2
SPAN = timedelta(days=24)
EXCEPTIONAL = 50
"""One parcel in so many is never scanned, one stops on the way, one is not checked in."""


class Event(NamedTuple):
    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Workload:
    """`parcels` parcels whose labels are spread over `span`; the last event happens at `ends_at`."""

    parcels: int
    ends_at: datetime
    label_only: bool = False
    """Only labels: many open parcels at the least cost."""
    first: int = 0
    """Number of the first parcel, so that a second workload brings other parcels."""
    span: timedelta = SPAN
    with_shop: bool = False
    """Also what the shop and its warehouse say of each return, from the request to the refund."""
    until_hours: float = float("inf")
    """Only what happens up to so many hours after the label: the parcels stay on the road."""

    @property
    def _steps(self) -> list[tuple[float, int]]:
        """(hours after the label, stage), in order; stages behind those of a parcel are the shop's."""
        hours = [0] if self.label_only else [0, *(row[0] for row in SCANS_OF_A_PARCEL), CHECK_IN_HOURS]
        steps = [(float(hour), stage) for stage, hour in enumerate(hours)]
        if self.with_shop:
            steps += [(hour, EVENTS_OF_A_PARCEL + n) for n, (hour, *_) in enumerate(OF_THE_SHOP)]
        return sorted(step for step in steps if step[0] <= self.until_hours)

    @property
    def events(self) -> Iterator[Event]:
        """Every event, in the order in which it happened."""
        per_hour = self.parcels / (self.span.total_seconds() / 3_600)
        first, last = self._steps[0][0], self._steps[-1][0]
        steps = [(round((hours - first) * per_hour), stage) for hours, stage in self._steps]
        start = self.ends_at - self.span - timedelta(hours=last - first)
        for step in range(self.parcels + steps[-1][0]):
            at = start + timedelta(hours=step / per_hour)
            text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for behind, stage in steps:
                parcel = step - behind
                if 0 <= parcel < self.parcels and _happens(parcel, stage):
                    yield _event(self.first + parcel, stage, text)

    def count(self) -> int:
        """How many events there are."""
        stages = [stage for _, stage in self._steps]
        return sum(_happens(parcel, stage) for parcel in range(self.parcels) for stage in stages)


def _happens(parcel: int, stage: int) -> bool:
    """Whether the parcel's life comes to this stage; the warehouse and the money wait for the check-in."""
    before = _stages(parcel)
    if stage < EVENTS_OF_A_PARCEL:
        return stage < before
    return before == EVENTS_OF_A_PARCEL or OF_THE_SHOP[stage - EVENTS_OF_A_PARCEL][0] < 0


def _stages(parcel: int) -> int:
    exceptional = {7: 1, 17: 4, 27: EVENTS_OF_A_PARCEL - 1}
    return exceptional.get(parcel % EXCEPTIONAL, EVENTS_OF_A_PARCEL)


def tracking_number(parcel: int) -> str:
    """A number of UPS's look."""
    return f"1Z999AA1{parcel:010d}"


def _event(parcel: int, stage: int, at: str) -> Event:
    number = tracking_number(parcel)
    key = number.encode()
    if stage >= EVENTS_OF_A_PARCEL:
        _hours, topic, kind, more = OF_THE_SHOP[stage - EVENTS_OF_A_PARCEL]
        return Event(topic, key, (ORDER % (kind, parcel, stage, at, parcel, more)).encode())
    if stage == 0:
        return Event(LABELS, key, (LABEL % (parcel, at, number, parcel)).encode())
    if stage == EVENTS_OF_A_PARCEL - 1:
        return Event(WAREHOUSE, key, (CHECK_IN % (parcel, at, number)).encode())
    _hours, *code_and_place = SCANS_OF_A_PARCEL[stage - 1]
    return Event(SCANS, key, (SCAN % (parcel, stage, at, number, *code_and_place)).encode())


async def create_topics(bootstrap_servers: str, partitions: int, *topics: str, **configs: str) -> None:
    """Create the topics that are missing, all with the same partition count."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        missing = [
            NewTopic(name, partitions, 1, topic_configs=configs) for name in topics if name not in there
        ]
        if missing:
            await admin.create_topics(missing)
    finally:
        await admin.close()


async def fill(bootstrap_servers: str, workload: Workload, partitions: int) -> int:
    """Write the workload, one record batch after the other; give the number of records."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", max_batch_size=512 << 10)
    await producer.start()
    batches: dict[tuple[str, int], Any] = {}
    count = 0
    try:
        for event in workload.events:
            where = (event.topic, zlib.crc32(event.key) % partitions)
            batch = batches.get(where) or batches.setdefault(where, producer.create_batch())
            while batch.append(key=event.key, value=event.value, timestamp=None) is None:
                await producer.send_batch(batch, where[0], partition=where[1])
                batch = batches[where] = producer.create_batch()
            count += 1
        for (topic, partition), batch in batches.items():
            await producer.send_batch(batch, topic, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
    return count
