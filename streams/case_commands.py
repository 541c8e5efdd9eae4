"""What people tell about cases: decided once, by what the evidence says at the command's place in the log.

    case is            acknowledge, snooze, assign   resolve             reopen                note
    open, escalated    done                          done                refused               passed on
    resolved by hand   refused                       refused             done, if it is so     passed on
    resolved           refused                       refused             refused               passed on
    retracted          refused                       refused             refused               passed on
    not there          refused                       refused             refused               refused

An acknowledged case goes up no further. A snoozed one neither, until its time; then it wakes with the level it has come
to meanwhile. One takes the place of the other. To tell again what is so already is accepted, and changes nothing.
What was decided is remembered by the command's identity, as long as the return is, and of refusals the newest: a repeat
changes nothing and is answered with the same record. An answer that says anything else has another id.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol
from uuid import uuid5

from msgspec.structs import replace

from schemas.command_answers import CommandAnswer, command_answer_headers, encode_command_answer
from schemas.facts import CaseCommand
from schemas.outputs import utc
from schemas.vocabulary import AnswerReason, CaseState, CommandType, Reason
from streams.cases import NAMESPACE, STANDING, Finding, Telling, Verdict, case_id
from streams.clocks import DAY_MS
from streams.parcel_look import OWN_KEY
from streams.returns import CaseRecord, Decided, Handling, ReturnState
from streams.watermark import Outgoing

MOST_COMMANDS: Final = 256
"""Commands that one return has accepted; no more are taken."""
MOST_REFUSED: Final = 256
"""Of so many refusals the newest are remembered: a repeat of an older one is decided anew."""
FURTHEST_SNOOZE_MS: Final = 90 * DAY_MS
_DISPUTES = frozenset({Reason.DISPUTE_OPENED, Reason.DISPUTE_CLOSED})
_NOBODY = Handling()

_EXPLANATIONS: Final[dict[AnswerReason, str]] = {
    AnswerReason.DONE: "Done.",
    AnswerReason.ALREADY_SO: "It was so already; nothing has changed.",
    AnswerReason.UNKNOWN_CASE: "This return has no case of that id: look it up in `cases`, and name the case's own "
    "return, or its parcel where it has none. A return that was forgotten has no cases any more.",
    AnswerReason.CASE_CLOSED: "The case is closed; nobody has to do anything about it.",
    AnswerReason.NOT_CLOSED_BY_HAND: "Only a case that was resolved by hand can be opened again; others open by themselves.",
    AnswerReason.BREACH_OVER: "What was missing has happened meanwhile, or another case tells of its cause.",
    AnswerReason.UNTIL_PASSED: "The time until which it was to be quiet has passed; give a later one.",
    AnswerReason.UNTIL_TOO_FAR: "A case is put off for 90 days at most; give an earlier time.",
    AnswerReason.TOO_OLD: "The command is older than what is accepted (the policy's `accept_age`).",
    AnswerReason.TOO_MANY: f"This return has accepted {MOST_COMMANDS} commands, and takes no more.",
    AnswerReason.ID_REUSED: "Another command had this id; give each command an id of its own.",
}


class ByHand(NamedTuple):
    """What a command does to a case."""

    state: CaseState
    reason: Reason
    handling: Handling


class Desk(Protocol):
    """Where the cases of one return are kept during a look."""

    cases: dict[tuple[str, str, str], CaseRecord]
    notes: list[tuple[str, str]]

    def change_by_hand(self, finding: Finding, change: ByHand) -> None:
        """Change a case, and say so."""
        ...


# -- deciding -----------------------------------------------------------------------------------------------------


def obey(
    command: CaseCommand, desk: Desk, telling: Telling, found: Sequence[Finding], now_ms: int
) -> Decided:
    """Decide a command, do what it says, and remember it. `found`: what the evidence says of the return at `now_ms`."""
    names = {case_id(c.rule, telling.return_id, c.parcel, c.anchor): key for key, c in desk.cases.items()}
    key = names.get(command.case_id)
    case = desk.cases[key] if key is not None else None
    if case is None or key is None or not case.revision:
        answer, revision = AnswerReason.UNKNOWN_CASE, 0
    else:
        finding = _finding_of(case, found)
        answer, change = decide(command, case, now_ms, stands=finding.verdict is Verdict.OPEN)
        revision = case.revision
        if change is not None:
            revision += 1  # the change by hand; where it makes the case go up at once, that has the next
            desk.change_by_hand(finding, change)
    desk.notes.append(counted(command, answer))
    return remember(telling.state, command, answer, now_ms, revision)


def decide(
    command: CaseCommand, case: CaseRecord, now_ms: int, *, stands: bool
) -> tuple[AnswerReason, ByHand | None]:
    """What a command does to a case that was said; `stands`: there still is what the case tells of."""
    if command.command is CommandType.NOTE:
        return AnswerReason.DONE, None
    if command.command is CommandType.REOPEN:
        return _reopened(case, stands=stands)
    handling = case.handling or _NOBODY
    if case.state not in STANDING:
        same = (command.by, str(command.closure)) == (handling.closed_by, handling.closure)
        resolved_again = command.command is CommandType.RESOLVE and same
        return (AnswerReason.ALREADY_SO if resolved_again else AnswerReason.CASE_CLOSED), None
    return _handled(command, case, handling, now_ms)


def _handled(
    command: CaseCommand, case: CaseRecord, handling: Handling, now_ms: int
) -> tuple[AnswerReason, ByHand | None]:
    """Of a case that stands."""
    state, by = CaseState(case.state), command.by
    if command.command is CommandType.RESOLVE:
        closed = replace(_awake(handling), closed_by=by, closure=str(command.closure))
        return AnswerReason.DONE, ByHand(CaseState.RESOLVED, Reason.BY_HAND, closed)
    if command.command is CommandType.ASSIGN:
        after, reason = replace(handling, assigned_to=command.to), Reason.ASSIGNED
    elif command.command is CommandType.ACKNOWLEDGE:
        at_ms = handling.acknowledged_ms if handling.acknowledged_by == by else command.occurred_ms
        after = replace(_awake(handling), acknowledged_by=by, acknowledged_ms=at_ms)
        reason = Reason.ACKNOWLEDGED
    else:
        until_ms = command.until_ms or now_ms + command.duration_ms
        if until_ms <= now_ms:
            return AnswerReason.UNTIL_PASSED, None
        if until_ms > now_ms + FURTHEST_SNOOZE_MS:
            return AnswerReason.UNTIL_TOO_FAR, None
        after = replace(
            handling,
            acknowledged_by="",
            acknowledged_ms=0,
            snoozed_by=by,
            snoozed_until_ms=until_ms,
        )
        reason = Reason.SNOOZED
    if after == handling:
        return AnswerReason.ALREADY_SO, None
    return AnswerReason.DONE, ByHand(state, reason, after)


def _reopened(case: CaseRecord, *, stands: bool) -> tuple[AnswerReason, ByHand | None]:
    handling = case.handling or _NOBODY
    if case.state != CaseState.RESOLVED or not handling.closed_by:
        return AnswerReason.NOT_CLOSED_BY_HAND, None
    if not stands:
        return AnswerReason.BREACH_OVER, None
    state = CaseState.ESCALATED if case.level > 1 else CaseState.OPEN
    return AnswerReason.DONE, ByHand(state, Reason.REOPENED, Handling(assigned_to=handling.assigned_to))


def _finding_of(case: CaseRecord, found: Sequence[Finding]) -> Finding:
    key = (case.rule, case.parcel, case.anchor)
    of_case = next((one for one in found if one[:3] == key), None)
    if of_case is not None:
        return of_case
    return Finding(*key, Verdict.NONE, Reason(case.reason), case.since_ms, case.due_ms, 0, ())


# -- what was told about a case -----------------------------------------------------------------------------------


def is_quiet(case: CaseRecord, now_ms: int) -> bool:
    """Whether it goes up no further: somebody looks at it, or it is snoozed."""
    handling = case.handling
    return handling is not None and bool(handling.acknowledged_ms or handling.snoozed_until_ms > now_ms)


def woken_ms(case: CaseRecord) -> int:
    """The time until which it is, or was, snoozed; 0: it was not."""
    return case.handling.snoozed_until_ms if case.handling is not None else 0


def handling_after(handling: Handling | None, reason: Reason) -> Handling | None:
    """What is left of it after a change by the evidence or by time: a snooze is over, and what was closed by hand is not."""
    if handling is None or reason in _DISPUTES:
        return handling
    return replace(_awake(handling), closed_by="", closure="")


def _awake(handling: Handling) -> Handling:
    return replace(handling, snoozed_by="", snoozed_until_ms=0)


# -- answers ------------------------------------------------------------------------------------------------------


def settled(
    command: CaseCommand, state: ReturnState, now_ms: int, accept_age_ms: int | None
) -> Decided | None:
    """The answer where there is nothing to decide: a repeat, or a command that is too old or one too many.

    But for a repeat it depends on the command alone, and is not remembered. `accept_age_ms`: None before the first policy.
    """
    known = next((one for one in state.commands if one.identity == command.identity), None)
    if known is not None:
        return known if known.content == command.content else _unseen(command, AnswerReason.ID_REUSED)
    if accept_age_ms is not None and command.occurred_ms <= now_ms - accept_age_ms:
        return _unseen(command, AnswerReason.TOO_OLD)
    if sum(AnswerReason(one.answer).accepted for one in state.commands) >= MOST_COMMANDS:
        return _unseen(command, AnswerReason.TOO_MANY)
    return None


def _unseen(command: CaseCommand, answer: AnswerReason) -> Decided:
    at_ms = command.occurred_ms
    return Decided(command.identity, command.content, answer.value, at_ms, at_ms, 0)


def remember(
    state: ReturnState, command: CaseCommand, answer: AnswerReason, now_ms: int, revision: int
) -> Decided:
    """Note what was decided, so that a repeat is known."""
    at_ms = command.occurred_ms
    told = Decided(command.identity, command.content, answer.value, at_ms, now_ms or at_ms, revision)
    refused = [one for one in state.commands if not AnswerReason(one.answer).accepted]
    gone = refused[0] if not answer.accepted and len(refused) >= MOST_REFUSED else None
    state.commands = (*(one for one in state.commands if one is not gone), told)
    return told


def counted(command: CaseCommand, answer: AnswerReason) -> tuple[str, str]:
    """The note by which an answer is counted."""
    return "command_answered", f"{command.command.value}|{answer.value}"


def answer_message(command: CaseCommand, told: Decided, name: str, partition: int) -> Outgoing:
    """The record for `command-answers`. `name`: the key under which the case lives in `returns`."""
    reason = AnswerReason(told.answer)
    # All of it: what is not remembered may be decided otherwise another time, and is then another answer.
    told_apart = (command.identity, command.content, reason.value, told.at_ms, told.decided_ms, told.revision)
    own = name.startswith(OWN_KEY)
    answer = CommandAnswer(
        answer_id=str(uuid5(NAMESPACE, "|".join(map(str, ("command", name, *told_apart))))),
        command_id=command.command_id,
        audit_id=command.audit_id,
        command=command.command,
        accepted=reason.accepted,
        reason=reason,
        explanation=_EXPLANATIONS[reason],
        case_id=command.case_id,
        return_id="" if own else name,
        parcel=name.removeprefix(OWN_KEY) if own else "",
        by=command.by,
        at=utc(told.at_ms),
        effective_at=utc(told.decided_ms),
        revision=told.revision,
        note=command.text,
    )
    key = (answer.return_id or answer.parcel).encode()
    headers = command_answer_headers(answer)
    return Outgoing("command-answers", key, encode_command_answer(answer), headers, partition)
