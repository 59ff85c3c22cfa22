"""The package without any extra: it imports, records, and says what to install for the rest."""

import importlib.util
import subprocess
import sys

import pytest

EXTRAS = ("fastapi", "flask", "django", "celery", "httpx", "rich", "uvicorn")

SCRIPT = """
import logging, tachograph
telemetry = tachograph.configure(service_name="bare")
with tachograph.plan("p"), tachograph.tool_call("t"):
    logging.getLogger("bare").info("hello")
assert telemetry.flush(10)
assert telemetry.shutdown(10)
"""


def run(*command, cwd):
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


class TestWithoutExtras:
    def test_everything_of_local_mode_is_there(self, tmp_path):
        """
        Four signals need no extra.
        """
        done = run("-c", SCRIPT, cwd=tmp_path)

        assert done.returncode == 0, done.stderr
        assert {file.name for file in (tmp_path / ".tachograph").iterdir()} >= {
            "audit.jsonl",
            "logs.jsonl",
            "metrics.bare.prom",
            "traces.jsonl",
        }

    @pytest.mark.skipif(
        any(importlib.util.find_spec(name) for name in ("fastapi", "rich", "uvicorn")),
        reason="the demo's extra is installed here; the environment `noextras` shows what happens without it",
    )
    def test_demo_says_what_to_install(self, tmp_path):
        """
        A command without its extra names the command that installs it.
        """
        done = run("-m", "tachograph", "demo", cwd=tmp_path)

        assert done.returncode == 2
        assert "pip install 'tachograph[demo]'" in done.stderr

    def test_importing_pulls_in_no_extra(self, tmp_path):
        """
        `import tachograph` imports no optional package and not the SDK.
        """
        names = (*EXTRAS, "opentelemetry.sdk")
        done = run("-c", f"import sys, tachograph; print([n for n in {names!r} if n in sys.modules])", cwd=tmp_path)

        assert done.stdout.strip() == "[]", done.stderr
