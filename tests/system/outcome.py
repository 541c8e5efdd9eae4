"""What a run has left in its topics, read as any consumer could, and held against what the world knows to be true."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import TopicPartition

from agents.settings import Settings
from schemas.dead_letters import DeadLetter
from schemas.facts import MARKER_KEY, decode_marker
from schemas.kpi_sums import KpiTable
from schemas.outputs import (
    Case,
    Escalation,
    RefundSignal,
    case_after,
    decode_case,
    decode_escalation,
    decode_refund_signal,
)
from schemas.policy import FEED_RULES, Policy
from schemas.return_journeys import ReturnJourney, decode_journey
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, Reason
from simulation.expect_feeds import expected_of_feeds
from simulation.expect_journeys import expected_journeys, wrong_journeys
from simulation.expect_kpis import expected_kpis, wrong_kpis
from simulation.expect_signals import expected_signals
from simulation.feed_sight import Arrival, Sight
from simulation.feed_story import FeedStory
from simulation.holds import holds
from simulation.judge_signals import wrong_signals
from simulation.ledger import LedgerEvent
from simulation.marks_seen import MarksSeen
from simulation.oracle import ExpectedCase, expected
from simulation.outgoing import came_of_the_carrier
from simulation.scoreboard import Observed, Score, score
from simulation.terms import Terms
from streams.epoch import epoch_ms, moment_of
from streams.watermark import POSITION_KEY, decode_position
from tests.chaos.installation import read_all

STANDING = frozenset({CaseState.OPEN, CaseState.ESCALATED})
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Standstill:
    """How far watermarks were behind, measured where each partition's position was made durable (simulated time)."""

    longest: timedelta
    """Behind the clock when a watermark moved on: until then, later records may have been known at a deadline."""
    longest_to_say: timedelta
    """The same, with the position after: by then everything that a batch said, or had to say again, was said."""


@dataclass(frozen=True, slots=True)
class FeedTold:
    """How well marks told of a feed."""

    sources: int
    """Partitions of its topics."""
    blurred: int
    """Times of which it was not known what came when."""
    came: int
    came_in_blurred: int
    told: int

    @classmethod
    def of(cls, seen: MarksSeen, came: Sequence[Arrival]) -> FeedTold:
        """From the marks of a stage and what was appended."""
        inside = sum(any(since <= one.appended_at <= until for since, until in seen.blurred) for one in came)
        return cls(seen.sources, len(seen.blurred), len(came), inside, seen.told)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The comparison, and the records themselves."""

    score: Score
    expected: list[ExpectedCase]
    standstill: Standstill
    escalations: list[Escalation]
    """Each change once, in the order of its first telling per partition."""
    cases: dict[str, Case]
    """Case id -> the last record under that key."""
    dead_letters: list[DeadLetter]
    """Each refused record once."""
    until_at: datetime
    """The end of the world."""
    findings: list[str]
    """What is wrong with the topics themselves, whatever the oracle says."""
    signals: list[RefundSignal]
    """Each refund signal once."""
    wrong_signals: list[str]
    """Where they are not what the oracle expects."""
    feed: FeedTold | None
    """What was told of the feed that is watched."""
    wrong_kpis: list[str]
    """Where the snapshots are not what a plain count gives; meant only once a day has gone by since the end of the world."""

    @property
    def standing(self) -> set[tuple[str, str, str]]:
        """(rule, return, parcel) of the cases that `cases` shows as open."""
        return {
            _subject(case)
            for case in self.cases.values()
            if case.state in STANDING and case.due_at <= self.until_at
        }

    def wrong_standing(self) -> list[str]:
        """Where the open cases in `cases` are not those that are open in truth."""
        surely, perhaps = set(), set()
        for case in self.expected:
            if case.final_states & STANDING:
                perhaps.add((case.rule, case.return_id, case.parcel))
                if case.opens is True and case.final_states <= STANDING:
                    surely.add((case.rule, case.return_id, case.parcel))
        standing = self.standing
        rightly = _rightly_closed(self.cases.values(), self.until_at)
        return [
            *(f"closed, though it is so: {subject}" for subject in sorted(surely - standing - rightly)),
            *(f"open, though it is not so: {subject}" for subject in sorted(standing - perhaps)),
        ]

    @property
    def undecided(self) -> int:
        """Expected cases of which the oracle cannot say whether they open, or how they end."""
        return sum(case.opens == "either" or case.retracted == "either" for case in self.expected)

    def problems(self) -> list[str]:
        """Everything that is wrong, in sentences."""
        wrong_scores = [] if self.score.ok else self.score.problems
        return [*self.findings, *self.wrong_standing(), *wrong_scores, *self.wrong_signals]

    def story(self) -> str:
        """A few lines for whoever reads a test's output."""
        return (
            f"{len(self.expected)} cases expected, {self.undecided} of them undecided;"
            f" {sum(case.rule in FEED_RULES and case.opens is True for case in self.expected)} certain about feeds;"
            f" {sum(case.delayed is True for case in self.expected)} held for certain; {len(self.escalations)} changes,"
            f" {self.score.repeats} repeats; {len(self.signals)} refund signals; longest standstill"
            f" {self.standstill.longest} of simulated time; {len(self.dead_letters)} dead letters"
        )

    def assert_true(self, told: str) -> None:
        """Fail with the problems, if there are any."""
        problems = self.problems()
        shown = "\n".join(problems[:SHOWN])
        assert not problems, f"{told}\n{self.story()}\n{len(problems)} problems:\n{shown}"


