"""Keys of the internal topics, and the partition that a key belongs to.

A tracking number arrives with spaces, dashes, dots and in lower case, depending on who typed it; all of these are one parcel.
So is the bar code of a USPS label, which has 420 and a ZIP code before the number.
"""

import re
from zlib import crc32

HIDDEN = "\x02"
"""Begins the hidden names of what was forgotten (streams/forgetting.py); no parcel and no return has a name like that."""
_NOISE = str.maketrans("", "", " -.\t\u00a0\u2010\u2011\u2013")

_USPS = "usps"
_ROUTED = "420"
_USPS_BAR_CODE = re.compile(r"420[0-9]{5}(?:[0-9]{4})?(9[1-5][0-9]{20}|9[2-5][0-9]{24})")


def parcel_key(carrier: str, tracking_number: str) -> str:
    """Key of a parcel: `carrier:NUMBER`, lower-case carrier, upper-case number without spaces, dashes, dots."""
    if not tracking_number.isalnum():
        tracking_number = tracking_number.translate(_NOISE)
    if tracking_number.startswith(_ROUTED):
        tracking_number = _without_routing(carrier, tracking_number)
    return f"{carrier.strip().lower()}:{tracking_number.upper()}"


def _without_routing(carrier: str, number: str) -> str:
    """The number in a USPS bar code of 420, a ZIP code of 5 or 9 digits, and 22 or 26 digits that begin with 9."""
    found = _USPS_BAR_CODE.fullmatch(number) if carrier.strip().lower() == _USPS else None
    return number if found is None else found[1]


def split_parcel_key(key: str) -> tuple[str, str]:
    """The (carrier, tracking number) of a parcel key."""
    carrier, _, number = key.partition(":")
    return carrier, number


FEED = "feed"
"""In the place of a carrier: what follows is no tracking number, but the name of a feed."""


def feed_subject(name: str) -> str:
    """What the cases of a feed are about, written like a parcel."""
    return parcel_key(FEED, name)


def feed_named(subject: str) -> str:
    """The feed that a subject names; "" when it names a parcel."""
    carrier, name = split_parcel_key(subject)
    return name.lower() if carrier == FEED else ""


def partition_of(key: bytes, count: int) -> int:
    """Partition of a key among `count`, on every internal topic. Never changed: it decides where state lives."""
    return crc32(key) % count
