"""What the payloads of a demo held: read once more by the shipped adapters, API by API."""

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from agents.adapters import readers_named
from agents.demo_traffic import DemoTraffic, topic_of
from agents.virtual_time import InputRecord
from schemas.adapter_loading import shipped_adapter
from schemas.carrier_codes import load_carrier_codes
from schemas.facts import decode_parcel_fact
from schemas.vocabulary import Milestone
from simulation.api_shapes import SHAPES
from simulation.api_traffic import Sending
from streams.intake import IntakeMapper

COLUMNS = ("API", "carrier", "shape", "records", "told", "scans", "unmapped", "refused")


class ApiRow(NamedTuple):
    """What one API told. `told`: scans in its records; `scans`: each counted once; `unmapped`: those with a code of no table."""

    api: str
    carriers: str
    shape: str
    records: int
    told: int
    scans: int
    unmapped: int
    refused: int


def rows_of(traffic: DemoTraffic) -> list[ApiRow]:
    """One row for each API, in the order in which they are wired."""
    mapper = IntakeMapper(load_carrier_codes(), adapters=readers_named(traffic.scans_adapters))
    by_api: dict[str, list[Sending]] = {api: [] for api in traffic.apis}
    for sending in traffic.sendings:
        if sending.api:
            by_api[sending.api].append(sending)
    return [_row(api, sendings, mapper) for api, sendings in by_api.items()]


def show_apis(console: Console, rows: Sequence[ApiRow]) -> None:
    """Print them."""
    table = Table(
        *COLUMNS,
        title="what carriers and aggregators told by their APIs, as their adapters read it",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header in COLUMNS[:3] else "right"
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
    console.print(table)


def _row(api: str, sendings: Sequence[Sending], mapper: IntakeMapper) -> ApiRow:
    told = refused = 0
    known: dict[int, bool] = {}
    carriers: dict[str, None] = {}
    for offset, sending in enumerate(sendings):
        record = InputRecord(offset, sending.value, sending.headers, sending.key)
        at_ms = int(sending.appears_at.timestamp() * 1000)
        taken = mapper.map_chunk([record], sending.kind, at_ms, topic=topic_of(api), partition=0)
        told += len(taken.facts)
        refused += len(taken.refused)
        for _, key, value in taken.facts:
            fact = decode_parcel_fact(value)
            known[fact.identity] = fact.milestone == Milestone.UNMAPPED and not fact.retracts
            carriers[key.decode().partition(":")[0]] = None
    unmapped = sum(known.values())
    row = (", ".join(carriers), _shape(api), len(sendings), told, len(known), unmapped, refused)
    return ApiRow(api, *row)


def _shape(api: str) -> str:
    """As `json history`, and how many parcels it may tell of at once."""
    file = shipped_adapter(api)
    (most,) = [shape.parcels for shape in SHAPES if shape.adapter == api]
    return f"{file.format} {file.tells}" + (f" of {most}" if most > 1 else "")