async def read_outcome(
    settings: Settings,
    ledger: Iterable[LedgerEvent],
    policy: Policy,
    *,
    starts_at: datetime,
    until_at: datetime,
    feed: FeedStory | None = None,
) -> Outcome:
    """Read and compare. `feed`: what happened to the feed that is watched."""
    names, clock = settings.topics, settings.simulated
    assert clock is not None
    changelogs = (names.parcel_changelog, names.return_changelog)
    ledger = list(ledger)
    outputs = (
        names.escalations,
        names.cases,
        names.refund_signals,
        names.journeys,
        names.kpis,
        names.dead_letters,
    )
    read = await read_all(settings, [*outputs, *changelogs])
    by_topic: dict[str, list[list[Any]]] = {}
    for tp, records in read.items():
        by_topic.setdefault(tp.topic, []).append(records)
    standstill = _standstill(
        [log for name in changelogs for log in by_topic[name]], clock, starts_at, until_at
    )
    told = [record for log in by_topic[names.escalations] for record in log]
    observed = [
        Observed.of(decode_escalation(record.value), moment_of(clock.simulated_ms(record.timestamp)))
        for record in told
    ]
    # The clock runs on while the workers are told to stop: what it brings is of no world.
    observed = [change for change in observed if change.effective_at <= until_at]
    ledger, terms = list(ledger), Terms(policy)
    seen = await _marks_seen(settings, feed) if feed is not None else None
    came = came_of_the_carrier(ledger)
    # Where the troubles outlast the show, the feed is truly silent until the end.
    sight = (
        Sight(feed, seen.blurred, [*came, Arrival(until_at)])
        if feed is not None and seen is not None
        else None
    )
    cases = expected(ledger, terms, until_at, standstill.longest, holds(sight, terms))
    cases += expected_of_feeds(sight, terms, until_at)
    bound = standstill.longest + standstill.longest_to_say + policy.settle
    signals, signal_findings = _signals(by_topic[names.refund_signals], until_at)
    table, kpi_findings = _kpis(by_topic[names.kpis])
    first_told, findings = _each_once(told, "escalations")
    escalations = [decode_escalation(record.value) for record in first_told.values()]
    truth, case_findings = _newest_cases(by_topic[names.cases], escalations)
    if policy.journeys:
        told_journeys, journey_findings = _newest_journeys(by_topic[names.journeys], clock, policy.accept_age)
        findings += journey_findings
        closed = _rightly_closed(truth.values(), until_at)
        findings += _wrong_journeys(
            told_journeys, ledger, Terms(policy), cases, until_at, closed, standstill.longest
        )
    return Outcome(
        score=score(cases, observed, bound=bound),
        expected=cases,
        standstill=standstill,
        escalations=escalations,
        cases=truth,
        dead_letters=_letters(by_topic[names.dead_letters]),
        until_at=until_at,
        findings=[*findings, *case_findings, *signal_findings, *kpi_findings],
        signals=signals,
        wrong_signals=wrong_signals(
            expected_signals(ledger, terms, until_at, standstill.longest), signals, bound
        ),
        feed=FeedTold.of(seen, came) if seen is not None else None,
        wrong_kpis=wrong_kpis(table.snapshots.values(), expected_kpis(ledger, terms, until_at), cases=False),
    )


