"""The way of a sealed dead letter: a worker seals it, nobody reads it without the key, with it it goes back as it came."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

from agents.embedded_kafka import EmbeddedKafka
from agents.letter_keys import write_keys
from schemas.dead_letters import without_history
from tests.chaos.installation import (
    ONE_OF_EACH,
    case_state,
    create_inputs,
    installation,
    outputs,
)
from tests.chaos.plan import Plan
from tests.chaos.processes import until, workers
from tests.chaos.traffic import label, send_events
from tests.letter_office import Office


async def test_a_sealed_letter_goes_back_with_its_key_and_only_with_it(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    key, public = tmp_path / "ops", tmp_path / "ops.pub"
    fingerprint = write_keys(key, public)
    write_keys(tmp_path / "other", tmp_path / "other.pub")
    settings = installation(
        kafka.bootstrap_servers,
        tmp_path,
        ONE_OF_EACH,
        max_past=timedelta(days=1),
        dead_letter_recipients=(str(public),),
    )
    await create_inputs(settings)
    office = Office(settings)
    redrive = ("redrive", "--reason", "time_out_of_range", "--by", "ops-1", "--yes")
    with workers(settings, tmp_path, Plan()) as (worker,):
        await worker.ready()
        await send_events(settings, settings.labels_topics[0], label(1))  # of ten days ago
        await until(
            lambda: worker.metric("returnwatch_dead_letters_total", reason="time_out_of_range") == 1,
            "the label is refused",
        )
        (letter,) = await outputs(settings, settings.topics.dead_letters)
        assert b"R1" not in letter.value
        (listed,) = await asyncio.to_thread(office.listed)
        assert (listed["sealed_for"], listed["reason"]) == (fingerprint, "time_out_of_range")
        place = listed["record"]

        hidden = await asyncio.to_thread(office.dlq, "show", place)
        assert (hidden.code, fingerprint in hidden.out, "R1" in hidden.out) == (0, True, False)
        assert "give --identity FILE" in " ".join(hidden.err.split())
        saved = tmp_path / "record"
        refused = await asyncio.to_thread(office.dlq, "show", place, "--save", str(saved))
        assert (refused.code, saved.exists()) == (1, False)
        for arguments in (redrive, (*redrive, "--identity", str(tmp_path / "other"))):
            stays = await asyncio.to_thread(office.done, *arguments)
            assert (
                f"1 stay: is sealed, and no key that was given opens it (sealed for {fingerprint})" in stays
            )
        named = await asyncio.to_thread(office.dlq, "redrive", place, "--by", "ops-1", "--yes")
        assert (named.code, fingerprint in named.err) == (1, True)

        opened = ("--identity", str(key))
        told = json.loads((await asyncio.to_thread(office.dlq, "show", place, "--json", *opened)).out)
        assert "R1" in told["value"]["text"]

        worker.stop()
        worker.settings = worker.settings.model_copy(update={"max_past": timedelta(days=730)})
        worker.start()
        await worker.ready()
        assert "1 redriven" in await asyncio.to_thread(office.done, *redrive, *opened)
        await case_state(settings, 1, ("open", "escalated"))
    first, again = await outputs(settings, settings.labels_topics[0])
    assert (again.key, again.value) == (first.key, first.value)
    assert without_history(again.headers)[0] == list(first.headers)
    assert await asyncio.to_thread(office.listed) == []
