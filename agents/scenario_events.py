"""Events as scenarios write them: what is wrong with one, told by field, and the record that it becomes.

A scenario may give a carrier's scan as the `milestone` that it proves. So that such a scan takes the same way as every other,
it becomes one with a code, and the carriers' tables get one more, in which each milestone is the code of itself.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from agents.errors import did_you_mean
from schemas.carrier_codes import CarrierCodes, Meaning, code_rows
from schemas.carrier_tables import ANY_CARRIER, CodeRow
from schemas.event_fields import InputEvent
from schemas.events import EVENT_MODELS, event_type
from schemas.vocabulary import Evidence, Milestone
from schemas.yaml_reading import Path

API = "scenario"
MODELS: Mapping[str, type[InputEvent]] = {
    event_type(model): model for models in EVENT_MODELS.values() for model in models
}
SCAN = "carrier_scan"
BY_THE_STEP = frozenset({"type", "occurred_at", "schema_version"})
"""Fields that the step says in another way, or that go without saying."""
CONTRACT = "docs/contracts.md lists the fields of every event"


class Problem(NamedTuple):
    """What is wrong with a field of an event. `path`: from the event on; `at_key`: the field's name is."""

    path: Path
    what: str
    why: str = ""
    todo: str = ""
    at_key: bool = False


def _usual_evidence() -> dict[str, str]:
    """Milestone of a carrier -> the evidence that most of the tables' rows give for it."""
    counted: dict[Milestone, Counter[str]] = {}
    for row in code_rows():
        counted.setdefault(row.milestone, Counter())[row.evidence.name.lower()] += 1
    counted.pop(Milestone.UNMAPPED, None)
    return {milestone.name.lower(): seen.most_common(1)[0][0] for milestone, seen in sorted(counted.items())}


USUAL_EVIDENCE = _usual_evidence()


def _rows() -> Iterator[CodeRow]:
    for name in USUAL_EVIDENCE:
        for evidence in Evidence:
            seen = evidence.name.lower()
            yield CodeRow(
                ANY_CARRIER, API, seen, name, "", "", Milestone[name.upper()], evidence, "", "scenario"
            )


class MilestoneCodes(CarrierCodes):
    """The carriers' tables, and the one in which each milestone is the code of itself."""

    def __init__(self, tables: CarrierCodes) -> None:
        super().__init__(_rows(), {}, ())
        self._tables = tables
        self.carriers = tables.carriers

    def carrier(self, name: str) -> str:
        """See CarrierCodes."""
        return self._tables.carrier(name)

    def lookup(
        self,
        carrier: str,
        api: str | None,
        code_type: str | None,
        code: str | None,
        text: str | None,
        direction: str | None,
    ) -> Meaning:
        """See CarrierCodes."""
        if api == API:
            return super().lookup(carrier, api, code_type, code, text, direction)
        return self._tables.lookup(carrier, api, code_type, code, text, direction)


def record_of(name: str, occurred_at: str, fields: Mapping[str, Any]) -> bytes:
    """The event as a record's value."""
    said = dict(fields)
    if "milestone" in said:
        milestone = said.pop("milestone")
        evidence = said.pop("evidence", None) or USUAL_EVIDENCE[milestone]
        said |= {"api": API, "code_type": evidence, "code": milestone}
    return json.dumps({"type": name, "occurred_at": occurred_at, **said}).encode()


def problems_of(name: str, occurred_at: str, fields: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with an event, as far as its contract says."""
    model = MODELS[name]
    more = ("milestone", "evidence") if name == SCAN else ()
    found = [*_unknown_fields(model, fields, name, more)]
    if name == SCAN:
        found += _milestone_problems(fields)
    if any(problem.path and problem.path[0] in more for problem in found):
        return found
    try:
        model.model_validate_json(record_of(name, occurred_at, fields))
    except ValidationError as error:
        found += [_of_contract(one, name) for one in error.errors()]
    return found


def _unknown_fields(
    model: type[BaseModel], fields: Mapping[str, Any], where: str, more: tuple[str, ...] = (), path: Path = ()
) -> Iterator[Problem]:
    """The contract lets fields pass that it does not know; in a scenario they are slips of the pen."""
    known = [*(field for field in model.model_fields if field not in BY_THE_STEP), *more]
    for field, value in fields.items():
        if field not in known:
            hint = did_you_mean(field, known) or f"the fields are {', '.join(known)}"
            if field == "occurred_at":
                hint = "write `at:` beside the event"
            yield Problem(
                (*path, field), f"`{where}` has no field `{field}`", "it would be dropped", hint, True
            )
            continue
        inner = _model_in(model.model_fields[field].annotation) if field in model.model_fields else None
        parts = enumerate(value) if isinstance(value, list) else [(None, value)]
        for number, part in parts:
            if inner is not None and isinstance(part, dict):
                below = (*path, field) if number is None else (*path, field, number)
                yield from _unknown_fields(inner, part, field, (), below)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def _milestone_problems(fields: Mapping[str, Any]) -> Iterator[Problem]:
    if "milestone" not in fields:
        if "evidence" in fields:
            todo = "give a `milestone`, or leave it out"
            yield Problem(
                ("evidence",), "`evidence` without `milestone`", "a code says itself who saw it", todo
            )
        return
    for field, known in (
        ("milestone", list(USUAL_EVIDENCE)),
        ("evidence", [e.name.lower() for e in Evidence]),
    ):
        word = fields.get(field)
        if word not in known and (field == "milestone" or word is not None):
            todo = did_you_mean(str(word), known) or f"take one of {', '.join(known)}"
            yield Problem((field,), f"{word!r} is no {field} that a carrier reports", "", todo)
    for field in ("api", "code_type", "code"):
        if field in fields:
            todo = "leave one of them out"
            yield Problem(
                (field,), f"`{field}` beside `milestone`", "either of them says what was seen", todo, True
            )


def _of_contract(error: Any, name: str) -> Problem:
    path, kind, value = tuple(error["loc"]), str(error["type"]), error["input"]
    field = ".".join(map(str, path)) or name
    if kind == "missing":
        return Problem(path[:-1], f"`{path[-1]}` is missing", f"{name} needs it", f"add it; {CONTRACT}")
    if kind == "literal_error":
        known = [
            word.strip().strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(",")
        ]
        todo = did_you_mean(str(value), known) or f"take one of {', '.join(known)}"
        return Problem(path, f"`{field}`: {value!r} is not what it may be", "", todo)
    if kind == "string_type" and isinstance(value, int | float):
        why = "ids and codes are text, also when they look like numbers"
        return Problem(path, f"`{field}`: {value} is not text", why, "put it in quotes")
    what = str(error["msg"]).removeprefix("Value error, ")
    return Problem(path, f"`{field}`: {what[:1].lower()}{what[1:]}", "", CONTRACT)
