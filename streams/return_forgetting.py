"""What is said when a return is forgotten: the last word on its cases, the end of what compacted topics keep, the answer."""

from collections.abc import Callable, Iterator
from typing import Final
from uuid import uuid5

from schemas.command_answers import CommandAnswer, command_answer_headers, encode_command_answer
from schemas.facts import CaseCommand
from schemas.outputs import Escalation, Severity, cloud_event_headers, encode_escalation, utc
from schemas.vocabulary import AnswerReason, CaseState, CommandType, ErasureReason, Reason, RuleId
from streams import return_journey
from streams.cases import NAMESPACE, STANDING, Telling, case_id, tombstone
from streams.forgetting import Hidden
from streams.returns import CaseRecord, ReturnState
from streams.terms import CompiledPolicy
from streams.watermark import STANDS_NO_MORE, Outgoing

MOST_LAST_WORDS_BYTES: Final = 400_000
"""Of more cases than fit into this only `cases` tells that they are over: one command is one batch."""
_EXPLANATION = "The return was forgotten on {at}; nobody has to do anything about the case."
_EXPLANATIONS: Final[dict[AnswerReason, str]] = {
    AnswerReason.DONE: "Forgotten: what was kept of the return is deleted, and what comes of it later is ignored.",
    AnswerReason.NOTHING_KNOWN: "Nothing was known of this return; if it comes later, it is ignored. Check the id.",
    AnswerReason.ALREADY_SO: "The return had been forgotten before; nothing has changed.",
    AnswerReason.FORGOTTEN: "The return was forgotten: it has no cases any more, and will have none.",
}


def _of_cases(telling: Telling) -> Iterator[Outgoing]:
    return (tombstone(telling, case) for case in telling.state.cases if case.revision)


def _of_journey(telling: Telling) -> Iterator[Outgoing]:
    if telling.state.journey_digest:
        yield return_journey.forgotten(telling)


COMPACTED: Final[tuple[Callable[[Telling], Iterator[Outgoing]], ...]] = (_of_cases, _of_journey)
"""For each compacted output, the tombstones of a return in it."""


def farewell(
    return_id: str, state: ReturnState, policy: CompiledPolicy | None, partition: int, now_ms: int
) -> tuple[list[Outgoing], list[tuple[str, str]]]:
    """What is said of a return that is forgotten, and the notes of it. `return_id`: "" for a parcel of its own."""
    if policy is None:
        return [], []  # nothing was ever said
    telling = Telling(return_id, state, policy, partition)
    said: list[Outgoing] = []
    notes: list[tuple[str, str]] = []
    size_bytes = 0
    for case in state.cases:
        if case.state not in STANDING:
            continue
        notes.append((STANDS_NO_MORE, f"{case.rule}|{case.level}"))
        last = _last_word(telling, case, now_ms)
        size_bytes += last.size_bytes
        if size_bytes <= MOST_LAST_WORDS_BYTES:
            said.append(last)
            notes.append(("case_resolved", case.rule))
    for tombstones in COMPACTED:
        said += tombstones(telling)
    return said, notes


def _last_word(telling: Telling, case: CaseRecord, now_ms: int) -> Outgoing:
    """That a case which stood is over. It names the case and its rule, and nothing of the return."""
    at_ms = max(now_ms, case.effective_ms)
    rule = RuleId(case.rule)
    told = Escalation(
        case_id=case_id(case.rule, telling.return_id, case.parcel, case.anchor),
        revision=case.revision + 1,
        rule=rule,
        state=CaseState.RESOLVED,
        previous_state=CaseState(case.state),
        reason=Reason.ERASED,
        level=case.level,
        severity=Severity(telling.policy.severity(rule, case.level, disputed=case.disputed)),
        action="",
        return_id="",
        since_at=utc(at_ms),
        due_at=utc(at_ms),
        effective_at=utc(at_ms),
        historical=case.historical,
        policy_hash=telling.policy.hash,
        explanation=_EXPLANATION.format(at=f"{utc(at_ms):%Y-%m-%d %H:%M}"),
    )
    key = told.case_id.encode()
    return Outgoing("escalations", key, encode_escalation(told), cloud_event_headers(told), telling.partition)


# -- answers ------------------------------------------------------------------------------------------------------


def hidden_record(command: CaseCommand, state: ReturnState, now_ms: int) -> Hidden:
    """Who had a return forgotten, when and why, for as long as it is kept forgotten."""
    known = bool(state.facts or state.marks or state.carried or state.cases)
    answer = AnswerReason.DONE if known else AnswerReason.NOTHING_KNOWN
    return Hidden(
        at_ms=max(now_ms, command.occurred_ms),
        identity=command.identity,
        content=command.content,
        told_ms=command.occurred_ms,
        by=command.by,
        why=command.why.value if command.why is not None else "",
        answer=answer.value,
    )


def answer_to(command: CaseCommand, record: Hidden) -> AnswerReason:
    """What becomes of a command about a return that is forgotten, or was by this very command."""
    if command.command is not CommandType.FORGET:
        return AnswerReason.FORGOTTEN
    same = (command.identity, command.content) == (record.identity, record.content)
    return AnswerReason(record.answer) if same else AnswerReason.ALREADY_SO


def answer_about_forgotten(command: CaseCommand, record: Hidden, partition: int) -> Outgoing:
    """The record for `command-answers`: who asked and when, and nothing by which the return could be found."""
    reason = answer_to(command, record)
    first = reason not in {AnswerReason.FORGOTTEN, AnswerReason.ALREADY_SO}
    why = record.why if command.command is CommandType.FORGET else ""
    occasion = "" if first else f"|{command.occurred_ms}"
    answer = CommandAnswer(
        answer_id=str(uuid5(NAMESPACE, f"forgotten|{command.identity}|{command.content}{occasion}")),
        command_id=command.command_id,
        audit_id=command.audit_id,
        command=command.command,
        accepted=reason.accepted,
        reason=reason,
        explanation=_EXPLANATIONS[reason],
        case_id="",
        return_id="",
        by=command.by,
        at=utc(record.told_ms if first else command.occurred_ms),
        effective_at=utc(record.at_ms),
        why=ErasureReason(why) if why else None,
    )
    key = command.command_id.encode()
    return Outgoing(
        "command-answers", key, encode_command_answer(answer), command_answer_headers(answer), partition
    )
