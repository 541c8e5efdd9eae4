"""`returnwatch settings`: what is in effect, and where each value comes from."""

import json
import os
from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from agents.settings import Settings, setting_text
from agents.settings_loading import SECRETS_DIRECTORY, load_settings, origin
from agents.terminal import out, write_line


def show(flags: Mapping[str, object], *, as_json: bool) -> None:
    """Print every setting. Secrets are hidden in both forms."""
    settings = load_settings(flags)
    values = {field: setting_text(getattr(settings, field)) for field in Settings.model_fields}
    if as_json:
        write_line(json.dumps(values, indent=2))
        return
    given = {field for field, value in flags.items() if value is not None}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting")
    table.add_column("value", overflow="fold")
    table.add_column("from")
    for field, text in values.items():
        source = origin(field, given, os.environ.get(SECRETS_DIRECTORY))
        style = "dim" if source == "default" else ""
        table.add_row(Text(field, style=style), Text(text, style=style), Text(source, style=style))
    out.print(table)
