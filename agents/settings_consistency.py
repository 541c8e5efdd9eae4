"""What has to hold between settings: each is good by itself, and they may still not go together."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from schemas.envelopes import CHAINS, needs_registry
from schemas.topics import TopicRole

if TYPE_CHECKING:
    from agents.settings import Settings

INPUT_FIELDS = ("orders_topics", "labels_topics", "scans_topics", "warehouse_topics", "commands_topics")


class Problem(NamedTuple):
    """Settings that do not go together: the one to change first, then the others that are concerned."""

    fields: tuple[str, ...]
    what: str
    why: str = ""
    todo: str = ""


class InconsistentError(ValueError):
    """Each setting is good, but not with the others."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(
            "\n".join(f"{problem.fields[0]}: {problem.what}; {problem.todo}" for problem in problems)
        )


def _some_input_is_read(settings: "Settings") -> list[Problem]:
    if any(settings.topics.inputs.values()):
        return []
    return [
        Problem(INPUT_FIELDS, "every kind of input topic is empty", todo="name at least one topic to read")
    ]


def _a_topic_has_one_kind(settings: "Settings") -> list[Problem]:
    owners = {
        spec.name: "is one of our own" for spec in settings.topic_specs() if spec.role is not TopicRole.INPUT
    }
    problems = []
    for field in INPUT_FIELDS:
        for name in getattr(settings, field):
            if name in owners:
                why = "what an event may be depends on the kind of its topic"
                problems.append(Problem((field,), f"{name!r} {owners[name]}", why, "name it once"))
            owners[name] = f"is also in {field}"
    return problems


def _sasl_is_whole(settings: "Settings") -> list[Problem]:
    fields = ("sasl_password_file", "sasl_password", "sasl_username", "security_protocol")
    password, protocol = settings.sasl_password.get_secret_value(), settings.security_protocol
    if not protocol.startswith("SASL"):
        if not (settings.sasl_username or password or settings.sasl_password_file):
            return []
        todo = "use SASL_SSL or SASL_PLAINTEXT, or remove the user name and password"
        return [Problem(fields[::-1], f"{protocol} sends no user name, yet one is given", todo=todo)]
    problems = []
    if not settings.sasl_username:
        problems.append(Problem(fields[2:], f"is empty, and {protocol} needs one"))
    if not password and settings.sasl_password_file is None:
        problems.append(Problem(fields, f"no password is given, and {protocol} needs one"))
    if password and settings.sasl_password_file is not None:
        problems.append(
            Problem(fields, "the password is given as a value and as a file", todo="keep the file")
        )
    return problems


def _tls_is_whole(settings: "Settings") -> list[Problem]:
    files = ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file")
    problems = []
    protocol = settings.security_protocol
    if any(getattr(settings, field) for field in files) and not protocol.endswith("SSL"):
        what = f"{protocol} does not encrypt, yet TLS files are given"
        problems.append(
            Problem(("security_protocol", *files), what, todo="use SSL or SASL_SSL, or remove the files")
        )
    if (settings.ssl_certificate_file is None) != (settings.ssl_key_file is None):
        problems.append(Problem(files[1:], "certificate and key come together", todo="give both or neither"))
    if settings.ssl_key_password.get_secret_value() and settings.ssl_key_password_file is not None:
        fields = ("ssl_key_password_file", "ssl_key_password")
        problems.append(
            Problem(fields, "the password is given as a value and as a file", todo="keep the file")
        )
    return problems


def _simulated_time_is_allowed(settings: "Settings") -> list[Problem]:
    fields = ("simulated_time", "simulated_origin_at", "simulated_starts_at", "simulated_speed")
    if settings.simulated_time:
        if settings.simulated_origin_at is not None:
            return []
        what = "is missing; simulated time needs the broker time at which its clock starts"
        return [Problem(("simulated_origin_at", "simulated_time"), what)]
    if not (settings.simulated_origin_at or settings.simulated_starts_at or settings.simulated_speed != 1.0):
        return []
    why = "deadlines would follow a clock that is not the world's"
    todo = "add --simulated-time, or remove the simulated clock"
    return [Problem(fields, "is off, yet a simulated clock is described", why, todo)]


def _readers_have_their_topics(settings: "Settings") -> list[Problem]:
    scans, inputs = set(settings.scans_topics), {*settings.orders_topics, *settings.labels_topics}
    inputs |= {*settings.scans_topics, *settings.warehouse_topics}
    seen = set[str]()
    problems = _of_readers("scans_adapters", settings.scans_adapters, scans, "scans_topics", seen)
    return problems + _of_readers("sources", settings.sources, inputs, "orders_topics", seen)


