"""`returnwatch forget`: shows what is known of a return, asks, and has it erased."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import typer

from agents.case_log import read_cases
from agents.commanding import Written, checked, send
from agents.durations import duration_text
from agents.errors import Finding, ForgetError, SettingsError
from agents.explain_log import FETCH, LogStates
from agents.explain_states import parcels_of, returns_of
from agents.kafka_connection import open_consumer, reachable, run
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say, write_line
from schemas.command_answers import CommandAnswer
from schemas.vocabulary import AnswerReason
from streams.parcel import decode_parcel
from streams.returns import decode_return


@dataclass(frozen=True, slots=True)
class Erasing:
    """What was typed."""

    return_id: str
    by: str
    reason: str
    yes: bool
    dry_run: bool
    even_if_unknown: bool
    command_id: str | None
    wait: timedelta
    as_json: bool


class Knowledge(NamedTuple):
    """What there is of a return."""

    facts: int
    parcels: tuple[str, ...]
    shared: tuple[str, ...]
    """Of the parcels, those that carry other returns, too, and stay for them."""
    cases: Mapping[str, int]
    """State -> how many."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to erase."""
        return not (self.facts or self.parcels or self.cases)


def forget(flags: Mapping[str, object], told: Erasing) -> int:
    """Erase a return.

    Raises:
        ForgetError: nothing is known of it, or it was not confirmed, or no worker answered.
        SettingsError: what was typed cannot be told.
    """
    command_id = told.command_id or str(uuid.uuid4())
    return_id = told.return_id.strip()
    written = Written(command_id, return_id.encode(), _value(told, return_id, command_id))
    settings = load_settings(flags)
    if not settings.commands_topics:
        todo = "name the topic that the workers read commands from"
        raise SettingsError([Finding("--commands-topic", "there is none", todo=todo)])
    return run(_forget(settings, told, return_id, written))


async def _forget(settings: Settings, told: Erasing, return_id: str, written: Written) -> int:
    await reachable(settings)
    known = await _known(settings, return_id)
    _show(return_id, known)
    if told.dry_run:
        say("nothing was told (--dry-run)")
        return 0
    if known.is_nothing and not told.even_if_unknown:
        why = "a return of that id that comes later would be ignored without a word"
        todo = (
            "check the id; if it was forgotten before, that holds; --even-if-unknown forgets it all the same"
        )
        raise ForgetError([Finding(return_id, "nothing is known of it", why, todo)])
    _confirm(told, return_id)
    answers = await send(settings, [written], told.wait)
    answer = answers.get(written.command_id)
    if answer is None:
        what = (
            f"was sent to {settings.commands_topics[0]}, and not answered within {duration_text(told.wait)}"
        )
        todo = f"is a worker running that reads it? The same with --command-id {written.command_id} is not done twice"
        raise ForgetError([Finding(f"command {written.command_id}", what, todo=todo)])
    return _tell(answer, as_json=told.as_json)


def _value(told: Erasing, return_id: str, command_id: str) -> bytes:
    event = {
        "type": "forget",
        "id": command_id,
        "occurred_at": datetime.now(UTC).isoformat(),
        "return_id": return_id,
        "by": told.by,
        "reason": told.reason,
    }
    return checked(json.dumps(event).encode())


def _confirm(told: Erasing, return_id: str) -> None:
    """Raises ForgetError unless it is meant."""
    if told.yes:
        return
    why = "what is erased does not come back"
    if not sys.stdin.isatty():
        todo = "give --yes to forget it, or --dry-run to look only"
        raise ForgetError([Finding("--yes", "is missing, and nobody can be asked", why, todo)])
    if not typer.confirm(f"Forget {return_id}? {why.capitalize()}.", err=True):
        raise ForgetError([Finding(return_id, "was not forgotten: not confirmed")])


def _tell(answer: CommandAnswer, *, as_json: bool) -> int:
    if as_json:
        write_line(msgspec.json.encode(answer).decode())
    else:
        say(answer.explanation)
        if answer.reason is not AnswerReason.ALREADY_SO:
            say("what topics keep of it by time goes within 30 days: docs/privacy.md")
    return 0 if answer.accepted else ForgetError.exit_code


# -- what is known ------------------------------------------------------------------------------------------------


async def _known(settings: Settings, return_id: str) -> Knowledge:
    cases = [case for case in (await read_cases(settings)).cases.values() if case.return_id == return_id]
    async with open_consumer(settings, **FETCH) as consumer:
        states = LogStates(settings, consumer)
        key = return_id.encode()
        raw = (await states.read("returns", [key])).get(key)
        state = decode_return(raw) if raw is not None else None
        named = {*(parcels_of(state) if state is not None else ()), *(case.parcel for case in cases)} - {""}
        found = await states.read("parcels", [one.encode() for one in sorted(named)])
    shared = [one.decode() for one, raw in found.items() if set(returns_of(decode_parcel(raw))) - {return_id}]
    return Knowledge(
        len(state.facts) if state is not None else 0,
        tuple(sorted(named)),
        tuple(sorted(shared)),
        Counter(case.state.value for case in cases),
    )


def _show(return_id: str, known: Knowledge) -> None:
    cases = ", ".join(f"{count} {state}" for state, count in sorted(known.cases.items())) or "none"
    say(f"{return_id}: {known.facts} facts; cases: {cases}; parcels: {', '.join(known.parcels) or 'none'}")
    if known.shared:
        say(f"of these carry other returns, too, and stay for them: {', '.join(known.shared)}")
