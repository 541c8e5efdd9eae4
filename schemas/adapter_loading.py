"""Reads adapter files. A wrong one is refused with all findings at once: where, what, why, and what to do."""

from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from schemas.adapter_files import AdapterFile
from schemas.yaml_reading import NotYamlError, YamlFinding, YamlReader, compose, start_of

SUFFIX = ".yaml"


class AdapterError(ValueError):
    """An adapter that cannot be used. `findings`: `file:line:column: what; why; what to do`."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def shipped_adapters() -> tuple[str, ...]:
    """Return the names of the adapters that come with the package, sorted."""
    names = (entry.name for entry in files("schemas").joinpath("adapters").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


@cache
def shipped_adapter(name: str) -> AdapterFile:
    """Return one adapter that comes with the package. Raises KeyError for a name that is none."""
    if name not in shipped_adapters():
        raise KeyError(name)
    file = name + SUFFIX
    adapter = load_adapter(files("schemas").joinpath("adapters", file).read_text(encoding="utf-8"), file)
    if adapter.adapter != name:
        raise AdapterError([f"{file}:1:1: `adapter` must be the file's name; it says `{adapter.adapter}`"])
    return adapter


def load_adapter(text: str, filename: str) -> AdapterFile:
    """Return the adapter written in `text`. Raises AdapterError with every finding, in the order of the file."""
    try:
        node = compose(text)
    except NotYamlError as error:
        raise AdapterError([_told(filename, error.finding)]) from error
    reader = YamlReader()
    content = reader.value(node) if node is not None else None
    findings = list(reader.findings)
    if not isinstance(content, dict):
        findings = [
            YamlFinding(1, 1, "an adapter is a mapping, this is not; start from one in schemas/adapters/")
        ]
    if findings:
        raise AdapterError([_told(filename, one) for one in sorted(findings)])
    try:
        return AdapterFile.model_validate(content)
    except ValidationError as error:
        found = {_explained(one, reader) for one in error.errors()}
        raise AdapterError([_told(filename, one) for one in sorted(found)]) from error


def _explained(error: Any, reader: YamlReader) -> YamlFinding:
    path = _in_the_file(error["loc"], reader)
    named = ".".join(str(part) for part in path) or "the adapter"
    if error["type"] == "extra_forbidden":
        where = reader.keys.get(path) or reader.nearest(path)
        text = f"there is no `{path[-1]}` here; it would have no effect; docs/adapters.md has what there is"
        return YamlFinding(*start_of(where), text)
    if error["type"] == "missing":
        inside = f" in {'.'.join(map(str, path[:-1]))}" if len(path) > 1 else ""
        text = f"`{error['loc'][-1]}` is missing{inside}; nothing can be read without it; add it (docs/adapters.md)"
        return YamlFinding(*start_of(reader.nearest(path)), text)
    message = str(error["msg"]).removeprefix("Value error, ")
    return YamlFinding(*start_of(reader.nearest(path)), f"{named}: {message}")


def _in_the_file(loc: tuple[str | int, ...], reader: YamlReader) -> tuple[str | int, ...]:
    """Return the part of an error's location that the file has: pydantic adds the names of the kinds it has tried."""
    path: tuple[str | int, ...] = ()
    for part in loc:
        if (*path, part) in reader.places:
            path = (*path, part)
    return path


def _told(filename: str, finding: YamlFinding) -> str:
    return f"{filename}:{finding.line}:{finding.column}: {finding.text}"
