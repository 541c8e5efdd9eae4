"""Writes `schemas/contracts/*.json` from the models: `python -m schemas.contracts_generation`.

The files are committed, and a test compares them with what the models say now: a change of a contract is seen in
review as a change of its schema.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Union

import msgspec
from pydantic import Field, TypeAdapter

from schemas.asyncapi import asyncapi
from schemas.command_answers import CommandAnswer
from schemas.dead_letter_outcomes import LetterOutcome
from schemas.dead_letters import DeadLetter
from schemas.events import EVENT_MODELS
from schemas.explanations import Explanation
from schemas.kpis import KpiSnapshot
from schemas.outputs import Case, Escalation, RefundSignal
from schemas.policy import Policy
from schemas.return_journeys import ReturnJourney
from schemas.topics import InputKind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FOLDER = Path(__file__).parent / "contracts"


def contract_files() -> dict[str, str]:
    """Return file name -> JSON text of every contract, with sorted keys."""
    schemas = {f"{kind.value}.v1": _input_schema(kind) for kind in InputKind}
    schemas["escalation.v1"] = _output_schema(Escalation, "Value of the topic escalations")
    schemas["case.v1"] = _output_schema(Case, "Value of the topic cases")
    schemas["refund-signal.v1"] = _output_schema(RefundSignal, "Value of the topic refund-signals")
    schemas["command-answer.v1"] = _output_schema(CommandAnswer, "Value of the topic command-answers")
    schemas["kpi-snapshot.v1"] = _output_schema(KpiSnapshot, "Value of the topic kpis")
    schemas["explanation.v1"] = _output_schema(Explanation, "A line of `returnwatch explain --json`")
    schemas["journey.v1"] = _output_schema(ReturnJourney, "Value of the topic journeys")
    schemas["dead-letter-headers.v1"] = _output_schema(
        DeadLetter, "Headers of a record of dead-letters, as texts"
    )
    schemas["dead-letter-outcome.v1"] = _output_schema(
        LetterOutcome, "Value of the topic dead-letter-outcomes"
    )
    schemas["policy.v1"] = _policy_schema()
    documents = {f"{name}.schema.json": schema for name, schema in schemas.items()}
    documents["asyncapi.v1.json"] = asyncapi()
    return {
        name: json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


def write_contracts(folder: Path = _FOLDER) -> list[str]:
    """Write every contract to the folder; return the names of those that changed."""
    changed = []
    for name, text in contract_files().items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


def _input_schema(kind: InputKind) -> dict[str, Any]:
    union: Any = Annotated[Union[EVENT_MODELS[kind]], Field(discriminator="type")]  # noqa: UP007 - made from a tuple
    schema = TypeAdapter(union).json_schema(mode="validation")
    return {
        "$schema": _DIALECT,
        "title": f"Value of an input topic of kind {kind.value}, version 1",
        **schema,
    }


def _policy_schema() -> dict[str, Any]:
    """Of a file: it names what differs from the default policy, so nothing in it is required but what lists hold."""
    schema = Policy.model_json_schema(mode="validation")
    for partial in (schema, schema["$defs"]["RulePolicy"]):
        partial.pop("required", None)
    return {"$schema": _DIALECT, **schema, "title": "A policy of Returnwatch, version 1"}


def _output_schema(struct: type[msgspec.Struct], title: str) -> dict[str, Any]:
    return {"$schema": _DIALECT, **msgspec.json.schema(struct), "title": title}


if __name__ == "__main__":
    sys.stdout.write(
        "".join(f"wrote {name}\n" for name in write_contracts()) or "every contract is current\n"
    )
