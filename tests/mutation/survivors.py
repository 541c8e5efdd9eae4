"""What `make mutation` ends with: fails when a mutant has survived that equivalent.toml does not name.

A mutant is known by its function and by what it changes there, so the list holds when other mutants come or go.
"""

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("equivalent.toml")
DEAD = frozenset({"killed", "timeout"})


class Change(NamedTuple):
    """What a mutant changes: lines without their indentation, joined by blanks."""

    function: str
    was: str
    now: str


def changed(name: str, diff: str) -> Change:
    """The change of a mutant, from its name and `mutmut show`."""
    function = name.partition("__mutmut_")[0].replace(".x_", ".")
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "# "))]
    was, now = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(function, was, now)


def equivalents(text: str) -> set[Change]:
    """The mutants that no test can tell from the original."""
    return {Change(one["function"], one["was"], one["now"]) for one in tomllib.loads(text)["equivalent"]}


def verdict(statuses: Counter[str], survived: dict[str, Change], known: set[Change]) -> list[str]:
    """What is wrong with a run; nothing: all is well."""
    wrong = [
        f"{name} survived: in {change.function}\n  - {change.was}\n  + {change.now}\n"
        "  No test sees the difference. Assert what a user would see of it, or simplify the code; if it can make no"
        f" difference at all, name it in {LIST.name} and say why."
        for name, change in survived.items()
        if change not in known
    ]
    wrong += [
        f"{LIST.name} names a mutant that did not survive: in {change.function}\n  - {change.was}\n  + {change.now}\n"
        "  A test sees it by now, or the code has changed: delete the entry."
        for change in sorted(known - set(survived.values()))
    ]
    odd = {status: count for status, count in statuses.items() if status not in DEAD | {"survived"}}
    if odd or not statuses:
        wrong.append(
            f"Nothing is known of some mutants: {odd or 'there are none'}. Run it again: make mutation"
        )
    return wrong


def _mutmut(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Judge the run whose results lie in mutants/."""
    results = dict(
        line.strip().rsplit(": ", 1)
        for line in _mutmut("results", "--all", "true").splitlines()
        if "__mutmut_" in line
    )
    survived = {
        name: changed(name, _mutmut("show", name)) for name, status in results.items() if status == "survived"
    }
    statuses = Counter(results.values())
    wrong = verdict(statuses, survived, equivalents(LIST.read_text(encoding="utf-8")))
    print("\n".join(wrong))
    print(f"{len(results)} mutants: {dict(statuses)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
