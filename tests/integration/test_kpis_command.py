"""`returnwatch kpis` against a real broker: the newest snapshots of all partitions, added up."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, open_producer, run
from agents.settings import Settings
from agents.topics import await_topics
from schemas.kpis import (
    Amounts,
    CaseCounts,
    Count,
    Dimension,
    Durations,
    KpiSnapshot,
    Leg,
    encode_kpi_snapshot,
    kpi_key,
)
from tests.command_line import Answer, returnwatch

pytestmark = pytest.mark.kafka
Kpis = Callable[..., Answer]


def snapshot(
    partition: int, day: int, dimension: Dimension, value: str, requested: int, hour: int = 1
) -> KpiSnapshot:
    return KpiSnapshot(
        partition=partition,
        day=date(2026, 3, day),
        dimension=dimension,
        value=value,
        as_of=datetime(2026, 3, day, hour, tzinfo=UTC),
        counts={Count.REQUESTED: requested, Count.LABELLED: 4, Count.SCANNED: 3},
        legs={Leg.REQUEST_TO_REFUND: Durations(requested, 90_000 * requested, ((103_424, requested),))},
        cases={"missing_first_scan": CaseCounts(open=3, retracted=1)},
        amounts={"EUR": Amounts(at_risk_minor=1_999)},
    )


@pytest.fixture
def kpis(kafka: EmbeddedKafka) -> Kpis:
    prefix = f"k{uuid.uuid4().hex[:8]}-"
    settings = Settings(
        bootstrap_servers=(kafka.bootstrap_servers,), topic_prefix=prefix, replication_factor=1
    )
    told = [
        snapshot(0, 1, Dimension.ALL, "", 1),
        snapshot(0, 1, Dimension.ALL, "", 5, hour=2),
        snapshot(1, 1, Dimension.ALL, "", 7),
        snapshot(1, 2, Dimension.ALL, "", 100),
        snapshot(0, 1, Dimension.CARRIER, "ups", 4),
        snapshot(1, 1, Dimension.CARRIER, "ups", 7),
        snapshot(1, 1, Dimension.CARRIER, "gls", 1),
    ]
    run(_publish(settings, told))
    own = ["-b", kafka.bootstrap_servers, "--topic-prefix", prefix]
    return lambda *arguments: returnwatch("kpis", *arguments, *own)


async def _publish(settings: Settings, told: list[KpiSnapshot]) -> None:
    topic = settings.topics.kpis
    async with open_admin(settings) as admin:
        await admin.create_topics([NewTopic(topic, 2, 1)])
        await await_topics(admin, [topic])
    async with open_producer(settings) as producer:
        for one in told:
            key = kpi_key(one.partition, one.day, one.dimension, one.value).encode()
            await producer.send_and_wait(topic, encode_kpi_snapshot(one), key=key, partition=one.partition)


def test_the_newest_snapshots_of_a_day_are_added_up_over_partitions(kpis: Kpis) -> None:
    answer = kpis("--day", "2026-03-01", "--json")
    assert answer.code == 0, answer.err
    (line,) = [json.loads(text) for text in answer.out.splitlines()]
    assert line["counts"]["requested"] == 12
    assert line["first_scan_rate"] == 0.75
    assert line["legs"]["request_to_refund"]["mean_seconds"] == 90_000
    assert 86_016 < line["legs"]["request_to_refund"]["p50_seconds"] <= 103_424
    assert (
        line["cases"]["missing_first_scan"]["told"],
        line["cases"]["missing_first_scan"]["precision"],
    ) == (8, 0.75)
    assert line["amounts"] == {"EUR": {"refunded_minor": 0, "at_risk_minor": 3_998}}


def test_values_of_a_dimension_are_told_the_most_requested_first(kpis: Kpis) -> None:
    lines = [json.loads(text) for text in kpis("--by", "carrier", "--json").out.splitlines()]
    assert [(line["value"], line["counts"]["requested"]) for line in lines] == [("ups", 11), ("gls", 1)]


def test_people_see_tables(kpis: Kpis) -> None:
    answer = kpis("--from", "2026-03-02", "--to", "2026-03-02")
    assert answer.code == 0, answer.err
    assert "request to refund" in answer.out
    assert "missing_first_scan" in answer.out
    assert "75.0%" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100


def test_a_day_that_is_none_is_told(kpis: Kpis) -> None:
    answer = kpis("--day", "yesterday")
    assert answer.code == 1
    assert "--day: 'yesterday' is no day" in answer.err
