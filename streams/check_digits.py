"""Whether a tracking number can be one of its carrier's: the check digits of the kinds of numbers that have one.

A kind is told by its length and what it begins with. What is of no kind here is not judged: carriers have ranges without
check digits, and numbers of partners. A number that fails is told of and counted, and otherwise like any other (ADR 21).

Sources: jkeen/tracking_number_data (MIT) at b79ce4b, couriers/*.json and CHECKSUM_ALGORITHMS.md; UPU standard S10;
DPD parcel label specification 2.4.1; GS1 General Specifications (SSCC).
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from streams.keys import split_parcel_key

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_S10_WEIGHTS: Final = (8, 6, 4, 2, 3, 5, 9, 7)
_POSTS: Final = (
    *("an_post", "canada_post", "colissimo", "correos_es", "dhl", "dhl_parcel_de", "la_poste", "postnl"),
    *("postnord", "royal_mail", "ukrposhta", "usps"),
)
"""Carriers whose numbers of the form AA999999999AA are S10 identifiers."""


class _Kind(NamedTuple):
    """Numbers of one form. `holds`: of the groups of the pattern, serial number and check digit."""

    name: str
    pattern: re.Pattern[str]
    holds: Callable[[str, str], bool]


def doubt_of(carrier: str, number: str) -> str:
    """Return the kind of number whose check digit this one fails; "" when it holds, or nobody can tell.

    `carrier` and `number` as in a parcel's key.
    """
    failed = ""
    for kind in _KINDS.get(carrier, ()):
        found = kind.pattern.fullmatch(number)
        if found is not None:
            if kind.holds(found["serial"], found["check"]):
                return ""
            failed = kind.name
    return failed


def doubts_of(parcels: Iterable[str]) -> list[str]:
    """Return a sentence for each of the parcels (keys) whose number fails its check digit."""
    told = ((parcel, doubt_of(*split_parcel_key(parcel))) for parcel in parcels)
    return [
        f"{parcel} fails its check digit ({kind}): mistyped, or no number of this carrier"
        for parcel, kind in told
        if kind
    ]


def _mod_10(even: int, odd: int, *, from_the_right: bool = False) -> Callable[[str, str], bool]:
    """The sum of the digits, each times `even` or `odd` by its place; letters count as their place in ASCII less 3."""

    def holds(serial: str, check: str) -> bool:
        total = 0
        for place, letter in enumerate(reversed(serial) if from_the_right else serial):
            value = int(letter) if letter.isdecimal() else (ord(letter) - 3) % 10
            total += value * (odd if place % 2 else even)
        return -total % 10 == int(check)

    return holds


def _mod_7(serial: str, check: str) -> bool:
    return int(serial) % 7 == int(check)


def _mod_11_10(serial: str, check: str) -> bool:
    """FedEx Express: weights 1, 3, 7 from the right; a rest of 10 is 0."""
    weights = (1, 3, 7) * 5
    total = sum(int(digit) * weight for digit, weight in zip(reversed(serial), weights, strict=False))
    return total % 11 % 10 == int(check)


def _s10(serial: str, check: str) -> bool:
    rest = 11 - sum(int(digit) * weight for digit, weight in zip(serial, _S10_WEIGHTS, strict=True)) % 11
    return {10: 0, 11: 5}.get(rest, rest) == int(check)


def _mod_37_36(serial: str, check: str) -> bool:
    """ISO 7064, over digits and letters."""
    product = 36
    for letter in serial:
        total = (_ALPHABET.index(letter) + product) % 36 or 36
        product = total * 2 % 37
    return (37 - product) % 36 == _ALPHABET.index(check)


def _kind(name: str, pattern: str, holds: Callable[[str, str], bool]) -> _Kind:
    return _Kind(name, re.compile(pattern, re.ASCII), holds)


_GS1 = _mod_10(3, 1, from_the_right=True)
_S10 = _kind("S10 (UPU)", r"[A-Z]{2}(?P<serial>\d{8})(?P<check>\d)[A-Z]{2}", _s10)
_OF_CARRIERS: Final[dict[str, tuple[_Kind, ...]]] = {
    "ups": (_kind("UPS 1Z", r"1Z(?P<serial>[A-Z0-9]{15})(?P<check>\d)", _mod_10(1, 2)),),
    "fedex": (
        _kind("FedEx Express, 12 digits", r"(?P<serial>\d{11})(?P<check>\d)", _mod_11_10),
        _kind("FedEx Ground, 15 digits", r"(?P<serial>\d{14})(?P<check>\d)", _mod_10(1, 3)),
        _kind("FedEx Ground SSCC", r"(?:00)?(?P<serial>\d{17})(?P<check>\d)", _GS1),
        _kind("FedEx Ground 96, 22 digits", r"96\d{5}(?P<serial>\d{14})(?P<check>\d)", _mod_10(1, 3)),
        _kind("FedEx, 34 digits", r"(?:[0-8]\d{19}|9\d{19})(?P<serial>\d{13})(?P<check>\d)", _mod_11_10),
    ),
    "usps": (
        _kind("USPS, 20 digits", r"(?P<serial>\d{19})(?P<check>\d)", _GS1),
        _kind(
            "USPS, 20 digits",
            r"(?P<serial>\d{19})(?P<check>\d)",
            lambda serial, check: _GS1(f"91{serial}", check),
        ),
        _kind("USPS IMpb", r"(?P<serial>9[1-5]\d{19})(?P<check>\d)", _GS1),
        _kind("USPS IMpb", r"(?P<serial>9[2-5]\d{23})(?P<check>\d)", _GS1),
    ),
    "dhl_express": (_kind("DHL Express, 10 digits", r"(?P<serial>\d{9})(?P<check>\d)", _mod_7),),
    "dhl_parcel_de": (_kind("SSCC", r"00(?P<serial>\d{17})(?P<check>\d)", _GS1),),
    "dpd": (
        _kind("DPD, 14 digits and check", r"(?P<serial>\d{14})(?P<check>[0-9A-Z])", _mod_37_36),
        _kind("DPD, 27 digits and check", r"(?P<serial>\d{27})(?P<check>[0-9A-Z])", _mod_37_36),
    ),
    "canada_post": (_kind("Canada Post, 16 digits", r"(?P<serial>\d{15})(?P<check>\d)", _mod_10(3, 1)),),
}
_KINDS: Final[dict[str, tuple[_Kind, ...]]] = _OF_CARRIERS | {
    carrier: (*_OF_CARRIERS.get(carrier, ()), _S10) for carrier in _POSTS
}
"""Carrier -> the kinds of its numbers. A number is fine when one of the kinds that it may be holds."""
