"""However the log is cut into chunks and batches, and the watermark's way into steps, the same is said, byte for byte.

Also when the process stops between any two batches, with its disk or without.
"""

from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.facts import MARKER_KEY, POLICY_KEY, ReturnFact, encode_json
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from streams.traces import is_trace
from streams.watermark import PARCELS_SOURCE
from tests.property.parcel_lives import facts, return_facts
from tests.stages import (
    DAY,
    HOUR,
    MONDAY,
    Headers,
    Record,
    StageRun,
    label_fact,
    marker,
    parcels_run,
    returns_run,
)

Entry = tuple[bytes, bytes]
STRICTER = Policy.model_validate(
    {
        **default_policy().model_dump(mode="json"),
        "settle": "0s",
        "rules": {
            **default_policy().model_dump(mode="json")["rules"],
            "missing_first_scan": {"budget": "30h", "action": "ask"},
            "stalled_silent": {"budget": "2d", "action": "trace"},
        },
    }
)


@st.composite
def parcel_logs(draw: st.DrawFn) -> list[Entry]:
    """A policy, then facts of three parcels as they come in, and the watermark behind them; perhaps another policy."""
    log: list[Entry] = [(POLICY_KEY, default_policy().to_log())]
    labelled = [
        (f"ups:{parcel}", label_fact(draw(st.integers(0, 12)) * 6 * HOUR, *returns))
        for parcel, returns in ((1, ("R1",)), (2, ("R1", "R2")))
    ]
    others = st.tuples(st.sampled_from(["ups:1", "ups:1", "ups:2", "ups:2", "ups:3"]), facts(identities=30))
    told = sorted([*labelled, *draw(st.lists(others, max_size=14))], key=lambda keyed: keyed[1].arrived_ms)
    change_at = draw(st.integers(0, 20))
    reached = 0
    for number, (parcel, fact) in enumerate(told):
        if draw(st.booleans()):
            reached = max(reached, fact.arrived_ms - draw(st.sampled_from([HOUR, 2 * DAY])))
            log.append((MARKER_KEY, marker(reached)))
        if number == change_at:
            log.append((POLICY_KEY, STRICTER.to_log()))
        log.append((parcel.encode(), encode_json(fact)))
    return [*log, (MARKER_KEY, marker(MONDAY + 90 * DAY)), (MARKER_KEY, marker(MONDAY + 300 * DAY))]


def in_smaller_steps(log: list[Entry], pieces: int) -> list[Entry]:
    """The same log, with more markers on the way of the watermark: `pieces` for each step."""
    from schemas.facts import decode_marker

    stepped: list[Entry] = []
    before = MONDAY
    for key, value in log:
        if key == MARKER_KEY:
            mark = decode_marker(value).marks[0]
            through = mark.through_ms
            for piece in range(1, pieces):
                step = before + (through - before) * piece // pieces
                if before < step < through:
                    stepped.append((key, marker(step, mark.topic)))
            before = max(before, through)
        stepped.append((key, value))
    return stepped


def trace_of(value: bytes) -> Headers:
    """Two records of three are in a trace, each in its own."""
    number = crc32(value)
    if number % 3 == 0:
        return ()
    return [("traceparent", f"00-{number:032x}-{number:016x}-{number % 2:02x}".encode())]


def with_traces(run: StageRun, traces: bool) -> StageRun:
    run.traces = traces
    run.start()
    return run


def play(run: StageRun, log: list[Entry], chunk: int, restarts: set[int], *, disk: bool = True) -> StageRun:
    """Feed the log in chunks; before the chunks whose number is in `restarts` the process is started anew."""
    records = [Record(offset, key, value, trace_of(value)) for offset, (key, value) in enumerate(log)]
    for number, start in enumerate(range(0, len(records), chunk)):
        if number in restarts:
            run.start() if disk else run.lose_disk()
        run.feed(records[start : start + chunk])
    return run


def said(run: StageRun) -> list[tuple[str, bytes, bytes | None, object]]:
    return [(out.topic, out.key, out.value, out.headers) for out in run.said]


def contexts(run: StageRun) -> dict[bytes, bytes]:
    return {key: raw for key, (_, raw) in run.store.rows.items() if is_trace(key)}


CUTS = st.tuples(st.integers(1, 40), st.integers(1, 6), st.sampled_from([1, 3_000, 900_000]))


