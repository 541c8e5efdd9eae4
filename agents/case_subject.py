"""How a case names what it is about: a return, a parcel that no return is known of, or a feed."""

from schemas.outputs import Case
from streams.keys import FEED, feed_subject
from streams.parcel_look import OWN_KEY


def naming(case: Case) -> dict[str, str]:
    """The fields by which a command names it."""
    if case.return_id:
        return {"return_id": case.return_id}
    if case.feed is not None:
        return {"carrier": FEED, "tracking_number": case.feed.name}
    return {"carrier": case.carrier, "tracking_number": case.tracking_number}


def state_key(case: Case) -> bytes:
    """The key under which `returns` keeps the case; what is said of it is in the partition of that key."""
    own = feed_subject(case.feed.name) if case.feed is not None else case.parcel
    return (case.return_id or OWN_KEY + own).encode()


def parcel_or_feed(case: Case) -> str:
    """For a person."""
    return f"feed {case.feed.name}" if case.feed is not None else case.parcel
