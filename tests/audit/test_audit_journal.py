import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tachograph.audit import chain, entry, segment, verify
from tachograph.audit import journal as journal_module
from tachograph.audit.entry import Origin
from tachograph.audit.journal import Journal, JournalOptions
from tachograph.audit.segment import LockTimeout, open_segment
from tachograph.audit.tally import Tally
from tachograph.errors import AuditUnavailable
from tachograph.intake import AuditEvent

NOBODY = Origin("service:planner")


def made(number=0, name="config.change", **meta):
    event = AuditEvent(name, "UPDATE", "setting:model", meta={"n": number, **meta})
    return entry.make(
        event, NOBODY, entry_id=f"{os.getpid() % 10**8:08}{threading.get_ident() % 10**12:012}{number:012}"
    )


def events(path):
    return [json.loads(line)["event"] for line in path.read_bytes().splitlines()]


def numbers(path):
    said = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [each["meta"]["n"] for each in said if each["event"] == "config.change"]


def intact(path):
    report = verify.verify([str(path)])
    assert report.faults == []
    return report


def other(path, **given):
    return Journal(JournalOptions(path=path, **given))


def child(code, *args, **given):
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *map(str, args)], capture_output=True, text=True, timeout=120, **given
    )


PRELUDE = """
import os, signal, sys, threading, time
from pathlib import Path
from tachograph.audit import entry
from tachograph.audit.entry import Origin
from tachograph.audit.journal import Journal, JournalOptions
from tachograph.errors import AuditUnavailable
from tachograph.intake import AuditEvent
def made(n, **meta):
    event = AuditEvent("config.change", "UPDATE", "setting:model", meta={"n": n, **meta})
    return entry.make(event, Origin("service:child"), entry_id=os.urandom(16).hex())
path = Path(sys.argv[1])
journal = Journal(JournalOptions(path=path))
"""


class TestFirstRecord:
    def test_a_new_stream_begins_with_its_genesis(self, journal, path, lines):
        """
        The first line has number 1 and no line before it; the record follows it.
        """
        record = journal.append(made())
        first, second = lines(path)

        assert [*list(first)[:4], *list(first)[-2:]] == ["v", "seq", "stream", "ts", "meta", "hash"]
        assert (first["seq"], first["event"], first["meta"]["reason"]) == (1, "audit.segment.start", "genesis")
        assert (first["actor"], first["action"]) == ({"id": f"pid:{os.getpid()}", "type": "system"}, "AUDIT")
        assert first["resource"] == {"id": "audit.jsonl", "type": "file"}
        assert (second["seq"], second["prev"], second["hash"]) == (2, first["hash"], record.hash)
        assert record.line == path.read_bytes().splitlines()[1]
        assert journal.head == record.head

    def test_nothing_is_opened_before(self, journal, path):
        """
        Making a journal touches no file.
        """
        assert not path.exists()
        assert not journal.is_open
        assert journal.flush(1.0)
        assert journal.close(1.0)

    @pytest.mark.parametrize("mode", [0o600, 0o640])
    def test_the_file_has_its_mode_whatever_the_umask(self, path, mode):
        """
        The mode is what was asked for; the folder is made.
        """
        path = path.parent / "deep" / "er" / path.name
        before = os.umask(0o077)
        try:
            other(path, mode=mode).append(made())
        finally:
            os.umask(before)

        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_boot_is_left_out_where_there_is_none(self, monkeypatch):
        """
        A platform without a boot id says none.
        """

        def read_text(*_):
            raise FileNotFoundError

        monkeypatch.setattr(Path, "read_text", read_text)

        assert journal_module._boot.__wrapped__() == {}


