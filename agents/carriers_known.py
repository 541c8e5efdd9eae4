"""Which APIs of which carriers the tables know."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas.carrier_codes import CarrierCodes
from schemas.carrier_tables import ANY_CARRIER


class KnownApi(NamedTuple):
    """An API of a carrier: its code types with how many codes each has, and how many rows are the user's."""

    carrier: str
    api: str
    code_types: Mapping[str, int]
    own: int
    default: bool

    @property
    def codes(self) -> int:
        """How many codes are known of it."""
        return sum(self.code_types.values())


def known_apis(codes: CarrierCodes) -> list[KnownApi]:
    """Every API that has rows, those of carriers first."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    own: dict[tuple[str, str], int] = {}
    names: dict[tuple[str, str], str] = {}
    for row in codes.rows:
        place = (row.carrier, row.api.casefold())
        names.setdefault(place, row.api)
        # Where a carrier sends only texts, each text is a code.
        code = row.key[3] or row.text_pattern
        found.setdefault(place, {}).setdefault(row.code_type, set()).add(code)
        own[place] = own.get(place, 0) + row.own
    return [
        KnownApi(
            carrier,
            names[carrier, api],
            {code_type: len(known) for code_type, known in sorted(found[carrier, api].items())},
            own[carrier, api],
            carrier != ANY_CARRIER and codes.default_api(carrier) == api,
        )
        for carrier, api in sorted(found, key=lambda place: (place[0] == ANY_CARRIER, place))
    ]
