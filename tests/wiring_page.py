"""What docs/wiring.md shows, made by the commands themselves: `python -m tests.wiring_page` writes it."""

import os
import re
import shlex
import sys
import tempfile
from difflib import SequenceMatcher, unified_diff
from pathlib import Path

from tests.command_line import returnwatch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/wiring.md"
FOLDER = ROOT / "docs/examples/wiring"
_BLOCK = re.compile(r"```(console|diff)( \w+)?\n(.*?)```", re.DOTALL)
_COMMANDS = {
    "warehouse": ["docs/examples/wiring/warehouse.jsonl"],
    "orders": ["docs/examples/wiring/orders.jsonl"],
    "velo": ["docs/examples/wiring/velo.xml", "--kind", "carrier-scans", "--carrier", "velo"],
}


def inferred(name: str) -> str:
    """The file that is proposed for an example; `velo_codes`: the rows of codes."""
    if name == "velo_codes":
        with tempfile.TemporaryDirectory() as folder:
            returnwatch("sources", "infer", *_COMMANDS["velo"], "--codes", folder)
            return (Path(folder) / "codes.csv").read_text(encoding="utf-8")
    return returnwatch("sources", "infer", *_COMMANDS[name]).out


def final(name: str) -> str:
    """The file as it was edited."""
    file = FOLDER / "velo_codes/codes.csv" if name == "velo_codes" else FOLDER / f"{name}.yaml"
    return file.read_text(encoding="utf-8")


def edited_lines(name: str) -> int:
    """How many lines a person had to change or add."""
    before, after = inferred(name).splitlines(), final(name).splitlines()
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for step, a, b, c, d in steps if step != "equal")


def rendered(text: str) -> str:
    """The page with what the commands print now."""
    return _BLOCK.sub(_block, text)


def _block(found: re.Match[str]) -> str:
    kind, name, content = found.groups()
    if kind == "diff":
        wanted = (name or "").strip()
        difference = unified_diff(inferred(wanted).splitlines(), final(wanted).splitlines(), n=1, lineterm="")
        return f"```diff {wanted}\n" + "\n".join(list(difference)[2:]) + "\n```"
    command = content.partition("\n")[0]
    if not command.startswith("$ returnwatch sources "):
        return found[0]
    words = shlex.split(command)[2:]
    with tempfile.TemporaryDirectory() as folder:
        told = returnwatch(*(folder if word == "velo_codes" else word for word in words)).out
    lines = [line.rstrip() for line in told.splitlines()]
    return f"```console\n{command}\n" + "\n".join(line for line in lines if line) + "\n```"


def main() -> int:
    """Write the page."""
    os.chdir(ROOT)
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
