"""The topics that a cluster has, against those that schemas/topics.py says it must have.

Topics of ours that are wrong are refused: a wrong partition count loses the state of keys, a wrong clean-up
policy loses facts. Input topics belong to somebody else: what we find there is said, and only a missing one is
refused.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from agents.errors import Finding, TopicsError
from agents.kafka_connection import partition_counts
from agents.settings import Settings
from schemas.topics import Requirement, TopicRole, TopicSpec

VISIBLE_ATTEMPTS = 300
VISIBLE_PAUSE_S = 0.1
CONFIG_NAME, CONFIG_VALUE = 0, 1
AT_MOST = "at most "
NO_WORKERS_OWN = frozenset({TopicRole.INPUT, TopicRole.JOURNAL})
"""What is found does not depend on how these are."""
RESOURCE_ERROR, RESOURCE_MESSAGE, RESOURCE_NAME, RESOURCE_CONFIG = 0, 1, 3, 4


class TopicState(StrEnum):
    """What a topic is, compared with what it must be."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"
    DOUBTFUL = "doubtful"
    """A topic that we would have made otherwise, but is not ours to refuse, or does no harm to what is found."""


class Difference(NamedTuple):
    """One property of a topic that is not as it must be."""

    name: str
    found: str
    needed: str
    why: str
    todo: str


class TopicCheck(NamedTuple):
    """One topic as it was found. `partitions` is 0 for a missing one."""

    spec: TopicSpec
    state: TopicState
    partitions: int
    differences: tuple[Difference, ...] = ()

    def findings(self) -> list[Finding]:
        """The same as findings; for a missing topic, what to do about it."""
        where = f"topic {self.spec.name}"
        if self.state is TopicState.MISSING:
            what = f"is missing ({self.spec.purpose}), or this user may not see it"
            return [Finding(where, what, todo=_todo_missing(self.spec))]
        return [
            Finding(where, f"has {item.name}={item.found}, must be {item.needed}", item.why, item.todo)
            for item in self.differences
        ]


async def inspect_topics(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicCheck]:
    """Compare every topic with its spec, in the order of the specs."""
    counts = await partition_counts(admin)
    present = [spec.name for spec in specs if counts.get(spec.name)]
    configs = await _configs(admin, present)
    return [check_topic(spec, counts.get(spec.name, 0), configs.get(spec.name, {})) for spec in specs]


async def create_missing(
    admin: AIOKafkaAdminClient, checks: Iterable[TopicCheck], settings: Settings, *, inputs: bool
) -> list[TopicSpec]:
    """Create the missing topics of ours, and with `inputs` the input topics too. Returns what was created.

    Raises:
        TopicsError: topics of ours are wrong (then nothing is created), or the broker refused to create some.
    """
    checks = list(checks)
    refuse_wrong(checks)
    missing = [check.spec for check in checks if check.state is TopicState.MISSING]
    wanted = [spec for spec in missing if inputs or spec.role is not TopicRole.INPUT]
    if not wanted:
        return []
    response = await admin.create_topics([_new_topic(spec, settings.replication_factor) for spec in wanted])
    refused: dict[tuple[str, str], list[str]] = {}
    for name, code, *rest in response.topic_errors:
        if refusal := _refusal(code, rest[0] if rest else None, settings):
            refused.setdefault(refusal, []).append(name)
    if refused:
        raise TopicsError(
            Finding(f"topic {', '.join(names)}", f"the broker refused to create it: {message}", todo=todo)
            for (message, todo), names in refused.items()
        )
    await await_topics(admin, [spec.name for spec in wanted])
    return wanted


async def await_topics(admin: AIOKafkaAdminClient, names: Iterable[str]) -> None:
    """Return when new topics are known to the brokers and every partition has a leader.

    The controller answers a creation before the brokers know of it; who asks at once is told the topic is missing.

    Raises:
        TopicsError: some are not there after 30 s.
    """
    waiting = set(names)
    for _ in range(VISIBLE_ATTEMPTS):
        # More than one broker may answer: each topic must have been seen complete once.
        for topic in await admin.describe_topics():
            if topic["topic"] in waiting and all(part["leader"] >= 0 for part in topic["partitions"]):
                waiting.discard(topic["topic"])
        if not waiting:
            return
        await asyncio.sleep(VISIBLE_PAUSE_S)
    what = "was created, but has no leader after 30 s"
    raise TopicsError(
        [Finding(f"topic {', '.join(sorted(waiting))}", what, todo="look at the brokers' logs")]
    )


