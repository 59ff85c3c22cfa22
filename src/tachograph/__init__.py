"""
OpenTelemetry distribution for Python agent systems: metrics, traces, structured logs and a tamper-evident audit trail.

`opentelemetry-instrument python app.py` needs nothing of this module; it is for what no library can know. Importing it
opens no file, starts no thread and reads no setting.
"""

from tachograph import audit
from tachograph.bootstrap import Telemetry, configure
from tachograph.correlation import bind
from tachograph.errors import (
    AuditUnavailable,
    ConfigurationError,
    DeclarationError,
    MissingExtra,
    TachographError,
)
from tachograph.operations import agent, context_assembly, llm_call, plan, stage, tool_call
from tachograph.version import __version__

__all__ = [
    "AuditUnavailable",
    "ConfigurationError",
    "DeclarationError",
    "MissingExtra",
    "TachographError",
    "Telemetry",
    "__version__",
    "agent",
    "audit",
    "bind",
    "configure",
    "context_assembly",
    "llm_call",
    "plan",
    "stage",
    "tool_call",
]
