"""deploy/Dockerfile: no engine can build it here, so it is linted, and what it installs is installed in a clean place."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
HADOLINT = Path(sys.executable).parent / "hadolint"


def test_hadolint_finds_nothing_wrong() -> None:
    done = subprocess.run([str(HADOLINT), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text(DOCKERFILE.read_text().replace('CMD ["worker"]', "CMD worker"))
    done = subprocess.run([str(HADOLINT), str(careless)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DL3025" in done.stdout


def instructions() -> list[tuple[str, str]]:
    """Those of the stage that installs, each on one line."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    stage = text.split("AS build\n")[1].split("\nFROM ")[0]
    lines = [line for line in stage.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


@pytest.mark.slow
def test_what_it_installs_runs_in_a_clean_place(tmp_path: Path) -> None:
    """The stage `build`, instruction by instruction, below a directory of the test's own."""
    src = tmp_path / "src"
    src.mkdir()
    inherited = {
        name: value for name, value in os.environ.items() if name in {"HOME", "PATH", "PIP_INDEX_URL"}
    }
    for instruction, rest in instructions():
        if instruction == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy(ROOT / source, src / target)
        elif instruction == "RUN":
            here = re.sub(r"(?<![\w.])/(opt|src)\b", rf"{tmp_path}/\1", rest)
            here = re.sub(r"\bpython -m venv", f"{sys.executable} -m venv", here, count=1)
            done = subprocess.run(
                ["/bin/sh", "-ec", here], cwd=src, env=inherited, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{rest}\n{done.stdout[-3_000:]}{done.stderr[-3_000:]}"
        else:
            assert instruction in {"ENV", "WORKDIR"}, f"this does not know {instruction}"
    installed = tmp_path / "opt/returnwatch/bin"
    told = subprocess.run(
        [str(installed / "returnwatch"), "policy", "show", "--default"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=inherited,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    found = subprocess.run(
        [str(installed / "python"), "-c", "import agents; print(agents.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=inherited,
    )  # fmt: skip
    assert found.stdout.startswith(str(tmp_path)), "the installed one, not the one beside this test"


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target / source.name if target.is_dir() else target)
