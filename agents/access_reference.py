"""Writes the table of rights into docs/kafka-security.md: `python -m agents.access_reference`."""

import re
import sys
from pathlib import Path

from agents.access_list import PURPOSE, Access, Program, Resource, access_of
from agents.settings import Settings

FILE = Path(__file__).parent.parent / "docs/kafka-security.md"
PLACE = re.compile(r"(<!-- access -->\n).*?(<!-- /access -->)", re.DOTALL)


def page(text: str) -> str:
    """The page with the table as it must be."""
    return PLACE.sub(lambda place: f"{place[1]}{table()}{place[2]}", text)


def table() -> str:
    """A section for each program: what it may do on what, for the default names."""
    settings = Settings(bootstrap_servers=("localhost:9092",))
    lines = []
    for program in Program:
        lines += [f"\n### {program}\n", f"{PURPOSE[program]}.\n", "| resource | may |", "|---|---|"]
        allowed: dict[str, list[str]] = {}
        for access in access_of(program, settings):
            allowed.setdefault(_resource(access), []).append(access.operation.value)
        lines += [f"| {resource} | {', '.join(operations)} |" for resource, operations in allowed.items()]
    return "\n".join(lines) + "\n\n"


def main() -> int:
    """Write it."""
    FILE.write_text(page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def _resource(access: Access) -> str:
    kind = {Resource.TOPIC: "topic", Resource.GROUP: "group"}.get(access.resource, "transactional ids")
    return f"{kind} `{access.name}{'*' if access.prefixed else ''}`"


if __name__ == "__main__":
    sys.exit(main())
