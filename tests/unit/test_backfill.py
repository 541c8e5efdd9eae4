"""While history is loaded no timer fires; afterwards all of them do, and what was due before going live calls nobody."""

from collections.abc import Callable

import pytest

from schemas.facts import BACKFILL_KEY, Backfill, LabelTerms, encode_json
from schemas.outputs import Escalation
from schemas.vocabulary import CaseState, Evidence, Milestone, RuleId
from streams.watermark import decode_position
from tests.erasing import Erasing, parcel
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    Record,
    StageRun,
    marker,
    only,
    parcel_fact,
    parcels_run,
    returns_run,
)

BEGIN, END = encode_json(Backfill("B1", True)), encode_json(Backfill("B1", False))
LABEL = encode_json(
    parcel_fact(Milestone.LABEL_CREATED, HOUR, evidence=Evidence.ANNOUNCED, label=LabelTerms(("R1",), "ups"))
)
LABELLED = parcel("label_created", 0, "1Z1", return_id="RMA-1")
SCANNED = parcel("carrier_scan", 1, "1Z1", code="OR")
NEVER_SCANNED = parcel("label_created", 0, "1Z2", return_id="RMA-2")


def told(news: list[Escalation]) -> list[tuple[str, str, str]]:
    return sorted((one.return_id, one.rule.value, one.state.value) for one in news)


def loading(**policy: object) -> Erasing:
    shop = Erasing(only(RuleId.MISSING_FIRST_SCAN, **policy))
    shop.engine.load_history(BEGIN)
    return shop


def test_no_timer_fires_before_the_end_however_late_it_is() -> None:
    shop = loading()
    shop.tell(LABELLED, NEVER_SCANNED)
    shop.reach(10)
    assert shop.news() == []
    shop.tell(SCANNED, at_day=10)
    shop.reach(11)
    shop.engine.load_history(END)
    shop.reach(11)
    assert {(one.return_id, one.state) for one in shop.news()} == {
        ("RMA-2", CaseState.OPEN),
        ("RMA-2", CaseState.ESCALATED),
    }


def test_afterwards_time_goes_on_as_ever() -> None:
    shop = loading()
    shop.engine.load_history(END)
    shop.tell(NEVER_SCANNED)
    shop.reach(2)
    assert shop.news() == []
    shop.reach(3)
    assert told(shop.news()) == [("RMA-2", "missing_first_scan", "open")]


def test_what_was_due_before_going_live_opens_as_history_and_is_summed_up() -> None:
    shop = loading(go_live_at="2026-01-09T00:00:00Z")
    shop.tell(NEVER_SCANNED, parcel("label_created", 2, "1Z3", return_id="RMA-3"))
    shop.reach(6)
    shop.engine.load_history(END)
    shop.reach(6)
    assert {(one.return_id, one.historical) for one in shop.news()} == {("RMA-2", True), ("RMA-3", False)}
    positions = [log.partition._position for log in shop.engine._returns]
    assert sum((sum(one.loading.historical.values()) for one in positions), 0) == 1
    counts = shop.engine.counts()
    assert counts["case_historical", "missing_first_scan"] == 1
    assert counts["case_opened", "missing_first_scan"] == 1


def test_a_record_that_is_repeated_after_the_end_holds_nothing() -> None:
    shop = loading()
    for record in (BEGIN, END, END, BEGIN):
        shop.engine.load_history(record)
    shop.tell(NEVER_SCANNED)
    shop.reach(3)
    assert told(shop.news()) == [("RMA-2", "missing_first_scan", "open")]


def test_an_end_without_a_begin_is_nothing() -> None:
    shop = Erasing(only(RuleId.MISSING_FIRST_SCAN))
    shop.engine.load_history(END)
    shop.tell(NEVER_SCANNED)
    shop.reach(3)
    assert told(shop.news()) == [("RMA-2", "missing_first_scan", "open")]


def test_another_backfill_holds_anew() -> None:
    shop = loading()
    shop.engine.load_history(END)
    shop.tell(NEVER_SCANNED)
    shop.reach(1)
    shop.engine.load_history(encode_json(Backfill("B2", True)))
    shop.reach(9)
    assert shop.news() == []
    shop.engine.load_history(END)  # of the one before
    shop.reach(10)
    assert shop.news() == []
    shop.engine.load_history(encode_json(Backfill("B2", False)))
    shop.reach(10)
    assert shop.news()


@pytest.mark.parametrize("first", ["parcels", "returns"])
def test_which_stage_hears_of_the_end_first_makes_no_difference(first: str) -> None:
    def ended(order: str) -> list[Escalation]:
        shop = loading()
        shop.tell(NEVER_SCANNED, LABELLED, SCANNED)
        shop.reach(8)
        logs = {"parcels": shop.engine._parcels, "returns": shop.engine._returns}
        for log in logs.pop(order):
            log.append(BACKFILL_KEY, END)
        shop.reach(9)
        assert shop.news() == []
        for log in next(iter(logs.values())):
            log.append(BACKFILL_KEY, END)
        shop.reach(9)
        return shop.news()

    both = loading()
    both.tell(NEVER_SCANNED, LABELLED, SCANNED)
    both.reach(8)
    both.engine.load_history(END)
    both.reach(9)
    assert ended(first) == both.news() != []


@pytest.mark.parametrize("make", [parcels_run, returns_run])
def test_it_outlives_a_stop_and_says_why_time_stands(make: Callable[[], StageRun]) -> None:
    run = make()
    run.feed([Record(0, b"\x00policy", only().to_log()), Record(1, BACKFILL_KEY, BEGIN)])
    for source in run.sources:
        run.feed([Record(run.engine.next_offset, b"\x00marker", marker(MONDAY + DAY, source))])
    run.lose_disk()
    assert run.engine.is_loading
    assert run.engine.watermark_ms == 0
    assert run.engine.holding()[0].startswith("backfill: ")
    assert run.engine.marks_to_forward() is None
    run.feed([Record(run.engine.next_offset, BACKFILL_KEY, END)])
    assert (run.engine.is_loading, run.engine.watermark_ms) == (False, MONDAY + DAY)
    assert not decode_position(run.store.position or b"").loading.held


def test_an_end_whose_timers_fill_many_batches_goes_on_behind_them() -> None:
    run, cut = parcels_run(), parcels_run(max_facts=2)
    for each in (run, cut):
        each.feed([Record(0, b"\x00policy", only().to_log()), Record(1, BACKFILL_KEY, BEGIN)])
        for number in range(9):
            each.feed([Record(2 + number, f"ups:{number}".encode(), LABEL)])
        each.feed([Record(11, b"\x00marker", marker(MONDAY + 9 * DAY))])
        assert not [out for out in each.said if b'"breaches"' in (out.value or b"")]
        each.feed([Record(12, BACKFILL_KEY, END)])
    assert cut.said == run.said
    assert cut.engine.watermark_ms == run.engine.watermark_ms == MONDAY + 9 * DAY
