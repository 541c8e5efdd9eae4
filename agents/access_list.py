"""What each of our programs may do on a cluster with access control: no more than it does.

The one place where this is said. Strimzi's users (deploy/strimzi) and the table in docs/kafka-security.md are written from it,
and tests/integration/test_kafka_security.py holds it against a broker: it is enough, and nothing of it can be left out.

Describe comes with Read and Write, and is named only where there is neither.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from agents.settings import Settings
from schemas.topics import InputKind, TopicRole


class Program(StrEnum):
    """Who connects, each as a user of its own."""

    WORKER = "worker"
    RECEIVE = "receive"
    BOARD = "board"
    NOTIFY = "notify"
    CANARY = "canary"
    ON_CALL = "on-call"
    AUTOSCALER = "autoscaler"


class Resource(StrEnum):
    """What a right is about, by the names of `kafka-acls.sh`."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


class Operation(StrEnum):
    """What may be done, by Kafka's names."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Access(NamedTuple):
    """One right. `prefixed`: of everything whose name begins so."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


PURPOSE: Mapping[Program, str] = {
    Program.WORKER: "`returnwatch worker`",
    Program.RECEIVE: "`returnwatch receive`, where its webhooks feed every kind of input; leave out what yours do not",
    Program.BOARD: "`returnwatch board`; without a token it writes nothing, and needs no Write",
    Program.NOTIFY: "`returnwatch notify run`",
    Program.CANARY: "`returnwatch canary`",
    Program.ON_CALL: "`returnwatch cases`, `journeys`, `kpis`, `explain`, `dlq list` and `dlq show`: looks, and tells commands",
    Program.AUTOSCALER: "KEDA, which asks how much waits",
}


def access_of(program: Program, settings: Settings) -> tuple[Access, ...]:
    """All that a program needs with these settings, each once, in the order in which it is shown."""
    return tuple(dict.fromkeys(_LISTS[program](settings)))


def _topic(name: str, *operations: Operation) -> Iterable[Access]:
    return (Access(Resource.TOPIC, name, operation) for operation in operations)


def _worker(settings: Settings) -> Iterable[Access]:
    names = settings.topics
    for topic in names.kinds():
        yield from _topic(topic, Operation.READ)
    for spec in settings.topic_specs():
        match spec.role:
            case TopicRole.INTERNAL | TopicRole.CHANGELOG:
                yield from _topic(spec.name, Operation.READ, Operation.WRITE, Operation.DESCRIBE_CONFIGS)
            case TopicRole.OUTPUT:
                yield from _topic(spec.name, Operation.WRITE, Operation.DESCRIBE_CONFIGS)
            case TopicRole.JOURNAL:
                yield from _topic(spec.name, Operation.DESCRIBE)
    yield Access(Resource.GROUP, settings.app_id, Operation.READ)
    yield Access(Resource.TRANSACTIONAL_ID, f"{settings.app_id}-", Operation.WRITE, prefixed=True)


def _receive(settings: Settings) -> Iterable[Access]:
    for topic, kind in settings.topics.kinds().items():
        if kind is not InputKind.COMMANDS:
            yield from _topic(topic, Operation.WRITE)


def _board(settings: Settings) -> Iterable[Access]:
    names = settings.topics
    for topic in names.inputs[InputKind.COMMANDS]:
        yield from _topic(topic, Operation.WRITE)
    followed = (
        names.cases, names.escalations, names.command_answers, names.journeys, names.kpis,
        names.dead_letters, names.dead_letter_outcomes, names.returns,
    )  # fmt: skip
    for topic in followed:
        yield from _topic(topic, Operation.READ)


def _notify(settings: Settings) -> Iterable[Access]:
    yield from _topic(settings.topics.escalations, Operation.READ)
    yield Access(Resource.GROUP, f"{settings.app_id}-notify", Operation.READ)


def _canary(settings: Settings) -> Iterable[Access]:
    yield from _topic(settings.topics.inputs[InputKind.ORDERS][0], Operation.WRITE)
    yield from _topic(settings.topics.escalations, Operation.READ)


def _on_call(settings: Settings) -> Iterable[Access]:
    names = settings.topics
    for topic in names.inputs[InputKind.COMMANDS]:
        yield from _topic(topic, Operation.WRITE)
    looked_at = (
        names.cases, names.escalations, names.command_answers, names.journeys, names.kpis,
        names.dead_letters, names.dead_letter_outcomes,
        names.parcel_changelog, names.return_changelog,
    )  # fmt: skip
    for topic in looked_at:
        yield from _topic(topic, Operation.READ)


def _autoscaler(settings: Settings) -> Iterable[Access]:
    for topic in (settings.topics.parcels, settings.topics.returns):
        yield from _topic(topic, Operation.DESCRIBE)
    yield Access(Resource.GROUP, settings.app_id, Operation.DESCRIBE)


_LISTS: Mapping[Program, Callable[[Settings], Iterable[Access]]] = {
    Program.WORKER: _worker,
    Program.RECEIVE: _receive,
    Program.BOARD: _board,
    Program.NOTIFY: _notify,
    Program.CANARY: _canary,
    Program.ON_CALL: _on_call,
    Program.AUTOSCALER: _autoscaler,
}
