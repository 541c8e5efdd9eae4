"""What `returnwatch explain --json` prints: why a rule fired for a return or a parcel, or why not.

Within v1 fields are only added. Times are UTC; text that is not known is "", what does not apply is null.
"""

from datetime import date
from enum import StrEnum

import msgspec

from schemas.outputs import EvidenceSource, Time
from schemas.vocabulary import Reason, RuleId


class Verdict(StrEnum):
    """What a rule says about one thing that it waits for."""

    WAITING = "waiting"
    """Not due yet."""
    IN_TIME = "in_time"
    """It came in time: nothing was ever said of it."""
    OPEN = "open"
    """Due, and not come yet."""
    RESOLVED = "resolved"
    """It came, or what was waited for no longer matters; too late."""
    RETRACTED = "retracted"
    """A case was told, and taken back: there was nothing wrong."""
    EXPLAINED = "explained"
    """Due, but another case about the same cause stands in its place."""
    HELD_BACK = "held_back"
    """The parcel is silent, not stuck: looked at again when it is scanned."""
    FEED_SILENT = "feed_silent"
    """Due, and not told yet: the feed that it waits for is silent, or its backlog is still coming in."""


class ExplainedFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the timeline."""

    at: Time
    """When it happened."""
    arrived_at: Time
    """When it was read."""
    milestone: str
    evidence: str = ""
    """Who saw it, of facts about a parcel."""
    parcel: str = ""
    details: str = ""
    time_quality: str = ""
    """How much `at` can be trusted; "" when it came with its offset."""
    retracted: bool = False
    """Taken back: no rule counts it."""
    source: EvidenceSource


class DayNotCounted(msgspec.Struct, frozen=True, kw_only=True):
    """A day that a clock of business days leaves out."""

    day: date
    why: str
    """`weekend`, or the holiday's name."""


class ClockPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that makes a deadline later than its budget."""

    why: str
    """allowance, carrier_closed, settle, customs_hold, available_for_pickup, scanned_again or proof."""
    more_ms: int
    from_at: Time | None = None
    """When a hold or a closure began."""
    details: str = ""
    """Why the carrier was closed, and where it announced it."""


class ExplainedClock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a deadline came about: `used_up_at`, and every `more_ms` on top, is `due_at`."""

    budget: str = ""
    """As the policy writes it; "": due at once."""
    chosen_by: str = ""
    """The part of the policy that gives the budget."""
    counts_from_at: Time
    facility: str = ""
    time_zone: str = ""
    """Of a clock of business days."""
    moved: str = ""
    """Why it does not count from the start itself: before_opening, after_cut_off or no_working_day."""
    counted: tuple[date, ...] = ()
    not_counted: tuple[DayNotCounted, ...] = ()
    used_up_at: Time
    later: tuple[ClockPart, ...] = ()
    due_at: Time


class ExplainedStop(msgspec.Struct, frozen=True, kw_only=True):
    """What ended a waiting, in time or not."""

    reason: Reason
    at: Time
    source: EvidenceSource | None = None


class ExplainedCase(msgspec.Struct, frozen=True, kw_only=True):
    """The case as it was last said. `revision` 0: only counted, never said."""

    case_id: str
    revision: int
    state: str
    """A state of a case, or `counted` or `suppressed`."""
    reason: Reason
    level: int
    effective_at: Time
    explanation: str
    historical: bool = False


class ExplainedWait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a rule waits or waited for."""

    rule: RuleId
    parcel: str = ""
    """"" for what is waited for of the whole return."""
    verdict: Verdict
    started_by: str = ""
    """Milestone."""
    since_at: Time
    due_at: Time
    """As its case says it; later than the clock's where another case stood in its place before."""
    clock: ExplainedClock | None = None
    """null for a case of which nothing is waited for any more."""
    stop: ExplainedStop | None = None
    closed_by: tuple[str, ...] = ()
    """What would end it now, tried out on the rule itself."""
    explained_by: tuple[RuleId, ...] = ()
    evidence: tuple[EvidenceSource, ...] = ()
    case: ExplainedCase | None = None
    held_for: str = ""
    """Of what is held: the feed that it waits for."""


class NotStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that waits for nothing here."""

    rule: RuleId
    switched_off: bool = False
    started_by: tuple[str, ...] = ()
    """What would start it now, tried out on the rule itself; (): nothing that could come next."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one return, or about a parcel that no return is known of."""

    return_id: str
    parcels: tuple[str, ...]
    forgotten: tuple[str, ...]
    """Parcels that the return knows of, and of which nothing is kept (any more)."""
    watermark_at: Time
    """The log's time: what is due later is not late yet."""
    policy_hash: str
    truncated: bool
    """More was told than is kept: the timeline has gaps."""
    timeline: tuple[ExplainedFact, ...]
    waits: tuple[ExplainedWait, ...]
    """By rule, parcel and start."""
    not_started: tuple[NotStarted, ...]


encode_explanation = msgspec.json.Encoder(order="deterministic").encode
decode_explanation = msgspec.json.Decoder(Explanation).decode
