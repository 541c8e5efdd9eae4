"""The parcel stage: facts of a parcel in, reports to the returns that it carries out.

Most facts are the next step of an ordinary life and need no look (streams/parcel_shortcuts.py). A timer that was armed
before its parcel moved on comes early, finds nothing, and is armed again.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from schemas.facts import Erasure, ParcelFact, decode_parcel_fact, encode_json
from schemas.vocabulary import Milestone
from streams.batch import HIDDEN_MARK, Change, Hiding
from streams.feed_holds import UNWATCHED, told_of
from streams.feeds import Feeds
from streams.forgetting import decode_hidden, hide_now, look_at_hidden
from streams.held import HeldWait
from streams.parcel import ParcelState, decode_parcel, encode_parcel, fold_of, look_ms_of, merge
from streams.parcel_forgetting import carries_any, hidden_in, may_name, names_any, take_out
from streams.parcel_look import ORDINARY, OWN_KEY, Cause, Report, look, nobody_waits_for, report_again
from streams.parcel_shortcuts import first_label, pass_by, take_shortcut
from streams.terms import CompiledPolicy
from streams.traces import is_trace
from streams.watermark import HELD_NO_MORE, PARCELS_SOURCE, Forgotten, Outgoing

MOST_LABEL_BYTES = 300_000
"""A parcel whose state is larger takes no more labels: each may name a hundred returns."""


class ParcelLogic:
    """Implements streams.partition.Logic for parcels."""

    stage = "parcels"
    says_again = True

    def __init__(self, partitions: int) -> None:
        """`partitions`: of the topic `parcels`, told to the next stage so that it waits for all of them."""
        self.marks: tuple[str, int] | None = (PARCELS_SOURCE, partitions)
        self.notes: list[tuple[str, str]] = []
        self.delays: list[tuple[str, int]] = []
        self.forgotten = Forgotten()
        self._policy: CompiledPolicy | None = None
        self._feeds = UNWATCHED

    def adopt(self, policy: bytes) -> str:
        """Decide by this policy from now on."""
        self._policy = CompiledPolicy(policy)
        if self._feeds is not UNWATCHED:
            self._feeds.adopt(self._policy.feeds)
        return self._policy.hash

    def bind(self, number: int, feeds: Feeds) -> None:
        """Reports go by the return's key; the partition's own number does not matter here."""
        del number
        self._feeds = feeds

    def feed_key(self, feed: str) -> None:
        """Cases of feeds are kept by the return stage."""

    def apply(
        self, key: bytes, value: bytes, raw: bytes | None, armed_ms: int, watermark_ms: int
    ) -> Change | None:
        """Fold a fact in; look, unless it is the next step of an ordinary life."""
        return self._apply_fact(key, decode_parcel_fact(value), raw, armed_ms, watermark_ms)

    def _apply_fact(
        self, key: bytes, fact: ParcelFact, raw: bytes | None, armed_ms: int, watermark_ms: int
    ) -> Change | None:
        policy = self._policy
        if policy is None:
            merged = self._merged(raw, fact)
            return Change(encode_parcel(merged[0]), 0) if merged is not None else None
        if fact.occurred_ms <= watermark_ms - policy.accept_age_ms:
            self.notes.append(("too_old", self.stage))
            return None
        if raw is None:
            opened = first_label(key, fact, watermark_ms, policy)
            if opened is not None:
                return Change(encode_parcel(opened[0]), opened[0].look_ms, opened[1])
        else:
            passed = pass_by(raw, fact, watermark_ms, policy)
            if passed is not None:
                return Change(passed[0], _armed(armed_ms, passed[1], watermark_ms))
            state = decode_parcel(raw)
            said = take_shortcut(key, state, fact, watermark_ms, policy) if state.stage else None
            if said is not None:
                return Change(encode_parcel(state), _armed(armed_ms, state.look_ms, watermark_ms), said)
        return self._merged_and_looked(key, raw, fact, armed_ms, watermark_ms, policy)

    # -- what was forgotten ------------------------------------------------------------------------------------

    def named(self, value: bytes) -> tuple[str, ...]:
        """See Forgets: a label's returns."""
        if b'"returns":["' not in value:
            return ()
        label = decode_parcel_fact(value).label
        return label.returns if label is not None else ()

    def hidden(self, watermark_ms: int) -> Hiding:
        """See Forgets."""
        policy = self._policy
        return hide_now(self.forgotten, watermark_ms, policy.accept_age_ms if policy is not None else None)

    def without(
        self, key: bytes, raw: bytes, armed_ms: int, names: Mapping[str, str], watermark_ms: int
    ) -> Change | None:
        """See Forgets: a parcel without any other return goes with it, and what it has of its own in `returns`."""
        if not may_name(raw, names):
            return None
        state = decode_parcel(raw)
        if not take_out(state, names):
            return None
        self.notes.append(("erased", self.stage))
        if carries_any(state):
            return Change(encode_parcel(state), armed_ms)
        return self._gone(key, state, watermark_ms)

    def _gone(self, key: bytes, state: ParcelState, watermark_ms: int) -> Change:
        own = OWN_KEY + key.decode()
        self.notes += [(HELD_NO_MORE, one.label) for one in state.held]
        farewell = [
            Outgoing(
                "returns",
                own.encode(),
                encode_json(Erasure(self.forgotten.salt, max(watermark_ms, self.forgotten.at_ms))),
                [],
                None,
            )
        ]
        return Change(None, 0, farewell if own in state.told else (), self.hidden(watermark_ms))

    def apply_forgotten(
        self, key: bytes, value: bytes, record: bytes, names: Mapping[str, str], watermark_ms: int
    ) -> Change | None:
        """See Logic: only a label for a return that was not forgotten makes it a parcel again."""
        del record
        fact = decode_parcel_fact(value)
        label = hidden_in(fact.label, names) if fact.label is not None else None
        if label is None or not names_any(label.returns) or fact.milestone != Milestone.LABEL_CREATED:
            self.notes.append(("forgotten", self.stage))
            return None
        change = self._apply_fact(key, replace(fact, label=label), None, 0, watermark_ms)
        return change._replace(hiding=Hiding(None, 0, "")) if change is not None else None

    def apply_without(
        self,
        key: bytes,
        value: bytes,
        stored: tuple[bytes | None, int],
        names: Mapping[str, str],
        watermark_ms: int,
    ) -> Change | None:
        """See Logic: a label for nobody but forgotten returns is passed over, and its parcel is forgotten, too."""
        fact, (raw, armed_ms) = decode_parcel_fact(value), stored
        assert fact.label is not None, "only labels name returns"
        label = hidden_in(fact.label, names)
        state = decode_parcel(raw) if raw is not None else None
        if names_any(label.returns) or (state is not None and carries_any(state)):
            return self._apply_fact(key, replace(fact, label=label), raw, armed_ms, watermark_ms)
        self.notes.append(("forgotten", self.stage))
        if fact.milestone != Milestone.LABEL_CREATED or self._is_too_old(fact, watermark_ms):
            return None
        return self._gone(key, state if state is not None else ParcelState(), watermark_ms)

    def _is_too_old(self, fact: ParcelFact, watermark_ms: int) -> bool:
        policy = self._policy
        return policy is not None and fact.occurred_ms <= watermark_ms - policy.accept_age_ms

    # -- folding and looking -----------------------------------------------------------------------------------

    def _merged(self, raw: bytes | None, fact: ParcelFact) -> tuple[ParcelState, Cause] | None:
        """The state with the fact in it, and what a look must know; None: it was known, or proves nothing."""
        if fact.milestone == Milestone.UNMAPPED and not fact.retracts:
            self.notes.append(("unmapped", self.stage))
            return None
        if fact.label is not None and raw is not None and len(raw) > MOST_LABEL_BYTES:
            self.notes.append(("truncated", self.stage))
            return None
        state = decode_parcel(raw) if raw is not None else ParcelState()
        before = fold_of(state)
        merge(state, fact)
        if raw is not None and fold_of(state) == before:
            return None
        if state.truncated and not before[-1]:
            self.notes.append(("truncated", self.stage))
        return state, Cause(terms_changed=True) if state.labels is not before[1] else ORDINARY

    def _merged_and_looked(
        self,
        key: bytes,
        raw: bytes | None,
        fact: ParcelFact,
        armed_ms: int,
        watermark_ms: int,
        policy: CompiledPolicy,
    ) -> Change | None:
        merged = self._merged(raw, fact)
        if merged is None:
            return None
        state, cause = merged
        if armed_ms > watermark_ms and nobody_waits_for(state):
            return Change(encode_parcel(state), armed_ms)  # it is remembered longer now
        return self._looked(key, state, watermark_ms, armed_ms, policy, cause)

    def look(self, key: bytes, raw: bytes, now_ms: int, *, policy_changed: bool = False) -> Change:
        """Evaluate the parcel at `now_ms`."""
        if self._policy is None:
            return Change(raw, 0)
        if key.startswith(HIDDEN_MARK):
            return look_at_hidden(raw, now_ms, self._policy.accept_age_ms)
        state = decode_parcel(raw)
        before_ms = state.look_ms
        if now_ms < before_ms and not policy_changed:
            return Change(raw, before_ms)  # armed by a state that has moved on since: nothing is due before
        cause = Cause(policy_changed=policy_changed)
        change = self._looked(key, state, now_ms, 0, self._policy, cause)
        if policy_changed or change.outgoing or change.raw is None:
            return change
        # Only the time of the next look moved: that is worked out again after a restart, and not worth a record.
        state.look_ms = before_ms
        return change._replace(raw=raw) if encode_parcel(state) == raw else change

    def armed_ms(self, key: bytes, raw: bytes) -> int:
        """The next look that the last durable one asked for, or an earlier one."""
        if is_trace(key):
            return 0
        return decode_hidden(raw).lapses_ms if key.startswith(HIDDEN_MARK) else look_ms_of(raw)

    def about(self, value: bytes) -> str:
        """See Logic: all that comes here is about the parcel itself."""
        del value
        return ""

    def report(self, key: bytes, raw: bytes) -> list[Outgoing]:
        """The parcel's reports as the state has them."""
        return _outgoing(report_again(key.decode(), decode_parcel(raw)))

    def _looked(
        self,
        key: bytes,
        state: ParcelState,
        now_ms: int,
        armed_ms: int,
        policy: CompiledPolicy,
        cause: Cause,
    ) -> Change:
        truncated, held = state.truncated, state.held
        found = look(key.decode(), state, now_ms, policy, cause, self._feeds)
        if state.truncated and not truncated:
            self.notes.append(("truncated", self.stage))
        if held or state.held:
            self._note_held(held, state if found.keep else ParcelState())
        if not found.keep:
            self.notes.append(("orphan_expired", "") if found.orphan else ("purged", self.stage))
            return Change(None, 0)
        return Change(encode_parcel(state), _armed(armed_ms, state.look_ms, now_ms), _outgoing(found.reports))

    def _note_held(self, before: tuple[HeldWait, ...], state: ParcelState) -> None:
        told = [(one.rule, "", one.anchor) for one in state.breaches]
        self.notes += told_of(before, state.held, told)


def _armed(armed_ms: int, look_ms: int, now_ms: int) -> int:
    """A timer that is armed earlier stays: it will find nothing and be armed again, at no cost now."""
    return armed_ms if now_ms < armed_ms <= look_ms else look_ms


def _outgoing(reports: list[Report]) -> list[Outgoing]:
    return [
        Outgoing("returns", return_id.encode(), encode_json(report), [], None)
        for return_id, report in reports
    ]


def parcel_logic(partitions: int) -> ParcelLogic:
    """Logic of one partition of the parcel stage. `partitions`: how many `parcels` has."""
    return ParcelLogic(partitions)
