import threading
from pathlib import Path

import pytest
from prometheus_support import Bench, read

from tachograph.contain import faults
from tachograph.scrape import textfile
from tachograph.scrape.textfile import TextfileWriter, write_textfile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics" / "tachograph.prom"


@pytest.fixture
def bench():
    made = Bench()
    made.calls = made.meter.create_counter("calls")
    return made


class TestFile:
    def test_it_is_replaced_in_one_step(self, path):
        """Readable by everybody, and nothing else is left in its folder."""
        write_textfile(path, [b"one 1\n"])
        write_textfile(str(path), [b"two 2\n", b"three 3\n"])
        assert path.read_bytes() == b"two 2\nthree 3\n"
        assert path.stat().st_mode & 0o777 == 0o644
        assert list(path.parent.iterdir()) == [path]

    def test_a_failure_leaves_the_old_file(self, path):
        """And no temporary one."""

        def failing():
            yield b"half"
            raise OSError("full")

        write_textfile(path, [b"old 1\n"])
        with pytest.raises(OSError, match="full"):
            write_textfile(path, failing())
        assert path.read_bytes() == b"old 1\n"
        assert list(path.parent.iterdir()) == [path]


class TestWriter:
    def test_a_flush_writes_now(self, bench, path):
        """And says that it has."""
        bench.calls.add(1)
        assert TextfileWriter(bench.reader, path, 60).flush() is True
        assert "calls" in read(path.read_text())

    def test_there_is_no_file_without_anything_to_say(self, bench, path):
        """A target alone is nothing, and nothing is missing."""
        bench.meter.create_observable_gauge("quiet", callbacks=[lambda _: []])
        assert TextfileWriter(bench.reader, path, 60).flush() is True
        assert not path.exists()

    def test_it_writes_every_interval(self, bench, path, monkeypatch):
        """From a thread of its own that starting twice does not double."""
        written = threading.Semaphore(0)
        replace = textfile.write_textfile

        def noted(*args):
            replace(*args)
            written.release()

        monkeypatch.setattr(textfile, "write_textfile", noted)
        bench.calls.add(1)
        writer = TextfileWriter(bench.reader, str(path), 0.001)
        writer.start()
        writer.start()
        assert [written.acquire(timeout=20) for _ in range(3)] == [True] * 3
        assert [thread.name for thread in threading.enumerate()].count("tachograph-textfile") == 1
        writer.shutdown()

    def test_shutdown_writes_a_last_time(self, bench, path):
        """Once, whatever the interval; nothing starts afterwards."""
        writer = TextfileWriter(bench.reader, path, 3600)
        writer.start()
        bench.calls.add(7)
        writer.shutdown()
        assert read(path.read_text())["calls"].samples[0].value == 7
        bench.calls.add(1)
        writer.shutdown()
        writer.start()
        assert read(path.read_text())["calls"].samples[0].value == 7

    def test_shutdown_works_where_no_thread_can_be_started(self, bench, path, monkeypatch):
        """At the end of the interpreter."""

        def refuse(thread):
            raise RuntimeError

        bench.calls.add(1)
        writer = TextfileWriter(bench.reader, path, 3600)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        writer.shutdown()
        assert path.exists()

    def test_shutdown_does_not_wait_for_a_disk_that_hangs(self, bench, path, monkeypatch):
        """The last write has a limit."""
        go, gone = threading.Event(), threading.Event()

        def hang(*args):
            go.wait(20)
            gone.set()

        monkeypatch.setattr(textfile, "write_textfile", hang)
        bench.calls.add(1)
        TextfileWriter(bench.reader, path, 3600).shutdown(0.01)
        assert not gone.is_set()
        go.set()
        assert gone.wait(20)

    def test_a_failing_disk_is_said_once_and_tried_again(self, bench, path, capsys):
        """It may come back."""
        bench.calls.add(1)
        path.parent.parent.joinpath("metrics").write_text("in the way")
        writer = TextfileWriter(bench.reader, path, 60)
        assert [writer.flush(), writer.flush()] == [False, False]
        assert capsys.readouterr().err.count("cannot write ") == 1
        Path(path.parent).unlink()
        assert writer.flush() is True

    def test_a_failing_reader_is_counted(self, path):
        """The writer goes on."""
        before = faults().get("scrape.textfile", 0)
        assert TextfileWriter(None, path, 60).flush() is False
        assert faults()["scrape.textfile"] == before + 1

    def test_a_child_writes_from_a_thread_of_its_own(self, bench, path):
        """Its parent's thread and locks are not there; its own thread comes with the first flush."""
        bench.calls.add(1)
        writer = TextfileWriter(bench.reader, path, 3600)
        writer.start()
        parent, stop = writer._thread, writer._stopped
        with writer._starting, writer._writing:
            writer.after_fork()
        assert writer.flush() is True
        assert writer._thread is not parent
        assert writer._thread.is_alive()
        stop.set()
        parent.join()
        writer.shutdown()
