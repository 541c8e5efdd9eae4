"""Key files of sealed dead letters: X25519, in PEM. Needs the extra `encryption`.

A private key is read to open a letter and is in no message, log or error.
"""

import os
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from agents.errors import DeadLettersError, Finding
from schemas.sealed_letters import FINGERPRINT_BYTES

MOST_KEY_FILE_BYTES = 16 * 1024
_MAKE_ONE = "`returnwatch dlq keygen FILE` makes a private key, and a public one in FILE.pub"


class KeyFileError(ValueError):
    """A file that holds no key of the kind that is wanted."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


def fingerprint_of(key: X25519PublicKey) -> bytes:
    """What tells a public key from others: the first bytes of its hash."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return sha256(raw).digest()[:FINGERPRINT_BYTES]


def read_recipient(path: Path) -> X25519PublicKey:
    """Read a public key. Raises KeyFileError."""
    content = _content(path)
    if b"PRIVATE KEY-----" in content:
        todo = f"name the public key ({path}.pub), and keep the private one away from workers: they only seal"
        raise KeyFileError("is a private key", todo)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError("is no public key in PEM", _MAKE_ONE) from error
    if not isinstance(key, X25519PublicKey):
        raise KeyFileError("is a public key, but not of X25519", _MAKE_ONE)
    try:
        X25519PrivateKey.generate().exchange(key)
    except ValueError as error:  # a point with which everybody would know the secret
        raise KeyFileError("is no public key that anything can be sealed for", _MAKE_ONE) from error
    return key


def read_identity(path: Path) -> X25519PrivateKey:
    """Read a private key. Raises KeyFileError, which shows nothing of the file's content."""
    content = _content(path)
    if b"PUBLIC KEY-----" in content:
        raise KeyFileError("is a public key: it seals, and opens nothing", "name the private key of it")
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:
        todo = "take the passphrase off for this: openssl pkey -in FILE -out OTHER"
        raise KeyFileError("is a private key with a passphrase", todo) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError("is no private key in PEM", _MAKE_ONE) from error
    if not isinstance(key, X25519PrivateKey):
        raise KeyFileError("is a private key, but not of X25519", _MAKE_ONE)
    return key


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_KEY_FILE_BYTES)
    except OSError as error:
        todo = "correct the path or the file's permissions"
        raise KeyFileError(f"cannot be read: {error.strerror}", todo) from error


def write_keys(private: Path, public: Path) -> str:
    """Make a key and write its two files. Returns the fingerprint.

    Raises:
        DeadLettersError: one of the files is there already, or cannot be written. Nothing was overwritten.
    """
    there = [path for path in (private, public) if os.path.lexists(path)]
    if there:
        why = "a private key that is overwritten opens nothing any more"
        todo = "give another name"
        raise DeadLettersError([Finding(str(path), "is there already", why, todo) for path in there])
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, public_pem, 0o644)
    try:
        _write_new(private, pem, 0o600)
    except DeadLettersError:
        public.unlink()  # of a key that nobody has
        raise
    return fingerprint_of(key.public_key()).hex()


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Never over a file that is there, also when it came just now; on disk when this returns."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise DeadLettersError([Finding(str(path), f"cannot be written: {error.strerror}")]) from error
