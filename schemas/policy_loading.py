"""Reads a policy from YAML. A wrong one is refused with all findings at once: where, what, why, and what to do."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from schemas.policy import Facility, Level, Override, Policy, RulePolicy
from schemas.vocabulary import RuleId

Path = tuple[str | int, ...]

_MOST_DEPTH = 16


class PolicyError(ValueError):
    """A policy that cannot be used. `findings`: one sentence each, `file:line:column: what; why; what to do`."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class _Finding(NamedTuple):
    line: int
    column: int
    text: str


def load_policy(text: str, filename: str) -> Policy:
    """The policy written in `text`, with the default policy's numbers where it names none.

    Raises PolicyError with every finding, in the order of the file.
    """
    return _load(text, filename, default_policy())


def _load(text: str, filename: str, default: Policy | None) -> Policy:
    node = _compose(text, filename)
    reader = _Reader()
    content = reader.value(node, ())
    findings = reader.findings
    if not findings:
        try:
            return Policy.model_validate(content if default is None else _completed(content, default))
        except ValidationError as error:
            findings = [_explain(one, reader) for one in error.errors()]
    raise PolicyError([f"{filename}:{one.line}:{one.column}: {one.text}" for one in sorted(set(findings))])


@lru_cache(maxsize=1)
def default_policy() -> Policy:
    """The policy that is in force where no other was applied (schemas/default_policy.yaml)."""
    name = "default_policy.yaml"
    return _load(files("schemas").joinpath(name).read_text(encoding="utf-8"), name, None)


def _completed(content: dict[str, Any], default: Policy) -> dict[str, Any]:
    """What a file says, and for what it does not say the default: whole settings, and single numbers of rules.

    A file that gives a rule a budget says with it that there is no other one abroad, unless it names that, too.
    """
    usual = default.model_dump(mode="json")
    rules = content.get("rules", {})
    if not isinstance(rules, dict):
        return {**usual, **content}
    completed = dict(usual["rules"])
    for rule, numbers in rules.items():
        before = dict(usual["rules"].get(rule, {}))
        if not isinstance(numbers, dict):
            completed[rule] = numbers
            continue
        if "budget" in numbers:
            before.pop("international", None)
        completed[rule] = {**before, **numbers}
    return {**usual, **content, "rules": completed}


def _compose(text: str, filename: str) -> Node:
    try:
        node = YAML().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark is not None else "1:1"
        todo = "mind colons, quotes and indentation"
        raise PolicyError(
            [f"{filename}:{where}: not YAML: {error.problem or error.context}; {todo}"]
        ) from error
    except YAMLError as error:
        raise PolicyError(
            [f"{filename}:1:1: not YAML: {error}; write the policy as one YAML document"]
        ) from error
    if not isinstance(node, MappingNode):
        todo = "start from `returnwatch policy show --default`"
        raise PolicyError([f"{filename}:1:1: a policy is a mapping with `rules:` in it, this is not; {todo}"])
    return node


class _Reader:
    """Plain values of a YAML tree, and where each of them stands."""

    def __init__(self) -> None:
        self.findings: list[_Finding] = []
        self.places: dict[Path, Node] = {}
        """Path -> the value's node."""
        self.keys: dict[Path, Node] = {}
        """Path -> the node of the key that leads to it."""

    def value(self, node: Node, path: Path) -> Any:
        """The value of a node; what is wrong with it is added to `findings`."""
        self.places[path] = node
        if len(path) > _MOST_DEPTH:
            self._find(
                node,
                "nested too deeply; a policy has six levels at most; check for an anchor that holds itself",
            )
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return _scalar(node)

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
        self.findings.append(_Finding(*_start(node), text))


def _scalar(node: ScalarNode) -> Any:
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() in {"true", "yes", "on"}
    if kind == "int" and node.value.lstrip("+-").isdigit():
        return int(node.value)
    return node.value


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


# -- findings ---------------------------------------------------------------------------------------------------


def _explain(error: Any, reader: _Reader) -> _Finding:
    path = tuple(part for part in error["loc"] if part != "[key]")
    kind = str(error["type"])
    if kind == "extra_forbidden" or error["loc"][-1:] == ("[key]",):
        return _Finding(*_start(reader.keys.get(path) or _nearest(path, reader)), _unknown(path))
    if kind == "missing":
        text = f"`{path[-1]}` is missing{_inside(path[:-1])}; nothing can be decided without it; add it"
        return _Finding(*_start(_nearest(path[:-1], reader)), text)
    return _Finding(*_start(_nearest(path, reader)), f"{_name(path)}{_what(error)}")


def _what(error: Any) -> str:
    kind, message = str(error["type"]), str(error["msg"])
    if kind in {"enum", "literal_error"}:
        allowed = _allowed(error)
        return (
            f"{error['input']!r} is none of {', '.join(allowed)}{_did_you_mean(str(error['input']), allowed)}"
        )
    if kind == "timezone_aware":
        return "a time without its offset could be any hour of the day; write it as 2026-01-31T08:00:00+01:00"
    if kind == "string_pattern_mismatch":
        pattern = {
            "^[A-Z]{2}-[A-Z]{2}$": "a lane is two country codes, as FR-DE",
            "^[a-z0-9_]+$": "a carrier is written in lower case, as la_poste",
        }.get(str(error["ctx"]["pattern"]), message)
        return f"{error['input']!r} does not fit; {pattern}"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _allowed(error: Any) -> list[str]:
    expected = str(error["ctx"]["expected"]).replace(" or ", ", ")
    return [word.strip().strip("'") for word in expected.split(",")]


def _unknown(path: Path) -> str:
    name = str(path[-1])
    if path[:1] == ("rules",) and len(path) == 2:
        rules = [rule.value for rule in RuleId]
        return (
            f"there is no rule `{name}`{_did_you_mean(name, rules) or '; the rules are ' + ', '.join(rules)}"
        )
    if path[:1] == ("allowances",):
        return f"`{name}` is no name of a carrier; write it in lower case, as la_poste"
    known = sorted(_fields(path[:-1]))
    hint = _did_you_mean(name, known) or f"; known here: {', '.join(known)}"
    return f"there is no `{name}`{_inside(path[:-1])}; it would have no effect{hint}"


def _did_you_mean(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _fields(path: Path) -> Iterator[str]:
    """The fields that may stand under a path."""
    model: type[BaseModel] = Policy
    if path[:1] == ("rules",):
        model = Override if "overrides" in path else RulePolicy
    elif path[:1] == ("levels",):
        model = Level
    elif path[:1] == ("facilities",):
        model = Facility
    yield from model.model_fields


def _nearest(path: Path, reader: _Reader) -> Node:
    """The node of a path, or of the closest part around it that is in the file."""
    while path not in reader.places:
        path = path[:-1]
    return reader.places[path]


def _name(path: Path) -> str:
    return f"{_dotted(path)}: " if path else ""


def _inside(path: Path) -> str:
    return f" in {_dotted(path)}" if path else ""


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
