"""Whether this user may do what a worker does, asked of the brokers themselves without changing anything.

Brokers answer no question about access lists here, so each right is tried with a request that cannot take effect:
a fetch of nothing, a produce request without records (checked for rights first, then refused as empty).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from agents.errors import BrokerRefusedError, Finding
from agents.kafka_connection import AUTHORIZATION_ERRORS
from agents.kafka_security import client_arguments
from agents.settings import Settings
from agents.topics import TopicCheck, TopicState
from schemas.topics import TopicRole

READ_BIT = 3
"""Place of Read in a broker's set of allowed operations (org.apache.kafka.common.acl.AclOperation)."""
NOT_TOLD = -(2**31)
GROUP, TRANSACTION = 0, 1
COORDINATOR_ATTEMPTS = 20
COORDINATOR_PAUSE_S = 0.5
STARTING = frozenset(
    {
        CoordinatorLoadInProgressError,
        GroupCoordinatorNotAvailableError,
        GroupLoadInProgressError,
        NotCoordinatorForGroupError,
    }
)
"""A new cluster's coordinators answer with these for some seconds."""
ACKS_ALL = -1
WAIT_MS = 5_000


class _GroupRightsStruct(RequestStruct):
    """aiokafka's own reads the answer as that of version 2, which leaves the allowed operations out."""

    API_KEY = DescribeGroupsRequest_v3.API_KEY
    API_VERSION = DescribeGroupsRequest_v3.API_VERSION
    SCHEMA = DescribeGroupsRequest_v3.SCHEMA
    RESPONSE_TYPE = DescribeGroupsResponse_v3


class _GroupRightsRequest(Request[_GroupRightsStruct]):
    API_KEY = _GroupRightsStruct.API_KEY

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_GroupRightsStruct]) -> _GroupRightsStruct:
        return request_struct_class([self._group], True)


class Right(NamedTuple):
    """Something a worker must be allowed to do, and whether it is (None: the broker does not tell)."""

    operation: str
    resource: str
    name: str
    allowed: bool | None

    def finding(self, user: str) -> Finding:
        """What to tell about a right that is missing."""
        what = f"{user} may not {self.operation}"
        prefixed = "--resource-pattern-type prefixed " if self.resource == "transactional-id" else ""
        todo = (
            f"kafka-acls.sh --bootstrap-server ... --add --allow-principal {user} --operation {self.operation} "
            f"{prefixed}--{self.resource} {self.name.removesuffix('*')}"
        )
        return Finding(f"{self.resource} {self.name}", what, todo=todo)


def user_of(settings: Settings) -> str:
    """The principal to name in a message: brokers know those of certificates by their subjects."""
    if settings.sasl_username:
        return f"User:{settings.sasl_username}"
    return "the certificate's user" if settings.ssl_certificate_file is not None else "User:ANONYMOUS"


async def refuse_without_rights(settings: Settings, checks: Sequence[TopicCheck]) -> None:
    """Return if nothing is known to be missing. A worker without a right would wait, or end in the middle of its work.

    Where nobody says who they are there is nothing to ask.

    Raises:
        BrokerRefusedError: one finding for each right that is missing.
    """
    if settings.security_protocol == "PLAINTEXT":
        return
    missing = [right for right in await ask_rights(settings, checks) if right.allowed is False]
    if missing:
        raise BrokerRefusedError([right.finding(user_of(settings)) for right in missing])


async def ask_rights(settings: Settings, checks: Sequence[TopicCheck]) -> list[Right]:
    """Every right that a worker needs on these topics, its group and its transactional ids."""
    client = AIOKafkaClient(**client_arguments(settings))
    await client.bootstrap()
    try:
        await client.force_metadata_update()
        present = [check for check in checks if check.partitions]
        absent = [check for check in checks if check.state is TopicState.MISSING]
        return [
            *await _described(client, present),
            *[right for check in present for right in await _topic_rights(client, check)],
            *await _creatable(client, absent),
            await _group_right(client, settings.app_id),
            *await _transaction_rights(client, settings.app_id),
        ]
    finally:
        await client.close()


