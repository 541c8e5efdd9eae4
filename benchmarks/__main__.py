"""`make bench`: measure, print a table with bars, and with --write put it into docs/benchmarks.md."""

import argparse
import asyncio
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import FULL, MEASURES, QUICK, Figure, Scale, measure

DOCUMENT = Path(__file__).parents[1] / "docs/benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def conditions(scale: Scale) -> str:
    """On what, with what and how much was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("faust-streaming", "aiokafka", "rocksdict"))
    few, many = scale.open_parcels
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model}), Python {platform.python_version()}, "
        f"{packages}, Apache Kafka 4.1.1 on the same machine, load average before it {os.getloadavg()[0]:.1f}. "
        f"Scale {scale.name}: {scale.parcels:,} parcels with eight events each; {few:,} and {many:,} open parcels."
    )


def table(figures: list[Figure]) -> str:
    """The figures as Markdown."""
    rows = [f"| {f.name} | {f.measured} | {f.bar} | {'yes' if f.met else '**no**'} |" for f in figures]
    return "\n".join(["| figure | measured | bar | met |", "|---|---|---|---|", *rows])


def write(text: str) -> None:
    """Replace what the document says was measured."""
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="a twenty-fifth of it: does it run, not how fast"
    )
    parser.add_argument("--write", action="store_true", help=f"write the result into {DOCUMENT.name}")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in MEASURES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    scale = QUICK if options.quick else FULL
    where = conditions(scale)
    print(where, flush=True)

    def report(figure: Figure) -> None:
        mark = "met    " if figure.met else "NOT MET"
        print(f"{mark}  {figure.name}: {figure.measured} (bar: {figure.bar})", flush=True)

    figures = asyncio.run(measure(options.names or list(MEASURES), scale, report))
    print(f"\n{table(figures)}")
    if options.write:
        write(f"{where}\n\n{table(figures)}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
