"""What people tell about a case: every command in every state of a case, and what time and evidence then still do."""

import json
from itertools import product
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from schemas.command_answers import decode_command_answer
from schemas.contracts_generation import contract_files
from schemas.facts import encode_json
from schemas.outputs import utc
from schemas.vocabulary import (
    CASE_COMMANDS,
    AnswerReason,
    CaseState,
    Closure,
    CommandType,
    Evidence,
    Milestone,
    Reason,
    RuleId,
)
from streams.case_commands import MOST_COMMANDS, MOST_REFUSED
from streams.cases import case_id
from streams.parcel_look import OWN_KEY
from streams.returns import decode_return
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    Record,
    Shop,
    case_command,
    label_fact,
    only,
    parcel_fact,
    returns_run,
)
from tests.unit.test_cases import Desk, breach

ACKNOWLEDGE, SNOOZE, ASSIGN, NOTE, RESOLVE, REOPEN = CASE_COMMANDS
DONE, ALREADY_SO = AnswerReason.DONE, AnswerReason.ALREADY_SO
CASE = case_id("missing_first_scan", "R1", "ups:1Z", "0a")
MORE: dict[CommandType, dict[str, Any]] = {
    ACKNOWLEDGE: {},
    SNOOZE: {"until_ms": 40 * DAY},
    ASSIGN: {"to": "team.north"},
    NOTE: {"text": "asked the carrier"},
    RESOLVE: {"closure": Closure.FOUND},
    REOPEN: {},
}
"""What each command says besides."""


class Office(Desk):
    """A shop in which somebody works on the one case: opened at 72 h, level 2 two days later, level 3 after five."""

    def __init__(self) -> None:
        super().__init__(only())
        self.report(breach("open"))
        self.reach(72 * HOUR)
        self.news()

    def tell(
        self, command: CommandType, at_ms: int = 73 * HOUR, *, by: str = "ops-1", **more: Any
    ) -> AnswerReason:
        told = case_command(command, CASE, at_ms, by=by, **{**MORE[command], **more})
        return self.command("R1", told).reason

    def changed(self) -> list[tuple[str, str, int]]:
        return [(one.state.value, one.reason.value, one.level) for one in self.news()]


def office(state: str) -> Office:
    """The case in one of the states of its life."""
    made = Office()
    if state == "escalated":
        made.reach(72 * HOUR + 2 * DAY)
    elif state == "acknowledged":
        made.tell(ACKNOWLEDGE)
    elif state == "snoozed":
        made.tell(SNOOZE)
    elif state == "closed by hand":
        made.tell(RESOLVE)
    elif state == "closed by hand, then ended":
        made.tell(RESOLVE)
        made.report(breach("ended", reason="first_scan", ended_hours=80))
    elif state == "resolved":
        made.report(breach("ended", reason="first_scan", ended_hours=80))
    elif state == "retracted":
        made.report(breach("retracted", reason="late_evidence"))
    made.news()
    return made


CLOSED, BY_HAND_ONLY = AnswerReason.CASE_CLOSED, AnswerReason.NOT_CLOSED_BY_HAND
STANDING: dict[CommandType, AnswerReason] = {
    ACKNOWLEDGE: DONE,
    SNOOZE: DONE,
    ASSIGN: DONE,
    NOTE: DONE,
    RESOLVE: DONE,
    REOPEN: BY_HAND_ONLY,
}
OVER: dict[CommandType, AnswerReason] = {
    **dict.fromkeys(CASE_COMMANDS, CLOSED),
    NOTE: DONE,
    REOPEN: BY_HAND_ONLY,
}
ANSWERS: dict[str, dict[CommandType, AnswerReason]] = {
    "open": STANDING,
    "escalated": STANDING,
    "acknowledged": STANDING | {ACKNOWLEDGE: ALREADY_SO},
    "snoozed": STANDING | {SNOOZE: ALREADY_SO},
    "closed by hand": OVER | {RESOLVE: ALREADY_SO, REOPEN: DONE},
    "closed by hand, then ended": OVER | {RESOLVE: ALREADY_SO, REOPEN: AnswerReason.BREACH_OVER},
    "resolved": OVER,
    "retracted": OVER,
}
REASON_OF: dict[CommandType, Reason] = {
    ACKNOWLEDGE: Reason.ACKNOWLEDGED,
    SNOOZE: Reason.SNOOZED,
    ASSIGN: Reason.ASSIGNED,
    RESOLVE: Reason.BY_HAND,
    REOPEN: Reason.REOPENED,
}


