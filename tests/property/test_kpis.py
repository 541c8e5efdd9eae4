"""The KPIs are exact: whatever came in whatever order, however often, the cells are what a count of the states gives."""

from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.facts import MARKER_KEY, POLICY_KEY, ParcelReport, decode_return_record
from schemas.kpis import Count
from schemas.policy_loading import default_policy
from streams import kpis
from streams.cells import CELL_PREFIX, CellName, decode_cell, name_of_cell
from streams.returns import decode_return
from tests.property.test_watermark_steps import CUTS, Entry, in_smaller_steps, play, return_logs
from tests.stages import Record, StageRun, returns_run

Sums = dict[CellName, dict[int, int]]


def in_cells(run: StageRun) -> Sums:
    cells = {
        name_of_cell(key): decode_cell(raw).sums
        for key, (_, raw) in run.store.rows.items()
        if key.startswith(CELL_PREFIX)
    }
    return {name: sums for name, sums in cells.items() if sums}


def counted_anew(run: StageRun) -> Sums:
    """As if every return came to be known at once."""
    found: dict[CellName, Counter[int]] = {}
    for _, raw in run.store.states.values():
        state = decode_return(raw)
        assert state.counted == kpis.COUNTED_BY
        # Not by `adds`: one that is counted at once may fill more cells than one change may (MOST_CELLS).
        for name, sums in kpis._by_cell({}, kpis._items(state), 1).items():
            found.setdefault(name, Counter()).update(sums)
    return {name: dict(sums) for name, sums in found.items()}


def without_the_end(log: list[Entry]) -> list[Entry]:
    """Without the last step of the watermark, after which everything is forgotten."""
    return log[:-2]


@settings(max_examples=40, deadline=None)
@given(return_logs(), CUTS, st.integers(1, 3), st.sets(st.integers(0, 30), max_size=3), st.booleans())
def test_the_cells_are_what_a_count_of_all_returns_gives(
    log: list[Entry], cuts: tuple[int, int, int], pieces: int, restarts: set[int], disk: bool
) -> None:
    chunk, max_facts, max_bytes = cuts
    run = returns_run(max_facts=max_facts, max_bytes=max_bytes)
    play(run, in_smaller_steps(without_the_end(log), pieces), chunk, restarts, disk=disk)
    assert in_cells(run) == counted_anew(run)


def begins_with_what_was_taken_back(log: list[Entry]) -> bool:
    """Whether the first word on a return takes a label back: that says nothing, and no parcel stage says it first."""
    for record in ({key: decode_return_record(value) for key, value in reversed(log)}).values():
        if isinstance(record, ParcelReport) and not record.linked:
            return True
    return False


@settings(max_examples=30, deadline=None)
@given(return_logs(), st.randoms(use_true_random=False), st.integers(0, 5))
def test_facts_and_reports_in_any_order_and_twice_give_the_same_cells(
    log: list[Entry], rnd: object, repeats: int
) -> None:
    news = [entry for entry in log if entry[0] not in {MARKER_KEY, POLICY_KEY}]
    shuffled = [*news, *news[:repeats]]
    rnd.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis' own generator
    assume(not begins_with_what_was_taken_back(shuffled))
    policy = (POLICY_KEY, default_policy().to_log())
    one, other = (
        play(returns_run(), [policy, *news], 1, set()),
        play(returns_run(), [policy, *shuffled], 7, set()),
    )
    assert in_cells(one) == in_cells(other)


@settings(max_examples=30, deadline=None)
@given(return_logs())
def test_what_is_purged_stays_counted(log: list[Entry]) -> None:
    run = returns_run()
    play(run, without_the_end(log), len(log), set())
    before = in_cells(run)
    milestones = {name: _milestones(sums) for name, sums in before.items()}
    play_on = play_from(run, log[-2:])
    after = {name: _milestones(sums) for name, sums in in_cells(play_on).items()}
    assert not play_on.store.states
    assert {name: sums for name, sums in milestones.items() if sums and name in after} == {
        name: sums for name, sums in after.items() if sums
    }


def play_from(run: StageRun, entries: list[Entry]) -> StageRun:
    first = run.engine.next_offset
    run.feed([Record(first + number, key, value) for number, (key, value) in enumerate(entries)])
    return run


def _milestones(sums: dict[int, int]) -> dict[int, int]:
    """What time alone does not change."""
    at_risk = kpis.FIRST_COUNT + list(Count).index(Count.AT_RISK)
    return {slot: amount for slot, amount in sums.items() if slot < kpis.FIRST_AMOUNT and slot != at_risk}
