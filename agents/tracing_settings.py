"""Whether traces are on, and what they need. Loads the extra `tracing` only when they are."""
# ruff: noqa: PLC0415 - what needs the extra is imported when traces are on

from importlib.util import find_spec
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from agents.errors import Finding
from agents.settings import Settings

if TYPE_CHECKING:
    from agents.tracing import Tracer

INSTALL = "pip install 'returnwatch[tracing]'"


def tracer_of(settings: Settings, program: str, registry: CollectorRegistry) -> "Tracer | None":
    """What exports this process's spans; None: traces are off. `program`: worker or notify."""
    if settings.traces == "off":
        return None
    from agents.tracing import Tracer, otlp_exporter

    return Tracer(program, otlp_exporter(), registry)


def tracing_findings(settings: Settings, where: str) -> list[Finding]:
    """What is missing where traces are on. `where`: where a person has set it."""
    if settings.traces == "off" or is_installed():
        return []
    what = "traces are on, and the packages that export them are not installed"
    return [Finding(where, what, todo=INSTALL)]


def is_installed() -> bool:
    """Whether the extra is there."""
    try:
        return find_spec("opentelemetry.sdk.trace") is not None and (
            find_spec("opentelemetry.exporter.otlp.proto.http") is not None
        )
    except ModuleNotFoundError:
        return False
