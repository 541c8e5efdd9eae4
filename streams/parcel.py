"""What is known about one parcel, and how a fact is folded in: in any order, any number of times, with the same result.

The folded part of a state is a set of facts by identity. It is kept in one canonical form, so that any permutation and
any repetition of the same facts gives the same bytes:

- facts are 32 bytes each, sorted by event time; of the same identity told twice the earlier arrival, the smaller source
  and the smaller content are kept, each by itself;
- a retraction only marks an identity. The fact keeps its place and is skipped by every look, whether it came before
  the mark or comes after it;
- of more than 64 facts the earliest 16 and the latest 48 are kept, of more than 16 marks the 16 smallest. The state then
  says `truncated`, and order independence is no longer claimed for it;
- codes that nobody has mapped prove nothing and are not kept.

The other part is the ledger: what has been said about the parcel so far, and when to look at it again.

A state is its head (5 numbers), the facts, the names of the topics with commas between, and the rest as MessagePack: so that a
scan on the way can be folded in without decoding anything (streams/parcel_shortcuts.py).

Layout of a packed fact, big-endian:
  8 bytes  event time in ms << 16 | milestone << 8 | evidence << 4 | time quality << 1 | clamped
  8 bytes  identity << 16 | source partition
  8 bytes  arrival in ms << 16 | index in `topics` << 8 | source offset >> 32
  4 bytes  source offset, low half
  4 bytes  crc32 of the place; 0 is no place
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple
from zlib import crc32

import msgspec

from schemas.facts import LabelTerms, ParcelFact, ReportedBreach, Source
from streams.held import HeldWait

MOST_FACTS, EARLIEST, LATEST, MOST_MARKS = 64, 16, 48, 16
MOST_RETURNS = 100
"""So many returns are told of a parcel: the first whose labels are known, by event time."""
FACT_BYTES, MARK_BYTES = 32, 6
IDENTITY_BITS = 48
_IDENTITY_AT = 8

_packed = Struct(">QQQII")
_pack = _packed.pack
_unpack = _packed.unpack_from


class Label(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Terms of one label fact, or the returns that a void names."""

    identity: int
    returns: tuple[str, ...]
    origin: str
    destination: str
    facility: str
    value_minor: int
    currency: str
    service: str
    shop: str = ""
    weight_grams: int = 0


class Weighed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the scale showed at a dock scan."""

    identity: int
    grams: int


class Breach(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A breach as it was last said; the fields of schemas.facts.ReportedBreach."""

    rule: str
    anchor: str
    since_ms: int
    due_ms: int
    state: str
    reason: str
    ended_ms: int
    evidence: tuple[Source, ...]
    journey: str
    """Name of the journey (epoch) that it belongs to: only returns on that journey's labels are told."""
    raised_ms: int = 0
    """When it could be told, if that was later than its deadline: it had been held; 0: at the deadline."""

    def reported(self) -> ReportedBreach:
        """As it goes into a report."""
        return ReportedBreach(
            rule=self.rule,
            anchor=self.anchor,
            since_ms=self.since_ms,
            due_ms=self.due_ms,
            raised_ms=self.raised_ms or self.due_ms,
            state=self.state,
            reason=self.reason,
            ended_ms=self.ended_ms,
            evidence=self.evidence,
        )


class Diversion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The carrier took the parcel elsewhere, and it has not come to us since. `rule`: the one whose cases tell of it."""

    journey: str
    rule: str
    at_ms: int


class ParcelState(msgspec.Struct, gc=False):
    """What a parcel's changelog record holds."""

    # -- folded
    facts: bytes = b""
    labels: tuple[Label, ...] = ()
    """Sorted by identity."""
    topics: tuple[str, ...] = ()
    """Source topics of all facts, sorted."""
    marks: bytes = b""
    """Retracted identities, sorted."""
    marked_ms: int = 0
    """Event time of the newest retraction."""
    marked_arrived_ms: int = 0
    """When the last retraction was read; one that its producer repeats is read again."""
    weights: tuple[Weighed, ...] = ()
    """Of the dock scans among the facts that have one, sorted by identity."""
    truncated: bool = False
    # -- ledger
    look_ms: int = 0
    """When the last full look asked for the next one; it may have been fulfilled since."""
    stage: int = 0
    """How far an ordinary life has come (streams/parcel_shortcuts.py); 0: only a look can tell."""
    where: bytes = b""
    """With a stage: indexes of the label, the first scan and the delivery in `facts`."""
    quiet_ms: int = 0
    """On the way: no scan makes anything due sooner than this after itself."""
    revision: int = 0
    digest: int = 0
    """Of what the last report said, breaches and label terms apart; 0 is nothing said."""
    told: tuple[str, ...] = ()
    """Returns that have had a report, sorted; those no longer linked have been told so."""
    breaches: tuple[Breach, ...] = ()
    """Said, and not the same as never having been said: open, ended or retracted."""
    expired: bool = False
    diversions: tuple[Diversion, ...] = ()
    """As last said."""
    held: tuple[HeldWait, ...] = ()
    """Over, and not told yet."""

    @property
    def newest_ms(self) -> int:
        """Event time of the newest fact or retraction."""
        last = int.from_bytes(self.facts[-FACT_BYTES : -FACT_BYTES + 6], "big") if self.facts else 0
        return max(last, self.marked_ms)


