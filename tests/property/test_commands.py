"""Commands told twice, a log cut anywhere, a process that stops anywhere: the same is said about cases, byte for byte."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.command_answers import decode_command_answer
from schemas.facts import MARKER_KEY, POLICY_KEY, CaseCommand, ParcelReport, encode_json
from schemas.outputs import decode_escalation
from schemas.policy_loading import default_policy
from schemas.vocabulary import CASE_COMMANDS, CaseState, Closure, CommandType, Reason
from streams.cases import case_id
from streams.watermark import PARCELS_SOURCE
from tests.property.test_watermark_steps import CUTS, Entry, in_smaller_steps, play, said
from tests.stages import DAY, HOUR, MONDAY, case_command, marker, returns_run
from tests.unit.test_cases import breach

CASES = [
    case_id("missing_first_scan", "R1", "ups:1Z", "0a"),
    case_id("missing_first_scan", "R1", "ups:1Z", "0b"),
]
"""The one that there is, and one that there is not."""
HALF_DAY = 12 * HOUR
VERDICTS = [("open", "due"), ("open", "due"), ("ended", "first_scan"), ("retracted", "late_evidence")]


@st.composite
def commands(draw: st.DrawFn, at_ms: int) -> CaseCommand:
    command = draw(st.sampled_from(CASE_COMMANDS))
    more: dict[str, Any] = {}
    if command is CommandType.SNOOZE:
        more["until_ms"] = at_ms + draw(st.integers(-1, 12)) * HALF_DAY
    elif command is CommandType.ASSIGN:
        more["to"] = draw(st.sampled_from(["north", "south"]))
    elif command is CommandType.RESOLVE:
        more["closure"] = draw(st.sampled_from([Closure.FOUND, Closure.OTHER]))
    case = draw(st.sampled_from([CASES[0], CASES[0], CASES[0], CASES[1]]))
    by = draw(st.sampled_from(["ops-1", "ops-2"]))
    return case_command(command, case, at_ms, by=by, **more)


@st.composite
def reports(draw: st.DrawFn, revision: int) -> ParcelReport:
    state, reason = draw(st.sampled_from(VERDICTS))
    told = breach(state, reason=reason, ended_hours=80 if state == "ended" else 0)
    return ParcelReport("ups:1Z", revision, "ups", label_ms=MONDAY, breaches=(told,))


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    """A policy, the changing reports of one parcel, commands about its case, and the watermark before each of them."""
    log: list[Entry] = [(POLICY_KEY, default_policy().to_log())]
    at_ms = 72 * HOUR
    for number in range(draw(st.integers(3, 14))):
        at_ms += draw(st.integers(0, 3)) * HALF_DAY
        log += reach(at_ms)
        told = (
            draw(reports(number + 1))
            if number == 0 or draw(st.integers(0, 3)) == 0
            else draw(commands(at_ms))
        )
        log.append((b"R1", encode_json(told)))
    return [*log, *reach(40 * DAY), *reach(400 * DAY)]


def reach(at_ms: int) -> list[Entry]:
    return [(MARKER_KEY, marker(MONDAY + at_ms, source)) for source in ("inputs", PARCELS_SOURCE)]


def is_command(entry: Entry) -> bool:
    return b'"kind":"command"' in entry[1]


@settings(max_examples=60, deadline=None)
@given(logs(), CUTS, st.integers(1, 4), st.sets(st.integers(0, 30), max_size=4), st.booleans())
def test_what_is_said_does_not_depend_on_cuts_steps_and_restarts(
    log: list[Entry], cuts: tuple[int, int, int], pieces: int, restarts: set[int], disk: bool
) -> None:
    chunk, max_facts, max_bytes = cuts
    whole = play(returns_run(), log, len(log), set())
    run = returns_run(max_facts=max_facts, max_bytes=max_bytes)
    assert said(play(run, in_smaller_steps(log, pieces), chunk, restarts, disk=disk)) == said(whole)


@settings(max_examples=60, deadline=None)
@given(logs(), st.data())
def test_a_command_that_comes_again_changes_nothing_and_is_answered_as_before(
    log: list[Entry], data: st.DataObject
) -> None:
    again = list(log)
    for entry in [entry for entry in log if is_command(entry)]:
        first = again.index(entry)
        # the log's end, by when the return may be forgotten, is no place for a repeat
        places = st.lists(st.integers(first + 1, max(first + 1, len(again) - 4)), max_size=2)
        for place in data.draw(places):
            again.insert(place, entry)
    once, twice = play(returns_run(), log, 1, set()), play(returns_run(), again, 1, set())
    assert list(dict.fromkeys(map(repr, said(twice)))) == list(dict.fromkeys(map(repr, said(once))))


@settings(max_examples=60, deadline=None)
@given(logs())
def test_nobody_is_called_about_a_case_that_is_quiet_or_closed(log: list[Entry]) -> None:
    run = play(returns_run(), log, 1, set())
    told = [decode_escalation(out.value or b"") for out in run.said if out.topic == "escalations"]
    assert [change.revision for change in told] == list(range(1, len(told) + 1))
    for before, change in pairwise(told):
        goes_up = change.reason is Reason.LEVEL
        assert not (goes_up and before.acknowledged_by), "acknowledged"
        until = before.snoozed_until
        assert not (goes_up and until is not None and change.effective_at < until), "snoozed"
        if before.reason is Reason.BY_HAND:
            assert change.state is CaseState.RETRACTED or change.reason is Reason.REOPENED, "closed by hand"
        assert not (change.acknowledged_by and change.snoozed_until), "one takes the other's place"
        assert bool(change.closure) == (change.reason is Reason.BY_HAND)
    answers = [decode_command_answer(out.value or b"") for out in run.said if out.topic == "command-answers"]
    assert len(answers) == sum(map(is_command, log)), "every command is answered"
