"""`returnwatch explain`: why a rule fired for a return or a parcel, or why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace
from pydantic import ValidationError

from agents.adapters import readers_of
from agents.carrier_tables import read_carrier_codes
from agents.errors import Finding, PolicyRefusedError, SettingsError
from agents.explain_events import played
from agents.explain_log import FETCH, LogStates
from agents.explain_states import Clock, Subject, find_subjects
from agents.explain_view import show
from agents.kafka_connection import open_consumer, reachable, run
from agents.payload_files import PayloadFiles, Wiring
from agents.policy_reading import read_policy
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import say, write_line
from schemas.explanations import Explanation, encode_explanation
from schemas.policy_loading import default_policy
from schemas.vocabulary import RuleId
from streams.epoch import epoch_ms
from streams.explaining import explain
from streams.intake import IntakeMapper, Refused
from streams.reckoning import TellingPolicy


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What was asked for. Without `events` and `payloads` a cluster is asked, as it is now.

    Policy, time and arrival are the events'.
    """

    events: Sequence[Path]
    policy: Path | None
    at: datetime | None
    arrival: str
    rule: RuleId | None
    everything: bool
    as_json: bool
    payloads: PayloadFiles | None = None


def explain_name(flags: Mapping[str, object], name: str, options: ExplainOptions) -> int:
    """Explain every return that `name` means.

    Raises:
        SubjectNotFoundError: nothing is known by that name.
        CarrierCodesError, PolicyRefusedError, ReplayError, SettingsError: with every finding; then nothing is played.
    """
    settings = load_settings(flags)
    recorded = options.events or options.payloads is not None
    subjects = _of_events(settings, name, options) if recorded else run(_of_cluster(settings, name))
    for subject in subjects:
        told = _only(explain(subject.known, _policy(subject.clock)), options.rule)
        if options.as_json:
            write_line(encode_explanation(told).decode())
        else:
            show(told, everything=options.everything)
    if len(subjects) > 1:
        say(f"{len(subjects)} returns are about {name}")
    return 0


def time_asked_for(text: str, option: str = "--at") -> datetime:
    """The time of an option. Raises SettingsError when it is none, or could be any of 26 hours."""
    form = "write it like 2026-03-01T12:00:00Z"
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError([Finding(option, f"{text!r} is no time", todo=form)]) from error
    if at.tzinfo is None:
        raise SettingsError([Finding(option, f"{text!r} has no offset", "it could be any of 26 hours", form)])
    return at


def _of_events(settings: Settings, name: str, options: ExplainOptions) -> list[Subject]:
    codes = read_carrier_codes(settings.carrier_codes)
    policy = read_policy(options.policy) if options.policy is not None else default_policy()
    wiring = Wiring(readers_of(settings), options.payloads)
    mapper = IntakeMapper(codes, adapters=wiring.readers())
    records = wiring.records(options.events, options.arrival)
    at_ms = epoch_ms(options.at) if options.at is not None else records[-1].at_ms
    payloads = () if options.payloads is None else options.payloads.files
    where = ", ".join(map(str, (*options.events, *payloads)))
    if options.at is not None:
        where += f" up to {options.at.isoformat()}"
    states, refused = played(records, policy.to_log(), mapper, at_ms, where)
    if refused:
        say(f"{len(refused)} of {len(records)} records were refused by intake; {_why(refused)}")
    return run(find_subjects(states, name))


def _why(refused: Sequence[Refused]) -> str:
    """Of the first; the others have reasons of their own."""
    first = refused[0]
    more = "" if len(refused) == 1 else "the first: "
    return f"{more}{first.reason.value}: {first.detail}"


async def _of_cluster(settings: Settings, name: str) -> list[Subject]:
    await reachable(settings)
    async with open_consumer(settings, **FETCH) as consumer:
        return await find_subjects(LogStates(settings, consumer), name)


def _policy(clock: Clock) -> TellingPolicy:
    where = "the policy in the log"
    if clock.policy is None:
        why = "workers decide nothing before the first, and there is nothing to explain"
        todo = "start a worker, or run `returnwatch policy apply FILE`"
        raise PolicyRefusedError([Finding(where, "is not there yet", why, todo)])
    try:
        return TellingPolicy(clock.policy)
    except ValidationError as error:
        what = f"cannot be read by this version: {error.errors()[0]['msg']}"
        todo = "use the version that applied it"
        raise PolicyRefusedError([Finding(where, what, todo=todo)]) from error


def _only(told: Explanation, rule: RuleId | None) -> Explanation:
    if rule is None:
        return told
    waits = tuple(one for one in told.waits if one.rule is rule)
    return replace(told, waits=waits, not_started=tuple(one for one in told.not_started if one.rule is rule))
