"""What is expected of whoever pays: the rules under "the money" in the policy."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from schemas.policy import Statute, StatuteStart
from schemas.vocabulary import Milestone, Reason, RuleId
from simulation.expectation import End, Expectation
from simulation.ledger import ParcelNews, ReturnNews
from simulation.return_story import ReturnStory
from simulation.terms import Terms

_PAID_OR_OFF: Final = (
    Milestone.REFUND_ISSUED,
    Milestone.REFUND_REFUSED,
    Milestone.REPLACEMENT_SENT,
    Milestone.RETURN_CANCELLED,
)
"""After these nobody waits for a refund."""


def late_refund_decision(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """When all goods are inspected they wait for a decision."""
    rule, inspected = RuleId.LATE_REFUND_DECISION, story.wholly_inspected
    if inspected is not None:
        ends = story.ends(Milestone.REFUND_APPROVED, *_PAID_OR_OFF)
        yield _of_return(rule, inspected, terms.due(rule, inspected, story.route), ends)


def late_refund(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """An approved refund waits for its payment; refused after all, or replaced, it is none."""
    rule, refusals = RuleId.LATE_REFUND, [news.at for news in story.news(Milestone.REFUND_REFUSED)]
    waited_for: list[ReturnNews] = []
    for approved in story.news(Milestone.REFUND_APPROVED):
        if waited_for and not any(waited_for[-1].at <= refused < approved.at for refused in refusals):
            continue
        ends = [
            *story.ends(Milestone.REFUND_ISSUED, Milestone.REPLACEMENT_SENT),
            *story.ends(Milestone.REFUND_REFUSED, since=approved.at),
        ]
        due = terms.due(rule, approved, story.route)
        anchor = approved.identity if waited_for else ""
        yield Expectation(rule, "", anchor, approved.at, due, tuple(ends))
        waited_for.append(approved)


def _of_return(rule: RuleId, start: ReturnNews, due: datetime, ends: list[End]) -> Expectation:
    return Expectation(rule, "", "", start.at, due, tuple(ends))


# ---- what was promised, and what the law says -------------------------------------------------------------


def refund_promise_broken(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """A request waits for its refund until the time that was promised."""
    rule, request = RuleId.REFUND_PROMISE_BROKEN, story.request
    promised = _promised(story, terms)
    if request is not None and promised is not None:
        due = max(promised, request.appended_at + terms.settle)
        yield _of_return(rule, request, due, story.ends(*_PAID_OR_OFF))


def refund_promise_at_risk(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """Much of that time has passed."""
    rule, request = RuleId.REFUND_PROMISE_AT_RISK, story.request
    promised = _promised(story, terms)
    if request is not None and promised is not None:
        millisecond = timedelta(milliseconds=1)
        wait_ms = (promised - request.at) // millisecond
        warned = request.at + wait_ms * terms.policy.promise_warning_percent // 100 * millisecond
        due = max(warned, request.appended_at + terms.settle)
        yield _of_return(rule, request, due, story.ends(*_PAID_OR_OFF))


def _promised(story: ReturnStory, terms: Terms) -> datetime | None:
    """Until when a refund was promised, by the request or else by the policy; None for an exchange."""
    request, rule = story.request, RuleId.REFUND_PROMISE_BROKEN
    if request is None or request.resolution == "exchange":
        return None
    if request.promised_at is not None:
        return request.promised_at
    return terms.used_up(rule, request.at, story.route) if rule in terms.policy.rules else None


def statutory_refund_deadline(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """The law's own deadline, once there is proof that the goods were sent."""
    rule, request = RuleId.STATUTORY_REFUND_DEADLINE, story.request
    if request is None or not request.withdrawal:
        return
    law, proof = terms.statute(request.country), _proof_of_dispatch(story)
    if law is not None and proof is not None:
        proven_at, appended_at = proof
        read_at = max(request.appended_at, appended_at)
        due = max(_by_law(law, request.at, proven_at), read_at + terms.settle)
        yield _of_return(rule, request, due, story.ends(*_PAID_OR_OFF))


def _by_law(law: Statute, notice: datetime, proof: datetime) -> datetime:
    days = timedelta(days=law.days)
    return max(notice + days, proof) if law.counts_from is StatuteStart.NOTICE else proof + days


def _proof_of_dispatch(story: ReturnStory) -> tuple[datetime, datetime] | None:
    """The earliest proof that the goods were sent: when it happened, and when it was appended."""
    parcels = story.goods.values()
    scanned = [parcel.scans[0] for parcel in parcels if parcel.scans]
    at_the_dock = [parcel.checked_in for parcel in parcels if parcel.checked_in is not None]
    by_number = story.news(Milestone.CHECKED_IN)[:1]
    proofs: list[ParcelNews | ReturnNews] = [*scanned, *at_the_dock, *by_number]
    return min(((news.at, news.appended_at) for news in proofs), default=None)


# ---- after the decision -----------------------------------------------------------------------------------


def refund_failed(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """A payment that came back: a case at once, until it is made again."""
    rule = RuleId.REFUND_FAILED
    repairs = story.news(Milestone.REFUND_ISSUED, Milestone.REFUND_SETTLED, Milestone.REPLACEMENT_SENT)
    for failed in story.news(Milestone.REFUND_FAILED):
        ends = tuple((news.at, Reason[news.milestone.name]) for news in repairs if news.at > failed.at)
        due = terms.due(rule, failed, story.route)
        yield Expectation(rule, "", failed.identity, failed.at, due, ends)


def refund_not_settled(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """The payment provider answers each payment: the first with the first answer, and so on."""
    rule = RuleId.REFUND_NOT_SETTLED
    paid = story.first(Milestone.REFUND_ISSUED)
    words = story.news(Milestone.REFUND_SETTLED, Milestone.REFUND_FAILED)
    answers = [] if paid is None else [news for news in words if news.at >= paid.at]
    for position, issued in enumerate(story.news(Milestone.REFUND_ISSUED)):
        ends = tuple((news.at, Reason[news.milestone.name]) for news in answers[position:][:1])
        due = terms.due(rule, issued, story.route)
        yield Expectation(rule, "", issued.identity, issued.at, due, ends)


def refunded_not_returned(story: ReturnStory, terms: Terms) -> Iterator[Expectation]:
    """Paid before the goods came: they should follow, every parcel of them."""
    rule, issued = RuleId.REFUNDED_NOT_RETURNED, story.first(Milestone.REFUND_ISSUED)
    if issued is None or story.in_store:
        return
    inspections = story.news(Milestone.INSPECTED)
    if not story.goods:
        ends = (*story.checked_in_by_number, *((news.at, Reason.INSPECTED) for news in inspections))
        yield _of_return(rule, issued, terms.due(rule, issued, story.route), list(ends))
    for name, parcel in story.goods.items():
        came: list[End] = []
        if parcel.checked_in is not None:
            came.append((parcel.checked_in.at, Reason.CHECKED_IN))
        if name in story.received:
            came.append((story.received[name].at, Reason.CHECKED_IN_BY_RETURN))
        looked_at = [i for i in inspections if not i.parcels or name in i.parcels]
        ends = (*came, *((news.at, Reason.INSPECTED) for news in looked_at))
        due = terms.due(rule, issued, story.route_of(parcel))
        yield Expectation(rule, name, "", issued.at, due, ends)
