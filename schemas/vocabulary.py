"""The words of Returnwatch: milestones, evidence, rules and reasons (docs/glossary.md).

Enum members carry small integers where they are packed into state; the integer of a member is never
changed or used again, because it lives in changelogs.
"""

from enum import IntEnum, StrEnum


class Milestone(IntEnum):
    """The canonical stage that a fact proves."""

    UNMAPPED = 0
    RETURN_REQUESTED = 1
    RETURN_APPROVED = 2
    RETURN_CANCELLED = 3
    LABEL_CREATED = 4
    LABEL_VOIDED = 5
    CARRIER_PREADVISED = 6
    DROPOFF_CLAIMED = 7
    PICKUP_SCHEDULED = 8
    PICKUP_FAILED = 9
    DROPPED_OFF = 10
    ACCEPTED = 11
    IN_TRANSIT = 12
    CUSTOMS_HOLD = 13
    OUT_FOR_DELIVERY = 14
    AVAILABLE_FOR_PICKUP = 15
    DELIVERY_ATTEMPTED = 16
    DELIVERY_EXCEPTION = 17
    MISROUTED = 18
    DELAYED = 19
    DELIVERED = 20
    DELIVERED_ELSEWHERE = 21
    RETURNED_TO_SENDER = 22
    LOST = 23
    DAMAGED = 24
    DISPOSED = 25
    CHECKED_IN = 26
    INSPECTED = 27
    RESTOCKED = 28
    REFUND_APPROVED = 29
    REFUND_REFUSED = 30
    REFUND_ISSUED = 31
    REFUND_SETTLED = 32
    REFUND_FAILED = 33
    REPLACEMENT_SENT = 34
    DISPUTE_OPENED = 35
    DISPUTE_CLOSED = 36


class Evidence(IntEnum):
    """Who saw it. Only AGENT_SCAN and CARRIER_SCAN satisfy a first scan; ANNOUNCED never stops a clock."""

    ANNOUNCED = 0
    CLAIMED = 1
    AGENT_SCAN = 2
    CARRIER_SCAN = 3
    CARRIER_INFERRED = 4
    WAREHOUSE_SCAN = 5
    SYSTEM = 6
    WAREHOUSE_MATCH = 7
    """A dock scan that the warehouse has matched with a return itself."""


class TimeQuality(IntEnum):
    """How much an event's time can be trusted."""

    OFFSET = 0
    DERIVED_FROM_PLACE = 1
    ASSUMED = 2
    DATE_ONLY = 3


class RuleId(StrEnum):
    """Stable for ever: part of case ids, metrics labels and policies."""

    MISSING_FIRST_SCAN = "missing_first_scan"
    DROPOFF_CLAIM_UNCONFIRMED = "dropoff_claim_unconfirmed"
    PICKUP_FAILED = "pickup_failed"
    LABEL_EXPIRED_UNUSED = "label_expired_unused"
    STALLED_SILENT = "stalled_silent"
    STALLED_NO_PROGRESS = "stalled_no_progress"
    TRANSIT_OVERDUE = "transit_overdue"
    MISROUTED = "misrouted"
    DELIVERY_FAILED = "delivery_failed"
    PICKUP_POINT_EXPIRING = "pickup_point_expiring"
    RETURNED_TO_CUSTOMER = "returned_to_customer"
    CARRIER_REPORTED_LOST = "carrier_reported_lost"
    CARRIER_REPORTED_DAMAGED = "carrier_reported_damaged"
    DELIVERED_ELSEWHERE_SUSPECTED = "delivered_elsewhere_suspected"
    MOVING_AFTER_DELIVERY = "moving_after_delivery"
    DELIVERED_NOT_CHECKED_IN = "delivered_not_checked_in"
    CHECKED_IN_NOT_DELIVERED = "checked_in_not_delivered"
    UNEXPECTED_PARCEL = "unexpected_parcel"
    LATE_LABEL = "late_label"
    LATE_INSPECTION = "late_inspection"
    CONTENT_MISMATCH = "content_mismatch"
    LATE_RESTOCK = "late_restock"
    LATE_REFUND_DECISION = "late_refund_decision"
    LATE_REFUND = "late_refund"
    REFUND_PROMISE_AT_RISK = "refund_promise_at_risk"
    REFUND_PROMISE_BROKEN = "refund_promise_broken"
    STATUTORY_REFUND_DEADLINE = "statutory_refund_deadline"
    REFUND_FAILED = "refund_failed"
    REFUND_NOT_SETTLED = "refund_not_settled"
    REFUNDED_NOT_RETURNED = "refunded_not_returned"
    FEED_SILENT = "feed_silent"
    FEED_LAGGING = "feed_lagging"
    MAPPING_GAP = "mapping_gap"
    CLOCK_SKEW = "clock_skew"


