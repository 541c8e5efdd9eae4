"""`returnwatch check --connect` against a real broker: what would stop a worker is told before it starts."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from agents.embedded_kafka import EmbeddedKafka, prepare_quick_start
from agents.embedded_kafka_net import free_port
from agents.kafka_connection import open_admin, open_consumer, run
from agents.log_reading import partitions_of
from agents.settings import Settings
from agents.topics import await_topics
from tests.command_line import Answer, returnwatch


@dataclass(frozen=True)
class Installation:
    """Flags of an installation of a test's own."""

    servers: str
    prefix: str

    @property
    def flags(self) -> list[str]:
        own = ["-b", self.servers, "--topic-prefix", self.prefix, "--app-id", self.prefix.strip("-")]
        own += ["--replication-factor", "1", "--parcels-partitions", "1", "--returns-partitions", "1"]
        for kind in ("orders", "labels", "scans", "warehouse", "commands"):
            own += [f"--{kind}-topic", f"{self.prefix}{kind}"]
        return own

    def check(self, *arguments: str) -> Answer:
        return returnwatch("check", "--connect", *self.flags, *arguments)

    def create(self, *arguments: str) -> None:
        answer = returnwatch("topics", "create", "--inputs", *self.flags, *arguments)
        assert answer.code == 0, answer.err

    def write(self, topic: str, *values: bytes | None) -> None:
        async def produce() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.servers)
            await producer.start()
            for value in values:
                await producer.send_and_wait(f"{self.prefix}{topic}", value, key=b"any", partition=0)
            await producer.stop()

        run(produce())

    def ends(self) -> dict[str, int]:
        """Topic -> number of records, over everything there is but Kafka's own."""
        settings = Settings(bootstrap_servers=(self.servers,))

        async def count() -> dict[str, int]:
            async with open_admin(settings) as admin:
                names = [name for name in await admin.list_topics() if name.startswith(self.prefix)]
            async with open_consumer(settings) as consumer:
                partitions = [each for name in names for each in await partitions_of(settings, name)]
                ends = await consumer.end_offsets(partitions)
            return {f"{each.topic}/{each.partition}": end for each, end in ends.items()}

        return run(count())


@pytest.fixture
def installation(kafka: EmbeddedKafka) -> Installation:
    return Installation(kafka.bootstrap_servers, f"k{uuid.uuid4().hex[:8]}-")


def event(**fields: object) -> bytes:
    return json.dumps({"occurred_at": "2026-11-20T08:00:00+01:00", **fields}).encode()


def scan(code: str = "I") -> bytes:
    return event(type="carrier_scan", carrier="UPS", tracking_number="1z 999 aa1", code=code, text="Departed")


def test_an_installation_that_is_ready_passes_and_nothing_is_written(installation: Installation) -> None:
    installation.create()
    before = installation.ends()
    answer = installation.check()
    assert answer.code == 0, answer.err
    assert "18 of 18 are there" in answer.out
    assert installation.ends() == before


def test_a_missing_input_topic_fails_and_a_missing_one_of_ours_is_only_told(
    installation: Installation,
) -> None:
    answer = installation.check()
    assert answer.code == 1
    assert f"topic {installation.prefix}labels: is missing" in answer.err
    assert f"topic {installation.prefix}parcels: is missing" not in answer.err
    assert "13 of ours to be created" in answer.out


def test_a_wrong_partition_count_fails(installation: Installation) -> None:
    settings = Settings(bootstrap_servers=(installation.servers,))

    async def make() -> None:
        async with open_admin(settings) as admin:
            await admin.create_topics([NewTopic(f"{installation.prefix}returns", 4, 1)])
            await await_topics(admin, [f"{installation.prefix}returns"])

    run(make())
    answer = installation.check()
    assert answer.code == 1
    assert "has partitions=4, must be 1" in " ".join(answer.err.split())


def test_a_cluster_with_too_few_brokers_fails(installation: Installation) -> None:
    answer = returnwatch("check", "--connect", "-b", installation.servers)
    assert answer.code == 1
    assert "1 broker cannot hold 3 copies" in answer.err


def test_events_are_shown_as_the_facts_they_would_become(installation: Installation) -> None:
    installation.create()
    installation.write(
        "labels",
        event(
            type="label_created",
            carrier="UPS",
            tracking_number="1z 999-aa1",
            return_ids=["RMA-7"],
            origin_country="FR",
            destination_country="DE",
        ),
    )
    installation.write("scans", scan(), b"{", None, scan("no-such-code"))
    installation.write("warehouse", event(type="checked_in", return_id="RMA-7"))
    case = "6c7a0b4e-90de-5f0a-8a57-3d8d5a2c6a11"
    told = {"type": "acknowledge", "id": "C1", "return_id": "RMA-7", "case_id": case, "by": "ops-1"}
    installation.write("commands", event(**told))

    answer = installation.check()

    assert answer.code == 0, answer.err
    assert "parcels ups:1Z999AA1: label_created" in answer.out
    assert "returns RMA-7: label_created" in answer.out
    assert "returns RMA-7: checked_in" in answer.out
    assert f"returns RMA-7: acknowledge case {case}" in " ".join(answer.out.split())
    assert "2026-11-20 07:00:00Z" in answer.out
    assert "the newest 4 events, 2 would be refused" in " ".join(answer.out.split())
    assert "not_json" in answer.out
    assert "null_value" in answer.out
    assert "ups:1Z999AA1: unmapped code 'no-such-code' proves nothing" in answer.out


