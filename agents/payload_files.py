"""Payloads of an API in files of their own, each as one record that came at a time: for `explain` and `replay`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.adapters import adapter_findings, adapters_of
from agents.errors import Finding, ReplayError
from agents.replay_reading import NO_OFFSET, Recorded, in_order, read_records
from schemas.topics import InputKind
from streams.adapting import Adapter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """Files with one payload each, all read by one adapter."""

    files: tuple[Path, ...]
    adapter: str
    """A shipped one, or the path of a file."""
    arrived_at: datetime
    key: str | None = None
    """The key that the records would have, for adapters that read it."""

    def adapters(self) -> dict[str, Adapter]:
        """By topic: each file is one of its own, so that evidence names it. Raises ReplayError: there is no such adapter."""
        findings = adapter_findings([f"payload={self.adapter}"], "--adapter")
        if findings:
            raise ReplayError(findings)
        return adapters_of(f"{self._topic(file)}={self.adapter}" for file in self.files)

    def _topic(self, file: Path) -> str:
        alone = sum(other.name == file.name for other in set(self.files)) == 1
        return file.name if alone else str(file)

    def records(self) -> list[Recorded]:
        """One for each file. Raises ReplayError with every file that cannot be read."""
        records, findings = list[Recorded](), list[Finding]()
        at_ms = (self.arrived_at - _EPOCH) // _MS
        key = None if self.key is None else self.key.encode()
        for file in dict.fromkeys(self.files):
            try:
                value = file.read_bytes()
            except OSError as error:
                todo = "correct the path or the file's permissions"
                findings.append(Finding(str(file), f"cannot be read: {error.strerror}", todo=todo))
                continue
            where = (InputKind.CARRIER_SCANS, self._topic(file), 0, NO_OFFSET)
            records.append(Recorded(at_ms, *where, value, (), key))
        if findings:
            raise ReplayError(findings)
        return records


@dataclass(frozen=True, slots=True)
class Wiring:
    """How carriers' payloads are read, in records and in files of their own."""

    scans_adapters: tuple[str, ...] = ()
    """topic=adapter, as workers have it."""
    payloads: PayloadFiles | None = None

    def adapters(self) -> Mapping[str, Adapter]:
        """By topic."""
        of_files = {} if self.payloads is None else self.payloads.adapters()
        return adapters_of(self.scans_adapters) | of_files

    def records(
        self, files: Sequence[Path], arrival: str, read_bytes: Callable[[int], None] = lambda _: None
    ) -> list[Recorded]:
        """What the files hold, and the payloads, the first that came first: see `read_records`. Raises ReplayError."""
        payloads = [] if self.payloads is None else self.payloads.records()
        return in_order([*(read_records(files, arrival, read_bytes) if files else ()), *payloads])
