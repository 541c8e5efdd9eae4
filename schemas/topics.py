"""Every topic that Returnwatch reads or writes, and what each of them must be like.

Pure data: `agents` creates the topics and compares what a cluster has with `TopicSpec.findings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

MIB = 1024 * 1024
KIB = 1024
DAY_MS = 24 * 60 * 60 * 1000

MAX_RECORD_BYTES = MIB
"""Largest input record that is read as an event; a larger one goes to `dead-letters`."""
DEAD_LETTER_ROOM = 64 * KIB
"""What a dead letter may need above the record itself: key, headers and the batch around it."""
CHANGELOG_MESSAGE_BYTES = MIB
"""A changelog batch is at most 900,000 bytes and must be appended whole."""


class InputKind(StrEnum):
    """The kinds of input topics; there may be several topics of each kind."""

    ORDERS = "orders"
    LABELS = "labels"
    CARRIER_SCANS = "carrier-scans"
    WAREHOUSE = "warehouse"
    COMMANDS = "commands"


class TopicRole(StrEnum):
    """Who a topic belongs to: `input` is the user's, the others are ours. No worker reads or writes a `journal`."""

    INPUT = "input"
    INTERNAL = "internal"
    CHANGELOG = "changelog"
    OUTPUT = "output"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names that the settings resolve to. Input topics of one kind are read in the given order."""

    inputs: Mapping[InputKind, tuple[str, ...]]
    parcels: str = "returnwatch-parcels"
    returns: str = "returnwatch-returns"
    heartbeats: str = "returnwatch-heartbeats"
    escalations: str = "returnwatch-escalations"
    cases: str = "returnwatch-cases"
    refund_signals: str = "returnwatch-refund-signals"
    command_answers: str = "returnwatch-command-answers"
    journeys: str = "returnwatch-journeys"
    kpis: str = "returnwatch-kpis"
    dead_letters: str = "returnwatch-dead-letters"
    dead_letter_outcomes: str = "returnwatch-dead-letter-outcomes"
    parcel_changelog: str = "returnwatch-parcel-state-changelog"
    return_changelog: str = "returnwatch-return-state-changelog"

    @classmethod
    def named(cls, app_id: str, prefix: str, inputs: Mapping[InputKind, tuple[str, ...]]) -> "TopicNames":
        """Return the names for an application id (changelogs) and a prefix (every other topic of ours)."""
        return cls(
            inputs=dict(inputs),
            parcels=f"{prefix}parcels",
            returns=f"{prefix}returns",
            heartbeats=f"{prefix}heartbeats",
            escalations=f"{prefix}escalations",
            cases=f"{prefix}cases",
            refund_signals=f"{prefix}refund-signals",
            command_answers=f"{prefix}command-answers",
            journeys=f"{prefix}journeys",
            kpis=f"{prefix}kpis",
            dead_letters=f"{prefix}dead-letters",
            dead_letter_outcomes=f"{prefix}dead-letter-outcomes",
            parcel_changelog=f"{app_id}-parcel-state-changelog",
            return_changelog=f"{app_id}-return-state-changelog",
        )

    def kinds(self) -> dict[str, InputKind]:
        """Return input topic -> its kind."""
        return {topic: kind for kind, topics in self.inputs.items() for topic in topics}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One topic setting: written when we create the topic, compared when it is there already."""

    setting: str
    value: str
    compare: Literal["exactly", "at_least", "at_most", "only_at_creation"]
    """at_most: more is doubtful, and no reason to refuse a start: nothing that is found depends on it."""
    why: str = ""

    def is_met_by(self, found: str | None) -> bool:
        """Say whether the value a broker reports is good enough; None means that it did not report one."""
        if found is None or self.compare == "only_at_creation":
            return True
        if self.compare == "exactly":
            return {part.strip() for part in found.split(",")} == {self.value}
        number = int(found)
        if self.compare == "at_most":
            return 0 <= number <= int(self.value)
        return number < 0 or number >= int(self.value)  # -1 is Kafka's "without limit"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic: what it is for and what it must be like. `partitions` is None where any number will do."""

    name: str
    role: TopicRole
    purpose: str
    key: str
    partitions: int | None
    create_with: int = 1
    """Partition count when we create it and `partitions` is None."""
    requirements: tuple[Requirement, ...] = field(default=())

    def creation_partitions(self) -> int:
        """Return the partition count to create the topic with."""
        return self.create_with if self.partitions is None else self.partitions

    def creation_config(self) -> dict[str, str]:
        """Return the topic settings to create it with."""
        # Where a setting has a least and a greatest value, the first of them stands in the specification.
        return {requirement.setting: requirement.value for requirement in reversed(self.requirements)}


