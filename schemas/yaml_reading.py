"""Reads YAML into plain values, and remembers where each of them stands, so that what is wrong is told by line and column."""

from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int, ...]

_MOST_DEPTH = 16
_FOLD = "\a"
"""How ruamel.yaml marks where a folded text was folded."""


class YamlFinding(NamedTuple):
    """What is wrong at one place. `text`: what; why; what to do."""

    line: int
    column: int
    text: str


class NotYamlError(ValueError):
    """A text that is not one YAML document."""

    def __init__(self, finding: YamlFinding) -> None:
        super().__init__(finding.text)
        self.finding = finding


def compose(text: str) -> Node | None:
    """The tree of a YAML document; None: there is nothing in it. Raises NotYamlError."""
    try:
        return YAML().compose(text)  # type: ignore[no-any-return]  # ruamel.yaml says nothing of it
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        todo = "mind colons, quotes and indentation"
        what = f"not YAML: {error.problem or error.context}; {todo}"
        raise NotYamlError(YamlFinding(line, column, what)) from error
    except YAMLError as error:
        raise NotYamlError(YamlFinding(1, 1, f"not YAML: {error}; write it as one YAML document")) from error


class YamlReader:
    """Plain values of a YAML tree, and where each of them stands."""

    def __init__(self) -> None:
        self.findings: list[YamlFinding] = []
        self.places: dict[Path, Node] = {}
        """Path -> the value's node."""
        self.keys: dict[Path, Node] = {}
        """Path -> the node of the key that leads to it."""

    def value(self, node: Node, path: Path = ()) -> Any:
        """The value of a node; what is wrong with it is added to `findings`."""
        self.places[path] = node
        if len(path) > _MOST_DEPTH:
            self._find(
                node, "nested too deeply; nothing goes that deep; check for an anchor that holds itself"
            )
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return _scalar(node)

    def nearest(self, path: Path) -> Node:
        """The node of a path, or of the closest part around it that is in the file."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None:
                self._find(key_node, "a key must be plain text; this is a list or mapping; put it in quotes")
                continue
            if key in content:
                self._find(key_node, f"`{key}` stands here twice; only one could count; delete one of them")
                continue
            self.keys[(*path, key)] = key_node
            content[key] = self.value(value_node, (*path, key))
        return content

    def _find(self, node: Node, text: str) -> None:
        self.findings.append(YamlFinding(*start_of(node), text))


def _scalar(node: ScalarNode) -> Any:
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() in {"true", "yes", "on"}
    if kind == "int" and node.value.lstrip("+-").isdigit():
        return int(node.value)
    if node.style == ">":
        return node.value.replace(_FOLD, "")
    return node.value


def start_of(node: Node) -> tuple[int, int]:
    """Line and column at which a node begins, counted from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1
