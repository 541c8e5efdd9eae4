"""What words in a user's own messages usually mean: a table of synonyms, `schemas/wiring/words.csv`.

It proposes, and a person decides: nothing that is running reads it.
"""

import csv
import re
from functools import cache
from importlib.resources import files
from typing import Literal

About = Literal[
    "type", "disposition", "mismatch", "resolution", "method", "field", "status", "text", "time", "money",
    "place", "scan", "personal", "person",
]  # fmt: skip
_NOT_A_WORD = re.compile(r"[^0-9a-z]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|[^.\[\]"]+')


def folded(text: str) -> str:
    """Return a word or name as the table has it: lower case, one space between its parts, also where a hump divides them."""
    return _NOT_A_WORD.sub(" ", _HUMP.sub(" ", text).lower()).strip()


def meaning(about: About, text: str) -> str | None:
    """Return what a word means; None: the table does not know it. Of a list that only knows words, ""."""
    return words(about).get(folded(text))


@cache
def words(about: About) -> dict[str, str]:
    """Return word -> what it means, in the order of the table."""
    text = files("schemas").joinpath("wiring", "words.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["word"]: row["means"] for row in rows if row["about"] == about}


def looks_personal(path: str) -> bool:
    """Whether a field may hold personal data, or free text that may, by its name and those around it."""
    names = [folded(name) for name in _NAME.findall(path)]
    if not names:
        return False
    *around, name = names
    if any(one in words("person") for one in around):
        return True
    return name in words("personal") and not (name == "name" and around)
