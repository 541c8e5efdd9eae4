"""Traces: where a record's W3C context is read, what is kept of it beside a state, and what is given on (docs/adr/0029).

An escalation is born from time, days after the last event: no process has the trace of that event at hand any more. So the
context lies in the changelog beside the state that it led to, under a key of its own, and goes with it. Span ids are derived
from what a span is about, never drawn: what is said again after a crash has the same headers.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from streams.cells import is_cell
from streams.watermark import Outgoing

TRACE_PREFIX: Final = b"\x00trace|"
"""Begins the key under which the contexts of a state are kept; what follows is the state's key."""
TRACEPARENT: Final = "traceparent"
CE_TRACEPARENT: Final = "ce_traceparent"
"""The same of a CloudEvent, by its Distributed Tracing extension."""
MOST_CONTEXTS: Final = 8
"""Of a return: of its own events, and of the parcels that were heard of last."""

_FORM = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED, _KNOWN_FLAGS = 0x01, 0x03
SPAN_BYTES: Final = 8
TRACE_BYTES: Final = 16
_NO_TRACE, _NO_SPAN = bytes(TRACE_BYTES), bytes(SPAN_BYTES)


class Context(NamedTuple):
    """A span in a trace, for those that come after it."""

    trace: bytes
    span: bytes
    flags: int = _SAMPLED

    @property
    def is_sampled(self) -> bool:
        """Whether whoever began the trace wants it recorded."""
        return bool(self.flags & _SAMPLED)

    @property
    def header(self) -> bytes:
        """The value of `traceparent`."""
        return f"00-{self.trace.hex()}-{self.span.hex()}-{self.flags:02x}".encode()


class SaidSpan(NamedTuple):
    """A message that is a span of its own, and the span that it came of."""

    message: Outgoing
    context: Context
    parent: bytes


def read_traceparent(value: bytes | None) -> Context | None:
    """The context in a header; None for all that is not exactly one of version 00."""
    found = _FORM.fullmatch(value) if value is not None else None
    if found is None:
        return None
    trace, span = bytes.fromhex(found[1].decode()), bytes.fromhex(found[2].decode())
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return Context(trace, span, int(found[3], 16) & _KNOWN_FLAGS)


def context_of(headers: Iterable[tuple[str, bytes | None]]) -> Context | None:
    """The context that a record's headers name: Kafka's own goes before the CloudEvent's, and two that differ are none."""
    found: dict[str, set[Context | None]] = {TRACEPARENT: set(), CE_TRACEPARENT: set()}
    for name, value in headers:
        lower = name.lower()
        if lower in found:
            found[lower].add(read_traceparent(value))
    for contexts in found.values():
        if len(contexts) == 1 and (context := next(iter(contexts))) is not None:
            return context
    return None


def derived_span(*parts: str) -> bytes:
    """The id of a span that is about these."""
    return derived(SPAN_BYTES, b"span", parts)


def derived(size: int, kind: bytes, parts: Sequence[str]) -> bytes:
    """Bytes that are the same for the same parts, and never all 0. `kind`: what they are for."""
    digest = blake2b("\x1f".join(parts).encode(), digest_size=size, person=kind).digest()
    return digest if any(digest) else b"\x01" * size


# -- what is kept beside a state ----------------------------------------------------------------------------------


class Kept(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A context, and the parcel that it is about; "" for the key's own."""

    about: str
    trace: bytes
    span: bytes
    flags: int = _SAMPLED

    @property
    def context(self) -> Context:
        """As it is given on."""
        return Context(self.trace, self.span, self.flags)


_encode = msgspec.msgpack.Encoder().encode
decode_kept = msgspec.msgpack.Decoder(tuple[Kept, ...]).decode
"""Value under a trace key: the one that was read last is the last."""


def trace_key(key: bytes) -> bytes:
    """Where the contexts of a state are kept."""
    return TRACE_PREFIX + key


def is_trace(key: bytes) -> bool:
    """Whether a key of the store is that of contexts, and not of a state."""
    return key.startswith(TRACE_PREFIX)


def is_stored(key: bytes) -> bool:
    """Whether a changelog record is kept in the local store under its own key: states, cells and contexts."""
    return key[:1] != b"\x00" or is_cell(key) or is_trace(key)


def with_latest(kept: tuple[Kept, ...], about: str, context: Context) -> tuple[Kept, ...]:
    """With what was read last in its place; of more than there is room for, the parcel that was heard of first goes."""
    latest = (*(one for one in kept if one.about != about), Kept(about, *context))
    if len(latest) <= MOST_CONTEXTS:
        return latest
    first = next(one for one in latest if one.about)
    return tuple(one for one in latest if one is not first)


def encode_kept(kept: tuple[Kept, ...]) -> bytes:
    """The value under a trace key."""
    return _encode(kept)


def context_about(kept: tuple[Kept, ...], about: str) -> Context | None:
    """The context of a parcel, else of the key's own events. `about`: "" for the key itself: where its own events have none, the
    one that was read last of its parcels; never is that of one parcel given to what is said of another.
    """
    found = {one.about: one for one in kept}
    chosen = found.get(about) or found.get("")
    if chosen is None and not about and kept:
        chosen = kept[-1]
    return chosen.context if chosen is not None else None
