"""A worker that starts while its broker comes and goes."""

from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from agents import worker
from agents.errors import BrokerUnreachableError, Finding
from agents.health import Readiness
from agents.settings import Settings


async def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *errors: Exception) -> int:
    """How often the preparations were begun."""
    begun, left = [], list(errors)

    async def prepare(*arguments: object) -> None:
        begun.append(arguments)
        if left:
            raise left.pop(0)

    monkeypatch.setattr(worker, "prepare", prepare)
    monkeypatch.setattr(worker, "AGAIN_SECONDS", 0.0)
    await worker.prepared(Settings(data_dir=tmp_path), Readiness())
    return len(begun)


async def test_a_broker_that_is_lost_in_the_middle_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = BrokerUnreachableError([Finding("Kafka", "the connection was lost")])
    assert await started(monkeypatch, tmp_path, KafkaConnectionError("closed"), gone) == 3


async def test_what_a_broker_refuses_for_good_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await started(monkeypatch, tmp_path, TopicAuthorizationFailedError())
