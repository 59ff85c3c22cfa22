"""
Fixtures for pytest, registered as a plug-in of this distribution.

`telemetry` captures every signal of a test; `spans`, `logs`, `metrics` and `audit_records` would be too common as
names, so that each signal is read from it: `telemetry.spans`, `telemetry.logs`, `telemetry.metrics()`,
`telemetry.audit`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tachograph.testing import Captured


@pytest.fixture
def telemetry() -> "Iterator[Captured]":
    """All telemetry of a test, in memory: spans, logs, metrics and audit records."""
    from tachograph.testing import capture

    with capture() as captured:
        yield captured
