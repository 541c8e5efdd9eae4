"""Bytes and texts of strangers on a terminal: nothing in them moves a cursor, turns text around or fakes a line of ours."""

from collections.abc import Iterator

BYTES_A_LINE = 16


def safe(text: str) -> str:
    r"""The text on one line; whatever is not printable is written as an escape: `\x1b`, `\n`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def safe_bytes(value: bytes) -> str:
    """A key or a header on one line: the text, or its hexadecimal digits behind `0x`."""
    text = text_of(value)
    return safe(text) if text is not None else f"0x{value.hex()}"


def text_of(value: bytes) -> str | None:
    """The text that the bytes are in UTF-8; None: they are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def safe_lines(value: bytes) -> Iterator[str]:
    """The lines of a text, or of a dump in hexadecimal digits."""
    text = text_of(value)
    if text is None:
        return _dump(value)
    return (safe(line.removesuffix("\r")) for line in text.split("\n"))


def _dump(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), BYTES_A_LINE):
        line = value[start : start + BYTES_A_LINE]
        readable = "".join(chr(one) if 0x20 <= one < 0x7F else "." for one in line)
        yield f"{start:08x}  {line.hex(' '):<{BYTES_A_LINE * 3 - 1}}  {readable}"


def _escape(character: str) -> str:
    # A lone surrogate has no bytes in any encoding, and this has an escape for it, too.
    return character.encode("unicode_escape").decode()