def topic_specs(
    names: TopicNames,
    *,
    parcels_partitions: int,
    returns_partitions: int,
    replication_factor: int = 3,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> list[TopicSpec]:
    """Return every topic, inputs first, in the order in which they are created and shown."""
    durable = _durable(replication_factor)
    return [
        *_input_specs(names),
        *_internal_specs(names, parcels_partitions, returns_partitions, durable),
        *_changelog_specs(names, parcels_partitions, returns_partitions, durable),
        *_output_specs(names, returns_partitions, max_record_bytes, durable),
        _outcomes_spec(names, durable),
    ]


def _durable(replication_factor: int) -> Requirement:
    return Requirement("min.insync.replicas", str(max(1, min(2, replication_factor - 1))), "only_at_creation")


def _cleanup(policy: str, why: str) -> Requirement:
    return Requirement("cleanup.policy", policy, "exactly", why)


def _at_most_a_month() -> Requirement:
    return Requirement("retention.ms", str(_MONTH_MS), "at_most", _ERASED_BY_TIME)


def _compacted_within_a_week() -> Requirement:
    return Requirement("max.compaction.lag.ms", str(7 * DAY_MS), "at_most", _ERASED_BY_COMPACTION)


_KEEPS_EVERY_EVENT = "a compacted input drops events that have not been read yet"
_KEEPS_EVERY_FACT = "records of one key are different facts; compaction would lose some"
_KEEPS_THE_NEWEST = "state is rebuilt from the newest record of every key"
_ERASED_BY_TIME = "what was forgotten is erased here by time alone (docs/privacy.md)"
_ERASED_BY_COMPACTION = "what was deleted stays readable until it is compacted away (docs/privacy.md)"
_MONTH_MS = 30 * DAY_MS
_LONGEST_ABSENCE = "a worker that was away for longer could miss a deletion"


def _input_specs(names: TopicNames) -> list[TopicSpec]:
    return [
        TopicSpec(
            name=topic,
            role=TopicRole.INPUT,
            purpose="input: what people tell about cases"
            if kind is InputKind.COMMANDS
            else f"input: {kind.value} events",
            key="any",
            partitions=None,
            create_with=8,
            requirements=(_cleanup("delete", _KEEPS_EVERY_EVENT), _at_most_a_month()),
        )
        for kind in InputKind
        for topic in names.inputs.get(kind, ())
    ]


def _internal_specs(names: TopicNames, parcels: int, returns: int, durable: Requirement) -> list[TopicSpec]:
    week = Requirement(
        "retention.ms", str(7 * DAY_MS), "at_least", "it bounds how long every worker may be down"
    )
    unbounded = Requirement(
        "retention.bytes", "-1", "exactly", "a size limit deletes facts that a backlog has not read yet"
    )
    facts = (_cleanup("delete", _KEEPS_EVERY_FACT), week, _at_most_a_month(), unbounded, durable)
    append_time = Requirement(
        "message.timestamp.type",
        "LogAppendTime",
        "exactly",
        "the broker's append time is the only clock there is",
    )
    role = TopicRole.INTERNAL
    return [
        TopicSpec(names.parcels, role, "facts about parcels, markers", "parcel", parcels, 1, facts),
        TopicSpec(
            names.returns,
            role,
            "facts about returns, reports of parcels, markers",
            "return id",
            returns,
            1,
            facts,
        ),
        TopicSpec(
            names.heartbeats,
            role,
            "what time it is, by the broker; the policy and the clock in force",
            "worker instance, or a control key",
            1,
            1,
            (append_time, _cleanup("compact", "the policy in force must outlive every heartbeat"), durable),
        ),
    ]


def _changelog_specs(names: TopicNames, parcels: int, returns: int, durable: Requirement) -> list[TopicSpec]:
    requirements = (
        _cleanup("compact", _KEEPS_THE_NEWEST),
        Requirement(
            "max.message.bytes",
            str(CHANGELOG_MESSAGE_BYTES),
            "at_least",
            "state and position are written as one batch",
        ),
        Requirement("delete.retention.ms", str(7 * DAY_MS), "at_least", _LONGEST_ABSENCE),
        _compacted_within_a_week(),
        durable,
    )
    role = TopicRole.CHANGELOG
    return [
        TopicSpec(names.parcel_changelog, role, "state of parcels", "parcel", parcels, 1, requirements),
        TopicSpec(
            names.return_changelog, role, "state of returns and cases", "return id", returns, 1, requirements
        ),
    ]


def _output_specs(
    names: TopicNames, returns: int, max_record_bytes: int, durable: Requirement
) -> list[TopicSpec]:
    role = TopicRole.OUTPUT
    month = _at_most_a_month()
    return [
        TopicSpec(
            names.escalations,
            role,
            "every change of every case",
            "return id",
            returns,
            1,
            (_cleanup("delete", "every change counts, not only the newest"), month, durable),
        ),
        TopicSpec(
            names.cases,
            role,
            "the current truth about every case",
            "case id",
            returns,
            1,
            (
                _cleanup("compact", "readers expect the newest record of every case"),
                Requirement("delete.retention.ms", str(7 * DAY_MS), "at_least", _LONGEST_ABSENCE),
                _compacted_within_a_week(),
                durable,
            ),
        ),
        TopicSpec(
            names.refund_signals,
            role,
            "refunds that may be released, and releases revoked",
            "return id",
            returns,
            1,
            (_cleanup("delete", "a revocation must not hide the release"), month, durable),
        ),
        TopicSpec(
            names.command_answers,
            role,
            "what became of every command, notes included",
            "return id",
            returns,
            1,
            (_cleanup("delete", "every answer counts, not only the newest"), month, durable),
        ),
        TopicSpec(
            names.journeys,
            role,
            "where every return is, and what comes next",
            "return id",
            returns,
            1,
            (
                _cleanup("compact", "readers expect the newest record of every return"),
                Requirement("delete.retention.ms", str(7 * DAY_MS), "at_least", _LONGEST_ABSENCE),
                durable,
            ),
        ),
        TopicSpec(
            names.kpis,
            role,
            "what is counted of the returns, by day and by carrier, lane, facility, reason and category",
            "partition, day, dimension and value",
            returns,
            1,
            (
                _cleanup("compact", "readers expect the newest record of every key"),
                Requirement("delete.retention.ms", str(7 * DAY_MS), "at_least", _LONGEST_ABSENCE),
                durable,
            ),
        ),
        TopicSpec(
            names.dead_letters,
            role,
            "records that could not be read as events",
            "key of the refused record",
            None,
            returns,
            (
                _cleanup("delete", "refused records share keys; compaction would lose some"),
                month,
                Requirement(
                    "max.message.bytes",
                    str(max_record_bytes + DEAD_LETTER_ROOM),
                    "at_least",
                    "a refused record must fit with its headers",
                ),
                durable,
            ),
        ),
    ]


def _outcomes_spec(names: TopicNames, durable: Requirement) -> TopicSpec:
    outlives = "a letter whose outcome is gone is taken for a new one, and sent again"
    return TopicSpec(
        names.dead_letter_outcomes,
        TopicRole.JOURNAL,
        "what people did with dead letters",
        "place of the refused record",
        None,
        1,
        (
            _cleanup("delete", "every decision counts, not only the newest"),
            Requirement("retention.ms", str(2 * _MONTH_MS), "at_least", outlives),
            durable,
        ),
    )
