"""From /metrics to whoever is on call, through the real Prometheus and Alertmanager: one page arrives, its dependants do not."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agents.alert_chain import AlertChain, AlertChainError, Pace, alert_chain, find_programs
from agents.alert_receiver import AlertReceiver
from agents.metrics import Metrics

pytestmark = [pytest.mark.system, pytest.mark.slow]
PACE = Pace(interval=timedelta(milliseconds=500), faster=60, group_wait=timedelta(seconds=1))
LIMIT_SECONDS = 90.0
NEEDS_BOTH = pytest.mark.skipif(
    shutil.which("prometheus") is None
    or not (shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")),
    reason="Prometheus or Alertmanager is not here: apt-get install prometheus prometheus-alertmanager",
)


class Worker:
    """What a worker exports, at an address, with values set by hand."""

    def __init__(self, port: int = 0) -> None:
        self.lag_seconds = 61.0
        self.feed_state = 0
        self.ready = 1
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, log_clock=time.time)
        worker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = worker.exposed()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def exposed(self) -> bytes:
        self.metrics.progress("returns", 0, int((time.time() - self.lag_seconds) * 1000))
        feed = f'returnwatch_feed_state{{feed="ups"}} {self.feed_state}\n'
        return generate_latest(self.registry) + f"{feed}returnwatch_ready {self.ready}\n".encode()

    def opens(self, carrier: str, count: int) -> None:
        """Cases of parcels that do not move."""
        self.metrics.escalations.labels("stalled_silent", "opened").inc(count)
        self.metrics.cases_opened.labels("stalled_silent", carrier).inc(count)

    def die(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as receiver:
        yield receiver


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.die()


def until(happened: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < give_up_at, f"did not happen: {what}"
        time.sleep(0.1)


def pages(receiver: AlertReceiver) -> list[set[str]]:
    """What paged, without that workers do not answer: a machine that is busy with other things may miss some scrapes."""
    unanswered = ({"ReturnwatchAbsent"}, {"ReturnwatchWorkerDown"})
    found = []
    for names in receiver.told("operations-pages"):
        if names not in unanswered and names not in found:
            found.append(names)
    return found


def held_back(chain: AlertChain) -> set[str]:
    return {alert["labels"]["alertname"] for alert in chain.held_back()}


@NEEDS_BOTH
def test_one_page_arrives_and_what_depends_on_it_is_held_back(
    tmp_path: Path, worker: Worker, receiver: AlertReceiver
) -> None:
    lost = Worker()
    targets = [f"127.0.0.1:{one.port}" for one in (worker, lost)]
    with alert_chain(tmp_path, targets, receiver.url, PACE) as chain:
        until(lambda: receiver.told("dead-mans-switch") != [], "the dead man's switch")
        until(lambda: chain.value("sum(up)") == 2, "both workers are seen")

        worker.feed_state = 2
        until(lambda: pages(receiver) != [], "a page about the silent feed")
        # What was held for as long as the policy allows is told while the feed is silent still.
        worker.opens("ups", 0)
        until(
            lambda: chain.value('returnwatch_cases_opened_total{carrier="ups"}') == 0, "the counter is seen"
        )
        worker.opens("ups", 500)
        until(lambda: "ReturnwatchFeedLate" in held_back(chain), "a dependant of the feed")
        until(
            lambda: (chain.value("max(job_rule:returnwatch_cases_of_silent_feeds:increase15m)") or 0) > 100,
            "the silent carrier's cases",
        )
        assert pages(receiver) == [{"ReturnwatchFeedSilent"}]

        lost.ready = 0
        until(lambda: len(pages(receiver)) > 1, "a page about the worker that does not start")
        worker.lag_seconds = 2_000
        until(lambda: "ReturnwatchWatermarkBehind" in held_back(chain), "a dependant of the worker")
        assert pages(receiver) == [{"ReturnwatchFeedSilent"}, {"ReturnwatchWorkerNotReady"}]

        worker.opens("gls", 5_000)
        until(lambda: len(pages(receiver)) > 2, "a page about another carrier's flood")
    assert pages(receiver)[2] == {"ReturnwatchEscalationFlood"}
    for nobody in ("operations-tickets", "business-pages", "business-tickets"):
        assert receiver.told(nobody) == []


def test_programs_that_are_absent_are_named_with_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AlertChainError) as raised:
        find_programs()
    said = str(raised.value)
    assert said.count("apt-get install prometheus prometheus-alertmanager") == 2
