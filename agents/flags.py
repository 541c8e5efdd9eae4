"""The settings that have a command-line flag, and the decorator that gives them to a command.

Kept apart from agents/settings.py, whose imports take longer than `returnwatch --help` may take. A test holds
this table against the fields.
"""

import inspect
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, Concatenate, NamedTuple, ParamSpec

import typer

FlagValues = dict[str, object]
P = ParamSpec("P")


class Group(StrEnum):
    """Heading in `--help`, and the unit in which commands take flags."""

    CONNECTION = "Connection"
    TOPICS = "Topics"
    TIME = "Time"
    WORKER = "Worker"
    LETTERS = "Dead letters"
    BOARD = "Board"
    NOTIFY = "Notifications"


class Flag(NamedTuple):
    """One flag. `field` is the setting's name, `kind` str, list (may be repeated) or bool (a switch)."""

    field: str
    names: tuple[str, ...]
    group: Group
    help: str
    metavar: str
    kind: type


# fmt: off
TABLE: dict[Group, tuple[tuple[str, str, str, str], ...]] = {
    Group.CONNECTION: (
        ("bootstrap_servers", "--bootstrap-servers -b", "HOST:PORT,...", "Brokers to ask first."),
        ("app_id", "--app-id", "NAME", "Name of this installation."),
        ("security_protocol", "--security-protocol", "TEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
        ("sasl_mechanism", "--sasl-mechanism", "TEXT", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."),
        ("sasl_username", "--sasl-username", "NAME", "Its password comes from a file."),
        ("sasl_password_file", "--sasl-password-file", "FILE", "File that holds the password."),
        ("ssl_ca_file", "--ssl-ca-file", "FILE", "Certificate authorities, PEM."),
        ("ssl_certificate_file", "--ssl-certificate-file", "FILE", "Client certificate, PEM."),
        ("ssl_key_file", "--ssl-key-file", "FILE", "Private key of that certificate, PEM."),
    ),
    Group.TOPICS: (
        ("orders_topics", "--orders-topic", "TOPIC ...", "Input of orders events; may be repeated."),
        ("labels_topics", "--labels-topic", "TOPIC ...", "Input of label events; may be repeated."),
        ("scans_topics", "--scans-topic", "TOPIC ...", "Input of carrier scans; may be repeated."),
        ("scans_adapters", "--scans-adapter", "TOPIC=ADAPTER ...", "What a topic of scans is written in; may be repeated."),
        ("envelopes", "--envelope", "TOPIC=ENVELOPE ...", "What is around the messages of a topic; may be repeated."),
        ("schema_registry_url", "--schema-registry", "URL", "Where schemas of `confluent` topics are asked for."),
        ("sources", "--source", "TOPIC=SOURCE ...", "What a topic of your own messages is written in; may be repeated."),
        ("warehouse_topics", "--warehouse-topic", "TOPIC ...", "Input of warehouse events; may be repeated."),
        ("commands_topics", "--commands-topic", "TOPIC ...", "Input of commands; may be repeated."),
        ("topic_prefix", "--topic-prefix", "TEXT", "Begins the names of our own topics."),
        ("dead_letter_recipients", "--dead-letter-recipient", "FILE ...", "Public key to seal dead letters for; repeatable."),
        ("parcels_partitions", "--parcels-partitions", "COUNT", "Fixed for ever at the first start."),
        ("returns_partitions", "--returns-partitions", "COUNT", "Fixed for ever at the first start."),
        ("replication_factor", "--replication-factor", "COUNT", "Copies of each topic we create."),
    ),
    Group.TIME: (
        ("marker_period", "--marker-period", "DURATION", "How often progress is marked in the log."),
        ("skew", "--skew", "DURATION", "How far deadlines wait behind the newest mark."),
        ("go_live_at", "--go-live", "TIME", "What was due before it calls nobody."),
        ("simulated_time", "--simulated-time", "", "Allow a simulated clock. Never in production."),
        ("simulated_origin_at", "--simulated-origin", "TIME", "Broker time at which that clock starts."),
        ("simulated_starts_at", "--simulated-start", "TIME", "What it shows then."),
        ("simulated_speed", "--simulated-speed", "NUMBER", "Simulated seconds per second."),
    ),
    Group.WORKER: (
        ("policy_file", "--policy", "FILE", "Policy for the first start."),
        ("carrier_codes", "--carrier-codes", "PATH", "Carrier codes of your own: CSV file or directory."),
        ("instance_id", "--instance-id", "NAME", "Unique, stable name of this worker."),
        ("session_timeout", "--session-timeout", "DURATION", "Without a sign of life, give up its work."),
        ("data_dir", "--data-dir", "DIRECTORY", "Local state; one directory per worker."),
        ("metrics_host", "--metrics-host", "HOST", "Address of /metrics, /live, /ready."),
        ("metrics_port", "--metrics-port", "PORT", "0 takes a free one."),
        ("log_format", "--log-format", "TEXT", "auto, console or json."),
        ("log_level", "--log-level", "TEXT", "debug, info, warning or error."),
    ),
    Group.BOARD: (
        ("board_listen", "--listen", "HOST:PORT", "Where to listen; port 0 takes a free one."),
        ("board_token_file", "--token-file", "FILE", "File with the token of who may tell something."),
    ),
    Group.LETTERS: (
        ("dead_letter_identities", "--identity", "FILE ...", "Private key that opens sealed letters; may be repeated."),
    ),
    Group.NOTIFY: (
        ("notify_record", "--record", "FILE", "What was sent and what waits; the memory of `notify`."),
    ),
}
# fmt: on
"""Setting, flag, what to give it (`...`: may be repeated; nothing: a switch), help."""


def _flag(group: Group, field: str, names: str, metavar: str, text: str) -> Flag:
    kind = bool if not metavar else list if metavar.endswith(" ...") else str
    return Flag(field, tuple(names.split()), group, text, metavar.removesuffix(" ..."), kind)


FLAGS = tuple(_flag(group, *row) for group, rows in TABLE.items() for row in rows)
FLAG_OF_FIELD = {flag.field: flag for flag in FLAGS}
GIVEN_TYPES: dict[type, Any] = {str: str | None, list: list[str] | None, bool: bool | None}


def flags_of(groups: Iterable[Group] = (), fields: Iterable[str] = ()) -> tuple[Flag, ...]:
    """The flags of these groups, and those of these settings, in the order of the table."""
    wanted_groups, wanted_fields = set(groups), set(fields)
    return tuple(flag for flag in FLAGS if flag.group in wanted_groups or flag.field in wanted_fields)


def takes_settings(
    flags: tuple[Flag, ...],
) -> Callable[[Callable[Concatenate[FlagValues, P], None]], Callable[P, None]]:
    """Give a typer command these options; its first parameter is {setting: value or None}."""

    def decorate(command: Callable[Concatenate[FlagValues, P], None]) -> Callable[P, None]:
        @wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            given = {flag.field: _or_none(kwargs.pop(flag.field, None)) for flag in flags}
            command(given, *args, **kwargs)

        own = list(inspect.signature(command).parameters.values())[1:]
        parameters = [*own, *(_parameter(flag) for flag in flags)]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        return run

    return decorate


def _parameter(flag: Flag) -> inspect.Parameter:
    option = typer.Option(
        *flag.names,
        help=flag.help,
        metavar=None if flag.kind is bool else flag.metavar,
        rich_help_panel=flag.group.value,
        show_default=False,
    )
    annotation: Any = Annotated.__class_getitem__((GIVEN_TYPES[flag.kind], option))  # type: ignore[attr-defined]
    return inspect.Parameter(flag.field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _or_none(value: object) -> object:
    """What typer gives for an option that is not there: None, False or an empty list."""
    return None if value is False or value == [] else value
