"""The board's index: what the topics say it shows, whatever is read twice, and however it was stopped."""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.board.case_query import UNKNOWN, CaseQuery, Order, RefusedQueryError, State
from agents.board.index_reading import MOST_COUNTED, CasePage, IndexReader, TakesTooLongError
from agents.board.index_writing import IndexWriter
from agents.settings import Settings
from schemas.command_answers import CommandAnswer, encode_command_answer
from schemas.outputs import Case, Escalation, FeedTold, Money, Severity, encode_case, encode_escalation
from schemas.vocabulary import AnswerReason, CaseState, CommandType, Reason, RuleId
from tests.board_shop import NAMES, Record, index_of, numbered, take_in

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
FILTERS = ("rule", "carrier", "facility", "severity", "seen")


def a_case(number: int, **changes: Any) -> Escalation:
    told: dict[str, Any] = {
        "case_id": f"{number:08x}-0000-4000-8000-000000000000",
        "revision": 1,
        "rule": RuleId.STALLED_SILENT,
        "state": CaseState.OPEN,
        "reason": Reason.DUE,
        "level": 1,
        "severity": Severity.WARNING,
        "action": "ask the carrier",
        "return_id": f"R{number}",
        "parcel": f"ups:1Z{number}",
        "carrier": "ups",
        "tracking_number": f"1Z{number}",
        "facility": "LIL1",
        "value": Money(1990, "EUR"),
        "since_at": NOW - timedelta(days=9),
        "due_at": NOW - timedelta(days=2, minutes=number % 1_000),
        "effective_at": NOW - timedelta(days=2),
    }
    return Escalation(**(told | changes))


def told(*changes: Escalation) -> list[Record]:
    """As workers write them: each change to `escalations` and to `cases`."""
    records = []
    for change in changes:
        at_ms = round(change.effective_at.timestamp() * 1_000)
        records.append(Record(NAMES.escalations, b"k", encode_escalation(change), timestamp=at_ms))
        records.append(Record(NAMES.cases, change.case_id.encode(), encode_case(change), timestamp=at_ms))
    return numbered(records)


