"""What a supervisor and Prometheus ask of a worker: /live, /ready and /metrics, on the worker's own loop.

On its own loop on purpose: a loop that hangs answers nobody, and that is the truth about it.
"""

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder

from agents.errors import Finding, SettingsError

STUCK_AFTER_SECONDS = 60.0
STANDING_AFTER_SECONDS = 15.0


@dataclass(slots=True)
class _Watched:
    position: int
    work: int = 0
    waiting_since: float | None = None
    helped: bool = False


class Liveness:
    """Decides whether the worker is stuck: it had something to read for a minute and did not move.

    Only that. A watermark that stands, an open transaction and a long backlog are no reasons to restart; and
    a probe that fails means that the broker is away, which a restart does not mend. `now` is monotonic
    seconds.
    """

    def __init__(self, now: Callable[[], float], stuck_after: float = STUCK_AFTER_SECONDS) -> None:
        self._now = now
        self._stuck_after = stuck_after
        self._watched: dict[tuple[str, int], _Watched] = {}

    def probed(
        self, topic: str, partition: int, position: int, stable_end: int, *, expected: bool, work: int = 0
    ) -> None:
        """Note what a probe that succeeded showed of an owned partition.

        `position` is the next offset to process, `stable_end` the last stable offset, and `work` grows with every
        piece of work finished at one position. `expected` is whether the partition ought to move: it is ready, and
        what it waits for is there.
        """
        watched = self._watched.setdefault((topic, partition), _Watched(position, work))
        moved = (position, work) != (watched.position, watched.work)
        if not expected or moved or stable_end <= position:
            watched.waiting_since, watched.helped = None, False
        elif watched.waiting_since is None:
            watched.waiting_since = self._now()
        watched.position, watched.work = position, work

    def probe_failed(self) -> None:
        """The broker did not answer: nothing can be said of any partition, so every wait starts again."""
        for watched in self._watched.values():
            watched.waiting_since, watched.helped = None, False

    def to_help(self) -> list[tuple[str, int]]:
        """Give the partitions that have stood for STANDING_AFTER_SECONDS, each once for each time that it stands."""
        since = self._now() - STANDING_AFTER_SECONDS
        standing = [
            (where, watched)
            for where, watched in self._watched.items()
            if watched.waiting_since is not None and watched.waiting_since <= since and not watched.helped
        ]
        for _, watched in standing:
            watched.helped = True
        return [where for where, _ in standing]

    def forget(self, topic: str, partition: int) -> None:
        """Drop a partition that is no longer ours."""
        self._watched.pop((topic, partition), None)

    def stuck(self) -> dict[str, float]:
        """Give the partitions that are stuck, as `topic/partition`, with how many seconds they have been."""
        now = self._now()
        waits = {
            f"{topic}/{partition}": now - watched.waiting_since
            for (topic, partition), watched in self._watched.items()
            if watched.waiting_since is not None
        }
        return {where: seconds for where, seconds in waits.items() if seconds >= self._stuck_after}


class Readiness:
    """What has to happen before the worker does its work: each item by name, with why it waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {"start": "the worker is starting"}
        self._notes: dict[str, str] = {}

    def waits_for(self, name: str, reason: str) -> None:
        """Name something that is not there yet; the reason replaces the one given before."""
        self._waiting[name] = reason

    def has(self, name: str) -> None:
        """Say that `name` is there, or does not matter any more."""
        self._waiting.pop(name, None)

    def note(self, name: str, text: str | None) -> None:
        """Say what should be known though the worker does its work; None: it is so no more."""
        if text is None:
            self._notes.pop(name, None)
        else:
            self._notes[name] = text

    def notes(self) -> Mapping[str, str]:
        """Give what should be known, by name."""
        return dict(self._notes)

    def missing(self) -> Mapping[str, str]:
        """Give what is not there yet, by name; empty when the worker is ready."""
        return dict(self._waiting)


@contextmanager
def listening_at(host: str, port: int, flags: str) -> Iterator[None]:
    """Say what can be done when an address cannot be listened at; `flags`: those that choose it. Raises SettingsError."""
    try:
        yield
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        what = "is taken by another process" if taken else f"cannot be listened at: {error.strerror or error}"
        todo = f"choose with {flags}" + (" (port 0: one that is free)" if taken else "")
        raise SettingsError([Finding(f"{host}:{port}", what, todo=todo)]) from error


def health_app(registry: CollectorRegistry, liveness: Liveness, readiness: Readiness) -> web.Application:
    """Build the application with the three routes, and nothing else."""
    app = web.Application()
    app.add_routes(health_routes(registry, liveness, readiness))
    return app


def health_routes(
    registry: CollectorRegistry, liveness: Liveness, readiness: Readiness
) -> list[web.RouteDef]:
    """The three routes; `registry` is told whether the process is ready."""
    is_ready = Gauge(
        "returnwatch_ready", "1 when the worker does its work, 0 while it starts.", registry=registry
    )
    is_ready.set_function(lambda: float(not readiness.missing()))

    async def live(_request: web.Request) -> web.Response:
        stuck = liveness.stuck()
        return _answer(not stuck, {"stuck_seconds": {where: round(wait, 1) for where, wait in stuck.items()}})

    async def ready(_request: web.Request) -> web.Response:
        missing = readiness.missing()
        notes = readiness.notes()
        return _answer(
            not missing, {"waiting_for": dict(missing)} | ({"notes": dict(notes)} if notes else {})
        )

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return [web.get("/live", live), web.get("/ready", ready), web.get("/metrics", metrics)]


def _answer(good: bool, detail: Mapping[str, object]) -> web.Response:
    body = json.dumps({"ok": good, **detail}, sort_keys=True)
    return web.Response(text=body, status=200 if good else 503, content_type="application/json")


class HealthServer:
    """Serves `health_app` on `host`:`port` between `start` and `stop`; port 0 takes a free one."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._host = host
        self._port = port

    async def start(self) -> str:
        """Listen, and give the address that was taken, such as `http://127.0.0.1:9464`.

        Raises SettingsError when it cannot listen there: nobody could see how the process does.
        """
        await self._runner.setup()
        try:
            with listening_at(self._host, self._port, "--metrics-port and --metrics-host"):
                await web.TCPSite(self._runner, self._host, self._port).start()
        except SettingsError:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Answer what was asked already, then close."""
        await self._runner.cleanup()
