"""What an operator reads: one named event per line, no flood while the broker is away, nothing personal."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from agents.logging_setup import LINES_PER_WINDOW, WINDOW_SECONDS, configure_logging


class Stopwatch:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def written(stopwatch: Stopwatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("json", stream=stream, now=stopwatch)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_each_line_is_one_named_event_with_its_fields(written: io.StringIO) -> None:
    structlog.get_logger().info("partition_ready", stage="parcels", partition=3)
    (line,) = lines(written)
    assert line.pop("at").endswith("Z")
    assert line == {"event": "partition_ready", "level": "info", "stage": "parcels", "partition": 3}


def test_what_a_library_says_comes_as_a_named_event_too(written: io.StringIO) -> None:
    logging.getLogger("aiokafka.cluster").warning("Topic %s is not available", "orders")
    (line,) = lines(written)
    assert (line["event"], line["library"]) == ("library_message", "aiokafka.cluster")
    assert line["message"] == "Topic orders is not available"


def test_an_outage_of_the_broker_does_not_flood_the_log(written: io.StringIO, stopwatch: Stopwatch) -> None:
    for attempt in range(8_000):
        stopwatch.seconds = attempt / 80
        logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", 1, f"try {attempt}")
    windows = int(100 // WINDOW_SECONDS) + 1
    said = lines(written)
    assert len(said) <= windows * LINES_PER_WINDOW
    assert sum(line.get("repeats", 0) for line in said) > 7_000


def test_a_second_sentence_is_heard_while_the_first_is_repeated(written: io.StringIO) -> None:
    for _ in range(100):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s", 1)
    logging.getLogger("aiokafka").error("Topic %s not found", "orders")
    assert lines(written)[-1]["message"] == "Topic orders not found"


def test_our_own_lines_are_never_left_out(written: io.StringIO) -> None:
    for _ in range(50):
        structlog.get_logger("agents.worker").warning("heartbeat_failed")
    assert len(lines(written)) == 50


def test_the_content_of_records_never_reaches_the_log(written: io.StringIO) -> None:
    person = "Marie Curie"
    structlog.get_logger().error("refused", value=person, key=person.encode(), customer_ref=person, offset=4)
    logging.getLogger("aiokafka").error("Cannot decode %r at %d", person.encode(), 4)
    assert person not in written.getvalue()
    assert [line.get("offset", line.get("message")) for line in lines(written)] == [
        4,
        "Cannot decode '[11 bytes]' at 4",
    ]


def test_a_traceback_comes_without_the_values_of_variables(written: io.StringIO) -> None:
    def deliver(person: str) -> None:
        raise ValueError(len(person))

    try:
        deliver("Marie " + "Curie")
    except ValueError:
        structlog.get_logger().exception("stage_failed")
    (line,) = lines(written)
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "Marie Curie" not in written.getvalue()


def test_a_sentence_in_place_of_a_name_is_shown_as_a_mistake(written: io.StringIO) -> None:
    structlog.get_logger().info("Something happened, somewhere!")
    (line,) = lines(written)
    assert (line["event"], line["message"]) == ("unnamed_event", "Something happened, somewhere!")


def test_debug_lines_are_left_out_unless_asked_for(written: io.StringIO) -> None:
    structlog.get_logger().debug("chunk_applied")
    assert lines(written) == []


def test_the_console_format_names_the_event_first(written: io.StringIO) -> None:
    stream = io.StringIO()
    configure_logging("console", stream=stream)
    structlog.get_logger().info("worker_started", partitions=8)
    assert "worker_started" in stream.getvalue()
    assert "partitions=8" in stream.getvalue()


def test_libraries_are_heard_from_warnings_on_and_at_debug_in_full(written: io.StringIO) -> None:
    logging.getLogger("faust").info("Starting...")
    logging.getLogger("agents.worker").info("[^WorkerApp]: Starting...")
    assert lines(written) == []
    stream = io.StringIO()
    configure_logging("json", "debug", stream=stream)
    logging.getLogger("faust").info("Starting...")
    assert [line["message"] for line in lines(stream)] == ["Starting..."]


def test_user_name_and_password_in_an_address_are_not_written_whoever_logs_it(written: io.StringIO) -> None:
    structlog.get_logger().warning("registry_away", url="https://me:s3cret@registry:8081/a?b=c@d")
    logging.getLogger("aiohttp").warning("cannot reach %s", "http://me:s3cret@proxy:3128")
    ours, library = lines(written)
    assert ours["url"] == "https://[not logged]@registry:8081/a?b=c@d"
    assert library["message"] == "cannot reach http://[not logged]@proxy:3128"
