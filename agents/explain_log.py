"""States from a cluster: the newest record of each key in the changelogs, read as a new owner of the partition reads them."""

from collections.abc import Callable, Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.explain_states import Clock
from agents.log_reading import partitions_of, read_to_end
from agents.positions import position_of
from agents.settings import Settings
from streams.batch import HIDDEN_MARK
from streams.forgetting import LABELS, Hidden, decode_hidden, hidden_name
from streams.intake import Stage
from streams.keys import partition_of, split_parcel_key
from streams.watermark import POLICY_STATE_KEY, POSITION_KEY, Forgotten

FETCH = {"max_partition_fetch_bytes": 4 * 1024 * 1024}
_CONTROL = frozenset({POSITION_KEY, POLICY_STATE_KEY})


class LogStates:
    """Implements agents.explain_states.States over both changelogs. Reads whole partitions, and only those that are needed."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings, self._consumer = settings, consumer
        names = settings.topics
        self._topics: dict[Stage, str] = {
            "parcels": names.parcel_changelog,
            "returns": names.return_changelog,
        }
        self.where = " and ".join(self._topics.values())
        self._counts: dict[Stage, int] = {}
        self._clocks: dict[int, Clock] = {}
        self._told: dict[int, Forgotten] = {}

    async def read(self, stage: Stage, keys: Collection[bytes]) -> Mapping[bytes, bytes]:
        """See States."""
        count = await self._count(stage)
        found: dict[bytes, bytes] = {}
        for number in sorted({partition_of(key, count) for key in keys}):
            found |= await self._newest(stage, number, frozenset(keys).__contains__)
        return found

    async def numbered(self, number: str) -> Mapping[bytes, bytes]:
        """See States. Of a carrier that nobody named any partition may hold the parcel, so all are read."""
        ending = f":{number}".encode()
        found: dict[bytes, bytes] = {}
        for partition in range(await self._count("parcels")):
            found |= await self._newest("parcels", partition, lambda key: key.endswith(ending))
        return {key: raw for key, raw in found.items() if split_parcel_key(key.decode())[1] == number}

    async def clock(self, key: bytes) -> Clock:
        """See States."""
        number = partition_of(key, await self._count("returns"))
        if number not in self._clocks:
            await self._newest("returns", number, lambda _: False)
        return self._clocks[number]

    async def forgotten(self, return_id: str) -> Hidden | None:
        """See States."""
        number = partition_of(return_id.encode(), await self._count("returns"))
        hidden = await self._newest("returns", number, lambda key: key.startswith(HIDDEN_MARK))
        secret = self._settings.forget_key.get_secret_value().encode()
        raw = hidden.get(hidden_name(self._told[number], secret, LABELS, return_id.encode()))
        return decode_hidden(raw) if raw is not None else None

    async def _count(self, stage: Stage) -> int:
        if stage not in self._counts:
            self._counts[stage] = len(await partitions_of(self._settings, self._topics[stage]))
        return self._counts[stage]

    async def _newest(
        self, stage: Stage, number: int, is_wanted: Callable[[bytes], bool]
    ) -> dict[bytes, bytes]:
        """Key -> value of what was written last, of the keys that are wanted and were not deleted."""
        newest: dict[bytes, bytes | None] = {}
        partition = TopicPartition(self._topics[stage], number)
        async for records in read_to_end(self._consumer, [partition]):
            for record in records:
                if record.key is not None and (record.key in _CONTROL or is_wanted(record.key)):
                    newest[record.key] = record.value
        position, policy = newest.pop(POSITION_KEY, None), newest.pop(POLICY_STATE_KEY, None)
        if stage == "returns":
            self._clocks[number] = Clock(_now_ms(partition.topic, position), policy)
            self._told[number] = (
                position_of(partition.topic, position).forgotten if position is not None else Forgotten()
            )
        return {key: raw for key, raw in newest.items() if raw is not None}


def _now_ms(topic: str, raw: bytes | None) -> int:
    """The time at which the partition last looked at anything; in the middle of a marker it is ahead of the watermark."""
    if raw is None:
        return 0
    position = position_of(topic, raw)
    return max(position.watermark_ms, position.cursor_ms if position.cursor_key else 0)
