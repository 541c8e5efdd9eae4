"""`returnwatch topics` against a real broker: what is missing is created, what is wrong is refused."""

import json
import uuid
from collections.abc import Callable

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.embedded_kafka import EmbeddedKafka
from agents.errors import TopicsError
from agents.kafka_connection import open_admin, open_consumer, run
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from agents.topics import await_topics, prepare_topics
from schemas.facts import RETIRE_KEY, Retirement, decode_retirement
from tests.command_line import Answer, returnwatch

Topics = Callable[..., Answer]
INPUTS = ("orders", "labels", "scans", "warehouse", "commands")


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}-"


@pytest.fixture
def topics(kafka: EmbeddedKafka, prefix: str) -> Topics:
    """Runs `returnwatch topics ...` for an installation of this test's own."""
    own = ["-b", kafka.bootstrap_servers, "--topic-prefix", prefix, "--app-id", prefix.strip("-")]
    own += ["--parcels-partitions", "3", "--returns-partitions", "2", "--replication-factor", "1"]
    own += [part for kind in INPUTS for part in (f"--{kind}-topic", f"{prefix}{kind}")]
    return lambda *arguments: returnwatch("topics", *arguments, *own)


@pytest.fixture
def settings(kafka: EmbeddedKafka, prefix: str) -> Settings:
    return Settings(
        bootstrap_servers=(kafka.bootstrap_servers,),
        topic_prefix=prefix,
        app_id=prefix.strip("-"),
        parcels_partitions=3,
        returns_partitions=2,
        replication_factor=1,
        orders_topics=(f"{prefix}orders",),
        labels_topics=(f"{prefix}labels",),
        scans_topics=(f"{prefix}scans",),
        warehouse_topics=(f"{prefix}warehouse",),
        commands_topics=(f"{prefix}commands",),
    )


def states(answer: Answer) -> dict[str, str]:
    return {entry["topic"]: entry["state"] for entry in json.loads(answer.out)}


async def make(settings: Settings, *new: NewTopic) -> None:
    async with open_admin(settings) as admin:
        await admin.create_topics(list(new))
        await await_topics(admin, [topic.name for topic in new])


async def config_of(settings: Settings, topic: str) -> dict[str, str]:
    async with open_admin(settings) as admin:
        [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for entry in response.resources[0][4]}


def test_on_a_new_cluster_everything_is_missing_and_planning_creates_nothing(topics: Topics) -> None:
    first, second = topics("plan", "--json"), topics("plan", "--json")
    assert set(states(first).values()) == {"missing"}
    assert states(first) == states(second)
    assert first.code == 0


def test_our_own_topics_are_created_and_input_topics_only_when_asked(topics: Topics, prefix: str) -> None:
    created = topics("create")
    after = states(topics("plan", "--json"))
    inputs = {f"{prefix}{kind}" for kind in INPUTS}
    assert created.code == 0
    assert "created 13 topics" in created.err
    assert {name for name, state in after.items() if state == "missing"} == inputs

    assert topics("create", "--inputs").code == 0
    assert set(states(topics("plan", "--json")).values()) == {"ok"}


def test_creating_twice_creates_once(topics: Topics) -> None:
    topics("create", "--inputs")
    again = topics("create", "--inputs")
    assert again.code == 0
    assert "created" not in again.err


def test_created_topics_have_the_settings_that_the_guarantees_rest_on(
    topics: Topics, settings: Settings
) -> None:
    topics("create")
    heartbeats = run(config_of(settings, settings.topics.heartbeats))
    changelog = run(config_of(settings, settings.topics.parcel_changelog))
    assert heartbeats["message.timestamp.type"] == "LogAppendTime"
    assert changelog["cleanup.policy"] == "compact"
    assert int(changelog["max.message.bytes"]) >= 900_000