async def _described(client: AIOKafkaClient, checks: Iterable[TopicCheck]) -> list[Right]:
    names = [check.spec.name for check in checks]
    if not names:
        return []
    response = await _send(client, MetadataRequest(names))
    errors = {topic[1]: topic[0] for topic in response.topics}
    return [Right("Describe", "topic", name, _allowed(errors.get(name, 0))) for name in names]


async def _topic_rights(client: AIOKafkaClient, check: TopicCheck) -> list[Right]:
    name, role = check.spec.name, check.spec.role
    if role is TopicRole.JOURNAL:
        return []
    rights = []
    if role is not TopicRole.OUTPUT:
        rights.append(Right("Read", "topic", name, await _may_read(client, name)))
    if role is not TopicRole.INPUT:
        rights.append(Right("Write", "topic", name, await _may_write(client, name)))
    return rights


async def _may_read(client: AIOKafkaClient, topic: str) -> bool:
    request = FetchRequest(0, 0, 1, 0, [(topic, [(0, 0, 1)])])
    response = await _send(client, request)
    return all(_allowed(part[1]) for _, parts in response.topics for part in parts)


async def _may_write(client: AIOKafkaClient, topic: str) -> bool:
    response = await _send(client, ProduceRequest(None, ACKS_ALL, WAIT_MS, [(topic, [(0, b"")])]))
    return all(_allowed(part[1]) for _, parts in response.topics for part in parts)


async def _creatable(client: AIOKafkaClient, checks: Iterable[TopicCheck]) -> list[Right]:
    ours = [check.spec.name for check in checks if check.spec.role is not TopicRole.INPUT]
    if not ours:
        return []
    wanted: list[Any] = [(name, 1, 1, [], []) for name in ours]
    request = CreateTopicsRequest(wanted, WAIT_MS, True)
    response = await _send(client, request, client.cluster.controller.nodeId)
    return [Right("Create", "topic", name, _allowed(code)) for name, code, *_ in response.topic_errors]


async def _group_right(client: AIOKafkaClient, group: str) -> Right:
    for _ in range(COORDINATOR_ATTEMPTS):
        node = await _coordinator(client, GROUP, group)
        if node is None:
            return Right("Read", "group", group, False)
        response = await _send(client, _GroupRightsRequest(group), node)
        code, *_, operations = response.groups[0]
        if not _allowed(code):
            return Right("Read", "group", group, False)
        if for_code(code) not in STARTING:
            told = operations != NOT_TOLD
            return Right("Read", "group", group, bool(operations >> READ_BIT & 1) if told else None)
        await asyncio.sleep(COORDINATOR_PAUSE_S)
    return Right("Read", "group", group, None)


async def _transaction_rights(client: AIOKafkaClient, app_id: str) -> list[Right]:
    """The probe's own id, never one of a worker: asking for that would fence it."""
    probe, pattern = f"{app_id}-check", f"{app_id}-*"
    node = await _coordinator(client, TRANSACTION, probe)
    described = Right("Describe", "transactional-id", pattern, node is not None)
    if node is None:
        return [described, Right("Write", "transactional-id", pattern, None)]
    response = await _send(client, InitProducerIdRequest(probe, WAIT_MS), node)
    return [described, Right("Write", "transactional-id", pattern, _allowed(response.error_code))]


async def _coordinator(client: AIOKafkaClient, kind: int, key: str) -> int | None:
    """The coordinating broker, None if we may not even ask. On a new cluster it takes a moment to appear."""
    for _ in range(COORDINATOR_ATTEMPTS):
        response = await _send(client, FindCoordinatorRequest(key, kind))
        if not _allowed(response.error_code):
            return None
        error = for_code(response.error_code)
        if response.error_code == 0:
            return int(response.coordinator_id)
        if error not in STARTING:
            raise error(f"while looking for the coordinator of {key}")
        await asyncio.sleep(COORDINATOR_PAUSE_S)
    raise GroupCoordinatorNotAvailableError(f"no broker coordinates {key}")


async def _send(client: AIOKafkaClient, request: Any, node: int | None = None) -> Any:
    return await client.send(client.get_random_node() if node is None else node, request)


def _allowed(code: int) -> bool:
    return for_code(code) not in AUTHORIZATION_ERRORS
