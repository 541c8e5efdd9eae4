"""Writes the list of shipped adapters into docs/adapters.md: `python -m agents.adapters_reference`."""

import sys
from pathlib import Path

from schemas.adapter_loading import shipped_adapter, shipped_adapters

FILE = Path(__file__).parent.parent / "docs" / "adapters.md"
_HEADING = "## Shipped\n"


def page(text: str) -> str:
    """The page with the list as it is now behind what a person wrote."""
    lines = [f"{_HEADING}\nMade by `make docs`.\n", "| adapter | format | what it reads |", "|---|---|---|"]
    for name in shipped_adapters():
        adapter = shipped_adapter(name)
        lines.append(f"| `{name}` | {adapter.format} | {adapter.about.strip()} |")
    return text.partition(_HEADING)[0] + "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    FILE.write_text(page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