class Method(StrEnum):
    """How the goods come back."""

    PARCEL = "parcel"
    IN_STORE = "in_store"


class Resolution(StrEnum):
    """What the customer gets for the goods."""

    REFUND = "refund"
    EXCHANGE = "exchange"
    STORE_CREDIT = "store_credit"


class Risk(StrEnum):
    """The shop's own mark of a customer."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Disposition(StrEnum):
    """What becomes of inspected goods."""

    RESTOCK = "restock"
    REFURBISH = "refurbish"
    REJECT = "reject"
    LIQUIDATE = "liquidate"


class Mismatch(StrEnum):
    """How inspected goods differ from what was announced."""

    WEIGHT = "weight"
    EMPTY_BOX = "empty_box"
    WRONG_ITEM = "wrong_item"
    QUANTITY = "quantity"
    DAMAGED = "damaged"


class CaseState(StrEnum):
    """The life of a case. RETRACTED counts against our own precision; RESOLVED does not."""

    OPEN = "open"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    RETRACTED = "retracted"


class Reason(StrEnum):
    """Why a case changed."""

    DUE = "due"
    LEVEL = "level"
    FIRST_SCAN = "first_scan"
    PROGRESS = "progress"
    DELIVERED = "delivered"
    CHECKED_IN = "checked_in"
    CHECKED_IN_BY_RETURN = "checked_in_by_return"
    RETURN_CANCELLED = "return_cancelled"
    LABEL_VOIDED = "label_voided"
    UNLINKED = "unlinked"
    LATE_EVIDENCE = "late_evidence"
    POLICY_CHANGED = "policy_changed"
    EXPIRED = "expired"
    TURNED_BACK = "turned_back"
    LOST = "lost"
    """The carrier says lost, damaged or disposed of: waiting any longer proves nothing."""
    DELIVERED_ELSEWHERE = "delivered_elsewhere"
    LABEL_CREATED = "label_created"
    INSPECTED = "inspected"
    RESTOCKED = "restocked"
    REFUND_APPROVED = "refund_approved"
    REFUND_REFUSED = "refund_refused"
    REFUND_ISSUED = "refund_issued"
    REFUND_SETTLED = "refund_settled"
    REFUND_FAILED = "refund_failed"
    REPLACEMENT_SENT = "replacement_sent"
    DISPUTE_OPENED = "dispute_opened"
    """The customer disputes it: the case stands as before, and matters more."""
    DISPUTE_CLOSED = "dispute_closed"
    EXPLAINED = "explained"
    """A case of a higher rule about the same cause stands in its place (docs/rules.md)."""
    ACKNOWLEDGED = "acknowledged"
    """By a command, as all that follow (docs/commands.md)."""
    SNOOZED = "snoozed"
    SNOOZE_OVER = "snooze_over"
    """The time until which it was snoozed has come."""
    ASSIGNED = "assigned"
    BY_HAND = "by_hand"
    """Somebody resolved it; `closure` says why."""
    REOPENED = "reopened"
    FEED_RECOVERED = "feed_recovered"
    """The feed comes as before, its backlog included."""
    ERASED = "erased"
    """The return was forgotten (docs/privacy.md): the last that is said of the case, and it names nothing but the case."""


class CommandType(StrEnum):
    """What a person can tell about a case; the last: about a return."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    ASSIGN = "assign"
    NOTE = "note"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    FORGET = "forget"


CASE_COMMANDS = tuple(command for command in CommandType if command is not CommandType.FORGET)
"""The commands that are about one case."""