class TestContinuing:
    def test_a_restart_goes_on_with_the_chain(self, path):
        """
        Another writer of the same file continues its numbers and says that it has begun.
        """
        for number in range(3):
            writer = other(path)
            writer.append(made(number))
            assert writer.close(1.0)

        assert numbers(path) == [0, 1, 2]
        assert events(path).count("audit.writer.start") == 2
        assert events(path).count("audit.writer.stop") == 3
        assert intact(path).running == {}

    def test_a_record_after_the_close_opens_the_file_again(self, journal, path):
        """
        No record is lost for coming late.
        """
        journal.append(made(0))
        journal.close(1.0)
        record = journal.append(made(1))

        assert record.seq == 5
        assert events(path)[2:4] == ["audit.writer.stop", "audit.writer.start"]
        assert intact(path).records == 5

    def test_two_writers_alternate(self, path):
        """
        Two writers that take turns make one chain.
        """
        writers = other(path), other(path)
        for number in range(20):
            assert writers[number % 2].append(made(number)).seq

        assert numbers(path) == list(range(20))
        intact(path)

    def test_one_start_a_writer(self, journal, path):
        """
        A writer says that it has begun once, however often it is asked to open.
        """
        journal.open()
        journal.open()
        journal.append(made())

        assert events(path) == ["audit.segment.start", "config.change"]

    def test_threads_and_processes_make_one_chain(self, path):
        """
        Four processes with two threads each: every record once, numbers without a gap.
        """
        code = """
def write(first):
    for n in range(first, first + 50):
        assert journal.append(made(n), required=True).seq
threads = [threading.Thread(target=write, args=(int(sys.argv[2]) + offset,)) for offset in (0, 50)]
[each.start() for each in threads]; [each.join() for each in threads]
assert journal.close(5)
"""
        command = [sys.executable, "-c", PRELUDE + code, str(path)]
        workers = [subprocess.Popen([*command, str(100 * each)], stderr=subprocess.PIPE) for each in range(4)]
        failures = [each.communicate(timeout=120)[1] for each in workers]

        assert failures == [b""] * 4
        assert sorted(numbers(path)) == list(range(400))
        report = intact(path)
        assert report.backwards == []
        assert report.running == {}