@pytest.mark.parametrize(("state", "command"), list(product(ANSWERS, CASE_COMMANDS)))
def test_every_command_in_every_state(state: str, command: CommandType) -> None:
    shop = office(state)
    answer = shop.tell(command, 100 * HOUR if state == "escalated" else 74 * HOUR)
    changes = shop.news()
    assert answer is ANSWERS[state][command]
    assert [one.reason for one in changes] == (
        [REASON_OF[command]] if answer is DONE and command != NOTE else []
    )


@pytest.mark.parametrize("command", CASE_COMMANDS)
def test_a_repeat_changes_nothing_and_gets_the_same_answer_byte_for_byte(command: CommandType) -> None:
    shop = office("closed by hand" if command is REOPEN else "open")
    told = case_command(command, CASE, 74 * HOUR, **MORE[command])
    shop.command("R1", told)
    first = shop.returns.last_said[-1]
    shop.reach(99 * HOUR)
    shop.news()
    shop.command("R1", told)
    assert shop.returns.last_said == [first]
    assert shop.news() == []


def test_an_id_is_used_once() -> None:
    shop = office("open")
    first = shop.command("R1", case_command(ACKNOWLEDGE, CASE, 73 * HOUR, command_id="C1"))
    again = shop.command("R1", case_command(ACKNOWLEDGE, CASE, 74 * HOUR, command_id="C1", by="ops-2"))
    assert (again.reason, again.accepted) == (AnswerReason.ID_REUSED, False)
    assert again.answer_id != first.answer_id
    assert [one.acknowledged_by for one in shop.news()] == ["ops-1"]


# -- what time does ----------------------------------------------------------------------------------------------


def test_an_acknowledged_case_goes_up_no_further_and_says_who_looks_at_it() -> None:
    shop = office("open")
    shop.tell(ACKNOWLEDGE, 74 * HOUR, by="ops-7")
    (told,) = shop.news()
    assert (told.state, told.previous_state, told.revision) == (CaseState.OPEN, CaseState.OPEN, 2)
    assert (told.acknowledged_by, told.acknowledged_at) == ("ops-7", told.since_at.replace(day=8, hour=2))
    shop.reach(60 * DAY)
    assert shop.news() == []
    shop.report(breach("ended", reason="first_scan", ended_hours=80))
    assert shop.changed() == [("resolved", "first_scan", 1)]


def test_somebody_else_may_take_it_over() -> None:
    shop = office("acknowledged")
    assert shop.tell(ACKNOWLEDGE, by="ops-2") is DONE
    assert [one.acknowledged_by for one in shop.news()] == ["ops-2"]


def test_a_snoozed_case_is_quiet_until_its_time_and_catches_up_then() -> None:
    shop = office("open")
    shop.tell(SNOOZE, until_ms=10 * DAY)
    (put_off,) = shop.news()
    assert put_off.snoozed_until is not None
    shop.reach(10 * DAY - 1)
    assert shop.news() == []
    shop.reach(30 * DAY)
    (woken,) = shop.news()
    assert (woken.state, woken.reason, woken.level) == (CaseState.ESCALATED, Reason.LEVEL, 3)
    assert (woken.effective_at, woken.snoozed_until) == (put_off.snoozed_until, None)


def test_a_case_that_wakes_before_its_next_level_says_so_and_goes_up_in_its_time() -> None:
    shop = office("open")
    shop.tell(SNOOZE, until_ms=4 * DAY)
    shop.reach(4 * DAY)
    assert shop.changed() == [("open", "snoozed", 1), ("open", "snooze_over", 1)]
    shop.reach(72 * HOUR + 2 * DAY)
    assert shop.changed() == [("escalated", "level", 2)]


def test_to_acknowledge_ends_a_snooze_and_the_other_way_round() -> None:
    shop = office("snoozed")
    shop.tell(ACKNOWLEDGE)
    shop.reach(50 * DAY)
    (told,) = shop.news()
    assert (told.snoozed_until, told.acknowledged_by) == (None, "ops-1")
    shop.tell(SNOOZE, 50 * DAY, until_ms=51 * DAY)
    shop.reach(51 * DAY)
    put_off, woken = shop.news()
    assert (put_off.acknowledged_by, put_off.acknowledged_at) == ("", None)
    assert (woken.state, woken.level) == (CaseState.ESCALATED, 3)


