"""The three rules on Faust as its users write them: agents, a RocksDB Table, a timer that sweeps it.

Written to be fast within those habits: validation by one pydantic adapter, states packed by msgspec, Cython fast
paths, large buffers, uvloop, and a garbage collector that is told not to look at what stays. What it does not do is
what Returnwatch is for: it acts on the wall clock, knows no order of events and may lose a changelog write when killed.

Topics are keyed by tracking number and have equal partition counts. A Table cannot be written from a timer, so the
sweep sends itself a message for each parcel that is due, as everybody does.
"""

import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
import msgspec

from benchmarks.stock_faust.rules import EVENT, Parcel, apply, overdue

DUE_TOPIC = "stock-due"
ALERTS_TOPIC = "stock-alerts"
APP_ID = "stock-faust"
CHANGELOG = f"{APP_ID}-parcels-changelog"
SWEEP_SECONDS = 30.0

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Parcel).decode


class Counted:
    """How many events were processed, for the measurement."""

    events = 0


def build_app(
    bootstrap_servers: str,
    data_dir: Path,
    partitions: int,
    counted: Counted,
    recovered: Callable[[], Awaitable[None]],
) -> Any:
    """Make the app; `recovered` is called when the Table was restored."""
    app = faust.App(
        APP_ID,
        broker=f"kafka://{bootstrap_servers}",
        store="rocksdb://",
        datadir=str(data_dir),
        topic_partitions=partitions,
        key_serializer="raw",
        value_serializer="raw",
        version=1,
        id_format="{id}",
        web_enabled=False,
        cython_optimizations=True,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=5_000,
        consumer_max_fetch_size=2 << 20,
        stream_buffer_maxsize=16_384,
        producer_linger=0.02,
        producer_max_batch_size=256 << 10,
        broker_session_timeout=15.0,
        broker_heartbeat_interval=3.0,
    )
    parcels = app.Table(
        "parcels",
        key_type=bytes,
        value_type=bytes,
        partitions=partitions,
        options={"block_cache_size": 64 << 20, "write_buffer_size": 64 << 20},
    )
    parcels.on_recover(recovered)
    _add_inputs(app, parcels, counted)
    _add_rules(app, parcels, partitions)
    return app


def _raw_topic(app: Any, name: str) -> Any:
    return app.topic(name, key_type=bytes, value_type=bytes)


def _add_inputs(app: Any, parcels: Any, counted: Counted) -> None:
    async def keep(stream: Any) -> None:
        async for received in stream.events():
            key, event = received.key, EVENT.validate_json(received.value)
            packed = parcels.get(key)
            parcel = Parcel() if packed is None else decode(packed)
            apply(parcel, event)
            parcels[key] = encode(parcel)
            counted.events += 1

    for name in ("labels", "carrier-scans", "warehouse"):
        app.agent(_raw_topic(app, name), name=name)(keep)


def _add_rules(app: Any, parcels: Any, partitions: int) -> None:
    due = _raw_topic(app, DUE_TOPIC)
    alerts = _raw_topic(app, ALERTS_TOPIC)

    async def sweep() -> None:
        now = time.time()
        for key, packed in list(parcels.items()):
            if overdue(decode(packed), now):
                await due.send(key=key, value=b"", partition=zlib.crc32(key) % partitions)

    async def alert(stream: Any) -> None:
        async for event in stream.events():
            key = event.key
            packed = parcels.get(key)
            parcel = Parcel() if packed is None else decode(packed)
            for rule in overdue(parcel, time.time()):
                await alerts.send(key=key, value=rule.encode())
                parcel.said.append(rule)
            parcels[key] = encode(parcel)

    app.timer(interval=SWEEP_SECONDS)(sweep)
    app.agent(due, name="alert")(alert)
