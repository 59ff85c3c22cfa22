"""Logs: ids on every line and record, and one export for every log call of stdlib logging and structlog."""

from tachograph.logs.config import LogOptions, install
from tachograph.logs.console import default_format

__all__ = ["LogOptions", "default_format", "install"]
