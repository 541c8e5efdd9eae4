"""How commands speak: results on standard output, errors and progress on standard error."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agents.errors import Finding

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show_findings(findings: Iterable[Finding], *, title: str = "error") -> None:
    """Each finding on standard error: where and what on the first line, then why, then what to do."""
    for finding in findings:
        head = Text.assemble((f"{title}: ", "bold red"), (finding.where, "bold"), f": {finding.what}")
        err.print(head, soft_wrap=not err.is_terminal)
        if finding.why:
            err.print(_below("why", finding.why))
        if finding.todo:
            err.print(_below("do", finding.todo))


def say(message: str) -> None:
    """A line of progress for a person, on standard error."""
    err.print(Text(message, style="dim"))


def write_line(text: str) -> None:
    """One line of a result for another program, unstyled and never wrapped."""
    sys.stdout.write(text + "\n")


def _below(label: str, text: str) -> Padding:
    return Padding(Text.assemble((f"{label}: ", "cyan"), text), (0, 0, 0, 4), expand=False)