def _of_readers(
    field: str, entries: tuple[str, ...], topics: set[str], topics_field: str, seen: set[str]
) -> list[Problem]:
    """`seen`: topics that have a reader; grows."""
    noun, example = (
        ("adapter", "ups=ups_track_alert") if field == "scans_adapters" else ("source", "wms=wms.yaml")
    )
    of_what = "no input topic of scans" if field == "scans_adapters" else "no input topic of events"
    problems = []
    for entry in entries:
        topic, equals, name = entry.partition("=")
        if not (topic and equals and name):
            what = f"{entry!r} names no topic and {noun}"
            problems.append(Problem((field,), what, todo=f"write it as topic={noun}, like {example}"))
        elif topic not in topics:
            listed = (
                "scans_topics" if field == "scans_adapters" else "the topics of its kind, as orders_topics"
            )
            todo = f"add the topic to {listed}, or correct its name"
            problems.append(Problem((field, topics_field), f"{topic!r} is {of_what}", todo=todo))
        elif topic in seen:
            what, why = f"{topic!r} has two adapters", "a topic is written in one way"
            problems.append(Problem((field,), what, why, "name one, or use two topics"))
        seen.add(topic)
    return problems


def _envelopes_have_their_topics(settings: "Settings") -> list[Problem]:
    fields = ("envelopes",)
    problems, seen = [], set[str]()
    for entry in settings.envelopes:
        topic, equals, envelope = entry.partition("=")
        if not (topic and equals and envelope):
            todo = f"write it as topic=envelope, like returns=debezium; there are {', '.join(CHAINS)}"
            problems.append(Problem(fields, f"{entry!r} names no topic and envelope", todo=todo))
            continue
        if envelope not in CHAINS:
            what = f"there is no envelope {envelope!r}"
            problems.append(Problem(fields, what, todo=f"one of {', '.join(CHAINS)}, the outer first"))
        if topic not in settings.topics.kinds():
            todo = "add the topic under its kind, or correct its name"
            problems.append(Problem(fields, f"{topic!r} is no input topic", todo=todo))
        elif topic in seen:
            todo = "join them with +, the outer first, or use two topics"
            problems.append(
                Problem(fields, f"{topic!r} has two envelopes", "a topic is written in one way", todo)
            )
        seen.add(topic)
    return problems


def _schema_registry_is_whole(settings: "Settings") -> list[Problem]:
    url, user = "schema_registry_url", "schema_registry_username"
    password, token = "schema_registry_password", "schema_registry_token"
    problems = []
    if needs_registry(settings.envelopes) and not settings.schema_registry_url:
        what = "is missing, and `confluent` topics are read by the schemas of a registry"
        problems.append(Problem((url, "envelopes"), what))
    has = {
        field: bool(getattr(settings, field).get_secret_value() or getattr(settings, f"{field}_file"))
        for field in (password, token)
    }
    for field in (password, token):
        if getattr(settings, field).get_secret_value() and getattr(settings, f"{field}_file") is not None:
            what = "the secret is given as a value and as a file"
            problems.append(Problem((f"{field}_file", field), what, todo="keep the file"))
    if has[token] and (has[password] or settings.schema_registry_username):
        what = "a token is given, and a user name or password"
        problems.append(Problem((token, user, password), what, todo="keep one of the two"))
    elif has[password] != bool(settings.schema_registry_username):
        problems.append(Problem((user, password), "user name and password come together"))
    return problems


def _traces_are_on(settings: "Settings") -> list[Problem]:
    if settings.traces == "on" or not settings.traces_started_share:
        return []
    what = "says how many traces to begin, yet traces are off"
    return [Problem(("traces_started_share", "traces"), what, todo="set traces to on, or remove the share")]


CONSISTENCY: tuple[Callable[["Settings"], list[Problem]], ...] = (
    _some_input_is_read,
    _a_topic_has_one_kind,
    _readers_have_their_topics,
    _envelopes_have_their_topics,
    _schema_registry_is_whole,
    _sasl_is_whole,
    _tls_is_whole,
    _simulated_time_is_allowed,
    _traces_are_on,
)


def inconsistencies(settings: "Settings") -> list[Problem]:
    """Everything that does not hold between settings."""
    return [problem for check in CONSISTENCY for problem in check(settings)]
