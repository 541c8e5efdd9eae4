"""Countries by the names that carriers write, and the time zones of places: tables in `schemas/places/`.

A place may lie in one of several zones (a country without its state, a state with a border in it). Both ends are told then:
the zone where a local time is earliest, and the one where it is latest.
"""

import csv
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Zones(NamedTuple):
    """Where a local time is earliest, and where it is latest; the same zone twice when the zone is sure."""

    first: ZoneInfo
    last: ZoneInfo


class PlaceZones:
    """Lookup by what a payload says of a place. Keeps nothing of what it was asked."""

    def __init__(self) -> None:
        self._countries: dict[str, str] = {}
        self._zones: dict[tuple[str, str], Zones] = {}
        for cells in _cells("countries.csv"):
            code = cells["alpha2"]
            for name in (code, cells["alpha3"], *cells["names"].split("|")):
                self._countries[name.casefold()] = code
            self._zones[code, ""] = _zones(cells)
        for cells in _cells("regions.csv"):
            self._zones[cells["country"], cells["region"]] = _zones(cells)

    def country(self, name: str) -> str:
        """Return the ISO 3166-1 alpha-2 code of a country written as code, alpha-3 code or name; "" when it is not known."""
        return self._countries.get(name.strip().casefold(), "")

    def zones(self, country: str, region: str) -> Zones | None:
        """Return the zones of a place. `country`: alpha-2; `region`: the code of a state or province, or ""."""
        known = self._zones.get((country, region.strip().upper()))
        return known if known is not None else self._zones.get((country, ""))


@lru_cache(maxsize=1)
def place_zones() -> PlaceZones:
    """Return the tables that come with the package."""
    return PlaceZones()


def _zones(cells: dict[str, str]) -> Zones:
    return Zones(ZoneInfo(cells["first_zone"]), ZoneInfo(cells["last_zone"]))


def _cells(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("schemas").joinpath("places", name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