class TestTornTail:
    def damaged(self, path, tail):
        other(path).append(made(0))
        with path.open("ab") as file:
            file.write(tail)
        return path.read_bytes()

    @pytest.mark.parametrize(
        "tail", [b'{"v":1,"se', b"\0" * 5000, b"\n", b"rubbish\nmore\n", b"x" * 300_000, b"\n\nab"]
    )
    def test_damage_is_kept_and_declared(self, path, tail):
        """
        No evidence is deleted: the damaged bytes stay, and the next record says where they are.
        """
        before = self.damaged(path, tail)
        other(path).append(made(1))
        after = path.read_bytes()
        offset = len(before) - len(tail)
        recovered = next(json.loads(each) for each in after.splitlines() if b"audit.recovered" in each)
        at = recovered["meta"]

        assert after.startswith(before)
        assert at["offset"] == offset
        assert sha256(after[offset : offset + at["length"]]).hexdigest() == at["sha256"]
        assert after[offset + at["length"] - 1 : offset + at["length"]] == b"\n"
        assert recovered["seq"] == 3
        assert intact(path).recovered[0].offset == offset

    def test_a_line_without_its_newline_is_adopted(self, path):
        """
        A record that lost only its newline is a record.
        """
        other(path).append(made(0))
        path.write_bytes(path.read_bytes()[:-1])
        other(path).append(made(1))

        assert numbers(path) == [0, 1]
        assert "audit.recovered" not in events(path)
        intact(path)

    @pytest.mark.parametrize("rubbish", [b"no journal\n", b"none"])
    def test_a_file_of_nothing_but_damage_begins_a_stream(self, path, rubbish):
        """
        Where no line is good, the stream begins with the declaration of what stands before it.
        """
        path.write_bytes(rubbish)
        path.chmod(0o600)
        other(path).append(made(0))

        assert intact(path).records == 3
        assert path.read_bytes().startswith(rubbish)

    def test_any_cut_is_recovered(self, tmp_path):
        """
        Wherever a crash cuts the last line, the next writer goes on and nothing is a fault.
        """
        whole = tmp_path / "whole.jsonl"
        writer = other(whole)
        writer.append(made(0))
        writer.append(made(1))
        data = whole.read_bytes()
        last = data.rindex(b"\n", 0, -1) + 1
        for cut in range(last, len(data), 7):
            path = tmp_path / f"{cut}.jsonl"
            path.write_bytes(data[:cut])
            path.chmod(0o600)
            other(path).append(made(2))

            assert numbers_of_good_lines(path)[-1] == 2
            intact(path)

    def test_a_short_write_is_declared_by_the_same_writer(self, journal, path, monkeypatch):
        """
        A write that the disk cut short refuses the record; the next one declares the bytes and chains on.
        """
        journal.append(made(0))
        with monkeypatch.context() as patched:
            patched.setattr(segment.Segment, "write", short_write(40))
            with pytest.raises(AuditUnavailable) as caught:
                journal.append(made(1), required=True)
        journal.append(made(2))

        assert caught.value.errno == errno.ENOSPC
        assert numbers_of_good_lines(path) == [0, 2]
        assert len(intact(path).recovered) == 1

    def test_a_short_write_that_lost_the_newline_only_is_a_record(self, journal, path, monkeypatch):
        """
        A record that is in the file but for its newline is not refused.
        """
        with monkeypatch.context() as patched:
            patched.setattr(segment.Segment, "write", short_write(-1))
            assert journal.append(made(0))
        journal.append(made(1))

        assert numbers(path) == [0, 1]
        intact(path)

    def test_records_before_the_cut_of_a_batch_are_written(self, journal, path, monkeypatch):
        """
        Of a batch that was cut short, the whole lines count, the start of the writer too.
        """
        first = len(chain.seal(made(0), 1, "a" * 32, None).line)
        with monkeypatch.context() as patched:
            patched.setattr(segment.Segment, "write", short_write(-first // 2))
            assert journal.append(made(0)) is None
        journal.append(made(1))

        assert events_of_good_lines(path) == [
            "audit.segment.start",
            "audit.recovered",
            "audit.dropped",
            "config.change",
        ]
        intact(path)


def short_write(length):
    def write(self, data):
        return os.write(self.fd, data[:length])

    return write


def good_lines(path):
    return [json.loads(each) for each in path.read_bytes().splitlines() if chain.parse(each)]


def numbers_of_good_lines(path):
    return [each["meta"]["n"] for each in good_lines(path) if each["event"] == "config.change"]


def events_of_good_lines(path):
    return [each["event"] for each in good_lines(path)]


class TestReplacedFile:
    def test_a_deleted_file_is_begun_anew_with_the_same_chain(self, journal, path):
        """
        A writer that knows its head goes on behind it in a new file.
        """
        head = journal.append(made(0)).head
        path.unlink()
        journal.append(made(1))
        first, second = good_lines(path)

        assert (first["event"], first["meta"]["reason"]) == ("audit.segment.start", "missing")
        assert (first["seq"], first["prev"], first["stream"]) == (head.seq + 1, head.hash, head.stream)
        assert second["seq"] == head.seq + 2
        intact(path)

    def test_a_writer_that_stopped_still_knows_its_head(self, journal, path):
        """
        After a close, too, a missing file is no reason to begin at one.
        """
        journal.append(made(0))
        journal.close(1.0)
        path.unlink()

        assert journal.append(made(1)).seq == 6
        assert events(path) == ["audit.segment.start", "audit.writer.start", "config.change"]

    def test_a_renamed_file_is_followed_by_the_next(self, journal, path, tmp_path):
        """
        An external rotation is seamless: both files together are one chain.
        """
        journal.append(made(0))
        path.rename(tmp_path / "audit.1.jsonl")
        journal.append(made(1))
        report = verify.verify([str(tmp_path / "audit*.jsonl")])

        assert report.fault_count == 0
        assert report.records == 4

    def test_a_file_cut_back_is_declared(self, journal, path):
        """
        A tail lower than ours is a rollback, chained to what we wrote: the break stays visible.
        """
        for number in range(3):
            journal.append(made(number))
        head = journal.head
        keep = path.read_bytes().splitlines(keepends=True)[:2]
        path.write_bytes(b"".join(keep))
        record = journal.append(made(3))
        declared = next(each for each in good_lines(path) if each["event"] == "audit.rollback_detected")

        assert declared["prev"] == head.hash
        assert declared["meta"]["expected"] == {"seq": head.seq, "hash": head.hash}
        assert declared["meta"]["found"]["seq"] == 2
        assert record.seq == head.seq + 2
        assert verify.verify([str(path)]).fault_count == 1

    def test_a_last_line_rewritten_is_declared(self, journal, path):
        """
        The same number with another hash is a rollback, too.
        """
        journal.append(made(0))
        forger = chain.seal(made(9), 1, journal.head.stream, chain.parse(path.read_bytes().splitlines()[0]).head)
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + forger.line + b"\n")
        journal.append(made(1))

        assert "audit.rollback_detected" in events(path)
        assert verify.verify([str(path)]).exit_code == verify.BROKEN

    def test_a_file_of_nothing_but_rubbish_is_a_rollback(self, journal, path):
        """
        Where our lines were overwritten, that is said behind the rubbish.
        """
        journal.append(made(0))
        path.write_bytes(b"rubbish")
        journal.append(made(1))

        assert events_of_good_lines(path)[:2] == ["audit.recovered", "audit.rollback_detected"]
        assert good_lines(path)[1]["meta"]["found"] is None

    def test_a_file_replaced_all_the_time_is_given_up(self, journal, monkeypatch):
        """
        A path that never names the open file does not loop for ever.
        """
        monkeypatch.setattr(segment.Segment, "is_at", lambda *_: False)

        with pytest.raises(AuditUnavailable, match="replaced"):
            journal.append(made(0), required=True)

    def test_a_descriptor_closed_by_the_host_is_opened_again(self, journal, path):
        """
        A host that closes every descriptor loses no record, and what now has the number is left alone.
        """
        journal.append(made(0))
        fd = journal._segment.fd
        os.close(fd)
        assert journal.append(made(1))
        again = journal._segment.fd
        bystander = os.open(path.parent, os.O_RDONLY)
        os.dup2(bystander, again)
        try:
            assert journal.append(made(2))
            assert os.fstat(again).st_ino == os.fstat(bystander).st_ino
        finally:
            os.close(bystander)
            os.close(again)
        assert numbers(path) == [0, 1, 2]


class TestUnsafeFile:
    def test_a_symbolic_link_is_refused(self, journal, path, tmp_path):
        """
        A link does not lead the journal elsewhere.
        """
        path.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(AuditUnavailable):
            journal.append(made(), required=True)
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
    def test_a_file_that_others_may_write_is_refused(self, journal, path, mode):
        """
        What others may write proves nothing.
        """
        path.touch()
        path.chmod(mode)

        with pytest.raises(AuditUnavailable, match="may be written"):
            journal.append(made(), required=True)
        assert path.read_bytes() == b""

    def test_a_foreign_file_is_refused(self, journal, path, monkeypatch):
        """
        A file of another user is not ours to write.
        """
        path.touch(mode=0o600)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)

        with pytest.raises(AuditUnavailable, match="another user"):
            journal.append(made(), required=True)

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_what_is_no_file_is_refused(self, journal, path, make):
        """
        A pipe or a folder is refused at once.
        """
        make(path)

        with pytest.raises(AuditUnavailable):
            journal.append(made(), required=True)

    def test_a_path_that_appears_and_vanishes_is_given_up(self, path, monkeypatch):
        """
        Two others that create and delete the file do not hold us for ever.
        """

        def create(*_):
            raise FileExistsError

        monkeypatch.setattr(segment, "_create", create)

        with pytest.raises(OSError, match="appears and vanishes"):
            open_segment(path, 0o600)

    def test_a_file_that_cannot_be_finished_is_closed(self, path, monkeypatch):
        """
        A fault while creating leaves no descriptor open.
        """

        def fsync(_fd):
            raise OSError(errno.EIO, "gone")

        monkeypatch.setattr(os, "fsync", fsync)
        before = len(os.listdir("/proc/self/fd"))

        with pytest.raises(OSError, match="gone"):
            open_segment(path, 0o600)
        assert len(os.listdir("/proc/self/fd")) == before


