"""Messages in files: one in each file, or one in each line of a JSONL file. Gzip is unpacked by whoever reads them."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agents.errors import Finding, SourcesError

_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
MOST_BYTES = 64 * 1024 * 1024


class MessageFile(NamedTuple):
    """One message. `where`: its file, and its line where it has one."""

    where: str
    value: bytes


def read_messages(files: Sequence[Path]) -> list[MessageFile]:
    """Return the messages of the files, in their order. Raises SourcesError with every finding."""
    found, findings = list[MessageFile](), list[Finding]()
    for file in files:
        try:
            found += _messages(file)
        except OSError as error:
            what = f"cannot be read: {error.strerror or error}"
            findings.append(Finding(str(file), what, todo="correct the path or the file's permissions"))
        except (EOFError, zlib.error) as error:
            findings.append(
                Finding(str(file), f"is not a whole gzip file: {error}", todo="compress or copy it anew")
            )
    if not findings and not found:
        findings.append(
            Finding(", ".join(map(str, files)), "no message in it", todo="give files with messages")
        )
    if findings:
        raise SourcesError(findings)
    return found


def _messages(file: Path) -> Iterator[MessageFile]:
    if file.stat().st_size > MOST_BYTES:
        raise OSError(f"larger than {MOST_BYTES} bytes; give some of its messages")
    value = file.read_bytes()
    if not file.name.endswith(_LINES):
        if value.strip():
            yield MessageFile(str(file), value)
        return
    text = gzip.decompress(value) if file.suffix == ".gz" else value
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield MessageFile(f"{file}:{number}", line)
