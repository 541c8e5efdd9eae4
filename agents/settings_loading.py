"""From flags, variables and secret files to `Settings`, or to every finding at once."""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agents.adapters import reader_findings
from agents.envelopes import envelope_findings
from agents.errors import Finding, SettingsError
from agents.flags import FLAG_OF_FIELD
from agents.sealing_settings import key_findings
from agents.settings import ENV_PREFIX, Settings
from agents.settings_consistency import InconsistentError, Problem
from agents.tracing_settings import tracing_findings

SECRETS_DIRECTORY = ENV_PREFIX + "SECRETS_DIR"
OTHER_VARIABLES = frozenset({SECRETS_DIRECTORY})
TEST_PREFIX = ENV_PREFIX + "TEST_"
FROM_KUBERNETES = re.compile(rf"{ENV_PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(TCP|UDP)\w*)")
"""Kubernetes gives every pod such variables for a Service that is called `returnwatch`."""
SECRET_FIELDS = frozenset(
    {
        "sasl_password",
        "ssl_key_password",
        "forget_key",
        "board_token",
        "schema_registry_url",  # somebody may have written a password into it
        "schema_registry_password",
        "schema_registry_token",
    }
)
FILE_FIELDS = (
    "sasl_password_file",
    "ssl_ca_file",
    "ssl_certificate_file",
    "ssl_key_file",
    "ssl_key_password_file",
    "board_token_file",
    "schema_registry_password_file",
    "schema_registry_token_file",
    "schema_registry_ca_file",
)


def load_settings(flags: Mapping[str, object]) -> Settings:
    """Settings from flags (None = not given), the environment and secret files.

    Raises:
        SettingsError: with everything that is wrong.
    """
    given = {field: value for field, value in flags.items() if value is not None}
    findings = [*_misspelled_variables(os.environ), *_secrets_directory_findings()]
    secrets = None if findings else os.environ.get(SECRETS_DIRECTORY) or None
    try:
        settings = _settings(given, secrets)
    except ValidationError as error:
        raise SettingsError([*findings, *_refused(error, given, secrets)]) from error
    findings += _unreadable_files(settings, given, secrets)
    where = (where_set(field, given, secrets) for field in ("scans_adapters", "sources"))
    findings += reader_findings(settings, *where)
    findings += envelope_findings(settings.envelopes, where_set("envelopes", given, secrets))
    at_keys = (
        where_set(field, given, secrets) for field in ("dead_letter_recipients", "dead_letter_identities")
    )
    findings += key_findings(settings, *at_keys)
    findings += tracing_findings(settings, where_set("traces", given, secrets))
    if findings:
        raise SettingsError(findings)
    return settings


def origin(field: str, given: Collection[str], secrets: str | None = None) -> str:
    """Where a setting's value comes from: a flag, a variable, a secret file, or "default"."""
    variable = ENV_PREFIX + field.upper()
    if field in given:
        return FLAG_OF_FIELD[field].names[0] if field in FLAG_OF_FIELD else field
    if os.environ.get(variable):
        return variable
    file = Path(secrets) / variable.lower() if secrets else None
    return str(file) if file is not None and file.exists() else "default"


def where_set(field: str, given: Collection[str], secrets: str | None = None) -> str:
    """The name under which a person has set it, or can set it."""
    source = origin(field, given, secrets)
    return ENV_PREFIX + field.upper() if source == "default" else source


def _settings(values: Mapping[str, object], secrets: str | None) -> Settings:
    arguments: dict[str, Any] = {**values, "_secrets_dir": secrets}
    return Settings(**arguments)


def _refused(error: ValidationError, given: Mapping[str, object], secrets: str | None) -> list[Finding]:
    """Findings of single settings, then what does not go together among those that are good."""
    findings, bad, problems = [], set[str](), list[Problem]()
    for details in error.errors():
        cause = details.get("ctx", {}).get("error")
        if isinstance(cause, InconsistentError):
            problems += cause.problems
            continue
        field = str(details["loc"][0])
        bad.add(field)
        findings.append(_finding(field, details, where_set(field, given, secrets)))
    good, problems = _without(bad, given, secrets) if bad else (None, problems)
    for problem in problems:
        where = where_set(problem.fields[0], given, secrets)
        findings.append(Finding(where, problem.what, problem.why, problem.todo))
    return findings if good is None else [*findings, *_unreadable_files(good, given, secrets)]


