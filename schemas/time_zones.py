"""Time zones by their names in the IANA database."""

import zoneinfo


def known_zone(name: str) -> str:
    """Raise ValueError when there is no such time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"{name!r} is no time zone of the IANA database; write it as Europe/Paris"
        ) from error
    return name
