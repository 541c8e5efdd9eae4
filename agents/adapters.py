"""The adapters that the settings ask for: shipped ones by name, a user's own by the path of its file."""

from collections.abc import Iterable
from pathlib import Path

from agents.errors import Finding, did_you_mean
from schemas.adapter_files import AdapterFile
from schemas.adapter_loading import SUFFIX, load_adapter, shipped_adapter, shipped_adapters
from schemas.yaml_models import ModelError
from streams.adapting import Adapter


def adapters_of(entries: Iterable[str]) -> dict[str, Adapter]:
    """Return topic -> adapter for `topic=adapter` entries that `adapter_findings` has nothing against."""
    named = (entry.partition("=") for entry in entries)
    return {topic: Adapter(_file(name)) for topic, _, name in named}


def adapter_findings(entries: Iterable[str], where: str) -> list[Finding]:
    """Return everything that is wrong with the adapters of `topic=adapter` entries."""
    findings = []
    for name in sorted({entry.partition("=")[2] for entry in entries}):
        try:
            _file(name)
        except KeyError:
            known = shipped_adapters()
            todo = did_you_mean(name, known) or f"one of {', '.join(known)}, or the path of a {SUFFIX} file"
            findings.append(Finding(where, f"there is no adapter {name!r}", todo=todo))
        except OSError as error:
            what = f"cannot read {name!r}: {error.strerror}"
            findings.append(Finding(where, what, todo="correct the path or the file's permissions"))
        except UnicodeDecodeError:
            findings.append(Finding(where, f"{name!r} is not UTF-8", todo="save it as UTF-8 text"))
        except ModelError as error:
            findings += [Finding(told.where, told.what, todo=told.todo) for told in error.findings]
    return findings


def _file(name: str) -> AdapterFile:
    if not name.endswith(SUFFIX):
        return shipped_adapter(name)
    return load_adapter(Path(name).read_text(encoding="utf-8"), name)
