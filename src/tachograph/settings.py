"""
One line a setting: variable, parser, default, help. The only reader of the process environment.

Operators set variables, developers pass the same fields as keyword arguments; a value that cannot be used costs that
setting only: its default is used and `Settings.problems` says what to write instead.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote

from tachograph import parsers
from tachograph.errors import ConfigurationError

T = TypeVar("T")
Parser = Callable[[str], T]

UNKNOWN_SERVICE = "unknown_service"
PROMETHEUS_PORT = 9464  # of /metrics, where it is served and nothing else is said

_NAME_BYTES = 200  # of a service in a file's name, which may have 255 with all that is written around it
_WORDS: Mapping[object, str] = {
    Path: "a path",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    tuple: "a list of texts",
    NoneType: "None",
}


def variable(name: str, parse: Parser[T], default: T, help: str) -> T:  # noqa: A002 - the word users read
    """Declare a setting: the environment variable `name`, read by `parse` when it is set and not empty."""
    made: T = field(default=default, metadata={"variable": name, "parse": parse, "help": help})
    return made


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, with the default that holds when nothing is."""

    directory: Path = variable("TACHOGRAPH_DIR", parsers.path, Path(".tachograph"), "All that is written to disk.")
    metrics_file: Path | None = variable(
        "TACHOGRAPH_METRICS_FILE",
        parsers.path,
        None,
        "The Prometheus textfile; default `metrics.<service.name>.prom` in the directory.",
    )
    audit_file: Path = variable(
        "TACHOGRAPH_AUDIT_FILE",
        parsers.path,
        Path("audit.jsonl"),
        "The audit journal; a bare name is in the directory.",
    )
    file_bytes: int = variable(
        "TACHOGRAPH_FILE_BYTES",
        parsers.size,
        268435456,
        "Bytes that `traces.jsonl` and `logs.jsonl` may take, each; they rotate at a quarter and keep four.",
    )
    textfile_interval: float = variable(
        "TACHOGRAPH_TEXTFILE_INTERVAL", parsers.interval, 5.0, "Seconds between two writes of the textfile."
    )
    queue_depth_interval: float = variable(
        "TACHOGRAPH_QUEUE_DEPTH_INTERVAL",
        parsers.interval,
        5.0,
        "Seconds between two readings of how many tasks wait in a Celery worker's queues.",
    )
    audit_required: bool = variable(
        "TACHOGRAPH_AUDIT_REQUIRED",
        parsers.boolean,
        False,
        "Refuse to start without a journal; destructive and external tool calls fail closed.",
    )
    audit_mode: int = variable(
        "TACHOGRAPH_AUDIT_MODE",
        parsers.file_mode,
        0o600,
        "The journal's file mode; 0640 lets a Collector's group read.",
    )
    audit_sync: float = variable(
        "TACHOGRAPH_AUDIT_SYNC",
        parsers.sync,
        1.0,
        "Seconds that a record nobody waits for may stay unsynced; `always`: every record waits.",
    )
    log_format: Literal["json", "text"] | None = variable(
        "TACHOGRAPH_LOG_FORMAT",
        parsers.format_name,
        None,
        "`json` or `text`; default JSON unless stderr is a terminal.",
    )
    log_level: int = variable(
        "TACHOGRAPH_LOG_LEVEL",
        parsers.level,
        20,
        "Level of loggers that nobody configured: DEBUG, INFO, WARNING, ERROR or CRITICAL; default INFO.",
    )
    request_id_header: str = variable(
        "TACHOGRAPH_REQUEST_ID_HEADER", parsers.header_name, "X-Request-ID", "Header that carries the request id."
    )
    trusted_hosts: tuple[str, ...] = variable(
        "TACHOGRAPH_TRUSTED_HOSTS",
        parsers.names,
        (),
        "Hosts, `*.suffixes` and networks that may receive correlation ids, beside private and cluster-internal ones.",
    )
    correlation_ids: tuple[str, ...] = variable(
        "TACHOGRAPH_CORRELATION_IDS",
        parsers.names,
        (),
        "Ids of the application, such as `delivery_id`, that are taken over from an incoming request.",
    )
    series_limit: int = variable(
        "TACHOGRAPH_SERIES_LIMIT",
        parsers.count,
        2000,
        "Label sets a metric and process; the rest is counted as overflow (SDK 1.45.2 or later).",
    )
    heartbeat: float = variable(
        "TACHOGRAPH_HEARTBEAT",
        parsers.seconds,
        30.0,
        "Seconds between two log lines about each agent and plan in progress; 0: none.",
    )
    prices_file: Path | None = variable(
        "TACHOGRAPH_PRICES_FILE",
        parsers.path,
        None,
        "JSON file with your own rates for models, in USD per million tokens.",
    )
    shutdown_timeout: float = variable(
        "TACHOGRAPH_SHUTDOWN_TIMEOUT", parsers.seconds, 2.0, "Seconds that an exit may wait, for all signals together."
    )
    strict: bool = variable(
        "TACHOGRAPH_STRICT", parsers.boolean, False, "Refuse to start on a setting that cannot be used."
    )

    service: str = variable("OTEL_SERVICE_NAME", parsers.text, "", "Name of the service.")
    resource_attributes: str = variable(
        "OTEL_RESOURCE_ATTRIBUTES", parsers.text, "", "Resource attributes, `key=value,…`."
    )
    sdk_disabled: bool = variable("OTEL_SDK_DISABLED", parsers.truth, False, "Silence telemetry, never audit.")
    config_file: Path | None = variable(
        "OTEL_CONFIG_FILE", parsers.path, None, "Declarative configuration (extra `config`)."
    )
    propagators: tuple[str, ...] | None = variable(
        "OTEL_PROPAGATORS", parsers.names, None, "Propagators; default `tracecontext,baggage,tachograph`."
    )
    traces_sampler: str | None = variable(
        "OTEL_TRACES_SAMPLER", parsers.text, None, "A sampler of the specification, or an installed one."
    )
    traces_sampler_argument: str | None = variable(
        "OTEL_TRACES_SAMPLER_ARG", parsers.text, None, "Argument of the sampler, such as a ratio."
    )
    id_generator: str | None = variable(
        "OTEL_PYTHON_ID_GENERATOR", parsers.text, None, "`random`, or an installed generator of trace and span ids."
    )
    traces_exporter: tuple[str, ...] | None = variable(
        "OTEL_TRACES_EXPORTER", parsers.names, None, "`otlp`, `file`, `console`, `none`, or an installed exporter."
    )
    metrics_exporter: tuple[str, ...] | None = variable(
        "OTEL_METRICS_EXPORTER",
        parsers.names,
        None,
        "`otlp`, `prometheus`, `file`, `console`, `none`, or an installed exporter.",
    )
    logs_exporter: tuple[str, ...] | None = variable(
        "OTEL_LOGS_EXPORTER", parsers.names, None, "`otlp`, `file`, `console`, `none`, or an installed exporter."
    )
    endpoint: str | None = variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT", parsers.url, None, "Collector; setting it means server mode."
    )
    traces_endpoint: str | None = variable(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", parsers.url, None, "Collector for traces."
    )
    metrics_endpoint: str | None = variable(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", parsers.url, None, "Collector for metrics."
    )
    logs_endpoint: str | None = variable("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", parsers.url, None, "Collector for logs.")
    protocol: str | None = variable("OTEL_EXPORTER_OTLP_PROTOCOL", parsers.text, None, "`http/protobuf`.")
    prometheus_host: str = variable(
        "OTEL_EXPORTER_PROMETHEUS_HOST", parsers.text, "localhost", "Where `/metrics` listens."
    )
    prometheus_port: int | None = variable(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        parsers.port,
        None,
        "Port of `/metrics`; default 9464 in server mode, none in local mode.",
    )
    metric_export_interval: float = variable(
        "OTEL_METRIC_EXPORT_INTERVAL", parsers.milliseconds, 60000.0, "Milliseconds between two exports of metrics."
    )

    problems: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, /, **overrides: object) -> "Settings":
        """
        Read the settings from `environ` (default: the process environment); keyword arguments win.

        Raises ConfigurationError for a keyword argument that is no setting or cannot be used; a text is read as the
        variable's would be. A variable that cannot be used keeps its default and is explained in `problems`.
        """
        values = _given(overrides)
        problems: list[str] = []
        for declared in declarations():
            if declared.name in values:
                continue
            raw = (os.environ if environ is None else environ).get(declared.metadata["variable"], "").strip()
            if not raw:
                continue
            try:
                values[declared.name] = declared.metadata["parse"](raw)
            except ValueError as error:
                problems.append(f"{declared.metadata['variable']}={raw[:80]!r} {error}")

        return cls(**{**_anchored(values), "problems": tuple(problems)})

    @property
    def service_name(self) -> str:
        """The service's name, or `unknown_service`."""
        return self.service or self.resource_given.get("service.name") or UNKNOWN_SERVICE

    @property
    def resource_given(self) -> dict[str, str]:
        """The resource attributes, percent-decoded; a pair without a key or `=` is left out."""
        pairs = (pair.partition("=") for pair in self.resource_attributes.split(","))
        return {key.strip(): unquote(value.strip()) for key, equals, value in pairs if equals and key.strip()}

    def endpoint_of(self, signal: str) -> str | None:
        """Return the URL that a signal is sent to: its own as it stands, else OTLP's path below the common one."""
        own: str | None = getattr(self, f"{signal}_endpoint")
        if own or not self.endpoint:
            return own
        return f"{self.endpoint.removesuffix('/')}/v1/{signal}"

    @property
    def server_mode(self) -> bool:
        """True when an OTLP endpoint is set for all signals or any."""
        return any((self.endpoint, self.traces_endpoint, self.metrics_endpoint, self.logs_endpoint))

    @property
    def audit_path(self) -> Path:
        """The journal: a bare name is in the directory, any other path is taken as it stands."""
        return self.within(self.audit_file)

    @property
    def metrics_path(self) -> Path:
        """The textfile: a bare name is in the directory, any other path is taken as it stands."""
        if self.metrics_file is not None:
            return self.within(self.metrics_file)
        return self.directory / f"metrics.{_file_name(self.service_name)}.prom"

    def within(self, file: Path) -> Path:
        """Return `file` in the directory when it is a bare name, else as it stands."""
        return self.directory / file if len(file.parts) == 1 else file


