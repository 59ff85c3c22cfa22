"""The last hop: a program that logs, and opens an operation."""

import logging

import tachograph

log = logging.getLogger("app.last")


def main() -> None:
    with tachograph.tool_call("last", effect="read"):
        log.warning("last")
    if (telemetry := tachograph.configure()) is not None:
        telemetry.flush()


if __name__ == "__main__":
    main()
