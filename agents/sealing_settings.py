"""The keys of dead letters that the settings name. Loads the extra `encryption` only when there are some."""
# ruff: noqa: PLC0415 - what needs the extra is imported when keys are named

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import DeadLettersError, Finding
from agents.settings import Settings
from schemas.sealed_letters import MOST_RECIPIENTS

if TYPE_CHECKING:
    from agents.letter_sealing import Opener, Sealer

INSTALL = "pip install 'returnwatch[encryption]'"


def sealer_of(settings: Settings) -> "Sealer | None":
    """What seals dead letters by these settings; None: they stay as they came."""
    if not settings.dead_letter_recipients:
        return None
    from agents.letter_sealing import Sealer

    return Sealer.of_files(settings.dead_letter_recipients)


def opener_of(settings: Settings) -> "Opener | None":
    """What opens dead letters by these settings; None: no private key is named."""
    if not settings.dead_letter_identities:
        return None
    from agents.letter_sealing import Opener

    return Opener.of_files(settings.dead_letter_identities)


def key_findings(settings: Settings, at_recipients: str, at_identities: str) -> list[Finding]:
    """Return what is wrong with the named keys. `at_...`: where a person has set them."""
    recipients, identities = settings.dead_letter_recipients, settings.dead_letter_identities
    named = [where for where, paths in ((at_recipients, recipients), (at_identities, identities)) if paths]
    if not named:
        return []
    if not is_installed():
        return [missing_extra(where) for where in named]
    return [*_recipient_findings(recipients, at_recipients), *_identity_findings(identities, at_identities)]


def _recipient_findings(paths: Sequence[str], where: str) -> list[Finding]:
    from agents.letter_keys import KeyFileError, fingerprint_of, read_recipient

    findings, seen = list[Finding](), dict[bytes, str]()
    for path in paths:
        try:
            fingerprint = fingerprint_of(read_recipient(Path(path)))
        except KeyFileError as error:
            findings.append(Finding(where, f"{path!r} {error.what}", todo=error.todo))
            continue
        if fingerprint in seen:
            what = f"{path!r} is the same key as {seen[fingerprint]!r}"
            findings.append(Finding(where, what, todo="name each key once"))
        seen[fingerprint] = path
    if len(paths) > MOST_RECIPIENTS:
        what = f"{len(paths)} keys are more than {MOST_RECIPIENTS}"
        why = "each makes every dead letter larger"
        findings.append(Finding(where, what, why, "let some people share a key"))
    return findings


def _identity_findings(paths: Sequence[str], where: str) -> list[Finding]:
    from agents.letter_keys import KeyFileError, read_identity

    findings = []
    for path in paths:
        try:
            read_identity(Path(path))
        except KeyFileError as error:
            findings.append(Finding(where, f"{path!r} {error.what}", todo=error.todo))
    return findings


def make_keys(private: Path) -> tuple[Path, str]:
    """Make a private key in this file, and its public one beside it. Returns the latter's file, and the fingerprint.

    Raises:
        DeadLettersError: the extra is missing, or a file is there already or cannot be written.
    """
    if not is_installed():
        raise DeadLettersError([missing_extra("keygen")])
    from agents.letter_keys import write_keys

    public = private.with_name(private.name + ".pub")
    return public, write_keys(private, public)


def is_installed() -> bool:
    """Whether there is what seals and opens; it came with version 47 of `cryptography`."""
    try:
        return find_spec("cryptography.hazmat.primitives.hpke") is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def missing_extra(where: str) -> Finding:
    """What to tell whoever names keys without the extra."""
    what = "needs a package that is not installed: cryptography, 47 or newer"
    return Finding(where, what, "dead letters are sealed and opened with it", INSTALL)
