"""The schemas of a registry (Confluent, Karapace, Redpanda, Apicurio's ccompat), asked for by id, once each.

How long a record may wait is said by the setting `schema_registry_wait`, and it is per outage, not per record: when a schema
could not be had in that time, whatever else is not known yet is refused at once, and one task in the background asks on. The
first answer ends that. What was known before goes on being read all the while.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

import structlog

from agents.envelopes import envelopes_of
from agents.metrics import Metrics
from agents.registry_client import RegistryClient, UnavailableError, UnknownSchemaError, UnusableSchemaError
from agents.settings import Settings
from schemas.envelopes import needs_registry
from schemas.vocabulary import DeadLetterReason
from streams.registered_schemas import reader_of
from streams.wire_format import SchemaReader, Schemas, Unusable

log = structlog.get_logger(__name__)

MOST_SCHEMAS: Final = 1_000
MOST_FAILING: Final = 1_000
NEGATIVE_SECONDS: Final = 30.0
"""An id that the registry does not know is asked for again after this long."""
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 2.0
PROBE_SECONDS, LAST_PROBE_SECONDS = 1.0, 30.0


@dataclass(slots=True)
class _Cached:
    what: SchemaReader | Unusable
    until: float


class Hooks(NamedTuple):
    """Who is told what became of the requests."""

    fetched: Callable[[str], None] = lambda _: None
    available: Callable[[bool], None] = lambda _: None


class SchemaRegistry:
    """Schemas by id, for all partitions of a worker."""

    def __init__(self, client: RegistryClient, wait_seconds: float, hooks: Hooks | None = None) -> None:
        self._client = client
        self._wait_seconds = wait_seconds
        self._hooks = hooks or Hooks()
        self._cached: OrderedDict[int, _Cached] = OrderedDict()
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self._failing: OrderedDict[int, str] = OrderedDict()
        """Id -> why it could not be had: asked for in the background alone."""
        self._outage = ""
        """Why the registry is taken to be away; "": it is not."""
        self._probe: asyncio.Task[None] | None = None

    async def known(self, ids: Collection[int]) -> Schemas:
        """Return what is known of each id, after at most the wait of the settings."""
        found: dict[int, SchemaReader | Unusable] = {}
        asked: dict[int, asyncio.Task[None]] = {}
        for number in ids:
            cached = self._of_cache(number)
            if cached is not None:
                found[number] = cached
            elif number in self._failing or self._outage:
                found[number] = self._fail(number, self._failing.get(number) or self._outage)
            else:
                asked[number] = self._fetch(number)
        if asked:
            await asyncio.wait(asked.values())  # each ends in time
        for number in asked:
            cached = self._of_cache(number)
            found[number] = cached or self._fail(number, self._failing.get(number, "no answer in time"))
        return found

    async def close(self) -> None:
        """Stop asking."""
        tasks = [*self._fetching.values(), *([self._probe] if self._probe else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def _of_cache(self, number: int) -> SchemaReader | Unusable | None:
        cached = self._cached.get(number)
        if cached is None:
            return None
        if cached.until < monotonic():
            del self._cached[number]
            return None
        self._cached.move_to_end(number)
        return cached.what

    def _fetch(self, number: int) -> asyncio.Task[None]:
        task = self._fetching.get(number)
        if task is None:
            task = self._fetching[number] = asyncio.create_task(self._insist(number), name=f"schema-{number}")
            task.add_done_callback(lambda _: self._fetching.pop(number, None))
        return task

    async def _insist(self, number: int) -> None:
        """Ask until there is an answer, or the time is over."""
        why, pause = "no answer in time", FIRST_PAUSE_SECONDS
        try:
            async with asyncio.timeout(self._wait_seconds):
                while True:
                    try:
                        await self._ask(number)
                    except UnavailableError as error:
                        why = str(error)
                    else:
                        return
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_PAUSE_SECONDS)
        except TimeoutError:
            self._begin_outage(why)
            self._fail(number, why)

    async def _ask(self, number: int) -> None:
        """Ask once; an answer is kept. Raises UnavailableError."""
        what: SchemaReader | Unusable
        kept_seconds = NEGATIVE_SECONDS
        try:
            what = reader_of(await self._client.schema(number))
        except UnknownSchemaError as error:
            what = Unusable(DeadLetterReason.UNKNOWN_SCHEMA_ID, f"schema {number}: {error}")
            result = "unknown"
        except UnusableSchemaError as error:
            what = Unusable(DeadLetterReason.BAD_SCHEMA, f"schema {number}: {error}")
            result = "unusable"
        except UnavailableError:
            self._hooks.fetched("failed")
            raise
        else:
            result = "unusable" if isinstance(what, Unusable) else "found"
            kept_seconds = kept_seconds if isinstance(what, Unusable) else float("inf")
        self._hooks.fetched(result)
        self._cached[number] = _Cached(what, monotonic() + kept_seconds)
        while len(self._cached) > MOST_SCHEMAS:
            self._cached.popitem(last=False)
        self._failing.pop(number, None)
        self._end_outage()

    def _fail(self, number: int, why: str) -> Unusable:
        """Refuse a schema for now; the background asks for it."""
        self._failing.setdefault(number, why)
        while len(self._failing) > MOST_FAILING:
            self._failing.popitem(last=False)
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask_on(), name="schema-registry-probe")
        return Unusable(DeadLetterReason.SCHEMA_REGISTRY_UNAVAILABLE, f"schema {number}: {why}")

    def _begin_outage(self, why: str) -> None:
        if not self._outage:
            log.warning("schema_registry_unavailable", url=self._client.url, error=why)
        self._outage = why
        self._hooks.available(False)

    def _end_outage(self) -> None:
        if self._outage:
            log.info("schema_registry_answers", url=self._client.url)
        self._outage = ""
        self._hooks.available(True)

    async def _ask_on(self) -> None:
        """Ask for what failed, one after the other, until all is answered."""
        pause = PROBE_SECONDS
        while self._failing:
            number = next(iter(self._failing))
            self._failing.move_to_end(number)
            try:
                await self._ask(number)
            except UnavailableError as error:
                self._failing[number] = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_PROBE_SECONDS)
            else:
                pause = PROBE_SECONDS


def registry_of(settings: Settings, metrics: Metrics | None = None) -> SchemaRegistry | None:
    """Return the registry of the settings; None: no topic needs one. Raises SettingsError: its files cannot be used."""
    if not needs_registry(settings.envelopes):
        return None
    hooks = Hooks()
    if metrics is not None:
        fetches, gauge = metrics.schema_fetches, metrics.schema_registry_available
        hooks = Hooks(lambda result: fetches.labels(result).inc(), lambda there: gauge.set(float(there)))
    return SchemaRegistry(RegistryClient(settings), settings.schema_registry_wait.total_seconds(), hooks)


async def schemas_of(settings: Settings, records: Iterable[tuple[str, bytes | None]]) -> Schemas:
    """Return the schemas that records, as (topic, value), are written with. Raises SettingsError: its files cannot be used."""
    registry = registry_of(settings)
    if registry is None:
        return {}
    envelopes = envelopes_of(settings.envelopes)
    ids = {
        number
        for topic, value in records
        if topic in envelopes
        for number in envelopes[topic].needs((value,))
    }
    try:
        return await registry.known(ids)
    finally:
        await registry.close()
