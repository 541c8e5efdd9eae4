"""`returnwatch dlq list|show|stats|keygen`: what was refused and still waits for somebody. Changes nothing in Kafka."""

import heapq
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.errors import DeadLettersError, Finding
from agents.kafka_connection import reachable, run
from agents.letter_filter import Asked, LetterFilter, letter_filter, refuse_unknown_topic
from agents.letter_log import LetterLog, Outcomes, read_outcomes
from agents.letter_view import Listed, Stats, letter_object, show_letter, show_letters, show_stats
from agents.sealing_settings import make_keys, opener_of
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say, write_line
from streams.letters import OBSTACLES, Letter, not_opened


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How to tell; `limit` 0 tells all."""

    limit: int
    everything: bool
    """Also what was redriven or discarded."""
    as_json: bool


def list_letters(flags: Mapping[str, object], asked: Asked, options: ListOptions) -> int:
    """Print the wanted letters, the newest first."""
    wanted = letter_filter(asked, datetime.now(UTC))
    return run(_list(load_settings(flags), wanted, options))


def show_letters_at(flags: Mapping[str, object], place: str, save: Path | None, *, as_json: bool) -> int:
    """Print all about the letters of a place: of a refused record, or of a letter.

    Raises:
        DeadLettersError: there is none, or `save` could not be written or names a file of more than one.
    """
    wanted = letter_filter(Asked(places=(place,)), datetime.now(UTC))
    return run(_show(load_settings(flags), wanted, place, save, as_json=as_json))


def count_letters(flags: Mapping[str, object], asked: Asked, *, everything: bool, as_json: bool) -> int:
    """Print how many letters there are, by reason, topic and hour."""
    wanted = letter_filter(asked, datetime.now(UTC))
    return run(_count(load_settings(flags), wanted, everything=everything, as_json=as_json))


def make_key_files(private: Path) -> int:
    """Make a private and a public key, and say what to do with them."""
    public, fingerprint = make_keys(private)
    say(f"key {fingerprint}: the private one is in {private}, the public one in {public}")
    say(f"workers take `--dead-letter-recipient {public}`; who reads letters takes `--identity {private}`")
    say("keep a copy of the private key: without it nobody opens what is sealed for it")
    return 0


async def _list(settings: Settings, wanted: LetterFilter, options: ListOptions) -> int:
    await reachable(settings)
    outcomes = await read_outcomes(settings)
    log = LetterLog(settings, wanted)
    newest: list[tuple[int, str, Letter]] = []
    count = done = 0
    async for letter in log.read():
        if letter.identity in outcomes and not options.everything:
            done += 1
            continue
        count += 1
        entry = (letter.written_ms, letter.lies_at, letter.without_record())
        if options.limit and len(newest) == options.limit:
            heapq.heappushpop(newest, entry)
        else:
            heapq.heappush(newest, entry)
    refuse_unknown_topic(wanted.topic, settings.topics.kinds(), log.topics)
    listed = [_listed(letter, outcomes) for _, _, letter in sorted(newest, reverse=True)]
    if options.as_json:
        for one in listed:
            write_line(json.dumps(letter_object(one, with_record=False)))
    else:
        _show_list(listed, count - len(listed), done)
    tell_unreadable(log)
    return 0


def _listed(letter: Letter, outcomes: Outcomes) -> Listed:
    return Listed(letter, outcomes.get(letter.identity))


def _show_list(listed: list[Listed], left_out: int, done: int) -> None:
    dealt_with = f"; {done} that were redriven or discarded are not shown (--all)" if done else ""
    if not listed:
        say(f"no such dead letters{dealt_with}")
        return
    show_letters(listed, datetime.now(UTC))
    more = f", {left_out} more with --limit 0" if left_out else ""
    todo = "`returnwatch dlq show RECORD` tells all about one"
    say(f"{counted(len(listed))}{more}{dealt_with}. {todo}")


async def _show(
    settings: Settings, wanted: LetterFilter, place: str, save: Path | None, *, as_json: bool
) -> int:
    await reachable(settings)
    outcomes = await read_outcomes(settings)
    log, opener = LetterLog(settings, wanted), opener_of(settings)
    letters = [opener.open(letter) if opener is not None else letter async for letter in log.read()]
    if not letters:
        raise DeadLettersError([not_found(place)])
    if save is not None:
        _save(save, letters)
    now = datetime.now(UTC)
    for letter in letters:
        one = _listed(letter, outcomes)
        if as_json:
            write_line(json.dumps(letter_object(one, with_record=True)))
        else:
            show_letter(one, now, log.repeats)
    return 0


def _save(save: Path, letters: list[Letter]) -> None:
    if len(letters) > 1:
        named = ", ".join(letter.lies_at for letter in letters)
        todo = "name one letter"
        raise DeadLettersError(
            [Finding("--save", f"{len(letters)} letters are of that place: {named}", todo=todo)]
        )
    if (hindrance := not_opened(letters[0])) is not None:
        what, todo = OBSTACLES[hindrance]
        raise DeadLettersError([Finding("--save", f"{letters[0].record} {what}", todo=todo)])
    try:
        save.write_bytes(letters[0].value or b"")
    except OSError as error:
        raise DeadLettersError([Finding("--save", f"cannot write {save}: {error.strerror}")]) from error
    say(f"its bytes are in {save}")


async def _count(settings: Settings, wanted: LetterFilter, *, everything: bool, as_json: bool) -> int:
    await reachable(settings)
    outcomes = await read_outcomes(settings)
    log, stats = LetterLog(settings, wanted), Stats()
    async for letter in log.read():
        stats.add(letter, outcomes.get(letter.identity), everything=everything)
    refuse_unknown_topic(wanted.topic, settings.topics.kinds(), log.topics)
    told = stats.as_object()
    if as_json:
        write_line(json.dumps({**told, "repeats": log.repeats}))
    else:
        if stats.reasons:
            show_stats(stats)
        repeats = f"; {log.repeats} more are repeats" if log.repeats else ""
        dealt_with = f"{told['redriven']:,} redriven, {told['discarded']:,} discarded"
        apart = "" if everything or not stats.outcomes else " and not counted above (--all)"
        say(f"{counted(told['letters'])}{repeats}; {dealt_with}{apart}")
    tell_unreadable(log)
    return 0


def counted(letters: int) -> str:
    """`1 dead letter`, `2,000 dead letters`."""
    return f"{letters:,} dead letter{'' if letters == 1 else 's'}"


def not_found(place: str) -> Finding:
    """What to tell when there is no letter of a place."""
    todo = "`returnwatch dlq list --all --limit 0` shows all that are kept; letters are kept for 30 days"
    return Finding(place, "there is no dead letter of that place", todo=todo)


def tell_unreadable(log: LetterLog) -> None:
    """Say what in the topic is no dead letter."""
    if log.unreadable:
        left_out = log.unreadable - len(log.unreadable_places)
        more = f" and {left_out} more" if left_out else ""
        places = ", ".join(log.unreadable_places)
        say(
            f"not dead letters, left out: {places}{more}. Another version, or somebody else who writes to this topic?"
        )
