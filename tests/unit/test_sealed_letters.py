"""Dead letters that are sealed: who can open them, that nobody else can, and that nothing but the bytes is hidden."""

import asyncio
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from faust.types.tuples import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agents import sealing_settings
from agents.dead_letters import SURELY_TAKEN_BYTES, DeadLetterWriter
from agents.letter_sealing import _SUITE, Opener, Sealer
from agents.letter_view import Listed, letter_object, show_letter, show_letters
from agents.metrics import Metrics
from agents.settings import Settings
from agents.terminal import out
from schemas.dead_letters import DeadLetter, DeadLetterRecord, Headers, KeptLetter, Redriven
from schemas.sealed_letters import (
    MOST_RECIPIENTS,
    Original,
    SealedFormError,
    Wrapped,
    bound_to,
    pack_original,
    read_sealed,
    unpack_original,
)
from schemas.topics import DEAD_LETTER_ROOM, KIB, MIB
from schemas.vocabulary import DeadLetterReason
from streams.intake import Refused
from streams.letters import Letter, Obstacle, Terms, obstacle, read_letter
from tests.command_line import returnwatch
from tests.dead_letters import WRITTEN_MS, Refusal

KEYS = [x25519.X25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 10)]
OURS, OTHER = KEYS[0], KEYS[1]
SEALER = Sealer([OURS.public_key()])
OPENER = Opener([OURS])
OWN: Headers = [("ce_id", b"1"), ("empty", b""), ("null", None), ("ce_id", b"\xff\x00")]
SECRET = b'{"name": "Ada Lovelace, 12 St James Square"'
TERMS = Terms({"orders": 2}, most_redrives=3, again=False, audit_id="audit-2")
NOW = datetime.fromtimestamp(WRITTEN_MS / 1000 + 3600, UTC)


def sealed(refusal: Refusal, sealer: Sealer = SEALER, **more: Any) -> DeadLetterRecord:
    return sealer.seal(refusal.kept(sealed_for=sealer.fingerprints, **more))


def read(record: DeadLetterRecord) -> Letter:
    letter = read_letter("dead-letters/0@7", WRITTEN_MS, record.key, record.value, record.headers)
    assert letter is not None
    return letter


def with_header(record: DeadLetterRecord, name: str, content: bytes) -> DeadLetterRecord:
    changed = [(one, content if one == f"returnwatch-{name}" else value) for one, value in record.headers]
    assert changed != record.headers
    return record._replace(headers=changed)


def size_of(record: DeadLetterRecord) -> int:
    headers = sum(len(name) + len(value or b"") + 10 for name, value in record.headers)
    return headers + len(record.key or b"") + len(record.value or b"")


# -- what comes out is what went in


