"""A batch whose states have traces: contexts are kept beside them, and what is said carries them on (docs/adr/0029).

What an arriving record makes a key say is of that record's trace. What time, a policy or a record without a trace makes it
say is of the trace that was read last about the same parcel, or else about the key; an answer is only ever of its command's
own, and what is said of a key that is forgotten only of the record's that forgets it. A partition that has no traces and takes
none in works with a plain `Work`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from streams.batch import HIDDEN_MARK, RECORD_OVERHEAD_BYTES, Beginning, Change, Held, StateReader, Work
from streams.traces import (
    CE_TRACEPARENT,
    TRACEPARENT,
    Context,
    Kept,
    SaidSpan,
    context_about,
    context_of,
    decode_kept,
    derived_span,
    encode_kept,
    trace_key,
    with_latest,
)
from streams.watermark import Outgoing

ANSWERS = "command-answers"
SPOKEN = frozenset({"escalations", "refund-signals", ANSWERS})
"""Outputs whose messages are spans of their own: what is told once. The others say how something stands."""
_OF_CASES = frozenset({"escalations", "cases"})


class Tells(Protocol):
    """What a stage's logic says about its records."""

    def about(self, value: bytes) -> str:
        """The parcel that a record tells of to a return; "" for all others."""
        ...


class _Parcel(msgspec.Struct):
    parcel: str = ""


_parcel_of = msgspec.json.Decoder(_Parcel).decode


class TracedWork(Work):
    """See the head of this file. `traced` counts the keys that have contexts."""

    is_traced = True

    def __init__(self, beginning: Beginning, logic: Tells, traced: int, *, carries: bool) -> None:
        """`carries`: False: traces are switched off. What is kept stays until its state goes, and nothing is given on."""
        self._logic = logic
        self._carries = carries
        self.traced = traced
        self._arriving: tuple[Context, bytes] | None = None
        self._spans: list[SaidSpan] = []
        super().__init__(beginning)
        self.spans = self._spans

    def arrived(self, record: Any) -> None:
        """Say which record is worked through next."""
        self._arriving = None
        # What a marker or a policy sets going is of many keys, and of nobody's trace.
        is_of_a_key = bool(record.key) and record.key[:1] != b"\x00"
        if self._carries and is_of_a_key and record.headers and record.value is not None:
            context = context_of(record.headers)
            if context is not None and context.is_sampled:
                self._arriving = (context, record.value)

    def load(self, keys: Sequence[bytes]) -> None:
        """Read states, and the contexts beside them."""
        if self.traced:
            keys = [*keys, *(trace_key(key) for key in keys if _may_have(key))]
        super().load(keys)

    def take(self, key: bytes, held: Held, change: Change) -> bool:
        """Take a change in with the contexts of its key, whole or not at all."""
        if not _may_have(key):
            return super().take(key, held, change)
        name = trace_key(key)
        beside = self.held.get(name)
        if beside is None:
            beside = self.held[name] = self.get(name) if self.traced else Held(None)
        raw, spans = beside.raw, list[SaidSpan]()
        if self._arriving is not None or (self._carries and change.outgoing and raw is not None):
            kept = self._with_arriving(decode_kept(raw) if raw is not None else ())
            raw = encode_kept(kept)
            # The trace of what is forgotten would tell to whom it belonged.
            told_by = () if change.hiding is not None or self.lets_go else kept
            change = change._replace(
                outgoing=[self._given_on(one, told_by, spans) for one in change.outgoing]
            )
        if change.raw is None or self.lets_go:
            raw = None
        cost = beside.cost if raw == beside.raw else len(name) + len(raw or b"") + RECORD_OVERHEAD_BYTES
        self.used_bytes += cost - beside.cost
        if not super().take(key, held, change):
            self.used_bytes -= cost - beside.cost
            return False
        self.traced += (raw is not None) - (beside.raw is not None)
        beside.raw, beside.cost = raw, cost
        self._spans += spans
        return True

    def _with_arriving(self, kept: tuple[Kept, ...]) -> tuple[Kept, ...]:
        if self._arriving is None:
            return kept
        context, value = self._arriving
        return with_latest(kept, self._logic.about(value), context)

    def _given_on(self, message: Outgoing, kept: tuple[Kept, ...], spans: list[SaidSpan]) -> Outgoing:
        """The message with its context, and its span, if it is one, in `spans`."""
        if message.value is None:
            return message  # a tombstone tells nothing
        if self._arriving is not None:
            context: Context | None = self._arriving[0]
        elif message.topic == ANSWERS:
            context = None
        else:
            context = context_about(kept, _about(message) if any(one.about for one in kept) else "")
        if context is None:
            return message
        if message.topic not in SPOKEN:
            return _with_context(message, context)
        own = context._replace(span=derived_span(message.topic, _identity(message), context.span.hex()))
        told = _with_context(message, own)
        spans.append(SaidSpan(told, own, context.span))
        return told


def said_again(
    reader: StateReader, keys: Sequence[bytes], messages: Sequence[list[Outgoing]]
) -> list[Outgoing]:
    """What keys say again after a crash, with the contexts that are kept beside them."""
    told = []
    names = [trace_key(key) for key in keys]
    for stored, some in zip(reader.get_many(names), messages, strict=True):
        context = context_about(decode_kept(stored[1]), "") if stored is not None else None
        told += [_with_context(one, context) for one in some] if context is not None else some
    return told


def _may_have(key: bytes) -> bool:
    """Cells are of many keys, and a hidden name of none."""
    return key[:1] not in {b"\x00", HIDDEN_MARK}


def _about(message: Outgoing) -> str:
    return _parcel_of(message.value or b"{}").parcel if message.topic in _OF_CASES else ""


def _identity(message: Outgoing) -> str:
    return next((value.decode() for name, value in message.headers if name == "ce_id"), "")


def _with_context(message: Outgoing, context: Context) -> Outgoing:
    """A message that is a CloudEvent says it as one, too."""
    names = [TRACEPARENT, CE_TRACEPARENT] if message.headers else [TRACEPARENT]
    headers = [*message.headers, *((name, context.header) for name in names)]
    return Outgoing(message.topic, message.key, message.value, headers, message.partition)
