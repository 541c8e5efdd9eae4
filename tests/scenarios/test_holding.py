"""What is held while a feed is silent, what never is, and what can be seen of it: stories of weeks, played in memory."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from agents.explain_events import PlayedStates
from agents.explain_states import find_subjects
from agents.explain_view import verdict_text
from agents.feed_metrics import FeedMetrics
from agents.scenario_events import MilestoneCodes
from agents.scenario_playing import play
from agents.scenario_reading import Appended, Scenario, read_scenarios
from agents.virtual_time import ONE_TOPIC_OF_EACH_KIND, InputRecord, VirtualTime
from schemas.carrier_codes import load_carrier_codes
from schemas.explanations import ExplainedWait, Verdict
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.vocabulary import RuleId
from streams.explaining import explain
from streams.intake import IntakeMapper
from streams.reckoning import TellingPolicy
from tests.stages import HOUR, MONDAY

INTAKE = IntakeMapper(MilestoneCodes(load_carrier_codes()))
UPS = "carrier_scan: {carrier: ups, tracking_number: '1Z0', milestone: in_transit}"
DOCK = "checked_in: {carrier: ups, tracking_number: '1Z0'}"
SHOP = "return_approved: {return_id: R0}"


def watching() -> Policy:
    numbers = default_policy().model_dump(mode="json")
    return Policy.model_validate({**numbers, "feeds": {**numbers["feeds"], "watched": True}})


def stories(*texts: str) -> Iterator[Scenario]:
    for text in texts:
        scenarios, findings = read_scenarios(text, "stories", watching(), INTAKE)
        assert not findings
        yield from scenarios


HELD = f"""
- scenario: a dead warehouse makes no delivered parcel look unchecked
  only: [delivered_not_checked_in, feed_silent, stalled_silent]
  log:
    - {{at: 0h, every: 30m, until: 15d, {DOCK}}}
    - {{at: 0h, every: 30m, until: 17d, {UPS}}}
    - {{at: 14d 9h, label_created: {{return_id: R1, carrier: ups, tracking_number: "1Z1"}}}}
    - {{at: 14d 10h, carrier_scan: {{carrier: ups, tracking_number: "1Z1", milestone: delivered}}}}
    - {{at: 14d 9h, told: 14d 11h, label_created: {{return_id: R2, carrier: ups, tracking_number: "1Z2"}}}}
    - {{at: 14d 10h, told: 14d 11h, carrier_scan: {{carrier: ups, tracking_number: "1Z2", milestone: delivered}}}}
    - {{by: 15d 11h, expect: ["feed_silent warehouse: opened"]}}
    - {{by: 15d 20h, expect: []}}
    - {{at: 15d 20h, every: 30m, until: 17d, {DOCK}}}
    - {{at: 15d 9h, told: 15d 20h 10m, checked_in: {{carrier: ups, tracking_number: "1Z1"}}}}
    - by: 16d
      expect:
        - "feed_silent warehouse: resolved feed_recovered"
        - "delivered_not_checked_in R2 ups:1Z2: opened"

- scenario: a promise waits for a silent shop, what the law wants does not
  only: [refund_promise_broken, statutory_refund_deadline, feed_silent]
  log:
    - {{at: 0h, every: 30m, until: 14d 12h, {SHOP}}}
    - at: 1d
      return_requested:
        {{return_id: R1, withdrawal: true, country: FR, promised_refund_at: 15d, value: {{amount: "40", currency: EUR}}}}
    - {{at: 1d, checked_in: {{return_id: R1}}}}
    - {{by: 15d, expect: ["feed_silent orders: opened", "statutory_refund_deadline R1: opened"]}}
    - {{by: 16d 12h, expect: []}}
    - {{by: 17d 12h, expect: ["refund_promise_broken R1: opened"]}}

- scenario: what was open before the silence stays open, and goes up
  only: [missing_first_scan, feed_silent]
  policy: {{levels: [{{after: 36h, level: 2}}]}}
  log:
    - {{at: 0h, every: 30m, until: 15d, {UPS}}}
    - {{at: 11d 12h, label_created: {{return_id: R1, carrier: ups, tracking_number: "1Z1"}}}}
    - {{by: 15d, expect: ["missing_first_scan R1 ups:1Z1: opened"]}}
    - by: 16d
      expect: ["feed_silent ups: opened", "missing_first_scan R1 ups:1Z1: escalated to 2"]

- scenario: after two days it is told, silence or not, and the levels count from then
  only: [missing_first_scan, feed_silent]
  policy: {{levels: [{{after: 24h, level: 2}}]}}
  log:
    - {{at: 0h, every: 30m, until: 15d, {UPS}}}
    - {{at: 12d 12h, label_created: {{return_id: R1, carrier: ups, tracking_number: "1Z1"}}}}
    - {{by: 16d, expect: ["feed_silent ups: opened"]}}
    - {{by: 17d 11h, expect: ["feed_silent ups: escalated to 2"]}}
    - {{by: 17d 13h, expect: ["missing_first_scan R1 ups:1Z1: opened"]}}
    - {{by: 18d 11h, expect: []}}
    - {{by: 18d 13h, expect: ["missing_first_scan R1 ups:1Z1: escalated to 2"]}}

