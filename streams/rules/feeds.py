"""What is the matter with a feed, and not with any parcel or return: learned from its own weeks (docs/feeds.md).

Each holds from when it is certain until the feed comes as before. Anchor: when it began.

- `feed_silent`: so much was to be expected of a feed since it was last heard of that it must be silent (policy
  `feeds`). What waits for the feed is held meanwhile. Ends when it is heard of again and its backlog has come in.
- `feed_lagging`: in an hour at least half more of a feed's events than usual came more than an hour late. Nothing is held.
- `mapping_gap`: in an hour a fifth more of a carrier's scans than usual had codes that no table knows.
- `clock_skew`: in an hour one in twenty of a feed's events was dated in the future.
"""

from collections.abc import Iterator

from schemas.vocabulary import Reason, RuleId
from streams.cases import Finding, Verdict
from streams.feed_state import Feed
from streams.feed_terms import MINUTE_MS
from streams.keys import feed_subject

RULES = (RuleId.FEED_SILENT, RuleId.FEED_LAGGING, RuleId.MAPPING_GAP, RuleId.CLOCK_SKEW)


def of_feed(name: str, feed: Feed, now_ms: int) -> Iterator[Finding]:
    """One for each rule that the feed has broken, of the last time that it did."""
    for rule in RULES:
        spell = feed.spells.get(rule.value)
        if spell is not None and spell.told * MINUTE_MS <= now_ms:
            yield Finding(
                rule.value,
                feed_subject(name),
                str(spell.since),
                Verdict.ENDED if spell.ended else Verdict.OPEN,
                Reason.FEED_RECOVERED if spell.ended else Reason.DUE,
                spell.since * MINUTE_MS,
                spell.told * MINUTE_MS,
                spell.ended * MINUTE_MS,
                (),
            )
