"""Where something was seen, as a token: equal tokens are the same place. No street, no person."""

import unicodedata


def place_token(country: str | None, city: str | None, postal_code: str | None, site: str | None) -> str:
    """Return a token that is equal for equal places: `CC/site`, else `CC/city`, else `CC/postal code`, else `CC`.

    Accents, case and punctuation do not matter. "" when nothing is known.
    """
    land = _folded(country)
    precise = next((folded for folded in map(_folded, (site, city, postal_code)) if folded), "")
    return f"{land.upper()}/{precise}" if precise else land.upper()


def _folded(text: str | None) -> str:
    """Return letters and digits in lower case, without accents, words joined by one space."""
    if not text:
        return ""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join("".join(letter if letter.isalnum() else " " for letter in plain).split())
