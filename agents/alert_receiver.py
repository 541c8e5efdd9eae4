"""Who Alertmanager tells in the demo of a night and in tests: a local address that keeps what it was sent."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Notice:
    """One notification, of one group of alerts."""

    receiver: str
    status: str
    """`firing` or `resolved`, of the group."""
    alerts: tuple[dict[str, Any], ...]

    def names(self) -> set[str]:
        """Names of its alerts."""
        return {alert["labels"]["alertname"] for alert in self.alerts}


@dataclass
class AlertReceiver:
    """Listens on a free port of the loopback address between `with` and its end."""

    notices: list[Notice] = field(default_factory=list)
    """What came, in its order."""

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = self.path.strip("/")
                receiver.notices.append(Notice(name, told["status"], tuple(told["alerts"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: what comes is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def told(self, receiver: str, status: str = "firing") -> list[set[str]]:
        """Names of the alerts of each notification to a receiver."""
        return [one.names() for one in self.notices if (one.receiver, one.status) == (receiver, status)]
