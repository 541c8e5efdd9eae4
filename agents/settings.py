"""Settings of workers and commands: flags, else RETURNWATCH_* variables, else secret files, else defaults.

Everything here says how to run. What is worth an escalation is the policy's (schemas/policy.py), which lives
in the log. The reference page docs/settings.md is generated from this file.
"""

import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agents.durations import duration_text, parse_duration
from agents.settings_consistency import INPUT_FIELDS, InconsistentError, inconsistencies
from schemas.topics import MAX_RECORD_BYTES, InputKind, TopicNames, TopicSpec, topic_specs
from streams.epoch import epoch_ms

ENV_PREFIX = "RETURNWATCH_"
TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


NO_NAMES = "none"


def _split(value: object) -> object:
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple):
        value = [part.strip() if isinstance(part, str) else part for part in value]
        return [] if value == [NO_NAMES] else [part for part in value if part != ""]
    return value


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("has no time zone; write it like 2026-11-22T00:00:00Z")
    return value.astimezone(UTC)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(duration_text)]
"""Written `500ms`, `15s`, `5m`, `2h`, `1d`, or as a plain number of seconds."""
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Written with commas between the names; `none` for none."""


class SimulatedTime(NamedTuple):
    """Maps broker append time to the time of a simulated world: `starts + speed * (append - origin)`."""

    origin_ms: int
    starts_ms: int
    speed: float

    def simulated_ms(self, append_ms: int) -> int:
        """The simulated time at which something was appended."""
        return self.starts_ms + int((append_ms - self.origin_ms) * self.speed)

    def append_ms(self, simulated_ms: int) -> int:
        """The append time at which it is `simulated_ms` in the simulated world."""
        return self.origin_ms + int((simulated_ms - self.starts_ms) / self.speed)


class Settings(BaseSettings):
    """How one worker, or one command, reaches Kafka and runs. Immutable."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    # --- Kafka
    bootstrap_servers: Names = Field(default=("localhost:9092",), min_length=1)
    """Addresses (`host:port`) at which the cluster is first asked. Two or three are enough."""
    app_id: str = Field(default="returnwatch", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Name of this installation: consumer group, producer ids and changelog topics begin with it. Never
    change it on a running installation: another name is another installation that starts from nothing."""
    instance_id: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._-]{1,200}$")
    """Unique and stable per worker (a StatefulSet's pod name): a restarted worker gets its partitions back at
    once. Two workers with the same id throw each other out. Default: the host's name."""
    session_timeout: Duration = timedelta(seconds=15)
    """After how long without a sign of life a worker's partitions are given to others."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to speak to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """Only with a SASL protocol."""
    sasl_username: str = ""
    """Only with a SASL protocol."""
    sasl_password: SecretStr = SecretStr("")
    """Prefer `sasl_password_file`, or a secrets directory."""
    sasl_password_file: Path | None = None
    """File whose content is the password (one trailing newline is dropped)."""
    ssl_ca_file: Path | None = None
    """Certificate authorities in PEM. Default: those of the system."""
    ssl_certificate_file: Path | None = None
    """Client certificate (chain) in PEM, for mutual TLS."""
    ssl_key_file: Path | None = None
    """Private key of the client certificate in PEM."""
    ssl_key_password: SecretStr = SecretStr("")
    """Password of the private key. Prefer `ssl_key_password_file`."""
    ssl_key_password_file: Path | None = None
    """File whose content is the password of the private key."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate must carry the name it is reached by."""

    # --- topics
    orders_topics: Names = ("orders",)
    """Input topics of the kind `orders`: return requests, approvals, cancellations, refunds."""
    labels_topics: Names = ("labels",)
    """Input topics of the kind `labels`: labels created and voided."""
    scans_topics: Names = ("carrier-scans",)
    """Input topics of the kind `carrier-scans`."""
    scans_adapters: Names = ()
    """Input topics of scans that carry payloads as a carrier, an aggregator or a shop writes them: `topic=adapter`,
    an adapter's name or the path of your own `.yaml` file (docs/adapters.md). Other topics carry the contract's events."""
    envelopes: Names = ()
    """Input topics of any kind whose messages are wrapped: `topic=envelope`, one of `debezium`, `outbox`, `confluent`,
    `confluent+debezium`, `confluent+outbox` (docs/envelopes.md). CloudEvents and gzip are seen by themselves."""
    schema_registry_url: str = ""
    """Where the schemas of `confluent` topics are asked for: Confluent, Karapace, Redpanda, or Apicurio's `/apis/ccompat/v7`."""
    schema_registry_username: str = ""
    """For basic authentication; its password comes from a file."""
    schema_registry_password: SecretStr = SecretStr("")
    """Prefer `schema_registry_password_file`, or a secrets directory."""
    schema_registry_password_file: Path | None = None
    """File whose content is the password (one trailing newline is dropped)."""
    schema_registry_token: SecretStr = SecretStr("")
    """Bearer token, in place of user name and password. Prefer `schema_registry_token_file`."""
    schema_registry_token_file: Path | None = None
    """File whose content is the token."""
    schema_registry_ca_file: Path | None = None
    """Certificate authorities of the registry in PEM. Default: those of the system."""
    schema_registry_wait: Duration = timedelta(seconds=10)
    """How long records wait for a schema when the registry does not answer. Once per outage: what comes after that and
    needs a schema that is not known yet goes to the dead letters at once, until the registry answers again."""
    sources: Names = ()
    """Input topics that carry messages of your own: `topic=source`, the path of your `.yaml` file or the name of a shipped one
    (docs/wiring.md). Of any kind but `commands`. An adapter may be named here, too."""
    warehouse_topics: Names = ("warehouse",)
    """Input topics of the kind `warehouse`: check-ins, inspections, restocking."""
    commands_topics: Names = ("commands",)
    """Input topics of the kind `commands`: what people tell about cases. `returnwatch cases acknowledge` and
    the like write to the first."""
    topic_prefix: str = Field(default="returnwatch-", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    """Begins the names of the internal and output topics."""
    parcels_partitions: int = Field(default=8, ge=1, le=1024)
    """Partitions of the parcel stage. Fixed for ever at the first start: keys are placed by it."""
    returns_partitions: int = Field(default=8, ge=1, le=1024)
    """Partitions of the return stage and of the outputs. Fixed for ever at the first start."""
    replication_factor: int = Field(default=3, ge=1, le=7)
    """Copies of each topic that we create. 1 only where loss is acceptable."""
    max_record_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1024, le=64 * MAX_RECORD_BYTES)
    """An input record above this goes to the dead letters unread."""

    dead_letter_recipients: Names = ()
    """Files with public keys (`returnwatch dlq keygen`): with some, key, value and headers of refused records are
    kept sealed for them, and only who has one of the private keys can read or redrive them (docs/dead-letters.md). The same for
    all workers."""
    dead_letter_identities: Names = ()
    """Files with private keys that open sealed dead letters, for `returnwatch dlq`. Workers need none."""

    # --- time
    marker_period: Duration = timedelta(seconds=1)
    """How often a worker marks how far each input has been processed. 5s for hundreds of partitions times
    workers."""
    skew: Duration = timedelta(seconds=60)
    """How far the watermark stays behind the newest marker: replica lag, brokers' clocks, new
    partitions not yet noticed."""
    max_future: Duration = timedelta(minutes=10)
    """An event further ahead of its arrival is taken to have happened when it arrived, flagged and counted."""
    max_past: Duration = timedelta(days=730)
    """An event further behind its arrival goes to the dead letters."""
    go_live_at: datetime | None = None
    """What was due before this time opens cases that are marked historical and call nobody."""
    forget_key: SecretStr = SecretStr("")
    """Secret for the keyed hashes by which what was forgotten is known (`returnwatch forget`); 16 characters or more, the
    same for all workers, and kept. Without one, whoever has the state can try whether a return id they know was forgotten."""
    simulated_time: bool = False
    """Allows a simulated clock (demo, tests). Never in production: deadlines follow it."""
    simulated_origin_at: datetime | None = None
    """Broker time at which the simulated clock starts to run."""
    simulated_starts_at: datetime | None = None
    """What the simulated clock shows at its origin. Default: the origin itself."""
    simulated_speed: float = Field(default=1.0, gt=0, le=1_000_000, allow_inf_nan=False)
    """Simulated seconds per second of broker time."""

    # --- this worker
    policy_file: Path | None = None
    """Policy for the first start. Later it must be the one in the log (`returnwatch policy apply`)."""
    carrier_codes: Path | None = None
    """Tables of carrier codes of your own: a CSV file, or a directory of them (docs/carriers.md). The same for all workers; a
    change counts for what is read from then on."""
    data_dir: Path = Path(".returnwatch/data")
    """Local state, one directory per worker. Losing it costs a recovery from the changelog, nothing else."""
    disk_reserve_bytes: int = Field(default=128 * 1024 * 1024, ge=0)
    """With less than this free where `data_dir` is, the worker stops working and says so, until there is room again."""
    notify_record: Path = Path(".returnwatch/notify.sqlite3")
    """Of `returnwatch notify` alone: what was sent, what waits and what was given up. Keep it on a disk that stays; who has
    lost it goes on from the committed positions, and tells some changes again (docs/notify.md)."""
    metrics_host: str = "127.0.0.1"
    """Address of /metrics, /live and /ready. 0.0.0.0 in a container."""
    metrics_port: int = Field(default=9464, ge=0, le=65535)
    """0 takes any free port and logs it."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """auto: console on a terminal, json elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
    traces: Literal["off", "on"] = "off"
    """Carry the W3C trace context of input records to what is said about them, and export spans; needs the extra `tracing`. Where
    to, OpenTelemetry's own variables say: OTEL_EXPORTER_OTLP_ENDPOINT (docs/logs-and-traces.md). The same for all workers."""
    traces_started_share: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Share of the input records without a trace of their own for which one is begun; the same records in every run."""

    # --- the board
    board_listen: str = "127.0.0.1:9480"
    """Where `returnwatch board` listens, `host:port`; its /metrics, /live and /ready are there, too. 0.0.0.0:9480 in a container,
    behind what checks who may read."""
    board_token: SecretStr = SecretStr("")
    """Who knows it may acknowledge, put off and close cases by the board; 16 characters or more. Without one the board is
    read-only. Prefer `board_token_file`, or a secrets directory."""
    board_token_file: Path | None = None
    """File whose content is the token (one trailing newline is dropped)."""

    @field_validator("go_live_at", "simulated_origin_at", "simulated_starts_at")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        return None if value is None else _utc(value)

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            host, colon, port = address.rpartition(":")
            if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"{address!r} is not host:port")
        return value

    @field_validator("board_listen")
    @classmethod
    def _listens(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (colon and host and port.isdecimal() and int(port) < 65536):
            raise ValueError(f"{value!r} is not host:port; port 0 takes any free one")
        return value

    @field_validator("forget_key", "board_token")
    @classmethod
    def _is_no_guess(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("must have 16 characters or more; `openssl rand -hex 32` makes one")
        return value

    @field_validator("session_timeout")
    @classmethod
    def _session(cls, value: timedelta) -> timedelta:
        return _between(value, timedelta(seconds=6), timedelta(minutes=30))

    @field_validator("marker_period")
    @classmethod
    def _period(cls, value: timedelta) -> timedelta:
        return _between(value, timedelta(milliseconds=50), timedelta(minutes=1))

    @field_validator("skew")
    @classmethod
    def _skew(cls, value: timedelta) -> timedelta:
        return _between(value, timedelta(0), timedelta(hours=1))

    @field_validator("schema_registry_wait")
    @classmethod
    def _registry_wait(cls, value: timedelta) -> timedelta:
        return _between(value, timedelta(milliseconds=100), timedelta(seconds=12))

    @field_validator("schema_registry_url")
    @classmethod
    def _registry_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if "@" in parts.netloc:
            raise ValueError(
                "the address has a user name in it, which logs would show; use schema_registry_username"
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("is no address like https://registry:8081")
        return value

    @field_validator(*INPUT_FIELDS)
    @classmethod
    def _topic_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not TOPIC_NAME.fullmatch(name) or name in {".", ".."}:
                raise ValueError(
                    f"{name!r} is not a topic name: letters, digits, dot, dash, underscore; at most 249"
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = inconsistencies(self)
        if problems:
            raise InconsistentError(problems)
        return self

    @property
    def topics(self) -> TopicNames:
        """Names of the input, internal and output topics."""
        inputs = {
            InputKind.ORDERS: self.orders_topics,
            InputKind.LABELS: self.labels_topics,
            InputKind.CARRIER_SCANS: self.scans_topics,
            InputKind.WAREHOUSE: self.warehouse_topics,
            InputKind.COMMANDS: self.commands_topics,
        }
        return TopicNames.named(self.app_id, self.topic_prefix, inputs)

    def topic_specs(self) -> list[TopicSpec]:
        """Every topic and what it must be like, inputs first."""
        return topic_specs(
            self.topics,
            parcels_partitions=self.parcels_partitions,
            returns_partitions=self.returns_partitions,
            replication_factor=self.replication_factor,
            max_record_bytes=self.max_record_bytes,
        )

    @property
    def simulated(self) -> SimulatedTime | None:
        """The simulated clock, or None where time is the broker's own."""
        if not self.simulated_time or self.simulated_origin_at is None:
            return None
        starts_at = self.simulated_starts_at or self.simulated_origin_at
        return SimulatedTime(epoch_ms(self.simulated_origin_at), epoch_ms(starts_at), self.simulated_speed)

    def environment(self) -> dict[str, str]:
        """The variables that give another process these very settings. Holds secrets: never log it."""
        texts = {name: setting_text(getattr(self, name), reveal=True) for name in type(self).model_fields}
        return {ENV_PREFIX + name.upper(): text for name, text in texts.items() if text}


def setting_text(value: object, *, reveal: bool = False) -> str:
    """A setting's value as it would be written in a variable; secrets are hidden unless `reveal`."""
    if isinstance(value, SecretStr):
        return value.get_secret_value() if reveal else "********" if value.get_secret_value() else ""
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value) or NO_NAMES
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _between(value: timedelta, least: timedelta, most: timedelta) -> timedelta:
    if not least <= value <= most:
        raise ValueError(f"must be between {duration_text(least)} and {duration_text(most)}")
    return value
