"""Every example of the documentation is executed: Python with telemetry captured, shell in a folder of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

SECONDS = 120
PYTHON = PythonEvaluator()


def run_shell(example: Example) -> None:
    """Run a shell block in the folder of its page; a command that fails fails the example."""
    folder: Path = example.namespace["folder"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TACHOGRAPH_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def write_file(example: Example) -> None:
    """Write a block as the file that its first line names, into the folder of its page."""
    name = example.parsed.split("\n", 1)[0].removeprefix("# file:").strip()
    (example.namespace["folder"] / name).write_text(example.parsed)


def run_python(example: Example) -> None:
    """Execute a Python block; one that starts with `# file: NAME` is written as that file instead."""
    if example.parsed.startswith("# file:"):
        write_file(example)
        return
    PYTHON(example)


def make_folder(namespace: dict[str, Any]) -> None:
    namespace["folder"] = Path(tempfile.mkdtemp(prefix="tachograph-docs-"))


def remove_folder(namespace: dict[str, Any]) -> None:
    shutil.rmtree(namespace["folder"])


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser("python", run_python), CodeBlockParser("bash", run_shell), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=make_folder,
    teardown=remove_folder,
    fixtures=["telemetry"],
).pytest()
