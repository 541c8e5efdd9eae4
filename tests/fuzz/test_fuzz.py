"""What fuzzing has kept, played again, and a short run of it that is the same each time."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.seeds import kept, seeds
from tests.fuzz.targets import TARGETS

RUNS = 3_000
NEEDS_ATHERIS = pytest.mark.skipif(
    find_spec("atheris") is None,
    reason="atheris is absent: it is in requirements-dev.lock for Python 3.11 to 3.13 on Linux with x86-64",
)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_that_was_found_or_kept_breaks_anything(target: str) -> None:
    inputs = [*seeds(target), *kept(target)]
    assert len(inputs) > len([*seeds(target)]), "a corpus is kept"
    for one in inputs:
        TARGETS[target](one)


@NEEDS_ATHERIS
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(target: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", target, f"--runs={RUNS}", f"--found={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-4_000:]
    assert f"stat::number_of_executed_units: {RUNS}" in done.stderr


@NEEDS_ATHERIS
def test_what_breaks_is_found_and_left(tmp_path: Path) -> None:
    """The same machinery, with a target that breaks when the input begins with two of its letters."""
    script = tmp_path / "breaks.py"
    script.write_text(
        "import sys, atheris\n"
        "@atheris.instrument_func\n"
        "def target(data):\n"
        "    if data[:1] == b'r' and data[1:2] == b'w':\n"
        "        raise ValueError('broken')\n"
        "atheris.Setup(sys.argv, target)\n"
        "atheris.Fuzz()\n"
    )
    command = [sys.executable, str(script), "-runs=200000", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    assert [file.read_bytes()[:2] for file in tmp_path.glob("crash-*")] == [b"rw"]
