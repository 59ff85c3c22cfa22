"""An app that configures its own console keeps it, and its records still reach OpenTelemetry exactly once."""

from pathlib import Path

import pytest

from support.processes import Ended, python

pytestmark = pytest.mark.e2e

BASIC = """
import logging
logging.basicConfig(level=logging.INFO, format="MINE %(levelname)s %(message)s")
logging.getLogger("app").info("one %s", 1)
logging.getLogger("app").debug("unseen")
"""

BASIC_WITH_IDS = """
import logging
from opentelemetry import trace
logging.basicConfig(level=logging.INFO, format="MINE %(otelTraceID)s %(trace_id)s %(message)s")
with trace.get_tracer("app").start_as_current_span("s"):
    logging.getLogger("app").info("one")
"""

DICT = """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": True,
    "formatters": {"mine": {"format": "MINE %(name)s %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"level": "INFO", "handlers": ["out"]},
})
logging.getLogger("app").info("one %d", 1)
"""

STRUCTLOG = """
import structlog
structlog.configure(processors=[
    structlog.processors.add_log_level,
    structlog.processors.KeyValueRenderer(key_order=["event"]),
])
structlog.get_logger("app").info("one", number=1)
"""

STRUCTLOG_OVER_STDLIB = """
import logging, sys, structlog
logging.basicConfig(level=logging.INFO, format="MINE %(message)s", stream=sys.stderr)
structlog.configure(
    processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
structlog.get_logger("app").info("one", number=1)
"""

BOTH = """
import logging, structlog
logging.getLogger("app").info("one")
structlog.get_logger("app").info("two")
logging.info("three")
logging.getLogger("app").debug("unseen")
structlog.get_logger("app").debug("unseen")
logging.getLogger("app").debug("kept", extra={"audit": True})
"""

RAISES = """
import logging
log = logging.getLogger("app")
try:
    open("/nonexistent/file")
except OSError:
    log.exception("could not open")
log.warning("%d", "no number")
raise LookupError("nobody caught me")
"""


@pytest.fixture(params=["zero-code", "configure"])
def console(request: pytest.FixtureRequest, tmp_path: Path):
    def run(code: str, **variables: str) -> Ended:
        if request.param == "zero-code":
            return python(code, at=tmp_path, zero_code=True, **variables)
        return python(f"import tachograph; tachograph.configure()\n{code}", at=tmp_path, **variables)

    return run


class TestOwnFormat:
    @pytest.mark.parametrize(
        ("code", "stdout", "stderr", "body"),
        [
            (BASIC, "", "MINE INFO one 1\n", "one 1"),
            (DICT, "", "MINE app one 1\n", "one 1"),
            (STRUCTLOG, "event='one' number=1 level='info'\n", "", "one"),
            (STRUCTLOG_OVER_STDLIB, "", 'MINE {"number": 1, "event": "one", "level": "info"}\n', "one"),
        ],
        ids=["basicConfig", "dictConfig", "structlog", "structlog over stdlib"],
    )
    def test_it_is_kept(self, console, code: str, stdout: str, stderr: str, body: str) -> None:
        """
        The console shows what the app's own configuration says, and each record is exported once.
        """
        ended = console(code)

        assert (ended.stdout, ended.stderr, ended.returncode) == (stdout, stderr, 0)
        assert [log.body for log in ended.logs] == [body]

    def test_it_can_name_the_ids(self, console) -> None:
        """
        A format string of the app's may name the trace, in upstream's spelling or ours.
        """
        ended = console(BASIC_WITH_IDS)
        (span,) = ended.spans

        assert ended.stderr == f"MINE {span.trace_id} {span.trace_id} one\n"
        assert [log.trace_id for log in ended.logs] == [span.trace_id]


class TestOurFormat:
    def test_both_libraries_write_one_kind_of_line(self, console) -> None:
        """
        Without a configuration of the app's, stdlib and structlog write the same JSON; each record is exported once.
        """
        ended = console(BOTH)

        assert [(line["logger"], line["event"]) for line in ended.console] == [
            ("app", "one"),
            ("app", "two"),
            ("root", "three"),
        ]
        assert sorted(log.body for log in ended.own_logs) == ["kept", "one", "three", "two"]
        assert len(ended.stderr.splitlines()) == 3

    def test_a_level_is_no_hole_in_the_audit(self, console) -> None:
        """
        A record marked `audit` below the level is journaled, and not shown.
        """
        ended = console(BOTH)

        assert [record["meta"]["message"] for record in ended.audit] == ["kept"]

    def test_the_level_is_a_setting(self, console) -> None:
        """
        TACHOGRAPH_LOG_LEVEL moves both libraries.
        """
        quiet, loud = console(BOTH, TACHOGRAPH_LOG_LEVEL="ERROR"), console(BOTH, TACHOGRAPH_LOG_LEVEL="DEBUG")

        assert quiet.console == []
        shown = [line["event"] for line in loud.console if line["logger"] in ("app", "root")]
        assert shown == ["one", "two", "three", "unseen", "unseen", "kept"]

    def test_exceptions_are_told_in_full(self, console) -> None:
        """
        A logged exception has its text, a broken format string raises nothing, and an uncaught one is exported.
        """
        ended = console(RAISES)
        logged, broken, uncaught = ended.logs

        assert ended.returncode == 1
        assert logged.attributes["exception.type"] == "FileNotFoundError"
        assert "No such file" in logged.attributes["exception.message"]
        assert "no number" in broken.body
        assert uncaught.attributes["exception.message"] == "nobody caught me"
        assert "LookupError: nobody caught me" in ended.stderr.splitlines()[-1]