@pytest.mark.parametrize("value", [SECRET, b"", b"\x00\xff", None, b"x" * MIB])
@pytest.mark.parametrize("key", [b"k", b"", None])
@pytest.mark.parametrize("headers", [OWN, []])
def test_who_has_the_key_gets_back_what_was_refused(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    letter = OPENER.open(read(sealed(Refusal(17, value, key, headers))))
    assert (letter.key, letter.value, letter.headers) == (key, value, headers)
    assert (letter.sealed, letter.broken, letter.record) == (None, False, "orders/0@17")
    assert obstacle(letter, None, TERMS) is (Obstacle.EMPTY if key is None and value is None else None)


@given(
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=40),
    st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=4),
)
def test_a_record_is_packed_so_that_it_comes_out_the_same(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    original = Original(key, value, headers)
    packed = pack_original(original)
    assert unpack_original(packed) == original
    for wrong in (packed[:-1], packed + b"\x00"):
        with pytest.raises(SealedFormError):
            unpack_original(wrong)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_sealed_record_or_none(value: bytes) -> None:
    for content in (value, b"RWSL\x01\x01" + value):
        letter = read(sealed(Refusal(1))._replace(value=content))
        assert OPENER.open(letter).broken


def test_the_layout_is_the_documented_one() -> None:
    sealer = Sealer([OURS.public_key(), OTHER.public_key()])
    record = sealed(Refusal(17), sealer)
    value = record.value
    assert value is not None
    raw = OTHER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert value[:6] == b"RWSL\x01\x02"
    assert value[6 + 88 : 6 + 96] == sha256(raw).digest()[:8]
    content = pack_original(Original(b"k", b"{oops", []))
    assert content == b"\x00\x00\x00\x01k\x00\x00\x00\x05{oops\x00\x00\x00\x00"
    assert len(value) == 6 + 2 * 88 + 12 + len(content) + 16
    assert bound_to(read(record).header).startswith(
        b"returnwatch dead letter 1\x00\x00\x00\x00\x06orders\x00\x00\x00\x010\x00\x00\x00\x0217\x00\x00\x00\x08not_json"
    )


# -- who can open it


def test_every_recipient_can_open_it_and_nobody_else() -> None:
    sealer = Sealer([key.public_key() for key in KEYS[:3]])
    letter = read(sealed(Refusal(17, SECRET), sealer))
    for key in KEYS[:3]:
        assert Opener([KEYS[5], key]).open(letter).value == SECRET
    stays = Opener(KEYS[3:]).open(letter)
    assert stays is letter
    assert obstacle(stays, None, TERMS) is Obstacle.SEALED
    assert letter.header.sealed_for == ",".join(sealer.fingerprints)


def test_nothing_of_the_record_can_be_read_in_its_letter() -> None:
    record = sealed(Refusal(17, SECRET, b"customer-77", [("x-name", b"Lovelace")]))
    everything = b"|".join([record.key or b"", record.value or b"", repr(record.headers).encode()])
    for secret in (b"Ada", b"Lovelace", b"customer-77", b"x-name"):
        assert secret not in everything


def test_two_letters_of_one_record_are_one_though_their_bytes_differ() -> None:
    refusal = Refusal(17, SECRET)
    first, again, plain = sealed(refusal), sealed(refusal), refusal.letter()
    assert first.value != again.value
    assert read(first).identity == read(again).identity == read(plain).identity
    assert first.key == again.key == b"orders/0@17"  # one partition
    assert first.headers == again.headers


def test_what_people_look_at_stays_plain() -> None:
    refusal = Refusal(17, SECRET, headers=Redriven(2, "dead-letters/0@1", "2026-03-01T12:00:00Z").headers())
    plain, hidden = refusal.kept().letter, read(sealed(refusal)).header
    for field in DeadLetter.__struct_fields__:
        if not field.startswith("sealed"):
            assert getattr(hidden, field) == getattr(plain, field)
    assert (plain.sealed, plain.sealed_for, hidden.sealed) == (0, "", 1)
    assert hidden.redrives == 2


# -- what was tampered with does not open


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("topic", b"labels"),
        ("partition", b"1"),
        ("offset", b"18"),
        ("reason", b"too_deep"),
        ("size", b"5"),
        ("sha256", b"0" * 64),
        ("truncated", b"true"),
        ("first-bytes", b"1"),
        ("left-out", b"key"),
        ("redrives", b"7"),
        ("redriven-from", b"dead-letters/0@1"),
        ("first-refused-at", b"2026-03-01T12:00:00Z"),
    ],
)
def test_a_sealed_record_does_not_open_under_other_headers(name: str, content: bytes) -> None:
    letter = OPENER.open(read(with_header(sealed(Refusal(17, SECRET)), name, content)))
    assert letter.broken
    assert letter.value is None


def test_a_sealed_record_does_not_open_under_another_letter() -> None:
    one, other = sealed(Refusal(17, SECRET)), sealed(Refusal(18, SECRET))
    letter = OPENER.open(read(other._replace(value=one.value)))
    assert obstacle(letter, None, TERMS) is Obstacle.ALTERED


def test_no_byte_can_be_changed_added_or_taken_away() -> None:
    value = sealed(Refusal(17, SECRET), Sealer([OURS.public_key(), OTHER.public_key()])).value
    assert value is not None
    record = sealed(Refusal(17, SECRET), Sealer([OURS.public_key(), OTHER.public_key()]))
    assert OPENER.open(read(record._replace(value=value))).value == SECRET
    changed = [value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in range(len(value))]
    cut = [value[:length] for length in (0, 5, 6, 50, 190, len(value) - 1)]
    for wrong in [*changed, *cut, value + b"\x00", None]:
        assert OPENER.open(read(record._replace(value=wrong))).broken