def some_cases(count: int, seed: int = 5) -> list[Escalation]:
    draw = random.Random(seed)
    return [
        a_case(
            number,
            rule=draw.choice([RuleId.STALLED_SILENT, RuleId.LATE_REFUND, RuleId.MISROUTED]),
            state=draw.choice([*CaseState, CaseState.OPEN, CaseState.OPEN]),
            carrier=draw.choice(["ups", "dhl", ""]),
            facility=draw.choice(["LIL1", "LEJ1", ""]),
            severity=draw.choice(list(Severity)),
            level=draw.randint(1, 3),
            value=draw.choice(
                [None, Money(draw.randrange(100_000), "EUR"), Money(draw.randrange(1_000), "JPY")]
            ),
            due_at=NOW - timedelta(hours=draw.randrange(-50, 900)),
            effective_at=NOW - timedelta(hours=draw.randrange(900)),
            acknowledged_by=draw.choice(["", "ops-1"]),
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def many() -> list[Escalation]:
    return some_cases(700)


@pytest.fixture(scope="module")
def reader(many: list[Escalation], tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexReader]:
    file = tmp_path_factory.mktemp("board") / "index.sqlite"
    writer = index_of(file, told(*many))
    yield IndexReader(file)
    writer.close()


def all_pages(reader: IndexReader, query: CaseQuery) -> list[Case]:
    found: list[Case] = []
    page = reader.cases(query, NOW)
    while True:
        found += page.cases
        if not page.next_page:
            return found
        page = reader.cases(CaseQuery.of(query.asked() | {"after": page.next_page}), NOW)


def units(case: Case) -> float:
    return 0 if case.value is None else case.value.amount_minor / (1 if case.value.currency == "JPY" else 100)


def is_wanted(case: Case, query: CaseQuery) -> bool:
    """What a filter means, said a second time."""
    active = case.state in {CaseState.OPEN, CaseState.ESCALATED}
    return (
        (active if query.state is State.OPEN else case.state.value == query.state.value)
        and query.rule in {"", case.rule.value}
        and query.carrier in {"", case.carrier or UNKNOWN}
        and query.facility in {"", case.facility or UNKNOWN}
        and query.severity in {"", case.severity.value}
        and query.seen in {"", "yes" if case.acknowledged_by else "no"}
        and (not query.age_days or case.due_at < NOW - timedelta(days=query.age_days))
        and units(case) >= query.value
    )


QUERIES = [
    CaseQuery(),
    CaseQuery(order=Order.OLDEST),
    CaseQuery(order=Order.NEWEST, carrier="dhl"),
    CaseQuery(order=Order.VALUE, facility="LIL1"),
    CaseQuery(rule="late_refund", carrier="ups", facility="LEJ1"),
    CaseQuery(severity="error"),
    CaseQuery(severity="critical", order=Order.OLDEST, seen="no"),
    CaseQuery(carrier=UNKNOWN, seen="yes"),
    CaseQuery(age_days=14, value=250),
    CaseQuery(age_days=3, order=Order.VALUE, rule="misrouted"),
    CaseQuery(state=State.RESOLVED),
    CaseQuery(state=State.RETRACTED, rule="late_refund"),
    CaseQuery(carrier="nobody"),
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query.asked()) or "all")
def test_the_pages_together_show_every_wanted_case_once(
    reader: IndexReader, many: list[Escalation], query: CaseQuery
) -> None:
    shown = [case.case_id for case in all_pages(reader, query._replace(limit=37))]
    wanted = [case.case_id for case in many if is_wanted(case, query)]
    assert sorted(shown) == sorted(wanted)
    assert reader.count(query, NOW) == len(wanted)


def test_the_orders_are_what_they_are_called(reader: IndexReader) -> None:
    severities = list(Severity)
    by_urgency = all_pages(reader, CaseQuery())
    keys = [(-severities.index(one.severity), -one.level, one.due_at) for one in by_urgency]
    assert keys == sorted(keys)
    oldest = [one.due_at for one in all_pages(reader, CaseQuery(order=Order.OLDEST))]
    assert oldest == sorted(oldest)
    assert [one.due_at for one in all_pages(reader, CaseQuery(order=Order.NEWEST))] == oldest[::-1]
    values = [units(one) for one in all_pages(reader, CaseQuery(order=Order.VALUE))]
    assert values == sorted(values, reverse=True)
    resolved = [one.effective_at for one in all_pages(reader, CaseQuery(state=State.RESOLVED))]
    assert resolved == sorted(resolved, reverse=True)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query.asked()) or "all")
def test_a_filter_counts_what_its_other_choices_would_show(
    reader: IndexReader, many: list[Escalation], query: CaseQuery
) -> None:
    facets = reader.facets(query)
    for name in FILTERS:
        empty: dict[str, Any] = {"age_days": 0, "value": 0, name: ""}
        others = query._replace(**empty)
        values: dict[str, Callable[[Case], str]] = {
            "rule": lambda case: case.rule.value,
            "carrier": lambda case: case.carrier,
            "facility": lambda case: case.facility,
            "severity": lambda case: case.severity.value,
            "seen": lambda case: str(int(bool(case.acknowledged_by))),
        }
        counted = Counter(values[name](case) for case in many if is_wanted(case, others))
        assert dict(facets[name]) == counted


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query.asked()) or "all")
def test_no_page_reads_cases_that_it_need_not_sort(reader: IndexReader, query: CaseQuery) -> None:
    sql, values = query.rows(reader._most_selective(query), NOW)
    plan = " ".join(row[3] for row in reader._all(f"EXPLAIN QUERY PLAN {sql}", values))
    assert "USING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_more_than_are_counted_are_told_as_more(tmp_path: Path) -> None:
    writer = index_of(tmp_path / "i", told(*(a_case(number) for number in range(MOST_COUNTED + 5))))
    reader = IndexReader(tmp_path / "i")
    assert reader.count(CaseQuery(), NOW) == MOST_COUNTED + 5
    assert reader.count(CaseQuery(age_days=1), NOW) == MOST_COUNTED + 1
    writer.close()


# -- what the topics say ---------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[IndexWriter, IndexReader]]:
    writer = IndexWriter(tmp_path / "index.sqlite", NAMES)
    yield writer, IndexReader(tmp_path / "index.sqlite")
    writer.close()


