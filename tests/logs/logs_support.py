"""What tests of logs share besides fixtures."""

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

PREAMBLE = """
import logging, sys
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from tachograph import correlation
from tachograph.logs import LogOptions, install
memory = InMemoryLogRecordExporter()
provider = LoggerProvider(shutdown_on_exit=False)
provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
_logs.set_logger_provider(provider)
tracer = TracerProvider(shutdown_on_exit=False).get_tracer("script")
def bodies():
    return [(item.instrumentation_scope.name, item.log_record.body) for item in memory.get_finished_logs()]
"""


class Exported:
    """What reached OpenTelemetry."""

    def __init__(self) -> None:
        self.memory = InMemoryLogRecordExporter()
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.memory))

    @property
    def all(self):
        return list(self.memory.get_finished_logs())

    @property
    def records(self):
        return [item.log_record for item in self.all]

    @property
    def bodies(self) -> list[object]:
        return [record.body for record in self.records]

    @property
    def one(self):
        assert len(self.records) == 1, self.bodies
        return self.records[0]

    @property
    def attributes(self) -> dict[str, object]:
        return dict(self.one.attributes)

    @property
    def scope(self) -> str:
        assert len(self.all) == 1
        return self.all[0].instrumentation_scope.name
