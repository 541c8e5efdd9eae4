"""Reads a policy from YAML. A wrong one is refused with all findings at once: where, what, why, and what to do."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml.nodes import MappingNode, Node

from schemas.facilities import Facility, FacilityPlace
from schemas.feed_policy import FeedPolicy, WatchedFeed
from schemas.policy import (
    Closure,
    Level,
    Policy,
    RefundTier,
    RulePolicy,
    Statute,
    StopClocks,
    WeightTolerance,
)
from schemas.policy_overrides import Override, WeightOverride
from schemas.vocabulary import RuleId
from schemas.yaml_reading import NotYamlError, Path, YamlFinding, YamlReader, compose, start_of


class PolicyError(ValueError):
    """A policy that cannot be used. `findings`: one sentence each, `file:line:column: what; why; what to do`."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def load_policy(text: str, filename: str) -> Policy:
    """The policy written in `text`, with the default policy's numbers where it names none.

    Raises PolicyError with every finding, in the order of the file.
    """
    return policy_of(_compose(text, filename), filename, default_policy())


def policy_of(node: Node | None, filename: str, base: Policy | None) -> Policy:
    """The policy written in a part of a YAML file, with the numbers of `base` where it names none.

    Raises PolicyError like `load_policy`.
    """
    if not isinstance(node, MappingNode):
        line, column = start_of(node) if node is not None else (1, 1)
        todo = "start from `returnwatch policy show --default`"
        what = "a policy is a mapping with `rules:` in it, this is not"
        raise PolicyError([f"{filename}:{line}:{column}: {what}; {todo}"])
    reader = YamlReader()
    content = reader.value(node)
    findings = reader.findings
    if not findings:
        try:
            return Policy.model_validate(content if base is None else _completed(content, base))
        except ValidationError as error:
            findings = [_explain(one, reader) for one in error.errors()]
    raise PolicyError([f"{filename}:{one.line}:{one.column}: {one.text}" for one in sorted(set(findings))])


@lru_cache(maxsize=1)
def default_policy() -> Policy:
    """The policy that is in force where no other was applied (schemas/default_policy.yaml)."""
    name = "default_policy.yaml"
    text = files("schemas").joinpath(name).read_text(encoding="utf-8")
    return policy_of(_compose(text, name), name, None)


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


def _compose(text: str, filename: str) -> Node | None:
    try:
        return compose(text)
    except NotYamlError as error:
        line, column, what = error.finding
        raise PolicyError([f"{filename}:{line}:{column}: {what}"]) from error


# -- findings ---------------------------------------------------------------------------------------------------


def _explain(error: Any, reader: YamlReader) -> YamlFinding:
    path = tuple(part for part in error["loc"] if part != "[key]")
    kind = str(error["type"])
    if kind == "extra_forbidden" or error["loc"][-1:] == ("[key]",):
        return YamlFinding(*start_of(reader.keys.get(path) or reader.nearest(path)), _unknown(path))
    if kind == "missing":
        text = f"`{path[-1]}` is missing{_inside(path[:-1])}; nothing can be decided without it; add it"
        return YamlFinding(*start_of(reader.nearest(path[:-1])), text)
    return YamlFinding(*start_of(reader.nearest(path)), f"{_name(path)}{_what(error)}")


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
    if path[:2] == ("feeds", "of") and len(path) == 3:
        return f"`{name}` is no name of a feed; write a carrier in lower case, as la_poste, or orders, labels, warehouse"
    if path[-2:-1] in {("max_value",), ("high_value",)}:
        return f"`{name}` is no currency; write it in capitals, as EUR"
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
        model = FacilityPlace if path[2:3] == ("places",) else Facility
    elif path[:1] == ("stop_clocks",):
        model = StopClocks
    elif path[:1] == ("weight_tolerance",):
        model = WeightOverride if "overrides" in path else WeightTolerance
    elif path[:1] == ("closures",):
        model = Closure
    elif path[:1] == ("statutes",):
        model = Statute
    elif path[:1] == ("refund_tiers",):
        model = RefundTier
    elif path[:1] == ("feeds",):
        model = WatchedFeed if path[1:2] == ("of",) else FeedPolicy
    yield from model.model_fields


def _name(path: Path) -> str:
    return f"{_dotted(path)}: " if path else ""


def _inside(path: Path) -> str:
    return f" in {_dotted(path)}" if path else ""


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
