"""What was forgotten, and stays so: docs/adr/0013-forgetting-a-return.md.

A key that is forgotten loses its state, and a small record takes its place under a hidden name: a keyed hash, from which
nobody reads the key. What comes of the key later is found to be so by that name, and passed over. The hash's key is made of
a salt, which the first command to a partition brings with it, and of the secret in the settings (`forget_key`), which is in
no log and in no state. The record goes once everything that happened before is too old to be taken in.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from schemas.facts import Erasure
from streams.batch import HIDDEN_MARK, Change, Hiding, StateReader, Work
from streams.cells import AFTER_CELLS
from streams.clocks import DAY_MS
from streams.watermark import Forgotten

__all__ = ["KEPT_MS", "LABELS", "Gone", "Hidden", "OtherForgetKeyError", "decode_hidden", "look_at_hidden"]

KEPT_MS: Final = 30 * DAY_MS
"""Longest retention of the topics from which an old event may be read anew; a hidden name outlives `accept_age` by this."""
PARCELS, LABELS = "parcels", "returns"
"""Whose names are hashed: a parcel's, or a return's."""
NO_SALT: Final = "none"
"""Where intake brought none, as in virtual time."""
_DIGEST_BYTES = 16
_PAGE = 1_000


class OtherForgetKeyError(RuntimeError):
    """The worker's `forget_key` is not the one by which this partition's names were hidden: it would know none of them."""


class Hidden(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Value under a hidden name: who had it forgotten and when, for the answers to repeats. Nothing of what it was."""

    at_ms: int
    """By the log's clock."""
    lapses_ms: int = 0
    """0: no policy says yet."""
    identity: int = 0
    """Of the command, and all that follows: only of a return, in `returns`."""
    content: int = 0
    told_ms: int = 0
    by: str = ""
    why: str = ""
    answer: str = ""


_encode = msgspec.msgpack.Encoder().encode
decode_hidden = msgspec.msgpack.Decoder(Hidden).decode


def hide(record: Hidden, accept_age_ms: int | None, salt: str) -> Hiding:
    """What stands in place of a key that is forgotten. `accept_age_ms`: None before the first policy."""
    lapses_ms = record.at_ms + accept_age_ms + KEPT_MS if accept_age_ms is not None else 0
    return Hiding(_encode(msgspec.structs.replace(record, lapses_ms=lapses_ms)), lapses_ms, salt)


def hide_now(forgotten: Forgotten, watermark_ms: int, accept_age_ms: int | None) -> Hiding:
    """What stands in place of a key that nobody will ask for."""
    return hide(Hidden(max(watermark_ms, forgotten.at_ms)), accept_age_ms, forgotten.salt)


def look_at_hidden(raw: bytes, now_ms: int, accept_age_ms: int) -> Change:
    """Whether it is still needed, by the policy of now."""
    record = decode_hidden(raw)
    lapses_ms = record.at_ms + accept_age_ms + KEPT_MS
    if lapses_ms <= now_ms:
        return Change(None, 0)
    if lapses_ms == record.lapses_ms:
        return Change(raw, lapses_ms)
    return Change(_encode(msgspec.structs.replace(record, lapses_ms=lapses_ms)), lapses_ms)


class Forgets(Protocol):
    """What a stage's logic knows of forgetting."""

    stage: str
    forgotten: Forgotten
    """Of the partition's position."""

    def named(self, value: bytes) -> tuple[str, ...]:
        """The returns that a record names besides its key."""
        ...

    def hidden(self, watermark_ms: int) -> Hiding:
        """What stands in place of a key that is forgotten now."""
        ...

    def without(
        self, key: bytes, raw: bytes, armed_ms: int, names: Mapping[str, str], watermark_ms: int
    ) -> Change | None:
        """The state without these returns; None: it has none of them."""
        ...


