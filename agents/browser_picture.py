"""Pictures of pages, for the documentation: taken by Chromium without a window."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from agents.errors import Finding, UserError

TIMEOUT_SECONDS = 60.0
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class PictureError(UserError):
    """Chromium is not here, or took no picture."""


def find_chromium() -> str:
    """Its path. Raises PictureError that says how to get it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise PictureError([Finding("chromium", "is not here", todo="apt-get install chromium, as root")])
    return chromium


def take_picture(url: str, file: Path, size: str = "1200,1000") -> None:
    """Write what `url` looks like to `file` (PNG). Raises PictureError."""
    with tempfile.TemporaryDirectory() as profile:
        places = [f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={file.resolve()}"]
        command = [find_chromium(), *QUIET, *places, "--virtual-time-budget=4000", url]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise PictureError([Finding(url, "Chromium took no picture within a minute")]) from error
    if done.returncode or not file.is_file():
        raise PictureError([Finding(url, f"Chromium ended with {done.returncode} and took no picture")])
