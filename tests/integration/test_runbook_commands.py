"""Every command that the runbooks tell somebody to type at night is typed here, against a real broker and a worker."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from agents.demo_worker import WorkerProcess
from agents.embedded_kafka import EmbeddedKafka
from agents.kafka_connection import open_admin, open_producer, run
from agents.settings import Settings
from agents.topics import prepare_topics
from schemas.topics import InputKind
from tests.chaos.installation import ONE_OF_EACH, installation
from tests.chaos.processes import free_port
from tests.command_line import Answer, returnwatch

ROOT = Path(__file__).parents[2]
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
LIMIT_SECONDS = 120.0
NOT_OURS = ("kafka-", "chronyc", "dmesg")
"""Tools of Kafka and of the system."""
TRIED_ELSEWHERE = {
    "topics retire NAME": ("tests/integration/test_topics_command.py", '"retire"'),
    "topics retire NAME --undo": ("tests/integration/test_topics_command.py", '"--undo"'),
    "canary": ("tests/integration/test_canary_command.py", '"canary"'),
    "notify log": ("tests/unit/test_notify_sending.py", '"notify", "log"'),
    "notify log --state given_up": ("tests/unit/test_notify_sending.py", '"--state", "given_up"'),
    "notify retry": ("tests/unit/test_notify_sending.py", '"notify", "retry"'),
    "notify test FILE ROUTE": ("tests/unit/test_notify_sending.py", '"notify", "test"'),
}
"""Command -> the test that runs it, and what stands there."""


class Typed(NamedTuple):
    """What is typed for a command of the runbooks, and what the answer must hold."""

    arguments: tuple[str, ...]
    told: str


def typed(text: str, told: str) -> Typed:
    return Typed(tuple(text.split()), told)


TYPED = {
    "explain RETURN_OR_TRACKING_NUMBER": typed("explain 1Z999", "missing_first_scan"),
    "explain RETURN": typed("explain R-1", "missing_first_scan"),
    "cases list --rule RULE --state open": typed(
        "cases list --rule missing_first_scan --state open", "missing_first_scan"
    ),
    "cases list --rule feed_lagging --state open": typed("cases list --rule feed_lagging --state open", ""),
    "cases list --rule late_inspection": typed("cases list --rule late_inspection", ""),
    "cases list --rule late_refund": typed("cases list --rule late_refund", ""),
    "cases list --rule refund_promise_broken --state open": typed(
        "cases list --rule refund_promise_broken --state open", ""
    ),
    "cases list --rule statutory_refund_deadline --state open": typed(
        "cases list --rule statutory_refund_deadline --state open", ""
    ),
    "kpis": typed("kpis", ""),
    "topics plan": typed("topics plan", "orders"),
    "check --connect": typed("check --connect", ""),
    "policy show": typed("policy show", "settle"),
    "policy apply": typed("policy apply {policy} --dry-run", ""),
    "carriers gaps --since 1d": typed("carriers gaps --since 1d", "XX-NEW"),
    "carriers gaps --csv > new.csv": typed("carriers gaps --csv", "XX-NEW"),
    "carriers check new.csv": typed("carriers check {table}", ""),
    "carriers test CODE --carrier NAME": typed("carriers test DEPGUI --carrier Colissimo", "colissimo"),
    "dlq stats --newer-than 1h": typed("dlq stats --newer-than 1h", "missing_field"),
    "dlq list --reason REASON": typed("dlq list --reason missing_field", "missing_field"),
    "dlq show RECORD": typed("dlq show {record}", "missing_field"),
    "dlq redrive --reason REASON --limit 1 --by YOU --yes": typed(
        "dlq redrive --reason missing_field --limit 1 --by ann --yes", "1"
    ),
    "dlq discard": typed("dlq discard --reason missing_field --by ann --why gone --yes", "1"),
    "backfill begin": typed("backfill begin --by ann", ""),
    "backfill status": typed("backfill status", "ann"),
    "backfill end --by YOU": typed("backfill end --by ann", ""),
}
"""In an order in which they can be typed."""
PATHS = ("/ready", "/live")


def commands() -> set[str]:
    """What the runbooks name as `returnwatch ...`, white space made one."""
    named = re.findall(r"`returnwatch ([a-z][^`]*)`", RUNBOOKS)
    return {" ".join(one.split()) for one in named}


def test_every_command_of_the_runbooks_is_tried() -> None:
    assert commands() == {*TYPED, *TRIED_ELSEWHERE}
    for file, text in TRIED_ELSEWHERE.values():
        assert text in (ROOT / file).read_text(encoding="utf-8")


def test_every_other_command_asks_a_worker_or_is_of_the_system() -> None:
    asked = set(re.findall(r"`curl (?:-s )?http://HOST:9464(/\w+)`", RUNBOOKS))
    assert asked == set(PATHS)
    others = re.findall(r"`((?:curl|kafka-|chronyc|dmesg)[^`]*)`", RUNBOOKS)
    assert [one for one in others if not one.startswith(("curl", *NOT_OURS))] == []


class Shop:
    """A worker that knows a label without a scan, and an order that was refused."""

    def __init__(self, settings: Settings, worker: WorkerProcess, directory: Path) -> None:
        self.settings = settings
        self.worker = worker
        self._table = directory / "new.csv"
        head = (ROOT / "schemas/carriers/ups.csv").read_text(encoding="utf-8").splitlines()[0]
        self._table.write_text(f"{head}\n", encoding="utf-8")

    def typed(self, one: Typed) -> Answer:
        places = {"{policy}": str(self.settings.policy_file), "{table}": str(self._table)}
        arguments = [places.get(argument, argument) for argument in one.arguments]
        return returnwatch(*(self.record() if argument == "{record}" else argument for argument in arguments))

    def record(self) -> str:
        letters = returnwatch("dlq", "list", "--json")
        found = json.loads(letters.out.splitlines()[0])
        return str(found.get("place") or found["record"])


@pytest.fixture
def shop(kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    more = {"data_dir": tmp_path / "data", "metrics_port": free_port()}
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH, **more)
    run(prepared(settings))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    try:
        yield Shop(settings, worker, tmp_path)
    finally:
        worker.stop()


async def prepared(settings: Settings) -> None:
    async with open_admin(settings) as admin:
        await prepare_topics(admin, settings, inputs=True)
    inputs = settings.topics.inputs
    label = {"type": "label_created", "return_id": "R-1", "carrier": "ups", "tracking_number": "1Z999"}
    label["occurred_at"] = "2026-11-01T10:00:00Z"
    async with open_producer(settings) as producer:
        await producer.send_and_wait(inputs[InputKind.LABELS][0], json.dumps(label).encode())
        scan = {"type": "carrier_scan", "carrier": "ups", "tracking_number": "1Z998", "code": "XX-NEW"}
        scan["occurred_at"] = "2026-11-01T10:00:00Z"
        await producer.send_and_wait(inputs[InputKind.CARRIER_SCANS][0], json.dumps(scan).encode())
        await producer.send_and_wait(inputs[InputKind.ORDERS][0], b'{"type": "return_approved"}')


def until(happened: Callable[[], object], told: Callable[[], str]) -> None:
    end = monotonic() + LIMIT_SECONDS
    while not happened():
        assert monotonic() < end, told()
        sleep(0.3)


def says_ok(worker: WorkerProcess, path: str) -> bool:
    address = worker.metrics_url.removesuffix("/metrics")
    try:
        with urlopen(f"{address}{path}", timeout=10) as answer:  # noqa: S310 - an address of our own
            return bool(json.load(answer)["ok"])
    except HTTPError:  # it says of itself that it is not ready yet
        return False


def test_each_of_them_does_what_it_is_there_for(shop: Shop) -> None:
    until(lambda: "R-1" in returnwatch("cases", "list", "--json").out, shop.worker.last_lines)
    until(lambda: returnwatch("dlq", "list", "--json").out, shop.worker.last_lines)
    for path in PATHS:
        until(partial(says_ok, shop.worker, path), shop.worker.last_lines)
    for command, one in TYPED.items():
        answer = shop.typed(one)
        assert answer.code == 0, f"{command}: {answer.err}"
        assert one.told in answer.out + answer.err, f"{command}: {answer}"
