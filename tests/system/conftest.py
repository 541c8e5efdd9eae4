"""Fixtures that several whole-system tests ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.embedded_kafka import EmbeddedKafka, EmbeddedKafkaUnavailable
from tests.system.arena import append_time_broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """A broker of the test's own, which it may kill, that stamps every record: the oracle wants to know when each was taken."""
    kafka = append_time_broker(tmp_path / "kafka")
    try:
        kafka.start()
    except EmbeddedKafkaUnavailable as error:
        pytest.skip(str(error))
    yield kafka
    kafka.stop()
