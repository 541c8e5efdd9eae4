"""`returnwatch backfill begin|end|status`, against a worker on a real broker that is killed meanwhile."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.embedded_kafka import EmbeddedKafka
from agents.settings import Settings
from tests.chaos.installation import ONE_OF_EACH, cases, create_inputs, installation
from tests.chaos.plan import Plan
from tests.chaos.processes import until, workers
from tests.chaos.traffic import label, scan, send_events
from tests.command_line import Answer, returnwatch


async def backfill(settings: Settings, *arguments: str) -> Answer:
    own = ["-b", settings.bootstrap_servers[0], "--topic-prefix", settings.topic_prefix]
    own += ["--app-id", settings.app_id, "--parcels-partitions", "3", "--returns-partitions", "3"]
    own += ["--replication-factor", "1"]
    return await asyncio.to_thread(returnwatch, "backfill", *arguments, *own)


async def held(settings: Settings) -> int:
    shown = json.loads((await backfill(settings, "status", "--json")).out)
    return sum(one["held"] for one in shown["partitions"])


async def test_history_is_loaded_without_a_call_and_summed_up(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    settings = installation(kafka.bootstrap_servers, tmp_path, ONE_OF_EACH)
    await create_inputs(settings)
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        early = await backfill(settings, "end", "--by", "ops-1")
        assert (early.code, "no backfill is under way" in " ".join(early.err.split())) == (1, True)
        began = await backfill(settings, "begin", "--by", "ops-1")
        assert began.code == 0, began.err
        again = await backfill(settings, "begin", "--by", "ops-2")
        assert (again.code, "held already" in again.err) == (0, True)
        await until(lambda: worker.metric("returnwatch_backfill") == 6, "every partition holds its timers")

        await send_events(settings, settings.scans_topics[0], scan(1, age=timedelta(days=9)))
        await send_events(settings, settings.labels_topics[0], label(1), label(2))
        worker.kill()
        worker.start()
        await worker.ready()
        await until(lambda: worker.metric("returnwatch_backfill") == 6, "and after a restart")
        assert "hold their timers" in worker.get("/ready")[1]
        await until(lambda: worker.metric("returnwatch_lag_records") == 0, "all is read")
        assert await held(settings) == 6
        assert await cases(settings) == {}

        live = datetime.now(UTC).isoformat()
        ended = await backfill(settings, "end", "--by", "ops-1", "--go-live", live, "--wait", "120s")
        assert ended.code == 0, ended.err
        assert "historical cases have opened" in " ".join(ended.err.split())
        found = [(one["return_id"], one["historical"]) for one in (await cases(settings)).values()]
        assert ("R2", True) in found
        assert {historical for _, historical in found} == {True}
        assert await held(settings) == 0
        await until(lambda: worker.metric("returnwatch_backfill") == 0, "the metric says so")
        assert worker.metric("returnwatch_escalations_total", transition="opened") == 0
        once_more = await backfill(settings, "end", "--by", "ops-1")
        assert (once_more.code, "was ended at" in " ".join(once_more.err.split())) == (1, True)
