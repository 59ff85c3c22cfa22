"""The command line: `tachograph demo`, `tachograph audit`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from tachograph.errors import MissingExtra
from tachograph.version import __version__

INTERRUPTED = 130  # what a shell reports for SIGINT
EXTRA_MISSING = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names (default: the process's arguments) and return its exit code."""
    args = _parser().parse_args(argv)
    handler: Callable[[argparse.Namespace], int] = args.handler
    try:
        return handler(args)
    except MissingExtra as error:
        print(f"tachograph: {error}", file=sys.stderr)
        return EXTRA_MISSING
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    from tachograph.cli import audit, demo

    parser = argparse.ArgumentParser(
        prog="tachograph", description="OpenTelemetry distribution for Python agent systems."
    )
    parser.add_argument("--version", action="version", version=f"tachograph {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo.register(commands)
    audit.register(commands)
    return parser
