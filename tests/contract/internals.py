"""How contract tests look at other people's code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's parameters in order, `self` included."""
    return list(inspect.signature(function).parameters)


def names_used(function: Callable[..., Any]) -> set[str]:
    """Return every attribute and global that a function's code touches, inner functions included."""
    return _names(inspect.unwrap(function).__code__)


def _names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def comes_before(function: Callable[..., Any], first: str, second: str) -> bool:
    """Say whether `first` stands before `second` in a function's source, and both are there."""
    source = inspect.getsource(function)
    return 0 <= source.find(first) < source.find(second)
