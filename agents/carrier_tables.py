"""A user's own tables of carrier codes, read from files beside ours (docs/carriers.md)."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from agents.errors import CarrierCodesError, Finding
from schemas.carrier_codes import CarrierCodes, load_carrier_codes, our_tables
from schemas.carrier_table_checks import read_tables
from schemas.carrier_tables import ALIASES, DEFAULTS, Tables


class OwnTables(NamedTuple):
    """What was read, and everything that is wrong with it."""

    tables: Tables
    findings: Sequence[Finding]


def read_carrier_codes(path: Path | None) -> CarrierCodes:
    """Our tables, with those of a file or directory beside them; None: ours alone.

    Raises:
        CarrierCodesError: with every finding, each with its line and column.
    """
    if path is None:
        return load_carrier_codes()
    own = read_own_tables(path)
    if own.findings:
        raise CarrierCodesError(own.findings)
    return load_carrier_codes(own.tables)


def read_own_tables(path: Path) -> OwnTables:
    """The tables in a CSV file or in a directory of them, also when there is something wrong with them."""
    texts, findings = dict[str, str](), list[Finding]()
    for file in _files(path, findings):
        try:
            texts[str(file)] = file.read_bytes().decode("utf-8")
        except OSError as error:
            findings.append(_unreadable(file, error))
        except UnicodeDecodeError as error:
            what = f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}"
            findings.append(Finding(str(file), what, todo="save it as UTF-8"))
    tables, wrong = read_tables(texts, our_tables())
    findings += [Finding(one.where, one.what, one.why, one.todo) for one in wrong]
    return OwnTables(tables, findings)


def digest_of(codes: CarrierCodes) -> str:
    """By what tables are told from others: the same wherever the same files lie."""
    content = [
        [list(row._replace(where="")) for row in codes.rows],
        sorted(codes.aliases.items()),
        list(codes.defaults),
    ]
    return sha256(json.dumps(content).encode()).hexdigest()[:12]


def _files(path: Path, findings: list[Finding]) -> list[Path]:
    """The tables meant, those of a directory by name."""
    if not path.is_dir():
        if path.name in {ALIASES, DEFAULTS}:
            what, why = "is one file that holds no codes", "names and defaults alone change no reading"
            findings.append(Finding(str(path), what, why, "name the directory that it is in"))
        return [path]
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".csv")
    except OSError as error:
        findings.append(_unreadable(path, error))
        return []
    if not files:
        findings.append(Finding(str(path), "no .csv file is in this directory", todo="correct the path"))
    return files


def _unreadable(path: Path, error: OSError) -> Finding:
    return Finding(
        str(path), f"cannot be read: {error.strerror}", todo="correct the path or the file's permissions"
    )
