"""Canary returns: no customer's, told by `returnwatch canary` to see from outside how late exceptions are told (docs/alerts.md).

Their name says what they are, so that nobody takes one for a return: KPIs do not count them, no feed is taken to be alive because
of them, and whoever reads `escalations` for people passes them over.
"""

from typing import Final

PREFIX: Final = "returnwatch-canary-"
"""Return ids that begin with it are reserved."""


def is_canary(return_id: str) -> bool:
    """Whether a return is a canary."""
    return return_id.startswith(PREFIX)
