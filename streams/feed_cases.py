"""One look at a feed: the cases about it, from the spells in which something was the matter with it (streams/feed_state.py).

Every partition of `returns` sees every feed; the cases of a feed live in the partition of its own key. A spell is one case,
from when it was certain until the feed was heard of as before, its backlog included.
"""

from schemas.facts import CaseCommand
from schemas.vocabulary import Reason
from streams.case_commands import obey
from streams.case_teller import CaseTeller, ReturnLook
from streams.cases import STANDING, Finding, Telling, Verdict, tombstone
from streams.clocks import DAY_MS
from streams.feed_state import Feed
from streams.returns import CaseRecord, ReturnState
from streams.rules.feeds import of_feed
from streams.terms import CompiledPolicy
from streams.watermark import Outgoing

FORGET_STEP_MS = 10 * DAY_MS
"""How often it is looked at whether there is something that is old enough to be forgotten."""
MOST_CASES = 64
"""Closed cases beyond these are forgotten, the oldest first."""


def look_at_feed(
    name: str,
    state: ReturnState,
    feed: Feed | None,
    now_ms: int,
    policy: CompiledPolicy,
    partition: int,
    *,
    policy_changed: bool,
    command: CaseCommand | None = None,
) -> ReturnLook:
    """Evaluate at `now_ms`. `feed`: None when it is not watched, or no longer."""
    telling = Telling("", state, policy, partition, feed)
    teller = CaseTeller(telling, now_ms)
    enabled = policy.enabled_feed_rules
    found = [one for one in of_feed(name, feed, now_ms) if one.rule in enabled] if feed is not None else []
    known = {one[:3] for one in found}
    found += [
        _gone(case, now_ms)
        for key, case in teller.cases.items()
        if case.state in STANDING and key not in known and case.rule in enabled
    ]
    for finding in found:
        teller.follow(finding)
    why = Reason.POLICY_CHANGED if policy_changed else Reason.LATE_EVIDENCE
    teller.close_unfound({one[:3] for one in found}, why)
    if command is not None:
        obey(command, teller, telling, found, now_ms)
    forgotten = _forget_old(state, teller, telling, now_ms)
    state.cases = tuple(teller.cases.values())
    teller.outgoing += forgotten
    keep = bool(state.cases) or bool(state.commands)
    if teller.more:
        state.look_ms = now_ms + 1
    else:
        state.look_ms = min(now_ms + FORGET_STEP_MS, teller.next_level_ms()) if keep else 0
    return ReturnLook(keep, teller.outgoing, teller.notes, teller.delays)


def _gone(case: CaseRecord, now_ms: int) -> Finding:
    """Of a feed that nobody expects any more."""
    about = (case.rule, case.parcel, case.anchor)
    return Finding(*about, Verdict.ENDED, Reason.EXPIRED, case.since_ms, case.due_ms, now_ms, ())


def _forget_old(state: ReturnState, teller: CaseTeller, telling: Telling, now_ms: int) -> list[Outgoing]:
    """Let go of cases and commands that are too old to be asked about."""
    oldest_ms = now_ms - telling.policy.accept_age_ms
    state.commands = tuple(told for told in state.commands if told.at_ms > oldest_ms)
    closed = [(key, case) for key, case in teller.cases.items() if case.state not in STANDING]
    closed.sort(key=lambda one: one[1].effective_ms)
    room = max(0, MOST_CASES - (len(teller.cases) - len(closed)))
    gone = []
    for index, (key, case) in enumerate(closed):
        if case.effective_ms < oldest_ms or index < len(closed) - room:
            del teller.cases[key]
            if case.revision:
                gone.append(tombstone(telling, case))
    return gone
