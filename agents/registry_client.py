"""Requests to a schema registry, each bounded in time and size. Its secrets are read from their files when it is opened."""

import asyncio
import ssl
from base64 import b64encode
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec

from agents.kafka_security import secret_text, trusting
from agents.settings import Settings
from streams.registered_schemas import AVRO, MAX_SCHEMA_BYTES, PROTOBUF, Reference, Registered

REQUEST_SECONDS: Final = 5.0
MOST_REQUESTS: Final = 8
"""At a time."""
MOST_REFERENCES: Final = 100
_MOST_BYTES: Final = 2 * MAX_SCHEMA_BYTES
"""Of an answer: a schema is written in it as a text, with escapes."""
_MOST_ID: Final = 2**31 - 1
_UNKNOWN: Final = frozenset({40401, 40402, 40403})
"""No such subject, version, schema."""
_ALWAYS: Final = {
    "Accept": "application/vnd.schemaregistry.v1+json, application/json",
    "Accept-Encoding": "identity",
}
_NOWHERE: Final = "HTTP 404 Not Found"
"""What Confluent's registry says of a path that it does not have."""


class UnavailableError(Exception):
    """The registry cannot be asked now: it may be, later."""


class UnknownSchemaError(Exception):
    """The registry answers, and has no such thing."""


class UnusableSchemaError(Exception):
    """What the registry has is not a schema that can be read."""


class RegistryClient:
    """Asks one registry."""

    def __init__(self, settings: Settings) -> None:
        """Take address, credentials and authorities. Raises SettingsError: a file cannot be used."""
        self.url = settings.schema_registry_url.rstrip("/")
        self._headers = dict(_ALWAYS)
        credentials = _credentials(settings)
        if credentials:
            self._headers["Authorization"] = credentials
        self._tls: ssl.SSLContext | bool = True
        if settings.schema_registry_ca_file is not None:
            self._tls = trusting(
                settings.schema_registry_ca_file, "schema_registry_ca_file", "the registry's"
            )
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(MOST_REQUESTS)

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def greet(self) -> None:
        """Ask for what any registry can tell. Raises UnavailableError."""
        with suppress(
            UnknownSchemaError, UnusableSchemaError
        ):  # a registry all the same, without such a list
            await self._told("/schemas/types")

    async def schema(self, number: int) -> Registered:
        """Return a schema with all it needs.

        Raises:
            UnavailableError: the registry cannot be asked now.
            UnknownSchemaError: it has no such schema.
            UnusableSchemaError: what it has is none.
        """
        if number > _MOST_ID:
            raise UnknownSchemaError("no registry gives such an id")
        told = await self._told(f"/schemas/ids/{number}")
        kind, text = told.get("schemaType") or AVRO, told.get("schema")
        if not isinstance(kind, str) or not isinstance(text, str):
            raise UnusableSchemaError("the registry's answer has no schema in it")
        if kind == PROTOBUF:
            text = await self._serialized(number)
        references: dict[tuple[str, int], Reference] = {}
        await self._add_references(told.get("references"), kind, references)
        return Registered(number, kind, text, tuple(references.values()))

    async def _serialized(self, number: int) -> str:
        """Return the descriptor of a Protobuf schema.

        Karapace answers 500 to this for a schema with references (its issue 1263), and gives it by subject and version.
        """
        try:
            return _text(await self._told(f"/schemas/ids/{number}?format=serialized"))
        except UnavailableError as error:
            try:
                places = await self._told(f"/schemas/ids/{number}/versions")
                place = places[0] if isinstance(places, list) and places else {}
                return _text(await self._told(_path(place.get("subject"), place.get("version"), PROTOBUF)))
            except (UnknownSchemaError, UnusableSchemaError):
                raise error from None

    async def _add_references(
        self, told: Any, kind: str, found: dict[tuple[str, int], Reference], depth: int = 0
    ) -> None:
        """Add references, each behind those that it has itself."""
        for one in told or ():
            subject, version, name = (one.get(field) for field in ("subject", "version", "name"))
            if not (isinstance(subject, str) and isinstance(version, int) and isinstance(name, str)):
                raise UnusableSchemaError("a reference without name, subject and version")
            if (subject, version) in found:
                continue
            if len(found) >= MOST_REFERENCES or depth >= MOST_REFERENCES:
                raise UnusableSchemaError(f"more than {MOST_REFERENCES} references, or one to itself")
            try:
                referred = await self._told(_path(subject, version, kind))
            except UnknownSchemaError:
                raise UnusableSchemaError(f"the registry lacks what it refers to, {subject!r}") from None
            await self._add_references(referred.get("references"), kind, found, depth + 1)
            found[subject, version] = Reference(name, _text(referred))

    async def _told(self, path: str) -> Any:
        """Return the JSON of an answer."""
        try:
            async with (
                self._turns,
                asyncio.timeout(REQUEST_SECONDS),
                self._open().get(self.url + path, allow_redirects=False) as response,
            ):
                body = await _body(response)
                return _judged(response.status, response.content_type, body)
        except TimeoutError:
            raise UnavailableError(f"no answer within {REQUEST_SECONDS:g} s") from None
        except aiohttp.ClientError as error:
            raise UnavailableError(_in_words(error)) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=MOST_REQUESTS)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, auto_decompress=False
            )
        return self._session


async def greet(settings: Settings) -> None:
    """Return when the registry of the settings answers. Raises UnavailableError or SettingsError: why it does not."""
    client = RegistryClient(settings)
    try:
        await client.greet()
    finally:
        await client.close()


def _credentials(settings: Settings) -> str:
    """Return what the header `Authorization` says; "": nothing."""
    token = secret_text(
        settings.schema_registry_token, settings.schema_registry_token_file, "schema_registry_token_file"
    )
    if token:
        return f"Bearer {token}"
    user = settings.schema_registry_username
    if not user:
        return ""
    password = secret_text(
        settings.schema_registry_password,
        settings.schema_registry_password_file,
        "schema_registry_password_file",
    )
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 16):
        size += len(part)
        if size > _MOST_BYTES:
            raise UnusableSchemaError(f"the registry's answer is larger than {_MOST_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _judged(status: int, content_type: str, body: bytes) -> Any:
    """Return what an answer holds, or raise what it means."""
    if status in {401, 403}:
        raise UnavailableError(f"it refuses the credentials ({status})")
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    if status == 200 and isinstance(told, dict | list):
        return told
    if status == 200:
        raise UnavailableError(f"it answers {content_type[:64]}, which no schema registry does")
    if status == 404 and isinstance(told, dict):
        code, said = told.get("error_code"), told.get("message")
        if code in _UNKNOWN or (code == 404 and said != _NOWHERE):
            raise UnknownSchemaError("the registry does not know it")
        raise UnavailableError("it has no such path (404): is something missing in the address?")
    raise UnavailableError(f"it answers {status}")


def _text(told: Any) -> str:
    text = told.get("schema") if isinstance(told, dict) else None
    if not isinstance(text, str):
        raise UnusableSchemaError("the registry's answer has no schema in it")
    return text


def _path(subject: Any, version: Any, kind: str) -> str:
    form = "?format=serialized" if kind == PROTOBUF else ""
    return f"/subjects/{quote(str(subject), safe='')}/versions/{quote(str(version), safe='')}{form}"


def _in_words(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached: {error.os_error.strerror or 'no such host'}"
    return f"the connection broke: {type(error).__name__}"