@settings(max_examples=40, deadline=None)
@given(
    parcel_logs(),
    CUTS,
    st.integers(1, 4),
    st.sets(st.integers(0, 30), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_reports_do_not_depend_on_cuts_steps_and_restarts(
    log: list[Entry], cuts: tuple[int, int, int], pieces: int, restarts: set[int], disk: bool, traces: bool
) -> None:
    chunk, max_facts, max_bytes = cuts
    whole = play(with_traces(parcels_run(), traces), log, len(log), set())
    cut = play(
        with_traces(parcels_run(max_facts=max_facts, max_bytes=max_bytes), traces),
        in_smaller_steps(log, pieces),
        chunk,
        restarts,
        disk=disk,
    )
    assert said(cut) == said(whole)
    assert contexts(cut) == contexts(whole)
    assert cut.engine.watermark_ms == whole.engine.watermark_ms
    assert {key: row[1][:0] for key, row in cut.store.rows.items()} == {
        key: row[1][:0] for key, row in whole.store.rows.items()
    }


@st.composite
def return_logs(draw: st.DrawFn) -> list[Entry]:
    """What a parcel stage said, mixed with facts of the returns, and the watermarks of both roads."""
    log = play(parcels_run(), draw(parcel_logs()), 1, set())
    entries: list[Entry] = [(POLICY_KEY, default_policy().to_log())]
    told: list[ReturnFact] = draw(st.lists(return_facts(), max_size=4))
    slots = max(1, len(log.said))
    at = sorted(draw(st.lists(st.integers(0, slots), min_size=len(told), max_size=len(told))))
    reached = MONDAY
    for slot in range(slots + 1):
        for place, fact in zip(at, told, strict=True):
            if place == slot:
                entries.append((draw(st.sampled_from([b"R1", b"R2"])), encode_json(fact)))
        if draw(st.booleans()):
            reached += draw(st.integers(0, 12)) * DAY
            entries += [(MARKER_KEY, marker(reached)), (MARKER_KEY, marker(reached, PARCELS_SOURCE))]
        if slot < len(log.said):
            entries.append((log.said[slot].key, log.said[slot].value or b""))
    end = MONDAY + 500 * DAY
    return [*entries, (MARKER_KEY, marker(end)), (MARKER_KEY, marker(end, PARCELS_SOURCE))]


@settings(max_examples=40, deadline=None)
@given(
    return_logs(),
    CUTS,
    st.integers(1, 4),
    st.sets(st.integers(0, 30), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_escalations_do_not_depend_on_cuts_steps_and_restarts(
    log: list[Entry], cuts: tuple[int, int, int], pieces: int, restarts: set[int], disk: bool, traces: bool
) -> None:
    chunk, max_facts, max_bytes = cuts
    whole = play(with_traces(returns_run(), traces), log, len(log), set())
    cut = play(
        with_traces(returns_run(max_facts=max_facts, max_bytes=max_bytes), traces),
        in_smaller_steps(log, pieces),
        chunk,
        restarts,
        disk=disk,
    )
    assert said(cut) == said(whole)
    assert contexts(cut) == contexts(whole)


@settings(max_examples=20, deadline=None)
@given(parcel_logs(), st.integers(1, 6), st.sampled_from([3_000, 6_000]))
def test_a_batch_stays_within_its_limit_unless_a_single_change_does_not(
    log: list[Entry], max_facts: int, max_bytes: int
) -> None:
    run = play(parcels_run(max_facts=max_facts, max_bytes=max_bytes), log, len(log), set())
    assert run.largest_batch <= max_bytes + len(log[0][1]) + 600


@settings(max_examples=20, deadline=None)
@given(parcel_logs(), st.integers(1, 9))
def test_after_a_crash_the_last_batchs_reports_are_sent_again(log: list[Entry], chunk: int) -> None:
    run = parcels_run()
    records = [Record(offset, key, value) for offset, (key, value) in enumerate(log)]
    for start in range(0, len(records), chunk):
        run.feed(records[start : start + chunk])
        newest = {(out.key, _parcel(out.value)): _comparable(out.value) for out in run.last_said}
        run.start()
        again = {
            (out.key, _parcel(out.value)): _comparable(out.value) for out in run.engine.repeat(run.store)
        }
        assert newest.items() <= again.items()


@settings(max_examples=20, deadline=None)
@given(return_logs(), st.integers(1, 9))
def test_after_a_crash_the_last_batchs_escalations_are_said_again_as_they_were(
    log: list[Entry], chunk: int
) -> None:
    run = returns_run()
    records = [Record(offset, key, value) for offset, (key, value) in enumerate(log)]
    for start in range(0, len(records), chunk):
        run.feed(records[start : start + chunk])
        run.start()
        assert run.engine.repeat(run.store) == run.last_said


def _parcel(value: bytes | None) -> bytes:
    return (value or b"").partition(b'"parcel":"')[2].partition(b'"')[0]


def _comparable(value: bytes | None) -> bytes:
    """A report without its last scan, which may be newer in the repetition."""
    head, found, rest = (value or b"").partition(b',"last_scan_ms":')
    return head + (rest[13:] if found else b"")
