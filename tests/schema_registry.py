"""A small schema registry for tests: it speaks the registry's HTTP API, and can be away in every way that registries are."""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

AUTHORIZED = "Basic " + base64.b64encode(b"reader:s3cret").decode()


class SmallRegistry:
    """Schemas by id and by (subject, version), as given. `mood`: how it answers."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, int], dict[str, Any]] = {}
        self.serialized: dict[int, str] = {}
        self.mood = "good"
        self.authorized = ""
        self.asked: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._port = 0

    def add(self, number: int, schema: str, kind: str = "", references: Any = ()) -> None:
        told: dict[str, Any] = {"schema": schema}
        if kind:
            told["schemaType"] = kind
        if references:
            told["references"] = [
                {"name": name, "subject": subject, "version": version}
                for name, subject, version in references
            ]
        self.schemas[number] = told

    async def start(self) -> str:
        """Listen, at the same port as before; returns the address."""
        app = web.Application(middlewares=[self._moody])
        app.router.add_get("/schemas/types", self._types)
        app.router.add_get("/schemas/ids/{id}", self._schema)
        app.router.add_get("/schemas/ids/{id}/versions", self._versions)
        app.router.add_get("/subjects/{subject}/versions/{version}", self._subject)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        assert site._server is not None
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _moody(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked[request.path_qs] += 1
        if self.authorized and request.headers.get("Authorization") != self.authorized:
            return web.json_response({"error_code": 401, "message": "Unauthorized"}, status=401)
        if self.mood == "broken":
            return web.json_response({"error_code": 50001, "message": "Error in the backend"}, status=500)
        if self.mood == "html":
            return web.Response(text="<html>Please log in</html>", content_type="text/html")
        if self.mood == "slow":
            await asyncio.sleep(3600)
        if self.mood == "moved":
            return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})
        if self.mood == "endless":
            return web.Response(
                body=b'{"schema": "' + b"x" * 5_000_000 + b'"}', content_type="application/json"
            )
        if self.mood == "no json":
            return web.Response(body=b"{" * 100_000, content_type="application/json")
        if self.mood == "nowhere":
            return web.json_response({"error_code": 404, "message": "HTTP 404 Not Found"}, status=404)
        return await handler(request)

    async def _types(self, _: web.Request) -> web.Response:
        return web.json_response(["JSON", "PROTOBUF", "AVRO"])

    async def _schema(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        told = self.schemas.get(number)
        if told is None:
            return web.json_response({"error_code": 40403, "message": "Schema not found"}, status=404)
        if request.query.get("format") == "serialized":
            if number not in self.serialized:
                return web.json_response({"error_code": 500, "message": "as Karapace does"}, status=500)
            return web.json_response(told | {"schema": self.serialized[number]})
        return web.json_response(told)

    async def _versions(self, request: web.Request) -> web.Response:
        return web.json_response([{"subject": f"of {request.match_info['id']}", "version": 1}])

    async def _subject(self, request: web.Request) -> web.Response:
        place = request.match_info["subject"], int(request.match_info["version"])
        if place not in self.subjects:
            return web.json_response({"error_code": 40401, "message": "Subject not found"}, status=404)
        return web.json_response(self.subjects[place])