class Gone:
    """The hidden names of one partition. `told` is part of its position."""

    def __init__(self, logic: Forgets, told: Forgotten, secret: bytes) -> None:
        """Raises OtherForgetKeyError where names were hidden by another secret."""
        self._logic = logic
        self._told = told
        self._secret = secret
        self._wanted: dict[str, str] = {}
        """Returns that are being taken out, and their hidden names."""
        self._key = self._key_of(told.salt)
        logic.forgotten = told
        if told.salt and told.check != self._check() and not told.hidden:
            told.check = self._check()  # nothing is remembered by the one before
        if told.salt and told.check != self._check():
            raise OtherForgetKeyError(
                f"the setting forget_key is not the one by which returns were forgotten in a partition of "
                f"{logic.stage}: what comes of them would be taken in again. Give every worker the one that it was"
            )

    def name_of(self, kind: str, key: bytes) -> bytes:
        """Where the record of a forgotten key is kept. `kind`: PARCELS or LABELS."""
        return _name_of(self._key, kind, key)

    def hide(self, key: bytes, hiding: Hiding) -> bytes:
        """The hidden name of a key of this stage that is forgotten, or known again."""
        self.adopt(hiding.salt)
        return self.name_of(self._logic.stage, key)

    def adopt(self, salt: str) -> None:
        """Take the salt of the first command; any later one is as good, and is not needed."""
        if not self._told.salt:
            self._told.salt = salt or NO_SALT
            self._key = self._key_of(self._told.salt)
            self._told.check = self._check()

    def find(self, work: Work, kind: str, key: bytes) -> bytes | None:
        """The record of a key that is forgotten; None: it is not."""
        return work.get(self.name_of(kind, key)).raw

    def named(self, work: Work, value: bytes) -> dict[str, str]:
        """The forgotten ones among the returns that a record names -> their hidden names."""
        names = self._hidden_names(self._logic.named(value))
        return {name: hidden for name, hidden in names.items() if work.get(hidden.encode()).raw is not None}

    def _hidden_names(self, returns: Iterable[str]) -> dict[str, str]:
        return {name: self.name_of(LABELS, name.encode()).decode() for name in returns}

    def note(self, erasure: Erasure, work: Work, watermark_ms: int) -> bool:
        """Hide a return's name among parcels, and have it taken out of all of them; False: there is no room in this batch."""
        self.adopt(erasure.salt)
        self._told.at_ms = max(self._told.at_ms, erasure.at_ms)
        return_id = erasure.return_id
        name = self.name_of(LABELS, return_id.encode())
        held = work.get(name)
        if held.raw is not None:
            return True
        hiding = self._logic.hidden(watermark_ms)
        if not work.take(name, held, Change(hiding.raw, hiding.armed_ms)):
            return False
        self._told.pending = [*self._told.pending, return_id]
        return True

    def page(self, work: Work, reader: StateReader) -> list[bytes]:
        """The next keys that have to be looked through; []: none are left."""
        keys = reader.keys_after(max(self._told.swept or b"", AFTER_CELLS), _PAGE)
        work.load(keys)
        return keys

    @property
    def pending(self) -> bool:
        """Whether returns wait to be taken out of states."""
        return bool(self._told.pending)

    def begin(self, work: Work) -> bool:
        """Begin or go on looking through all states; False: what this batch has changed must be in the store before."""
        if self._told.swept is None:
            if work.changed:
                return False
            self._told.swept = b""
        self._wanted = self._hidden_names(self._told.pending)
        return True

    def sweep_one(self, key: bytes, work: Work, watermark_ms: int) -> Change | None:
        """What is left of a state without the returns that wait; None: it has none of them."""
        raw = work.get(key).raw
        if raw is None or key.startswith(HIDDEN_MARK):
            return None
        return self._logic.without(key, raw, work.get(key).armed_ms, self._wanted, watermark_ms)

    def swept(self, key: bytes | None) -> None:
        """A key has been looked through; None: all have."""
        self._told.swept = key
        if key is None:
            self._told.pending = []

    def _key_of(self, salt: str) -> bytes:
        return _hash_key(salt, self._secret)

    def _check(self) -> str:
        return blake2b(b"check", key=self._key, digest_size=8).hexdigest()


def hidden_name(forgotten: Forgotten, secret: bytes, kind: str, key: bytes) -> bytes:
    """Where a partition whose position says `forgotten` keeps the record of a key, for who asks from outside."""
    return _name_of(_hash_key(forgotten.salt, secret), kind, key)


def _hash_key(salt: str, secret: bytes) -> bytes:
    return blake2b(salt.encode() + b"\x1f" + secret, digest_size=32, person=b"forget_key").digest()


def _name_of(hash_key: bytes, kind: str, key: bytes) -> bytes:
    digest = blake2b(key, key=hash_key, digest_size=_DIGEST_BYTES, person=kind.encode())
    return HIDDEN_MARK + digest.hexdigest().encode()