- scenario: the levels of a return's own case count from when it was told, too
  only: [refund_promise_broken, feed_silent]
  policy: {{levels: [{{after: 24h, level: 2}}]}}
  log:
    - {{at: 0h, every: 30m, until: 14d 12h, {SHOP}}}
    - at: 1d
      return_requested:
        {{return_id: R1, withdrawal: true, country: FR, promised_refund_at: 15d, value: {{amount: "40", currency: EUR}}}}
    - {{by: 16d 12h, expect: ["feed_silent orders: opened", "feed_silent orders: escalated to 2"]}}
    - {{by: 17d 1h, expect: ["refund_promise_broken R1: opened"]}}
    - {{at: 17d 2h, checked_in: {{return_id: R1}}}}
    - {{by: 17d 23h, expect: []}}
    - {{by: 18d 1h, expect: ["refund_promise_broken R1: escalated to 2"]}}

- scenario: a parcel of another carrier is told of as ever
  only: [missing_first_scan, feed_silent]
  log:
    - {{at: 0h, every: 30m, until: 15d, {UPS}}}
    - {{at: 12d 12h, label_created: {{return_id: R1, carrier: fedex, tracking_number: "61"}}}}
    - {{by: 15d 13h, expect: ["feed_silent ups: opened", "missing_first_scan R1 fedex:61: opened"]}}

- scenario: when feeds are watched no more, what was held is told
  only: [missing_first_scan, feed_silent]
  log:
    - {{at: 0h, every: 30m, until: 15d, {UPS}}}
    - {{at: 12d 12h, label_created: {{return_id: R1, carrier: ups, tracking_number: "1Z1"}}}}
    - {{by: 16d, expect: ["feed_silent ups: opened"]}}
    - {{at: 16d, policy_applied: {{feeds: {{watched: false}}}}}}
    - {{by: 16d 1h, expect: ["feed_silent ups: resolved expired", "missing_first_scan R1 ups:1Z1: opened"]}}
"""


@pytest.mark.parametrize("story", [pytest.param(one, id=one.sentence) for one in stories(HELD)])
def test_story(story: Scenario) -> None:
    assert play(story, INTAKE) == []


DURING = f"""
- scenario: a day of silence
  only: [missing_first_scan, feed_silent]
  log:
    - {{at: 0h, every: 30m, until: 15d, {UPS}}}
    - at: 12d 12h
      label_created: {{return_id: R1, carrier: ups, tracking_number: "1Z1", value: {{amount: "40", currency: EUR}}}}
    - {{by: 15d 20h, expect: []}}
"""


@pytest.fixture(scope="module")
def silence() -> VirtualTime:
    (story,) = stories(DURING)
    engine = VirtualTime(story.policy.to_log(), mapper=INTAKE)
    offsets = dict.fromkeys(ONE_TOPIC_OF_EACH_KIND, 0)
    for step in story.steps:
        engine.advance(step.at_ms)
        if isinstance(step, Appended):
            engine.append([InputRecord(offsets[step.kind], step.value)], step.kind, step.at_ms)
            offsets[step.kind] += 1
    return engine


def test_explain_says_that_a_clock_is_held_and_for_what(silence: VirtualTime) -> None:
    now_ms = MONDAY + (15 * 24 + 20) * HOUR
    states = PlayedStates(silence, default_policy().to_log(), now_ms, "memory")
    (subject,) = asyncio.run(find_subjects(states, "R1"))
    told = explain(subject.known, TellingPolicy(default_policy().to_log()))
    wait: ExplainedWait = next(one for one in told.waits if one.rule is RuleId.MISSING_FIRST_SCAN)
    assert (wait.verdict, wait.held_for) == (Verdict.FEED_SILENT, "ups")
    assert "held: the feed ups is silent" in verdict_text(wait)


def test_the_metrics_say_who_is_silent_and_what_is_held(silence: VirtualTime) -> None:
    registry = CollectorRegistry()
    FeedMetrics(registry).observe(silence.partitions())
    assert registry.get_sample_value("returnwatch_feed_state", {"feed": "ups"}) == 2
    assert registry.get_sample_value("returnwatch_feed_state", {"feed": "labels"}) == 0
    assert registry.get_sample_value("returnwatch_held_waits", {"feed": "ups"}) == 1
    value = registry.get_sample_value(
        "returnwatch_held_value_minor_units", {"feed": "ups", "currency": "EUR"}
    )
    assert value == 4_000
    heard = registry.get_sample_value("returnwatch_feed_last_heard_timestamp_seconds", {"feed": "ups"})
    assert heard == pytest.approx((MONDAY + 15 * 24 * HOUR) / 1000, abs=61)
