"""`tachograph demo`: a real agent service, real requests, and what was recorded of them."""

import argparse
import importlib.util
import sys
from pathlib import Path

from tachograph.errors import MissingExtra

TAIL_LINES = 12
TAIL_WIDTH = 1000

_NEEDED = (
    "fastapi",
    "httpx",
    "rich",
    "uvicorn",
    "opentelemetry.instrumentation.fastapi",
    "opentelemetry.instrumentation.httpx",
)


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `demo` to a parser; it sets `handler`, a function of the arguments to an exit code."""
    text = "run a small agent service, drive requests through it and show what was recorded"
    parser = subparsers.add_parser("demo", help=text, description=f"{text}; exit code 1 when something is missing")
    parser.add_argument(
        "--dir", metavar="DIR", type=Path, default=Path(".tachograph"), help="where to record; default .tachograph"
    )
    parser.add_argument("--requests", metavar="N", type=_positive, default=6, help="how many requests; default 6")
    parser.add_argument("--no-color", action="store_true", help="print plain text")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its summary; 1 when something is missing or does not hold."""
    if not all(map(_is_installed, _NEEDED)):
        raise MissingExtra("tachograph demo", "demo")
    from tachograph.cli import demo_checks, demo_report
    from tachograph.cli.demo_processes import DemoError
    from tachograph.cli.demo_session import Session

    report: demo_report.Report = demo_report.TextReport(no_color=args.no_color)
    if args.json:
        report = demo_report.JsonReport()
    session = Session(args.dir, args.requests, _say)
    try:
        evidence = session.run()
    except DemoError as error:
        report.failure(str(error))
        return _failed((str(error),), session.log)

    checks = demo_checks.checks(evidence)
    report.summary(evidence, checks)
    problems = tuple(f"{each.claim}: {each.problem}" for each in checks if not each.holds)
    return _failed(problems, session.log) if problems else 0


def _failed(problems: tuple[str, ...], log: Path) -> int:
    for problem in problems:
        _say(f"FAILED: {problem}")
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    tail = [line[:TAIL_WIDTH] for line in lines[-TAIL_LINES:]]
    if tail:
        print(f"the end of {log}:", *tail, sep="\n  ", file=sys.stderr)
    return 1


def _say(text: str) -> None:
    print(f"tachograph demo: {text}", file=sys.stderr, flush=True)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or the import is blocked
        return False


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests; write 1 or more")
    return int(text)
