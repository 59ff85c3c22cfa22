"""Importing does nothing: no file, no thread, no reading of settings, no SDK and no extra."""

import json
from pathlib import Path

import pytest

from support.processes import python

pytestmark = pytest.mark.e2e

WATCH = """
import collections.abc, json, os, sys, threading

seen = {"written": [], "threads": [], "read": [], "sockets": []}

def our_frame():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] == "tachograph":
            return name
        if name.startswith("opentelemetry"):
            return None
        frame = frame.f_back
    return None

class Watched(collections.abc.MutableMapping):
    def __init__(self, environ):
        self._environ = environ
    def __getitem__(self, key):
        if isinstance(key, str) and key.startswith(("OTEL_", "TACHOGRAPH_")) and (name := our_frame()):
            seen["read"].append(f"{name}: {key}")
        return self._environ[key]
    def __setitem__(self, key, value):
        seen["read"].append(f"sets {key}")
        self._environ[key] = value
    def __delitem__(self, key):
        del self._environ[key]
    def __iter__(self):
        return iter(self._environ)
    def __len__(self):
        return len(self._environ)

def audit(event, args):
    if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        mode, flags = args[1] or "", args[2] or 0
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(str(mode)) & set("wax+")
        if writes and ".pyc" not in os.fsdecode(args[0]):
            seen["written"].append(os.fsdecode(args[0]))
    elif event in ("os.mkdir", "os.rename", "os.remove"):
        if "__pycache__" not in os.fsdecode(args[0]):
            seen["written"].append(f"{event} {args[0]}")
    elif event == "_thread.start_new_thread":
        seen["threads"].append(str(args[0]))
    elif event.startswith("socket."):
        seen["sockets"].append(event)

os.environ = Watched(os.environ)
os.getenv = lambda key, default=None: os.environ.get(key, default)
sys.addaudithook(audit)
WHAT
found = {key: list(value) for key, value in seen.items()}
found["threads"] += [t.name for t in threading.enumerate() if t is not threading.main_thread()]
found["modules"] = sorted(sys.modules)
print(json.dumps(found))
"""

EXTRAS = (
    "fastapi",
    "flask",
    "django",
    "celery",
    "httpx",
    "requests",
    "rich",
    "uvicorn",
    "yaml",
    "jsonschema",
    "starlette",
)
LATER = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation", "prometheus_client", "grpc")


def watched(what: str, at: Path) -> dict[str, list[str]]:
    ended = python(
        WATCH.replace("WHAT", what), at=at, OTEL_SERVICE_NAME="x", TACHOGRAPH_STRICT="1", PYTHONDONTWRITEBYTECODE="1"
    )
    found: dict[str, list[str]] = ended.said
    assert ended.stderr == ""
    return found


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return watched("import tachograph", tmp_path_factory.mktemp("import"))


class TestImport:
    @pytest.mark.parametrize("what", ["written", "threads", "read", "sockets"])
    def test_it_leaves_no_trace(self, imported: dict[str, list[str]], what: str) -> None:
        """
        `import tachograph` writes nothing, starts no thread, reads no variable of ours, opens no socket.
        """
        assert imported[what] == []

    @pytest.mark.parametrize("family", [*EXTRAS, *LATER])
    def test_it_imports_little(self, imported: dict[str, list[str]], family: str) -> None:
        """
        `import tachograph` imports neither the SDK, nor an exporter, nor an extra.
        """
        assert [name for name in imported["modules"] if name == family or name.startswith(f"{family}.")] == []

    def test_the_watch_sees_what_it_looks_for(self, tmp_path: Path) -> None:
        """
        The same watch reports what `configure` does, so that its silence above means something.
        """
        record = "tachograph.audit.record('config.change', action='X', resource='a:b')"
        found = watched(f"import tachograph; tachograph.configure(); {record}", tmp_path)

        assert any(path.endswith("audit.jsonl") for path in found["written"])
        assert any("TACHOGRAPH_STRICT" in read for read in found["read"])
        assert found["threads"]
        assert "opentelemetry.sdk" in found["modules"]

    def test_operations_work_before_and_without_configure(self, tmp_path: Path) -> None:
        """
        Without `configure` the operations run the app's block and leave no file; `audit.record` opens the journal.
        """
        code = (
            "import tachograph as t, os, json\n"
            "with t.plan('p'), t.agent('a'), t.tool_call('x', effect='destructive'), t.llm_call('o', 'm'):\n"
            "    before = os.path.exists('.tachograph')\n"
            "t.audit.record('config.change', action='UPDATE', resource='a:b')\n"
            "print(json.dumps([before, os.listdir('.tachograph')]))"
        )
        ended = python(code, at=tmp_path)

        assert json.loads(ended.stdout) == [False, ["audit.jsonl"]]
        assert [record["event"] for record in ended.audit] == ["config.change"]
        assert ended.stderr == ""
