"""Where OpenTelemetry is switched off, entries marked `audit` still reach the audit journal."""

import logging
from unittest import mock

import pytest
import structlog
from opentelemetry._logs._internal import ProxyLoggerProvider

from tachograph import correlation, intake
from tachograph.logs import pipeline
from tachograph.logs.stdlib import LentLevel


@pytest.fixture
def log(no_pipeline, journal, switch_on, stderr) -> logging.Logger:
    switch_on()
    return logging.getLogger("app.orders")


class TestAnAuditEntry:
    def test_its_fields_have_their_places(self, log, journal):
        """Actor, action, resource and outcome are taken from the fields of those names; the rest is meta."""
        fields = {
            "actor": "user:1",
            "action": "CREATE",
            "resource": {"type": "order", "id": "o-1"},
            "outcome": "failure",
        }
        log.info("order.placed", extra={"audit": True, "amount": 3, **fields})
        (event,) = journal
        assert (event.event, event.action, event.outcome) == ("order.placed", "CREATE", "failure")
        assert (event.actor, event.resource) == ("user:1", {"type": "order", "id": "o-1"})
        assert event.meta == {"amount": 3}
        assert not event.required

    def test_prefixed_names_win(self, log, journal):
        """`audit.actor` says more than `actor`, which is meta then."""
        names = ("actor", "action", "resource", "outcome")
        extra = {**dict.fromkeys(names, "unknown"), **{f"audit.{name}": "success" for name in names}}
        log.info("a.b", extra={"audit": True, **extra})
        event = journal[0]
        assert {event.actor, event.action, event.resource, event.outcome} == {"success"}
        assert event.meta == dict.fromkeys(names, "unknown")

    def test_without_fields_there_are_defaults(self, log, journal):
        """An entry says LOG of its logger, with an unknown outcome."""
        log.info("a.b", extra={"audit": True})
        event = journal[0]
        assert (event.action, event.resource, event.actor, event.outcome) == (
            "LOG",
            "logger:app.orders",
            None,
            "unknown",
        )

    @pytest.mark.parametrize("message", ["hello world", "hello", "a..b", "a.b ", ".a", "a.b\n", "a.ü"])
    def test_a_message_that_is_no_name_is_meta(self, log, journal, message):
        """Only dotted words are an event's name."""
        log.info(message, extra={"audit": True})
        assert journal[0].event == "log.audit"
        assert journal[0].meta == {"message": message}

    @pytest.mark.parametrize("message", ["a.b", "a-b.c_d.e2"])
    def test_a_dotted_message_is_the_name(self, log, journal, message):
        """Letters, digits, `_` and `-` in words with dots between."""
        log.info(message, extra={"audit": True})
        assert journal[0].event == message
        assert journal[0].meta == {}

    def test_an_event_name_wins(self, log, journal):
        """`otel.event.name` is the name; the message is kept."""
        log.info("hello", extra={"audit": True, "otel.event.name": "order.placed"})
        assert (journal[0].event, journal[0].meta) == ("order.placed", {"message": "hello"})

    def test_an_outcome_of_its_own_is_meta(self, log, journal):
        """The journal knows three outcomes."""
        log.info("a.b", extra={"audit": True, "outcome": "maybe"})
        assert (journal[0].outcome, journal[0].meta) == ("unknown", {"outcome": "maybe"})

    def test_ids_in_force_are_the_journals_business(self, log, journal):
        """Ids of the context are no meta; an id of the same name and another value is."""
        with correlation.bind(request_id="r-1", plan_id="p-1"):
            log.info("a.b", extra={"audit": True, "plan_id": "other"})
        assert journal[0].meta == {"plan_id": "other"}

    def test_below_the_level_it_counts(self, log, journal):
        """DEBUG entries marked `audit` are recorded."""
        log.debug("a.b", extra={"audit": True})
        assert [event.event for event in journal] == ["a.b"]

    def test_unmarked_entries_are_not_recorded(self, log, journal):
        """The journal takes what is marked, and truly."""
        log.error("a.b")
        log.error("a.b", extra={"audit": False})
        assert journal == []


