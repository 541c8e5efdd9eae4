"""A real broker with users, certificates and access lists, and what its authoriser says it was asked for.

Three listeners: an open one for the test itself, who may do everything; one for user and password (SCRAM) over TLS; one for
client certificates. Whoever comes by one of the latter may do what was allowed, and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    CreateAclsResponse_v1,
    DeleteAclsRequest_v1,
    DeleteAclsResponse_v1,
    DescribeAclsRequest_v1,
    DescribeAclsResponse_v1,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents.access_list import Access, Operation, Resource
from agents.embedded_kafka import EmbeddedKafka
from agents.embedded_kafka_net import free_port
from agents.kafka_security import client_arguments
from agents.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "127.0.0.1"
ANY, ALLOW = 1, 3
PAUSE_S = 0.02
LITERAL, PREFIXED = 3, 4
RESOURCE_CODES = {Resource.TOPIC: 2, Resource.GROUP: 3, Resource.TRANSACTIONAL_ID: 5}
OPERATION_CODES = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}
SHA_512 = 2
ITERATIONS = 4_096
AUDIT = re.compile(
    r"Principal = User:(?P<user>.+?) is (?P<verdict>Allowed|Denied) operation = (?P<operation>\w+) .*?"
    r"on resource = (?P<resource>\w+):LITERAL:(?P<name>\S+) "
)
RESOURCES = {"Topic": Resource.TOPIC, "Group": Resource.GROUP, "TransactionalId": Resource.TRANSACTIONAL_ID}
OPERATIONS = {operation.value.upper(): operation for operation in Operation} | {
    "DESCRIBE_CONFIGS": Operation.DESCRIBE_CONFIGS
}


class Asked(NamedTuple):
    """What a user asked the broker for."""

    resource: str
    name: str
    operation: str


# -- certificates


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for the loopback address or for a client."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = directory / f"{name}.pem"
        self._own = self._signed(name, self._key.public_key(), authority=True)
        self.file.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def identity(self, name: str, *, server: bool = False) -> Identity:
        """A certificate for `CN=name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key.public_key(), server=server)
        files = Identity(*(self._directory / f"{self._name}-{name}.{what}" for what in ("crt", "key")))
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        files.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        )
        return files

    def _signed(
        self, name: str, key: ec.EllipticCurvePublicKey, *, authority: bool = False, server: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        draft = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if server:
            here = x509.IPAddress(ipaddress.ip_address(HOST))
            draft = draft.add_extension(x509.SubjectAlternativeName([here]), critical=False)
        return draft.sign(self._key, hashes.SHA256())


# -- requests that aiokafka has no form for


class _UsersResponse(Response):
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _UsersStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _UsersResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _UsersRequest(Request[_UsersStruct]):
    """AlterUserScramCredentials: gives users their passwords."""

    API_KEY = _UsersStruct.API_KEY

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def build(self, request_struct_class: type[_UsersStruct]) -> _UsersStruct:
        users: list[tuple[object, ...]] = []
        for name, password in self._passwords.items():
            salt = os.urandom(16)
            salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
            users.append((name, SHA_512, ITERATIONS, salt, salted, {}))
        return request_struct_class([], users, {})


class _AllowStruct(RequestStruct):
    API_KEY = CreateAclsRequest_v1.API_KEY
    API_VERSION = 1
    RESPONSE_TYPE = CreateAclsResponse_v1
    SCHEMA = CreateAclsRequest_v1.SCHEMA


class _ForbidStruct(RequestStruct):
    API_KEY = DeleteAclsRequest_v1.API_KEY
    API_VERSION = 1
    RESPONSE_TYPE = DeleteAclsResponse_v1
    SCHEMA = DeleteAclsRequest_v1.SCHEMA


class _AllowRequest(Request[_AllowStruct]):
    """CreateAcls, many at once."""

    API_KEY = _AllowStruct.API_KEY

    def __init__(self, entries: list[tuple[object, ...]]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_AllowStruct]) -> _AllowStruct:
        return request_struct_class(self._entries)


class _ForbidRequest(Request[_ForbidStruct]):
    """DeleteAcls, many at once."""

    API_KEY = _ForbidStruct.API_KEY

    def __init__(self, entries: list[tuple[object, ...]]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_ForbidStruct]) -> _ForbidStruct:
        return request_struct_class(self._entries)


def _entry(principal: str, access: Access) -> tuple[object, ...]:
    pattern = PREFIXED if access.prefixed else LITERAL
    return (
        RESOURCE_CODES[access.resource],
        access.name,
        pattern,
        f"User:{principal}",
        "*",
        OPERATION_CODES[access.operation],
        ALLOW,
    )


class _ListStruct(RequestStruct):
    """aiokafka's newest form of it is one that brokers read in another way."""

    API_KEY = DescribeAclsRequest_v1.API_KEY
    API_VERSION = 1
    RESPONSE_TYPE = DescribeAclsResponse_v1
    SCHEMA = DescribeAclsRequest_v1.SCHEMA


class _ListRequest(Request[_ListStruct]):
    """DescribeAcls: all rights of a user."""

    API_KEY = _ListStruct.API_KEY

    def __init__(self, principal: str) -> None:
        self._principal = principal

    def build(self, request_struct_class: type[_ListStruct]) -> _ListStruct:
        return request_struct_class(ANY, None, ANY, f"User:{self._principal}", None, ANY, ANY)


async def _in_force(send: Any, principal: str) -> set[tuple[object, ...]]:
    """The rights of a user that the authoriser knows of: the controller answers before it does."""
    response = await send(_ListRequest(principal))
    return {
        (kind, name, pattern, *rest)
        for kind, name, pattern, entries in response.resources
        for rest in entries
    }


# -- the broker


class SecuredKafka:
    """A broker that allows nothing unless it is allowed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.authority = Authority(directory, "authority")
        self._own = self.authority.identity("broker", server=True)
        self._ports = dict(
            zip(("open", "controller", "passwords", "certificates"), _free_ports(4), strict=True)
        )
        self.broker = EmbeddedKafka(
            directory / "kafka",
            port=self._ports["open"],
            extra_properties=self._properties(),
            jvm_options=(
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug",
            ),
        )
        self._passwords: dict[str, str] = {}

    def _properties(self) -> dict[str, str]:
        ports = self._ports
        keys = self._directory / "broker.pem"
        keys.write_bytes(self._own.key.read_bytes() + self._own.certificate.read_bytes())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        outside = [f"{name.upper()}://{HOST}:{ports[name]}" for name in ("passwords", "certificates")]
        return {
            "listeners": ",".join(
                [f"BROKER://{HOST}:{ports['open']}", f"CONTROLLER://{HOST}:{ports['controller']}", *outside]
            ),
            "advertised.listeners": ",".join([f"BROKER://{HOST}:{ports['open']}", *outside]),
            "controller.quorum.voters": f"1@{HOST}:{ports['controller']}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PASSWORDS:SASL_SSL,CERTIFICATES:SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.passwords.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.certificates.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.file),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    # -- who may do what

    async def users(self, *names: str) -> None:
        """Give each a password."""
        self._passwords |= {name: f"{name}-{os.urandom(6).hex()}" for name in names}
        async with self._asking() as send:
            response = await send(_UsersRequest({name: self._passwords[name] for name in names}))
        assert {code for _, code, *_ in response.results} == {0}, response
        for name in names:
            await self._is_known(name)

    async def _is_known(self, name: str) -> None:
        """Return when the broker has heard of a new user: the controller answers before."""
        arguments = client_arguments(self.with_password(Settings(), name))
        del arguments["bootstrap_servers"]
        while True:
            try:
                connection = await create_conn(HOST, self._ports["passwords"], **arguments)
            except SaslAuthenticationFailed:
                await asyncio.sleep(PAUSE_S)
            else:
                connection.close()
                return

    async def allow(self, principal: str, accesses: Iterable[Access]) -> None:
        entries = [_entry(principal, access) for access in accesses]
        async with self._asking() as send:
            response = await send(_AllowRequest(entries))
            assert {code for code, _ in response.creation_responses} == {0}, response
            while not set(entries) <= await _in_force(send, principal):  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(PAUSE_S)

    async def forbid(self, principal: str, accesses: Iterable[Access]) -> None:
        """Take rights back; each must have been given."""
        entries = [_entry(principal, access) for access in accesses]
        async with self._asking() as send:
            response = await send(_ForbidRequest(entries))
            for code, _, matching in response.filter_responses:
                assert (code, len(matching)) == (0, 1), response
            while set(entries) & await _in_force(send, principal):  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(PAUSE_S)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        client = AIOKafkaClient(bootstrap_servers=self.broker.bootstrap_servers)
        await client.bootstrap()
        try:

            async def send(request: Any) -> Any:
                return await client.send(client.get_random_node(), request)

            yield send
        finally:
            await client.close()

    # -- how they connect

    def with_password(self, settings: Settings, user: str) -> Settings:
        return _changed(
            settings,
            bootstrap_servers=(f"{HOST}:{self._ports['passwords']}",),
            security_protocol="SASL_SSL",
            sasl_username=user,
            sasl_password=self._passwords[user],
            ssl_ca_file=self.authority.file,
        )

    def with_certificate(self, settings: Settings, identity: Identity) -> Settings:
        return _changed(
            settings,
            bootstrap_servers=(f"{HOST}:{self._ports['certificates']}",),
            security_protocol="SSL",
            ssl_ca_file=self.authority.file,
            ssl_certificate_file=identity.certificate,
            ssl_key_file=identity.key,
        )

    # -- what they asked for

    @property
    def log_size(self) -> int:
        return self.broker.log_file.stat().st_size

    def asked(self, user: str, verdict: str, since: int = 0) -> set[Asked]:
        """What a user asked for with this outcome (Allowed, Denied), from a place in the broker's log on."""
        with self.broker.log_file.open("rb") as log:
            log.seek(since)
            text = log.read().decode(errors="replace")
        return {
            Asked(
                RESOURCES[found["resource"]],
                found["name"],
                OPERATIONS.get(found["operation"], found["operation"]),
            )
            for found in AUDIT.finditer(text)
            if found["user"] == user and found["verdict"] == verdict and found["resource"] in RESOURCES
        }


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port(0))
    return list(ports)


def _changed(settings: Settings, **changes: Any) -> Settings:
    return Settings(**{**settings.model_dump(), **changes})


@contextmanager
def secured_kafka(directory: Path) -> Iterator[SecuredKafka]:
    """One that runs until the end of the block."""
    kafka = SecuredKafka(directory)
    with kafka.broker:
        yield kafka
