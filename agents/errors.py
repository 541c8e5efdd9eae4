"""What goes wrong for a person at a terminal: printed as findings, never as a traceback.

A finding teaches: where it is, what is wrong, why it matters, what to do instead. One error holds everything
that can be found in one run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `where` is a flag, variable, topic, address or `file:line:column`."""

    where: str
    what: str
    why: str = ""
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.where}: " + "; ".join(part for part in (self.what, self.why, self.todo) if part)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """What to do about a word that is not known, where a known one is close to it; else ""."""
    close = get_close_matches(given, list(known), n=1)
    return f"did you mean `{close[0]}`?" if close else ""


class UserError(Exception):
    """Printed by the command line as its findings, and ended with `exit_code`."""

    exit_code = 1

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class SettingsError(UserError):
    """Flags, RETURNWATCH_* variables or secret files that cannot be used."""


class TopicsError(UserError):
    """Topics that are missing, or not as they must be for the guarantees to hold."""


class PolicyRefusedError(UserError):
    """A policy file that cannot be used, or that is not the one in the log."""


class BrokerUnreachableError(UserError):
    """No broker answered in time at any of the addresses."""


class BrokerRefusedError(UserError):
    """A broker answered and said no: authentication, authorisation, or a request it does not allow."""


class ScenariosError(UserError):
    """Files of scenarios that cannot be read."""


class CarrierCodesError(UserError):
    """Tables of carrier codes that cannot be used, or a carrier that is in none."""


class ReplayError(UserError):
    """Recorded events that cannot be replayed."""


class CommandsError(UserError):
    """Commands about cases that were not accepted, or of which nothing was heard."""


class CaseNotFoundError(UserError):
    """No case, return or parcel of that name is in the `cases` topic."""


class SubjectNotFoundError(UserError):
    """No return or parcel of that name is known, or several are."""


class UnreadableStateError(UserError):
    """A state that another version has written."""


class BackfillError(UserError):
    """A backfill that cannot begin or end as things stand."""


class ForgetError(UserError):
    """A return that was not forgotten, or of which it is not known."""


class JourneyNotFoundError(UserError):
    """No journey of that return is in the `journeys` topic."""


class DeadLettersError(UserError):
    """Dead letters that are not there, or could not be dealt with."""


class SourcesError(UserError):
    """Messages, adapters or sources that cannot be used."""


class NotifyError(UserError):
    """A record of notifications that cannot be used, or a receiver that did not take an example."""


class StateError(UserError):
    """Local state that is not there, in use, or not as it must be."""
