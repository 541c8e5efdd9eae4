"""JMESPath, as adapters use it: compiled once, and plain dotted names without the interpreter.

What a path is asked of is the event (or package) itself. Where a path names them, four more are there, each quoted:
`"$document"` (the whole payload), `"$package"` (of an event: its package), `"$parent"` (what the last step went out from) and
`"$key"` (the record's key, for answers that do not repeat the tracking number that was asked for).
"""

import re
from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

Path = Callable[[Any], Any]

_NAME = r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")'
_DOTTED = re.compile(rf"{_NAME}(?:\.{_NAME})*")
_NOT_OF_A_PART = re.compile(rf"!{_NAME}[.\[]")
_PART = re.compile(_NAME)
MAX_SIGNS = 100
"""Of one path. JMESPath goes one call deeper with each, also when it is asked."""
_NO_STEP = re.compile(r"\[[^\[\]:]*:[^\[\]:]*:\s*[-+]?0+\s*\]")
_NESTS = "[({!&|<>=.,:"


def compile_path(text: str) -> Path:
    """Return a function from a value to what the path finds in it; None: nothing. Raises ValueError."""
    text = text.strip()
    if text == "@":
        return _itself
    if _DOTTED.fullmatch(text):
        return _walk([part.strip('"') for part in _PART.findall(text)])
    choices = [part.strip() for part in text.split("||")]
    if all(part == "@" or _DOTTED.fullmatch(part) for part in choices):
        return _first_true([compile_path(part) for part in choices])
    if sum(text.count(sign) for sign in _NESTS) > MAX_SIGNS:
        raise ValueError(
            f"a path of more than {MAX_SIGNS} of {' '.join(_NESTS)} is not read; take several paths, or steps"
        )
    if _NOT_OF_A_PART.search(text):
        raise ValueError(f"{text!r}: `!a.b` is `(!a).b` in JMESPath; write `!(a.b)`")
    if _NO_STEP.search(text):
        raise ValueError(f"{text!r}: a slice in steps of 0 ends nowhere; write another step, or none")
    try:
        search: Path = jmespath.compile(text).search
    except JMESPathError as error:
        raise ValueError(f"{text!r} is no JMESPath: {str(error).splitlines()[0]}") from error

    def find(value: Any) -> Any:
        try:
            return search(value)
        except (ValueError, TypeError, ArithmeticError):
            # A function got what it does not take, such as a null, a text beside a number, or a number beyond all: JMESPath's
            # own errors and what it lets through. Nothing is found.
            return None

    return find


def names_in(text: str) -> list[str]:
    """Return the fields that a path of dots only leads through; none: it is more than that."""
    text = text.strip()
    if not _DOTTED.fullmatch(text) or asks_around(text):
        return []
    return [part.strip('"') for part in _PART.findall(text)]


def asks_around(text: str) -> bool:
    """Whether a path names something around what it is asked of."""
    return '"$' in text


def _first_true(paths: list[Path]) -> Path:
    """`a || b` without the interpreter: the first that JMESPath takes for true, else the last."""

    def first(value: Any) -> Any:
        found = None
        for path in paths:
            found = path(value)
            if found or (found == 0 and found is not False):
                return found
        return found

    return first


def _itself(value: Any) -> Any:
    return value


def _walk(names: list[str]) -> Path:
    def walk(value: Any) -> Any:
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return walk
