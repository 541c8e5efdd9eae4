"""Who an event is: a 48-bit number that a repeat of the event has too.

By the producer's id where there is one, else by the content without its free text, with the time as it was written
(before any clamping). An event's type is part of it, so a producer that numbers each kind of event by itself, or
puts the return's number in every id, does not make two events one. 48 bits: among the 64 facts of one parcel two
meet by chance once in 10^11 parcels.
"""

from hashlib import blake2b

_SEPARATOR = "\x1f"
"""Ids and codes hold no control characters, so joined fields cannot be read in two ways."""


def identity_of_id(namespace: str, event_type: str, event_id: str) -> int:
    """Return the identity of an event by its producer's id, which is unique within `namespace`.

    The namespace is the CloudEvents source, or the kind of input topic. Never 0: that stands for "none".
    """
    return _hash(f"id{_SEPARATOR}{namespace}{_SEPARATOR}{event_type}{_SEPARATOR}{event_id}")


def identity_of_content(event_type: str, *content: str) -> int:
    """Return the identity of an event that has no id, by what it says. Never 0."""
    return _hash(f"content{_SEPARATOR}{event_type}{_SEPARATOR}{_SEPARATOR.join(content)}")


def _hash(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") or 1
