"""What was said about refunds, compared with what the oracle expects."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from schemas.outputs import RefundAction, RefundSignal
from simulation.expect_signals import Calm, ExpectedSignals, Loose, Said
from simulation.payable import Asked, Why, left_of

_MILLISECOND: Final = timedelta(milliseconds=1)


def wrong_signals(
    expected: Iterable[ExpectedSignals], told: Iterable[RefundSignal], bound: timedelta
) -> list[str]:
    """What was said, each message once and in order, and should not have been, or was not and should have been: in sentences."""
    of_return: dict[str, list[RefundSignal]] = defaultdict(list)
    for signal in told:
        of_return[signal.return_id].append(signal)
    problems = []
    for one in expected:
        found = of_return.pop(one.return_id, [])
        if any(_is_this_way(found, way, bound) for way in one.possible):
            continue
        wrong = _wrong_in_any_order(found, one.loose, bound) if one.loose is not None else "not possible"
        if wrong:
            problems.append(
                f"refund of {one.return_id}: {wrong}: {_shown(found)}; possible: {one.possible or 'nothing'}"
            )
    return [
        *problems,
        *(f"refund of {name}, which nobody knows: {_shown(found)}" for name, found in of_return.items()),
    ]


# ---- in one of the ways that there are ----------------------------------------------------------------------------


def _is_this_way(found: Sequence[RefundSignal], way: Sequence[Said], bound: timedelta) -> bool:
    return len(found) == len(way) and all(map(_is_this, found, way, [bound] * len(way)))


def _is_this(signal: RefundSignal, said: Said, bound: timedelta) -> bool:
    """A revocation is told as soon as it is read, which may be before the log's clock has come so far."""
    earliest = said.earliest - bound if signal.action is RefundAction.REVOKE else said.earliest
    return (
        (signal.action, signal.tier, signal.revision) == said[:3]
        and earliest <= signal.effective_at <= said.latest + bound
        and _asked(signal) in said.asked
        and _is_reason(signal, said.why)
        and bool(signal.evidence)
    )


def _asked(signal: RefundSignal) -> Asked:
    return Asked(signal.value, signal.resolution, signal.customer_risk, signal.category)


def _is_reason(signal: RefundSignal, why: Iterable[Why]) -> bool:
    times = [since or signal.effective_at for reason, since in why if reason is signal.reason]
    return any(abs(since - signal.since_at) < _MILLISECOND for since in times)


# ---- where it may be known in any order ---------------------------------------------------------------------------


def _wrong_in_any_order(found: Sequence[RefundSignal], loose: Loose, bound: timedelta) -> str:
    """What is wrong in whatever order the records were read; "": nothing."""
    wrong = [why for before, signal in _each_after(found) if (why := _wrong_alone(signal, before, loose))]
    for calm in loose.calms:
        if calm.since + bound < calm.until:
            wrong += _wrong_at_rest([one for one in found if one.effective_at < calm.until], calm, loose)
    return "; ".join(wrong)


def _each_after(found: Sequence[RefundSignal]) -> Iterator[tuple[Sequence[RefundSignal], RefundSignal]]:
    return ((found[:index], signal) for index, signal in enumerate(found))


def _wrong_alone(signal: RefundSignal, before: Sequence[RefundSignal], loose: Loose) -> str:
    """What was said is about something that was so at some time, and follows what was said before."""
    same = [one for one in before if one.tier == signal.tier]
    standing = before[-1].tier if before and before[-1].action is RefundAction.RELEASE else None
    if signal.revision != len(same) + 1 or signal.action is not _action_of(signal.revision):
        return f"{signal.tier}:{signal.revision} is out of turn"
    if standing != (signal.tier if signal.action is RefundAction.REVOKE else None):
        return f"{signal.tier}:{signal.revision} while {standing or 'nothing'} stands"
    if signal.tier not in loose.fitting:
        return f"it never fitted {signal.tier}"
    if signal.action is RefundAction.RELEASE and signal.tier not in _left(before, loose.tiers):
        return f"{signal.tier} is not a later tier"
    if _asked(signal) not in loose.asked:
        return f"nobody asked for {_asked(signal)}"
    if not _is_reason(signal, loose.why):
        return f"{signal.reason} since {signal.since_at} was never true"
    return "" if signal.evidence else f"{signal.tier}:{signal.revision} names no evidence"


def _action_of(revision: int) -> RefundAction:
    return RefundAction.RELEASE if revision % 2 else RefundAction.REVOKE


def _left(before: Sequence[RefundSignal], tiers: Sequence[str]) -> list[str]:
    return left_of(tiers, {one.tier: one.reason for one in before})


def _wrong_at_rest(said: Sequence[RefundSignal], calm: Calm, loose: Loose) -> Iterator[str]:
    """When nothing new was known for long, what stands is what should, and nothing is left to say."""
    at, last = f"{calm.until:%m-%d %H:%M}", said[-1] if said else None
    if last is not None and last.action is RefundAction.RELEASE:
        if calm.against:
            yield f"{last.tier} stands at {at} against all that is known"
        if not calm.paid and (calm.asked is None or not calm.asked.is_same_money(_asked(last))):
            yield f"{last.tier} stands at {at}, and {calm.asked} is asked for"
        if not calm.paid and last.tier not in calm.stands:
            yield f"{last.tier} stands at {at}, and the return does not fit, or no goods have come so far"
    elif not calm.against and not calm.paid:
        left = [tier for tier in _left(said, loose.tiers) if tier in calm.left]
        if left:
            yield f"nothing stands at {at}, and {left[0]} could be released"


def _shown(found: Sequence[RefundSignal]) -> str:
    return "; ".join(map(_one_shown, found)) or "nothing was said"


def _one_shown(signal: RefundSignal) -> str:
    what = f"{signal.tier}:{signal.revision} {signal.action} {signal.reason} since {_hour(signal.since_at)}"
    return f"{what} at {_hour(signal.effective_at)}, {_asked(signal)}"


def _hour(at: datetime) -> str:
    return f"{at:%m-%d %H:%M}"
