"""How a worker asks a schema registry: once each, bounded in time, fast to fail in an outage, and healed by its end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agents import schema_registry
from agents.metrics import Metrics
from agents.registry_client import RegistryClient, UnavailableError, greet
from agents.schema_registry import SchemaRegistry, registry_of, schemas_of
from agents.settings import Settings
from schemas.vocabulary import DeadLetterReason
from streams.wire_format import Unusable
from tests.envelopes import framed
from tests.schema_registry import AUTHORIZED, SmallRegistry

R = DeadLetterReason
WRONG, TOKEN = "wrong-one", "t0ken"


@pytest.fixture
async def small() -> AsyncIterator[SmallRegistry]:
    registry = SmallRegistry()
    registry.add(1, '"string"')
    registry.add(2, '"long"', "AVRO")
    registry.add(3, '{"type": "object"}', "JSON")
    yield registry
    await registry.stop()


def _settings(url: str, **more: Any) -> Settings:
    return Settings(scans_topics=("a", "b"), envelopes=("a=confluent",), schema_registry_url=url, **more)


def _reason(known: Any) -> str:
    return known.reason.value if isinstance(known, Unusable) else "found"


async def _until_found(registry: SchemaRegistry, number: int) -> None:
    async with asyncio.timeout(120):
        while _reason((await registry.known({number}))[number]) != "found":  # noqa: ASYNC110 - a request each time
            await asyncio.sleep(0.05)


async def _until_asked(small: SmallRegistry) -> None:
    async with asyncio.timeout(120):
        while not small.asked:  # noqa: ASYNC110 - the server is not ours to signal
            await asyncio.sleep(0.01)


async def _opened(small: SmallRegistry, wait: str = "1s", **more: Any) -> tuple[SchemaRegistry, Metrics]:
    url = await small.start()
    metrics = Metrics(CollectorRegistry(), log_clock=lambda: 0.0, time_speed=1.0)
    registry = registry_of(_settings(url, schema_registry_wait=wait, **more), metrics)
    assert registry is not None
    return registry, metrics


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"returnwatch_{name}", labels)


async def test_a_schema_is_asked_for_once_also_by_many_at_a_time(small: SmallRegistry) -> None:
    registry, metrics = await _opened(small)
    found = await asyncio.gather(*(registry.known({1, 2, 3}) for _ in range(20)))
    found.append(await registry.known({1}))
    assert {_reason(known) for some in found for known in some.values()} == {"found"}
    assert small.asked == {f"/schemas/ids/{number}": 1 for number in (1, 2, 3)}
    assert _value(metrics, "schema_fetches_total", result="found") == 3
    assert _value(metrics, "schema_registry_available") == 1
    await registry.close()


async def test_an_id_that_the_registry_does_not_know_is_told_at_once_and_not_asked_for_again(
    small: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, metrics = await _opened(small, "12s")
    for _ in range(3):
        known = (await registry.known({9}))[9]
        assert _reason(known) == "unknown_schema_id"
    assert small.asked["/schemas/ids/9"] == 1
    assert _value(metrics, "schema_registry_available") == 1
    small.add(9, '"string"')
    monkeypatch.setattr(schema_registry, "monotonic", lambda: time.monotonic() + 31)
    assert _reason((await registry.known({9}))[9]) == "found"
    await registry.close()


async def test_an_id_that_no_registry_can_have_costs_no_request(small: SmallRegistry) -> None:
    registry, _ = await _opened(small)
    assert _reason((await registry.known({2**31}))[2**31]) == "unknown_schema_id"
    assert not small.asked
    await registry.close()


@pytest.mark.parametrize("mood", ["broken", "html", "slow", "moved", "no json", "nowhere", "down"])
async def test_an_outage_is_waited_for_once_and_its_end_heals(small: SmallRegistry, mood: str) -> None:
    registry, metrics = await _opened(small, "500ms")
    assert _reason((await registry.known({2}))[2]) == "found"
    if mood == "down":
        await small.stop()
    small.mood = mood
    first = await registry.known({1, 2})
    assert (_reason(first[1]), _reason(first[2])) == ("schema_registry_unavailable", "found")
    asked = small.asked.total()
    for number in range(1, 200):
        (known,) = (await registry.known({number})).values()
        assert _reason(known) == ("found" if number == 2 else "schema_registry_unavailable")
    assert small.asked.total() - asked < 50  # those that came later waited for nothing
    assert _value(metrics, "schema_registry_available") == 0
    small.mood = "good"
    if mood == "down":
        await small.start()
    await _until_found(registry, 1)
    assert _value(metrics, "schema_registry_available") == 1
    assert _reason((await registry.known({3}))[3]) in {"found", "schema_registry_unavailable"}
    await registry.close()


async def test_what_hangs_is_given_up_when_the_wait_is_over(small: SmallRegistry) -> None:
    registry, _ = await _opened(small, "300ms")
    small.mood = "slow"
    async with asyncio.timeout(60):
        known = await registry.known({1, 2, 3})
    assert {_reason(one) for one in known.values()} == {"schema_registry_unavailable"}
    await registry.close()


async def test_a_short_outage_is_waited_out_and_nothing_is_refused(small: SmallRegistry) -> None:
    registry, _ = await _opened(small, "12s")
    small.mood = "broken"
    asking = asyncio.ensure_future(registry.known({1}))
    await _until_asked(small)
    small.mood = "good"
    assert _reason((await asking)[1]) == "found"
    await registry.close()


async def test_an_answer_of_five_megabytes_is_no_schema(small: SmallRegistry) -> None:
    registry, metrics = await _opened(small)
    small.mood = "endless"
    assert _reason((await registry.known({1}))[1]) == "bad_schema"
    assert _value(metrics, "schema_fetches_total", result="unusable") == 1
    await registry.close()


async def test_references_are_fetched_each_before_who_names_it(small: SmallRegistry) -> None:
    registry, _ = await _opened(small)
    record = '{"type": "record", "name": "%s", "fields": [{"name": "x", "type": "%s"}]}'
    small.add(7, record % ("A", "B"), references=[("B", "of/b", 2)])
    small.subjects["of/b", 2] = {
        "schema": record % ("B", "C"),
        "references": [{"name": "C", "subject": "c", "version": 1}],
    }
    small.subjects["c", 1] = {"schema": record % ("C", "string")}
    read = (await registry.known({7}))[7]
    assert not isinstance(read, Unusable)
    assert json.loads(read(b"\x02a")) == {"x": {"x": {"x": "a"}}}
    await registry.close()


@pytest.mark.parametrize(
    "references",
    [
        [("B", "nowhere", 1)],
        [("B", "itself", 1)],
        [("B", "b", "latest")],
    ],
)
async def test_references_that_lead_nowhere_make_a_schema_unusable(
    small: SmallRegistry, references: Any
) -> None:
    registry, _ = await _opened(small)
    small.add(7, '"string"', references=references)
    itself = {"name": "B", "subject": "itself", "version": 1}
    small.subjects["itself", 1] = {"schema": '"string"', "references": [itself]}
    assert _reason((await registry.known({7}))[7]) == "bad_schema"
    await registry.close()


async def test_the_number_of_schemas_that_are_kept_is_bounded(
    small: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "MOST_SCHEMAS", 3)
    registry, _ = await _opened(small)
    for number in range(100, 200):
        assert _reason((await registry.known({number}))[number]) == "unknown_schema_id"
    assert len(registry._cached) == 3
    await registry.close()


async def test_credentials_are_sent_and_never_told(small: SmallRegistry, tmp_path: Path) -> None:
    url = await small.start()
    small.authorized = AUTHORIZED
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    given = {"schema_registry_username": "reader", "schema_registry_password_file": password}
    await greet(_settings(url, **given))
    with pytest.raises(UnavailableError, match="refuses the credentials \\(401\\)") as refused:
        await greet(_settings(url, schema_registry_username="reader", schema_registry_password=WRONG))
    assert WRONG not in str(refused.value)
    small.authorized = f"Bearer {TOKEN}"
    await greet(_settings(url, schema_registry_token=TOKEN))


async def test_a_certificate_that_is_not_trusted_is_told() -> None:
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await greet(_settings("http://127.0.0.1:1"))


async def test_only_topics_that_need_schemas_are_asked_for(small: SmallRegistry) -> None:
    settings = _settings(await small.start())
    found = await schemas_of(
        settings, [("a", framed(1, b"x")), ("a", b"{}"), ("b", framed(2, b"x")), ("a", None)]
    )
    assert set(found) == {1}
    assert registry_of(Settings()) is None
    client = RegistryClient(settings)
    assert client.url == settings.schema_registry_url
    await client.close()
