"""Log records that an app emits through OpenTelemetry itself."""

import pytest
from opentelemetry._logs import LogRecord

from tachograph import correlation
from tachograph.contain import faults
from tachograph.logs.correlate import CorrelationLogProcessor


@pytest.fixture
def direct(exported):
    """A pipeline with the processor before the exporter."""
    processors = exported.provider._multi_log_record_processor
    processors._log_record_processors = (CorrelationLogProcessor(), *processors._log_record_processors)
    return exported


class TestCorrelationLogProcessor:
    def test_a_record_gets_the_ids_in_force(self, direct):
        """Ids are attributes under their bare names."""
        with correlation.bind(request_id="r-1"):
            direct.provider.get_logger("app").emit(LogRecord(body="x", attributes={"a": 1}))
        assert direct.attributes == {"a": 1, "request_id": "r-1"}

    def test_the_records_own_context_counts(self, direct):
        """A record made for another context has that context's ids."""
        context = correlation.with_ids(request_id="r-2")
        with correlation.bind(request_id="r-1"):
            direct.provider.get_logger("app").emit(LogRecord(body="x", context=context))
        assert direct.attributes == {"request_id": "r-2"}

    def test_the_apps_own_id_stays(self, direct):
        """An attribute of that name is left alone."""
        with correlation.bind(request_id="r-1"):
            direct.provider.get_logger("app").emit(LogRecord(body="x", attributes={"request_id": "theirs"}))
        assert direct.attributes == {"request_id": "theirs"}

    def test_without_ids_nothing_is_added(self, direct):
        """No ids, no attributes."""
        direct.provider.get_logger("app").emit(LogRecord(body="x"))
        assert direct.attributes == {}

    def test_a_record_that_cannot_be_changed_passes(self, direct):
        """A record with attributes of another kind is no fault."""
        before = faults()

        class Frozen:
            class log_record:
                attributes = (("a", 1),)
                context = None

        with correlation.bind(request_id="r-1"):
            CorrelationLogProcessor().on_emit(Frozen())
        assert Frozen.log_record.attributes == (("a", 1),)
        assert faults() == before

    def test_it_holds_nothing(self, direct):
        """Flush and shutdown answer at once."""
        assert direct.provider.force_flush()
        assert CorrelationLogProcessor().force_flush()
        assert CorrelationLogProcessor().shutdown() is None