def _without(
    bad: set[str], given: Mapping[str, object], secrets: str | None
) -> tuple[Settings | None, list[Problem]]:
    """Settings with the defaults in place of what is bad, or what does not go together among the good ones."""
    defaults = {field: Settings.model_fields[field].get_default(call_default_factory=True) for field in bad}
    try:
        return _settings({**given, **defaults}, secrets), []
    except ValidationError as error:
        causes = (details.get("ctx", {}).get("error") for details in error.errors())
        found = [
            problem for cause in causes if isinstance(cause, InconsistentError) for problem in cause.problems
        ]
        return None, [problem for problem in found if not bad.intersection(problem.fields)]


def _finding(field: str, details: ErrorDetails, where: str) -> Finding:
    value = "the value" if field in SECRET_FIELDS else repr(details["input"])
    context = details.get("ctx", {})
    match details["type"]:
        case "literal_error":
            choices = re.findall(r"'([^']*)'", str(context["expected"]))
            close = difflib.get_close_matches(
                str(details["input"]).upper(), [c.upper() for c in choices], n=1
            )
            meant = next((choice for choice in choices if close and choice.upper() == close[0]), "")
            todo = f"did you mean {meant}?" if meant else ""
            return Finding(where, f"{value} is not one of {', '.join(choices)}", todo=todo)
        case "int_parsing" | "int_from_float":
            return Finding(where, f"{value} is not a whole number")
        case "float_parsing" | "finite_number":
            return Finding(where, f"{value} is not a number")
        case "bool_parsing":
            return Finding(where, f"{value} is neither true nor false")
        case "greater_than_equal" | "greater_than" | "less_than_equal":
            return Finding(where, f"{value} {_limit(details['type'], context)}")
        case "string_pattern_mismatch":
            what = f"{value} has characters (or a length) that Kafka does not allow here"
            return Finding(where, what, todo="use letters, digits, dots, dashes and underscores")
        case "datetime_parsing" | "datetime_from_date_parsing":
            return Finding(where, f"{value} is not a time", todo="write it like 2026-11-22T00:00:00Z")
        case "value_error":
            what, _, todo = str(context["error"]).partition("; ")
            return Finding(
                where, f"{value} {what}" if what.startswith(("is ", "has ", "must ")) else what, todo=todo
            )
        case _:
            return Finding(where, f"{value}: {details['msg']}")


def _limit(kind: str, context: Mapping[str, object]) -> str:
    words = {
        "greater_than_equal": ("ge", "below"),
        "greater_than": ("gt", "not above"),
        "less_than_equal": ("le", "above"),
    }
    key, word = words[kind]
    return f"is {word} {context[key]}"


def _misspelled_variables(environ: Mapping[str, str]) -> list[Finding]:
    known = {ENV_PREFIX + field.upper() for field in Settings.model_fields} | OTHER_VARIABLES
    findings = []
    for name in sorted(environ):
        ours = name.startswith(ENV_PREFIX) and not name.startswith(TEST_PREFIX)
        if not ours or name in known or FROM_KUBERNETES.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        todo = (
            f"did you mean {close[0]}?" if close else "unset it; `returnwatch settings` lists all that exist"
        )
        findings.append(Finding(name, "there is no such setting", "it would be ignored in silence", todo))
    return findings


def _secrets_directory_findings() -> list[Finding]:
    directory = os.environ.get(SECRETS_DIRECTORY)
    if not directory or Path(directory).is_dir():
        return []
    return [
        Finding(
            SECRETS_DIRECTORY,
            f"{directory!r} is not a directory",
            todo="mount the secrets there, or unset it",
        )
    ]


def _unreadable_files(settings: Settings, given: Mapping[str, object], secrets: str | None) -> list[Finding]:
    findings = []
    for field in (*FILE_FIELDS, "policy_file"):
        path: Path | None = getattr(settings, field)
        if path is None:
            continue
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            what = f"cannot read {str(path)!r}: {error.strerror}"
            findings.append(
                Finding(
                    where_set(field, given, secrets), what, todo="correct the path or the file's permissions"
                )
            )
    return findings
