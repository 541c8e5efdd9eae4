"""A new source is wired by docs/wiring.md alone: what it shows is what the commands print, and few lines are edited."""

import json
from pathlib import Path

import pytest

from tests.command_line import returnwatch
from tests.wiring_page import PAGE, ROOT, edited_lines, inferred, rendered

EXAMPLES = "docs/examples/wiring"
WIRED = {
    "warehouse": ("warehouse.jsonl", "--source", f"{EXAMPLES}/warehouse.yaml"),
    "orders": ("orders.jsonl", "--source", f"{EXAMPLES}/orders.yaml"),
    "velo": ("velo.xml", "--adapter", f"{EXAMPLES}/velo.yaml", "--carrier-codes", f"{EXAMPLES}/velo_codes"),
}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_page_shows_what_the_commands_print() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text, "python -m tests.wiring_page"


@pytest.mark.parametrize(
    ("names", "most"), [(["warehouse"], 5), (["orders"], 5), (["velo", "velo_codes"], 5)], ids=str
)
def test_few_lines_are_edited(names: list[str], most: int) -> None:
    assert 1 <= sum(edited_lines(name) for name in names) <= most


@pytest.mark.parametrize("name", sorted(WIRED))
def test_a_wired_source_understands_everything(name: str) -> None:
    file, *options = WIRED[name]
    answer = returnwatch("sources", "test", f"{EXAMPLES}/{file}", *options)
    assert answer.code == 0, answer.out + answer.err
    assert "everything understood" in answer.out


@pytest.mark.parametrize("name", sorted(WIRED))
def test_a_proposed_file_can_be_loaded_at_once(name: str, tmp_path: Path) -> None:
    proposed = tmp_path / "proposed.yaml"
    proposed.write_text(inferred(name), encoding="utf-8")
    answer = returnwatch("sources", "test", f"{EXAMPLES}/{WIRED[name][0]}", "--source", str(proposed))
    assert "not understood" in answer.out, "what was left to decide"
    assert answer.code == 1


def _rows(name: str) -> list[tuple[str, str, str, str]]:
    file, *options = WIRED[name]
    told = returnwatch("sources", "test", f"{EXAMPLES}/{file}", *options, "--json").out
    messages = [json.loads(line) for line in told.splitlines()][:-1]
    return [
        (row["type"], row["subject"], row["time"], row["quality"]) for one in messages for row in one["rows"]
    ]


def test_local_times_are_those_of_each_site() -> None:
    local = "derived_from_place"
    assert _rows("warehouse") == [
        ("checked_in", "colissimo:6A12345678901, R-10021", "2026-03-03 08:12:00Z", local),
        ("checked_in", "gls:00ABCD12, R-10022", "2026-03-03 08:14:00Z", local),
        ("inspected", "R-10021", "2026-03-04 20:30:00Z", local),
        ("inspected", "R-10022", "2026-03-04 20:31:00Z", local),
        ("restocked", "R-10021", "2026-03-04 21:40:00Z", local),
    ]


def test_a_row_of_an_export_tells_one_event_for_each_column() -> None:
    assert [row[:2] for row in _rows("orders")] == [
        ("return_requested", "R-10021"),
        ("return_approved", "R-10021"),
        ("refund_issued", "R-10021"),
        ("return_requested", "R-10022"),
        ("return_requested", "R-10023"),
        ("return_approved", "R-10023"),
        ("return_cancelled", "R-10023"),
    ]


def test_personal_fields_are_told_by_their_paths_only() -> None:
    answer = returnwatch("sources", "test", f"{EXAMPLES}/orders.jsonl", *WIRED["orders"][1:])
    assert "looks personal: rows[].customer.name, rows[].customer.email" in answer.out
    for name in ("warehouse", "orders", "velo"):
        assert "Example" not in inferred(name)
        assert "example.org" not in inferred(name)
