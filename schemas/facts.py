"""What travels on the internal topics `parcels` and `returns`: one keyed JSON record per fact, report or marker.

Times are integers, milliseconds since the epoch (UTC), and end in `_ms`: these records are read and written
hundreds of thousands of times a second. 0 stands for "not known".

Record keys: a parcel key (`carrier:NUMBER`), a return id, or one of the control keys below, which begin with a
zero byte, so that no parcel or return can ever have one.
"""

from typing import Annotated

import msgspec

from schemas.vocabulary import Closure, CommandType, ErasureReason

MARKER_KEY = b"\x00marker"
POLICY_KEY = b"\x00policy"
RETIRE_KEY = b"\x00retire"
FORGET_KEY = b"\x00forget"
BACKFILL_KEY = b"\x00backfill"


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the event was read: topic, partition and offset of the input record."""

    topic: str
    partition: int
    offset: int


class LabelTerms(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a label says about the parcel's journey. Countries are ISO 3166-1 alpha-2, upper case."""

    returns: tuple[str, ...]
    carrier: str
    service: str = ""
    origin: str = ""
    destination: str = ""
    facility: str = ""
    """Facility id of the warehouse it goes to (policy `facilities`)."""
    value_minor: int = 0
    """Declared value in the currency's minor unit."""
    currency: str = ""
    shop: str = ""
    weight_grams: int = 0
    """What the parcel should weigh; 0: nobody says."""


