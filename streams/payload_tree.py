"""From the bytes of a payload to a tree of dicts, lists and texts, whatever it was written in.

XML becomes what its JSON would be: an element is a dict of its children by their local names (namespaces are dropped, one
child is itself, several of a name are a list), its attributes by `@name` and its own text, if it has both, by `#text`; an
element with neither children nor attributes is its text. Text is stripped of the space around it. A document type
declaration is refused, so there are no entities and nothing outside is ever read.
"""

import zlib
from typing import Any, Final
from xml.parsers import expat

import msgspec

from schemas.vocabulary import DeadLetterReason
from streams.reading import MAX_DEPTH, check_json, check_utf8
from streams.refusal import RefusalError

TEXT: Final = "#text"
GZIP: Final = b"\x1f\x8b"
_MAX_ATTRIBUTES = 64
_SPACE = b" \t\r\n"
_any_json = msgspec.json.Decoder().decode


def unpacked(value: bytes, max_bytes: int) -> bytes:
    """Return a body without its gzip, if it has one. Raises RefusalError (truncated, too large)."""
    if not value.startswith(GZIP):
        return value
    stream = zlib.decompressobj(wbits=31)
    try:
        body = stream.decompress(value, max_bytes + 1)
    except zlib.error as error:
        raise RefusalError(DeadLetterReason.BAD_ENVELOPE, "the gzip body is damaged") from error
    if len(body) > max_bytes:
        raise RefusalError(DeadLetterReason.TOO_LARGE, f"unpacked above the limit of {max_bytes} bytes")
    if not stream.eof:
        raise RefusalError(DeadLetterReason.BAD_ENVELOPE, "the gzip body ends too early")
    return body


def json_tree(value: bytes) -> Any:
    """Return what a JSON text holds: an object or a list. Raises RefusalError."""
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        try:
            tree = _any_json(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # what is wrong with it is told below
        else:
            if type(tree) in {dict, list}:
                return tree
    begin = value.lstrip(_SPACE)[:1]
    if begin == b"<":
        raise RefusalError(DeadLetterReason.NOT_JSON, "XML on a topic whose adapter reads JSON")
    check_utf8(value)
    if begin == b"[":
        check_json(b'{"":' + value + b"}")
    else:
        check_json(value)
    try:
        return _any_json(value)
    except msgspec.DecodeError as error:
        raise RefusalError(DeadLetterReason.NOT_JSON, str(error)) from None


def json_in_text(text: str) -> Any:
    """Return what a text inside a payload holds, or None if it is no JSON or too deep."""
    value = text.encode("utf-8", "replace")
    try:
        return json_tree(value) if value.lstrip(_SPACE)[:1] in {b"{", b"["} else None
    except RefusalError:
        return None


def xml_tree(value: bytes) -> dict[str, Any]:
    """Return the tree of an XML document: one root. Raises RefusalError. White space may stand before its declaration."""
    body = value.lstrip(_SPACE)
    if body[:1] in {b"{", b"["}:
        raise RefusalError(DeadLetterReason.NOT_XML, "JSON on a topic whose adapter reads XML")
    reader = _XmlReader()
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        what = expat.errors.messages.get(error.code, "not well-formed")
        detail = f"{what}, line {error.lineno} column {error.offset}"
        raise RefusalError(DeadLetterReason.NOT_XML, detail) from None
    except (ValueError, LookupError) as error:
        if isinstance(error, RefusalError):
            raise
        raise RefusalError(
            DeadLetterReason.WRONG_ENCODING, "an encoding that is not read; use UTF-8"
        ) from None
    return reader.root


class _XmlReader:
    """Builds the tree from expat's events."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise RefusalError(DeadLetterReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
        if len(attributes) > _MAX_ATTRIBUTES:
            raise RefusalError(
                DeadLetterReason.BAD_VALUE, f"an element with more than {_MAX_ATTRIBUTES} attributes"
            )
        content: dict[str, Any] = {
            f"@{_local(key)}": text.strip() for key, text in attributes.items() if not key.startswith("xmlns")
        }
        self._open.append((_local(name), content, []))

    def _end(self, _: str) -> None:
        name, content, texts = self._open.pop()
        text = "".join(texts).strip()
        if text and content:
            content[TEXT] = text
        value: Any = content or text
        parent = self._open[-1][1] if self._open else self.root
        known = parent.get(name)
        if known is None:
            parent[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            parent[name] = [known, value]

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)

    def _refuse(self, *_: object) -> None:
        raise RefusalError(
            DeadLetterReason.NOT_XML,
            "a document type declaration: entities and outside references are not read",
        )


def _local(name: str) -> str:
    return name.rpartition(":")[2]
