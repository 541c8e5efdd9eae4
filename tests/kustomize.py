"""Renders an overlay as `kubectl kustomize` does, for a machine that has no kubectl.

It knows only what deploy/kubernetes uses, and refuses everything else, so that nothing is left out in silence.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Document = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "namespace", "replicas", "images", "patches"}
MERGED_BY = {
    "containers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
"""Lists that Kubernetes merges by a field of their items. No other may be patched: how it would be merged was not tried."""


def read(file: Path) -> list[Document]:
    """The documents of a file."""
    return [document for document in YAML(typ="safe").load_all(file) if document is not None]


def rendered(directory: Path) -> list[Document]:
    """All objects of an overlay, in no particular order."""
    return _built(directory, [])


def _built(directory: Path, inherited: list[Document]) -> list[Document]:
    (told,) = read(directory / "kustomization.yaml")
    unknown = set(told) - KNOWN
    assert not unknown, f"{directory}: this does not know {unknown}"
    found = copy.deepcopy(inherited)
    for resource in told.get("resources", ()):
        path = directory / resource
        found += _built(path, []) if path.is_dir() else read(path)
    for component in told.get("components", ()):
        found = _built(directory / component, found)
    for patch in told.get("patches", ()):
        assert set(patch) == {"path"}, patch
        for change in read(directory / patch["path"]):
            (target,) = [each for each in found if _name(each) == _name(change)]
            target.update(_merged(target, change))
    _count(found, told.get("replicas", ()))
    _name_images(found, told.get("images", ()))
    for each in found:
        if "namespace" in told:
            each["metadata"]["namespace"] = told["namespace"]
    assert len({_name(each) for each in found}) == len(found), "two objects of one name"
    return found


def _name(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def _merged(there: Any, change: Any, field: str = "") -> Any:
    if isinstance(there, dict) and isinstance(change, dict):
        result = dict(there)
        for key, value in change.items():
            result[key] = _merged(there.get(key), value, key)
        return result
    if isinstance(there, list) and isinstance(change, list) and field in MERGED_BY:
        by = MERGED_BY[field]
        changes = {item[by]: item for item in change}
        kept = [_merged(item, changes.pop(item[by])) if item[by] in changes else item for item in there]
        return [*changes.values(), *kept]
    assert there is None or not isinstance(change, list), f"a patch of the list {field}"
    return change


def _count(found: Iterable[Document], replicas: Iterable[Mapping[str, Any]]) -> None:
    for told in replicas:
        (one,) = [
            each
            for each in found
            if each["metadata"]["name"] == told["name"] and "replicas" in each.get("spec", {})
        ]
        one["spec"]["replicas"] = told["count"]


def _name_images(found: Iterable[Document], images: Iterable[Mapping[str, str]]) -> None:
    for told in images:
        for each in found:
            for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
                if container["image"].rpartition(":")[0] == told["name"]:
                    container["image"] = f"{told['newName']}:{told['newTag']}"
