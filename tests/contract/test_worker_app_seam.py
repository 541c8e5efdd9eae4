"""What agents/worker.py overrides or touches in Faust's app, streams and schema."""

from __future__ import annotations

from typing import Any

import faust
import pytest
from faust.app.base import App
from faust.streams import Stream
from mode.services import ServiceBase

from tests.contract.internals import names_used, parameters

pytestmark = pytest.mark.seam("worker app", adr="0002-engine-seams-on-faust")

SETTINGS = (
    "TableManager", "table_standby_replicas", "topic_allow_declare", "topic_disable_leader", "stream_buffer_maxsize",
    "stream_wait_empty", "broker_max_poll_records", "consumer_max_fetch_size", "consumer_auto_offset_reset",
    "consumer_group_instance_id", "consumer_metadata_max_age_ms", "broker_session_timeout",
    "broker_heartbeat_interval", "broker_request_timeout", "broker_commit_interval", "broker_credentials",
    "web_enabled", "id_format", "recovery_consistency_check", "stream_recovery_delay",
)  # fmt: skip


async def new_app() -> Any:
    return faust.App("contract", broker="kafka://127.0.0.1:9", store="memory://", version=1, id_format="{id}")


async def test_faust_still_knows_every_setting_that_we_give() -> None:
    app = await new_app()
    unknown = [name for name in SETTINGS if not hasattr(app.conf, name)]
    assert not unknown


async def test_the_id_of_the_app_is_the_name_of_the_group_as_it_is() -> None:
    app = await new_app()
    assert app.conf.id == "contract"


async def test_a_transport_of_ours_can_be_put_in_place() -> None:
    app = await new_app()
    app.transport = "ours"
    assert app.transport == "ours"


async def test_a_crash_can_be_waited_for_and_has_a_reason() -> None:
    app = await new_app()
    assert not app._crashed.is_set()
    assert callable(app._crashed.wait)
    assert app.crash_reason is None
    assert "_crashed" in names_used(ServiceBase.crash) | names_used(App.crash)


def test_the_app_starts_and_stops_us_around_its_consumer() -> None:
    assert parameters(App.on_start) == ["self"]
    assert parameters(App.on_shutdown) == ["self"]


def test_a_stream_can_be_read_without_acknowledging_and_acknowledged_later() -> None:
    assert Stream.enable_acks is True
    assert parameters(Stream.ack) == ["self", "event"]
    assert callable(Stream.events)


def test_a_schema_of_ours_may_hand_a_chunk_over_as_it_is() -> None:
    assert parameters(faust.Schema.loads_key)[:3] == ["self", "app", "message"]
    assert parameters(faust.Schema.loads_value)[:3] == ["self", "app", "message"]