class TestPolicies:
    @pytest.fixture
    def nowhere(self, tmp_path):
        """
        A path that cannot be written, until its folder is no file any more.
        """
        (tmp_path / "file").touch()
        return tmp_path / "file" / "audit.jsonl"

    def test_required_raises_with_the_cause(self, nowhere):
        """
        No record, no act: the error is an OSError with its cause and number.
        """
        tally = Tally()
        journal = Journal(JournalOptions(path=nowhere), tally=tally)

        with pytest.raises(AuditUnavailable) as caught:
            journal.append(made(), required=True)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value.__cause__, NotADirectoryError)
        assert caught.value.errno == errno.ENOTDIR
        assert tally.counts() == {("config.change", "refused"): 1}

    def test_optional_is_dropped_and_declared_afterwards(self, nowhere, capsys):
        """
        What was dropped is counted, said once, and declared in the chain before the next record.
        """
        tally = Tally()
        journal = Journal(JournalOptions(path=nowhere), tally=tally)
        assert [journal.append(made(n)) for n in range(3)] == [None] * 3
        nowhere.parent.unlink()
        journal.append(made(3))
        journal.append(made(4))

        assert events(nowhere) == ["audit.segment.start", "audit.dropped", "config.change", "config.change"]
        assert good_lines(nowhere)[1]["meta"]["count"] == 3
        assert good_lines(nowhere)[1]["meta"]["since"] < good_lines(nowhere)[1]["ts"]
        assert tally.counts()["config.change", "dropped"] == 3
        assert tally.counts()["config.change", "written"] == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_open_says_why_it_cannot(self, nowhere):
        """
        Opening what cannot be written raises.
        """
        with pytest.raises(NotADirectoryError):
            other(nowhere).open()

    def test_flush_and_close_are_truthful(self, journal, path, monkeypatch):
        """
        What is not on the disk is not said to be.
        """
        journal.append(made())
        monkeypatch.setattr(segment, "sync_data", broken_sync)

        assert not journal.flush(1.0)
        assert not journal.close(1.0)

    def test_a_fault_that_is_no_os_error_is_a_fault_of_the_record_only(self, journal, monkeypatch):
        """
        Whatever goes wrong, a record that is not required raises nothing.
        """

        def write(*_):
            raise ValueError("no")

        with monkeypatch.context() as patched:
            patched.setattr(segment.Segment, "write", write)
            assert journal.append(made()) is None
            with pytest.raises(AuditUnavailable) as caught:
                journal.append(made(), required=True)
        assert caught.value.errno == errno.EIO

    def test_unknown_events_are_counted_together_and_named_once(self, journal, capsys):
        """
        An event of no list is written, counted as other, and warned about once a name, for so many names.
        """
        journal = Journal(journal.options, tally=Tally())
        for number in range(300):
            assert journal.append(made(number, name=f"made.up.{number % 150}"))

        assert journal._tally.counts()["_OTHER", "written"] == 300
        assert capsys.readouterr().err.count("\n") == 100

    def test_disk_full_is_told_or_declared(self, tmp_path):
        """
        With a file size limit as a full disk: a required record raises, others are dropped and later declared.
        """
        path = tmp_path / "audit.jsonl"
        code = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
