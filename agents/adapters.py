"""What reads topics that do not carry the contract's events: adapters of carriers, and sources of a user's own messages.

Shipped ones are named by their name, a user's own by the path of its file. Whoever maps records asks `readers_of`.
"""

from collections.abc import Iterable
from pathlib import Path

from agents.errors import Finding, did_you_mean
from agents.settings import Settings
from schemas.adapter_files import AdapterFile
from schemas.adapter_loading import SUFFIX, load_adapter, shipped_adapter, shipped_adapters
from schemas.source_checks import kinds_of, load_source, shipped_source, shipped_sources
from schemas.source_files import SourceFile
from schemas.topics import InputKind
from schemas.yaml_models import ModelError
from schemas.yaml_reading import NotYamlError, YamlReader, compose
from streams.adapting import Adapter
from streams.message_reading import MessageSource

Reader = Adapter | MessageSource
ReaderFile = AdapterFile | SourceFile


def readers_of(settings: Settings) -> dict[str, Reader]:
    """Return topic -> what reads it, for settings that `reader_findings` has nothing against."""
    return readers_named((*settings.scans_adapters, *settings.sources))


def readers_named(entries: Iterable[str]) -> dict[str, Reader]:
    """Return topic -> what reads it, for entries `topic=name` of which nothing is wrong."""
    named = (entry.partition("=") for entry in entries)
    return {topic: ready(read_file(name)) for topic, _, name in named}


def reader_findings(settings: Settings, where_adapters: str, where_sources: str) -> list[Finding]:
    """Return everything that is wrong with the adapters and sources that the settings name."""
    findings = []
    kinds = {topic: kind for kind, topics in settings.topics.inputs.items() for topic in topics}
    told = set[str]()
    for where, entries in ((where_adapters, settings.scans_adapters), (where_sources, settings.sources)):
        for entry in entries:
            topic, _, name = entry.partition("=")
            file, wrong = found_file(name, where)
            if name not in told:
                findings += wrong
            told.add(name)
            if file is not None:
                findings += _of_kind(file, topic, kinds[topic], where)
    return findings


def read_file(name: str) -> ReaderFile:
    """Return an adapter or source by its name or the path of its file.

    Raises:
        KeyError: no such name.
        OSError, UnicodeDecodeError: the file cannot be read.
        ModelError: with everything that is wrong with it.
    """
    if name.endswith(SUFFIX):
        return load_file(Path(name).read_text(encoding="utf-8"), name)
    return shipped_source(name) if name in shipped_sources() else shipped_adapter(name)


def load_file(text: str, filename: str) -> ReaderFile:
    """Return the adapter or source written in `text`: a source says `source`. Raises ModelError with every finding."""
    return load_source(text, filename) if _says_source(text) else load_adapter(text, filename)


def ready(file: ReaderFile) -> Reader:
    """Return what reads by a file."""
    return MessageSource(file) if isinstance(file, SourceFile) else Adapter(file)


def _says_source(text: str) -> bool:
    try:
        node = compose(text)
    except NotYamlError:
        return False  # told when it is read
    content = YamlReader().value(node) if node is not None else None
    return isinstance(content, dict) and ("source" in content or "adapter" not in content)


def found_file(name: str, where: str) -> tuple[ReaderFile | None, list[Finding]]:
    """Return an adapter or source, or None and why not."""
    try:
        return read_file(name), []
    except KeyError:
        known = (*shipped_sources(), *shipped_adapters())
        todo = did_you_mean(name, known) or f"one of {', '.join(known)}, or the path of a {SUFFIX} file"
        return None, [Finding(where, f"there is no adapter or source {name!r}", todo=todo)]
    except OSError as error:
        what = f"cannot read {name!r}: {error.strerror}"
        return None, [Finding(where, what, todo="correct the path or the file's permissions")]
    except UnicodeDecodeError:
        return None, [Finding(where, f"{name!r} is not UTF-8", todo="save it as UTF-8 text")]
    except ModelError as error:
        return None, [Finding(told.where, told.what, todo=told.todo) for told in error.findings]


def _of_kind(file: ReaderFile, topic: str, kind: InputKind, where: str) -> Iterable[Finding]:
    """A topic has a kind, and what reads it gives events of that kind, maybe of others too."""
    if isinstance(file, SourceFile):
        kinds, name = kinds_of(file), file.source
    else:
        kinds, name = frozenset({InputKind.CARRIER_SCANS}), file.adapter
    if kind not in kinds:
        what = f"{topic!r} is a topic of {kind.value}, and {name} tells events of {', '.join(sorted(kinds))}"
        yield Finding(where, what, todo="list the topic under the other kind, or name another file")
