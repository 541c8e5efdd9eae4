"""`returnwatch policy` against a real broker: what is in force, what would change, and that it comes everywhere."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_consumer, run
from agents.log_reading import partitions_of, read_to_end
from agents.settings import Settings
from schemas.facts import POLICY_KEY
from schemas.policy import policy_from_log
from tests.command_line import Answer, returnwatch


@dataclass(frozen=True)
class Installation:
    """An installation of this test's own: three partitions of parcels, two of returns."""

    servers: str
    prefix: str

    def policy(self, command: str, *arguments: str) -> Answer:
        stages = ["--parcels-partitions", "3", "--returns-partitions", "2"] if command == "apply" else []
        own = ["-b", self.servers, "--topic-prefix", self.prefix, "--app-id", self.prefix.strip("-")]
        return returnwatch("policy", command, *own, *stages, *arguments)

    def policies_in(self, topic: str) -> list[tuple[int, str]]:
        """(partition, hash) of every policy record in a topic."""
        settings = Settings(bootstrap_servers=(self.servers,))

        async def read() -> list[tuple[int, str]]:
            found = []
            async with open_consumer(settings) as consumer:
                partitions = await partitions_of(settings, f"{self.prefix}{topic}")
                async for records in read_to_end(consumer, partitions):
                    keyed = [record for record in records if record.key == POLICY_KEY]
                    found += [(record.partition, policy_from_log(record.value)[1]) for record in keyed]
            return found

        return sorted(run(read()))


@pytest.fixture
def installation(kafka: EmbeddedKafka) -> Installation:
    prefix = f"p{uuid.uuid4().hex[:8]}-"
    flags = ["--topic-prefix", prefix, "--app-id", prefix.strip("-"), "--replication-factor", "1"]
    flags += ["--parcels-partitions", "3", "--returns-partitions", "2"]
    created = returnwatch("topics", "create", "-b", kafka.bootstrap_servers, *flags)
    assert created.code == 0, created.err
    return Installation(kafka.bootstrap_servers, prefix)


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """The default policy, but with 96 h for a first scan."""
    text = returnwatch("policy", "show", "--default").out
    assert "budget: 3d" in text
    file = tmp_path / "patient.yaml"
    file.write_text(text.replace("budget: 3d", "budget: 96h", 1))
    return file


def last_line(answer: Answer) -> str:
    return answer.out.splitlines()[-1]


def test_before_anything_was_applied_the_default_is_in_force(installation: Installation) -> None:
    answer = installation.policy("show")
    default = returnwatch("policy", "show", "--default")
    assert answer.code == 0
    assert "none is in the log yet" in answer.out
    assert answer.out.splitlines()[1:] == default.out.splitlines()[1:]


def test_a_policy_reaches_every_partition_of_both_stages_and_is_then_in_force(
    installation: Installation, patient: Path
) -> None:
    answer = installation.policy("apply", str(patient))

    assert answer.code == 0, answer.err
    applied = last_line(answer)
    assert installation.policies_in("parcels") == [(0, applied), (1, applied), (2, applied)]
    assert installation.policies_in("returns") == [(0, applied), (1, applied)]
    shown = installation.policy("show").out
    assert shown.startswith(f"# policy {applied} (in the log)")
    assert "budget: 4d" in shown


def test_what_is_shown_can_be_applied_again_and_changes_nothing(
    installation: Installation, patient: Path, tmp_path: Path
) -> None:
    first = installation.policy("apply", str(patient))
    copy = tmp_path / "copy.yaml"
    copy.write_text(installation.policy("show").out)

    again = installation.policy("apply", str(copy))

    assert again.code == 0
    assert "in force already" in again.err
    assert last_line(again) == last_line(first)
    assert len(installation.policies_in("parcels")) == 3


def test_a_dry_run_shows_the_difference_and_writes_nothing(installation: Installation, patient: Path) -> None:
    answer = installation.policy("apply", str(patient), "--dry-run")
    assert answer.code == 0
    assert "rules.missing_first_scan.budget" in answer.out
    assert "3d" in answer.out
    assert "4d" in answer.out
    assert installation.policies_in("parcels") == []
    assert installation.policies_in("returns") == []


def test_a_wrong_policy_is_refused_with_every_finding_and_nothing_is_written(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("rules:\n  missing_first_scn:\n    budget: 72\n  stalled_silent:\n    budgt: 5d\n")
    answer = installation.policy("apply", str(file))
    assert answer.code == 1
    assert f"{file}:2:" in answer.err
    assert f"{file}:5:" in answer.err
    assert "did you mean" in answer.err
    assert installation.policies_in("parcels") == []


def test_with_another_partition_count_than_the_clusters_nothing_is_applied(
    installation: Installation, patient: Path
) -> None:
    answer = installation.policy("apply", str(patient), "--parcels-partitions", "2")
    assert answer.code == 1
    assert "has partitions=3, must be 2" in " ".join(answer.err.split())
    assert installation.policies_in("returns") == []


def test_a_file_is_checked_without_a_cluster(patient: Path, tmp_path: Path) -> None:
    assert returnwatch("policy", "check", str(patient)).code == 0
    missing = returnwatch("policy", "check", str(tmp_path / "no.yaml"))
    assert missing.code == 1
    assert "no.yaml: cannot be read" in missing.err
