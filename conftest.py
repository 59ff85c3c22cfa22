"""Every example of the documentation is executed: Python with telemetry captured, shell in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

SECONDS = 120


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
    """Write a block that starts with `# file: NAME` as that file; other Python blocks are executed."""
    name = example.parsed.split("\n", 1)[0].removeprefix("# file:").strip()
    (example.namespace["folder"] / name).write_text(example.parsed)


class PythonOrFileParser(PythonCodeBlockParser):
    """Python blocks: files are written, everything else is executed."""

    def evaluate(self, example: Example) -> None:
        """Write or execute."""
        if example.parsed.startswith("# file:"):
            write_file(example)
            return
        super().evaluate(example)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("docs")


pytest_collect_file = Sybil(
    parsers=[PythonOrFileParser(), CodeBlockParser(language="bash", evaluator=run_shell), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    fixtures=["folder", "telemetry"],
).pytest()
