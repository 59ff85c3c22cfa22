"""`tachograph audit`: check a journal, print where its chains stand, print its last records."""

import argparse
import json
import sys
from collections import deque
from pathlib import Path

from tachograph.audit import verify
from tachograph.audit.verify import NotChecked, Report


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit` and its commands to a parser; each sets `handler`, a function of the arguments to an exit code."""
    parser = subparsers.add_parser("audit", help="check and read the audit journal")
    commands = parser.add_subparsers(dest="audit_command", required=True)

    check = commands.add_parser(
        "verify",
        help="check journals; exit code 0 intact and anchored, 1 broken, 2 intact without anchors, 3 could not check",
    )
    check.add_argument("paths", metavar="PATH", nargs="*", help="journal files or globs; default: the configured one")
    check.add_argument(
        "--anchors", metavar="HEADS.jsonl", type=Path, help="heads kept elsewhere, one JSON object a line"
    )
    check.set_defaults(handler=verify_journal)

    heads = commands.add_parser("heads", help="print the head of each stream as a JSON line, an anchor for `verify`")
    heads.add_argument("paths", metavar="PATH", nargs="*", help="journal files or globs; default: the configured one")
    heads.set_defaults(handler=print_heads)

    tail = commands.add_parser("tail", help="print the last records")
    tail.add_argument("path", metavar="PATH", nargs="?", help="journal file; default: the configured one")
    tail.add_argument("-n", "--lines", type=int, default=10, help="how many; default 10")
    tail.set_defaults(handler=print_tail)


def verify_journal(args: argparse.Namespace) -> int:
    """Check the journals and print what was found."""
    try:
        anchors = verify.read_anchors(args.anchors) if args.anchors else None
        report = verify.verify(_paths(args.paths), anchors)
    except NotChecked as error:
        return _not_checked(error)

    _print_report(report)
    return report.exit_code


def print_heads(args: argparse.Namespace) -> int:
    """Print the heads; faults go to stderr and make the exit code 1."""
    try:
        report = verify.verify(_paths(args.paths))
    except NotChecked as error:
        return _not_checked(error)

    for fault in report.faults:
        print(f"{fault.path}:{fault.offset}: {fault.text}", file=sys.stderr)
    for head in report.heads.values():
        print(json.dumps({"stream": head.stream, "seq": head.seq, "hash": head.hash}))
    return verify.BROKEN if report.fault_count else 0


def print_tail(args: argparse.Namespace) -> int:
    """Print the last lines as they stand in the file."""
    try:
        with Path(args.path or _configured()).open("rb") as file:
            last = deque(file, maxlen=max(args.lines, 0))
    except OSError as error:
        return _not_checked(error)

    for line in last:
        print(line.decode("ascii", "backslashreplace").rstrip("\n"))
    return 0


def _print_report(report: Report) -> None:
    verdict = ("intact and anchored", "BROKEN", "intact, without anchors")[report.exit_code]
    print(f"{report.records} records: {verdict}")
    for fault in report.faults:
        print(f"fault      {fault.path}:{fault.offset}: {fault.text}")
    if report.fault_count > len(report.faults):
        print(f"           and {report.fault_count - len(report.faults)} more faults")
    for note in report.recovered:
        print(f"recovered  {note.path}:{note.offset}: {note.text}")
    for note in report.backwards:
        print(f"time       {note.path}:{note.offset}: goes backwards: {note.text}")
    for entry_id, what in report.unfinished.items():
        print(f"unfinished {entry_id}: {what}")
    for entry_id, who in report.running.items():
        print(f"no stop    {entry_id}: {who} runs or died")
    for stream, head in report.heads.items():
        print(f"head       {stream} seq {head.seq} {head.hash} ({report.unanchored[stream]} not anchored)")


def _paths(given: list[str]) -> list[str]:
    return given or [_configured()]


def _configured() -> str:
    from tachograph.settings import Settings

    return str(Settings.from_environment().audit_path)


def _not_checked(error: Exception) -> int:
    print(f"tachograph audit: could not check: {error}", file=sys.stderr)
    return verify.UNCHECKED
