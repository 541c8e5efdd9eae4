"""A simulated world played through intake and both stages in virtual time.

Every `period` of simulated time what has appeared is taken in, and the watermark moves.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from agents.adapters import Reader
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime, escalations_of
from schemas.carrier_codes import load_carrier_codes
from schemas.kpi_sums import KpiTable
from schemas.outputs import Escalation, RefundSignal, decode_refund_signal
from schemas.policy import Policy
from schemas.return_journeys import ReturnJourney, decode_journey
from schemas.topics import InputKind
from simulation.api_traffic import Sending
from simulation.happenings import SimEvent
from simulation.scoreboard import Observed
from streams.intake import IntakeMapper
from streams.watermark import Outgoing

PARTITIONS = 2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SlowRoad(VirtualTime):
    """What intake writes to `returns` comes there later than the parcels' reports."""

    def __init__(
        self, policy: bytes, delay: timedelta, adapters: Mapping[str, Reader] = MappingProxyType({})
    ) -> None:
        inputs = {**ONE_TOPIC_OF_EACH_KIND, **dict.fromkeys(adapters, 1)}
        mapper = IntakeMapper(load_carrier_codes(), adapters=adapters)
        super().__init__(policy, inputs=inputs, partitions=PARTITIONS, mapper=mapper)
        self._delay_ms = delay // timedelta(milliseconds=1)
        self._under_way: deque[tuple[int, int, bytes, bytes]] = deque()
        """(when it comes, partition, key, value)."""

    def to_returns(self, number: int, key: bytes, value: bytes, at_ms: int) -> None:
        if not self._delay_ms:
            super().to_returns(number, key, value, at_ms)
            return
        self._under_way.append((at_ms + self._delay_ms, number, key, value))

    def advance(self, until_ms: int) -> None:
        self.arrive(until_ms)
        super().advance(until_ms)

    def arrive(self, until_ms: int) -> None:
        while self._under_way and self._under_way[0][0] <= until_ms:
            came_ms, number, key, value = self._under_way.popleft()
            super().to_returns(number, key, value, came_ms)


class OneProcess:
    """Feed it with `play`; `observed` holds every escalation with the simulated time at which it was said."""

    def __init__(
        self,
        policy: Policy,
        *,
        slow_road: timedelta = timedelta(0),
        adapters: Mapping[str, Reader] = MappingProxyType({}),
    ) -> None:
        """`slow_road`: how much later than reports what intake writes to `returns` comes there. `adapters`: by topic."""
        self.observed: list[Observed] = []
        self.signals: list[RefundSignal] = []
        """Every refund signal, in the order of its telling."""
        self.journeys: dict[str, ReturnJourney] = {}
        """The newest record of each return."""
        self.kpis = KpiTable()
        """What `kpis` says."""
        self.changes: list[Escalation] = []
        """Every change of a case."""
        self.refused: list[str] = []
        self.slow_road = slow_road
        self.offsets: Counter[str] = Counter()
        self.engine = SlowRoad(policy.to_log(), slow_road, adapters)

    def play(self, events: Iterable[SimEvent | Sending], until_at: datetime, period: timedelta) -> None:
        """Take the events in as they appear, and go on until `until_at`."""
        waiting = sorted(events, key=lambda event: event.appears_at)
        taken = 0
        now = waiting[0].appears_at
        while now < until_at:
            now = min(now + period, until_at)
            end = bisect_right(waiting, now, lo=taken, key=lambda event: event.appears_at)
            self._take_in(waiting[taken:end])
            taken = end
            self._decide(now, now)
        self._decide(until_at, until_at + self.slow_road)

    def finish_kpis(self, until_at: datetime) -> datetime:
        """Go on to the end of the day after, when everything is published. `changes` then has what came before it."""
        end_at = (until_at + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
        self._decide(end_at - timedelta(milliseconds=1), end_at + self.slow_road)
        self._decide(end_at - timedelta(milliseconds=1), end_at + self.slow_road)
        self.engine.advance(_ms(end_at))
        self.engine.arrive(_ms(end_at + self.slow_road))
        self.engine.advance(_ms(end_at))
        self._note_kpis(self.engine.said())
        return end_at

    def _note_kpis(self, said: Iterable[Outgoing]) -> None:
        for message in said:
            if message.topic == "kpis":
                self.kpis.apply(message.key, message.value, message.key.decode())

    def _take_in(self, events: Sequence[SimEvent | Sending]) -> None:
        for event in events:
            topic = (event.api if isinstance(event, Sending) else "") or event.kind
            record = InputRecord(self.offsets[topic], event.value, event.headers, event.key)
            self.offsets[topic] += 1
            at_ms = _ms(event.appears_at)
            taken = self.engine.append([record], InputKind(event.kind), at_ms, topic=topic)
            self.refused += [refused.reason.value for refused in taken.refused]

    def _decide(self, now: datetime, arrived_at: datetime) -> None:
        self.engine.arrive(_ms(arrived_at))
        self.engine.advance(_ms(now))
        said = self.engine.said()
        changes = escalations_of(said)
        self.changes += changes
        self.observed += [Observed.of(escalation, now) for escalation in changes]
        self._note_kpis(said)
        told = [message.value for message in said if message.topic == "refund-signals"]
        self.signals += [decode_refund_signal(value) for value in told if value is not None]
        for message in said:
            if message.topic == "journeys":
                self._take_journey(message)

    def _take_journey(self, message: Outgoing) -> None:
        return_id = message.key.decode()
        if message.value is None:
            del self.journeys[return_id]
            return
        journey = decode_journey(message.value)
        known = self.journeys.get(return_id)
        assert known is None or journey.revision == known.revision + 1
        self.journeys[return_id] = journey


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
