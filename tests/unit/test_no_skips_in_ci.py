from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no promtool here")
def test_does_not(): pass

@pytest.mark.xfail(reason="known")
def test_known(): assert False
"""


def _run_suite(directory: Path, *options: str, ci: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_suite.py").write_text(SUITE)
    (directory / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(directory),
            str(directory),
            *options,
        ],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "side by side"])
def test_in_ci_a_skipped_test_fails_the_run_and_is_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    run = _run_suite(tmp_path, *options, ci="true")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "skipped in CI, which is a failure" in run.stdout
    assert "test_does_not: Skipped: no promtool here" in run.stdout


def test_elsewhere_a_skipped_test_is_fine(tmp_path: Path) -> None:
    run = _run_suite(tmp_path, ci="")
    assert run.returncode == pytest.ExitCode.OK, run.stdout + run.stderr
