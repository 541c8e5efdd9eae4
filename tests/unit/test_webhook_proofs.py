"""Which requests are believed: by the ways of signing that senders document, and whatever an attacker makes of them."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pytest

from schemas.webhooks import Signing, Webhook
from streams.webhook_proofs import Request, claim_of, doubt

SECRET, OTHER = b"whsec-1", b"whsec-2"
BODY = b'{"event":"tracking_update"}'
NOW = 1_700_000_000


def digest(message: bytes, secret: bytes = SECRET, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret, message, getattr(hashlib, algorithm)).digest()


def hook(**signing: Any) -> Webhook:
    return Webhook(topic="scans", secrets=["S"], signing=Signing(**signing))


def found(
    webhook: Webhook, secrets: list[bytes], headers: Mapping[str, str], body: bytes = BODY
) -> str | None:
    """Why a request is not believed."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    claim = claim_of(webhook, secrets, named, NOW)
    return (
        claim
        if isinstance(claim, str)
        else doubt(webhook, secrets, claim, Request("POST", "/in/x?a=1", body))
    )


AFTERSHIP = hook(header="aftership-hmac-sha256", encoding="base64")
EASYPOST = hook(header="X-Hmac-Signature", prefix="hmac-sha256-hex=")
SHIPPO = hook(
    header="Shippo-Auth-Signature", part="v1", timestamp_part="t", signed="{timestamp}.{body}", max_age="5m"
)
OWN_HEADER = hook(
    header="X-Signature",
    timestamp_header="X-Timestamp",
    signed="{timestamp}{method}{path}{body}",
    algorithm="sha512",
)
TOKEN = Webhook(topic="scans", secrets=["S"], token_header="credential")  # noqa: S106 - a header's name


def shippo(sent: int = NOW, body: bytes = BODY, secret: bytes = SECRET) -> str:
    return f"t={sent},v1={digest(b'%d.%b' % (sent, body), secret).hex()}"


@pytest.mark.parametrize(
    ("webhook", "headers"),
    [
        (AFTERSHIP, {"aftership_hmac_sha256": base64.b64encode(digest(BODY)).decode()}),
        (EASYPOST, {"x_hmac_signature": "hmac-sha256-hex=" + digest(BODY).hex()}),
        (SHIPPO, {"shippo_auth_signature": shippo()}),
        (SHIPPO, {"shippo_auth_signature": shippo(NOW - 300)}),
        (SHIPPO, {"shippo_auth_signature": shippo(NOW + 300)}),
        (SHIPPO, {"shippo_auth_signature": shippo().replace("v1=", f"v1={'00' * 32},v1=")}),
        (
            OWN_HEADER,
            {
                "x_timestamp": str(NOW),
                "x_signature": digest(b"%dPOST/in/x?a=1" % NOW + BODY, algorithm="sha512").hex(),
            },
        ),
        (TOKEN, {"credential": SECRET.decode()}),
    ],
)
def test_what_is_signed_as_the_sender_says_is_believed(webhook: Webhook, headers: dict[str, str]) -> None:
    assert found(webhook, [SECRET], headers) is None
    assert found(webhook, [OTHER, SECRET], headers) is None, "while the secret is changed"
    assert found(webhook, [OTHER], headers) == "wrong"
    if webhook is not TOKEN:
        assert found(webhook, [SECRET], headers, BODY + b" ") == "wrong"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("v1=", "malformed"),
        (f"t={NOW}", "malformed"),
        (f"t={NOW},v1=xyz", "malformed"),
        (f"t={NOW},v1=", "wrong"),
        (f"t={NOW},v0={digest(b'1700000000.' + BODY).hex()}", "malformed"),
        (f"t=-{NOW},v1={'00' * 32}", "malformed"),
        (f"t=١٢٣,v1={'00' * 32}", "malformed"),
        (f"t={'9' * 5000},v1={'00' * 32}", "malformed"),
        (f"t=9999999999999,v1={'00' * 32}", "too_old"),
        (shippo(NOW - 301), "too_old"),
        (shippo(NOW + 301), "too_old"),
        (shippo(NOW).replace(str(NOW), str(NOW - 60)), "wrong"),
        (shippo(secret=OTHER), "wrong"),
        (shippo(body=b"{}"), "wrong"),
    ],
)
def test_nothing_else_is(header: str | None, why: str) -> None:
    headers = {} if header is None else {"shippo_auth_signature": header}
    assert found(SHIPPO, [SECRET], headers) == why


def test_a_signature_in_another_alphabet_is_none() -> None:
    for text in ("hmac-sha256-hex=é", "hmac-sha256-hex= " + digest(BODY).hex() + "zz", digest(BODY).hex()):
        assert found(EASYPOST, [SECRET], {"x_hmac_signature": text}) == "malformed"
    assert found(AFTERSHIP, [SECRET], {"aftership_hmac_sha256": "!!"}) == "malformed"


@pytest.mark.parametrize(
    ("signing", "words"),
    [
        ({"signed": "{timestamp}.{body}"}, "a timestamp has to be signed"),
        ({"timestamp_header": "X-T"}, "a timestamp has to be signed"),
        ({"signed": "{timestamp}"}, "{body} has to be in it"),
        ({"signed": "{body}{body}"}, "{body} has to be in it"),
        ({"signed": "{body}{url}"}, "{url} is none of body, id, method, path, timestamp"),
        ({"signed": "{body"}, "write it as '{timestamp}.{body}'"),
        ({"signed": "{timestamp}{body}", "timestamp_part": "t"}, "needs `part`"),
        (
            {"signed": "{timestamp}{body}", "timestamp_part": "t", "part": "v1", "timestamp_header": "X-T"},
            "only one of them",
        ),
        ({"header": "X Signature"}, "is no name of a header"),
    ],
)
def test_a_way_of_signing_that_proves_nothing_is_refused(signing: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match="Value error") as refused:
        hook(**({"header": "X-Signature"} | signing))
    assert words in str(refused.value)


def test_a_webhook_without_any_proof_is_refused() -> None:
    with pytest.raises(ValueError, match="anybody could write"):
        Webhook(topic="scans", secrets=["S"])


def test_bytes_that_are_no_text_are_no_secret_and_no_error() -> None:
    assert found(TOKEN, [SECRET], {"credential": "\udcff"}) == "wrong"
    assert found(TOKEN, [b"\xff"], {"credential": "\udcff"}) is None
    assert found(AFTERSHIP, [SECRET], {"aftership_hmac_sha256": "\udcff"}) == "malformed"