def first_page(reader: IndexReader, query: CaseQuery = CaseQuery()) -> CasePage:  # noqa: B008 - a tuple
    return reader.cases(query, NOW)


def test_a_record_that_is_read_again_changes_nothing_and_an_older_one_neither(
    index: tuple[IndexWriter, IndexReader],
) -> None:
    writer, reader = index
    opened = a_case(1)
    escalated = msgspec.structs.replace(
        opened,
        revision=2,
        state=CaseState.ESCALATED,
        severity=Severity.CRITICAL,
        level=2,
        reason=Reason.LEVEL,
    )
    for _ in range(2):
        take_in(writer, told(opened, escalated))
        take_in(writer, told(opened))
        (case,) = first_page(reader).cases
        assert (case.revision, case.severity) == (2, Severity.CRITICAL)
        assert reader.facets(CaseQuery())["severity"] == [("critical", 1)]
        assert [change.revision for change in reader.history(case.case_id)] == [1, 2]


def test_a_deleted_case_leaves_nothing_behind_in_the_file(
    index: tuple[IndexWriter, IndexReader], tmp_path: Path
) -> None:
    writer, reader = index
    case = a_case(1, return_id="R-SECRET-1", tracking_number="1ZSECRET", parcel="ups:1ZSECRET")
    take_in(writer, told(case))
    assert reader.search("R-SECRET-1").returns == ["R-SECRET-1"]
    erased = msgspec.structs.replace(
        case, revision=2, state=CaseState.RESOLVED, reason=Reason.ERASED, return_id="", parcel="",
        carrier="", tracking_number="",
    )  # fmt: skip
    take_in(writer, [told(erased)[0], Record(NAMES.cases, case.case_id.encode(), None)])
    assert reader.search("R-SECRET-1") == ([], [])
    assert reader.search("1ZSECRET") == ([], [])
    assert reader.history(case.case_id) == []
    assert reader.states() == {"open": 0, "resolved": 0, "retracted": 0}
    assert files_with(b"SECRET", tmp_path) == []


def test_what_a_reader_keeps_from_being_overwritten_is_overwritten_later(
    index: tuple[IndexWriter, IndexReader], tmp_path: Path
) -> None:
    writer, _ = index
    case = a_case(1, return_id="R-SECRET-1")
    take_in(writer, told(case))
    reading = sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)
    reading.execute("BEGIN")
    assert reading.execute("SELECT COUNT(*) FROM cases").fetchone() == (1,)
    take_in(writer, told(a_case(2)))
    erased = told(msgspec.structs.replace(case, revision=2, reason=Reason.ERASED, return_id=""))[0]
    take_in(writer, [erased, Record(NAMES.cases, case.case_id.encode(), None)])
    assert files_with(b"SECRET", tmp_path) != [], "somebody reads it"
    reading.close()
    writer.overwrite()
    assert files_with(b"SECRET", tmp_path) == []


def test_what_one_that_was_killed_had_deleted_is_overwritten_by_the_next(tmp_path: Path) -> None:
    here, copied = tmp_path / "here", tmp_path / "copied"
    writer = index_of(here / "index.sqlite", told(a_case(1, return_id="R-SECRET-1")))
    with sqlite3.connect(here / "index.sqlite") as other:
        other.execute("DELETE FROM cases")
        other.execute("DELETE FROM changes")
    shutil.copytree(here, copied)
    writer.close()
    assert files_with(b"SECRET", copied) != []
    again = IndexWriter(copied / "index.sqlite", NAMES)
    again.overwrite()
    assert files_with(b"SECRET", copied) == []
    again.close()


def files_with(text: bytes, directory: Path) -> list[str]:
    return [file.name for file in directory.iterdir() if text in file.read_bytes()]


