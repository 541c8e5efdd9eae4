"""What the scoreboard calls missed, false, early, late and wrongly retracted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.oracle import ExpectedCase
from simulation.scoreboard import COLUMNS, Observed, RuleScore, Score, score

DUE = datetime(2026, 3, 20, 12, tzinfo=UTC)
BOUND = timedelta(hours=6)
RULE = RuleId.STALLED_SILENT

STAYS_OPEN = ExpectedCase(
    rule=RULE,
    return_id="R1",
    parcel="ups:1Z1",
    occurrence=0,
    since_at=DUE - timedelta(days=5),
    due_at=DUE,
    due_by=DUE,
    opens_at=DUE,
    opens_by=DUE,
    opens=True,
    retracted=False,
    final_states=frozenset({CaseState.OPEN, CaseState.ESCALATED}),
    reasons=frozenset({Reason.DUE}),
    ended_at=None,
)
TAKEN_BACK = replace(STAYS_OPEN, retracted=True, final_states=frozenset({CaseState.RETRACTED}))
RESOLVED = replace(
    STAYS_OPEN, final_states=frozenset({CaseState.RESOLVED}), reasons=frozenset({Reason.PROGRESS})
)


def told(
    hours: float,
    state: CaseState = CaseState.OPEN,
    reason: Reason = Reason.DUE,
    revision: int = 1,
    case: str = "c1",
) -> Observed:
    """A change that was appended so many hours after the deadline."""
    at = DUE + timedelta(hours=hours)
    return Observed(case, revision, RULE, "R1", "ups:1Z1", state, reason, DUE, at, at)


def of_rule(result: Score) -> RuleScore:
    return result.rules[RULE]


def test_found_in_time_is_right() -> None:
    result = score([STAYS_OPEN], [told(1)], BOUND)
    assert (result.ok, of_rule(result).expected, of_rule(result).found, result.problems) == (True, 1, 1, [])


def test_what_is_held_is_told_no_earlier_and_says_so() -> None:
    held = replace(
        STAYS_OPEN, held_until_at=DUE + timedelta(hours=4), opens_by=DUE + timedelta(hours=5), delayed=True
    )
    result = score([held], [told(4)._replace(delayed=True)], BOUND)
    assert (result.ok, result.problems) == (True, [])
    early = of_rule(score([held], [told(3)._replace(delayed=True)], BOUND))
    assert (early.early, early.wrong) == (1, 1)
    silent = of_rule(score([held], [told(4)], BOUND))
    assert (silent.wrong_state, silent.wrong) == (1, 1)
    mistaken = of_rule(score([STAYS_OPEN], [told(1)._replace(delayed=True)], BOUND))
    assert (mistaken.wrong_state, mistaken.wrong) == (1, 1)


@pytest.mark.parametrize(("hours", "wrong"), [(1, 1), (2, 0), (3, 0), (4, 1)])
def test_where_it_is_known_when_a_case_ends_it_must_not_end_sooner_or_later(hours: float, wrong: int) -> None:
    between = (DUE + timedelta(hours=2), DUE + timedelta(hours=3))
    changes = [told(0.5), told(hours, CaseState.RESOLVED, Reason.PROGRESS, revision=2)]
    assert of_rule(score([replace(RESOLVED, ends_between=between)], changes, BOUND)).wrong_state == wrong


def test_nothing_expected_and_nothing_found_is_right() -> None:
    assert score([], [], BOUND).ok


@pytest.mark.parametrize(
    ("expected", "observed", "finding"),
    [
        ([STAYS_OPEN], [], "missed"),
        ([], [told(1)], "false"),
        ([STAYS_OPEN], [told(-0.1)], "early"),
        ([STAYS_OPEN], [told(7)], "late"),
        (
            [STAYS_OPEN],
            [told(1), told(20, CaseState.RETRACTED, Reason.LATE_EVIDENCE, 2)],
            "wrongly_retracted",
        ),
        ([TAKEN_BACK], [told(1)], "not_retracted"),
        ([RESOLVED], [told(1)], "wrong_state"),
        ([RESOLVED], [told(1), told(9, CaseState.RESOLVED, Reason.LOST, 2)], "wrong_state"),
        ([STAYS_OPEN], [told(1), told(2, case="c2")], "false"),
    ],
)
def test_each_mistake_has_its_own_name(
    expected: list[ExpectedCase], observed: list[Observed], finding: str
) -> None:
    result = score(expected, observed, BOUND)
    assert not result.ok
    assert of_rule(result).wrong == getattr(of_rule(result), finding) == 1
    assert len(result.problems) == 1


def test_taken_back_as_expected_is_right() -> None:
    observed = [
        told(1),
        told(30, CaseState.RESOLVED, Reason.PROGRESS, 2),
        told(31, CaseState.RETRACTED, revision=3),
    ]
    result = score([TAKEN_BACK], observed, BOUND)
    assert (result.ok, of_rule(result).retracted) == (True, 1)


def test_what_may_or_may_not_be_found_is_right_either_way() -> None:
    maybe = replace(TAKEN_BACK, opens="either")
    assert score([maybe], [], BOUND).ok
    assert score([maybe], [told(1), told(2, CaseState.RETRACTED, revision=2)], BOUND).ok


def test_a_case_that_could_only_open_later_is_not_late() -> None:
    assert score([replace(STAYS_OPEN, opens_by=DUE + timedelta(hours=40))], [told(41)], BOUND).ok


def test_two_cases_of_one_parcel_are_told_apart_by_their_due_times() -> None:
    later_at = DUE + timedelta(days=9)
    second = replace(RESOLVED, occurrence=1, due_at=later_at, due_by=later_at, opens_by=later_at)
    later = told(9 * 24 + 1, case="c2")._replace(due_at=second.due_at)
    end = told(9 * 24 + 30, CaseState.RESOLVED, Reason.PROGRESS, 2, "c2")._replace(due_at=second.due_at)
    assert score([STAYS_OPEN, second], [later, told(1), end], BOUND).ok
    assert of_rule(score([STAYS_OPEN, second], [told(1)], BOUND)).missed == 1


def test_a_case_may_open_with_any_of_the_due_times_that_are_expected() -> None:
    again_at = DUE + timedelta(days=2)
    case = replace(STAYS_OPEN, due_by=again_at, opens_by=again_at)
    for due_at in (DUE, again_at):
        assert score([case], [told(49)._replace(due_at=due_at)], BOUND).ok
    assert not score([case], [told(60)._replace(due_at=again_at + timedelta(hours=7))], BOUND).ok


def test_problems_name_what_they_are_about() -> None:
    of_return = replace(STAYS_OPEN, parcel="")
    of_nobody = replace(STAYS_OPEN, return_id="")
    problems = score([of_return, of_nobody], [], BOUND).problems
    assert problems == [
        "missed: stalled_silent of ups:1Z1, due 03-20 12:00",
        "missed: stalled_silent of R1, due 03-20 12:00",
    ]


def test_a_change_said_again_is_allowed_and_counted() -> None:
    result = score([STAYS_OPEN], [told(1), told(1)._replace(observed_at=DUE + timedelta(hours=9))], BOUND)
    assert (result.ok, result.repeats) == (True, 1)


def test_a_change_said_again_in_another_way_is_a_contradiction() -> None:
    result = score([STAYS_OPEN], [told(1), told(2, CaseState.ESCALATED)], BOUND)
    assert (result.ok, result.contradictions) == (False, 1)


def test_a_change_that_was_never_said_is_a_gap() -> None:
    result = score([STAYS_OPEN], [told(1), told(60, CaseState.ESCALATED, Reason.LEVEL, 3)], BOUND)
    assert (result.ok, result.gaps) == (False, 1)


def test_one_row_for_every_rule() -> None:
    rows = score([STAYS_OPEN], [told(7)], BOUND).rows()
    assert [row[0] for row in rows] == [rule.value for rule in RuleId]
    (silent,) = [dict(zip(COLUMNS, row, strict=True)) for row in rows if row[0] == RULE]
    assert (silent["expected"], silent["found"], silent["late"], silent["missed"]) == ("1", "1", "1", "0")
