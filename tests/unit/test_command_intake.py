"""Commands on their way in: what they become, whose they are, and what is refused with what to do."""

import json
from typing import Any

import pytest

from schemas.commands import MAX_NOTE_CHARS
from schemas.facts import CaseCommand, Source, decode_return_record
from schemas.topics import InputKind
from schemas.vocabulary import Closure, CommandType, DeadLetterReason
from streams.keys import feed_subject
from streams.parcel_look import OWN_KEY
from tests.input_events import CASE, HOUR_MS, NOON, NOON_MS, Headers, Record, command, scan, take_in

COMMANDS = InputKind.COMMANDS


def taken(*events: Any) -> list[tuple[str, CaseCommand]]:
    intake = take_in(COMMANDS, *events, arrived_ms=NOON_MS + HOUR_MS)
    assert not intake.refused
    found = []
    for stage, key, value in intake.facts:
        record = decode_return_record(value)
        assert stage == "returns"
        assert isinstance(record, CaseCommand)
        found.append((key.decode(), record))
    return found


def test_a_command_goes_to_its_return_with_all_that_it_says() -> None:
    ((key, told),) = taken(command("acknowledge", audit_id="A1"))
    assert key == "R1"
    assert (told.command, told.command_id, told.audit_id) == (CommandType.ACKNOWLEDGE, "acknowledge-1", "A1")
    assert (told.case_id, told.by, told.occurred_ms) == (CASE, "ops-1", NOON_MS)
    assert told.source == Source("commands-topic", 3, 0)


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (command("snooze", until="2026-03-02T13:00:00+01:00"), "until_ms", NOON_MS + HOUR_MS),
        (command("snooze", duration="1d 12h"), "duration_ms", 36 * HOUR_MS),
        (command("assign", to="team.north"), "to", "team.north"),
        (command("note", text="asked the carrier"), "text", "asked the carrier"),
        (command("resolve", reason="written_off"), "closure", Closure.WRITTEN_OFF),
        (command("reopen"), "audit_id", "reopen-1"),
    ],
)
def test_each_command_has_its_own_field(event: dict[str, Any], field: str, value: object) -> None:
    ((_, told),) = taken(event)
    assert getattr(told, field) == value


def test_every_reason_of_the_vocabulary_may_be_given_and_no_other() -> None:
    assert [taken(command("resolve", reason=closure))[0][1].closure for closure in Closure] == list(Closure)
    (refused,) = take_in(COMMANDS, command("resolve", reason="bored")).refused
    assert refused.reason is DeadLetterReason.BAD_VALUE


def test_a_repeat_is_known_by_its_id_and_another_content_by_its_content() -> None:
    said = [
        command("note", text="a"),
        command("note", text="a"),
        command("note", text="b"),
        command("note", id="2", text="a"),
    ]
    first, again, changed, other = (told for _, told in taken(*said))
    assert (first.identity, first.content) == (again.identity, again.content)
    assert first.identity == changed.identity
    assert first.content != changed.content
    assert first.identity != other.identity


def test_commands_of_one_partition_keep_their_order() -> None:
    said = [command("assign", id=f"C{number}", to=f"team.{number}") for number in range(20)]
    assert [told.to for _, told in taken(*said)] == [f"team.{number}" for number in range(20)]


def test_a_case_without_a_return_is_named_by_its_parcel() -> None:
    about = {**command("acknowledge"), "carrier": "UPS", "tracking_number": "1z 99"}
    ((with_return, _),) = taken(about)
    del about["return_id"]
    ((without, _),) = taken(about)
    assert (with_return, without) == ("R1", f"{OWN_KEY}ups:1Z99")


def test_a_case_about_a_feed_is_named_by_the_carrier_feed() -> None:
    about = {**command("acknowledge"), "carrier": "feed", "tracking_number": "ups"}
    del about["return_id"]
    ((key, _),) = taken(about)
    assert key == OWN_KEY + feed_subject("ups")


