"""Seals what a dead letter keeps of a refused record to public keys, and opens it. Needs the extra `encryption`.

Each record has a content key of its own (AES-256-GCM), and that is sealed to each public key by HPKE (RFC 9180: X25519,
HKDF-SHA256, AES-256-GCM). Both are bound to the letter's headers.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from agents.letter_keys import fingerprint_of, read_identity, read_recipient
from schemas.dead_letters import SEALED_FORM, DeadLetterRecord, KeptLetter
from schemas.sealed_letters import (
    NONCE_BYTES,
    Sealed,
    Wrapped,
    bound_to,
    pack_original,
    read_sealed,
    sealing_bytes,
    unpack_original,
)
from streams.letters import Letter, place_of

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Sealer:
    """Has the public keys of those who may read what was refused."""

    def __init__(self, recipients: Sequence[X25519PublicKey]) -> None:
        self._recipients = [(fingerprint_of(key), key) for key in recipients]
        self.fingerprints = [fingerprint.hex() for fingerprint, _ in self._recipients]
        self.bytes_around = sealing_bytes(len(self._recipients))
        """At most so much larger is a letter than one that is not sealed."""

    @classmethod
    def of_files(cls, paths: Sequence[str]) -> "Sealer":
        """With the public keys in these files. Raises KeyFileError."""
        return cls([read_recipient(Path(path)) for path in paths])

    def seal(self, kept: KeptLetter) -> DeadLetterRecord:
        """Return the sealed letter. Its key is the record's place: letters of one record lie in one partition."""
        letter, content_key = kept.letter, AESGCM.generate_key(256)
        bound = bound_to(letter)
        wrapped = [
            Wrapped(fingerprint, _SUITE.encrypt(content_key, key, info=bound))
            for fingerprint, key in self._recipients
        ]
        unfilled = Sealed(wrapped, secrets.token_bytes(NONCE_BYTES), b"")
        content = AESGCM(content_key).encrypt(unfilled.nonce, pack_original(kept), unfilled.head() + bound)
        place = place_of(letter.topic, letter.partition, letter.offset)
        return DeadLetterRecord(place.encode(), unfilled._replace(content=content).pack(), letter.headers())


class Opener:
    """Has private keys of somebody who may read what was refused."""

    def __init__(self, identities: Sequence[X25519PrivateKey]) -> None:
        self._identities = {fingerprint_of(key.public_key()): key for key in identities}

    @classmethod
    def of_files(cls, paths: Sequence[str]) -> "Opener":
        """With the private keys in these files. Raises KeyFileError."""
        return cls([read_identity(Path(path)) for path in paths])

    def open(self, letter: Letter) -> Letter:
        """Return the letter opened; as it is, if no key fits; `broken`, if one fits and it does not open."""
        named = letter.header.sealed_for.split(",")
        ours = [one for one in self._identities if one.hex() in named]
        if letter.sealed is None or letter.header.sealed != SEALED_FORM or not ours:
            return letter
        try:
            sealed = read_sealed(letter.sealed)
            return letter.opened(unpack_original(self._content(sealed, bound_to(letter.header))))
        except (ValueError, InvalidTag):  # whoever has the public key can seal anything
            return replace(letter, sealed=None, broken=True)

    def _content(self, sealed: Sealed, bound: bytes) -> bytes:
        """Raises InvalidTag, also when no key of ours is in it."""
        for fingerprint, sealed_key in sealed.wrapped:
            identity = self._identities.get(fingerprint)
            if identity is not None:
                content_key = _SUITE.decrypt(sealed_key, identity, info=bound)
                return AESGCM(content_key).decrypt(sealed.nonce, sealed.content, sealed.head() + bound)
        raise InvalidTag
