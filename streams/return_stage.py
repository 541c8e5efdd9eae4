"""The return stage: facts of a return and reports of its parcels in, escalations, cases and journeys out.

A parcel that has no return yet stands here under a key of its own (streams/parcel_look.py) when the dock has it.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from schemas.canary import is_canary
from schemas.facts import CaseCommand, Erasure, ParcelReport, ReturnFact, decode_return_record
from schemas.vocabulary import AnswerReason, CaseState, CommandType, Milestone
from streams import kpis, return_journey
from streams.batch import HIDDEN_MARK, Change, Hiding
from streams.case_commands import answer_message, counted, remember, settled
from streams.cases import STANDING, Telling
from streams.cells import Adds, is_cell, look_ms_of
from streams.feed_cases import look_at_feed
from streams.feed_holds import UNWATCHED
from streams.feeds import Feeds
from streams.findings import nothing_to_look_for
from streams.forgetting import Hidden, decode_hidden, hide, hide_now, look_at_hidden
from streams.keys import feed_named, feed_subject, partition_of
from streams.kpi_snapshots import look_at_cell
from streams.parcel_look import OWN_KEY
from streams.return_forgetting import answer_about_forgotten, answer_to, farewell, hidden_record
from streams.return_look import FORGET_AFTER_MS, look
from streams.return_view import ReturnView
from streams.returns import (
    MOST_EVIDENCE_BYTES,
    ReturnState,
    decode_return,
    encode_return,
    has_outgrown,
    merge_fact,
    merge_report,
)
from streams.terms import CompiledPolicy
from streams.traces import is_trace
from streams.watermark import HELD_NO_MORE, Forgotten, Outgoing


class ReturnLogic:
    """Implements streams.partition.Logic for returns."""

    stage = "returns"
    says_again = False

    def __init__(self, partitions: int) -> None:
        """`partitions`: of the topic `returns`: each keeps the cases of the feeds whose keys are its own."""
        self.marks: tuple[str, int] | None = None
        self._partitions = partitions
        self._feeds = UNWATCHED
        self.notes: list[tuple[str, str]] = []
        self.delays: list[tuple[str, int]] = []
        self.forgotten = Forgotten()
        self._policy: CompiledPolicy | None = None
        self._number = 0

    @property
    def _accept_age_ms(self) -> int | None:
        """None before the first policy."""
        return self._policy.accept_age_ms if self._policy is not None else None

    def adopt(self, policy: bytes) -> str:
        """Decide by this policy from now on."""
        self._policy = CompiledPolicy(policy)
        if self._feeds is not UNWATCHED:
            self._feeds.adopt(self._policy.feeds)
        return self._policy.hash

    def bind(self, number: int, feeds: Feeds) -> None:
        """Partition p of `returns` writes to partition p of each output."""
        self._number, self._feeds = number, feeds

    def feed_key(self, feed: str) -> bytes | None:
        """Where the cases of a feed live, when that is here."""
        key = (OWN_KEY + feed_subject(feed)).encode()
        return key if partition_of(key, self._partitions) == self._number else None

    def apply(
        self, key: bytes, value: bytes, raw: bytes | None, armed_ms: int, watermark_ms: int
    ) -> Change | None:
        """Fold a fact or a report in; look, when there is a breach to judge."""
        record = decode_return_record(value)
        policy = self._policy
        state = decode_return(raw) if raw is not None else ReturnState()
        before = kpis.as_counted(state)
        if isinstance(record, Erasure):
            return self._forgotten(key, state, Hidden(record.at_ms), record.salt, watermark_ms)
        if isinstance(record, CaseCommand) and record.command is CommandType.FORGET:
            return self._obey_forget(key, record, state, watermark_ms)
        if isinstance(record, CaseCommand):
            return self._command(key, record, state, raw, armed_ms, watermark_ms)
        if isinstance(record, ParcelReport):
            # one that takes back what we never heard of says nothing
            news = (raw is not None or record.linked) and merge_report(state, record)
        else:
            news = self._merge(record, state, watermark_ms)
        if not news:
            return None
        outgrown = len(raw or b"") + len(value) > MOST_EVIDENCE_BYTES and has_outgrown(state, raw)
        if outgrown or (state.truncated and not before.truncated):
            self.notes.append(("truncated", self.stage))
        if outgrown:
            return None
        if policy is None:
            return Change(encode_return(state), 0)
        if nothing_to_look_for(state):
            return self._without_a_look(key, before, state, armed_ms, watermark_ms, policy)
        return self._looked(key, before, state, watermark_ms, armed_ms, policy)

    # -- what was forgotten ------------------------------------------------------------------------------------

    def _obey_forget(self, key: bytes, command: CaseCommand, state: ReturnState, watermark_ms: int) -> Change:
        record = hidden_record(command, state, watermark_ms)
        self.notes.append(counted(command, AnswerReason(record.answer)))
        change = self._forgotten(key, state, record, command.salt, watermark_ms)
        answered = answer_about_forgotten(command, record, self._number)
        return change._replace(outgoing=[*change.outgoing, answered])

    def _forgotten(
        self, key: bytes, state: ReturnState, record: Hidden, salt: str, watermark_ms: int
    ) -> Change:
        policy = self._policy
        said, notes = farewell(_return_id(key), state, policy, self._number, watermark_ms)
        self.notes += [*notes, ("erased", self.stage)]
        self.notes += [(HELD_NO_MORE, one.label) for one in state.held]
        # What was counted stays; but for its cases nothing is at risk any more.
        before = kpis.as_counted(state)
        state.cases = tuple(
            replace(case, state=CaseState.RESOLVED) if case.state in STANDING else case
            for case in state.cases
        )
        adds = self._adds(key, before, state, watermark_ms) if policy is not None else None
        return Change(None, 0, said, hide(record, self._accept_age_ms, salt), adds)

    def apply_forgotten(
        self, key: bytes, value: bytes, record: bytes, names: Mapping[str, str], watermark_ms: int
    ) -> Change | None:
        """See Logic: commands are answered, all else is passed over."""
        del key, names, watermark_ms
        told = decode_return_record(value)
        if not isinstance(told, CaseCommand):
            self.notes.append(("forgotten", self.stage))
            return None
        forgotten = decode_hidden(record)
        self.notes.append(counted(told, answer_to(told, forgotten)))
        return Change(None, 0, [answer_about_forgotten(told, forgotten, self._number)])

    def named(self, value: bytes) -> tuple[str, ...]:
        """See Forgets: a record on `returns` is about its key, and names no other return."""
        del value
        return ()

    def hidden(self, watermark_ms: int) -> Hiding:
        """See Forgets."""
        return hide_now(self.forgotten, watermark_ms, self._accept_age_ms)

    def without(
        self, key: bytes, raw: bytes, armed_ms: int, names: Mapping[str, str], watermark_ms: int
    ) -> Change | None:
        """See Forgets: a return's state names no other return."""
        del key, raw, armed_ms, names, watermark_ms
        return None

    def apply_without(
        self,
        key: bytes,
        value: bytes,
        stored: tuple[bytes | None, int],
        names: Mapping[str, str],
        watermark_ms: int,
    ) -> Change | None:
        """See Logic."""
        del names
        return self.apply(key, value, *stored, watermark_ms)

    # -- folding and looking -----------------------------------------------------------------------------------

    def _merge(self, fact: ReturnFact, state: ReturnState, watermark_ms: int) -> bool:
        """Fold a fact in; False: it is too old, or it tells nothing new."""
        policy = self._policy
        if policy is not None and fact.occurred_ms <= watermark_ms - policy.accept_age_ms:
            self.notes.append(("too_old", self.stage))
            return False
        if fact.milestone == Milestone.UNMAPPED and not fact.retracts:
            return False
        return merge_fact(state, fact)

    def _command(
        self,
        key: bytes,
        command: CaseCommand,
        state: ReturnState,
        raw: bytes | None,
        armed_ms: int,
        watermark_ms: int,
    ) -> Change:
        """Decide a command, once; every repeat is answered as the first."""
        policy = self._policy
        told = settled(command, state, watermark_ms, self._accept_age_ms)
        change = Change(raw, armed_ms)
        if told is not None:
            again = told in state.commands
            answer = AnswerReason(told.answer)
            self.notes.append(("duplicate", self.stage) if again else counted(command, answer))
        elif policy is None:
            told = remember(state, command, AnswerReason.UNKNOWN_CASE, watermark_ms, 0)
            change = Change(encode_return(state), 0)
        else:
            before = kpis.as_counted(state)
            change = self._looked(key, before, state, watermark_ms, armed_ms, policy, command=command)
            told = state.commands[-1]
        answered = answer_message(command, told, key.decode(), self._number)
        return change._replace(outgoing=[*change.outgoing, answered])

    def look(self, key: bytes, raw: bytes, now_ms: int, *, policy_changed: bool = False) -> Change:
        """Evaluate the return at `now_ms`; publish a cell."""
        if is_cell(key):
            return look_at_cell(key, raw, now_ms, self._number)
        if self._policy is None:
            return Change(raw, 0)
        if key.startswith(HIDDEN_MARK):
            return look_at_hidden(raw, now_ms, self._policy.accept_age_ms)
        state = decode_return(raw) if raw else ReturnState()
        before = kpis.as_counted(state)
        if now_ms < before.look_ms and not policy_changed and not _feed(key):
            return Change(raw, before.look_ms)  # armed for what has come since: nothing is due before that
        change = self._looked(key, before, state, now_ms, 0, self._policy, policy_changed=policy_changed)
        if policy_changed or change.outgoing or change.raw is None:
            return change
        state.look_ms = before.look_ms  # worked out again after a restart, and not worth a record
        return change._replace(raw=raw) if encode_return(state) == raw else change

    def armed_ms(self, key: bytes, raw: bytes) -> int:
        """The next look that the last durable one asked for, or an earlier one."""
        if is_cell(key):
            return look_ms_of(key, raw)
        if is_trace(key):
            return 0
        return decode_hidden(raw).lapses_ms if key.startswith(HIDDEN_MARK) else decode_return(raw).look_ms

    def about(self, value: bytes) -> str:
        """See Logic."""
        record = decode_return_record(value)
        return record.parcel if isinstance(record, ParcelReport) else ""

    def report(self, key: bytes, raw: bytes) -> list[Outgoing]:
        """Nothing: the messages themselves are kept (says_again is False)."""
        del key, raw
        return []

    def _looked(
        self,
        key: bytes,
        before: ReturnState,
        state: ReturnState,
        now_ms: int,
        armed_ms: int,
        policy: CompiledPolicy,
        *,
        policy_changed: bool = False,
        command: CaseCommand | None = None,
    ) -> Change:
        feed = _feed(key)
        if feed:
            found = look_at_feed(
                feed,
                state,
                self._feeds.by_name.get(feed),
                now_ms,
                policy,
                self._number,
                policy_changed=policy_changed,
                command=command,
            )
        else:
            found = look(
                _return_id(key),
                state,
                now_ms,
                policy,
                self._number,
                policy_changed=policy_changed,
                command=command,
                feeds=self._feeds,
            )
        self.notes += found.notes
        self.delays += found.delays
        adds = self._adds(key, before, state, now_ms) if not feed else None
        if not found.keep:
            self.notes += [(HELD_NO_MORE, one.label) for one in state.held]
            return Change(None, 0, found.outgoing, adds=adds)
        next_ms = state.look_ms
        armed_ms = armed_ms if next_ms and now_ms < armed_ms <= next_ms else next_ms
        return Change(encode_return(state), armed_ms, found.outgoing, adds=adds)

    def _without_a_look(
        self,
        key: bytes,
        before: ReturnState,
        state: ReturnState,
        armed_ms: int,
        watermark_ms: int,
        policy: CompiledPolicy,
    ) -> Change:
        """Only forgetting lies ahead, and dates of the journey; a timer that is armed earlier is armed again when it fires."""
        return_id = _return_id(key)
        told = return_journey.NOTHING
        if return_id and policy.tells_journeys:
            telling = Telling(return_id, state, policy, self._number)
            told = return_journey.told(ReturnView(state, policy), telling, watermark_ms, None)
        forget_ms = state.last_heard_ms + policy.accept_age_ms + FORGET_AFTER_MS
        state.look_ms = max(min(forget_ms, told.until_ms or forget_ms), watermark_ms + 1)
        if not watermark_ms < armed_ms <= state.look_ms:
            armed_ms = state.look_ms
        adds = self._adds(key, before, state, watermark_ms)
        return Change(encode_return(state), armed_ms, told.outgoing, adds=adds)

    def _adds(self, key: bytes, before: ReturnState, state: ReturnState, now_ms: int) -> Adds | None:
        if is_canary(_return_id(key)):
            return None
        adds = kpis.adds(before, state, now_ms)
        if state.counted == kpis.NOT_COUNTED != before.counted:
            self.notes.append(("not_counted", self.stage))
        return adds


def _return_id(key: bytes) -> str:
    """Return the id, "" for a parcel that has no return."""
    name = key.decode()
    return "" if name.startswith(OWN_KEY) else name


def _feed(key: bytes) -> str:
    """The feed whose cases are kept there, looked at whenever it changes; "" for a return or a parcel."""
    name = key.decode()
    return feed_named(name.removeprefix(OWN_KEY)) if name.startswith(OWN_KEY) else ""


def return_logic(partitions: int) -> ReturnLogic:
    """Logic of one partition of the return stage. `partitions`: how many `returns` has."""
    return ReturnLogic(partitions)
