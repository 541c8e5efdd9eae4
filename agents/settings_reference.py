"""Writes docs/settings.md from the settings themselves: `python -m agents.settings_reference`."""

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from agents.flags import FLAG_OF_FIELD, Group
from agents.settings import ENV_PREFIX, Settings, setting_text
from agents.settings_loading import SECRETS_DIRECTORY

FILE = Path(__file__).parent.parent / "docs" / "settings.md"
FIRST_OF_SECTION = {
    "bootstrap_servers": Group.CONNECTION,
    "orders_topics": Group.TOPICS,
    "marker_period": Group.TIME,
    "policy_file": Group.WORKER,
    "board_listen": Group.BOARD,
}
HEAD = f"""# Settings

How a worker or a command runs. Generated from `agents/settings.py` by `make docs`; do not edit it here.

A value is taken from the first of these that gives one:

1. the flag on the command line;
2. the environment variable `{ENV_PREFIX}<SETTING>` (an empty one counts as not given);
3. a file named `{ENV_PREFIX.lower()}<setting>` in the directory that `{SECRETS_DIRECTORY}` names,
   as Docker and Kubernetes mount secrets;
4. the default.

`returnwatch settings` shows what is in effect and where each value comes from, with secrets hidden.
`returnwatch check` tells everything that is wrong with them at once; a variable that begins with `{ENV_PREFIX}` and
is no setting is an error, so that a spelling mistake is not ignored in silence.

Durations are written `500ms`, `15s`, `5m`, `2h`, `1d`, or as a plain number of seconds. Times carry their zone:
`2026-11-22T00:00:00Z`. Lists are written with commas (`a,b`; `none` for none), or the flag is repeated.

What is worth an escalation, and when, is no setting: it is the policy, which lives in the log
(`returnwatch policy show`).
"""


def reference() -> str:
    """The whole page."""
    lines = [HEAD]
    for name, field in Settings.model_fields.items():
        if name in FIRST_OF_SECTION:
            heading = FIRST_OF_SECTION[name].value
            lines += [f"\n## {heading}\n", "| setting | flag | default | meaning |", "|---|---|---|---|"]
        lines.append(_row(name, field))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    FILE.write_text(reference(), encoding="utf-8")
    return 0


def _row(name: str, field: FieldInfo) -> str:
    flag = FLAG_OF_FIELD.get(name)
    flags = ", ".join(f"`{text}`" for text in flag.names) if flag else ""
    meaning = " ".join((field.description or "").split())
    return f"| `{ENV_PREFIX}{name.upper()}` | {flags} | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the host's name"
    text = setting_text(field.default)
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.exit(main())