class ParcelFact(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A fact about one parcel. Record key: the parcel key. Any order, any number of times."""

    identity: int
    """48-bit hash of the producer's event id, else of the content without free text (streams/identity.py)."""
    milestone: int
    evidence: int
    occurred_ms: int
    arrived_ms: int
    source: Source
    quality: int = 0
    place: str = ""
    """Normalised place token (country, city or site); equal tokens are the same place. No street, no person."""
    code: str = ""
    label: LabelTerms | None = None
    """Only with LABEL_CREATED and LABEL_VOIDED."""
    facility: str = ""
    """Only with CHECKED_IN: where the dock scan was made."""
    retracts: int = 0
    """Identity of the fact that this one takes back; the rest of the record then has no meaning of its own."""
    clamped: bool = False
    weight_grams: int = 0
    """Only with CHECKED_IN: what the scale showed; 0: not weighed."""


class ReturnTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the request of a return says about it; "" for what it does not say."""

    method: str = "parcel"
    resolution: str = "refund"
    withdrawal: bool = False
    country: str = ""
    """ISO 3166-1 alpha-2, upper case: whose law holds."""
    shop: str = ""
    category: str = ""
    reason: str = ""
    risk: str = "normal"
    loyal: bool = False


class ReturnFact(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="kind", tag="fact"):
    """A fact about one return. Record key: the return id."""

    identity: int
    milestone: int
    occurred_ms: int
    arrived_ms: int
    source: Source
    parcels: tuple[str, ...] = ()
    """Parcel keys that the event names (label, check-in)."""
    complete: bool = False
    """CHECKED_IN by return: the event says that everything has come."""
    count: int = 1
    """CHECKED_IN by return: how many parcels were received."""
    facility: str = ""
    value_minor: int = 0
    currency: str = ""
    promised_ms: int = 0
    retracts: int = 0
    terms: ReturnTerms | None = None
    """Only with RETURN_REQUESTED, where it says more than usual."""
    disposition: str = ""
    """Only with INSPECTED (schemas.vocabulary.Disposition)."""
    mismatches: tuple[str, ...] = ()
    """Only with INSPECTED (schemas.vocabulary.Mismatch), sorted."""


class CaseCommand(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="kind", tag="command"):
    """What a person tells about a case. Record key: the return id, or OWN_KEY and the parcel for a case without a return.

    Unlike facts, commands are decided once, at their place in the log (docs/adr/0009-commands-in-the-log.md).
    """

    identity: int
    """48-bit hash of type and command id; a repeat has the same."""
    content: int
    """48-bit hash of all that it says but the time: another content under the same id is refused."""
    command: CommandType
    command_id: str
    audit_id: str
    case_id: str
    by: str
    occurred_ms: int
    source: Source
    until_ms: int = 0
    """Only with SNOOZE, where it names a time."""
    duration_ms: int = 0
    """Only with SNOOZE, where it does not: so long from its decision on."""
    to: str = ""
    """Only with ASSIGN."""
    text: str = ""
    """Only with NOTE. It goes into the answer; no case and no return keeps it."""
    closure: Closure | None = None
    """Only with RESOLVE."""
    why: ErasureReason | None = None
    """Only with FORGET, which is about the return and no case."""
    salt: str = ""
    """Only with FORGET: random, of the intake that wrote it; a partition takes the first for the key of its hashes."""


class Erasure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="kind", tag="erasure"):
    """Forget. Under FORGET_KEY on every partition of `parcels`: a return, in whichever parcels it is. On `returns`, from the
    parcel stage: what stands there under OWN_KEY and the record's parcel.
    """

    salt: str
    """See CaseCommand."""
    at_ms: int
    """When it was told."""
    return_id: str = ""
    """Only under FORGET_KEY."""


class ReportedBreach(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A breach as the parcel stage sees it. `ended_ms` is an event time: when what was missing happened."""

    rule: str
    anchor: str
    since_ms: int
    due_ms: int
    raised_ms: int
    """Watermark at which it was raised (= the due time it was evaluated at): a case waits for W of its return to reach it."""
    state: str
    """"open", "ended" (it happened, late) or "retracted" (it never was a breach)."""
    reason: str = ""
    ended_ms: int = 0
    evidence: tuple[Source, ...] = ()


class ParcelReport(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="kind", tag="report"):
    """A parcel's whole current report to one return that it carries. Merges by the highest revision."""

    parcel: str
    revision: int
    carrier: str
    origin: str = ""
    destination: str = ""
    facility: str = ""
    linked: bool = True
    unlinked_reason: str = ""
    value_minor: int = 0
    currency: str = ""
    service: str = ""
    shop: str = ""
    label_ms: int = 0
    first_scan_ms: int = 0
    last_scan_ms: int = 0
    delivered_ms: int = 0
    delivered_arrived_ms: int = 0
    checked_in_ms: int = 0
    first_scan_arrived_ms: int = 0
    checked_in_arrived_ms: int = 0
    label_arrived_ms: int = 0
    decisive_arrived_ms: int = 0
    """When the last was read of what says whether the goods have come to us: any label, void, delivery, dock scan or diversion,
    and what took a fact back.
    """
    diverted: str = ""
    """`returned_to_customer` or `delivered_elsewhere_suspected`: as soon as a fact says so, also with the rule off."""
    diverted_ms: int = 0
    weight_grams: int = 0
    """By the newest dock scan with a weight; 0: not weighed."""
    expected_grams: int = 0
    """By the label."""
    weighed_ms: int = 0
    weighed_arrived_ms: int = 0
    weighed_evidence: tuple[Source, ...] = ()
    disposed: bool = False
    """The carrier says that it destroyed the parcel, and nobody has seen it since."""
    truncated: bool = False
    breaches: tuple[ReportedBreach, ...] = ()


class Arrivals(msgspec.Struct, array_like=True, gc=False):
    """What came of one feed between two marks, and how many of these had something the matter with them."""

    count: int = 0
    late: int = 0
    """Happened more than LATE_MS before they arrived."""
    unmapped: int = 0
    """Carrier scans with a code that no table knows."""
    clamped: int = 0
    """Dated in the future."""

    def add(self, other: "Arrivals") -> None:
        """Take in what came besides."""
        self.count += other.count
        self.late += other.late
        self.unmapped += other.unmapped
        self.clamped += other.clamped

    def told(self) -> "int | Arrivals":
        """As a mark has it: the bare count when nothing was the matter."""
        return self if self.late or self.unmapped or self.clamped else self.count


LATE_MS = 3_600_000
"""What arrives longer after it happened is counted as late."""


class Mark(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Everything of one source partition that was appended before `through_ms` lies before this record."""

    topic: str
    partition: int
    through_ms: int
    arrivals: dict[str, int | Arrivals] = {}
    """What came between this mark and the one before, per feed: a carrier (of its scans; those that no table knows as "other"),
    or one of the input kinds `orders`, `labels`, `warehouse`. A number is a count of which nothing was the matter.
    """
    first_offset: int = 0
    next_offset: int = 0
    """Of the source's records: `arrivals` are of those from the one until before the other. A mark that begins behind the end
    of the one before does not tell of all that came. Several marks of a source in one marker tell together of the same records.
    """


class Marker(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Record under MARKER_KEY on every partition of `parcels` and `returns` (docs/adr/0003)."""

    marks: tuple[Mark, ...]
    roster: dict[str, int]
    """Every source topic known to the writer -> its partition count. The watermark waits for all of them."""


class Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Record under RETIRE_KEY on every partition of `parcels` and `returns`: an input topic is read no more."""

    topic: str
    retired: bool = True
    """False: taken back. The topic is waited for again from the next marker that names it."""


class Backfill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Record under BACKFILL_KEY on every partition of `parcels` and `returns`: timers wait from here on, or no longer."""

    backfill_id: str
    """A backfill that has ended does not begin again by a record that is repeated."""
    held: bool


ReturnRecord = Annotated[
    ReturnFact | ParcelReport | CaseCommand | Erasure, "value of a keyed record on `returns`"
]

encode_json = msgspec.json.Encoder().encode
decode_parcel_fact = msgspec.json.Decoder(ParcelFact).decode
decode_return_record = msgspec.json.Decoder(ReturnFact | ParcelReport | CaseCommand | Erasure).decode
decode_erasure = msgspec.json.Decoder(Erasure).decode
decode_backfill = msgspec.json.Decoder(Backfill).decode
decode_retirement = msgspec.json.Decoder(Retirement).decode
decode_marker = msgspec.json.Decoder(Marker).decode