def test_answers_about_a_forgotten_return_do_not_come_back_when_topics_are_read_anew(
    index: tuple[IndexWriter, IndexReader], tmp_path: Path
) -> None:
    """Of several topics, whichever is read first."""
    writer, reader = index
    case = a_case(1, return_id="R-SECRET-1")
    erased = told(msgspec.structs.replace(case, revision=2, reason=Reason.ERASED, return_id=""))[0]
    for before_erased in (True, False):
        answered = an_answer(case, at=NOW - timedelta(days=1))
        of_forget = msgspec.structs.replace(answered, command_id="forgot", case_id="")
        answers = [answer_record(answered), answer_record(of_forget)]
        take_in(writer, [*answers, erased] if before_erased else [erased, *answers])
        writer.prune({}, NOW)
        assert reader.answers(case.case_id) == []
        assert files_with(b"SECRET", tmp_path) == []


def test_an_answer_that_is_read_before_its_case_is_kept(index: tuple[IndexWriter, IndexReader]) -> None:
    writer, reader = index
    case = a_case(1)
    take_in(writer, [answer_record(an_answer(case, at=NOW))])
    writer.prune({}, NOW)
    take_in(writer, told(case))
    writer.prune({}, NOW + timedelta(days=1))
    assert [answer.command_id for answer in reader.answers(case.case_id)] == ["told"]


def an_answer(case: Case, at: datetime) -> CommandAnswer:
    return CommandAnswer(
        answer_id="a",
        command_id="told",
        audit_id="told",
        command=CommandType.NOTE,
        accepted=True,
        reason=AnswerReason.DONE,
        explanation="",
        case_id=case.case_id,
        return_id=case.return_id,
        by="ops-7",
        at=at,
        effective_at=at,
        note="the customer called",
    )


def answer_record(answer: CommandAnswer) -> Record:
    at_ms = round(answer.at.timestamp() * 1_000)
    value = encode_command_answer(answer)
    return Record(NAMES.command_answers, answer.return_id.encode(), value, timestamp=at_ms)


def test_what_is_no_case_is_counted_and_passed_over(index: tuple[IndexWriter, IndexReader]) -> None:
    writer, reader = index
    strange = [
        Record(NAMES.cases, b"x", b"{"),
        Record(NAMES.cases, None, b"{}"),
        Record(NAMES.journeys, None, b"{}"),
        Record(NAMES.kpis, b"x", b"[]"),
        Record(NAMES.dead_letters, b"x", b"y"),
        Record(NAMES.command_answers, b"x", b"\xff"),
    ]
    take_in(writer, numbered(strange) + told(a_case(1)))
    assert writer.unreadable == len(strange)
    assert len(first_page(reader).cases) == 1


def test_a_case_about_a_feed_is_found_by_the_feeds_page(index: tuple[IndexWriter, IndexReader]) -> None:
    writer, reader = index
    of_feed = a_case(1, rule=RuleId.FEED_SILENT, return_id="", parcel="", feed=FeedTold("ups", 100, 2))
    take_in(writer, told(of_feed, a_case(2)))
    assert [case.feed for case in reader.cases_of_feeds()] == [FeedTold("ups", 100, 2)]


def test_a_search_finds_by_return_number_and_start_of_a_case(index: tuple[IndexWriter, IndexReader]) -> None:
    writer, reader = index
    take_in(writer, told(a_case(0xABCDEF12), a_case(2, carrier="dhl", parcel="dhl:1Z2")))
    assert reader.search(" R2 ").returns == ["R2"]
    assert [case.return_id for case in reader.search("1z 2").cases] == ["R2"]
    assert [case.return_id for case in reader.search("dhl:1Z2").cases] == ["R2"]
    assert reader.search("ups:1Z2").cases == []
    assert len(reader.search("ABCDEF").cases) == 1
    for nothing in ("", "abcde", "%", "R%", "' OR 1=1 --", "\x00", "a" * 10_000, "\udcff"):
        assert reader.search(nothing) == ([], []), nothing


# -- the file ----------------------------------------------------------------------------------------------------------


def test_positions_and_rows_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    writer = index_of(file, told(a_case(1)))
    before = writer.positions()
    records = told(a_case(2), a_case(3))
    records[-1].topic = "no topic of ours"
    with pytest.raises(KeyError):
        take_in(writer, records)
    writer.close()
    again = IndexWriter(file, NAMES)
    assert again.positions() == before == {(NAMES.cases, 0): 1, (NAMES.escalations, 0): 1}
    assert [case.return_id for case in first_page(IndexReader(file)).cases] == ["R1"]
    again.close()