def test_who_has_the_public_key_can_seal_nonsense_and_it_does_not_open() -> None:
    letter = read(sealed(Refusal(17)))
    bound = bound_to(letter.header)
    parts = read_sealed(letter.sealed or b"")
    fingerprint = parts.wrapped[0].fingerprint
    for content_key, content in (
        (b"short", b""),
        (bytes(32), b"\x00\x00\x00\x09"),
        (bytes(32), b"\x80" * 40),
    ):
        forged = parts._replace(
            wrapped=[Wrapped(fingerprint, _SUITE.encrypt(content_key, OURS.public_key(), info=bound))]
        )
        if len(content_key) == 32:
            encrypted = AESGCM(content_key).encrypt(parts.nonce, content, forged.head() + bound)
            forged = forged._replace(content=encrypted)
        assert OPENER.open(read(sealed(Refusal(17))._replace(value=forged.pack()))).broken


def test_a_form_of_another_version_is_left_as_it_is() -> None:
    letter = OPENER.open(read(with_header(sealed(Refusal(17)), "sealed", b"2")))
    assert obstacle(letter, None, TERMS) is Obstacle.SEALED


# -- how large it is


@pytest.mark.parametrize("bulky", [{}, {"key": b"k" * 16 * KIB}, {"headers": [("h", b"h" * 16_300)]}])
@pytest.mark.parametrize("recipients", [1, MOST_RECIPIENTS])
def test_a_sealed_letter_holds_as_much_as_one_that_is_not(recipients: int, bulky: dict[str, Any]) -> None:
    sealer = Sealer([key.public_key() for key in KEYS[:recipients]])
    most = MIB + DEAD_LETTER_ROOM
    for size in (0, MIB, 2 * MIB):
        refusal = Refusal(1, b"x" * size, topic="t" * 249, detail="ü" * 500, **bulky)
        record = sealed(refusal, sealer, max_message_bytes=most - sealer.bytes_around)
        assert size_of(record) + 2048 <= most
        letter = OPENER.open(read(record))
        assert letter.header.truncated == (size > MIB)
        assert len(letter.value or b"") == (size if size <= MIB else 64 * KIB)
        assert not letter.header.left_out
        assert letter.key == refusal.key


@pytest.mark.parametrize("recipients", range(1, MOST_RECIPIENTS + 1))
@pytest.mark.parametrize("headers", [[], OWN * 50])
def test_sealing_takes_no_more_than_is_kept_free_for_it(recipients: int, headers: Headers) -> None:
    sealer = Sealer([key.public_key() for key in KEYS[:recipients]])
    for key, value in ((b"", SECRET), (None, None)):
        refusal = Refusal(2**63 - 1, value, key, headers, topic="t" * 249, partition=2**31 - 1)
        assert size_of(sealed(refusal, sealer)) <= size_of(refusal.letter()) + sealer.bytes_around


def test_what_has_no_room_is_left_out_as_in_a_letter_that_is_not_sealed() -> None:
    refusal = Refusal(1, b"v", b"k" * 17 * KIB, [("h", b"h" * 17 * KIB)])
    letter = OPENER.open(read(sealed(refusal)))
    assert (letter.key, letter.value, letter.headers) == (None, b"v", [])
    assert letter.header.left_out == "key+headers"


