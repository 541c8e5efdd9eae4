"""What the simulated world does to the feed that is watched, and what the oracle expects of it."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.facts import Mark
from schemas.policy import FEED_RULES
from schemas.vocabulary import CaseState, RuleId
from simulation.expect_feeds import expected_of_feeds
from simulation.feed_sight import Arrival, Sight
from simulation.feed_story import BACKLOG, CARRIER, DAY, HOUR, FeedStory, feeds_for_policy
from simulation.holds import Hold, holds
from simulation.marks_seen import MarksSeen
from simulation.oracle import ExpectedCase, expected
from simulation.outgoing import of_the_carrier
from simulation.world import AFTERWARDS, World
from tests.unit.oracle_tape import MONDAY, Tape, default_terms, hours

MINUTE = timedelta(minutes=1)
FROM, UNTIL = 60, 90
"""Hours of the silence in the tapes."""


def at(hour: float) -> datetime:
    return MONDAY + hour * HOUR


def a_month() -> FeedStory:
    return FeedStory(100, MONDAY, MONDAY + 30 * DAY)


# ---- the world -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=5, returns=150, feeds=True)


def story_of(world: World) -> FeedStory:
    assert world.feed is not None
    return world.feed


def test_a_seed_names_a_world_with_its_traffic(world: World) -> None:
    again = World(seed=5, returns=150, feeds=True)
    assert (again.events, again.afterwards) == (world.events, world.afterwards)


def test_the_feed_keeps_its_rhythm_until_after_the_end(world: World) -> None:
    story = story_of(world)
    came = Counter(
        event.appears_at.replace(minute=0, second=0)
        for event in [*world.events, *world.afterwards]
        if of_the_carrier(event)
    )
    hour, end = world.start_at, world.until_at + AFTERWARDS
    while hour < end:
        if not story.outage.from_at - HOUR < hour < story.outage.until_at:
            assert came[hour] >= story.at_least(hour) - 1, hour
        hour += HOUR


def test_in_the_outage_nothing_comes_and_then_all_of_it_comes(world: World) -> None:
    story = story_of(world)
    outage = story.outage
    scans = [event for event in world.events if of_the_carrier(event)]
    assert not [one for one in scans if outage.covers(one.appears_at)]
    missed = [
        one
        for one in scans
        if outage.covers(one.occurred_at) and one.occurred_at < outage.until_at - 7 * HOUR
    ]
    assert len(missed) > 100
    assert {outage.until_at <= one.appears_at <= outage.until_at + BACKLOG for one in missed} == {True}


def test_there_are_two_weeks_to_learn_in_however_short_the_world_is() -> None:
    for days in (1, 6, 30, 90):
        story = FeedStory(100, MONDAY, MONDAY + days * DAY)
        assert story.spells[0].from_at >= MONDAY + 15 * DAY
        times = [moment for spell in story.spells for moment in (spell.from_at, spell.until_at)]
        assert times == sorted(times)
        assert {spell.rule for spell in story.spells} == FEED_RULES


# ---- what is held --------------------------------------------------------------------------------------------


def judged(tape: Tape, *rules: RuleId, **changes: Any) -> list[ExpectedCase]:
    terms = default_terms(*rules, feeds=feeds_for_policy() | {"high_value": {"EUR": 1000}}, **changes)
    hold = Hold("colissimo", ((at(FROM), at(UNTIL)),), 48 * HOUR)
    return expected(tape.records, terms, at(1_000), holds=(hold,))


def posted(tape: Tape, scanned: float | None, known: float | None = None, **label: Any) -> list[ExpectedCase]:
    """A parcel whose first scan is due 72 hours after a label at hour 0."""
    tape.label(0, **label)
    if scanned is not None:
        tape.scan(
            scanned,
            {"api": "colissimo_tracking_soap", "code_type": "event_code", "code": "PCHCFM"},
            posted=known,
        )
    return judged(tape, RuleId.MISSING_FIRST_SCAN)


def test_what_the_backlog_explains_is_never_told() -> None:
    assert posted(Tape("colissimo"), 70, 89) == []


def test_what_it_does_not_explain_is_told_when_it_has_come_and_due_when_it_was() -> None:
    (case,) = posted(Tape("colissimo"), None)
    assert (hours(case.due_at), hours(case.opens_at), case.opens, case.delayed) == (72, UNTIL, True, True)
    assert case.held_until_at == at(UNTIL)
    (late,) = posted(Tape("colissimo"), 75, 89)
    assert (late.delayed, late.final_states) == (True, frozenset({CaseState.RESOLVED}))


def test_another_carrier_is_not_held() -> None:
    (case,) = posted(Tape("fedex"), None)
    assert (hours(case.opens_at), case.delayed) == (72, False)


def test_what_is_dear_is_not_held_and_taken_back() -> None:
    (case,) = posted(Tape("colissimo"), 70, 89, value={"amount": "1000.00", "currency": "EUR"})
    assert (hours(case.opens_at), case.delayed, case.retracted) == (72, False, True)


def test_what_the_carrier_says_itself_is_not_held() -> None:
    tape = Tape("colissimo")
    tape.label(0)
    tape.scan(70, {"api": "colissimo_tracking_soap", "code_type": "event_code", "code": "FENRET"})
    (case,) = judged(tape, RuleId.RETURNED_TO_CUSTOMER)
    assert FROM < hours(case.opens_at) < UNTIL
    assert case.delayed is False


def test_nothing_is_held_for_longer_than_the_policy_says() -> None:
    hold = Hold("colissimo", ((at(0), at(100)),), 48 * HOUR)
    assert hold.told_at(at(10)) == at(58)
    assert hold.told_at(at(60)) == at(100)
    assert hold.told_at(at(100)) == at(100)


# ---- what can be known ---------------------------------------------------------------------------------------


def feed_cases(sight: Sight) -> dict[RuleId, list[ExpectedCase]]:
    terms = default_terms(*FEED_RULES, feeds=feeds_for_policy())
    found: dict[RuleId, list[ExpectedCase]] = {}
    for case in expected_of_feeds(sight, terms, MONDAY + 56 * DAY):
        found.setdefault(case.rule, []).append(case)
    return found


def moments(every: timedelta, days: float = 56) -> list[datetime]:
    return [MONDAY + number * every for number in range(int(days * DAY / every))]


def marks(every: timedelta) -> list[tuple[datetime, datetime]]:
    """What is not known of when things came where marks lie so far apart."""
    seen = MarksSeen(["scans"], CARRIER.name)
    for through_at in moments(every):
        seen.add([Mark("scans", 0, int(through_at.timestamp() * 1000), {CARRIER.name: 1})])
    return seen.blurred


def test_where_all_is_known_each_rule_has_its_case() -> None:
    for sight in (Sight(a_month()), Sight(a_month(), marks(10 * MINUTE))):
        found = feed_cases(sight)
        assert {rule: [case.opens for case in cases] for rule, cases in found.items()} == {
            rule: [True] for rule in FEED_RULES
        }
        assert {case.final_states for (case,) in found.values()} == {frozenset({CaseState.RESOLVED})}


def test_where_marks_are_rare_nothing_is_sure_and_nothing_need_be_held() -> None:
    sight = Sight(a_month(), marks(20 * MINUTE))
    assert {case.opens for (case,) in feed_cases(sight).values()} == {"either"}
    shortest, longest = holds(sight, default_terms(feeds=feeds_for_policy()))
    assert (shortest.spans, len(longest.spans)) == ((), 1)


def test_a_worker_that_was_away_for_hours_of_the_outage_may_take_them_for_life() -> None:
    story = a_month()
    away = (story.outage.from_at + 4 * HOUR, story.outage.from_at + 7 * HOUR)
    terms = default_terms(feeds=feeds_for_policy())
    exact, blurred = (holds(Sight(story, marked), terms)[0].spans[0] for marked in (None, [away]))
    assert blurred == (exact[0] + 3 * HOUR, exact[1] - 3 * HOUR)
    (silent,) = feed_cases(Sight(story, [away]))[RuleId.FEED_SILENT]
    assert silent.opens is True


def test_a_moment_in_which_nothing_was_played_may_be_a_silence() -> None:
    story = a_month()
    stood_still = story.spells[0].from_at - DAY
    came = [Arrival(one) for one in moments(2 * MINUTE) if not stood_still < one < stood_still + 3 * HOUR]
    silences = feed_cases(Sight(story, None, came))[RuleId.FEED_SILENT]
    assert sorted(str(case.opens) for case in silences) == ["True", "either"]
    (_, stutter) = silences
    assert stutter.since_at == stood_still


def test_what_was_played_late_may_be_called_late() -> None:
    story = a_month()
    stood_still = story.spells[0].from_at - DAY
    came = [Arrival(one, 2 * HOUR * (stood_still <= one < stood_still + HOUR)) for one in moments(2 * MINUTE)]
    backlog, _ = sorted(
        feed_cases(Sight(story, None, came))[RuleId.FEED_LAGGING], key=lambda case: case.since_at
    )
    assert (backlog.since_at, backlog.opens) == (stood_still, "either")
    in_time = [Arrival(one.appended_at) for one in came]
    assert len(feed_cases(Sight(story, None, in_time))[RuleId.FEED_LAGGING]) == 1


def test_no_feed_is_no_case() -> None:
    assert expected_of_feeds(None, default_terms(*FEED_RULES, feeds=feeds_for_policy()), at(1_000)) == []