_Rest = tuple[
    tuple[Label, ...],
    bytes,
    tuple[int, int],
    bool,
    bytes,
    int,
    int,
    tuple[str, ...],
    tuple[Breach, ...],
    bool,
    tuple[Diversion, ...],
    tuple[Weighed, ...],
]
"""labels, marks, when told and read, truncated, where, revision, digest, told, breaches, expired, diversions, weights"""
_RestAndHeld = tuple[
    tuple[Label, ...],
    bytes,
    tuple[int, int],
    bool,
    bytes,
    int,
    int,
    tuple[str, ...],
    tuple[Breach, ...],
    bool,
    tuple[Diversion, ...],
    tuple[Weighed, ...],
    tuple[HeldWait, ...],
]
"""The same and held, for the few that have any."""
_WITHOUT_HELD = b"\x9c"
"""How the MessagePack of a _Rest begins: twelve fields."""

_head = Struct(">BBHQQ")
"""stage, number of facts, bytes of the topics' names, look_ms, quiet_ms"""
HEAD_BYTES = _head.size
pack_head = _head.pack
unpack_head = _head.unpack_from
_encode_rest = msgspec.msgpack.Encoder().encode
_decode_rest = msgspec.msgpack.Decoder(_Rest).decode
_decode_rest_and_held = msgspec.msgpack.Decoder(_RestAndHeld).decode


