"""Where one return is, as the customer-facing side is told (topic `journeys`); not the journeys of a parcel's number.

A journey is a function of the return's state and of the policy; of the time only that a date which has passed is said no more:
a look is asked for then (`Told.until_ms`). So a look that finds nothing new says nothing, and facts in any order lead to the same
last record but for its number, the last scans and when it took effect. A record is made only when the digest of what it would say
is not the one of what was last said. A scan between two milestones is not in it.

Told of: every return, asked for or not, of which a milestone is known, a decision about the refund, a cancellation or a voided
label. A label of which only the return has heard so far is told with its parcel's first report.

Revisions go up by one, and begin with the time of the newest that is known: a return that was forgotten and is heard of again
goes on above its old ones, for what was older than them is refused.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from schemas.return_journeys import MOST_CASES_TOLD, journey_event_id
from schemas.vocabulary import Resolution, RuleId
from streams import journey_writing as writing
from streams.cases import STANDING, Telling
from streams.findings import Findings
from streams.journey_message import Message, message_of
from streams.journey_outlook import GONE, NOBODY_KNOWS, Estimate, Next, estimate, legs, next_step
from streams.journey_progress import Progress, progress
from streams.return_view import ReturnView
from streams.returns import CaseRecord, ReturnState, SignalRecord
from streams.rules.promises import promised_ms
from streams.watermark import Outgoing

TOPIC = "journeys"
HARMLESS = frozenset(
    {
        RuleId.CHECKED_IN_NOT_DELIVERED,
        RuleId.LATE_RESTOCK,
        RuleId.REFUND_PROMISE_AT_RISK,
        RuleId.REFUND_PROMISE_BROKEN,
        RuleId.STATUTORY_REFUND_DEADLINE,
        RuleId.REFUNDED_NOT_RETURNED,
        RuleId.REFUND_NOT_SETTLED,
    }
)
"""Cases of these do not say that the goods or the decision come later than their budgets say."""


class Told(NamedTuple):
    """What is to be said of the journey now, and until when what is said is so, if nothing happens (0: for ever)."""

    outgoing: Sequence[Outgoing] = ()
    until_ms: int = 0


NOTHING = Told()


def told(view: ReturnView, telling: Telling, now_ms: int, found: Findings | None) -> Told:
    """Bring what was told of the journey up to date; `telling.state` remembers it. `found`: None, if no rule was asked."""
    state = telling.state
    if not telling.policy.tells_journeys:
        return _told_no_more(telling)
    if not state.journey_digest and state.newest_ms <= now_ms - telling.policy.accept_age_ms:
        return NOTHING  # an old history sent again after the return was forgotten
    come = progress(view, state.carried)
    if come is None:
        return _told_no_more(telling)
    standing = _standing(state) if state.cases else []
    outlook = _outlook(view, come, found, standing, now_ms, state.signals)
    body = (
        writing.first_part(come.stage, come.status, come.reached),
        writing.parcels(come.parcels),
        writing.middle_part(
            writing.next_step(outlook.ahead),
            writing.refund(
                _promised_ms(view),
                outlook.expected,
                come.paid,
                released=bool(state.signals) and _released(state),
            ),
            writing.open_cases(
                telling.return_id, [_case(telling, one) for one in standing[:MOST_CASES_TOLD]]
            ),
            len(standing),
        ),
        writing.message(outlook.message),
    )
    digest = writing.digest(body)
    if digest == state.journey_digest:
        return Told((), outlook.until_ms)
    state.journey_digest = digest
    state.journey_revision = (state.journey_revision or state.newest_ms) + 1
    effective_ms = _newest_ms(state)
    return_id, revision = telling.return_id, state.journey_revision
    value = writing.record(return_id, revision, body, outlook.message, effective_ms, telling.policy.hash)
    headers = writing.headers(return_id, journey_event_id(return_id, revision, digest), effective_ms)
    said = Outgoing(TOPIC, return_id.encode(), value, headers, telling.partition)
    return Told((said,), outlook.until_ms)


def _told_no_more(telling: Telling) -> Told:
    """The policy has switched journeys off, or all that was known was taken back."""
    if not telling.state.journey_digest:
        return NOTHING
    telling.state.journey_digest = 0
    return Told((forgotten(telling),))


def forgotten(telling: Telling) -> Outgoing:
    """Takes the journey out of the compacted topic."""
    return Outgoing(TOPIC, telling.return_id.encode(), None, [], telling.partition)


# -- what there is to say -----------------------------------------------------------------------------------------


class _Outlook(NamedTuple):
    ahead: Next | None
    expected: Estimate
    message: Message
    until_ms: int


def _outlook(
    view: ReturnView,
    come: Progress,
    found: Findings | None,
    standing: list[CaseRecord],
    now_ms: int,
    signals: Sequence[SignalRecord],
) -> _Outlook:
    awaited = found.awaited if found is not None else {}
    on_the_way = legs(view, come, awaited)
    troubles = _troubles(standing, come)
    gone = {parcel: rule for rule in troubles.keys() & GONE for parcel in troubles[rule]}
    ahead = next_step(view, come, on_the_way, awaited, gone)
    late = not troubles.keys() <= HARMLESS
    expected = NOBODY_KNOWS if late else estimate(view, come, on_the_way, awaited, now_ms, signals)
    message = message_of(view, come, ahead, on_the_way, troubles, now_ms)
    until_ms = expected.until_ms or message.until_ms
    return _Outlook(ahead, expected, message, min(until_ms, message.until_ms or until_ms))


_NO_TROUBLES: Mapping[str, set[str]] = MappingProxyType({})


def _troubles(standing: Sequence[CaseRecord], come: Progress) -> Mapping[str, set[str]]:
    """Rule -> the parcels of which it has an open case, or will have as soon as what the carrier reported has settled."""
    astray = come.astray
    if not standing and not astray:
        return _NO_TROUBLES
    troubles: dict[str, set[str]] = {}
    for rule, parcel in (
        *((case.rule, case.parcel) for case in standing),
        *((r, p) for p, r in astray.items()),
    ):
        troubles.setdefault(rule, set()).add(parcel)
    return troubles


def _standing(state: ReturnState) -> list[CaseRecord]:
    """The open cases, the one that has been due longest first."""
    cases = [case for case in state.cases if case.state in STANDING]
    return sorted(cases, key=lambda case: (case.due_ms, case.rule, case.parcel, case.anchor))


def _case(telling: Telling, case: CaseRecord) -> writing.Open:
    severity = telling.policy.severity(RuleId(case.rule), case.level, disputed=case.disputed)
    return case.rule, case.parcel, case.anchor, severity.value, case.since_ms, case.due_ms


def _released(state: ReturnState) -> bool:
    return any(not record.revoked for record in state.signals)


def _promised_ms(view: ReturnView) -> int:
    request = view.request
    if request is None or view.terms.resolution == Resolution.EXCHANGE:
        return 0
    return promised_ms(request, view.deadline(RuleId.REFUND_PROMISE_BROKEN))


def _newest_ms(state: ReturnState) -> int:
    """When the newest of what is known now happened; scans between milestones are not counted."""
    times = [state.facts[-1].at_ms if state.facts else 0, state.marked_ms]
    times += [case.effective_ms for case in state.cases]
    for one in state.carried:
        times += (one.label_ms, one.first_scan_ms, one.delivered_ms, one.checked_in_ms)
    return max(times)
