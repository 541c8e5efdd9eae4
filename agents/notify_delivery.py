"""Sends one message to one receiver until it is taken, or given up."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import time
from typing import NamedTuple

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

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


class Secrets(NamedTuple):
    """What of a receiver is not in the file."""

    url: str
    key: str = ""
    """The routing key of a pager."""
    signing: bytes = b""


class NotTakenError(Exception):
    """A try that failed. `retry_after_s`: how long the receiver asked to be left alone."""

    def __init__(self, answer: str, *, is_final: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(answer)
        self.answer = answer
        self.is_final = is_final
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Endpoint:
    """One receiver as it is spoken to."""

    receiver: Receiver
    secrets: Secrets
    left_alone_until: float = 0.0
    """It asked for a pause; this holds for all messages."""

    async def left_alone(self) -> None:
        """Return when it has been left alone for as long as it asked."""
        await asyncio.sleep(max(0.0, self.left_alone_until - time()))

    async def send(self, session: aiohttp.ClientSession, told: Told) -> str:
        """Try once, and give the answer. Raises NotTakenError."""
        body, headers = self._request(told)
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
        pause_s = retry_after_s(retry_after, datetime.now(UTC)) if status in {429, 503} else 0.0
        self.left_alone_until = max(self.left_alone_until, time() + pause_s)
        is_final = status in _OF_THE_MESSAGE
        raise NotTakenError(_words(status), is_final=is_final, retry_after_s=pause_s)

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
        pause_s = (at - now).total_seconds()
    except (ValueError, OverflowError, TypeError):
        # It comes from outside: zones of any number of digits too.
        return 0.0
    return min(max(0.0, pause_s), MOST_OBEYED_SECONDS)


async def delivered(
    try_once: Callable[[], Awaitable[str]], *, give_up_at: float, failed: Callable[[NotTakenError], None]
) -> str:
    """Try until it is taken, and give the answer. At least once, however late it is.

    `failed` hears of every try that did not work. Raises NotTakenError when it is final, or the time is over.
    """
    pause = wait_random_exponential(multiplier=1, max=LONGEST_PAUSE_SECONDS)

    def wait(state: RetryCallState) -> float:
        error = _error_of(state)
        return max(pause(state), error.retry_after_s if error is not None else 0.0)

    async def noted() -> str:
        try:
            return await try_once()
        except NotTakenError as error:
            failed(error)
            raise

    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, NotTakenError) and not error.is_final),
        stop=lambda _state: time() >= give_up_at,
        wait=wait,
        sleep=asyncio.sleep,
        reraise=True,
    )
    return await retrying(noted)


def _error_of(state: RetryCallState) -> NotTakenError | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, NotTakenError) else None


def _words(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; correct its address"
    return f"HTTP {status}"