def encode_parcel(state: ParcelState) -> bytes:
    """Value of the changelog record."""
    facts, topics = state.facts, ",".join(state.topics).encode()
    head = pack_head(state.stage, len(facts) // FACT_BYTES, len(topics), state.look_ms, state.quiet_ms)
    rest = (
        state.labels,
        state.marks,
        (state.marked_ms, state.marked_arrived_ms),
        state.truncated,
        state.where,
        state.revision,
        state.digest,
        state.told,
        state.breaches,
        state.expired,
        state.diversions,
        state.weights,
    )
    if state.held:
        return b"".join((head, facts, topics, _encode_rest((*rest, state.held))))
    return b"".join((head, facts, topics, _encode_rest(rest)))


def decode_parcel(raw: bytes) -> ParcelState:
    """State of a changelog record's value. Raises msgspec.DecodeError or struct.error when it is none."""
    stage, count, topics_bytes, look_ms, quiet_ms = unpack_head(raw)
    facts_end = HEAD_BYTES + count * FACT_BYTES
    topics_end = facts_end + topics_bytes
    held: tuple[HeldWait, ...] = ()
    if raw[topics_end : topics_end + 1] == _WITHOUT_HELD:
        rest = _decode_rest(memoryview(raw)[topics_end:])
    else:
        more = _decode_rest_and_held(memoryview(raw)[topics_end:])
        rest, held = more[:12], more[12]
    (
        labels,
        marks,
        marked,
        truncated,
        where,
        revision,
        digest,
        told,
        breaches,
        expired,
        diversions,
        weights,
    ) = rest
    return ParcelState(
        raw[HEAD_BYTES:facts_end],
        labels,
        topics_of(raw[facts_end:topics_end]),
        marks,
        marked[0],
        marked[1],
        weights,
        truncated,
        look_ms,
        stage,
        where,
        quiet_ms,
        revision,
        digest,
        told,
        breaches,
        expired,
        diversions,
        held,
    )


def look_ms_of(raw: bytes) -> int:
    """`look_ms` of an encoded state."""
    return int(unpack_head(raw)[3])


@lru_cache(maxsize=1_024)
def topics_of(joined: bytes) -> tuple[str, ...]:
    """The names of the topics in an encoded state."""
    return tuple(joined.decode().split(",")) if joined else ()


class Seen(NamedTuple):
    """A packed fact, as its 5 numbers; see the head of this file for what lies in them."""

    content: int
    identified: int
    arrival: int
    offset_low: int
    place: int

    @property
    def at_ms(self) -> int:
        """Event time."""
        return self.content >> 16

    @property
    def milestone(self) -> int:
        """schemas.vocabulary.Milestone."""
        return (self.content >> 8) & 255

    @property
    def evidence(self) -> int:
        """schemas.vocabulary.Evidence."""
        return (self.content >> 4) & 15

    @property
    def identity(self) -> int:
        """48 bits."""
        return self.identified >> 16

    @property
    def arrived_ms(self) -> int:
        """When intake first saw it."""
        return self.arrival >> 16

    def source(self, topics: Sequence[str]) -> Source:
        """Coordinates of its input record; `topics` are the state's."""
        offset = (self.arrival & 255) << 32 | self.offset_low
        return Source(topics[(self.arrival >> 8) & 255], self.identified & 0xFFFF, offset)


Raw = tuple[int, int, int, int, int]


Fold = tuple[bytes, tuple[Label, ...], tuple[str, ...], bytes, int, int, tuple[Weighed, ...], bool]


def fold_of(state: ParcelState) -> Fold:
    """The order-free part of a state: the same facts and retractions give the same, whatever their order."""
    marked = (state.marks, state.marked_ms, state.marked_arrived_ms)
    return state.facts, state.labels, state.topics, *marked, state.weights, state.truncated


def raw_facts(state: ParcelState) -> Iterator[Raw]:
    """The facts that hold (not retracted), by event time, each as the 5 numbers of `Seen`."""
    marks = state.marks
    if not marks:
        return _packed.iter_unpack(state.facts)
    retracted = {
        int.from_bytes(marks[at : at + MARK_BYTES], "big") for at in range(0, len(marks), MARK_BYTES)
    }
    return (raw for raw in _packed.iter_unpack(state.facts) if raw[1] >> 16 not in retracted)


def packed_facts(state: ParcelState) -> list[Seen]:
    """All facts, the retracted ones among them, by event time."""
    return [Seen._make(raw) for raw in _packed.iter_unpack(state.facts)]


def place_number(token: str) -> int:
    """A place token as a packed fact keeps it; 0 is no place."""
    return crc32(token.encode()) if token else 0


def pack_fact(fact: ParcelFact, topic: int) -> bytes:
    """The 32 bytes of a fact; `topic` is the index of its source topic in the state."""
    source = fact.source
    content = fact.milestone << 8 | fact.evidence << 4 | fact.quality << 1 | fact.clamped
    place = fact.place or fact.facility
    return _pack(
        max(fact.occurred_ms, 0) << 16 | content,
        fact.identity << 16 | source.partition,
        max(fact.arrived_ms, 0) << 16 | topic << 8 | source.offset >> 32,
        source.offset & 0xFFFFFFFF,
        place_number(place),
    )


def append_fact(state: ParcelState, fact: ParcelFact) -> bool:
    """Fold in a fact without label that is newer than all others, the cheap way; False when it cannot be done so."""
    if (
        len(state.facts) >= (MOST_FACTS - 1) * FACT_BYTES
        or state.marks
        or fact.weight_grams
        or find_fact(state.facts, fact.identity) >= 0
    ):
        return False
    topic = _topic_index(state, fact.source.topic)
    state.facts += pack_fact(fact, topic)
    return True


def find_fact(facts: bytes, identity: int) -> int:
    """Where the fact with this identity begins; -1: not there."""
    needle = identity.to_bytes(MARK_BYTES, "big")
    at = facts.find(needle)
    while at >= 0:
        if at % FACT_BYTES == _IDENTITY_AT:
            return at - _IDENTITY_AT
        at = facts.find(needle, at + 1)
    return -1


def merge(state: ParcelState, fact: ParcelFact) -> None:
    """Fold a fact or a retraction in. Commutative, associative, idempotent; see the head of this file."""
    if fact.retracts:
        _mark(state, fact)
        return
    topic = _topic_index(state, fact.source.topic)
    packed = pack_fact(fact, topic)
    at = find_fact(state.facts, fact.identity)
    if at >= 0:
        before = state.facts[at : at + FACT_BYTES]
        packed = _smaller(before, packed)
        if packed != before:
            _insert(state, state.facts[:at] + state.facts[at + FACT_BYTES :], packed)
    else:
        _insert(state, state.facts, packed)
    if fact.label is not None and find_fact(state.facts, fact.identity) >= 0:
        _add_label(state, fact.identity, fact.label)
    if fact.weight_grams and find_fact(state.facts, fact.identity) >= 0:
        _add_weight(state, Weighed(fact.identity, fact.weight_grams))


def _smaller(one: bytes, other: bytes) -> bytes:
    """Of one identity told twice: smallest content, earliest arrival, smallest source, each by itself."""
    a1, b1, c1, d1, place1 = _unpack(one)
    a2, b2, c2, d2, place2 = _unpack(other)
    a, place = min((a1, place1), (a2, place2))
    arrived = min(c1 >> 16, c2 >> 16)
    topic, partition, high, low = min(
        ((c1 >> 8) & 255, b1 & 0xFFFF, c1 & 255, d1), ((c2 >> 8) & 255, b2 & 0xFFFF, c2 & 255, d2)
    )
    identity = b1 >> 16
    return _pack(a, identity << 16 | partition, arrived << 16 | topic << 8 | high, low, place)


def _insert(state: ParcelState, facts: bytes, packed: bytes) -> None:
    at = len(facts)
    while at and facts[at - FACT_BYTES : at] > packed:
        at -= FACT_BYTES
    facts = facts[:at] + packed + facts[at:]
    if len(facts) > MOST_FACTS * FACT_BYTES:
        facts = facts[: EARLIEST * FACT_BYTES] + facts[-LATEST * FACT_BYTES :]
        state.truncated = True
        state.labels = tuple(label for label in state.labels if find_fact(facts, label.identity) >= 0)
        state.weights = tuple(one for one in state.weights if find_fact(facts, one.identity) >= 0)
    state.facts = facts


def _topic_index(state: ParcelState, topic: str) -> int:
    """Index of a source topic; a new one takes its place in the order, and the facts follow."""
    topics = state.topics
    if topic in topics:
        return topics.index(topic)
    state.topics = ordered = tuple(sorted((*topics, topic)))
    index = ordered.index(topic)
    if index < len(topics):
        state.facts = b"".join(
            _pack(a, b, c + (1 << 8) if (c >> 8) & 255 >= index else c, d, place)
            for a, b, c, d, place in _packed.iter_unpack(state.facts)
        )
    return index


def _mark(state: ParcelState, fact: ParcelFact) -> None:
    state.marked_ms = max(state.marked_ms, fact.occurred_ms)
    state.marked_arrived_ms = max(state.marked_arrived_ms, fact.arrived_ms)
    marks = state.marks
    known = {marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)}
    known.add(fact.retracts.to_bytes(MARK_BYTES, "big"))
    if len(known) > MOST_MARKS:
        state.truncated = True
    state.marks = b"".join(sorted(known)[:MOST_MARKS])


def label_of(identity: int, terms: LabelTerms) -> Label:
    """The terms of a label fact as the state keeps them."""
    return Label(
        identity,
        terms.returns,
        terms.origin,
        terms.destination,
        terms.facility,
        terms.value_minor,
        terms.currency,
        terms.service,
        terms.shop,
        terms.weight_grams,
    )


def _add_label(state: ParcelState, identity: int, terms: LabelTerms) -> None:
    others = [known for known in state.labels if known.identity != identity]
    same = [known for known in state.labels if known.identity == identity]
    smallest = min([label_of(identity, terms), *same], key=msgspec.structs.astuple)
    state.labels = tuple(sorted([*others, smallest], key=lambda known: known.identity))


def _add_weight(state: ParcelState, weighed: Weighed) -> None:
    others = [known for known in state.weights if known.identity != weighed.identity]
    same = [known.grams for known in state.weights if known.identity == weighed.identity]
    smallest = Weighed(weighed.identity, min([weighed.grams, *same]))
    state.weights = tuple(sorted([*others, smallest], key=lambda known: known.identity))