class TestOtherPipelines:
    def test_before_a_provider_is_set_the_journal_is_told(self, journal, switch_on, stderr, monkeypatch):
        """The API's stand-in records nothing either."""
        stand_in = ProxyLoggerProvider()
        monkeypatch.setattr(pipeline._logs, "get_logger_provider", lambda: stand_in)
        assert pipeline.is_placeholder(stand_in)
        switch_on()
        logging.getLogger("app").info("a.b", extra={"audit": True})
        assert [event.event for event in journal] == ["a.b"]

    def test_with_a_bridge_the_journal_is_not_told_twice(self, installed, exported, journal, stderr):
        """Whoever takes the event beside the record journals it; the pipeline's own processor does."""
        taken = []
        exported.provider.add_log_record_processor(
            mock.Mock(on_emit=lambda it: taken.append(it.log_record.slip.take()))
        )
        logging.getLogger("app").info("a.b", extra={"audit": True})
        assert ([event.event for event in taken], journal) == (["a.b"], [])
        assert exported.attributes == {"audit": True}

    def test_without_a_bridge_the_journal_is_told(self, installed, exported, journal, stderr):
        """A provider that the host has set later has none; the record is exported and journaled."""
        logging.getLogger("app").info("a.b", extra={"audit": True})
        assert [event.event for event in journal] == ["a.b"]
        assert exported.attributes == {"audit": True}

    def test_a_journal_that_fails_hurts_nobody(self, no_pipeline, switch_on, stderr, monkeypatch):
        """A fault of the journal is contained."""
        monkeypatch.setattr("tachograph.intake._sink", lambda event: 1 / 0)
        switch_on()
        logging.getLogger("app").info("a.b", extra={"audit": True})
        assert "telemetry fault in logs.export" in stderr.getvalue()
        assert isinstance(logging.root.level, LentLevel)


class TestAfterUndo:
    """What stays once the hooks are taken back while a journal is in force."""

    @pytest.fixture
    def ended(self, journal, exported, switch_on, stderr) -> list[object]:
        switch_on()()
        return journal

    def test_marked_calls_are_journaled_only(self, ended, exported):
        """Above and below the level, in both libraries; nothing is exported."""
        log = logging.getLogger("app")
        log.warning("a.a", extra={"audit": True, "k": 1})
        log.debug("a.b", extra={"audit": True})
        structlog.get_logger("app").info("a.c", audit=True)
        assert [(event.event, event.meta) for event in ended] == [("a.a", {"k": 1}), ("a.b", {}), ("a.c", {})]
        assert exported.bodies == []

    def test_others_stay_as_they_are(self, ended, exported):
        """Neither ids nor fields are added to what is not for the journal."""
        record = logging.getLogger("app").makeRecord("app", logging.WARNING, "", 0, "x", (), None)
        logging.getLogger("app").handle(record)
        structlog.get_logger("app").info("x", audit="no")
        assert not hasattr(record, "trace_id")
        assert (ended, exported.bodies) == ([], [])

    def test_a_second_installation_journals_once(self, ended, exported, switch_on):
        """What had stayed goes when the hooks come back, and entries are exported again."""
        switch_on()
        logging.getLogger("app").warning("a.b", extra={"audit": True})
        assert [event.event for event in ended] == ["a.b"]
        assert exported.bodies == ["a.b"]

    def test_without_a_journal_nothing_stays(self, exported, switch_on, stderr):
        """The functions of logging are the library's again."""
        switch_on()
        intake.install(None)
        before = logging.Logger.callHandlers
        switch_on()()
        assert logging.Logger.callHandlers is not before
        assert logging.Logger.callHandlers.__module__ == "logging"


class TestTelemetrysOwnLoggers:
    def test_what_is_marked_is_journaled_and_not_exported(self, installed, exported, journal, stderr):
        """Nothing else of theirs leaves the process."""
        logging.getLogger("opentelemetry.sdk").warning("a.b", extra={"audit": True})
        logging.getLogger("tachograph").warning("a.b")
        assert [event.resource for event in journal] == ["logger:opentelemetry.sdk"]
        assert exported.bodies == []

    def test_a_sink_that_logs_does_not_call_itself(self, installed, stderr):
        """What the journal logs while it records is ignored."""
        calls = []

        def sink(event):
            calls.append(event.event)
            logging.getLogger("tachograph").warning("again.b", extra={"audit": True})

        before = intake.install(sink)
        logging.getLogger("tachograph").warning("a.b", extra={"audit": True})
        intake.install(before)
        assert calls == ["a.b"]