def test_only_the_ten_newest_events_are_shown(installation: Installation) -> None:
    installation.create()
    installation.write("orders", *(event(type="return_requested", return_id=f"RMA-{n}") for n in range(13)))
    answer = installation.check()
    shown = [n for n in range(13) if f"RMA-{n}:" in answer.out]
    assert shown == list(range(3, 13))


def test_wrong_settings_and_a_wrong_policy_are_told_together(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules:\n  missing_first_scan:\n    budget: 72\n")
    answer = returnwatch("check", "--connect", "--orders-topic", "labels", "--policy", str(policy))
    assert answer.code == 1
    assert "'labels' is also in orders_topics" in answer.err
    assert f"{policy}:3:" in answer.err
    assert "mend the settings first" in answer.out


def test_without_connect_no_broker_is_needed() -> None:
    answer = returnwatch("check", "-b", "127.0.0.1:1")
    assert answer.code == 0
    assert "policy" in answer.out


@dataclass(frozen=True)
class GuardedKafka:
    """A broker that asks for a user: `owner` may do everything, `clerk` nothing."""

    servers: str

    def check(self, user: str, password_file: Path, *arguments: str) -> Answer:
        own = ["--replication-factor", "1"]
        return self.returnwatch(user, password_file, "check", "--connect", *own, *arguments)

    def returnwatch(self, user: str, password_file: Path, *arguments: str) -> Answer:
        sasl = ["--security-protocol", "SASL_PLAINTEXT", "--sasl-mechanism", "PLAIN", "--sasl-username", user]
        sasl += ["--sasl-password-file", str(password_file)]
        return returnwatch(*arguments, "-b", self.servers, *sasl)


@pytest.fixture(scope="module")
def guarded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    plain = free_port(0)
    controller = free_port(0, other_than=plain)
    sasl = next(port for _ in range(100) if (port := free_port(0)) not in {plain, controller})
    jaas = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_owner=right user_clerk=right;"
    )
    properties = {
        "listeners": f"BROKER://127.0.0.1:{plain},GUARDED://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"BROKER://127.0.0.1:{plain},GUARDED://127.0.0.1:{sasl}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,GUARDED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.guarded.plain.sasl.jaas.config": jaas,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:owner",
    }
    prepare_quick_start()
    options = ("-Xmx512m", "-XX:TieredStopAtLevel=1")
    directory = tmp_path_factory.mktemp("guarded")
    with EmbeddedKafka(directory, port=plain, extra_properties=properties, jvm_options=options) as broker:
        created = returnwatch(
            "topics", "create", "--inputs", "-b", broker.bootstrap_servers, "--replication-factor", "1"
        )
        assert created.code == 0, created.err
        yield GuardedKafka(f"127.0.0.1:{sasl}")


@pytest.fixture
def right_password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("right\n")
    return file


def test_a_user_who_may_do_everything_holds_every_right(
    guarded_kafka: GuardedKafka, right_password: Path
) -> None:
    answer = guarded_kafka.check("owner", right_password)
    assert answer.code == 0, answer.err
    held = re.search(r"(\d+) rights of (\d+) held", answer.out)
    assert held is not None
    assert held[1] == held[2]
    assert int(held[2]) >= 30


def test_a_user_without_rights_is_told_which_to_ask_for(
    guarded_kafka: GuardedKafka, right_password: Path
) -> None:
    answer = guarded_kafka.check("clerk", right_password)
    assert answer.code == 1
    told = " ".join(answer.err.split())
    assert "User:clerk may not" in told
    assert "kafka-acls.sh" in told


def test_who_may_not_see_or_redrive_dead_letters_is_told_which_right_is_missing(
    guarded_kafka: GuardedKafka, right_password: Path
) -> None:
    listed = guarded_kafka.returnwatch("clerk", right_password, "dlq", "list")
    assert listed.code == 1
    assert "this user may not see it (Describe)" in " ".join(listed.err.split())
    redrive = ("dlq", "redrive", "--everything", "--by", "ops-1", "--yes")
    redriven = guarded_kafka.returnwatch("clerk", right_password, *redrive)
    assert redriven.code == 1
    told = " ".join(redriven.err.split())
    assert "User:clerk may not write with it" in told
    assert "--operation Describe --transactional-id returnwatch-dead-letters" in told
    assert guarded_kafka.returnwatch("owner", right_password, *redrive).code == 0


def test_a_wrong_password_is_told_as_such(guarded_kafka: GuardedKafka, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong")
    answer = guarded_kafka.check("owner", file)
    assert answer.code == 1
    assert "refused user 'owner' (PLAIN)" in " ".join(answer.err.split())
    assert "wrong" not in answer.err.replace("wrong password", "")
