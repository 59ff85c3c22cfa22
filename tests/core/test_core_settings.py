"""Settings: what variables and arguments become, and what is said about those that cannot be used."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph import parsers
from tachograph.errors import ConfigurationError
from tachograph.settings import Settings, declarations, environment_default

USABLE = {
    "boolean": {
        "1": True,
        "TRUE": True,
        "yes": True,
        "on": True,
        "0": False,
        "False": False,
        "no": False,
        "OFF": False,
    },
    "truth": {"true": True, "TRUE": True, "1": False, "yes": False},
    "seconds": {"0": 0.0, "2.5": 2.5, "1e2": 100.0},
    "interval": {"0.1": 0.1, "5": 5.0},
    "milliseconds": {"1": 1.0, "60000": 60000.0},
    "count": {"1": 1, "2000": 2000},
    "size": {"0": 0, "268435456": 268435456},
    "port": {"0": 0, "65535": 65535},
    "sync": {"always": 0.0, "ALWAYS": 0.0, "0.5": 0.5},
    "file_mode": {"0600": 0o600, "640": 0o640, "0o400": 0o400},
    "format_name": {"JSON": "json", "text": "text"},
    "level": {"debug": 10, "INFO": 20, "warn": 30, "WARNING": 30, "Error": 40, "CRITICAL": 50},
    "names": {"a, b ,,c": ("a", "b", "c"), ",": ()},
    "header_name": {"X-Request-ID": "X-Request-ID", "x_id": "x_id"},
    "url": {"http://c:4318": "http://c:4318", "HTTPS://c": "HTTPS://c"},
    "path": {"/var/lib/x": Path("/var/lib/x")},
    "text": {"anything at all": "anything at all"},
}
UNUSABLE = {
    "boolean": ("2", "ja", "truee"),
    "seconds": ("soon", "-1", "nan", "inf", ""),
    "interval": ("soon", "0", "-1", "nan"),
    "milliseconds": ("soon", "-1", "nan", "0", "0.5"),
    "count": ("0", "-1", "1.5", "many"),
    "size": ("-1", "1MB", "1.5"),
    "port": ("65536", "-1", "http"),
    "sync": ("never", "-1", "nan"),
    "file_mode": ("rw", "666", "0602", "0", "10000", "-600"),
    "format_name": ("xml", ""),
    "level": ("LOUD", "20"),
    "header_name": ("X Request", "X:Y", "X\r\nY", "", "Ünicode"),
    "url": ("collector:4318", "ftp://c", "http://c\r\nX: y", "http://c d", ""),
}
PARSERS = sorted({each.metadata["parse"].__name__ for each in declarations()})


def of(**environ: str) -> Settings:
    return Settings.from_environment(environ)


class TestParsers:
    def test_every_parser_in_use_has_examples(self) -> None:
        """
        No setting is read by a parser that these tests do not know.
        """
        assert set(PARSERS) <= set(USABLE)

    @pytest.mark.parametrize(
        ("parser", "raw", "value"), [(name, raw, value) for name, each in USABLE.items() for raw, value in each.items()]
    )
    def test_a_usable_text_is_read(self, parser: str, raw: str, value: object) -> None:
        """
        A text that can be used becomes the value it stands for.
        """
        read = getattr(parsers, parser)(raw)

        assert read == value
        assert type(read) is type(value)

    @pytest.mark.parametrize(("parser", "raw"), [(name, raw) for name, each in UNUSABLE.items() for raw in each])
    def test_any_other_text_is_refused_with_an_example(self, parser: str, raw: str) -> None:
        """
        A text that cannot be used raises ValueError, which says what to write.
        """
        with pytest.raises(ValueError, match=r"; write "):
            getattr(parsers, parser)(raw)

    @given(st.text(), st.sampled_from(PARSERS))
    def test_a_parser_answers_or_raises_value_error(self, raw: str, parser: str) -> None:
        """
        Whatever text it is given, a parser raises nothing but ValueError.
        """
        read: object = None
        with contextlib.suppress(ValueError):
            read = getattr(parsers, parser)(raw)

        assert read is None or isinstance(read, str | bool | int | float | tuple | Path)


class TestSettings:
    def test_defaults_hold_when_nothing_is_set(self) -> None:
        """
        Without a variable everything has its default, and there is nothing to complain of.
        """
        settings = of()

        assert settings == Settings(directory=Path(".tachograph").absolute())
        assert settings.problems == ()
        assert not settings.server_mode

    @pytest.mark.parametrize("declared", declarations(), ids=lambda each: each.metadata["variable"])
    def test_every_setting_is_declared_in_full(self, declared) -> None:
        """
        A setting has a variable with a prefix of its own or OpenTelemetry's, a parser, and a sentence of help.
        """
        assert declared.metadata["variable"].startswith(("TACHOGRAPH_", "OTEL_"))
        assert declared.metadata["help"].endswith(".")
        assert callable(declared.metadata["parse"])

    def test_a_setting_is_declared_once(self) -> None:
        """
        No variable is read by two settings.
        """
        variables = [each.metadata["variable"] for each in declarations()]

        assert len(variables) == len(set(variables))

    def test_a_variable_that_cannot_be_used_costs_itself_only(self) -> None:
        """
        Its default is used, one line says what it got and what to write, and the others are read.
        """
        settings = of(TACHOGRAPH_SHUTDOWN_TIMEOUT="soon", TACHOGRAPH_SERIES_LIMIT="7")

        assert settings.shutdown_timeout == 2.0
        assert settings.series_limit == 7
        assert settings.problems == (
            "TACHOGRAPH_SHUTDOWN_TIMEOUT='soon' is not a number of seconds; write it like 2.5",
        )

    def test_a_long_value_is_not_repeated_in_full(self) -> None:
        """
        What is said about a value quotes eighty characters of it at the most.
        """
        (problem,) = of(OTEL_EXPORTER_OTLP_ENDPOINT="x" * 5000).problems

        assert len(problem) < 200

    def test_an_empty_variable_is_not_set(self) -> None:
        """
        A variable that is empty or blank counts as absent, as OpenTelemetry wants it.
        """
        assert of(TACHOGRAPH_SERIES_LIMIT="", OTEL_TRACES_EXPORTER="  ") == of()

    def test_arguments_win_over_variables(self) -> None:
        """
        What a developer passes is taken, in the variable's text form or as the value itself.
        """
        environ = {"TACHOGRAPH_SERIES_LIMIT": "7", "TACHOGRAPH_LOG_LEVEL": "LOUD"}
        settings = Settings.from_environment(environ, series_limit="9", log_level=10)

        assert (settings.series_limit, settings.log_level, settings.problems) == (9, 10, ())

    @pytest.mark.parametrize(
        ("given", "match"),
        [
            ({"serieslimit": 3}, "'serieslimit' is not a setting; write one of audit_file,"),
            ({"series_limit": "many"}, "series_limit='many' is not a whole number of 1 or more"),
            ({"directory": 5}, "directory=5 cannot be used; write a path"),
            ({"service": 5}, "service_name=5 cannot be used; write a text"),
            ({"shutdown_timeout": None}, "shutdown_timeout=None cannot be used; write a number"),
            ({"shutdown_timeout": -1}, "shutdown_timeout='-1' is not a number of seconds; write it like"),
            ({"audit_mode": 0o666}, "audit_mode='438' is not a file mode"),
            ({"series_limit": True}, "series_limit=True cannot be used; write a whole number"),
            ({"strict": 1}, "strict=1 cannot be used; write True or False"),
            ({"log_format": 3}, "log_format=3 cannot be used; write json or text or None"),
            ({"logs_exporter": [3]}, "logs_exporter=.* cannot be used; write a list of texts or None"),
        ],
    )
    def test_an_argument_that_cannot_be_used_raises(self, given: dict[str, object], match: str) -> None:
        """
        A developer's mistake is an exception at once, not a line on stderr.
        """
        with pytest.raises(ConfigurationError, match=match):
            Settings.from_environment({}, **given)

    @pytest.mark.parametrize(
        ("given", "read"),
        [
            ({"directory": "/d"}, Path("/d")),
            ({"shutdown_timeout": 1}, 1),
            ({"audit_mode": 0o640}, 0o640),
            ({"log_level": "debug"}, 10),
            ({"log_level": 15}, 15),
            ({"log_format": None}, None),
            ({"strict": True}, True),
            ({"traces_exporter": ["file"]}, ("file",)),
        ],
    )
    def test_an_argument_may_be_the_value_or_its_text(self, given: dict[str, object], read: object) -> None:
        """
        A value of the setting's type is taken as it is, a text as the variable's, a list as a tuple.
        """
        (name,) = given

        assert getattr(Settings.from_environment({}, **given), name) == read

    def test_the_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Without a mapping the process's own variables are read.
        """
        monkeypatch.setenv("OTEL_SERVICE_NAME", "planner")

        assert Settings.from_environment().service_name == "planner"

    def test_an_environment_default_yields_to_the_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A default for others' variables is set only where the user has set none.
        """
        monkeypatch.setenv("SOME_VARIABLE", "theirs")
        monkeypatch.delenv("OTHER_VARIABLE", raising=False)
        environment_default("SOME_VARIABLE", "ours")
        environment_default("OTHER_VARIABLE", "ours")
        environ = __import__("os").environ

        assert (environ["SOME_VARIABLE"], environ.pop("OTHER_VARIABLE")) == ("theirs", "ours")


class TestServiceName:
    @pytest.mark.parametrize(
        ("environ", "name"),
        [
            ({}, "unknown_service"),
            ({"OTEL_SERVICE_NAME": "planner"}, "planner"),
            ({"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name = plan%20ner ,c=d"}, "plan ner"),
            ({"OTEL_SERVICE_NAME": "first", "OTEL_RESOURCE_ATTRIBUTES": "service.name=second"}, "first"),
            ({"OTEL_RESOURCE_ATTRIBUTES": "nonsense,,=,service.namespace=x"}, "unknown_service"),
        ],
    )
    def test_the_name_has_an_order_of_sources(self, environ: dict[str, str], name: str) -> None:
        """
        OTEL_SERVICE_NAME, then the resource attributes, then `unknown_service`.
        """
        assert of(**environ).service_name == name


class TestFiles:
    def test_bare_names_are_in_the_directory(self) -> None:
        """
        A file named without a folder is in the directory, any other path is the process's.
        """
        inside = of(TACHOGRAPH_DIR="/d", TACHOGRAPH_AUDIT_FILE="a.jsonl", TACHOGRAPH_METRICS_FILE="m.prom")
        outside = of(TACHOGRAPH_DIR="/d", TACHOGRAPH_AUDIT_FILE="./x/a.jsonl", TACHOGRAPH_METRICS_FILE="/m/m.prom")

        assert (inside.audit_path, inside.metrics_path) == (Path("/d/a.jsonl"), Path("/d/m.prom"))
        assert (outside.audit_path, outside.metrics_path) == (Path("x/a.jsonl").absolute(), Path("/m/m.prom"))

    def test_paths_stay_where_they_were_meant(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Relative paths are below the folder of the start, whatever folder the process changes to later.
        """
        (tmp_path / "later").mkdir()
        monkeypatch.chdir(tmp_path)
        settings = of(TACHOGRAPH_DIR="d", TACHOGRAPH_METRICS_FILE="./m/m.prom")
        monkeypatch.chdir(tmp_path / "later")

        assert settings.directory == tmp_path / "d"
        assert (settings.audit_path, settings.metrics_path) == (tmp_path / "d/audit.jsonl", tmp_path / "m/m.prom")

    def test_a_folder_that_is_gone_is_no_fault(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where the process's folder has been deleted, paths stand as they were written.
        """
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()

        assert of().directory == Path(".tachograph")

    @pytest.mark.parametrize(
        ("service", "file"),
        [
            ("planner", "metrics.planner.prom"),
            ("a/b c", "metrics.a_b_c-????????.prom"),
            ("..", "metrics.unknown_service-????????.prom"),
            ("../../etc", "metrics._.._etc-????????.prom"),
        ],
    )
    def test_a_service_name_cannot_leave_the_directory(self, service: str, file: str) -> None:
        """
        The textfile is named after the service, with nothing in its name that a path could mean.
        """
        path = of(TACHOGRAPH_DIR="/d", OTEL_SERVICE_NAME=service).metrics_path

        assert path.parent == Path("/d")
        assert path.match(file)

    def test_services_do_not_share_a_file(self) -> None:
        """
        Names that differ only in what a file's name cannot have, or far behind, are different files' names.
        """
        services = ("a_b", "a/b", "a b", "ü" * 300, "ü" * 301, "\udcff", "x" * 240)
        files = {of(OTEL_SERVICE_NAME=service).metrics_path.name for service in services}

        assert len(files) == len(services)
        assert max(len(file.encode()) for file in files) <= 240


class TestMode:
    @pytest.mark.parametrize("signal", ["", "TRACES_", "METRICS_", "LOGS_"])
    def test_any_endpoint_means_server_mode(self, signal: str) -> None:
        """
        One OTLP endpoint, for all signals or for one, is enough.
        """
        assert of(**{f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT": "http://c:4318"}).server_mode

    @pytest.mark.parametrize(
        ("environ", "url"),
        [
            ({}, None),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/base/"}, "http://c/base/v1/traces"),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/as/it/is/"}, "http://c/as/it/is/"),
        ],
    )
    def test_where_a_signal_is_sent(self, environ: dict[str, str], url: str | None) -> None:
        """
        A signal's own endpoint is taken as it stands, the common one is a base, as OTLP's specification has it.
        """
        assert of(**environ).endpoint_of("traces") == url

    def test_an_endpoint_that_cannot_be_used_means_local_mode(self) -> None:
        """
        An endpoint without a scheme is named, and telemetry goes to files instead of nowhere.
        """
        settings = of(OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318")

        assert not settings.server_mode
        assert settings.problems == (
            "OTEL_EXPORTER_OTLP_ENDPOINT='collector:4318' has no scheme; write it like http://collector:4318",
        )
