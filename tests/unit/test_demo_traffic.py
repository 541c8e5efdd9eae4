"""What `returnwatch demo` plays: events of the contract as ever, or payloads to topics that have their adapters."""

import pytest

from agents.demo_apis import rows_of
from agents.demo_options import DemoOptions
from agents.demo_traffic import DemoTraffic, topic_of, traffic_of
from agents.settings import Settings
from agents.settings_consistency import inconsistencies
from simulation.api_shapes import SHAPES
from simulation.world import World
from tests.command_line import returnwatch

AGGREGATORS = {"aftership_v4", "easypost_v2", "17track_v2"}


@pytest.fixture(scope="module")
def payloads() -> DemoTraffic:
    return traffic_of(DemoOptions(returns=100, carriers=True))


def test_without_carriers_the_month_is_as_ever() -> None:
    traffic = traffic_of(DemoOptions(returns=20))
    world = World(1, 20, days=30.0, feeds=True)
    assert [one.value for one in traffic.sendings] == [event.value for event in world.events]
    assert (traffic.scans_topics, traffic.scans_adapters) == (("carrier-scans",), ())


def test_every_payload_goes_to_a_topic_that_is_wired(payloads: DemoTraffic) -> None:
    settings = Settings(scans_topics=payloads.scans_topics, scans_adapters=payloads.scans_adapters)
    assert inconsistencies(settings) == []
    assert {topic_of(one.api) for one in payloads.sendings if one.api} <= set(payloads.scans_topics)


def test_the_table_tells_of_each_api_what_it_told(payloads: DemoTraffic) -> None:
    rows = {row.api: row for row in rows_of(payloads)}
    assert list(rows) == [shape.adapter for shape in SHAPES]
    assert len(rows.keys() - AGGREGATORS) >= 6
    assert rows.keys() >= AGGREGATORS
    assert sum(row.records for row in rows.values()) == sum(bool(one.api) for one in payloads.sendings)
    assert not any(row.refused for row in rows.values())
    assert all(row.told >= row.scans > 0 for row in rows.values())
    histories = [row for row in rows.values() if "history" in row.shape]
    assert sum(row.told for row in histories) > 2 * sum(row.scans for row in histories), (
        "told again and again"
    )
    assert rows["mondialrelay_wsi2"].shape == "xml history"
    assert rows["17track_v2"].shape == "json history of 40"
    assert rows["ups_track_alert"].shape == "json event"


def test_a_worker_of_ones_own_is_not_wired_by_the_demo() -> None:
    answer = returnwatch("demo", "--carriers", "--play-only")
    assert answer.code == 1
    assert "--carriers: does not go with --play-only" in answer.err
