"""Which fields of a message are read by an adapter or a source, and which are dropped: by taking each away and reading again.

That is exact whatever the paths are made of: a field is read where the outcome would have been another without it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from streams.payload_tree import TEXT

Names = tuple[str, ...]
"""The way to a field; `[]` for any item of a list."""
EACH = "[]"
_OTHER = "\u2609"
"""Stands for another value: no table and no format has it."""
_GONE = object()


def leaves(tree: Any, way: Names = ()) -> Iterator[tuple[Names, Any]]:
    """Yield every value of a tree that is no object and no list, with the way to it."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield from leaves(inner, (*way, name))
    elif isinstance(tree, list):
        for inner in tree:
            yield from leaves(inner, (*way, EACH))
    else:
        yield way, tree


def path_of(way: Names) -> str:
    """Return the way as JMESPath writes it."""
    text = ""
    for name in way:
        if name == EACH:
            text += EACH
        else:
            text += f".{written(name)}" if text else written(name)
    return text


def written(name: str) -> str:
    """Return a name as JMESPath writes it: in quotes unless it is a plain word."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[:1].isdigit()
    return name if plain else json.dumps(name, ensure_ascii=False)


def read_ways(tree: Any, outcome: Callable[[Any], object], asked: set[Names]) -> set[Names]:
    """Return those of the ways whose fields make a difference to the outcome."""
    usual = outcome(tree)
    return {
        way
        for way in asked
        if any(outcome(_changed(tree, way, other)) != usual for other in (_GONE, _OTHER, True))
    }


def _changed(tree: Any, way: Names, other: object) -> Any:
    """Return a copy with another value, or none, at a way."""
    if not way:
        return other
    name, rest = way[0], way[1:]
    if name == EACH and isinstance(tree, list):
        inner = [_changed(each, rest, other) for each in tree]
        return [each for each in inner if each is not _GONE]
    if not isinstance(tree, dict) or name not in tree:
        return tree
    value = _changed(tree[name], rest, other)
    return {
        key: value if key == name else kept for key, kept in tree.items() if key != name or value is not _GONE
    }


def tree_bytes(tree: Any, *, is_json: bool) -> bytes:
    """Return a tree as a message again."""
    if is_json:
        return msgspec.json.encode(tree)
    return "".join(_element(name, value) for name, value in tree.items()).encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, each) for each in value)
    if not isinstance(value, dict):
        return f"<{name}>{escape(str(value))}</{name}>"
    attributes = "".join(
        f" {key[1:]}={quoteattr(str(text))}" for key, text in value.items() if key[:1] == "@"
    )
    inner = escape(str(value.get(TEXT, "")))
    inner += "".join(_element(key, each) for key, each in value.items() if key[:1] != "@" and key != TEXT)
    return f"<{name}{attributes}>{inner}</{name}>"
