"""What the pages name is there: files, links, functions, rules, topics."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from schemas.topics import InputKind, TopicNames, topic_specs
from schemas.vocabulary import RuleId

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
MADE_BY_RUNNING = ("docs/benchmarks.md",)
"""Pages that a measurement writes."""

LINK = re.compile(r"\]\(([^)\s]+)\)")
ROOMS = r"(?:agents|streams|schemas|simulation|deploy|docs|tests|benchmarks)"
FILE = re.compile(rf"(?<![\w/.-])({ROOMS}/[\w./-]*[\w/])(?![\w*{{<])")
FUNCTION = re.compile(rf"({ROOMS}/[\w/]+\.py)::([A-Za-z_][\w.]*\w)")


def identifier(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(page: Path) -> set[str]:
    """Return the anchors that a page's headings have."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@cache
def names_defined(file: str) -> frozenset[str]:
    """Return `function`, `Class` and `Class.method` of a module, and its constants."""
    return frozenset(_defined(ast.parse((ROOT / file).read_text(encoding="utf-8")).body, ""))


def _defined(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            yield from _defined(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}"


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {
        match for match in FILE.findall(page.read_text(encoding="utf-8")) if match not in MADE_BY_RUNNING
    }
    assert not sorted(name for name in named if not (ROOT / name).exists())


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_every_function_that_a_page_names_is_in_its_file(page: Path) -> None:
    named = set(FUNCTION.findall(page.read_text(encoding="utf-8")))
    assert not sorted(f"{file}::{name}" for file, name in named if name not in names_defined(file))


@pytest.mark.parametrize("rule", RuleId)
def test_the_architecture_page_says_where_each_rule_is(rule: RuleId) -> None:
    rows = [
        line
        for line in ARCHITECTURE.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{rule}`")
    ]
    assert len(rows) == 1
    (file,) = re.findall(r"streams/rules/\w+\.py", rows[0])
    assert f"RuleId.{rule.name}" in (ROOT / file).read_text(encoding="utf-8")


def test_the_architecture_page_names_each_topic_by_its_default_name() -> None:
    names = TopicNames({kind: (kind.value,) for kind in InputKind})
    page = ARCHITECTURE.read_text(encoding="utf-8")
    specs = topic_specs(names, parcels_partitions=1, returns_partitions=1)
    assert not [spec.name for spec in specs if f"`{spec.name}`" not in page]


def test_the_readme_is_short_and_keeps_the_place_of_the_demos_output() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert 0 < text.find("<!-- demo-output -->") < text.find("<!-- /demo-output -->")


def test_the_boards_pictures_are_shown_in_its_page_and_all_of_them_are_there() -> None:
    shown = set(
        re.findall(r"!\[[^\]]+\]\(images/(board-[a-z]+\.png)\)", (ROOT / "docs/board.md").read_text())
    )
    assert shown == {file.name for file in (ROOT / "docs/images").glob("board-*.png")}
    assert len(shown) >= 5