taken = [n for n in range(20) if journal.append(made(n))]
try:
    journal.append(made(99), required=True)
except AuditUnavailable as error:
    print("refused", error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
assert journal.append(made(100))
print(*taken)
"""
        done = child(code, path)
        refused, taken = done.stdout.splitlines()
        report = intact(path)

        assert done.returncode == 0
        assert refused.startswith("refused")
        assert numbers_of_good_lines(path) == [*map(int, taken.split()), 100]
        dropped = next(each for each in good_lines(path) if each["event"] == "audit.dropped")
        assert dropped["meta"]["count"] == 20 - len(taken.split())
        assert len(report.recovered) == 1


def broken_sync(_fd):
    raise OSError(errno.EIO, "the disk is gone")


class TestDurability:
    def test_every_acknowledged_record_survives_a_kill(self, tmp_path):
        """
        kill -9 in the middle: each record that was acknowledged is in the file, and the next writer goes on.
        """
        path = tmp_path / "audit.jsonl"
        code = """
def write(first):
    for n in range(first, first + 10**6):
        if journal.append(made(n), required=n % 10 == 0):
            os.write(1, b"%d\\n" % n)
for each in range(3):
    threading.Thread(target=write, args=(each * 10**6,), daemon=True).start()
time.sleep(60)
"""
        writer = subprocess.Popen([sys.executable, "-c", PRELUDE + code, str(path)], stdout=subprocess.PIPE)
        acknowledged = [int(writer.stdout.readline()) for _ in range(300)]
        writer.kill()
        acknowledged += [int(each) for each in writer.stdout.read().splitlines(keepends=True) if each.endswith(b"\n")]
        writer.stdout.close()
        writer.wait()
        other(path).append(made(10**9))

        assert set(acknowledged) <= set(numbers_of_good_lines(path))
        intact(path)

    def test_required_waits_for_a_sync_and_others_do_not(self, journal, monkeypatch):
        """
        Only who waits for the disk pays for it.
        """
        syncs = []
        here = threading.get_ident()  # a journal of another test may still sync in its own thread
        monkeypatch.setattr(segment, "sync_data", lambda fd: threading.get_ident() == here and syncs.append(fd))
        journal.append(made(0))
        assert syncs == []

        journal.append(made(1), required=True)
        assert len(syncs) == 1
        assert journal.flush(1.0)
        assert len(syncs) == 1

    def test_always_means_every_record(self, path, monkeypatch):
        """
        With a sync interval of 0 every record waits; a failing disk is then no reason to raise for an optional one.
        """
        syncs = []
        here = threading.get_ident()
        monkeypatch.setattr(segment, "sync_data", lambda fd: threading.get_ident() == here and syncs.append(fd))
        journal = other(path, sync=0.0)
        journal.append(made(0))
        journal.append(made(1))
        assert len(syncs) == 2

        monkeypatch.setattr(segment, "sync_data", broken_sync)
        assert journal.append(made(2))

    def test_the_background_syncs_what_nobody_waits_for(self, path, monkeypatch):
        """
        Within the interval a record is on the disk without anybody asking.
        """
        synced = threading.Event()
        monkeypatch.setattr(segment, "sync_data", lambda _fd: synced.set())
        journal = other(path, sync=0.01)
        for number in range(3):
            journal.append(made(number))

        assert synced.wait(30)
        journal.close(1.0)

    def test_a_failing_background_sync_is_said(self, path, monkeypatch, capsys):
        """
        An operator hears that records are not on the disk.
        """
        monkeypatch.setattr(segment, "sync_data", broken_sync)
        journal = other(path)
        journal.append(made(0))
        journal._sync_now()

        assert "not on the disk" in capsys.readouterr().err

    def test_a_file_whose_sync_failed_is_never_synced_again(self, journal, monkeypatch):
        """
        A sync after a failed one would succeed and mean nothing, so it is not asked.
        """
        journal.append(made(0))
        with monkeypatch.context() as patched:
            patched.setattr(segment, "sync_data", broken_sync)
            with pytest.raises(AuditUnavailable):
                journal.append(made(1), required=True)
        with pytest.raises(AuditUnavailable, match="earlier sync failed"):
            journal.append(made(2), required=True)
        assert journal.append(made(3))

    def test_one_sync_serves_all_who_wait(self, path, monkeypatch):
        """
        A sync that began after a write has ended acknowledges that write.
        """
        opened = open_segment(path, 0o600)
        syncs = []
        monkeypatch.setattr(segment, "sync_data", syncs.append)
        opened.write(b"a")
        opened.write(b"b")
        opened.sync(2)
        opened.sync(1)
        opened.close()
        opened.close()
        opened.sync(3)

        assert len(syncs) == 1


class TestTurns:
    def test_a_lock_not_had_refuses_what_is_required(self, journal, path, monkeypatch):
        """
        A required record does not wait for ever.
        """
        monkeypatch.setattr(journal_module, "REQUIRED_WAIT_S", 0.05)
        journal.append(made(0))
        holder = open_segment(path, 0o600)
        holder.lock(time.monotonic() + 5)
        with pytest.raises(AuditUnavailable) as caught:
            journal.append(made(1), required=True)
        holder.unlock()
        holder.close()
        journal.append(made(2))

        assert isinstance(caught.value.__cause__, LockTimeout)
        assert numbers(path) == [0, 2]

    def test_a_lock_not_had_leaves_the_rest_to_the_next_writer(self, journal, path):
        """
        A record that is not required waits in the queue, and the next writer takes it along.
        """
        journal.append(made(0))
        holder = open_segment(path, 0o600)
        holder.lock(time.monotonic() + 5)
        assert journal.append(made(1)) is None
        assert not journal.flush(0.01)
        holder.unlock()
        holder.close()
        journal.append(made(2))

        assert numbers(path) == [0, 1, 2]
        assert journal._tally.counts()["config.change", "written"] == 3
        intact(path)

    def test_a_full_queue_drops(self, journal, path, monkeypatch):
        """
        The queue is bounded: what does not fit is dropped and declared.
        """
        monkeypatch.setattr(journal_module, "OPTIONAL_WAIT_S", 0.0)
        monkeypatch.setattr(journal_module, "QUEUE_LIMIT", 2)
        journal.append(made(0))
        holder = open_segment(path, 0o600)
        holder.lock(time.monotonic() + 5)
        for number in range(1, 6):
            assert journal.append(made(number)) is None
        holder.unlock()
        holder.close()
        assert journal.flush(5.0)

        assert numbers(path) == [0, 1, 2]
        assert next(each for each in good_lines(path) if each["event"] == "audit.dropped")["meta"]["count"] == 3

    def test_what_was_left_and_then_failed_is_dropped(self, journal, path, monkeypatch):
        """
        A record left in the queue whose write fails later is counted once and declared.
        """
        monkeypatch.setattr(journal_module, "OPTIONAL_WAIT_S", 0.0)
        journal.append(made(0))
        holder = open_segment(path, 0o600)
        holder.lock(time.monotonic() + 5)
        journal.append(made(1))
        holder.unlock()
        holder.close()
        with monkeypatch.context() as patched:
            patched.setattr(segment.Segment, "write", short_write(0))
            assert journal.append(made(2)) is None
        journal.append(made(3))

        assert numbers(path) == [0, 3]
        assert good_lines(path)[-2]["meta"]["count"] == 2

    def test_the_background_writes_what_was_left(self, path):
        """
        A record left in the queue does not need another record to be written.
        """
        journal = other(path, sync=0.01)
        journal.append(made(0))
        holder = open_segment(path, 0o600)
        holder.lock(time.monotonic() + 5)
        assert journal.append(made(1)) is None
        holder.unlock()
        holder.close()
        waited = threading.Event()
        while not waited.wait(0.01) and len(events(path)) < 3:
            pass

        assert numbers(path) == [0, 1]
        journal.close(1.0)

    def test_closing_writes_what_was_left(self, journal, path, monkeypatch):
        """
        A close empties the queue before it says that the writer stopped.
        """
        monkeypatch.setattr(journal_module, "OPTIONAL_WAIT_S", 0.0)
        journal.append(made(0))
        holder = open_segment(path, 0o600)
        holder.lock(time.monotonic() + 5)
        journal.append(made(1))
        assert not journal.close(0.01)
        holder.unlock()
        holder.close()
        assert journal.close(5.0)

        assert events(path)[-2:] == ["config.change", "audit.writer.stop"]

    def test_a_busy_thread_makes_others_wait_only_so_long(self, journal, monkeypatch):
        """
        A thread stuck in the disk does not take the others with it.
        """
        monkeypatch.setattr(journal_module, "OPTIONAL_WAIT_S", 0.01)
        journal.append(made(0))
        taken, done = threading.Event(), threading.Event()

        def hold():
            with journal._turn_within(1.0):
                taken.set()
                done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait(30)
        assert journal.append(made(1)) is None
        done.set()
        thread.join()
        assert journal.flush(5.0)

    def test_one_thread_writes_for_all_that_queue(self, journal, path, monkeypatch):
        """
        Threads that queue while one writes are written together, each with its own answer.
        """
        journal.append(made(0))
        writes = []
        whole = segment.Segment.write

        def counted(self, data):
            writes.append(data.count(b"\n"))
            return whole(self, data)

        monkeypatch.setattr(segment.Segment, "write", counted)
        answers = {}
        with journal._turn:
            threads = [
                threading.Thread(target=lambda n=n: answers.update({n: journal.append(made(n), required=True)}))
                for n in range(1, 9)
            ]
            for each in threads:
                each.start()
            while len(journal._queue) < 8:
                time.sleep(0.001)
        for each in threads:
            each.join()

        assert writes == [8]
        assert {n: json.loads(record.line)["meta"]["n"] for n, record in answers.items()} == {n: n for n in range(1, 9)}
        intact(path)

    def test_a_signal_handler_may_record_while_its_thread_writes(self, journal, path, monkeypatch):
        """
        A record from inside a write neither hangs nor is lost; a required one is refused.
        """
        journal.append(made(0))
        whole = segment.Segment.write
        refused = []

        def interrupted(self, data):
            monkeypatch.setattr(segment.Segment, "write", whole)
            assert journal.append(made(2)) is None
            with pytest.raises(AuditUnavailable) as caught:
                journal.append(made(3), required=True)
            refused.append(caught.value)
            return whole(self, data)

        monkeypatch.setattr(segment.Segment, "write", interrupted)
        assert journal.append(made(1))
        assert journal.flush(5.0)

        assert numbers(path) == [0, 1, 2]
        assert len(refused) == 1

    def test_real_signals_and_finalizers_lose_nothing(self, tmp_path):
        """
        Under a timer that interrupts every millisecond and objects that record when they are freed, nothing hangs.
        """
        path = tmp_path / "audit.jsonl"
        code = """
import gc, itertools
numbers = itertools.count(10**6)
class Freed:
    def __init__(self): self.me = self
    def __del__(self): journal.append(made(next(numbers)))
gc.set_threshold(50)
handled = itertools.count(10**7)
signal.signal(signal.SIGALRM, lambda *_: journal.append(made(next(handled))))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for n in range(1500):
    Freed()
    journal.append(made(n))
signal.setitimer(signal.ITIMER_REAL, 0)
gc.collect()
assert journal.close(5)
print(next(numbers), next(handled))
"""
        done = child(code, path)
        assert done.stderr == ""
        freed, handled = map(int, done.stdout.split())

        written = set(numbers(path))
        assert written >= set(range(1500))
        assert written >= set(range(10**6, freed))
        assert written >= set(range(10**7, handled))
        intact(path)

    def test_an_interrupt_while_writing_is_not_swallowed(self, journal, path, monkeypatch):
        """
        Ctrl-C in the middle of a write propagates, and the next record is written.
        """

        def write(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(segment.Segment, "write", write)
            with pytest.raises(KeyboardInterrupt):
                journal.append(made(0))
        journal.append(made(1))

        assert numbers(path) == [1]


class TestFork:
    def test_a_child_has_its_own_descriptor_and_counts(self, tmp_path):
        """
        Children forked from busy threads write to the same chain, and count from zero.
        """
        path = tmp_path / "audit.jsonl"
        code = """
stop = threading.Event()
def busy():
    while not stop.is_set():
        journal.append(made(-1))
threads = [threading.Thread(target=busy) for _ in range(3)]
[each.start() for each in threads]
journal.append(made(0))
children = []
for number in range(1, 9):
    pid = os.fork()
    if pid == 0:
        assert journal.append(made(number), required=True)
        assert sum(journal._tally.counts().values()) == 2, journal._tally.counts()
        assert journal.close(5)
        os._exit(0)
    children.append(pid)
statuses = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
[each.join() for each in threads]
assert journal.close(5)
assert statuses == [0] * 8, statuses
"""
        done = child(code, path)

        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(number for number in numbers(path) if number >= 0) == list(range(9))
        report = intact(path)
        assert report.running == {}

    def test_a_child_forgets_what_is_its_parents(self, journal):
        """
        Queue, thread and drops stay with the parent.
        """
        journal.append(made(0))
        journal._dropped = 5
        inherited = journal._segment
        journal_module._after_fork()

        assert not journal.is_open
        assert journal._dropped == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(inherited.fd)
        inherited.abandon()
        assert journal.append(made(1)).seq == 4


class TestTail:
    def test_the_last_good_line_is_found_behind_any_damage(self):
        """
        However much rubbish follows, the search ends at the last good line, and reads no more than two windows at once.
        """
        first = chain.seal(made(0), 1, "a" * 32, None)
        second = chain.seal(made(1, blob="x" * 65_000), 1, "a" * 32, first.head)
        good = first.line + b"\n" + second.line + b"\n"
        for rubbish in (b"", b"\n" * 9, b"x" * 500_000, b"y\n" * 100_000, first.line[:-1]):
            data = good + rubbish
            asked = []

            def read(offset, length, data=data, asked=asked):
                asked.append(length)
                return data[offset : offset + length]

            tail = chain.find_tail(read, len(data), chain.Tail(None, 0))

            assert (tail.head, tail.end) == (second.head, len(good))
            assert max(asked) <= chain.WINDOW

    def test_what_is_known_is_not_read_again(self):
        """
        Nothing before the known end is read.
        """
        first = chain.seal(made(0), 1, "a" * 32, None)
        known = chain.Tail(first.head, 10**12)

        def read(offset, length):
            assert offset >= 10**12
            return b"rubbish"[offset - 10**12 :][:length]

        assert chain.find_tail(read, 10**12 + 7, known) == known

    def test_an_empty_file_has_no_tail(self):
        """
        Nothing has no last line.
        """
        assert chain.find_tail(lambda *_: b"", 0, chain.Tail(None, 0)) == chain.Tail(None, 0)
