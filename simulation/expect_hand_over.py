"""What is expected until the carrier has the parcel: the rules under "handing over" in the policy, and `late_label`."""

from collections.abc import Iterator

from schemas.vocabulary import Milestone, Reason, RuleId
from simulation.expectation import End, Expectation
from simulation.ledger import ReturnNews
from simulation.parcel_story import ParcelStory, runs
from simulation.return_story import ReturnStory
from simulation.terms import Terms


def missing_first_scan(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A label waits for the first physical scan; a carrier that gave up explains why there is none."""
    yield from _first_scan_within(RuleId.MISSING_FIRST_SCAN, story, terms)


def label_expired_unused(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """The same, with much more patience."""
    yield from _first_scan_within(RuleId.LABEL_EXPIRED_UNUSED, story, terms)


def _first_scan_within(rule: RuleId, story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    assert story.label is not None
    due = terms.due(rule, story.label, story.route)
    yield Expectation(
        rule, story.parcel, "", story.label.at, due, (*_first_scan(story), *story.over_since(story.label.at))
    )


def _first_scan(story: ParcelStory) -> list[End]:
    return [(scan.at, Reason.FIRST_SCAN) for scan in story.scans[:1]]


def pickup_failed(story: ParcelStory, terms: Terms) -> Iterator[Expectation]:
    """A pickup that failed waits for whoever has the parcel next."""
    rule = RuleId.PICKUP_FAILED
    failures = story.news(Milestone.PICKUP_FAILED)
    for first, ended, _ in runs(failures, story.scans, story.found_after, or_at_once=True):
        ends = story.over_since(first.at)
        if ended is not None:
            was_first = ended is story.scans[0]
            ends.append((ended.at, Reason.FIRST_SCAN if was_first else Reason.PROGRESS))
        due = terms.due(rule, first, story.route)
        yield Expectation(rule, story.parcel, first.identity, first.at, due, tuple(ends))


def dropoff_claim_unconfirmed(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """Somebody says that it was handed over: the carrier should know."""
    rule = RuleId.DROPOFF_CLAIM_UNCONFIRMED
    claims: dict[str, ReturnNews] = {}
    for claim in story.news(Milestone.DROPOFF_CLAIMED):
        subject = claim.parcels[0] if claim.parcels else ""
        if not subject:
            there = [
                name for name, p in story.linked.items() if p.label is not None and p.label.at <= claim.at
            ]
            could_be = there or list(story.linked)
            subject = could_be[0] if len(could_be) == 1 else ""
        if subject in story.linked or (not subject and story.linked):
            claims.setdefault(subject, claim)
    for subject, claim in claims.items():
        parcels = [story.linked[subject]] if subject else list(story.linked.values())
        route = story.route_of(parcels[0]) if subject else story.route
        scanned = [end for parcel in parcels for end in _first_scan(parcel)]
        at_the_dock = [(p.checked_in.at, Reason.CHECKED_IN) for p in parcels if p.checked_in is not None]
        by_number = story.checked_in_by_number
        if subject:
            received = story.received.get(subject)
            by_number = [] if received is None else [(received.at, Reason.CHECKED_IN_BY_RETURN)]
        ends = (*scanned, *at_the_dock, *by_number, *story.ends(Milestone.RETURN_CANCELLED))
        yield Expectation(rule, subject, "claim", claim.at, terms.due(rule, claim, route), ends)


def late_label(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """An approved return waits for its label, unless the goods come back to a shop or have come already."""
    rule, approved = RuleId.LATE_LABEL, story.first(Milestone.RETURN_APPROVED)
    if approved is None or story.in_store:
        return
    labelled: list[End] = [] if story.labelled_at is None else [(story.labelled_at, Reason.LABEL_CREATED)]
    otherwise = story.ends(
        Milestone.RETURN_CANCELLED,
        Milestone.INSPECTED,
        Milestone.REFUND_APPROVED,
        Milestone.REFUND_REFUSED,
        Milestone.REFUND_ISSUED,
        Milestone.REPLACEMENT_SENT,
    )
    ends = (*labelled, *story.checked_in_by_number, *otherwise)
    yield Expectation(rule, "", "", approved.at, terms.due(rule, approved, story.route_of(None)), ends)
