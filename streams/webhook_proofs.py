"""Whether a request comes from who it says: signatures compared in constant time, and how long ago it was sent."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import NamedTuple

from schemas.webhooks import Signing, Webhook

_MOST_HEADER_CHARACTERS = 4_096


class Request(NamedTuple):
    """What of an HTTP request can be signed."""

    method: str
    path: str
    """With the query, as it was asked for."""
    body: bytes


class Claim(NamedTuple):
    """What the headers of a request claim: signatures of its body, made at a time ("": they do not say)."""

    signatures: tuple[bytes, ...]
    timestamp: str
    identity: str = ""


def claim_of(
    webhook: Webhook, secrets: Sequence[bytes], headers: Mapping[str, str], now_s: float
) -> Claim | str:
    """What is claimed, before the body is read; else why the request is not believed, as a word for logs and metrics.

    `missing`, `malformed`, `too_old` (or too far ahead of now), `wrong`. Whoever sent it is told none of these. `headers` by
    their names in lower case.
    """
    if webhook.signing is not None:
        return _claim_of_signature(webhook.signing, headers, now_s)
    given = headers.get((webhook.token_header or "").lower())
    if given is None:
        return "missing"
    # Bytes that are no text came in as lone surrogates: back to the same bytes.
    return Claim((), "") if _is_one_of(given.encode(errors="surrogateescape"), secrets) else "wrong"


def _claim_of_signature(signing: Signing, headers: Mapping[str, str], now_s: float) -> Claim | str:
    header = headers.get(signing.header.lower())
    if header is None:
        return "missing"
    if len(header) > _MOST_HEADER_CHARACTERS:
        return "malformed"
    parts = _parts(header) if signing.part else {}
    # Standard Webhooks puts several into one header, with spaces between.
    plain = header.split() if signing.id_header else [header.strip()]
    written = parts.get(signing.part, []) if signing.part else plain
    given = tuple(one for text in written if (one := _signature(signing, text)) is not None)
    timestamp = ""
    if signing.is_timed:
        timestamp = (
            (parts.get(signing.timestamp_part) or [""])[0]
            if signing.timestamp_part
            else headers.get((signing.timestamp_header or "").lower(), "")
        )
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 13):
            return "malformed"
        if abs(now_s - int(timestamp)) > signing.max_age.total_seconds():
            return "too_old"
    identity = headers.get((signing.id_header or "").lower(), "")
    if signing.id_header and not 0 < len(identity) <= _MOST_HEADER_CHARACTERS:
        return "malformed"
    return Claim(given, timestamp, identity) if given else "malformed"


def doubt(webhook: Webhook, secrets: Sequence[bytes], claim: Claim, request: Request) -> str | None:
    """`wrong` when the body is not what was signed; None: the request is believed."""
    signing = webhook.signing
    if signing is None:
        return None
    message = _message(signing, request, claim)
    made = [hmac.digest(secret, message, signing.algorithm) for secret in secrets]
    # Every one is compared with every other, so that the time tells nothing.
    return None if sum(_is_one_of(one, made) for one in claim.signatures) else "wrong"


def _is_one_of(given: bytes, known: Sequence[bytes]) -> bool:
    return sum(hmac.compare_digest(given, one) for one in known) > 0


def _parts(header: str) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        parts.setdefault(name, []).append(value)
    return parts


def _signature(signing: Signing, text: str) -> bytes | None:
    if not text.startswith(signing.prefix):
        return None
    text = text.removeprefix(signing.prefix)
    try:
        return bytes.fromhex(text) if signing.encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def _message(signing: Signing, request: Request, claim: Claim) -> bytes:
    parts = {
        "body": request.body,
        "timestamp": claim.timestamp.encode(),
        "id": claim.identity.encode(errors="surrogateescape"),
        "method": request.method.encode(),
        "path": request.path.encode(errors="surrogateescape"),
    }
    return b"".join(
        literal.encode() + (parts[name] if name is not None else b"")
        for literal, name, _, _ in Formatter().parse(signing.signed)
    )
