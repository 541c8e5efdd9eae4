"""What is told of a feed: the newest spell of each rule, from when it was certain."""

import pytest

from schemas.vocabulary import Reason, RuleId
from streams.cases import Finding, Verdict
from streams.feed_state import Feed, Spell
from streams.keys import feed_named, feed_subject
from streams.rules.feeds import RULES, of_feed
from tests.stages import MINUTE

SINCE, TOLD, ENDED = 1_000, 1_030, 1_200


def found(feed: Feed, now_minutes: int) -> list[Finding]:
    return list(of_feed("ups", feed, now_minutes * MINUTE))


@pytest.mark.parametrize("rule", RULES)
def test_a_spell_is_told_from_the_minute_in_which_it_was_certain(rule: RuleId) -> None:
    feed = Feed(0, 0, spells={rule.value: Spell(SINCE, TOLD)})
    times = (SINCE * MINUTE, TOLD * MINUTE, 0)
    told = Finding(rule.value, feed_subject("ups"), str(SINCE), Verdict.OPEN, Reason.DUE, *times, ())
    assert found(feed, TOLD - 1) == []
    assert found(feed, TOLD) == [told]


def test_a_spell_that_is_over_ends_its_case() -> None:
    feed = Feed(0, 0, spells={RuleId.FEED_SILENT.value: Spell(SINCE, TOLD, ENDED)})
    (told,) = found(feed, ENDED)
    assert (told.verdict, told.reason) == (Verdict.ENDED, Reason.FEED_RECOVERED)
    assert (told.since_ms, told.due_ms, told.ended_ms) == (SINCE * MINUTE, TOLD * MINUTE, ENDED * MINUTE)
    assert feed_named(told.parcel) == "ups"


def test_several_spells_are_told_side_by_side_and_other_rules_not_at_all() -> None:
    spells = {rule.value: Spell(SINCE, TOLD) for rule in (RuleId.CLOCK_SKEW, RuleId.FEED_LAGGING)}
    feed = Feed(0, 0, spells={**spells, "of_a_later_version": Spell(SINCE, TOLD)})
    assert [one.rule for one in found(feed, TOLD)] == [RuleId.FEED_LAGGING, RuleId.CLOCK_SKEW]
    assert found(Feed(0, 0), TOLD) == []


def test_a_spell_that_is_not_certain_yet_hides_no_other() -> None:
    later = {RuleId.FEED_SILENT.value: Spell(SINCE, TOLD + 60), RuleId.MAPPING_GAP.value: Spell(SINCE, TOLD)}
    assert [one.rule for one in found(Feed(0, 0, spells=later), TOLD)] == [RuleId.MAPPING_GAP]