async def _marks_seen(settings: Settings, feed: FeedStory) -> MarksSeen:
    """What the marks in the log of a stage tell of when the feed's events came."""
    topic = settings.topics.returns
    seen = MarksSeen(settings.topics.inputs[InputKind.CARRIER_SCANS], feed.feed)
    for record in (await read_all(settings, [topic]))[TopicPartition(topic, 0)]:
        if record.key == MARKER_KEY:
            seen.add(decode_marker(record.value).marks)
    return seen


def _signals(logs: Iterable[Sequence[Any]], until_at: datetime) -> tuple[list[RefundSignal], list[str]]:
    told, findings = _each_once([record for log in logs for record in log], "refund-signals")
    signals = [decode_refund_signal(record.value) for record in told.values()]
    return [signal for signal in signals if signal.effective_at <= until_at], findings


def _kpis(logs: Iterable[Sequence[Any]]) -> tuple[KpiTable, list[str]]:
    table, said = KpiTable(), []
    for record in [record for log in logs for record in log]:
        table.apply(record.key, record.value, f"{record.topic}/{record.partition}@{record.offset}")
        said += [record] if record.value is not None else []
    _, findings = _each_once(said, "kpis")
    return table, [*findings, *(f"kpis: {where} cannot be read" for where in table.unreadable)]


def _standstill(
    changelogs: Sequence[Sequence[Any]], clock: Any, starts_at: datetime, until_at: datetime
) -> Standstill:
    starts_ms, until_ms = epoch_ms(starts_at), epoch_ms(until_at)
    longest = longest_to_say = 0
    for changelog in changelogs:
        before_ms = two_before_ms = starts_ms
        for record in changelog:
            if record.key != POSITION_KEY or two_before_ms >= until_ms:
                continue
            appended_ms = clock.simulated_ms(record.timestamp)
            if before_ms < until_ms:
                longest = max(longest, appended_ms - before_ms)
            longest_to_say = max(longest_to_say, appended_ms - two_before_ms)
            reached_ms = max(before_ms, decode_position(record.value).watermark_ms)
            two_before_ms, before_ms = before_ms, reached_ms
    return Standstill(timedelta(milliseconds=longest), timedelta(milliseconds=longest_to_say))


def _each_once(records: Iterable[Any], topic: str) -> tuple[dict[str, Any], list[str]]:
    """The first record of each `ce_id`, and where a later one is not the same to the byte."""
    first: dict[str, Any] = {}
    findings = []
    for record in records:
        ce_id = dict(record.headers)["ce_id"].decode()
        known = first.setdefault(ce_id, record)
        if (known.key, known.value, known.headers, known.partition) != (
            record.key,
            record.value,
            record.headers,
            record.partition,
        ):
            findings.append(f"{topic}: {ce_id} was said in two ways")
    return first, findings


def _newest_cases(
    logs: Iterable[Sequence[Any]], escalations: Iterable[Escalation]
) -> tuple[dict[str, Case], list[str]]:
    newest: dict[str, Escalation] = {}
    for change in escalations:
        if change.case_id not in newest or newest[change.case_id].revision < change.revision:
            newest[change.case_id] = change
    truth: dict[str, Case] = {}
    for log in logs:
        for record in log:
            case_id = record.key.decode()
            if record.value is None:
                truth.pop(case_id, None)
                if case_id in newest and newest[case_id].state not in STANDING:
                    newest.pop(case_id)  # closed, and forgotten since
            else:
                truth[case_id] = decode_case(record.value)
    findings = [
        f"cases: the last record of {case_id} is revision {truth[case_id].revision if case_id in truth else None},"
        f" escalations has {change.revision}"
        for case_id, change in newest.items()
        if truth.get(case_id) != case_after(change)
    ]
    findings += [
        f"cases: {case_id} was never told in escalations" for case_id in truth.keys() - newest.keys()
    ]
    return truth, findings


