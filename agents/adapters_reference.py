"""Writes the lists of shipped adapters and sources into their pages: `python -m agents.adapters_reference`."""

import sys
from pathlib import Path

from schemas.adapter_loading import shipped_adapter, shipped_adapters
from schemas.source_checks import kinds_of, shipped_source, shipped_sources

_DOCS = Path(__file__).parent.parent / "docs"
FILE, SOURCES_FILE = _DOCS / "adapters.md", _DOCS / "wiring.md"
_HEADING = "## Shipped\n"


def page(text: str) -> str:
    """The page with the list as it is now behind what a person wrote."""
    lines = [f"{_HEADING}\nMade by `make docs`.\n", "| adapter | format | what it reads |", "|---|---|---|"]
    for name in shipped_adapters():
        adapter = shipped_adapter(name)
        lines.append(f"| `{name}` | {adapter.format} | {adapter.about.strip()} |")
    return text.partition(_HEADING)[0] + "\n".join(lines) + "\n"


def sources_page(text: str) -> str:
    """The same of sources."""
    lines = [f"{_HEADING}\nMade by `make docs`.\n", "| source | tells | what it reads |", "|---|---|---|"]
    for name in shipped_sources():
        source = shipped_source(name)
        kinds = ", ".join(sorted(kinds_of(source)))
        lines.append(f"| `{name}` | {kinds} | {source.about.strip()} |")
    return text.partition(_HEADING)[0] + "\n".join(lines) + "\n"


def main() -> int:
    """Write the pages."""
    for file, made in ((FILE, page), (SOURCES_FILE, sources_page)):
        file.write_text(made(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