def test_a_wrong_partition_count_is_refused_and_nothing_else_is_created(
    topics: Topics, settings: Settings
) -> None:
    run(make(settings, NewTopic(settings.topics.parcels, 5, 1)))
    plan, create = topics("plan"), topics("create")

    assert plan.code == create.code == 1
    assert "5, not 3" in plan.out
    told = " ".join(create.err.split())
    assert f"topic {settings.topics.parcels}: has partitions=5, must be 3" in told
    assert "--parcels-partitions" in told
    left = {name for name, state in states(topics("plan", "--json")).items() if state == "missing"}
    assert settings.topics.returns in left


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("cases", {"cleanup.policy": "delete"}, "has cleanup.policy=delete, must be compact"),
        ("heartbeats", {"message.timestamp.type": "CreateTime"}, "must be LogAppendTime"),
        ("dead_letters", {"max.message.bytes": "1000000"}, "must be at least 1114112"),
        ("returns", {"cleanup.policy": "compact"}, "has cleanup.policy=compact, must be delete"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_command_that_mends_it(
    name: str, config: dict[str, str], told: str, topics: Topics, settings: Settings
) -> None:
    topic = getattr(settings.topics, name)
    partitions = 2 if name in {"cases", "returns"} else 1
    run(make(settings, NewTopic(topic, partitions, 1, topic_configs=config)))

    answer = topics("create")

    assert answer.code == 1
    text = " ".join(answer.err.split())
    assert told in text
    assert f"--entity-name {topic} --add-config {next(iter(config))}=" in text


def test_a_compacted_input_topic_is_doubtful_but_not_ours_to_refuse(
    topics: Topics, settings: Settings, prefix: str
) -> None:
    run(make(settings, NewTopic(f"{prefix}labels", 1, 1, topic_configs={"cleanup.policy": "compact"})))
    answer = topics("create", "--inputs")
    assert answer.code == 0
    assert f"doubtful: topic {prefix}labels" in answer.err


def test_more_copies_than_brokers_is_told_once_with_what_to_do(topics: Topics) -> None:
    answer = topics("create", "--replication-factor", "3")
    assert answer.code == 0 or "--replication-factor 1" in answer.err


def test_a_worker_is_refused_while_an_input_topic_is_missing(settings: Settings, prefix: str) -> None:
    async def start() -> None:
        async with open_admin(settings) as admin:
            await prepare_topics(admin, settings)

    with pytest.raises(TopicsError, match=f"topic {prefix}warehouse: is missing") as refused:
        run(start())
    assert {finding.where for finding in refused.value.findings} == {
        f"topic {prefix}{kind}" for kind in INPUTS
    }


def retirements_in(settings: Settings, topic: str) -> list[tuple[int, Retirement]]:
    """(partition, what it says) of every retirement in a topic."""

    async def read() -> list[tuple[int, Retirement]]:
        found = []
        async with open_consumer(settings) as consumer:
            partitions = await partitions_of(settings, topic)
            async for records in read_to_end(consumer, partitions):
                keyed = [record for record in records if record.key == RETIRE_KEY]
                found += [(record.partition, decode_retirement(record.value)) for record in keyed]
        return found

    return run(read())


def test_a_retired_topic_is_told_to_every_partition_and_can_be_taken_back(
    topics: Topics, settings: Settings
) -> None:
    topics("create")
    assert topics("retire", "old-scans").code == 0
    assert topics("retire", "old-scans", "--undo").code == 0
    told = [Retirement("old-scans"), Retirement("old-scans", retired=False)]
    for topic, count in ((settings.topics.parcels, 3), (settings.topics.returns, 2)):
        found = retirements_in(settings, topic)
        assert [[what for at, what in found if at == number] for number in range(count)] == [told] * count


def test_a_topic_that_is_still_an_input_is_not_retired(
    topics: Topics, settings: Settings, prefix: str
) -> None:
    topics("create")
    refused = topics("retire", f"{prefix}scans")
    assert refused.code == 1
    assert "is still an input by these settings" in refused.err
    assert retirements_in(settings, settings.topics.parcels) == []
