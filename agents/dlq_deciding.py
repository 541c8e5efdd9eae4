"""`returnwatch dlq redrive|discard`: what is chosen is listed; with `--yes` it is done, and noted who did it."""

import asyncio
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.dlq_command import not_found, tell_unreadable
from agents.errors import DeadLettersError, Finding, SettingsError, UserError
from agents.kafka_connection import open_admin, partition_counts, reachable, run
from agents.letter_filter import Asked, LetterFilter, letter_filter, refuse_unknown_topic
from agents.letter_log import LetterLog, Outcomes, read_outcomes
from agents.letter_sender import Decided, LetterSender, Way
from agents.letter_view import Listed, letter_object, show_letters
from agents.sealing_settings import opener_of
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say, write_line
from schemas.dead_letter_outcomes import MOST_WHY_CHARS, LetterOutcome, Outcome
from schemas.topics import MIB
from streams.letters import (
    OBSTACLES,
    Letter,
    Obstacle,
    Terms,
    dealt_with,
    history,
    obstacle,
    times_redriven,
)

OPAQUE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MOST_A_BATCH = 200
BATCH_BYTES = 2 * MIB
SHOWN_CHOICES = 20
TOLD_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What was typed, of whatever letters."""

    outcome: Outcome
    by: str
    why: str
    yes: bool
    limit: int
    """0: all."""
    as_json: bool
    everything: bool = False
    """All letters, when nothing else chooses some."""
    rate: int = 0
    """At most so many a second; 0: as fast as it goes."""
    most_redrives: int = 0
    again: bool = False
    audit_id: str | None = None

    @property
    def verb(self) -> str:
        """As it is typed."""
        return "redrive" if self.outcome is Outcome.REDRIVEN else "discard"


@dataclass(slots=True)
class Progress:
    """What a run has come to."""

    done: int = 0
    left: Counter[Obstacle] = field(default_factory=Counter)
    too_large: list[str] = field(default_factory=list)
    """Places of records that their topic does not take."""
    about: dict[str, Obstacle | None] = field(default_factory=dict)
    """Of letters that were named: where the record and the letter lie -> what was in the way."""
    sealed_for: set[str] = field(default_factory=set)
    """Fingerprints of the keys that would have opened what stayed sealed."""

    def words(self, hindrance: Obstacle) -> tuple[str, str]:
        """What is in the way, and what to do."""
        what, todo = OBSTACLES[hindrance]
        keys = f" (sealed for {', '.join(sorted(self.sealed_for))})" if hindrance is Obstacle.SEALED else ""
        return what + keys, todo


@dataclass(slots=True)
class Batch:
    """What goes into one transaction."""

    most: int
    decided: list[Decided] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    size: int = 0

    def add(self, letter: Letter, decided: Decided) -> None:
        """Put one in."""
        self.letters.append(letter)
        self.decided.append(decided)
        self.size += len(letter.value or b"")

    @property
    def is_full(self) -> bool:
        """Whether it is to be written now."""
        return len(self.decided) >= self.most or self.size >= BATCH_BYTES


def decide(flags: Mapping[str, object], asked: Asked, decision: Decision) -> int:
    """List what is chosen, or with `yes` do it. Returns 1 if a letter that was named could not be dealt with."""
    _check(asked, decision)
    wanted = letter_filter(asked, datetime.now(UTC))
    settings = load_settings(flags)
    if decision.outcome is Outcome.REDRIVEN:
        refuse_unknown_topic(asked.topic, settings.topics.kinds())
    audit_id = decision.audit_id or f"audit-{uuid.uuid4()}"
    work = Deciding(settings, wanted, decision, audit_id)
    try:
        findings = run(work.run())
    except KeyboardInterrupt:
        work.tell()
        say("stopped; the same command goes on where this one was")
        return DeadLettersError.exit_code
    except UserError:
        if work.has_begun:
            work.tell()
        raise
    if findings:
        raise DeadLettersError(findings)
    return 0


def _check(asked: Asked, decision: Decision) -> None:
    findings = []
    if asked == Asked() and not decision.everything:
        todo = (
            "name places, or choose by --reason, --topic, --from, --to, --older-than or --newer-than; "
            "--everything takes all"
        )
        findings.append(Finding("PLACE", "is missing", "nothing says which letters are meant", todo))
    if asked != Asked() and decision.everything:
        what = "comes together with options that choose some"
        findings.append(Finding("--everything", what, todo="leave it out, or leave them out"))
    for option, text in (("--by", decision.by), ("--audit-id", decision.audit_id)):
        if text is not None and not OPAQUE_ID.fullmatch(text):
            todo = "give letters, digits, dot, dash and underscore, at most 64; no e-mail address, no name"
            findings.append(Finding(option, f"{text!r} is no opaque id", todo=todo))
    if len(decision.why) > MOST_WHY_CHARS or not decision.why.isprintable():
        todo = f"write one line of at most {MOST_WHY_CHARS} characters, without personal data"
        findings.append(Finding("--why", "is too long, or has control characters", todo=todo))
    if decision.outcome is Outcome.DISCARDED and not decision.why.strip():
        findings.append(Finding("--why", "is empty", todo="say why nobody needs these letters"))
    if findings:
        raise SettingsError(findings)


class Deciding:
    """One run of the command."""

    def __init__(self, settings: Settings, wanted: LetterFilter, decision: Decision, audit_id: str) -> None:
        self._settings, self._wanted, self._decision = settings, wanted, decision
        self._audit_id = audit_id
        self._terms = Terms({}, decision.most_redrives, decision.again, audit_id)
        self._outcomes: Outcomes = {}
        self._progress = Progress()
        self._opener = opener_of(settings) if decision.outcome is Outcome.REDRIVEN else None

    @property
    def has_begun(self) -> bool:
        """Whether anything has been done."""
        return self._progress.done > 0

    async def run(self) -> list[Finding]:
        """Do it, or list what would be done. Returns what is wrong about letters that were named."""
        await reachable(self._settings)
        self._terms = self._terms._replace(inputs=await _inputs(self._settings))
        log = LetterLog(self._settings, self._wanted)
        if self._decision.yes:
            async with LetterSender(self._settings) as sender:
                self._outcomes = sender.outcomes
                await self._do(log, sender)
        else:
            self._outcomes = await read_outcomes(self._settings)
            await self._list(log)
        if self._decision.outcome is Outcome.DISCARDED:
            refuse_unknown_topic(self._wanted.topic, self._terms.inputs, log.topics)
        tell_unreadable(log)
        return self._findings()

    # -- choosing

    async def _chosen(self, log: LetterLog) -> AsyncGenerator[Letter]:
        """Letters that nothing is in the way of, at most as many as wanted; the others are counted."""
        chosen = 0
        async with aclosing(log.read()) as letters:
            async for found in letters:
                letter = self._opened(found)
                hindrance = self._hindrance(letter)
                self._note(letter, hindrance)
                if hindrance is not None:
                    continue
                yield letter
                chosen += 1
                if chosen == self._decision.limit:
                    return

    def _opened(self, letter: Letter) -> Letter:
        """What was decided already is not opened for nothing."""
        done = letter.identity in self._outcomes and not self._decision.again
        return letter if done or self._opener is None else self._opener.open(letter)

    def _hindrance(self, letter: Letter) -> Obstacle | None:
        outcome = self._outcomes.get(letter.identity)
        if self._decision.outcome is Outcome.REDRIVEN:
            return obstacle(letter, outcome, self._terms)
        return dealt_with(outcome) if outcome is not None else None

    def _note(self, letter: Letter, hindrance: Obstacle | None) -> None:
        if hindrance is not None:
            self._progress.left[hindrance] += 1
            if hindrance is Obstacle.SEALED:
                self._progress.sealed_for.update(letter.header.sealed_for.split(","))
            if self._decision.as_json:
                _write(letter, self._outcomes, "left", hindrance)
        if self._wanted.places:
            self._progress.about[letter.record] = self._progress.about[letter.lies_at] = hindrance

    # -- listing

    async def _list(self, log: LetterLog) -> None:
        shown: list[Listed] = []
        count = 0
        async for letter in self._chosen(log):
            count += 1
            if self._decision.as_json:
                _write(letter, self._outcomes, f"would_{self._decision.verb}", None)
            elif len(shown) < SHOWN_CHOICES:
                shown.append(Listed(letter.without_record(), self._outcomes.get(letter.identity)))
        if shown:
            show_letters(shown, datetime.now(UTC))
            if count > len(shown):
                say(f"and {count - len(shown)} more")
        self._tell_left()
        if count:
            many = f"these {count}" if count > 1 else "this one"
            say(f"nothing was done yet: the same with --yes would {self._decision.verb} {many}")
        else:
            say(f"there are no such dead letters to {self._decision.verb}")

    # -- doing

    async def _do(self, log: LetterLog, sender: LetterSender) -> None:
        decision = self._decision
        if not decision.as_json:
            say(f"audit id {self._audit_id}")
        most = min(decision.rate or MOST_A_BATCH, MOST_A_BATCH)
        batch, pace, told_at = Batch(most), Pace(decision.rate), time.monotonic()
        async with aclosing(self._chosen(log)) as letters:
            async for letter in letters:
                batch.add(letter, self._decided(letter))
                if not batch.is_full:
                    continue
                await self._write(sender, batch)
                await pace.after(len(batch.letters))
                batch = Batch(most)
                if time.monotonic() - told_at > TOLD_EVERY_S:
                    told_at = time.monotonic()
                    say(f"{self._progress.done} {decision.outcome.value} so far")
        if batch.letters:
            await self._write(sender, batch)
        self.tell()

    def _decided(self, letter: Letter) -> Decided:
        decision, header, earlier = self._decision, letter.header, self._outcomes.get(letter.identity)
        redriven = decision.outcome is Outcome.REDRIVEN
        outcome = LetterOutcome(
            record=letter.record,
            sha256=header.sha256,
            letter=letter.lies_at,
            reason=header.reason,
            outcome=decision.outcome,
            by=decision.by,
            why=decision.why,
            at=datetime.now(UTC).replace(microsecond=0),
            audit_id=self._audit_id,
            redrives=times_redriven(letter, earlier) + redriven,
        )
        if not redriven:
            return Decided(outcome)
        headers = [*letter.headers, *history(letter, earlier).headers()]
        return Decided(outcome, Way(header.topic, header.partition, letter.key, letter.value, headers))

    async def _write(self, sender: LetterSender, batch: Batch) -> None:
        outcomes, left = await sender.write(batch.decided)
        self._progress.done += len(outcomes)
        self._progress.too_large.extend(one.outcome.record for one in left)
        by_identity = {(outcome.record, outcome.sha256): outcome for outcome in outcomes}
        if self._decision.as_json:
            for letter in batch.letters:
                if letter.identity in by_identity:
                    _write(letter, by_identity, self._decision.outcome.value, None)

    # -- telling

    def tell(self) -> None:
        """Say what has been done."""
        self._tell_left()
        say(f"{self._progress.done} {self._decision.outcome.value}")

    def _tell_left(self) -> None:
        by_filter = not self._wanted.places
        for hindrance, count in sorted(self._progress.left.items()):
            if by_filter and hindrance not in {Obstacle.REDRIVEN, Obstacle.DISCARDED}:
                what, todo = self._progress.words(hindrance)
                say(f"{count} stay: {what}; {todo}")

    def _findings(self) -> list[Finding]:
        findings = []
        for place in sorted(self._wanted.places):
            if place not in self._progress.about:
                findings.append(not_found(place))
            elif (hindrance := self._progress.about[place]) is not None:
                what, todo = self._progress.words(hindrance)
                findings.append(Finding(place, what, todo="" if self._decision.verb == "discard" else todo))
        findings += [
            Finding(
                place,
                "its topic does not take a record of this size",
                todo="raise the topic's max.message.bytes",
            )
            for place in self._progress.too_large
        ]
        return findings


class Pace:
    """Keeps to a number of records a second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._started_at = time.monotonic()
        self._count = 0

    async def after(self, count: int) -> None:
        """Wait until so many more may have been sent."""
        self._count += count
        if self._rate:
            due_at = self._started_at + self._count / self._rate
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))


def _write(letter: Letter, outcomes: Outcomes, done: str, hindrance: Obstacle | None) -> None:
    one = Listed(letter, outcomes.get(letter.identity), hindrance)
    told: dict[str, Any] = {"done": done, **letter_object(one, with_record=False)}
    write_line(json.dumps(told))


async def _inputs(settings: Settings) -> dict[str, int]:
    """Input topic -> its partitions; 0: it is not there."""
    async with open_admin(settings) as admin:
        counts = await partition_counts(admin)
    return {topic: counts.get(topic, 0) for topic in settings.topics.kinds()}
