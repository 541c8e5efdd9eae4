"""`returnwatch replay` of Parquet files: the same as of JSON Lines, and rows that are wrong are named."""

import builtins
import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents import replay_parquet
from agents.replay_reading import Recorded, read_records
from simulation.world import World
from tests.command_line import returnwatch

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
AT = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
LABEL: dict[str, Any] = {
    "type": "label_created",
    "occurred_at": "2026-03-02T09:00:00Z",
    "return_id": "R1",
    "carrier": "ups",
    "tracking_number": "1Z1",
    "value": {"amount": "49.90", "currency": "EUR"},
}


def parquet(folder: Path, rows: list[dict[str, Any]], name: str = "events.parquet", **types: Any) -> Path:
    from pyarrow import parquet as files

    table = pyarrow.Table.from_pylist(rows)
    for column, kind in types.items():
        table = table.set_column(
            table.schema.get_field_index(column), column, pyarrow.array([row[column] for row in rows], kind)
        )
    files.write_table(table, folder / name, row_group_size=7)
    return folder / name


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def records(file: Path, arrival: str = "occurred_at") -> list[Recorded]:
    return read_records([file], arrival)


def test_the_records_of_a_world_say_the_same_in_both_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_parquet, "ROWS_AT_ONCE", 64)
    world = World(3, returns=40)
    lines, rows = [], []
    for event in world.events:
        headers = {name: value.decode() for name, value in event.headers}
        line = {"kind": event.kind, "headers": headers, "appended_at": event.appears_at.isoformat()}
        lines.append({**line, "value_base64": b64encode(event.value).decode()})
        rows.append(
            {**line, "value": event.value, "appended_at": event.appears_at, "headers": list(headers.items())}
        )
    by_row = parquet(tmp_path, rows, headers=pyarrow.map_(pyarrow.string(), pyarrow.string()))
    by_line = jsonl(tmp_path, lines)
    assert records(by_row) == records(by_line)
    answers = [returnwatch("replay", "--json", str(file)) for file in (by_row, by_line)]
    assert answers[0].code == 0
    assert answers[0].out == answers[1].out
    assert json.loads(answers[0].out)["cases"]


def test_columns_are_the_fields_of_an_event_alone(tmp_path: Path) -> None:
    claim = {**LABEL, "type": "dropoff_claimed", "carrier": None, "tracking_number": None, "value": None}
    rows = [{**LABEL, "seen_at": AT}, {**claim, "seen_at": AT}]
    lines = [
        {**LABEL, "seen_at": AT.isoformat()},
        {k: v for k, v in claim.items() if v} | {"seen_at": AT.isoformat()},
    ]
    by_row, by_line = (records(file, "seen_at") for file in (parquet(tmp_path, rows), jsonl(tmp_path, lines)))
    assert [(one.at_ms, one.kind, json.loads(one.value or b"").keys()) for one in by_row] == [
        (one.at_ms, one.kind, json.loads(one.value or b"").keys()) for one in by_line
    ]
    assert {one.at_ms for one in by_row} == {int(AT.timestamp() * 1000)}
    outs = [
        returnwatch("replay", "--arrival", "seen_at", "--json", str(file)).out
        for file in (tmp_path / "events.parquet", tmp_path / "events.jsonl")
    ]
    assert outs[0] == outs[1]


def test_a_record_without_a_kind_is_of_the_kind_of_its_type(tmp_path: Path) -> None:
    rows = [
        {
            "value": json.dumps(LABEL),
            "stored_at": AT,
            "topic": "ups-labels",
            "partition": 3,
            "offset": 7,
            "key": "1Z9",
        }
    ]
    (one,) = records(parquet(tmp_path, rows, stored_at=pyarrow.timestamp("ns", "UTC")), "stored_at")
    assert (one.kind, one.topic, one.partition, one.offset, one.key) == ("labels", "ups-labels", 3, 7, b"1Z9")
    assert json.loads(one.value or b"") == LABEL


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"value": "{}", "appended_at": AT}, "has no kind, and its value no type of the contract"),
        ({"kind": "order", "value": "{}", "appended_at": AT}, "Invalid enum value 'order'"),
        ({"kind": "orders", "value": "{}"}, "missing required field `appended_at`"),
        ({"kind": "orders", "value": "{}", "appended_at": AT.replace(tzinfo=None)}, "timezone"),
        ({**LABEL, "occurred_at": "yesterday"}, "'occurred_at' is no time"),
        ({**LABEL, "return_id": b"\xff"}, "has bytes that are no UTF-8 text"),
        ({**LABEL, "type": "label_craeted"}, "did you mean `label_created`?"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], what: str) -> None:
    file = parquet(tmp_path, [row] * 9)
    answer = returnwatch("replay", str(file))
    assert answer.code == 1
    assert answer.err.count(what) == 9
    assert f"{file}:1: " in answer.err
    assert f"{file}:9: " in answer.err


def test_a_header_that_comes_twice_is_told(tmp_path: Path) -> None:
    headers = [("ce_id", "1"), ("ce_id", "2")]
    row = {"kind": "orders", "value": "{}", "appended_at": AT, "headers": headers}
    file = parquet(tmp_path, [row], headers=pyarrow.map_(pyarrow.string(), pyarrow.string()))
    answer = returnwatch("replay", str(file))
    assert answer.code == 1
    assert f"{file}:1: has a map with the same key twice" in answer.err


def test_what_is_no_parquet_file_is_told(tmp_path: Path) -> None:
    whole = parquet(tmp_path, [LABEL] * 9).read_bytes()
    for name, content in (("torn", whole[:-9]), ("empty", b""), ("text", b"{}")):
        file = tmp_path / f"{name}.parquet"
        file.write_bytes(content)
        answer = returnwatch("replay", str(file), str(tmp_path / "absent.parquet"))
        assert f"{file}: cannot be read as Parquet: " in answer.err
        assert "absent.parquet: cannot be read: No such file" in answer.err


def test_without_pyarrow_it_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = parquet(tmp_path, [LABEL])
    import_it = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return import_it(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    answer = returnwatch("replay", str(file))
    assert answer.code == 1
    assert "pip install 'returnwatch[parquet]'" in answer.err
