"""Reads adapter files. A wrong one is refused with all findings at once: where, what, why, and what to do."""

from functools import cache
from importlib.resources import files

from schemas.adapter_files import AdapterFile
from schemas.yaml_models import ModelError, ModelFinding, model_from_yaml

SUFFIX = ".yaml"


def shipped_adapters() -> tuple[str, ...]:
    """Return the names of the adapters that come with the package, sorted."""
    names = (entry.name for entry in files("schemas").joinpath("adapters").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


@cache
def shipped_adapter(name: str) -> AdapterFile:
    """Return one adapter that comes with the package. Raises KeyError for a name that is none."""
    if name not in shipped_adapters():
        raise KeyError(name)
    file = name + SUFFIX
    adapter = load_adapter(files("schemas").joinpath("adapters", file).read_text(encoding="utf-8"), file)
    if adapter.adapter != name:
        what = f"`adapter` must be the file's name; it says `{adapter.adapter}`"
        raise ModelError([ModelFinding(f"{file}:1:1", what)])
    return adapter


def load_adapter(text: str, filename: str) -> AdapterFile:
    """Return the adapter written in `text`. Raises ModelError with every finding, in the order of the file."""
    return model_from_yaml(AdapterFile, text, filename)