class Broker:
    """Takes no more than a topic of these settings would."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, list[DeadLetterRecord]()

    async def send_and_wait(self, _topic: str, value: bytes, *, key: bytes | None, headers: Headers) -> None:
        record = DeadLetterRecord(key, value, headers)
        if size_of(record) > self.most:
            raise MessageSizeTooLargeError
        self.taken.append(record)


@pytest.mark.parametrize("most", [MIB + DEAD_LETTER_ROOM, SURELY_TAKEN_BYTES])
async def test_a_worker_writes_sealed_letters_that_fit(most: int) -> None:
    writer = DeadLetterWriter(
        {"bootstrap_servers": "nowhere:9092"}, "dead-letters", MIB, Metrics(CollectorRegistry()), SEALER
    )
    broker = Broker(most)
    writer._producer = cast(Any, broker)
    record = SimpleNamespace(offset=17, key=b"k", value=b"x" * MIB, headers=OWN)
    refused = Refused(cast(Any, record), DeadLetterReason.NOT_JSON, "what", "do")
    await writer.write(TP("orders", 0), [refused])
    (written,) = broker.taken
    letter = OPENER.open(read(written))
    assert (letter.key, letter.headers, letter.header.size) == (b"k", OWN, MIB)
    assert letter.value == (record.value if most > MIB else record.value[: 64 * KIB])


class Patient(Sealer):
    """Seals when it is told to."""

    told = threading.Event()

    def seal(self, kept: KeptLetter) -> DeadLetterRecord:
        assert self.told.wait(20), "nothing else went on meanwhile"
        return super().seal(kept)


async def test_a_worker_goes_on_while_a_chunk_of_refused_records_is_sealed() -> None:
    sealer = Patient([OURS.public_key()])
    writer = DeadLetterWriter(
        {"bootstrap_servers": "nowhere:9092"}, "dead-letters", MIB, Metrics(CollectorRegistry()), sealer
    )
    broker = Broker(MIB)
    writer._producer = cast(Any, broker)
    records = [SimpleNamespace(offset=offset, key=b"k", value=b"{", headers=[]) for offset in range(3)]
    refused = [Refused(cast(Any, record), DeadLetterReason.NOT_JSON, "what", "do") for record in records]
    writing = asyncio.create_task(writer.write(TP("orders", 0), refused))
    await asyncio.sleep(0.01)
    sealer.told.set()
    await writing
    assert {read(letter).header.offset for letter in broker.taken} == {0, 1, 2}


# -- on a terminal, and for programs


def shown(letter: Letter) -> str:
    with out.capture() as capture:
        show_letter(Listed(letter), NOW, 0)
        show_letters([Listed(letter.without_record())], NOW)
    return capture.get()


def test_without_the_key_a_letter_says_for_whom_it_is_sealed_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    letter = read(sealed(Refusal(17, SECRET)))
    text, told = shown(letter), letter_object(Listed(letter), with_record=True)
    assert SEALER.fingerprints[0] in text
    assert "(sealed)" in text
    assert "key   " not in text
    said = " ".join(capsys.readouterr().err.split())
    assert "is sealed, and no key that was given opens it; give --identity FILE" in said
    assert (told["opened"], told["value"], told["sealed_for"]) == (False, None, SEALER.fingerprints[0])
    opened = OPENER.open(letter)
    assert "Ada Lovelace" in shown(opened)
    told = letter_object(Listed(opened), with_record=True)
    assert (told["opened"], told["value"]["text"].encode()) == (True, SECRET)


def test_what_does_not_open_with_its_key_says_that_somebody_changed_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown(OPENER.open(read(with_header(sealed(Refusal(17, SECRET)), "offset", b"18"))))
    assert "its bytes are not those that were refused" in " ".join(capsys.readouterr().err.split())


# -- key files


def test_a_key_is_made_for_its_owner_alone_and_nothing_is_overwritten(tmp_path: Path) -> None:
    file, public = tmp_path / "ops", tmp_path / "ops.pub"
    made = returnwatch("dlq", "keygen", str(file))
    assert made.code == 0, made.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    sealer, opener = Sealer.of_files([str(public)]), Opener.of_files([str(file)])
    assert sealer.fingerprints[0] in made.err
    assert opener.open(read(sealed(Refusal(1, SECRET), sealer))).value == SECRET
    private = file.read_text()
    assert private.splitlines()[1] not in made.out + made.err
    again = returnwatch("dlq", "keygen", str(file))
    assert (again.code, "is there already" in again.err, file.read_text()) == (1, True, private)
    file.rename(tmp_path / "kept")
    half = returnwatch("dlq", "keygen", str(file))
    assert (half.code, file.exists()) == (1, False)
    nowhere = returnwatch("dlq", "keygen", str(tmp_path / "missing" / "ops"))
    assert (nowhere.code, "cannot be written" in nowhere.err) == (1, True)


def files(directory: Path) -> dict[str, Path]:
    """Key files, right and wrong."""
    pkcs8, info = PrivateFormat.PKCS8, PublicFormat.SubjectPublicKeyInfo
    ed = ed25519.Ed25519PrivateKey.generate()
    low = x25519.X25519PublicKey.from_public_bytes(bytes(32))
    contents = {
        "private": OURS.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "public": OURS.public_key().public_bytes(Encoding.PEM, info),
        "locked": OURS.private_bytes(Encoding.PEM, pkcs8, BestAvailableEncryption(b"pass")),
        "ed_private": ed.private_bytes(Encoding.PEM, pkcs8, NoEncryption()),
        "ed_public": ed.public_key().public_bytes(Encoding.PEM, info),
        "low": low.public_bytes(Encoding.PEM, info),
        "text": b"hello",
        "empty": b"",
    }
    paths = {name: directory / name for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    return paths | {"absent": directory / "absent"}


RECIPIENTS = {
    "private": "is a private key",
    "ed_public": "not of X25519",
    "low": "nothing|anything can be sealed",
    "text": "is no public key in PEM",
    "empty": "is no public key in PEM",
    "absent": "cannot be read: No such file",
}
IDENTITIES = {
    "public": "opens nothing",
    "locked": "with a passphrase",
    "ed_private": "not of X25519",
    "text": "is no private key in PEM",
    "absent": "cannot be read: No such file",
}


def test_check_tells_every_wrong_key_file_at_once_and_shows_no_key(tmp_path: Path) -> None:
    paths = files(tmp_path)
    flags = [text for name in RECIPIENTS for text in ("--dead-letter-recipient", str(paths[name]))]
    flags += [text for name in IDENTITIES for text in ("--identity", str(paths[name]))]
    answer = returnwatch("check", *flags)
    assert answer.code == 1
    told = " ".join((answer.out + answer.err).split())
    assert told.count("--dead-letter-recipient: ") == len(RECIPIENTS)
    assert told.count("--identity: ") == len(IDENTITIES)
    for what in (*RECIPIENTS.values(), *IDENTITIES.values()):
        assert what.rpartition("|")[2] in told
    for path in (paths["private"], paths["ed_private"], paths["locked"]):
        assert path.read_text().splitlines()[1] not in told


def test_check_tells_a_key_named_twice_and_too_many(tmp_path: Path) -> None:
    public = str(files(tmp_path)["public"])
    answer = returnwatch("check", *["--dead-letter-recipient", public] * (MOST_RECIPIENTS + 1))
    told = " ".join((answer.out + answer.err).split())
    assert "is the same key as" in told
    assert f"{MOST_RECIPIENTS + 1} keys are more than {MOST_RECIPIENTS}" in told


def test_check_names_the_keys_that_letters_are_sealed_for(tmp_path: Path) -> None:
    answer = returnwatch("check", "--dead-letter-recipient", str(files(tmp_path)["public"]))
    assert (answer.code, f"sealed for {SEALER.fingerprints[0]}" in answer.out) == (0, True)


def test_without_the_extra_only_who_names_keys_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sealing_settings, "is_installed", lambda: False)
    public = str(files(tmp_path)["public"])
    for arguments in (
        ("check", "--dead-letter-recipient", public),
        ("dlq", "list", "--identity", public),
        ("dlq", "keygen", str(tmp_path / "new")),
    ):
        answer = returnwatch(*arguments)
        assert (answer.code, "pip install 'returnwatch[encryption]'" in answer.out + answer.err) == (1, True)
    assert returnwatch("check").code == 0


def test_without_keys_nothing_is_sealed_and_the_package_is_not_needed() -> None:
    assert sealing_settings.sealer_of(Settings()) is None
    assert sealing_settings.opener_of(Settings()) is None
    code = (
        "import sys, agents.worker, agents.check, agents.dlq_deciding, agents.settings_loading as loading;"
        "loading.load_settings({});"
        "print([name for name in sys.modules if name.startswith('cryptography')])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