def test_the_index_of_other_topics_is_not_shown_as_ours(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    index_of(file, told(a_case(1))).close()
    other = IndexWriter(file, Settings(topic_prefix="other-").topics)
    assert other.positions() == {}
    assert first_page(IndexReader(file)).cases == []
    other.close()


@pytest.mark.parametrize("content", [b"", b"half of a file", b"SQLite format 3\x00" + b"\xff" * 5_000])
def test_a_file_that_is_no_index_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "index.sqlite"
    file.write_bytes(content)
    writer = index_of(file, told(a_case(1)))
    assert len(first_page(IndexReader(file)).cases) == 1
    writer.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i", NAMES)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        IndexReader(tmp_path / "i")._all("DELETE FROM cases")
    writer.close()


def test_what_the_topics_no_longer_hold_is_let_go(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i", NAMES)
    later = a_case(2, effective_at=NOW)
    take_in(writer, told(a_case(1), later))
    reader = IndexReader(tmp_path / "i")
    writer.prune({(NAMES.escalations, 0): 1, (NAMES.cases, 0): 1}, NOW)
    assert reader.history(a_case(1).case_id) == []
    assert len(reader.history(later.case_id)) == 1
    assert len(first_page(reader).cases) == 2, "a compacted topic starts late and still means all its cases"
    writer.close()


def test_changes_of_a_case_that_is_gone_are_let_go_but_not_those_that_are_early(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i", NAMES)
    gone, early = a_case(1, effective_at=NOW - timedelta(days=1)), a_case(2, effective_at=NOW)
    take_in(writer, [record for record in told(gone, early) if record.topic == NAMES.escalations])
    writer.prune({}, NOW)
    reader = IndexReader(tmp_path / "i")
    assert (len(reader.history(gone.case_id)), len(reader.history(early.case_id))) == (0, 1)
    writer.close()


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("state", "opened"), ("order", "random"), ("rule", "x"), ("severity", "fatal"), ("seen", "maybe")],
        *[("age", "-1"), ("age", "1e9"), ("age", "٣"), ("value", "99999999999"), ("limit", "201")],
        *[("carrier", "x" * 201), ("after", "!"), ("after", "W10"), ("after", "e30"), ("after", "x" * 9_000)],
    ],
)
def test_what_there_is_not_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(RefusedQueryError) as refused:
        CaseQuery.of({field: text})
    assert refused.value.field == field


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query.asked()) or "all")
def test_an_address_asks_for_what_it_was_made_from(query: CaseQuery) -> None:
    assert CaseQuery.of(query.asked()) == query


def test_counts_are_those_of_now_also_when_they_were_asked_for_before(
    index: tuple[IndexWriter, IndexReader],
) -> None:
    writer, reader = index
    for count in (1, 2, 3):
        take_in(writer, told(a_case(count)))
        for query in (CaseQuery(), CaseQuery(order=Order.VALUE), CaseQuery(rule="late_refund")):
            assert reader.facets(query)["rule"] == [("stalled_silent", count)]
    writer.begin_anew()
    reader.reopen()
    assert reader.facets(CaseQuery())["rule"] == []


def test_canaries_are_nobodys_cases(tmp_path: Path) -> None:
    writer = index_of(tmp_path / "index.sqlite", told(a_case(1), a_case(2, return_id="returnwatch-canary-1")))
    assert [case.return_id for case in all_pages(IndexReader(tmp_path / "index.sqlite"), CaseQuery())] == [
        "R1"
    ]
    writer.close()


def test_a_question_that_looks_through_too_many_cases_is_given_up_and_the_next_is_answered(
    many: list[Escalation], tmp_path: Path
) -> None:
    file = tmp_path / "index.sqlite"
    writer = index_of(file, told(*many))
    nothing_is_worth_that = CaseQuery(state=State.OPEN, value=10**9)
    hasty = IndexReader(file, most_time=timedelta(0))
    with pytest.raises(TakesTooLongError):
        hasty.cases(nothing_is_worth_that, NOW)
    patient = IndexReader(file)
    assert patient.cases(nothing_is_worth_that, NOW).cases == []
    assert hasty.search("nothing").cases == []
    writer.close()