def _rightly_closed(cases: Iterable[Case], until_at: datetime) -> set[tuple[str, str, str]]:
    """(rule, return, parcel) of the cases that people closed, and of those that the clock did after the end.

    It runs on while the workers are told to stop: what it closes then is of no world.
    """
    return {_subject(case) for case in cases if case.reason is Reason.BY_HAND or case.effective_at > until_at}


def _subject(case: Case) -> tuple[str, str, str]:
    return case.rule.value, case.return_id, case.feed.name if case.feed is not None else case.parcel


def _newest_journeys(
    logs: Sequence[Sequence[Any]], clock: Any, accept_age: timedelta
) -> tuple[dict[str, ReturnJourney | None], list[str]]:
    """The newest record of each return, None of one that was ever forgotten; and what was wrong on the way."""
    _, findings = _each_once([one for log in logs for one in log if one.value is not None], "journeys")
    told: dict[str, ReturnJourney | None] = {}
    newest: dict[str, ReturnJourney] = {}
    before_a_crash = set[str]()
    for record in (record for log in logs for record in log):
        ce_id = dict(record.headers).get("ce_id", b"").decode()
        if ce_id in before_a_crash:
            continue  # said again, and what came after it is, too
        before_a_crash |= {ce_id} - {""}
        return_id, before = record.key.decode(), newest.get(record.key.decode())
        if record.value is None:
            told[return_id] = None
            forgotten_at = moment_of(clock.simulated_ms(record.timestamp))
            if (
                before is not None
                and before.stage is not None
                and forgotten_at < before.effective_at + accept_age
            ):
                findings.append(f"journey of {return_id} was forgotten at {forgotten_at}, too soon")
            continue
        journey = newest[return_id] = decode_journey(record.value)
        if before is not None and journey.revision < before.revision:
            findings.append(f"journey of {return_id}: {journey.revision} came after {before.revision}")
        if return_id not in told or told[return_id] is not None:
            told[return_id] = journey
    return told, findings


LEEWAY_AT_THE_END = timedelta(days=2)
"""The simulated clock runs on while the workers are told to stop, so dates that pass then may be told or not.

Of workers that stood still for longer than this no dates are judged: what they read late settles late.
"""


def _wrong_journeys(
    told: Mapping[str, ReturnJourney | None],
    ledger: Sequence[LedgerEvent],
    terms: Terms,
    cases: Sequence[ExpectedCase],
    until_at: datetime,
    closed: Collection[tuple[str, str, str]],
    stood_still: timedelta,
) -> list[str]:
    """Where the newest record of a return does not say what is true. `closed`: cases that were, rightly.

    Left out: returns of which more was appended after the end, and those that were forgotten, for of what is told of them
    again a part may be too old.
    """
    at_the_end = expected_journeys(ledger, terms, until_at)
    ever = expected_journeys(ledger, terms, datetime.max.replace(tzinfo=UTC))
    over = {return_id for return_id, journey in ever.items() if at_the_end.get(return_id) == journey}
    forgotten = {return_id for return_id, journey in told.items() if journey is None}
    left_out = (ever.keys() - over) | forgotten
    shown = {name: journey for name, journey in told.items() if journey is not None and name not in left_out}
    expected_ones = {name: ever[name] for name in over - forgotten}
    slack = LEEWAY_AT_THE_END if stood_still <= LEEWAY_AT_THE_END else None
    return wrong_journeys(expected_ones, cases, shown, until_at, closed, slack=slack)


def _letters(logs: Iterable[Sequence[Any]]) -> list[DeadLetter]:
    letters = [DeadLetter.from_headers(record.headers) for log in logs for record in log]
    return list({(letter.topic, letter.partition, letter.offset): letter for letter in letters}.values())