@pytest.mark.parametrize(
    ("until_ms", "answer"),
    [
        (72 * HOUR, AnswerReason.UNTIL_PASSED),
        (72 * HOUR + 1, DONE),
        (93 * DAY, DONE),
        (93 * DAY + 1, AnswerReason.UNTIL_TOO_FAR),
    ],
)
def test_until_when_a_case_may_be_put_off(until_ms: int, answer: AnswerReason) -> None:
    assert office("open").tell(SNOOZE, until_ms=until_ms) is answer


def test_a_case_that_is_resolved_while_it_is_snoozed_stays_so() -> None:
    shop = office("snoozed")
    shop.report(breach("ended", reason="first_scan", ended_hours=80))
    (resolved,) = shop.news()
    assert (resolved.state, resolved.snoozed_until) == (CaseState.RESOLVED, None)
    shop.reach(60 * DAY)
    assert shop.news() == []


# -- what evidence does ------------------------------------------------------------------------------------------


def test_what_was_resolved_by_hand_neither_opens_again_nor_closes_again() -> None:
    shop = office("open")
    shop.tell(RESOLVE, by="ops-3", closure=Closure.WRITTEN_OFF)
    (closed,) = shop.news()
    assert (closed.state, closed.reason) == (CaseState.RESOLVED, Reason.BY_HAND)
    assert (closed.resolved_by, closed.closure) == ("ops-3", Closure.WRITTEN_OFF)
    shop.reach(30 * DAY)
    shop.report(breach("open"))
    shop.report(breach("ended", reason="first_scan", ended_hours=400))
    shop.reach(40 * DAY)
    assert shop.news() == []


def test_evidence_that_there_never_was_a_breach_still_takes_it_back() -> None:
    shop = office("closed by hand")
    shop.report(breach("retracted", reason="late_evidence"))
    (retracted,) = shop.news()
    assert (retracted.state, retracted.resolved_by, retracted.closure) == (CaseState.RETRACTED, "", None)


def test_a_reopened_case_has_its_level_again_and_catches_up() -> None:
    shop = office("escalated")
    shop.tell(ASSIGN, 5 * DAY)
    shop.tell(RESOLVE, 5 * DAY)
    shop.reach(20 * DAY)
    answer = shop.command("R1", case_command(REOPEN, CASE, 20 * DAY))
    changes = shop.news()
    assert [(one.state, one.reason, one.level) for one in changes] == [
        ("escalated", "assigned", 2),
        ("resolved", "by_hand", 2),
        ("escalated", "reopened", 2),
        ("escalated", "level", 3),
    ]
    assert changes[-1].assigned_to == "team.north"
    assert changes[-1].resolved_by == ""
    assert changes[-1].effective_at == changes[-2].effective_at
    assert answer.revision == changes[-2].revision, "the answer names the change that was asked for"


def test_a_case_that_opens_again_by_evidence_has_been_seen_by_nobody() -> None:
    shop = office("acknowledged")
    shop.report(breach("retracted", reason="late_evidence"))
    shop.report(breach("open"))
    taken_back, again = shop.news()
    assert (taken_back.acknowledged_by, again.acknowledged_by) == ("ops-1", "")


# -- commands that cannot be obeyed ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["R1", "R-that-nobody-knows"])
@pytest.mark.parametrize("command", CASE_COMMANDS)
def test_a_case_that_is_not_there_is_refused_with_what_to_do_and_the_refusal_holds(
    command: CommandType, key: str
) -> None:
    shop = office("open")
    wrong = case_id("missing_first_scan", "R1", "ups:1Z", "0b")
    told = case_command(command, wrong, 73 * HOUR, **MORE[command])
    answer = shop.command(key, told)
    assert (answer.accepted, answer.reason, answer.revision) == (False, AnswerReason.UNKNOWN_CASE, 0)
    assert (answer.return_id, answer.case_id, answer.by) == (key, wrong, "ops-1")
    assert "look it up in `cases`" in answer.explanation
    assert shop.command(key, told) == answer
    assert shop.news() == []