def test_a_cloud_events_id_is_the_commands_id() -> None:
    said = command("acknowledge")
    del said["id"]
    headers: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"), ("ce_id", b"C7"), ("ce_source", b"/desk"), ("ce_type", b"acknowledge")
    ]  # fmt: skip
    ((_, told),) = taken(Record(json.dumps(said).encode(), headers=headers))
    assert told.command_id == "C7"


@pytest.mark.parametrize(
    ("event", "reason", "told"),
    [
        (command("acknowledge", id=None), DeadLetterReason.MISSING_FIELD, "id: a command needs one"),
        (command("acknowledge", case_id=None), DeadLetterReason.WRONG_TYPE, "case_id"),
        (command("acknowledge", case_id="missing_first_scan"), DeadLetterReason.BAD_VALUE, "case_id"),
        (command("acknowledge", case_id=CASE + "\n"), DeadLetterReason.BAD_VALUE, "case_id"),
        (command("acknowledge", by="ada@example.org"), DeadLetterReason.BAD_VALUE, "by"),
        (command("acknowledge", by="Ada Lovelace"), DeadLetterReason.BAD_VALUE, "by"),
        (command("assign", to="ada@example.org"), DeadLetterReason.BAD_VALUE, "to"),
        (command("assign"), DeadLetterReason.MISSING_FIELD, "to"),
        (command("snooze"), DeadLetterReason.MISSING_FIELD, "until"),
        (command("snooze", until="tomorrow"), DeadLetterReason.BAD_VALUE, "until"),
        (command("note", text=""), DeadLetterReason.BAD_VALUE, "text"),
        (command("note", text="x" * (MAX_NOTE_CHARS + 1)), DeadLetterReason.BAD_VALUE, "text"),
        (command("resolve"), DeadLetterReason.MISSING_FIELD, "reason"),
        (command("reopen", return_id=None), DeadLetterReason.BAD_VALUE, "return_id"),
        (command("reopen", return_id=" "), DeadLetterReason.BAD_VALUE, "return id"),
        (command("delete"), DeadLetterReason.UNKNOWN_TYPE, "type"),
        (scan(), DeadLetterReason.WRONG_TOPIC, "carrier-scans"),
        (command("reopen", occurred_at="2020-01-01T00:00:00Z"), DeadLetterReason.TIME_OUT_OF_RANGE, "days"),
    ],
)
def test_what_is_no_command_is_refused_with_the_field_and_what_to_do(
    event: dict[str, Any], reason: DeadLetterReason, told: str
) -> None:
    (refused,) = take_in(COMMANDS, event).refused
    assert refused.reason is reason
    assert told in refused.detail
    assert refused.action
    assert "example.org" not in refused.detail


def test_a_command_on_a_topic_of_events_is_told_where_it_belongs() -> None:
    (refused,) = take_in(InputKind.ORDERS, command("acknowledge", occurred_at=NOON)).refused
    assert "acknowledge belongs on commands" in refused.detail


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, DeadLetterReason.MISSING_FIELD),
        ({"until": NOON, "duration": "2d"}, DeadLetterReason.BAD_VALUE),
        ({"duration": "500d"}, DeadLetterReason.BAD_VALUE),
        ({"duration": "soon"}, DeadLetterReason.BAD_VALUE),
    ],
)
def test_a_snooze_says_until_when_in_one_way(fields: dict[str, str], reason: DeadLetterReason) -> None:
    (refused,) = take_in(COMMANDS, command("snooze", **fields)).refused
    assert refused.reason is reason


@pytest.mark.parametrize("name", ["ops@example.com", "Jane Doe"])
def test_an_id_has_no_room_for_a_person(name: str) -> None:
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", name.encode()),
        ("ce_source", b"/crm"),
        ("ce_type", b"note"),
    ]
    value = json.dumps(command("note", text="x", id=None)).encode()
    events = (command("note", text="x", id=name), Record(value, 1, headers))
    refused = take_in(COMMANDS, *events).refused
    assert [one.reason for one in refused] == [DeadLetterReason.BAD_VALUE] * 2
