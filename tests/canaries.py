"""Canaries: names, addresses, numbers and texts that no output may hold, put into payloads and events."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from xml.etree import ElementTree

Path = tuple[str | int, ...]

CANARY = "Jane Canary, Rosenweg 5, jane.canary@example.org, +49 171 5550100, 48.1371 11.5754"
FEATHERS = (b"canary", b"rosenweg", b"5550100", b"48.1371", b"jane", b"48 1371")
"""What a canary is known by, in whatever case, and where punctuation was taken out."""
FIELDS = (
    "name",
    "recipient",
    "address",
    "street",
    "phone",
    "email",
    "signature",
    "signedBy",
    "gps",
    "note",
    "photoUrl",
)
"""That no contract and no adapter names; or if one does, at another place."""


def sung(*outputs: bytes) -> list[bytes]:
    """The feathers that were found."""
    lowered = [output.lower() for output in outputs]
    return [feather for feather in FEATHERS if any(feather in output for output in lowered)]


def leaves(tree: Any, at: Path = ()) -> Iterator[Path]:
    """The path of every value that is no object and no list."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, (*at, name))
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            yield from leaves(value, (*at, place))
    else:
        yield at


def with_leaf(tree: Any, path: Path, value: Any) -> Any:
    """A copy with another value at a path."""
    changed = copy.deepcopy(tree)
    *way, last = path
    place = changed
    for step in way:
        place = place[step]
    place[last] = value
    return changed


def with_more_fields(tree: Any) -> Any:
    """A copy with canaries in fields that nobody reads, in every object of it."""
    if isinstance(tree, dict):
        kept = {name: with_more_fields(value) for name, value in tree.items()}
        return {**{name: CANARY for name in FIELDS if name not in tree}, **kept}
    if isinstance(tree, list):
        return [with_more_fields(value) for value in tree]
    return tree


def payloads_with_canaries(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """(name of the field, payload) for each value of a payload, with a canary in its place."""
    try:
        tree = json.loads(raw)
    except ValueError:
        yield from _of_xml(raw)
        return
    for path in leaves(tree):
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        yield name, json.dumps(with_leaf(tree, path, CANARY)).encode()


def payload_with_more_fields(raw: bytes) -> bytes:
    """A payload with canaries in fields that nobody reads."""
    try:
        return json.dumps(with_more_fields(json.loads(raw))).encode()
    except ValueError:
        root = ElementTree.fromstring(raw.strip())  # noqa: S314 - our own payloads
        for element in list(root.iter()):
            if len(element):
                for name in FIELDS:
                    ElementTree.SubElement(element, f"x{name}").text = CANARY
            element.set("xnote", CANARY)
        return ElementTree.tostring(root)


def _of_xml(raw: bytes) -> Iterator[tuple[str, bytes]]:
    root = ElementTree.fromstring(raw.strip())  # noqa: S314 - our own payloads
    for element in root.iter():
        if not len(element):
            yield _changed(root, element.tag, element.text, partial(setattr, element, "text"))
        for name, value in element.attrib.items():
            yield _changed(root, name, value, partial(element.set, name))


def _changed(
    root: ElementTree.Element, name: str, before: str | None, put: Callable[[Any], None]
) -> tuple[str, bytes]:
    put(CANARY)
    told = ElementTree.tostring(root)
    put(before)
    return name.rpartition("}")[2], told