def test_a_return_that_only_commands_have_told_of_is_forgotten() -> None:
    shop = office("open")
    shop.command("R9", case_command(ACKNOWLEDGE, CASE, 73 * HOUR))
    assert b"R9" in shop.returns.store.rows
    shop.reach(130 * DAY)
    assert b"R9" not in shop.returns.store.rows


def test_a_command_from_long_ago_is_refused_whatever_it_says() -> None:
    shop = office("open")
    shop.reach(130 * DAY)
    assert shop.tell(RESOLVE, 9 * DAY) is AnswerReason.TOO_OLD
    assert b"R9" not in shop.returns.store.rows
    assert (
        shop.command("R9", case_command(RESOLVE, CASE, 9 * DAY, closure=Closure.OTHER)).reason
        is AnswerReason.TOO_OLD
    )
    assert b"R9" not in shop.returns.store.rows


def test_a_return_takes_so_many_commands_and_no_more() -> None:
    shop = office("open")
    for number in range(MOST_COMMANDS):
        assert shop.tell(NOTE, 73 * HOUR + number) is DONE
    assert len(shop.returns.store.rows[b"R1"][1]) < 20_000
    assert shop.tell(RESOLVE) is AnswerReason.TOO_MANY
    assert shop.tell(NOTE, 73 * HOUR) is DONE
    assert shop.news() == []


def test_refusals_do_not_count_and_the_newest_are_remembered() -> None:
    shop = office("open")
    for number in range(MOST_REFUSED + 10):
        assert shop.tell(REOPEN, 73 * HOUR + number) is BY_HAND_ONLY
    assert len(decode_return(shop.returns.store.rows[b"R1"][1]).commands) == MOST_REFUSED
    assert shop.tell(NOTE) is DONE


def test_a_duration_counts_from_the_decision_by_the_clock_of_the_log() -> None:
    shop = office("open")
    shop.reach(80 * HOUR)
    told = {"until_ms": 0, "duration_ms": 90 * DAY}
    answers = []
    for at_ms in (170 * HOUR, 171 * HOUR):  # the clock of the sender is far ahead, and it tells it twice
        command = replace(case_command(SNOOZE, CASE, at_ms, command_id="C1"), **told)
        answers.append(shop.command("R1", replace(command, content=7)))
    assert [one.reason for one in answers] == [DONE, DONE]
    assert answers[0] == answers[1]
    (put_off,) = shop.news()
    assert put_off.snoozed_until == utc(MONDAY + 80 * HOUR + 90 * DAY)
    assert shop.tell(SNOOZE, 171 * HOUR, until_ms=-MONDAY, duration_ms=91 * DAY) is AnswerReason.UNTIL_TOO_FAR


def test_an_answer_that_says_something_else_has_another_id() -> None:
    shop = office("open")
    for number in range(MOST_COMMANDS):
        shop.tell(NOTE, 73 * HOUR + number)
    told = case_command(RESOLVE, CASE, 73 * HOUR, closure=Closure.OTHER)
    too_many = shop.command("R1", told)
    shop.reach(125 * DAY)
    too_old = shop.command("R1", told)
    assert (too_many.reason, too_old.reason) == (AnswerReason.TOO_MANY, AnswerReason.TOO_OLD)
    assert too_many.answer_id != too_old.answer_id


def test_an_id_that_is_used_again_after_its_return_was_forgotten_is_another_answer() -> None:
    asked = case_command(NOTE, CASE, 73 * HOUR)
    first = office("open").command("R1", asked)
    forgotten = Office()
    forgotten.reach(90 * HOUR)
    again = forgotten.command("R7", asked)
    later = forgotten.command("R1", asked)
    assert len({first.answer_id, again.answer_id, later.answer_id}) == 3


def test_before_the_first_policy_there_is_no_case() -> None:
    run = returns_run()
    run.feed([Record(0, b"R1", encode_json(case_command(ACKNOWLEDGE, CASE, HOUR)))])
    answer = decode_command_answer(run.said[0].value or b"")
    assert (answer.reason, answer.effective_at) == (AnswerReason.UNKNOWN_CASE, answer.at)


# -- what is said -----------------------------------------------------------------------------------------------


def test_a_note_travels_in_its_answer_and_stays_nowhere() -> None:
    shop = office("open")
    answer = shop.command("R1", case_command(NOTE, CASE, 73 * HOUR, text="the door was locked"))
    assert answer.note == "the door was locked"
    assert b"door" not in shop.returns.store.rows[b"R1"][1]
    assert decode_return(shop.returns.store.rows[b"R1"][1]).cases[0].revision == 1


