"""Control records: which policy was applied last, which clock this installation runs on, and whether history is loaded.

They live under their own keys in the compacted heartbeats topic. Decisions never read them: a partition decides by the
policy record in its own log. They are what a starting worker compares its settings with.
"""

from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaProducer

from agents.errors import Finding, PolicyRefusedError, SettingsError
from agents.fencing import NO_HEADERS, send_grouped
from agents.kafka_connection import open_consumer, open_producer
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings, SimulatedTime
from schemas.facts import BACKFILL_KEY, POLICY_KEY, Backfill, encode_json

CLOCK_KEY = b"\x00clock"


class LoadingHistory(msgspec.Struct, frozen=True):
    """What `returnwatch backfill` was told last, by whom and when."""

    backfill_id: str
    held: bool
    by: str
    at: str
    """By the clock of whoever told it."""


@dataclass(frozen=True)
class Control:
    """What the control records say; None where there is none yet."""

    policy: bytes | None
    clock: SimulatedTime | None
    loading: LoadingHistory | None = None


async def read_control(settings: Settings) -> Control:
    """Read the newest control records.

    Raises:
        TopicsError: the heartbeats topic does not exist.
        BrokerUnreachableError: it cannot be read to its end.
    """
    partitions = await partitions_of(settings, settings.topics.heartbeats)
    newest: dict[bytes, bytes | None] = {}
    async with open_consumer(settings) as consumer:
        async for records in read_to_end(consumer, partitions):
            newest.update({record.key: record.value for record in records if record.key[:1] == b"\x00"})
    clock, loading = newest.get(CLOCK_KEY), newest.get(BACKFILL_KEY)
    return Control(
        newest.get(POLICY_KEY),
        SimulatedTime(*msgspec.json.decode(clock)) if clock is not None else None,
        msgspec.json.decode(loading, type=LoadingHistory) if loading is not None else None,
    )


async def apply_policy(settings: Settings, policy: bytes) -> None:
    """Write a policy record into every partition of both stages, then the control record.

    Cut off half-way, apply it again: a partition that has it already takes no notice. (A very first policy is applied
    again by the next start.)
    """
    async with open_producer(settings) as producer:
        await write_policy(settings, producer, policy)


async def write_policy(settings: Settings, producer: AIOKafkaProducer, policy: bytes) -> None:
    """The same with a producer at hand."""
    await _write_everywhere(settings, producer, POLICY_KEY, policy)
    await producer.send_and_wait(settings.topics.heartbeats, policy, key=POLICY_KEY, partition=0)


async def write_backfill(settings: Settings, producer: AIOKafkaProducer, told: LoadingHistory) -> None:
    """Write that a backfill begins or ends into every partition of both stages, then the control record."""
    record = encode_json(Backfill(told.backfill_id, told.held))
    await _write_everywhere(settings, producer, BACKFILL_KEY, record)
    control = msgspec.json.encode(told)
    await producer.send_and_wait(settings.topics.heartbeats, control, key=BACKFILL_KEY, partition=0)


async def _write_everywhere(settings: Settings, producer: AIOKafkaProducer, key: bytes, value: bytes) -> None:
    names = settings.topics
    everywhere = {(names.parcels, number) for number in range(settings.parcels_partitions)}
    everywhere |= {(names.returns, number) for number in range(settings.returns_partitions)}
    await send_grouped(producer, {where: [(key, value, NO_HEADERS)] for where in everywhere})


async def agree(settings: Settings, control: Control, given: bytes | None, default: bytes) -> None:
    """Make settings and control records agree, or refuse to start.

    Args:
        settings: of this worker.
        control: what the log says.
        given: canonical record of the policy file of the settings, None without one.
        default: canonical record to apply at the very first start without a file.

    Raises:
        SettingsError: the log runs on another clock.
        PolicyRefusedError: the log has another policy than the file given.
    """
    if control.clock != settings.simulated and control.policy is not None:
        raise SettingsError([_other_clock(settings, control)])
    if control.policy is None:
        async with open_producer(settings) as producer:
            if settings.simulated is not None:
                clock = msgspec.json.encode(list(settings.simulated))
                await producer.send_and_wait(settings.topics.heartbeats, clock, key=CLOCK_KEY, partition=0)
            await write_policy(settings, producer, given or default)
    elif given is not None and given != control.policy:
        where = f"{settings.policy_file}"
        raise PolicyRefusedError(
            [
                Finding(
                    where,
                    "is not the policy in the log",
                    "a worker that decided by its own file would decide differently from the others",
                    f"apply it with `returnwatch policy apply {settings.policy_file}`, or start without --policy",
                )
            ]
        )


def _other_clock(settings: Settings, control: Control) -> Finding:
    log_clock = "real time" if control.clock is None else f"simulated time {tuple(control.clock)}"
    own_clock = "real time" if settings.simulated is None else f"simulated time {tuple(settings.simulated)}"
    return Finding(
        "simulated_time",
        f"this installation ({settings.app_id}) runs on {log_clock}, this worker on {own_clock}",
        "deadlines already in the log would fire at the wrong time",
        "give the same --simulated-* settings, or another --app-id and --topic-prefix",
    )
