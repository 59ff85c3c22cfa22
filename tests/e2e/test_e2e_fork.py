"""A child that a process forks sends what is its own, over a connection of its own."""

from collections import Counter

import pytest

from support.otlp_receiver import Receiver
from support.processes import free_port, python

pytestmark = pytest.mark.e2e

CHILDREN, SPANS = 4, 40

CODE = f"""
import logging, os, sys
import tachograph
from opentelemetry import trace
telemetry = tachograph.configure(service_name="forking")
tracer = trace.get_tracer("app")
for number in range({SPANS}):  # the connection is open and used before anybody forks
    with tracer.start_as_current_span("parent"):
        logging.getLogger("app").info("parent")
assert telemetry.flush(20)
children = []
for child in range({CHILDREN}):
    pid = os.fork()
    if pid:
        children.append(pid)
        continue
    for number in range({SPANS}):
        with tracer.start_as_current_span(f"child-{{child}}"):
            logging.getLogger("app").info(f"child-{{child}}")
        if number % 10 == 9:
            telemetry.flush(20)
    os._exit(0 if telemetry.flush(20) else 1)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * {CHILDREN}
"""


class TestFork:
    def test_children_share_no_connection(self, tmp_path):
        """
        Every span and log line of every child arrives once, and no answer is taken for another's.
        """
        with Receiver() as receiver:
            ended = python(
                CODE,
                at=tmp_path,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
                OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
                OTEL_METRIC_EXPORT_INTERVAL="100",
            )

        expected = {"parent": SPANS, **{f"child-{number}": SPANS for number in range(CHILDREN)}}
        assert ended.returncode == 0, ended.stderr
        assert Counter(span.name for span in receiver.spans) == expected
        assert Counter(str(log.body) for log in receiver.logs if log.scope == "app") == expected
        assert receiver.faults == []
