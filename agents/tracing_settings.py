"""Whether traces are on, and what they need. Loads the extra `tracing` only when they are."""
# ruff: noqa: PLC0415 - what needs the extra is imported when traces are on

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry
from pydantic import Field, FilePath, HttpUrl, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agents.errors import Finding
from agents.settings import Settings

if TYPE_CHECKING:
    from agents.tracing import Tracer

INSTALL = "pip install 'returnwatch[tracing]'"


class ExportVariables(BaseSettings):
    """OpenTelemetry's own variables, by which spans are exported. One that is empty is as none."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    queue_size: PositiveInt = Field(default=16_384, alias="OTEL_BSP_MAX_QUEUE_SIZE")
    """Spans. What intake reads at once has room in it twice over."""
    batch_size: PositiveInt = Field(default=512, alias="OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    delay_ms: PositiveInt = Field(default=5_000, alias="OTEL_BSP_SCHEDULE_DELAY")
    timeout_ms: PositiveInt = Field(default=30_000, alias="OTEL_BSP_EXPORT_TIMEOUT")
    endpoint: HttpUrl | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    traces_endpoint: HttpUrl | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    protocol: Literal["http/protobuf"] | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_PROTOCOL")
    traces_protocol: Literal["http/protobuf"] | None = Field(
        default=None, alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    )
    certificate: FilePath | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_CERTIFICATE")
    traces_certificate: FilePath | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
    disabled: bool = Field(default=False, alias="OTEL_SDK_DISABLED")


def tracer_of(settings: Settings, program: str, registry: CollectorRegistry) -> "Tracer | None":
    """What exports this process's spans; None: traces are off. `program`: worker or notify."""
    if settings.traces == "off":
        return None
    from agents.tracing import Tracer, otlp_exporter

    return Tracer(program, otlp_exporter(), registry)


def tracing_findings(settings: Settings, where: str) -> list[Finding]:
    """What is missing or wrong where traces are on. `where`: where a person has set it."""
    if settings.traces == "off":
        return []
    if not is_installed():
        what = "traces are on, and the packages that export them are not installed"
        return [Finding(where, what, todo=INSTALL)]
    try:
        told = ExportVariables()
    except ValidationError as error:
        why = "no span could be exported by it"
        return [
            Finding(str(one["loc"][0]), one["msg"], why, "correct it, or remove it: docs/logs-and-traces.md")
            for one in error.errors()
        ]
    return list(_contradictions(told, where))


def _contradictions(told: ExportVariables, where: str) -> Iterator[Finding]:
    if told.batch_size > told.queue_size:
        what = f"{told.queue_size} spans in the queue are fewer than the {told.batch_size} that are exported at once"
        todo = "raise it, or lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
        yield Finding("OTEL_BSP_MAX_QUEUE_SIZE", what, todo=todo)
    if told.disabled:
        yield Finding("OTEL_SDK_DISABLED", f"is true, yet {where} is on", todo="remove one of them")


def is_installed() -> bool:
    """Whether the extra is there."""
    try:
        return find_spec("opentelemetry.sdk.trace") is not None and (
            find_spec("opentelemetry.exporter.otlp.proto.http") is not None
        )
    except ModuleNotFoundError:
        return False