async def prepare_topics(
    admin: AIOKafkaAdminClient, settings: Settings, *, inputs: bool = False
) -> list[TopicCheck]:
    """What a worker does before anything else: create what is missing, refuse what is wrong or still missing.

    Raises:
        TopicsError: with a finding for each topic that is not as it must be.
    """
    specs = settings.topic_specs()
    checks = await inspect_topics(admin, specs)
    if await create_missing(admin, checks, settings, inputs=inputs):
        checks = await inspect_topics(admin, specs)
    refuse_wrong(checks)
    refuse_missing(checks)
    return checks


def refuse_wrong(checks: Iterable[TopicCheck]) -> None:
    """Raise TopicsError with every difference of topics of ours, if there is one."""
    findings = [found for check in checks if check.state is TopicState.WRONG for found in check.findings()]
    if findings:
        raise TopicsError(findings)


def refuse_missing(checks: Iterable[TopicCheck]) -> None:
    """Raise TopicsError with every topic that is missing, if there is one."""
    findings = [found for check in checks if check.state is TopicState.MISSING for found in check.findings()]
    if findings:
        raise TopicsError(findings)


def check_topic(spec: TopicSpec, partitions: int, config: Mapping[str, str | None]) -> TopicCheck:
    """Compare a topic with its spec; `config`: the settings that could be read."""
    if not partitions:
        return TopicCheck(spec, TopicState.MISSING, 0)
    differences = []
    if spec.partitions is not None and partitions != spec.partitions:
        differences.append(_wrong_count(spec, partitions))
    differences += [
        _wrong_config(spec, requirement, config[requirement.setting])
        for requirement in spec.requirements
        if not requirement.is_met_by(config.get(requirement.setting))
    ]
    harmless = spec.role in NO_WORKERS_OWN or all(one.needed.startswith(AT_MOST) for one in differences)
    wrong = TopicState.DOUBTFUL if harmless else TopicState.WRONG
    return TopicCheck(spec, wrong if differences else TopicState.OK, partitions, tuple(differences))


def _wrong_count(spec: TopicSpec, partitions: int) -> Difference:
    return Difference(
        "partitions",
        str(partitions),
        str(spec.partitions),
        "it decides where the state of a key lives, so it is fixed for ever at the first start",
        "set --parcels-partitions / --returns-partitions to what was used at first; or, if this installation "
        "has never run, delete the topic and run `returnwatch topics create`",
    )


def _wrong_config(spec: TopicSpec, requirement: Requirement, found: str | None) -> Difference:
    least = {"at_least": "at least ", "at_most": AT_MOST}.get(requirement.compare, "")
    return Difference(
        requirement.setting,
        str(found),
        f"{least}{requirement.value}",
        requirement.why,
        f"kafka-configs.sh --bootstrap-server ... --alter --entity-type topics --entity-name {spec.name} "
        f"--add-config {requirement.setting}={requirement.value}",
    )


def _todo_missing(spec: TopicSpec) -> str:
    if spec.role is not TopicRole.INPUT:
        return "run `returnwatch topics create`"
    kind = spec.purpose.split()[1]
    return (
        f"let its producers create it, or run `returnwatch topics create --inputs`; if your {kind} events "
        f"are in another topic, name that one"
    )


def _new_topic(spec: TopicSpec, replication_factor: int) -> NewTopic:
    return NewTopic(
        spec.name, spec.creation_partitions(), replication_factor, topic_configs=spec.creation_config()
    )


def _refusal(code: int, message: str | None, settings: Settings) -> tuple[str, str] | None:
    """What the broker said and what to do, None if the topic is there now."""
    error = for_code(code)
    if code == 0 or error is TopicAlreadyExistsError:
        return None
    todo = ""
    if error is InvalidReplicationFactorError:
        factor = settings.replication_factor
        todo = f"the cluster has fewer than {factor} brokers; on a test cluster use --replication-factor 1"
    elif error in {TopicAuthorizationFailedError, ClusterAuthorizationFailedError}:
        todo = (
            "allow this user to Create the topics, or let somebody create them who may (`topics plan --json`); "
            "if they are there already, this user may not see them: allow it to Describe them"
        )
    return message or str(error.description), todo


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Topic -> setting -> value. A topic whose settings we may not read is left out."""
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str | None]] = {}
    for response in await admin.describe_configs(resources):
        for resource in response.resources:
            if resource[RESOURCE_ERROR] == 0:
                entries = resource[RESOURCE_CONFIG]
                found[resource[RESOURCE_NAME]] = {
                    entry[CONFIG_NAME]: entry[CONFIG_VALUE] for entry in entries
                }
    return found