def test_an_answer_is_a_cloud_event_of_the_published_contract() -> None:
    shop = office("open")
    answer = shop.command("R1", case_command(ACKNOWLEDGE, CASE, 73 * HOUR, command_id="C1"))
    message = shop.returns.last_said[-1]
    schema = json.loads(contract_files()["command-answer.v1.schema.json"])
    jsonschema.validate(json.loads(message.value or b""), schema)
    headers = dict(message.headers)
    assert headers["ce_id"].decode() == answer.answer_id
    assert headers["ce_type"] == b"com.returnwatch.command.accepted.v1"
    assert (answer.command_id, answer.revision, message.partition) == ("C1", 2, 0)
    assert (answer.at - answer.effective_at).total_seconds() == 3600
    shop.command("R1", case_command(REOPEN, CASE, 73 * HOUR))
    assert dict(shop.returns.last_said[-1].headers)["ce_type"] == b"com.returnwatch.command.refused.v1"


def test_what_people_do_is_counted_by_command_and_answer() -> None:
    shop = office("open")
    shop.tell(ACKNOWLEDGE)
    shop.tell(ACKNOWLEDGE)
    shop.tell(REOPEN)
    counted = {
        label: count for (name, label), count in shop.returns.counters.items() if name == "command_answered"
    }
    assert counted == {"acknowledge|done": 1, "reopen|not_closed_by_hand": 1}
    assert shop.returns.counters["duplicate", "returns"] == 1
    assert shop.returns.counters["case_updated", "missing_first_scan"] == 1


def test_a_case_closed_by_hand_stands_no_more() -> None:
    shop = office("open")
    assert shop.returns.engine.standing_cases() == {("missing_first_scan", 1): 1}
    shop.tell(RESOLVE)
    assert shop.returns.engine.standing_cases() == {}
    shop.tell(REOPEN)
    assert shop.returns.engine.standing_cases() == {("missing_first_scan", 1): 1}


def test_a_case_without_a_return_is_told_of_by_its_parcel() -> None:
    shop = Desk(only(RuleId.UNEXPECTED_PARCEL))
    shop.parcel_fact("ups:9", parcel_fact(Milestone.CHECKED_IN, 0, evidence=Evidence.WAREHOUSE_SCAN))
    shop.reach(3 * DAY)
    opened = shop.news()[0]
    answer = shop.command(OWN_KEY + "ups:9", case_command(ACKNOWLEDGE, opened.case_id, 3 * DAY))
    assert (answer.reason, answer.return_id, answer.parcel) == (DONE, "", "ups:9")
    assert [one.acknowledged_by for one in shop.news()] == ["ops-1"]


@pytest.mark.parametrize(
    ("closure", "opens"), [(Closure.FALSE_ALARM, ["missing_first_scan opened"]), (Closure.CLAIMED, [])]
)
def test_a_false_alarm_no_longer_stands_in_the_place_of_what_it_explained(
    closure: Closure, opens: list[str]
) -> None:
    shop = Shop(only(RuleId.MISSING_FIRST_SCAN, RuleId.PICKUP_FAILED, levels=[]))
    shop.parcel_fact("ups:1", label_fact(0, "R1"))
    shop.parcel_fact(
        "ups:1", parcel_fact(Milestone.PICKUP_FAILED, 10 * HOUR, evidence=Evidence.CARRIER_INFERRED)
    )
    shop.reach(80 * HOUR)
    (higher,) = shop.news()
    assert higher.rule is RuleId.PICKUP_FAILED
    told = case_command(RESOLVE, higher.case_id, 80 * HOUR, closure=closure)
    assert shop.command("R1", told).reason is DONE
    shop.reach(81 * HOUR)
    _, *lower = shop.news()
    assert [f"{one.rule} opened" for one in lower] == opens
    reopened = case_command(REOPEN, higher.case_id, 82 * HOUR)
    assert shop.command("R1", reopened).reason is DONE
    shop.reach(83 * HOUR)
    changes = [(one.rule.value, one.reason.value) for one in shop.news()]
    assert changes == [("pickup_failed", "reopened"), *[("missing_first_scan", "explained")] * len(opens)]
