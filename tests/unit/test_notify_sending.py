"""Receivers that fail in every way, against the real sender, record and HTTP client: nothing lost, order kept, told again."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from agents import notify_delivery, notify_sender
from agents.errors import NotifyError
from agents.notify_delivery import Endpoint, Secrets, retry_after_s
from agents.notify_record import NotifyRecord, Queued
from agents.notify_sender import MOST_AT_ONCE, NotifyMetrics, Sender
from schemas.notify_routes import Digest, PagerDutyReceiver, Receiver, SlackReceiver, WebhookReceiver
from schemas.outputs import Escalation, encode_escalation, escalation_id
from schemas.vocabulary import CaseState, Reason
from streams.notify_routing import action_of
from tests.case_changes import case_change, ended
from tests.command_line import returnwatch
from tests.receivers import LocalReceiver, eventually, local_receiver

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify_delivery, "LONGEST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def record(tmp_path: Path) -> Any:
    opened = NotifyRecord(tmp_path / "notify.sqlite3")
    yield opened
    opened.close()


def queued(change: Escalation, place: int = 0, receiver: str = "erp") -> Queued:
    return Queued(
        receiver=receiver,
        ce_id=escalation_id(change.case_id, change.revision),
        case_id=change.case_id,
        rule=change.rule.value,
        route="all",
        action=action_of(change).value,
        topic="escalations",
        partition=0,
        place=place,
        change=encode_escalation(change),
    )


def put(record: NotifyRecord, *changes: Escalation, at: float | None = None) -> None:
    rows = [queued(change, place) for place, change in enumerate(changes)]
    now = datetime.now(UTC).timestamp() if at is None else at
    record.queue(rows, "escalations", {0: len(changes)}, now)


def webhook(**fields: Any) -> WebhookReceiver:
    return WebhookReceiver(kind="webhook", url="https://a.example", secret="S", **fields)  # noqa: S106 - its name


class Sending:
    """A sender at work on one receiver."""

    def __init__(self, record: NotifyRecord, metrics: NotifyMetrics, registry: CollectorRegistry) -> None:
        self.record = record
        self.metrics = metrics
        self.registry = registry

    def states(self) -> dict[str, str]:
        return {entry.ce_id: entry.state for entry in self.record.entries(None, 100_000)}

    async def until_done(self) -> dict[str, str]:
        await eventually(lambda: not self.record.pending_counts())
        return self.states()


@asynccontextmanager
async def sending(
    record: NotifyRecord, to: LocalReceiver | str, receiver: Receiver | None = None
) -> AsyncIterator[Sending]:
    url = to if isinstance(to, str) else to.url
    registry = CollectorRegistry()
    metrics = NotifyMetrics(registry)
    endpoint = Endpoint(receiver or webhook(), Secrets(url, key="KEY", signing=b"hush"))
    async with aiohttp.ClientSession() as session:
        sender = Sender("erp", endpoint, record, session, metrics)
        task = asyncio.create_task(sender.run())
        try:
            yield Sending(record, metrics, registry)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize(
    "failures",
    [
        ["500", "502", "503"],
        ["429 0"],
        ["garbage"],
        ["close", "close"],
        ["endless"],
        ["never"],
        ["401", "403", "404", "410"],
        ["408", "425"],
    ],
)
async def test_whatever_a_receiver_does_it_is_told_in_the_end_and_of_each_case_in_order(
    failures: list[str], record: NotifyRecord
) -> None:
    put(record, case_change(), ended(), case_change(revision=3))
    async with local_receiver() as receiver:
        receiver.answers.extend(failures)
        async with sending(record, receiver, webhook(timeout="1s")) as work:
            assert set((await work.until_done()).values()) == {"sent"}
        assert [one.headers["webhook-id"] for one in receiver.taken] == ["c1:1", "c1:2", "c1:3"]
        tries = [one.headers["webhook-id"] for one in receiver.received]
        assert tries == ["c1:1"] * (len(failures) + 1) + ["c1:2", "c1:3"], "the same identity each time"
        failed = work.registry.get_sample_value(
            "returnwatch_notify_messages_total", {"receiver": "erp", "outcome": "failed"}
        )
        assert failed == len(failures)


async def test_who_is_not_there_is_told_when_it_comes(record: NotifyRecord) -> None:
    async with local_receiver() as receiver:
        url = receiver.url
    put(record, case_change())
    async with sending(record, url) as work:
        await eventually(lambda: record.entries(None, 1)[0].tries > 0)
        assert record.entries(None, 1)[0].answer.startswith("no answer: ")
        assert work.states() == {"c1:1": "pending"}


async def test_a_redirect_is_not_followed(record: NotifyRecord) -> None:
    put(record, case_change())
    async with local_receiver() as inside, local_receiver() as receiver:
        receiver.answers.append(f"307 {inside.url}")
        async with sending(record, receiver) as work:
            await work.until_done()
        assert inside.received == []
        assert [one.answer for one in receiver.received] == [f"307 {inside.url}", "200"]


@pytest.mark.parametrize("status", ["400", "413", "422"])
async def test_what_is_refused_for_what_it_says_is_given_up_at_once_and_holds_up_nobody(
    status: str, record: NotifyRecord
) -> None:
    put(record, case_change(), case_change("c2"))
    async with local_receiver() as receiver:
        receiver.answers.append(status)
        async with sending(record, receiver) as work:
            states = await work.until_done()
        refused = receiver.received[0].headers["webhook-id"]
        assert sorted(states.values()) == ["given_up", "sent"]
        assert states[refused] == "given_up"
        entry = record.entries("given_up", 1)[0]
        assert (entry.answer, entry.tries) == (f"HTTP {status}", 1)
        assert record.again(None, NOW).queued == 1
        async with sending(record, receiver) as work:
            assert set((await work.until_done()).values()) == {"sent"}
        assert sorted(one.headers["webhook-id"] for one in receiver.taken) == ["c1:1", "c2:1"]


async def test_after_its_time_a_message_is_given_up_but_tried_once_more(record: NotifyRecord) -> None:
    put(record, case_change(), at=datetime.now(UTC).timestamp() - 3_600)
    async with local_receiver() as receiver:
        receiver.else_answer = "500"
        async with sending(record, receiver, webhook(give_up_after="30m")) as work:
            assert await work.until_done() == {"c1:1": "given_up"}
        assert len(receiver.received) == 1


async def test_one_case_that_is_never_taken_does_not_hold_up_the_others(record: NotifyRecord) -> None:
    async with local_receiver() as receiver:
        receiver.answers.append("never")
        put(record, case_change("c1"), *(case_change(f"d{number}") for number in range(50)))
        async with sending(record, receiver, webhook(timeout="2m")) as work:
            await receiver.until(50)
            await eventually(lambda: list(work.states().values()).count("sent") == 50)
            assert list(work.states().values()).count("pending") == 1


async def test_cases_that_are_refused_again_and_again_do_not_hold_up_the_others(
    record: NotifyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_delivery, "LONGEST_PAUSE_SECONDS", 3.0)
    poison = [f"p{number}" for number in range(MOST_AT_ONCE + 1)]
    put(record, *map(case_change, poison), *(case_change(f"d{number}") for number in range(20)))
    async with local_receiver() as receiver:
        receiver.refused = {f"{case}:1": "403" for case in poison}
        async with sending(record, receiver) as work:
            await eventually(lambda: list(work.states().values()).count("sent") == 20)
            assert {work.states()[f"{case}:1"] for case in poison} == {"pending"}
            receiver.refused = {}
            assert set((await work.until_done()).values()) == {"sent"}


async def test_a_receiver_that_refuses_everything_is_not_asked_for_each_message(record: NotifyRecord) -> None:
    put(record, *(case_change(f"c{number}") for number in range(200)))
    async with local_receiver() as receiver:
        receiver.else_answer = "503"
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(notify_sender, "pause_s", lambda tries: 0.001 if tries < 3 else 3_600.0)
            async with sending(record, receiver):
                await eventually(lambda: len(receiver.received) >= MOST_AT_ONCE + 3)
                await asyncio.sleep(0.5)
        assert len(receiver.received) <= 3 * MOST_AT_ONCE, "then it is left alone"


async def test_a_receiver_that_asks_for_a_pause_gets_it_for_all_its_messages(record: NotifyRecord) -> None:
    put(record, case_change())
    async with local_receiver() as receiver:
        receiver.answers.append("429 2")
        async with sending(record, receiver) as work:
            await eventually(lambda: bool(receiver.received))
            asked_at = asyncio.get_running_loop().time()
            record.queue([queued(case_change("c2"), 1)], "escalations", {0: 2}, NOW)
            await work.until_done()
            assert asyncio.get_running_loop().time() - asked_at > 1.5
        assert len(receiver.received) == 3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        ("999999999999", 3_600.0),
        ("Fri, 20 Nov 2026 09:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 08:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 09:01:00", 60.0),
        ("Fri, 20 Nov 2026 09:01:00 +99999999999999999999", 0.0),
        ("Fri, 20 Nov 2026 09:01:00 +9999", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +1200", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("", 0.0),
    ],
)
def test_how_long_a_receiver_is_left_alone(header: str, seconds: float) -> None:
    assert retry_after_s(header, datetime(2026, 11, 20, 9, 0, tzinfo=UTC)) == seconds


async def test_what_nobody_foresaw_is_a_failed_try_of_one_message(
    record: NotifyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(record, case_change())
    send, tries = Endpoint.send, []

    async def once_broken(endpoint: Endpoint, *given: Any) -> str:
        tries.append(given)
        if len(tries) == 1:
            raise OverflowError("https://hooks.example/s3cret")
        return await send(endpoint, *given)

    monkeypatch.setattr(Endpoint, "send", once_broken)
    async with local_receiver() as receiver:
        async with sending(record, receiver) as work:
            assert await work.until_done() == {"c1:1": "sent"}
        assert record.entries(None, 1)[0].tries == 2


async def test_above_its_rate_a_chat_gets_one_message_for_all(record: NotifyRecord) -> None:
    put(record, *(case_change(f"c{number:02}") for number in range(30)))
    chat = SlackReceiver(kind="slack", url_from="U", digest=Digest(above=5, per=timedelta(hours=1)))
    async with local_receiver() as receiver:
        async with sending(record, receiver, chat) as work:
            assert set((await work.until_done()).values()) == {"sent"}
            assert len(receiver.taken) == 6
            assert "25 changes of 25 cases" in receiver.taken[-1].json["text"]
            put(record, case_change("late"))
            assert record.entries("pending", 5)[0].ce_id == "late:1"
        assert len(receiver.taken) == 6, "the next digest comes when the hour is over"


async def test_a_digest_that_was_not_taken_is_sent_again_as_it_was(record: NotifyRecord) -> None:
    put(record, *(case_change(f"c{number:02}") for number in range(10)))
    program = webhook(digest=Digest(above=1, per=timedelta(hours=1)))
    async with local_receiver() as receiver:
        receiver.answers.extend(["200", "500"])
        async with sending(record, receiver, program):
            await eventually(lambda: len(receiver.received) >= 2)
        record.queue([queued(case_change("new"), 99)], "escalations", {0: 100}, NOW)
        async with sending(record, receiver, program):
            await receiver.until(2)
        first, again = receiver.received[1], receiver.received[-1]
        assert first.body == again.body
        assert first.headers["webhook-id"] == again.headers["webhook-id"]
        assert json.loads(again.body)["count"] == 9


async def test_a_pager_is_told_of_an_end_though_the_rate_is_used_up(record: NotifyRecord) -> None:
    pager = PagerDutyReceiver(
        kind="pagerduty", routing_key="K", digest=Digest(above=1, per=timedelta(hours=1))
    )
    put(record, case_change("c1"))
    async with local_receiver() as receiver:
        async with sending(record, receiver, pager) as work:
            await work.until_done()
            put(record, ended("c1"), case_change("c2"), case_change("c3"))
            await work.until_done()
        told = sorted((one.json["event_action"], one.json["dedup_key"][:6]) for one in receiver.taken)
        assert told == [("resolve", "c1"), ("trigger", "c1"), ("trigger", "digest")]


def chat(above: int) -> SlackReceiver:
    return SlackReceiver(kind="slack", url_from="U", digest=Digest(above=above, per=timedelta(hours=1)))


async def test_a_digest_has_all_changes_of_its_cases_in_order(record: NotifyRecord) -> None:
    put(record, *(one for number in range(10) for one in (case_change(f"c{number}"), ended(f"c{number}"))))
    program = webhook(digest=Digest(above=1, per=timedelta(hours=1)))
    async with local_receiver() as receiver:
        async with sending(record, receiver, program) as work:
            assert set((await work.until_done()).values()) == {"sent"}
        single, digest = receiver.taken
        told = [single.json, *digest.json["changes"]]
        assert len(told) == 20
        for number in range(10):
            assert [one["revision"] for one in told if one["case_id"] == f"c{number}"] == [1, 2]


async def test_one_change_above_the_rate_does_not_wait_for_the_window_to_end(record: NotifyRecord) -> None:
    put(record, case_change("c1"))
    async with local_receiver() as receiver:
        async with sending(record, receiver, chat(1)) as work:
            await work.until_done()
            waited = [queued(case_change("c2"), 1)]
            record.queue(waited, "escalations", {0: 2}, datetime.now(UTC).timestamp() - 60)
            assert set((await work.until_done()).values()) == {"sent"}
        assert len(receiver.taken) == 2


async def test_a_pager_is_told_of_ends_behind_any_number_of_changes_that_wait(record: NotifyRecord) -> None:
    pager = PagerDutyReceiver(
        kind="pagerduty", routing_key="K", digest=Digest(above=1, per=timedelta(hours=1))
    )
    put(record, case_change("first"), case_change("c1"))
    async with local_receiver() as receiver:
        async with sending(record, receiver, pager) as work:
            await work.until_done()
        again = case_change("first", 2, reason=Reason.LEVEL, level=2, state=CaseState.ESCALATED)
        many = [case_change(f"d{number}") for number in range(600)]
        put(record, again, *many, ended("first", 3), case_change("open"))
        async with sending(record, receiver, pager) as work:
            await eventually(lambda: work.states()["first:3"] == "sent")
            assert work.states()["first:2"] == "superseded"
        ends = [one.json["dedup_key"] for one in receiver.taken if one.json["event_action"] == "resolve"]
        assert ends == ["first"]


async def test_a_digest_that_is_too_large_is_halved_until_it_is_taken(record: NotifyRecord) -> None:
    put(record, *(case_change(f"c{number}") for number in range(9)))
    program = webhook(digest=Digest(above=1, per=timedelta(hours=1)))
    async with local_receiver() as receiver:
        receiver.answers.extend(["200", "413", "413"])
        async with sending(record, receiver, program) as work:
            assert set((await work.until_done()).values()) == {"sent"}
        assert sorted(one.json["count"] for one in receiver.taken if "digest" in one.json) == [2, 2, 4]


async def test_a_digest_is_never_larger_than_most_receivers_take(record: NotifyRecord) -> None:
    put(record, *(case_change(f"c{number}", explanation="x" * 50_000) for number in range(12)))
    program = webhook(digest=Digest(above=1, per=timedelta(hours=1)))
    async with local_receiver() as receiver:
        async with sending(record, receiver, program):
            digest = (await receiver.until(2))[1]
        assert 200_000 < len(digest.body) < 256 * 1_024 + 1_000


def test_a_change_that_is_said_again_is_queued_once(record: NotifyRecord) -> None:
    assert record.queue([queued(case_change())], "escalations", {0: 1}, NOW) == 1
    assert record.queue([queued(case_change(), 7)], "escalations", {0: 8}, NOW) == 0
    record.sent([1], "HTTP 200", NOW)
    assert record.queue([queued(case_change(), 9)], "escalations", {0: 10}, NOW) == 0
    assert record.positions("escalations") == {0: 10}


def test_only_what_is_done_is_committed(record: NotifyRecord) -> None:
    put(record, case_change("c1"), case_change("c2"), case_change("c3"))
    assert record.done_up_to("escalations") == {0: 0}
    record.sent([1, 3], "HTTP 200", NOW)
    assert record.done_up_to("escalations") == {0: 1}
    record.given_up([2], "HTTP 400", NOW)
    assert record.done_up_to("escalations") == {0: 3}


def test_what_was_sent_is_not_kept_and_after_its_time_not_even_that_it_was(record: NotifyRecord) -> None:
    put(record, case_change("c1", explanation="C4NARY"), case_change("c2"))
    record.sent([1], "HTTP 200", NOW)
    rows = sqlite3.connect(record.file).execute("SELECT change FROM deliveries").fetchall()
    assert [row[0] is None for row in rows] == [True, False]
    assert record.forget_before(NOW) == 0
    assert record.forget_before(NOW + 1) == 1
    assert [entry.ce_id for entry in record.entries(None, 9)] == ["c2:1"]


def test_who_was_told_of_a_case_is_known_until_the_case_has_ended(record: NotifyRecord) -> None:
    record.orphaned(["erp"], NOW)
    put(record, case_change("c1", explanation="C4NARY"), case_change("c1", 2), case_change("c2"), ended("c2"))
    record.sent([1, 3, 4], "HTTP 200", NOW)
    record.given_up([2], "HTTP 400", NOW)
    assert record.forget_before(NOW + 1) == 3
    assert [entry.ce_id for entry in record.entries(None, 9)] == ["c1:2"]
    assert record.told_of(["c1", "c2"]) == {"c1": {"erp": "all"}}
    rows = sqlite3.connect(record.file).execute("SELECT change FROM deliveries").fetchall()
    assert rows == [(None,)], "that it was told, and no more"
    record.orphaned(["chat"], NOW)
    assert record.forget_before(NOW + 1) == 1, "who is not in the file is told of no end"


def test_retry_sends_nothing_behind_a_later_change_and_nothing_to_who_is_gone(record: NotifyRecord) -> None:
    put(record, case_change("c1"), ended("c1"), case_change("c2"), ended("c2"))
    record.queue([queued(case_change("c3"), 5, "gone")], "escalations", {0: 6}, NOW)
    record.orphaned(["erp"], NOW)
    record.given_up([1, 3, 4], "HTTP 400", NOW)
    record.sent([2], "HTTP 200", NOW)
    again = returnwatch("notify", "retry", "--record", str(record.file))
    said = " ".join(again.err.split())
    assert "2 changes are queued again" in said
    assert "1 are not: their receivers have a later change of the same case" in said
    assert "1 are not: their receivers are not in the file" in said
    states = {entry.ce_id: entry.state for entry in record.entries(None, 9)}
    assert states == {
        "c1:1": "given_up",
        "c1:2": "sent",
        "c2:1": "pending",
        "c2:2": "pending",
        "c3:1": "given_up",
    }


def test_what_waits_for_a_receiver_that_is_gone_is_given_up(record: NotifyRecord) -> None:
    put(record, case_change())
    assert record.orphaned(["erp"], NOW) == 0
    assert record.orphaned(["chat"], NOW) == 1
    assert record.entries("given_up", 1)[0].answer == "the receiver is not in the file"


def test_a_second_process_with_the_same_record_is_refused(record: NotifyRecord) -> None:
    with pytest.raises(NotifyError, match="is in use by another"):
        NotifyRecord(record.file)
    NotifyRecord(record.file, is_shared=True).close()


def test_a_record_of_another_version_or_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notify.sqlite3"
    NotifyRecord(file).close()
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(NotifyError, match="was written by another version"):
        NotifyRecord(file)
    other = tmp_path / "other"
    other.write_bytes(b"no database at all, whatever its name says" * 100)
    with pytest.raises(NotifyError, match="file is not a database"):
        NotifyRecord(other)


def test_a_full_disk_loses_nothing(record: NotifyRecord) -> None:
    put(record, case_change("c1"))
    (pages,) = record._db.execute("PRAGMA page_count").fetchone()
    record._db.execute(f"PRAGMA max_page_count = {pages}")
    rows = [queued(case_change(f"d{number}", explanation="x" * 500), number) for number in range(200)]
    with pytest.raises(NotifyError, match=r"full.*make room"):
        record.queue(rows, "escalations", {0: 201}, NOW)
    assert record.positions("escalations") == {0: 1}, "what was not queued is read again"
    assert [entry.ce_id for entry in record.entries(None, 999)] == ["c1:1"]


def test_the_log_shows_what_became_of_each_and_retry_queues_it(record: NotifyRecord) -> None:
    put(record, case_change("c1"), case_change("c2"))
    record.tried([1], "HTTP 422")
    record.given_up([1], "HTTP 422", NOW)
    record.sent([2], "HTTP 200", NOW)
    shown = returnwatch("notify", "log", "--record", str(record.file), "--json")
    told = [json.loads(line) for line in shown.out.splitlines()]
    assert [(one["ce_id"], one["state"], one["answer"]) for one in told] == [
        ("c2:1", "sent", "HTTP 200"),
        ("c1:1", "given_up", "HTTP 422"),
    ]
    assert "c2:1" not in returnwatch("notify", "log", "--record", str(record.file), "--state", "given_up").out
    again = returnwatch("notify", "retry", "--record", str(record.file))
    assert "1 changes are queued again" in again.err
    assert [row.case_id for row in record.pending("erp", 9)] == ["c1"]


def test_a_record_that_is_not_there_is_told(tmp_path: Path) -> None:
    answer = returnwatch("notify", "log", "--record", str(tmp_path / "none"))
    assert answer.code == 1
    assert "is not there" in answer.err


async def test_an_example_is_sent_to_the_receivers_of_its_route_and_what_they_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_SECRET", "hush-hush-hush-hush")
    async with local_receiver() as receiver:
        receiver.answers.extend(["200", "401"])
        file = tmp_path / "notify.yaml"
        file.write_text(
            f"receivers:\n  erp: {{kind: webhook, url: '{receiver.url}', secret: ERP_SECRET}}\n"
            "routes:\n  - {name: money, to: [erp], match: {rules: [refund_failed]}}\n",
            encoding="utf-8",
        )
        taken = await asyncio.to_thread(returnwatch, "notify", "test", str(file), "money")
        assert (taken.code, taken.out.strip()) == (0, "erp: HTTP 200")
        refused = await asyncio.to_thread(returnwatch, "notify", "test", str(file), "money")
        assert refused.code == 1
        assert "did not take the example: HTTP 401" in refused.err
        assert [one.json["rule"] for one in receiver.received] == ["refund_failed"] * 2
        unknown = await asyncio.to_thread(returnwatch, "notify", "test", str(file), "mony")
        assert "did you mean `money`?" in unknown.err
