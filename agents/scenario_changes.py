"""How scenarios write a change of a case: `late_refund R1: opened`, `missing_first_scan R1 ups:1Z1: resolved first_scan`."""

import re

from agents.errors import did_you_mean
from schemas.outputs import Case, Escalation, is_update
from schemas.vocabulary import AnswerReason, CaseState, CommandType, Reason, RuleId

FORM = "write it as `missing_first_scan R1 ups:1Z1: opened`"
CHANGES = ("opened", "escalated to N", "updated REASON", "resolved REASON", "retracted REASON")
REFUSED = "refused"
"""What a command may be: `resolve RULE RETURN PARCEL: refused REASON`, or `resolve RETURN: refused unknown_case`."""
_WORDS = {
    CaseState.OPEN: "opened",
    CaseState.ESCALATED: "escalated to",
    CaseState.RESOLVED: "resolved",
    CaseState.RETRACTED: "retracted",
}
_WRITTEN = re.compile(r"(?P<rule>[^\s:]+)(?P<subject>( \S+)*?): (?P<change>[^:]+)")


def subject_text(case: Case) -> str:
    """`RULE RETURN PARCEL`; a subject that the case does not have is left out."""
    feed = case.feed.name if case.feed is not None else ""
    return " ".join(part for part in (case.rule, case.return_id, case.parcel, feed) if part)


def change_text(escalation: Escalation) -> str:
    """`RULE RETURN PARCEL: CHANGE`; a subject that the case does not have is left out."""
    change = _WORDS[escalation.state]
    if is_update(escalation):
        change = f"updated {escalation.reason}"
    elif escalation.state is CaseState.ESCALATED:
        change += f" {escalation.level}"
    elif escalation.state is not CaseState.OPEN:
        change += f" {escalation.reason}"
    return f"{subject_text(escalation)}: {change}{' historical' if escalation.historical else ''}"


def canonical(written: str) -> str:
    """The change without spaces too many. Raises ValueError, `what; what to do`, where no change could ever read so."""
    text = " ".join(written.split())
    command, _, rest = text.partition(" ")
    is_answer = command in set(CommandType)
    match = _WRITTEN.fullmatch(rest if is_answer else text)
    if match is None:
        raise ValueError(f"{written!r} is no change of a case; {FORM}")
    rules = [rule.value for rule in RuleId]
    of_no_case = is_answer and match["change"] == f"{REFUSED} {AnswerReason.UNKNOWN_CASE}"
    if match["rule"] not in rules and not of_no_case:
        hint = did_you_mean(match["rule"], rules) or "docs/rules.md lists the rules"
        raise ValueError(f"there is no rule `{match['rule']}`; {hint}")
    if is_answer:
        _check_refusal(match["change"])
    else:
        _check(match["change"].removesuffix(" historical"))
    return text


def _check_refusal(answer: str) -> None:
    word, _, rest = answer.partition(" ")
    reasons = [reason.value for reason in AnswerReason if not reason.accepted]
    if word != REFUSED or rest not in reasons:
        hint = (
            did_you_mean(rest, reasons) or f"write `{REFUSED} REASON`; the reasons are {', '.join(reasons)}"
        )
        raise ValueError(f"a command is never answered with `{answer}`; {hint}")


def _check(change: str) -> None:
    word, _, rest = change.partition(" ")
    if word in {"resolved", "retracted", "updated"}:
        reasons = [reason.value for reason in Reason]
        if rest not in reasons:
            hint = did_you_mean(rest, reasons) or f"the reasons are {', '.join(reasons)}"
            raise ValueError(f"a case is never {word} with the reason `{rest}`; {hint}")
    elif change != "opened" and not re.fullmatch(r"escalated to [2-9]", change):
        hint = did_you_mean(change, CHANGES) or f"a change is {', '.join(CHANGES)}"
        raise ValueError(f"nothing ever happens to a case that is called `{change}`; {hint}")
