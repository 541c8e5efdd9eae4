"""What the demo shows: the simulated clock, counters by rule, the newest escalations, and at the end the scoreboard."""

from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from schemas.vocabulary import CaseState, RuleId
from simulation.scoreboard import Observed, Score

if TYPE_CHECKING:
    from agents.demo_player import Player
    from agents.demo_worker import WorkerProcess
    from agents.escalation_reader import EscalationReader

NEWEST = 8
MOST_PROBLEMS = 20
SCORE_COLUMNS = ("rule", "expected", "found", "missed", "false", "early", "late", "retracted", "wrong end")
STATE_STYLES = {
    CaseState.OPEN: "yellow",
    CaseState.ESCALATED: "red",
    CaseState.RESOLVED: "green",
    CaseState.RETRACTED: "cyan",
}


class DemoView:
    """A rich renderable that is drawn anew twice a second."""

    def __init__(self, player: "Player", reader: "EscalationReader", worker: "WorkerProcess") -> None:
        self._player = player
        self._reader = reader
        self._worker = worker
        self.watermark: datetime | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(self._clock(), self._counters(), self._newest())

    def _clock(self) -> Text:
        now = self._player.simulated_now()
        mark = f"{self.watermark:%d %b %H:%M}" if self.watermark else "not known yet"
        sent, total = self._player.position, self._player.total
        return Text(
            f"{now:%a %d %b %Y %H:%M}  watermark {mark}  records {sent:,}/{total:,}  worker pid {self._worker.pid}"
            f" (starts: {self._worker.starts})",
            style="bold",
        )

    def _counters(self) -> Table:
        table = Table(
            "rule", *(state.value for state in CaseState), title="changes of cases", title_justify="left"
        )
        for column in table.columns[1:]:
            column.justify = "right"
        for rule in RuleId:
            table.add_row(rule, *(str(self._reader.by_rule[rule, state]) for state in CaseState))
        return table

    def _newest(self) -> Table:
        table = Table(
            "log time", "rule", "change", "return", "parcel", "why", title="newest", title_justify="left"
        )
        for change in self._reader.observed[-NEWEST:]:
            table.add_row(*_line(change))
        return table


def _line(change: Observed) -> tuple[str | Text, ...]:
    return (
        f"{change.effective_at:%d %b %H:%M}",
        change.rule,
        Text(change.state, style=STATE_STYLES[change.state]),
        change.return_id,
        change.parcel,
        change.reason,
    )


def show_score(console: Console, score: Score, starts: int) -> bool:
    """Print the final comparison. Returns whether all is as it should be, and enough was decided to say so."""
    title = "found, compared with what the simulated world knows to be true"
    table = Table(
        *SCORE_COLUMNS,
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header == "rule" else "right"
    for rule in score.rules.values():
        wrong_end = rule.wrongly_retracted + rule.not_retracted + rule.wrong_state
        counts = (rule.expected, rule.found, rule.missed, rule.false, rule.early, rule.late)
        table.add_row(rule.rule, *map(str, (*counts, rule.retracted, wrong_end)))
    console.print(table)
    for problem in score.problems[:MOST_PROBLEMS]:
        console.print(f"  {problem}", markup=False)
    # A worker held up for long leaves nothing decided, and a comparison that cannot fail says nothing.
    rules = score.rules.values()
    undecided = any(rule.either for rule in rules) and not any(rule.expected for rule in rules)
    verdict = "nothing missed, false, early or late" if score.ok else "NOT as it should be"
    if undecided:
        verdict = "NOT as it should be: nothing could be decided; play it slower (--minutes)"
    restarts = "" if starts <= 1 else f"; the worker was started {starts} times"
    console.print(f"{verdict}; {score.repeats} repeats, each with an id said before{restarts}")
    return score.ok and not undecided
