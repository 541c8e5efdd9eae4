"""How a worker logs: one named event per line with its fields, as JSON or for a terminal.

Our own lines are `log.info("partition_ready", stage="parcels", partition=3)`. What libraries say goes through
the same door as `library_message`, from warnings on. aiokafka repeats itself 80 times a second while its
broker is away: each sentence is let through a few times, then counted.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "console", "json"]

WINDOW_SECONDS = 30.0
LINES_PER_WINDOW = 3
MAX_TEXT = 2_000
"""Characters of one field: a library may print a whole message set."""
NEVER_LOGGED = frozenset(
    {"value", "payload", "body", "headers", "text", "customer_ref", "name", "address", "email", "phone"}
    | {"password", "sasl_password", "ssl_key_password", "forget_key", "board_token"}
)
"""Fields whose content may be personal or secret: the field stays, so that the mistake is seen, its content goes."""
_MAX_SENTENCES = 500
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
"""User name and password in an address."""


class LibraryLines(logging.Filter):
    """Lets warnings of libraries through, each sentence a few times per window, then counts it.

    A sentence is a logger, a level and an unfilled format string. When it is said again in a later window, the line
    carries `repeats`: how many were left out before it. Our own lines pass as they are.
    """

    def __init__(self, least_level: int, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._least_level = least_level
        self._now = now
        self._sentences: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether `record` is to be written."""
        if isinstance(
            record.msg, dict
        ):  # by structlog, so it is ours: mode's services log under our module names
            return True
        if record.levelno < self._least_level:
            return False
        sentence = (record.name, record.levelno, str(record.msg))
        if sentence not in self._sentences and len(self._sentences) >= _MAX_SENTENCES:
            self._sentences.clear()
        now = self._now()
        began, said = self._sentences.get(sentence, (now, 0))
        if now - began >= WINDOW_SECONDS:
            record.repeats = max(0, said - LINES_PER_WINDOW)
            began, said = now, 0
        self._sentences[sentence] = (began, said + 1)
        return said < LINES_PER_WINDOW


def _without_content(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep record content and secrets out of the log: known fields, all bytes, long texts, credentials in addresses."""
    for name, value in event.items():
        if name in NEVER_LOGGED and value is not None:
            event[name] = "[not logged]"
        elif isinstance(value, bytes | bytearray | memoryview):
            event[name] = f"[{len(value)} bytes]"
        elif isinstance(value, str):
            text = _CREDENTIALS.sub("[not logged]@", value) if "://" in value else value
            event[name] = f"{text[:MAX_TEXT]}... [{len(text)} characters]" if len(text) > MAX_TEXT else text
    return event


def _library_message(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give a line of a library an event name; what it says becomes the field `message`."""
    record = event.get("_record")
    event["message"] = event["event"]
    event["event"] = "library_message"
    if isinstance(record, logging.LogRecord):
        event["library"] = record.name
        if repeats := getattr(record, "repeats", 0):
            event["repeats"] = repeats
    return event


def _bytes_in_arguments(record: logging.LogRecord) -> bool:
    """Replace bytes among the arguments of a library's line by their length before it is formatted."""
    if isinstance(record.args, tuple):
        record.args = tuple(_length_of_bytes(value) for value in record.args)
    return True


def _length_of_bytes(value: object) -> object:
    return f"[{len(value)} bytes]" if isinstance(value, bytes | bytearray) else value


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put what every line has in front, where the eye looks for it."""
    return {name: event.pop(name) for name in ("at", "level", "event") if name in event} | dict(event)


def _renderer(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format == "console" or (log_format == "auto" and stream.isatty()):
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    return [tracebacks, _event_first, structlog.processors.JSONRenderer(sort_keys=False)]


def configure_logging(
    log_format: LogFormat = "auto",
    level: str = "info",
    *,
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Set logging up for the whole process; a second call replaces the first.

    `level` is a name such as `info`; `stream` defaults to standard error. Raises KeyError for an unknown
    level.
    """
    stream = stream or sys.stderr
    least_level = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, _library_message],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_content,
            *_renderer(log_format, stream),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    lines_of_libraries = logging.DEBUG if least_level <= logging.DEBUG else max(least_level, logging.WARNING)
    handler.addFilter(LibraryLines(lines_of_libraries, now))
    handler.addFilter(_bytes_in_arguments)
    logging.basicConfig(handlers=[handler], level=least_level, force=True)
    structlog.configure(
        processors=[*shared, _reserve_names, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _reserve_names(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """Refuse an event that is a sentence: names are for searching, fields are for telling."""
    name = str(event.get("event", ""))
    if not name.replace("_", "").isalnum():
        event["message"], event["event"] = name, "unnamed_event"
    return event
