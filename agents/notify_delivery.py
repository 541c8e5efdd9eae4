"""Speaks to one receiver: what is asked of it, what its answers mean, and how long to wait after one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import time
from typing import NamedTuple

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from schemas.notify_routes import PagerDutyReceiver, Receiver, SlackReceiver, WebhookReceiver
from streams.notify_bodies import (
    Told,
    pagerduty_body,
    signed_headers,
    slack_body,
    webhook_body,
    webhook_headers,
)

LONGEST_PAUSE_SECONDS = 60.0
MOST_OBEYED_SECONDS = 3_600.0
"""A receiver may ask for a longer pause; it is tried again after this one."""
_OF_THE_MESSAGE = frozenset({400, 413, 415, 422})
"""Answers that say something of the message: sent again, it would be refused again. Every other one tells of the receiver."""


_NO_HEADERS: Mapping[str, str] = {}


class Secrets(NamedTuple):
    """What of a receiver is not in the file."""

    url: str
    key: str = ""
    """The routing key of a pager."""
    signing: bytes = b""


class NotTakenError(Exception):
    """A try that failed. `is_final`: the same message would be refused again."""

    def __init__(self, answer: str, *, is_final: bool = False, is_too_large: bool = False) -> None:
        super().__init__(answer)
        self.answer = answer
        self.is_final = is_final
        self.is_too_large = is_too_large


@dataclass(slots=True)
class Endpoint:
    """One receiver as it is spoken to."""

    receiver: Receiver
    secrets: Secrets
    left_alone_until: float = 0.0
    """It asked for a pause; this holds for all messages."""

    async def send(
        self, session: aiohttp.ClientSession, told: Told, more_headers: Mapping[str, str] = _NO_HEADERS
    ) -> str:
        """Try once, and give the answer. Raises NotTakenError."""
        body, headers = self._request(told)
        headers.update(more_headers)
        timeout = aiohttp.ClientTimeout(total=self.receiver.timeout.total_seconds())
        try:
            # Not followed: what is asked of one address must not be turned into a request to another.
            async with session.post(
                self.secrets.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except TimeoutError as error:
            raise NotTakenError("no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Its text may hold the address, and that a secret.
            raise NotTakenError(f"no answer: {type(error).__name__}") from error
        if 200 <= status < 300:
            return f"HTTP {status}"
        if status in {429, 503}:
            asked_s = retry_after_s(retry_after, datetime.now(UTC))
            self.left_alone_until = max(self.left_alone_until, time() + asked_s)
        raise NotTakenError(_words(status), is_final=status in _OF_THE_MESSAGE, is_too_large=status == 413)

    def _request(self, told: Told) -> tuple[bytes, dict[str, str]]:
        if isinstance(self.receiver, WebhookReceiver):
            body = webhook_body(told)
            signed = signed_headers(self.secrets.signing, told.identity, int(time()), body)
            return body, webhook_headers(told) | signed
        if isinstance(self.receiver, PagerDutyReceiver):
            body = pagerduty_body(told, self.secrets.key)
        else:
            assert isinstance(self.receiver, SlackReceiver)
            body = slack_body(told)
        return body, {"content-type": "application/json"}


def retry_after_s(header: str, now: datetime) -> float:
    """How long a `Retry-After` asks to wait, in seconds: it gives seconds or a date. What is neither asks for nothing."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(float(header[:9]), MOST_OBEYED_SECONDS)
    try:
        at = parsedate_to_datetime(header)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        asked_s = (at - now).total_seconds()
    except (ValueError, OverflowError, TypeError):
        # It comes from outside: zones of any number of digits too.
        return 0.0
    return min(max(0.0, asked_s), MOST_OBEYED_SECONDS)


def pause_s(tries: int) -> float:
    """How long to wait after so many tries that failed: at random, longer each time."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = tries
    return wait_random_exponential(multiplier=1, max=LONGEST_PAUSE_SECONDS)(state)


def _words(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; correct its address"
    return f"HTTP {status}"
