"""Which dead letters a person asked for."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from agents.durations import parse_duration
from agents.errors import Finding, SettingsError, did_you_mean
from agents.explain_command import time_asked_for
from schemas.vocabulary import DeadLetterReason
from streams.epoch import epoch_ms
from streams.letters import PLACE, Letter

EVER_MS = 1 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class LetterFilter(NamedTuple):
    """What a letter must be like; None and an empty set ask for nothing."""

    reason: DeadLetterReason | None = None
    topic: str | None = None
    since_ms: int = 0
    before_ms: int = EVER_MS
    places: frozenset[str] = frozenset()
    """Of refused records, or of letters."""

    def takes(self, letter: Letter) -> bool:
        """Whether the letter is wanted. Its time is when it was written."""
        return (
            self.since_ms <= letter.written_ms < self.before_ms
            and self.reason in {None, letter.header.reason}
            and self.topic in {None, letter.header.topic}
            and (not self.places or letter.record in self.places or letter.lies_at in self.places)
        )


class Asked(NamedTuple):
    """What was typed to choose letters."""

    reason: str | None = None
    topic: str | None = None
    since: str | None = None
    before: str | None = None
    older_than: str | None = None
    newer_than: str | None = None
    places: tuple[str, ...] = ()


def letter_filter(asked: Asked, now: datetime) -> LetterFilter:
    """Return the filter for what was typed. Raises SettingsError with everything that cannot be meant."""
    findings = [*_reason(asked.reason), *_places(asked.places)]
    since = [
        0,
        _time_ms("--from", asked.since, findings),
        _age_ms("--newer-than", asked.newer_than, now, findings),
    ]
    before = [
        EVER_MS,
        _time_ms("--to", asked.before, findings),
        _age_ms("--older-than", asked.older_than, now, findings),
    ]
    since_ms = max(one for one in since if one is not None)
    before_ms = min(one for one in before if one is not None)
    if not findings and since_ms >= before_ms:
        what = f"nothing lies between {_text(since_ms)} and {_text(before_ms)}"
        findings.append(Finding("time span", what, todo="--from is the earlier time, and --to the later one"))
    if findings:
        raise SettingsError(findings)
    reason = DeadLetterReason(asked.reason) if asked.reason is not None else None
    return LetterFilter(reason, asked.topic, since_ms, before_ms, frozenset(asked.places))


def refuse_unknown_topic(topic: str | None, inputs: Collection[str], seen: Iterable[str] = ()) -> None:
    """Raise SettingsError for a topic that is no input and of which no letter was seen."""
    known = sorted({*inputs, *seen})
    if topic is None or topic in known:
        return
    todo = did_you_mean(topic, known) or f"known are {', '.join(known)}"
    what = f"{topic!r} is no input topic of these settings, and no dead letter is from it"
    raise SettingsError([Finding("--topic", what, todo=todo)])


def _reason(reason: str | None) -> list[Finding]:
    known = [one.value for one in DeadLetterReason]
    if reason is None or reason in known:
        return []
    todo = did_you_mean(reason, known) or f"known are {', '.join(known)}"
    return [Finding("--reason", f"there is no reason {reason!r}", todo=todo)]


def _places(places: Iterable[str]) -> list[Finding]:
    todo = "write TOPIC/PARTITION@OFFSET, as `returnwatch dlq list` shows it"
    return [
        Finding("PLACE", f"{place!r} is no place of a record", todo=todo)
        for place in places
        if not PLACE.fullmatch(place)
    ]


def _time_ms(option: str, text: str | None, findings: list[Finding]) -> int | None:
    if text is None:
        return None
    try:
        return epoch_ms(time_asked_for(text, option))
    except SettingsError as error:
        findings += error.findings
        return None


def _age_ms(option: str, text: str | None, now: datetime, findings: list[Finding]) -> int | None:
    if text is None:
        return None
    try:
        return max(0, epoch_ms(now) - parse_duration(text) // _MS)
    except ValueError as error:
        what, _, todo = str(error).partition("; ")
        findings.append(Finding(option, f"{text!r} {what}", todo=todo))
    except OverflowError:
        findings.append(Finding(option, f"{text!r} is too long", todo="give less"))
    return None


def _text(at_ms: int) -> str:
    try:
        return f"{_EPOCH + at_ms * _MS:%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return "the end of time"
