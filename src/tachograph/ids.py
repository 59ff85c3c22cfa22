"""Trace and span ids from the operating system's source, which `random.seed` in several processes cannot repeat."""

import os

from opentelemetry import trace
from opentelemetry.sdk.trace import id_generator


class IdGenerator(id_generator.IdGenerator):
    """W3C trace context ids (16 and 8 bytes, never zero) from `os.urandom`."""

    def generate_span_id(self) -> int:
        """Return a random span id of 64 bits."""
        return _random(8, trace.INVALID_SPAN_ID)

    def generate_trace_id(self) -> int:
        """Return a random trace id of 128 bits."""
        return _random(16, trace.INVALID_TRACE_ID)


def _random(size: int, invalid: int) -> int:
    while (made := int.from_bytes(os.urandom(size), "big")) == invalid:
        continue
    return made
