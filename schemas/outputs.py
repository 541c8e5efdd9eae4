"""What the outside receives: the values and headers of `escalations`, `cases` and `refund-signals`.

Values are JSON, headers are CloudEvents 1.0 in binary mode. The same change encodes to the same bytes
wherever and whenever it is said, so a repeat after a crash is the same record with the same `ce_id`. Within
v1 fields are only added, never renamed, removed or given another meaning (docs/contracts.md).
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.vocabulary import CaseState, Closure, Reason, Resolution, Risk, RuleId, SignalReason

CE_SOURCE = "/returnwatch"
"""Default `ce_source`: a URI reference that names this product, not a machine."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UPDATED = "com.returnwatch.case.updated.v1"
"""A change that leaves the state as it was, as when a dispute makes the case matter more, or somebody acknowledges it."""
_CE_TYPES = {
    CaseState.OPEN: "com.returnwatch.case.opened.v1",
    CaseState.ESCALATED: "com.returnwatch.case.escalated.v1",
    CaseState.RESOLVED: "com.returnwatch.case.resolved.v1",
    CaseState.RETRACTED: "com.returnwatch.case.retracted.v1",
}


Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Severity(StrEnum):
    """How much a case matters; the words of PagerDuty's Events API."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def raised(self) -> "Severity":
        """One step more; critical stays."""
        steps = tuple(Severity)
        return steps[min(steps.index(self) + 1, len(steps) - 1)]


class Money(msgspec.Struct, frozen=True):
    """An amount in the currency's minor unit (cents, for EUR). Currency: ISO 4217, upper case."""

    amount_minor: int
    currency: str


class EvidenceSource(msgspec.Struct, frozen=True):
    """Coordinates of an input record that the change rests on."""

    topic: str
    partition: int
    offset: int


class FeedTold(msgspec.Struct, frozen=True):
    """What a case about a feed knows of it, while something was the matter with it."""

    name: str
    """A carrier, or one of `orders`, `labels`, `warehouse`."""
    expected: int = 0
    """How many arrivals were to be expected; of a share, how many arrivals it is a share of."""
    seen: int = 0
    """How many came: of a silence until its backlog was in; of a share, those that had something the matter."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Value of `cases` (key: case id, compacted): the current truth about one case.

    Text that is not known is "", an amount that is not known is null. Times are UTC.
    """

    case_id: str
    """uuid5 of rule, subject and anchor: the same case has the same id in every run and replay."""
    revision: int
    """1 when the case opens, then one more for each change. The highest revision is the truth."""
    rule: RuleId
    state: CaseState
    reason: Reason
    """Why the newest change happened."""
    level: int
    """1 when opened, then as the policy's levels say."""
    severity: Severity
    action: str
    """What the policy recommends to do, for example "open a carrier trace"."""
    return_id: str
    parcel: str = ""
    """Parcel key `carrier:NUMBER`; "" for a case about the whole return."""
    carrier: str = ""
    tracking_number: str = ""
    origin: str = ""
    """ISO 3166-1 alpha-2 country that the parcel starts from."""
    destination: str = ""
    facility: str = ""
    """Facility id of the warehouse that waits for it."""
    value: Money | None = None
    since_at: Time
    """When the waiting began: the event that started the expectation."""
    due_at: Time
    """When it should have happened."""
    effective_at: Time
    """When this change took effect, by the log's clock: the same in every run."""
    historical: bool = False
    """Due before the go-live time: known, but nobody is paged."""
    policy_hash: str = ""
    """The policy that decided it."""
    evidence: tuple[EvidenceSource, ...] = ()
    explanation: str = ""
    """One English sentence for a person."""
    acknowledged_by: str = ""
    """Opaque id of who looks at it; it goes up no further (docs/commands.md)."""
    acknowledged_at: Time | None = None
    snoozed_by: str = ""
    snoozed_until: Time | None = None
    """It goes up no further before this time."""
    assigned_to: str = ""
    resolved_by: str = ""
    """Only with the reason `by_hand`."""
    closure: Closure | None = None
    """Why it was resolved by hand."""
    delayed_by_feed: bool = False
    """Due while the feed that it waits for was silent, and told when that was over (docs/feeds.md)."""
    feed: FeedTold | None = None
    """Of a case about a feed; it then has no return and no parcel."""


class RefundAction(StrEnum):
    """What a refund signal says. REVOKE takes the release of the same signal back."""

    RELEASE = "release"
    REVOKE = "revoke"


class RefundSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Value of `refund-signals` (key: return id): the goods have come far enough for a refund, or it turned out that not.

    A signal is released, and revoked at most once, by revisions 1 and 2; only when a request is amended is it released again,
    by the next revision. Times are UTC; text that is not known is "".
    """

    signal_id: str
    """uuid5 of return and tier: the same signal has the same id in every run and replay."""
    revision: int
    """Counts up from 1: odd ones release, even ones revoke. The highest is the truth."""
    action: RefundAction
    reason: SignalReason
    return_id: str
    tier: str
    """The policy's `refund_tiers` entry that the return fits."""
    value: Money | None = None
    """As the request said; of a revocation: as it was released."""
    resolution: Resolution = Resolution.REFUND
    """What is released: money, or a credit in the shop. Never an exchange."""
    customer_risk: Risk = Risk.NORMAL
    category: str = ""
    since_at: Time
    """When the goods had come as far as the tier asks; of a revocation: what contradicts it."""
    effective_at: Time
    """When the signal took effect, by the log's clock: the same in every run."""
    policy_hash: str = ""
    evidence: tuple[EvidenceSource, ...] = ()


class Escalation(Case, frozen=True, kw_only=True):
    """Value of `escalations` (key: return id): one change of one case, with what it was before."""

    previous_state: CaseState | None = None
    """null for the change that opened the case."""


_encode = msgspec.json.Encoder(order="deterministic").encode
decode_escalation = msgspec.json.Decoder(Escalation).decode
decode_case = msgspec.json.Decoder(Case).decode
decode_refund_signal = msgspec.json.Decoder(RefundSignal).decode


def utc(ms: int) -> datetime:
    """Return epoch milliseconds as an aware UTC datetime, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=ms)


def encode_escalation(escalation: Escalation) -> bytes:
    """Return the record value for `escalations`; equal changes give equal bytes."""
    return _encode(escalation)


def encode_case(escalation: Escalation) -> bytes:
    """Return the record value for `cases`: the case as it stands after this change."""
    return _encode(case_after(escalation))


def case_after(escalation: Escalation) -> Case:
    """Return the case as it stands after a change: everything but what it was before."""
    return Case(**{name: getattr(escalation, name) for name in Case.__struct_fields__})


def encode_refund_signal(signal: RefundSignal) -> bytes:
    """Return the record value for `refund-signals`; equal signals give equal bytes."""
    return _encode(signal)


def refund_signal_headers(signal: RefundSignal, source: str = CE_SOURCE) -> list[tuple[str, bytes]]:
    """Return the CloudEvents 1.0 binary-mode headers of a refund signal."""
    ce_type = (
        f"com.returnwatch.refund.{'released' if signal.action is RefundAction.RELEASE else 'revoked'}.v1"
    )
    return cloud_event_fields(
        f"{signal.signal_id}:{signal.revision}", ce_type, signal.return_id, signal.effective_at, source
    )


def is_update(escalation: Escalation) -> bool:
    """Whether a change leaves the state as it was; that a case goes up a level is no update."""
    return escalation.previous_state == escalation.state and escalation.reason != Reason.LEVEL


def escalation_id(case_id: str, revision: int) -> str:
    """Return the `ce_id` of a change: consumers drop what they have seen before by it."""
    return f"{case_id}:{revision}"


def cloud_event_headers(escalation: Case, source: str = CE_SOURCE) -> list[tuple[str, bytes]]:
    """Return the CloudEvents 1.0 binary-mode headers of a change, for both output topics.

    `ce_time` is the time the change took effect by the log's clock, so a repeat carries the same headers.
    """
    updated = isinstance(escalation, Escalation) and is_update(escalation)
    ce_type = _UPDATED if updated else _CE_TYPES[escalation.state]
    identity = escalation_id(escalation.case_id, escalation.revision)
    return cloud_event_fields(identity, ce_type, escalation.return_id, escalation.effective_at, source)


def cloud_event_fields(
    identity: str, ce_type: str, subject: str, effective_at: datetime, source: str
) -> list[tuple[str, bytes]]:
    """Return the headers of a CloudEvent 1.0 in binary mode, for a value in JSON."""
    fields = (
        ("ce_specversion", "1.0"),
        ("ce_id", identity),
        ("ce_type", ce_type),
        ("ce_source", source),
        ("ce_subject", subject),
        ("ce_time", effective_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")),
        ("content-type", "application/json"),
    )
    return [(name, value.encode()) for name, value in fields]
