"""What receivers are sent: the bodies for programs, pagers and chats, and how they are signed."""

import base64
import binascii
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from schemas.money import minor_units_of
from schemas.outputs import Case, Escalation, Severity, cloud_event_headers, decode_escalation, escalation_id
from streams.notify_routing import Action, action_of

PAGERDUTY_SUMMARY = 1_024
"""Characters, by the Events API."""
SLACK_TEXT = 3_000
"""Characters of one section."""
LEAST_KEY_BYTES = 16
MOST_NAMED = 10
"""Cases that a digest names; it counts the others."""
_STEPS = tuple(Severity)
_MARKS = {
    Severity.INFO: ":information_source:",
    Severity.WARNING: ":warning:",
    Severity.ERROR: ":rotating_light:",
    Severity.CRITICAL: ":fire:",
}
_ENDED_MARK = ":white_check_mark:"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Told(NamedTuple):
    """One message: a change, or several as a digest. `identity` is the same whenever it is sent again."""

    identity: str
    changes: tuple[Escalation, ...]
    originals: tuple[bytes, ...]
    """The same changes as their records hold them, with what a later version may have added."""

    @property
    def is_digest(self) -> bool:
        """Whether it stands for several."""
        return self.identity.startswith("digest:")


def told_singly(original: bytes) -> Told:
    """The message about one change; its identity is the change's `ce_id`."""
    change = decode_escalation(original)
    return Told(escalation_id(change.case_id, change.revision), (change,), (original,))


def told_together(identity: str, originals: Sequence[bytes]) -> Told:
    """The digest of several changes."""
    return Told(identity, tuple(map(decode_escalation, originals)), tuple(originals))


def secret_bytes(text: str) -> bytes:
    """The key in a secret: what base64 behind `whsec_` says, else the text itself. Raises ValueError."""
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ is not base64") from error
    if not key:
        raise ValueError("nothing follows whsec_")
    return key


def signing_key(text: str) -> bytes:
    """The key in a secret that signs what goes out. Raises ValueError, also for one that can be guessed."""
    key = secret_bytes(text)
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"is a key of {len(key)} bytes, which can be guessed; it needs {LEAST_KEY_BYTES}")
    return key


def signed_headers(secret: bytes, identity: str, sent_s: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: identity, time of sending, and the signature of both and the body."""
    signed = b"%b.%d.%b" % (identity.encode(), sent_s, body)
    signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(sent_s),
        "webhook-signature": f"v1,{signature}",
    }


def webhook_body(told: Told) -> bytes:
    """A change as `escalations` has it, byte for byte; a digest with all of its changes."""
    if not told.is_digest:
        return told.originals[0]
    changes = [msgspec.Raw(one) for one in told.originals]
    return _encode({"digest": told.identity, "count": len(changes), "changes": changes})


def webhook_headers(told: Told) -> dict[str, str]:
    """The CloudEvents attributes of a change, as HTTP has them; of a digest its kind."""
    if told.is_digest:
        return {
            "content-type": "application/json",
            "x-returnwatch-digest": str(len(told.changes)),
        }
    fields = ((name, value.decode()) for name, value in cloud_event_headers(told.changes[0]))
    return {name.replace("_", "-"): value for name, value in fields}


def pagerduty_body(told: Told, routing_key: str) -> bytes:
    """An event of the Events API v2. Its `dedup_key` is the case's id, so that a case is one incident."""
    first = told.changes[0]
    details: Mapping[str, Any]
    if told.is_digest:
        action, key, details = Action.TRIGGER, told.identity, dict(_by_rule(told.changes))
        source = "returnwatch"
    else:
        action, key, details = action_of(first), first.case_id, _details(first)
        source = first.carrier or first.facility or "returnwatch"
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action.value,
        "dedup_key": key,
        "client": "Returnwatch",
    }
    if action is Action.TRIGGER:
        event["payload"] = {
            "summary": _cut(summary(told), PAGERDUTY_SUMMARY),
            "source": source,
            "severity": worst(told.changes).value,
            "timestamp": first.effective_at.isoformat(timespec="milliseconds"),
            "component": "several rules" if told.is_digest else first.rule.value,
            "custom_details": details,
        }
    return _encode(event)


def slack_body(told: Told) -> bytes:
    """A message of an incoming webhook: `text` for what shows nothing else, and one section of it."""
    if told.is_digest:
        lines = [f"{_MARKS[worst(told.changes)]} *{_escaped(summary(told))}*"]
        lines += [f"• `{rule}`: {count}" for rule, count in _by_rule(told.changes)]
        lines += [_escaped(_line(one)) for one in told.changes[:MOST_NAMED]]
        if (more := len(told.changes) - MOST_NAMED) > 0:
            lines.append(f"and {more} more; `returnwatch cases list` has them all")
    else:
        change = told.changes[0]
        mark = _ENDED_MARK if action_of(change) is Action.RESOLVE else _MARKS[change.severity]
        lines = [f"{mark} *{_escaped(summary(told))}*"]
        lines += [f"{_escaped(name)}: {_escaped(str(text))}" for name, text in _details(change).items()]
    text = _cut("\n".join(lines), SLACK_TEXT)
    # Verbatim: plain `@channel`, `#name` and addresses in what others wrote become no mention and no link.
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
    return _encode({"text": _cut(_escaped(summary(told)), SLACK_TEXT), "blocks": [section]})


def summary(told: Told) -> str:
    """One line for a person."""
    if told.is_digest:
        cases = len({change.case_id for change in told.changes})
        return f"{len(told.changes)} changes of {cases} cases, told together"
    return _sentence(told.changes[0])


def _sentence(change: Escalation) -> str:
    about = change.parcel or change.return_id or (change.feed.name if change.feed else "")
    words = f"{change.rule.value} {change.state.value}"
    if change.reason.value != "due":
        words += f" ({change.reason.value})"
    return ": ".join(part for part in (words, about, change.explanation) if part)


def worst(changes: Sequence[Case]) -> Severity:
    """The highest severity among them."""
    return max((change.severity for change in changes), key=_STEPS.index)


def _by_rule(changes: Sequence[Case]) -> list[tuple[str, int]]:
    return Counter(change.rule.value for change in changes).most_common()


def _details(change: Escalation) -> Mapping[str, Any]:
    """What a person wants to see at first; fields that are empty are left out."""
    value = change.value
    money = f"{value.amount_minor / minor_units_of(value.currency):.2f} {value.currency}" if value else ""
    fields = {
        "case": change.case_id,
        "return": change.return_id,
        "parcel": change.parcel,
        "carrier": change.carrier,
        "facility": change.facility,
        "value": money,
        "level": change.level,
        "severity": change.severity.value,
        "due": change.due_at.isoformat(timespec="seconds"),
        "to do": change.action,
        "by": change.resolved_by or change.acknowledged_by,
    }
    return {name: text for name, text in fields.items() if text != ""}


def _line(change: Escalation) -> str:
    return f"• {_cut(_sentence(change), 200)}"


def _escaped(text: str) -> str:
    """Slack's own three, without which a text could mention a channel or fake a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
