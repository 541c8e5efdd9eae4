"""The topics as one AsyncAPI 3.0 document: `schemas/contracts/asyncapi.v1.json`, written by schemas/contracts_generation.py.

Payloads are the JSON Schemas beside it. Topic names are the defaults; they are settings.
"""

from typing import Any, Final

from schemas.topics import InputKind, TopicNames, TopicSpec, topic_specs

_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_OUTPUT_HEADERS: Final = {
    "ce_specversion": "Always 1.0.",
    "ce_id": "The same in every repeat of a record: drop what you have seen.",
    "ce_type": "What happened, as com.returnwatch.case.opened.v1.",
    "ce_source": "Always /returnwatch.",
    "ce_subject": "The return id; of a snapshot of KPIs the record's key.",
    "ce_time": "When it took effect, RFC 3339, UTC.",
    "content-type": "Always application/json.",
}
_PAYLOADS: Final = {
    "escalations": "escalation.v1",
    "cases": "case.v1",
    "refund-signals": "refund-signal.v1",
    "command-answers": "command-answer.v1",
    "journeys": "journey.v1",
    "kpis": "kpi-snapshot.v1",
}


def asyncapi() -> dict[str, Any]:
    """Return the document; a plain value of JSON."""
    names = TopicNames({kind: (kind.value,) for kind in InputKind})
    specs = {spec.name: spec for spec in topic_specs(names, parcels_partitions=1, returns_partitions=1)}
    outputs = {
        "escalations": specs[names.escalations],
        "cases": specs[names.cases],
        "refund-signals": specs[names.refund_signals],
        "command-answers": specs[names.command_answers],
        "journeys": specs[names.journeys],
        "kpis": specs[names.kpis],
        "dead-letters": specs[names.dead_letters],
    }
    messages = {kind.value: _input_message(kind) for kind in InputKind}
    messages |= {name: _output_message(name, spec) for name, spec in outputs.items()}
    channels = {
        kind.value: _channel(kind.value, kind.value, f"Yours: {kind.value}. Any key, any partition count.")
        for kind in InputKind
    }
    channels |= {name: _channel(name, spec.name, _sentence(spec)) for name, spec in outputs.items()}
    operations = {f"read-{kind.value}": _operation("receive", kind.value) for kind in InputKind}
    operations |= {f"write-{name}": _operation("send", name) for name in outputs}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Returnwatch",
            "version": "1",
            "description": "What Returnwatch reads from and writes to Kafka. In words: docs/contracts.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _channel(name: str, address: str, description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {"record": {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
    }


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _sentence(spec: TopicSpec) -> str:
    return f"{spec.purpose[:1].upper()}{spec.purpose[1:]}. Key: {spec.key}."


def _input_message(kind: InputKind) -> dict[str, Any]:
    return {
        "name": kind.value,
        "title": f"An event of kind {kind.value}: plain JSON, or the data of a CloudEvents 1.0 envelope",
        "contentType": "application/json",
        "payload": _payload(f"{kind.value}.v1"),
    }


def _output_message(name: str, spec: TopicSpec) -> dict[str, Any]:
    message = {
        "name": name,
        "title": _sentence(spec),
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }
    if name not in _PAYLOADS:
        return {
            **message,
            "contentType": "application/octet-stream",
            "headers": {"schemaFormat": _SCHEMA_FORMAT, "schema": _file("dead-letter-headers.v1")},
        }
    properties = {header: {"type": "string", "description": text} for header, text in _OUTPUT_HEADERS.items()}
    return {
        **message,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": properties, "required": sorted(properties)},
        "payload": _payload(_PAYLOADS[name]),
    }


def _payload(contract: str) -> dict[str, Any]:
    return {"schemaFormat": _SCHEMA_FORMAT, "schema": _file(contract)}


def _file(contract: str) -> dict[str, str]:
    return {"$ref": f"./{contract}.schema.json"}
