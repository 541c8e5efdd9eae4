"""The cases about feeds that have to be found: one for each time in which something was the matter with the watched feed.

When exactly one opens and ends depends on how much came when. What is asked for follows from the policy's numbers and from the
least that the world promises of the feed's traffic.
"""

from datetime import datetime, timedelta

from schemas.vocabulary import CaseState, Reason, RuleId
from simulation.feed_story import BACKLOG, HOUR, FeedStory, Spell
from simulation.oracle import ExpectedCase
from simulation.terms import Terms

_NO_BLUR = timedelta(0)


def expected_of_feeds(
    story: FeedStory | None, terms: Terms, until_at: datetime, blur: timedelta = _NO_BLUR
) -> list[ExpectedCase]:
    """Every case about a feed that must, or may, be found by the log time `until_at`.

    `blur`: how long workers were held up. What comes in such a time is not counted by the hour, and all of it is taken for life.
    """
    if story is None or not terms.policy.feeds.watched:
        return []
    spells = [spell for spell in story.spells if spell.rule in terms.applied and spell.from_at < until_at]
    return [_Told(story, terms, spell, blur).case(until_at) for spell in spells]


class _Told:
    """How one spell is told."""

    def __init__(self, story: FeedStory, terms: Terms, spell: Spell, blur: timedelta) -> None:
        self.story, self.spell, self.blur = story, spell, blur
        self._numbers = terms.policy.feeds

    def case(self, until_at: datetime) -> ExpectedCase:
        """What is asked for, when the world ends at `until_at`."""
        opens_at, opens_by = self._opens()
        ends_at, ends_by = self._ends()
        states = set[CaseState]()
        if ends_at <= until_at:
            states |= {CaseState.RESOLVED}
        if ends_by > until_at:
            states |= {CaseState.OPEN, CaseState.ESCALATED}
        return ExpectedCase(
            rule=self.spell.rule,
            return_id="",
            parcel=self.story.feed,
            occurrence=0,
            since_at=self.spell.from_at,
            due_at=opens_at,
            due_by=opens_by,
            opens_at=opens_by,
            opens_by=opens_by,
            opens=True if self._is_sure() and opens_by <= until_at else "either",
            retracted=False,
            final_states=frozenset(states),
            reasons=frozenset({Reason.FEED_RECOVERED}),
            ended_at=None,
            ends_between=(ends_at, ends_by),
        )

    def _is_sure(self) -> bool:
        if self.spell.rule is not RuleId.FEED_SILENT:
            return not self.blur
        seen = self.spell.until_at - self.spell.from_at - 2 * self.blur
        return seen > self._silent_after() + self.blur

    def _silent_after(self) -> timedelta:
        """How long it takes at most until a silence is certain."""
        missed = self.story.time_for(2 * self._numbers.silent_after, self.spell.from_at)
        return max(missed, self._numbers.silent_for)

    def _opens(self) -> tuple[datetime, datetime]:
        """When it is certain, at the earliest and at the latest."""
        spell = self.spell
        if spell.rule is not RuleId.FEED_SILENT:
            return spell.from_at, spell.from_at + 2 * HOUR + self.blur
        last_heard_at = spell.from_at - self.story.time_for(self._numbers.suspect_after, spell.from_at - HOUR)
        return last_heard_at + self._numbers.silent_for, spell.from_at + self._silent_after() + self.blur

    def _ends(self) -> tuple[datetime, datetime]:
        """When all is as before, at the earliest and at the latest."""
        spell, blur = self.spell, self.blur
        if spell.rule is not RuleId.FEED_SILENT:
            return spell.until_at - blur, self.story.busy_again(spell.until_at) + blur
        drained_by = max(self._numbers.drain_longest, BACKLOG) + HOUR
        return spell.until_at + self._numbers.drain_least - blur, spell.until_at + drained_by + blur
