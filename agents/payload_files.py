"""Payloads of an API in files of their own, each as one record that came at a time: for `explain` and `replay`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agents.adapters import Reader, ReaderFile, found_file, ready
from agents.errors import Finding, ReplayError
from agents.replay_reading import NO_OFFSET, Recorded, in_order, read_records
from schemas.source_checks import kinds_of
from schemas.source_files import SourceFile
from schemas.topics import InputKind
from streams.epoch import epoch_ms


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """Files with one payload each, all read in one way."""

    files: tuple[Path, ...]
    adapter: str
    """A shipped adapter or source, or the path of a file."""
    arrived_at: datetime
    key: str | None = None
    """The key that the records would have, for adapters that read it."""

    def readers(self) -> dict[str, Reader]:
        """By topic: each file is one of its own, so that evidence names it. Raises ReplayError: nothing is called so."""
        file = self._reader_file()
        return {self._topic(payload): ready(file) for payload in self.files}

    def _reader_file(self) -> ReaderFile:
        file, findings = found_file(self.adapter, "--adapter")
        if file is None:
            raise ReplayError(findings)
        return file

    def _kind(self) -> InputKind:
        """Of the topics that the reader is for; the first of several."""
        file = self._reader_file()
        kinds = kinds_of(file) if isinstance(file, SourceFile) else {InputKind.CARRIER_SCANS}
        return next(kind for kind in InputKind if kind in kinds)

    def _topic(self, file: Path) -> str:
        alone = sum(other.name == file.name for other in set(self.files)) == 1
        return file.name if alone else str(file)

    def records(self) -> list[Recorded]:
        """One for each file. Raises ReplayError with every file that cannot be read."""
        records, findings = list[Recorded](), list[Finding]()
        kind, at_ms = self._kind(), epoch_ms(self.arrived_at)
        key = None if self.key is None else self.key.encode()
        for file in dict.fromkeys(self.files):
            try:
                value = file.read_bytes()
            except OSError as error:
                todo = "correct the path or the file's permissions"
                findings.append(Finding(str(file), f"cannot be read: {error.strerror}", todo=todo))
                continue
            where = (kind, self._topic(file), 0, NO_OFFSET)
            records.append(Recorded(at_ms, *where, value, (), key))
        if findings:
            raise ReplayError(findings)
        return records


@dataclass(frozen=True, slots=True)
class Wiring:
    """How payloads are read, in records and in files of their own."""

    of_topics: Mapping[str, Reader] = field(default_factory=dict)
    """As workers have them."""
    payloads: PayloadFiles | None = None

    def readers(self) -> Mapping[str, Reader]:
        """By topic."""
        return {**self.of_topics, **({} if self.payloads is None else self.payloads.readers())}

    def records(
        self, files: Sequence[Path], arrival: str, read_bytes: Callable[[int], None] = lambda _: None
    ) -> list[Recorded]:
        """What the files hold, and the payloads, the first that came first: see `read_records`. Raises ReplayError."""
        payloads = [] if self.payloads is None else self.payloads.records()
        return in_order([*(read_records(files, arrival, read_bytes) if files else ()), *payloads])
