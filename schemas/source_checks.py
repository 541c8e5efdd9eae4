"""Reads source files, and holds them against the contract: a mapping that can never give a valid event is a finding."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from schemas.event_fields import AboutParcelOrReturn
from schemas.events import KIND_OF_TYPE, ParcelRef, Value
from schemas.source_files import MODEL_OF_TYPE, TIME_FIELD, EventRule, SourceFile, mapped_fields, rules_of
from schemas.source_rules import CountOf, FlagOf, MoneyOf, ParcelsOf, Rule, TextOf, WordsOf
from schemas.topics import InputKind
from schemas.yaml_models import ModelError, ModelFinding, model_from_yaml
from schemas.yaml_reading import Path, YamlReader, compose, start_of

SUFFIX = ".yaml"
_FOLDER = "sources"


class _Doubt(NamedTuple):
    """What is wrong, and the path to it in the file."""

    path: Path
    what: str
    todo: str = ""


def load_source(text: str, filename: str) -> SourceFile:
    """Return the source written in `text`. Raises ModelError with every finding, in the order of the file."""
    file = model_from_yaml(SourceFile, text, filename)
    doubts = list(_doubts(file))
    if doubts:
        raise ModelError(_placed(doubts, text, filename))
    return file


def shipped_sources() -> tuple[str, ...]:
    """Return the names of the sources that come with the package, sorted."""
    names = (entry.name for entry in files("schemas").joinpath(_FOLDER).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


@cache
def shipped_source(name: str) -> SourceFile:
    """Return one source that comes with the package. Raises KeyError for a name that is none."""
    if name not in shipped_sources():
        raise KeyError(name)
    file = name + SUFFIX
    return load_source(files("schemas").joinpath(_FOLDER, file).read_text(encoding="utf-8"), file)


def kinds_of(file: SourceFile) -> frozenset[InputKind]:
    """Return the kinds of input topics to which the events of a source belong."""
    return frozenset(KIND_OF_TYPE[name] for name in file.types())


def _placed(doubts: Iterable[_Doubt], text: str, filename: str) -> list[ModelFinding]:
    node = compose(text)
    assert node is not None  # a model was read from it
    reader = YamlReader()
    reader.value(node)
    found = []
    for doubt in doubts:
        path = _in_the_file(doubt.path, reader)
        line, column = start_of(reader.keys.get(path) or reader.nearest(path))
        found.append((line, column, doubt.what, doubt.todo))
    return [
        ModelFinding(f"{filename}:{line}:{column}", what, todo)
        for line, column, what, todo in sorted(set(found))
    ]


def _in_the_file(wanted: Path, reader: YamlReader) -> Path:
    """The part of a path that the file has: what stands there alone, without its list, has no number."""
    path: Path = ()
    for part in wanted:
        if (*path, part) in reader.places:
            path = (*path, part)
    return path


def _doubts(file: SourceFile) -> Iterator[_Doubt]:
    for number, rule in enumerate(file.events):
        place: Path = ("events", number)
        yield from _of_types(file, rule, place)
        known = [name for name in file.types_of(rule) if name in MODEL_OF_TYPE]
        for name in known:
            yield from _missing(file, rule, name, place)
        yield from _of_fields(rules_of(rule.fields), known, (*place, "fields"), "this event")
    everything = [name for name in file.types() if name in MODEL_OF_TYPE]
    yield from _of_fields(rules_of(file.fields), everything, ("fields",), "any of the events here")


def _of_types(file: SourceFile, rule: EventRule, place: Path) -> Iterator[_Doubt]:
    for name in file.types_of(rule):
        if name in MODEL_OF_TYPE:
            continue
        close = get_close_matches(name, MODEL_OF_TYPE, n=1)
        if name in KIND_OF_TYPE:
            todo = "people's commands are written as docs/commands.md says"
        else:
            todo = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(sorted(MODEL_OF_TYPE))}"
        yield _Doubt((*place, "type"), f"`{name}` is no event that a source can tell", todo)
    folded: dict[str, str] = {}
    for word in (*rule.type.values, *rule.type.nothing):
        before = folded.setdefault(word.casefold(), word)
        if before is not word:
            yield _Doubt((*place, "type"), f"`{word}` and `{before}` are one word here", "keep one of them")


def _missing(file: SourceFile, rule: EventRule, name: str, place: Path) -> Iterator[_Doubt]:
    """What an event needs and no rule gives."""
    model = MODEL_OF_TYPE[name]
    mapped = {*rules_of(file.fields), *rules_of(rule.fields)}
    needed = [field for field, about in model.model_fields.items() if about.is_required() and field != "type"]
    for field in needed:
        if field in mapped or (field == TIME_FIELD and rule.without_time == "arrival"):
            continue
        todo = f"add `{field}` to its `fields` or to those of the file"
        if field == TIME_FIELD:
            todo += ", or say `without_time: arrival`"
        yield _Doubt(place, f"a `{name}` needs `{field}`, and nothing says where it stands", todo)
    if issubclass(model, AboutParcelOrReturn) and not (
        "return_id" in mapped or {"carrier", "tracking_number"} <= mapped
    ):
        what = f"a `{name}` needs `return_id`, or `carrier` and `tracking_number`, and they are not mapped"
        yield _Doubt(place, what, "add them to its `fields` or to those of the file")


def _of_fields(rules: dict[str, Rule], types: list[str], place: Path, whose: str) -> Iterator[_Doubt]:
    for field, rule in rules.items():
        having = [name for name in types if field in mapped_fields(MODEL_OF_TYPE[name])]
        if types and not having:
            owners = [name for name, model in MODEL_OF_TYPE.items() if field in mapped_fields(model)]
            todo = f"take it out; it is a field of {', '.join(owners)}"
            yield _Doubt((*place, field), f"`{field}` is no field of {whose}", todo)
        yield from _of_constants(field, rule, having, (*place, field))


def _of_constants(field: str, rule: Rule, types: list[str], place: Path) -> Iterator[_Doubt]:
    """Constants and values of tables that the contract does not allow."""
    if isinstance(rule, MoneyOf):
        yield from _tables("currency", rule.currency, [_adapter("currency")], (*place, "currency"))
    elif isinstance(rule, ParcelsOf):
        part = _adapter("carrier")
        yield from _tables("carrier", rule.carrier, [part], (*place, "carrier"))
        yield from _tables("tracking_number", rule.tracking_number, [part], (*place, "tracking_number"))
    elif isinstance(rule, TextOf | CountOf | FlagOf | WordsOf):
        adapters = [TypeAdapter(mapped_fields(MODEL_OF_TYPE[name])[field]) for name in types]
        yield from _tables(field, rule, adapters, place)


def _adapter(name: str) -> TypeAdapter[Any]:

    model: Any = Value if name == "currency" else ParcelRef
    return TypeAdapter(mapped_fields(model)[name])


def _tables(
    field: str, rule: TextOf | CountOf | FlagOf | WordsOf, adapters: list[TypeAdapter[Any]], place: Path
) -> Iterator[_Doubt]:
    for path, value in _constants(rule):
        given = [value] if isinstance(rule, WordsOf) else value
        refusals = [what for adapter in adapters if (what := _refusal(adapter, given))]
        if adapters and len(refusals) == len(adapters):
            yield _Doubt((*place, *path), f"{field}: {value!r}: {refusals[0]}", "write what the contract has")
    folded: dict[str, str] = {}
    for word in getattr(rule, "values", {}):
        before = folded.setdefault(word.casefold(), word)
        if before is not word:
            yield _Doubt((*place, "values", word), f"`{word}` and `{before}` are one word here", "keep one")


def _constants(rule: TextOf | CountOf | FlagOf | WordsOf) -> Iterator[tuple[Path, Any]]:
    for name, attribute in (("is", "always"), ("otherwise", "otherwise")):
        value = getattr(rule, attribute, None)
        if value is not None:
            yield (name,), value
    yield from ((("values", word), value) for word, value in getattr(rule, "values", {}).items())


def _refusal(adapter: TypeAdapter[Any], value: Any) -> str:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return ""
