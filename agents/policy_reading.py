"""Policies from a file, from the log or from the package, and how two of them differ."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from ruamel.yaml import YAML

from agents.control import Control
from agents.errors import Finding, PolicyRefusedError
from schemas.policy import Policy, policy_from_log
from schemas.policy_loading import PolicyError, default_policy, load_policy

ABSENT = "-"


class PolicyInForce(NamedTuple):
    """The policy, the hash under which it was applied, and whether it is in the log at all."""

    policy: Policy
    hash: str
    in_log: bool


class Change(NamedTuple):
    """One value of a policy that is not the same in another; `-` where it is not there."""

    path: str
    before: str
    after: str


def read_policy(file: Path) -> Policy:
    """The policy in a YAML file.

    Raises:
        PolicyRefusedError: with every finding, each with its line and column.
    """
    policy, findings = policy_findings(file)
    if policy is None:
        raise PolicyRefusedError(findings)
    return policy


def policy_findings(file: Path | None) -> tuple[Policy | None, list[Finding]]:
    """The policy in a file (None: the default) or what is wrong with it."""
    if file is None:
        return default_policy(), []
    try:
        return load_policy(file.read_text(encoding="utf-8"), str(file)), []
    except PolicyError as error:
        return None, [finding_of(text) for text in error.findings]
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        return None, [Finding(str(file), what, todo="correct the path or the file's permissions")]
    except UnicodeDecodeError as error:
        return None, [
            Finding(str(file), f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}")
        ]


def policy_in_force(control: Control) -> PolicyInForce:
    """What the control records say, else the default, which the first worker will apply.

    Raises:
        PolicyRefusedError: the record was written by a newer version that knows more than this one.
    """
    if control.policy is None:
        policy = default_policy()
        return PolicyInForce(policy, policy.hash, in_log=False)
    try:
        policy, written_hash = policy_from_log(control.policy)
    except ValidationError as error:
        what = f"cannot be read by this version: {error.errors()[0]['msg']}"
        raise PolicyRefusedError(
            [Finding("the policy in the log", what, todo="use the version that applied it")]
        ) from error
    return PolicyInForce(policy, written_hash, in_log=True)


def differences(before: Policy, after: Policy) -> list[Change]:
    """Every value that is not the same, by its path."""
    old, new = dict(_leaves(before.model_dump(mode="json"))), dict(_leaves(after.model_dump(mode="json")))
    paths = sorted({*old, *new})
    return [
        Change(path, old.get(path, ABSENT), new.get(path, ABSENT))
        for path in paths
        if old.get(path, ABSENT) != new.get(path, ABSENT)
    ]


def as_yaml(policy: Policy) -> str:
    """The policy as a file that loads to the same policy."""
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 110
    yaml.dump(policy.model_dump(mode="json", exclude_none=True), text)
    return text.getvalue()


def finding_of(text: str) -> Finding:
    """The finding in `file:line:column: what; why; what to do`, as schemas/policy_loading.py writes it."""
    where, _, rest = text.partition(": ")
    what, *more = rest.split("; ")
    return Finding(where, what, *(("; ".join(more[:-1]), more[-1]) if more else ()))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    elif value is not None:
        yield path, str(value)
