"""Coverage-guided fuzzing: `python -m tests.fuzz adapters --seconds 600`, or `make fuzz`.

It begins with the seeds and with what earlier runs have kept. An input that breaks something is left in the directory
`--found`, and the run ends with 1. `--keep` writes the corpus anew: the least inputs that cover all that is covered.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import keep, kept, seeds
from tests.fuzz.targets import TARGETS

LONGEST_BYTES = 8192
SLOWEST_SECONDS = 20
"""For one input: longer, and it counts as broken."""


def guided(target: str, *arguments: str) -> int:
    """Run libFuzzer on a target; returns its exit code."""
    command = [sys.executable, "-m", "tests.fuzz.guided", target, f"-max_len={LONGEST_BYTES}", *arguments]
    return subprocess.run(command, check=False).returncode


def fuzz(target: str, directory: Path, options: argparse.Namespace) -> int:
    """Fuzz a target; returns the exit code."""
    first, fresh, least = (directory / name for name in ("first", "fresh", "least"))
    for folder in (first, fresh, least):
        folder.mkdir(parents=True)
    for number, one in enumerate([*seeds(target), *kept(target)]):
        first.joinpath(str(number)).write_bytes(one)
    broken = guided(
        target,
        f"-max_total_time={options.seconds}",
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        f"-timeout={SLOWEST_SECONDS}",
        f"-artifact_prefix={options.found}/",
        "-print_final_stats=1",
        str(fresh),
        str(first),
    )
    if options.keep and not broken:
        broken = guided(target, "-merge=1", str(least), str(fresh), str(first))
        count = keep(target, [file.read_bytes() for file in least.iterdir()])
        print(f"{target}: {count} inputs are kept")  # noqa: T201 - for whoever called it
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz targets one by one.")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    parser.add_argument("--seconds", type=int, default=0, help="how long each; 0: until --runs are through")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs; -1: until --seconds are over")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer")
    parser.add_argument(
        "--found", type=Path, default=Path.cwd(), help="where inputs are put that break something"
    )
    parser.add_argument("--keep", action="store_true", help="write the corpus anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="returnwatch-fuzz-") as directory:
        codes = [fuzz(target, Path(directory, target), options) for target in options.targets or TARGETS]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