def declarations() -> tuple["Field[Any]", ...]:
    """Every declared setting, in order, as dataclass fields with `variable`, `parse` and `help` in their metadata."""
    return tuple(each for each in fields(Settings) if "variable" in each.metadata)


def process_environment() -> dict[str, str]:
    """Return a copy of the process environment, for a child or for a carrier of context."""
    return dict(os.environ)


def environment_default(variable_name: str, value: str) -> None:
    """Set an environment variable that is not set: how defaults reach instrumentations of others."""
    os.environ.setdefault(variable_name, value)


def _given(overrides: Mapping[str, object]) -> dict[str, Any]:
    known = {each.name: each for each in declarations()}
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ConfigurationError(f"{unknown[0]!r} is not a setting; write one of {', '.join(sorted(known))}")
    return {name: _read(known[name], value) for name, value in overrides.items()}


def _anchored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tie relative paths to the folder that the process is in now; bare names stay relative to the directory."""
    made: dict[str, Any] = {"directory": Settings.directory, **values}
    made["directory"] = _absolute(made["directory"])
    for name in ("metrics_file", "audit_file"):
        path = made.get(name)
        if path is not None and len(path.parts) > 1:
            made[name] = _absolute(path)
    return made


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:  # the folder that the process is in has been deleted
        return path


def _read(declared: "Field[Any]", value: object) -> object:
    if isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, str) and not _fits(declared.type, value):
        words = " or ".join(_words(declared.type))
        raise ConfigurationError(f"{_argument(declared)}={str(value)[:80]} cannot be used; write {words}")
    try:
        return _parsed(declared, value)
    except ValueError as error:
        raise ConfigurationError(f"{_argument(declared)}={str(value)[:80]!r} {error}") from None


def _argument(declared: "Field[Any]") -> str:
    """Return the keyword that `configure` knows a setting by."""
    return "service_name" if declared.name == "service" else declared.name


def _parsed(declared: "Field[Any]", value: object) -> object:
    """Read a text as the variable's, and let a number keep the limits that the variable's has."""
    parse = declared.metadata["parse"]
    if isinstance(value, str):
        return parse(value)
    if parse is parsers.file_mode:
        parse(oct(value) if isinstance(value, int) else "")
    elif parse is not parsers.level and isinstance(value, int | float) and not isinstance(value, bool):
        parse(str(value))
    return value


def _fits(kind: object, value: object) -> bool:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(_fits(each, value) for each in get_args(kind))
    if origin is tuple:
        return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(kind, type) and isinstance(value, kind)


def _words(kind: object) -> tuple[str, ...]:
    origin = get_origin(kind)
    if origin is Literal:
        return tuple(get_args(kind))
    if origin is None or origin is tuple:
        return (_WORDS[origin or kind],)
    return tuple(word for each in get_args(kind) for word in _words(each))


def _file_name(service: str) -> str:
    """Return `service` as a part of a file's name; one that has to be changed gets a hash, to stay its own."""
    safe = "".join(character if character.isalnum() or character in "-_." else "_" for character in service)
    kept = safe.lstrip(".").encode()[:_NAME_BYTES].decode(errors="ignore") or UNKNOWN_SERVICE
    if kept == service:
        return kept
    return f"{kept}-{sha256(service.encode(errors='backslashreplace')).hexdigest()[:8]}"
