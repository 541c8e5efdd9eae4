"""Runs a `returnwatch` command in this process and catches what a person would see."""

import contextlib
import io
import os
from typing import NamedTuple
from unittest import mock

from agents import terminal
from agents.cli import main

# pytest-xdist sets COLUMNS, and what is there at the import would be the width of every command from then on.
terminal.out._width = terminal.err._width = None


class Answer(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def returnwatch(*arguments: str) -> Answer:
    """Run `returnwatch ARGUMENTS...`. An exception that is no exit is let through: a traceback for the user."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    # What is shown must not depend on which test has loaded the console first, nor in what terminal.
    wide = mock.patch.dict(os.environ, {"COLUMNS": "100"})
    as_wide = mock.patch.object(terminal.out, "_width", terminal.out._width or 100)
    with wide, as_wide, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
    return Answer(code, out.getvalue(), err.getvalue())