class ErasureReason(StrEnum):
    """Why a return is forgotten. A fixed list: free text about an erasure would be one more thing to erase."""

    DATA_SUBJECT_REQUEST = "data_subject_request"
    RETENTION_ENDED = "retention_ended"
    RECORDED_BY_MISTAKE = "recorded_by_mistake"
    OTHER = "other"


class Closure(StrEnum):
    """Why a person resolved a case."""

    FOUND = "found"
    """The parcel, the goods or the money are where they belong; the event that says so is missing."""
    CUSTOMER_HELPED = "customer_helped"
    CLAIMED = "claimed"
    """The carrier or somebody else pays for it."""
    WRITTEN_OFF = "written_off"
    TRACKED_ELSEWHERE = "tracked_elsewhere"
    """A ticket of another system goes on with it."""
    FALSE_ALARM = "false_alarm"
    OTHER = "other"


class AnswerReason(StrEnum):
    """What became of a command. Bounded: a metrics label."""

    DONE = "done"
    ALREADY_SO = "already_so"
    """Accepted, and nothing had to change."""
    UNKNOWN_CASE = "unknown_case"
    CASE_CLOSED = "case_closed"
    NOT_CLOSED_BY_HAND = "not_closed_by_hand"
    BREACH_OVER = "breach_over"
    UNTIL_PASSED = "until_passed"
    UNTIL_TOO_FAR = "until_too_far"
    TOO_OLD = "too_old"
    TOO_MANY = "too_many"
    ID_REUSED = "id_reused"
    NOTHING_KNOWN = "nothing_known"
    """Accepted: nothing was known of the return that was to be forgotten, and what comes of it later is ignored."""
    FORGOTTEN = "forgotten"
    """Refused: the return was forgotten."""

    @property
    def accepted(self) -> bool:
        """Whether the command was taken."""
        return self in {AnswerReason.DONE, AnswerReason.ALREADY_SO, AnswerReason.NOTHING_KNOWN}


class SignalReason(StrEnum):
    """Why a refund was released, or its release revoked."""

    FIRST_SCAN = "first_scan"
    DELIVERED = "delivered"
    INSPECTED = "inspected"
    CONTENT_MISMATCH = "content_mismatch"
    GOODS_REJECTED = "goods_rejected"
    """An inspection says that they, or some of them, are not taken back."""
    RETURNED_TO_CUSTOMER = "returned_to_customer"
    DELIVERED_ELSEWHERE = "delivered_elsewhere"
    RETURN_CANCELLED = "return_cancelled"
    REFUND_REFUSED = "refund_refused"
    REPLACEMENT_SENT = "replacement_sent"
    EXCHANGE_REQUESTED = "exchange_requested"
    """The newest request asks for other goods."""
    REQUEST_AMENDED = "request_amended"
    """The newest request is for another amount or means, or for what the tier does not fit."""
    LATE_EVIDENCE = "late_evidence"
    """What it was released for was taken back, or one more parcel is on its way."""


class DeadLetterReason(StrEnum):
    """Why a record was refused. Bounded: a metrics label."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    WRONG_ENCODING = "wrong_encoding"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    NOT_FINITE = "not_finite"
    BAD_ENVELOPE = "bad_envelope"
    UNKNOWN_TYPE = "unknown_type"
    WRONG_TOPIC = "wrong_topic"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_VALUE = "bad_value"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    NOT_XML = "not_xml"
    UNKNOWN_SHAPE = "unknown_shape"
    """Well-formed, and no payload of the API whose adapter reads the topic."""
    TOO_MANY = "too_many"
    UNKNOWN_SCHEMA_ID = "unknown_schema_id"
    SCHEMA_REGISTRY_UNAVAILABLE = "schema_registry_unavailable"
    """Redriven later, the record can be read."""
    BAD_SCHEMA = "bad_schema"
    SCHEMA_MISMATCH = "schema_mismatch"
    """Data that their own schema does not describe."""


PHYSICAL_CARRIER_EVIDENCE = frozenset({Evidence.AGENT_SCAN, Evidence.CARRIER_SCAN})
