"""A pydantic model from a YAML file: all findings at once, each with its line and column."""

from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from schemas.yaml_reading import NotYamlError, Path, YamlReader, compose, start_of

M = TypeVar("M", bound=BaseModel)


class ModelFinding(NamedTuple):
    """What is wrong at one place. `where`: `file:line:column`."""

    where: str
    what: str
    todo: str = ""


class ModelError(ValueError):
    """A file that is not what it should be. `findings`: in the order of the file."""

    def __init__(self, findings: list[ModelFinding]) -> None:
        super().__init__("\n".join(": ".join(part for part in one if part) for one in findings))
        self.findings = findings


def model_from_yaml(model: type[M], text: str, filename: str) -> M:
    """The model that a YAML file holds. Raises ModelError with every finding."""
    try:
        node = compose(text)
    except NotYamlError as error:
        line, column, what = error.finding
        raise ModelError([ModelFinding(f"{filename}:{line}:{column}", what)]) from error
    reader = YamlReader()
    content = reader.value(node) if node is not None else None
    found = [(one.line, one.column, one.text, "") for one in reader.findings]
    if node is None or not isinstance(content, dict):
        known = ", ".join(f"`{name}:`" for name in model.model_fields)
        found.append((1, 1, f"the file has to be a mapping with {known} in it", "start from one that works"))
    if not found:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            found = [_told(one, reader, model) for one in error.errors()]
    raise ModelError(
        [
            ModelFinding(f"{filename}:{line}:{column}", what, todo)
            for line, column, what, todo in sorted(set(found))
        ]
    )


def _told(error: Any, reader: YamlReader, model: type[BaseModel]) -> tuple[int, int, str, str]:
    kind, path = str(error["type"]), _in_the_file(error["loc"], reader)
    if kind == "extra_forbidden":
        known = _fields(model, path[:-1])
        close = get_close_matches(str(path[-1]), known, n=1)
        todo = (
            f"did you mean `{close[0]}`?"
            if close
            else f"known are {', '.join(sorted(known))}"
            if known
            else ""
        )
        return (
            *start_of(reader.keys.get(path) or reader.nearest(path)),
            f"`{path[-1]}` is not known here",
            todo,
        )
    if kind == "missing":
        inside = f" in {_dotted(path)}" if path else ""
        return *start_of(reader.nearest(path)), f"`{error['loc'][-1]}` is missing{inside}", "add it"
    if kind == "enum":
        return _told_of_word(error, path, reader)
    what = str(error["msg"]).removeprefix("Value error, ")
    name = f"{_dotted(path)}: " if path else ""
    node = reader.keys.get(path) if "[key]" in error["loc"] else None
    return *start_of(node or reader.nearest(path)), f"{name}{what}", ""


def _told_of_word(error: Any, path: Path, reader: YamlReader) -> tuple[int, int, str, str]:
    given, known = str(error["input"]), str(error["ctx"]["expected"]).replace(" or ", ", ").replace("'", "")
    close = get_close_matches(given, known.split(", "), n=1)
    todo = f"did you mean `{close[0]}`?" if close else f"known are {known}"
    return *start_of(reader.nearest(path)), f"{_dotted(path)}: `{given}` is not known here", todo


def _in_the_file(location: tuple[str | int, ...], reader: YamlReader) -> Path:
    """The part of an error's location that the file has: pydantic adds the names of the kinds that it has tried."""
    path: Path = ()
    for part in location:
        if (*path, part) in reader.places:
            path = (*path, part)
    return path


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """What may stand at a place: follows the path through models, and mappings and lists of models."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # a name in a mapping, or a number in a list
        inner = _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(one) for one in get_args(annotation))
    return next((one for one in found if one is not None), None)
