"""Where something was seen, as a token: equal tokens are the same place. No street, no person."""

import re
import unicodedata

_MOST_COUNTRY_CHARS = 3
_MOST_POSTAL_CHARS = 12
_TELEPHONE = re.compile(r"\+[0-9][0-9 ()./-]{6,}[0-9]|\b(?:tel|phone|t[ée]l)[.: ]")


def place_token(country: str | None, city: str | None, postal_code: str | None, site: str | None) -> str:
    """Return a token that is equal for equal places: `CC/site`, else `CC/city`, else `CC/postal code`, else `CC`.

    Accents, case and punctuation do not matter. "" when nothing is known. What cannot be such a part is left out: an e-mail
    address or a telephone number, a country that has no code, a postal code with a sentence in it.
    """
    land = _folded(country)
    land = land if len(land) <= _MOST_COUNTRY_CHARS else ""
    postal_code = postal_code if postal_code and len(postal_code) <= _MOST_POSTAL_CHARS else ""
    parts = (_folded(part) for part in (site, city, postal_code) if not _is_of_somebody(part))
    precise = next((folded for folded in parts if folded), "")
    return f"{land.upper()}/{precise}" if precise else land.upper()


def _is_of_somebody(text: str | None) -> bool:
    """Whether a text is no place: an address of an e-mail, or one with a telephone number in it."""
    return bool(text) and ("@" in str(text) or _TELEPHONE.search(str(text)) is not None)


def _folded(text: str | None) -> str:
    """Return letters and digits in lower case, without accents, words joined by one space."""
    if not text:
        return ""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join("".join(letter if letter.isalnum() else " " for letter in plain).split())
