import argparse
import json
import runpy
from pathlib import Path

import pytest

from tachograph.audit import chain, entry, verify
from tachograph.audit.entry import Origin
from tachograph.cli import audit as command
from tachograph.intake import AuditEvent

STREAM = "b" * 32
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "verify_audit.py"


def made(number, phase=None, outcome="success", **meta):
    event = AuditEvent("agent.tool.call", "EXECUTE", "tool:shell", outcome=outcome, meta=meta)
    return entry.make(event, Origin("agent:planner"), entry_id=f"{number:032x}", phase=phase)


def own(name, number, **meta):
    return entry.own(name, pid=7, file="audit.jsonl", meta=meta, entry_id=f"{number:032x}")


def chained(entries, head=None, stream=STREAM, clock=lambda number: number * 10**9):
    records = []
    for number, each in enumerate(entries, 1):
        record = chain.seal(each, clock(number), stream, head)
        head = record.head
        records.append(record)
    return records


def written(path, records):
    path.write_bytes(b"".join(each.line + b"\n" for each in records))
    return path


@pytest.fixture
def records():
    return chained([own("audit.segment.start", 1, reason="genesis"), *(made(n) for n in range(2, 13))])


@pytest.fixture
def path(tmp_path, records):
    return written(tmp_path / "audit.jsonl", records)


def check(*paths, anchors=None):
    return verify.verify([str(each) for each in paths], anchors)


class TestTampering:
    def test_every_flipped_bit_is_detected(self, path):
        """
        No bit of the log can change unseen.
        """
        data = bytearray(path.read_bytes())
        for position in range(len(data) * 8):
            data[position // 8] ^= 1 << position % 8
            path.write_bytes(data)
            assert check(path).exit_code == verify.BROKEN, position
            data[position // 8] ^= 1 << position % 8
        path.write_bytes(data)
        assert check(path).exit_code == verify.INTACT

    def test_a_deleted_line_is_detected(self, path, records):
        """
        Every line but the last is missed; the last is missed by an anchor.
        """
        anchors = {(STREAM, 12): records[-1].hash}
        for gone in range(12):
            written(path, records[:gone] + records[gone + 1 :])
            assert check(path, anchors=anchors).exit_code == verify.BROKEN, gone

    def test_swapped_and_repeated_lines_are_detected(self, path, records):
        """
        The order is part of the chain.
        """
        for at in range(11):
            written(path, [*records[:at], records[at + 1], records[at], *records[at + 2 :]])
            assert check(path).exit_code == verify.BROKEN, at
            written(path, [*records[: at + 1], *records[at:]])
            assert check(path).exit_code == verify.BROKEN, at

    def test_an_inserted_line_with_a_good_hash_is_detected(self, path, records):
        """
        A line of another author does not fit between two lines.
        """
        for at in range(1, 12):
            forged = chain.seal(made(99), 1, STREAM, records[at - 1].head)
            written(path, [*records[:at], forged, *records[at:]])
            assert check(path).exit_code == verify.BROKEN, at

    def test_an_edit_with_a_new_hash_is_detected(self, path, records):
        """
        Who changes a line and computes its hash anew breaks the next line.
        """
        forged = chain.seal(made(99), 1, STREAM, records[4].head)
        report = check(written(path, [*records[:5], forged, *records[6:]]))

        assert [fault.text for fault in report.faults] == [
            "seq 7 does not continue the line before it: prev is not its hash"
        ]
        assert report.faults[0].offset == path.read_bytes().index(b'{"v":1,"seq":7')

    def test_a_chain_computed_anew_is_detected_by_an_anchor(self, path, records):
        """
        A rewritten log is consistent in itself; an anchor kept elsewhere tells.
        """
        written(path, chained([own("audit.segment.start", 1, reason="genesis"), *(made(n + 50) for n in range(2, 13))]))

        assert check(path).exit_code == verify.INTACT
        assert check(path, anchors={(STREAM, 7): records[6].hash}).exit_code == verify.BROKEN

    def test_another_stream_in_the_file_is_detected(self, path, records):
        """
        A stream does not begin in the middle of another.
        """
        written(path, [*records, *chained([made(1)], stream="c" * 32)])

        assert "another stream" in check(path).faults[0].text

    @pytest.mark.parametrize(
        ("head", "text"),
        [
            (chain.Head(STREAM, 4, "f" * 64), "the records before it are missing"),
            (chain.Head(STREAM, 0, "f" * 64), "names a line before it"),
        ],
    )
    def test_a_beginning_that_is_none_is_detected(self, path, head, text):
        """
        A file begins with the first line of a stream or of a segment.
        """
        assert text in check(written(path, chained([made(1)], head))).faults[0].text

    def test_a_later_line_without_the_one_before_is_detected(self, path, records):
        """
        Only the first line of a stream has no line before it.
        """
        line = records[4].line[:-75].replace(f',"prev":"{records[3].hash}"'.encode(), b"")
        digest = verify.sha256(line).hexdigest()
        path.write_bytes(line + f',"hash":"{digest}"}}\n'.encode())

        assert check(path).faults[0].text == "seq 5 names no line before it"

    @pytest.mark.parametrize("body", ['"event":"x","actor":{}', '"event":"x","actor":{]}'])
    def test_a_line_that_only_looks_like_one_is_detected(self, path, body):
        """
        A right hash does not make a record of what is not JSON or lacks its fields.
        """
        forged = chain.seal(entry.Entry("1" * 32, "x", body), 1, STREAM, None)

        assert check(written(path, [forged])).exit_code == verify.BROKEN

    def test_the_first_ten_faults_are_listed_and_all_are_counted(self, path, records):
        """
        A ruined file does not fill the screen or the memory.
        """
        path.write_bytes(b"rubbish\n" * 50 + b"x" * 200_000 + b"\n")
        report = check(path)

        assert [fault.offset for fault in report.faults] == list(range(0, 80, 8))
        assert report.fault_count == 50 + 4


class TestDamage:
    def test_declared_damage_is_no_fault(self, path, records):
        """
        Damage that the next record declares is listed, not held against the file.
        """
        whole = b"".join(each.line + b"\n" for each in records)
        damaged = b"to\nrn\n"
        declared = own(
            "audit.recovered", 99, offset=len(whole), length=len(damaged), sha256=verify.sha256(damaged).hexdigest()
        )
        path.write_bytes(whole + damaged + chain.seal(declared, 1, STREAM, records[-1].head).line + b"\n")
        report = check(path)

        assert (report.exit_code, len(report.recovered)) == (verify.INTACT, 1)
        path.write_bytes(path.read_bytes().replace(b"to\nrn", b"to\nrm"))
        assert check(path).exit_code == verify.BROKEN

    def test_a_torn_tail_is_a_fault_until_it_is_declared(self, path):
        """
        A file that ends in the middle of a line is not intact.
        """
        path.write_bytes(path.read_bytes()[:-5])

        assert "torn" in check(path).faults[0].text


class TestFiles:
    def test_segments_are_one_chain_in_any_order(self, tmp_path, records):
        """
        Segments named by a glob are put in order and checked against each other.
        """
        written(tmp_path / "z.jsonl", records[:4])
        written(tmp_path / "a.jsonl", records[4:])
        assert check(tmp_path / "*.jsonl").fault_count == 0

        written(tmp_path / "a.jsonl", records[5:])
        assert check(tmp_path / "*.jsonl").exit_code == verify.BROKEN

    def test_a_later_segment_alone_is_intact_but_not_anchored(self, path, records):
        """
        A segment may be checked by itself; that the ones before exist, only an anchor says.
        """
        start = own("audit.segment.start", 99, reason="rotated")
        written(path, chained([start, made(100)], records[-1].head))

        assert check(path).exit_code == verify.INTACT

    @pytest.mark.parametrize("name", ["missing.jsonl", "no*.jsonl", "."])
    def test_what_cannot_be_read_is_not_checked(self, tmp_path, name):
        """
        No such file is not the same as a good file.
        """
        with pytest.raises(verify.NotChecked):
            check(tmp_path / name)

    def test_two_streams_in_two_files_are_two_heads(self, tmp_path, records):
        """
        Journals of several services can be checked in one run, each anchored by itself.
        """
        one = written(tmp_path / "one.jsonl", records)
        two = written(tmp_path / "two.jsonl", chained([made(1)], stream="c" * 32))
        anchors = {(STREAM, 12): records[-1].hash}

        assert set(check(one, two).heads) == {STREAM, "c" * 32}
        assert check(one, anchors=anchors).exit_code == verify.INTACT_ANCHORED
        assert check(one, two, anchors=anchors).exit_code == verify.INTACT


class TestStory:
    def test_unfinished_actions_are_listed_by_id(self, path):
        """
        An intent without an outcome is named; one with an outcome is not.
        """
        finished = made(2, phase={"phase": "start"}, outcome="unknown")
        lost = made(3, phase={"phase": "start"}, outcome="unknown")
        end = made(4, phase={"phase": "end", "intent": finished.id})
        written(path, chained([own("audit.segment.start", 1, reason="genesis"), finished, lost, end]))

        assert check(path).unfinished == {lost.id: "agent.tool.call on tool:shell"}

    def test_the_memory_for_what_is_unfinished_is_bounded(self, path, monkeypatch):
        """
        A log of nothing but intents does not grow in memory.
        """
        monkeypatch.setattr(verify, "OPEN_LIMIT", 2)
        written(path, chained([made(n, phase={"phase": "start"}, outcome="unknown") for n in range(1, 9)]))

        assert len(check(path).unfinished) == 2

    def test_writers_without_a_stop_are_listed(self, path):
        """
        A writer that neither runs nor stopped has died.
        """
        stop = own("audit.writer.stop", 3, start=f"{1:032x}")
        start = own("audit.writer.start", 2)
        again = own("audit.segment.start", 4, reason="missing")
        written(path, chained([own("audit.segment.start", 1, reason="genesis"), start, stop, again]))

        assert check(path).running == {f"{2:032x}": "pid:7"}

    def test_time_going_backwards_is_listed(self, path):
        """
        A clock that was set back shows, without being a fault.
        """
        written(path, chained([made(1), made(2)], clock=lambda number: 10**18 - number))
        report = check(path)

        assert (len(report.backwards), report.fault_count) == (1, 0)


class TestAnchors:
    def test_heads_and_shipped_records_are_anchors(self, tmp_path, records):
        """
        Heads as printed, flat attributes and OTLP log records all vouch for a line.
        """
        names = verify._ANCHOR_NAMES[1]
        values = (STREAM, records[3].seq, records[3].hash)
        kinds = ("stringValue", "intValue", "stringValue")
        attributes = [
            {"key": key, "value": {kind: value}} for key, value, kind in zip(names, values, kinds, strict=True)
        ]
        anchors = tmp_path / "anchors.jsonl"
        anchors.write_text(
            "\n".join(
                map(
                    json.dumps,
                    [
                        {"stream": STREAM, "seq": 12, "hash": records[11].hash},
                        dict(zip(names, (STREAM, 3, records[2].hash), strict=True)),
                        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}]}]}]},
                        {"other": 1},
                    ],
                )
            )
            + "\n\n"
        )

        assert verify.read_anchors(anchors) == {(STREAM, n): records[n - 1].hash for n in (12, 3, 4)}

    def test_an_anchor_behind_the_end_is_a_fault(self, path):
        """
        What was cut off at the end is missed by who knows its number.
        """
        assert "end at 12" in check(path, anchors={(STREAM, 13): "f" * 64}).faults[0].text

    def test_what_no_anchor_vouches_for_is_said(self, path, records):
        """
        The records behind the last anchor are counted.
        """
        report = check(path, anchors={(STREAM, n): records[n - 1].hash for n in (9, 4)})

        assert report.unanchored == {STREAM: 3}
        assert report.exit_code == verify.INTACT_ANCHORED

    @pytest.mark.parametrize("text", ["{", '{"stream":"a","seq":"x","hash":"b"}', None])
    def test_anchors_that_cannot_be_read_are_not_ignored(self, tmp_path, text):
        """
        Nothing is said to be anchored by a file that says nothing.
        """
        anchors = tmp_path / "anchors.jsonl"
        if text is not None:
            anchors.write_text(text)

        with pytest.raises(verify.NotChecked):
            verify.read_anchors(anchors)


class TestCommand:
    @pytest.fixture
    def run(self, capsys):
        parser = argparse.ArgumentParser()
        command.register(parser.add_subparsers())

        def run(*arguments):
            args = parser.parse_args(["audit", *map(str, arguments)])
            code = args.handler(args)
            said = capsys.readouterr()
            return code, said.out, said.err

        return run

    def test_exit_codes_say_what_was_found(self, run, path, tmp_path):
        """
        0 intact and anchored, 1 broken, 2 intact without anchors, 3 not checked.
        """
        assert run("verify", path)[0] == 2
        code, heads, _ = run("heads", path)
        (tmp_path / "heads.jsonl").write_text(heads)
        assert code == 0
        assert run("verify", path, "--anchors", tmp_path / "heads.jsonl")[0] == 0
        assert run("verify", path, "--anchors", tmp_path / "none.jsonl")[0] == 3
        assert run("verify", tmp_path / "none")[0] == 3
        assert run("heads", tmp_path / "none")[0] == 3
        assert run("tail", tmp_path / "none")[0] == 3
        path.write_bytes(path.read_bytes().replace(b"shell", b"spell"))
        assert run("verify", path)[0] == 1
        code, _, error = run("heads", path)
        assert code == 1
        assert error.count("\n") == 10

    def test_the_report_says_everything(self, run, path, records):
        """
        Faults, recovered bytes, time, unfinished actions, writers and heads are printed.
        """
        lost = made(20, phase={"phase": "start"}, outcome="unknown")
        whole = b"".join(each.line + b"\n" for each in records)
        declared = own("audit.recovered", 21, offset=len(whole), length=2, sha256=verify.sha256(b"x\n").hexdigest())
        more = chained([declared, lost], records[-1].head, clock=lambda _: 1)
        path.write_bytes(whole + b"x\n" + b"".join(each.line + b"\n" for each in more) + b"y\n" * 20)
        _, out, _ = run("verify", path)

        for word in ("BROKEN", "fault", "and 10 more", "recovered", "time", f"unfinished {lost.id}", "no stop", "head"):
            assert word in out

    def test_tail_prints_the_last_lines(self, run, path):
        """
        The last records stand as they are in the file.
        """
        _, out, _ = run("tail", path, "-n", 2)

        assert out.encode() == b"".join(path.read_bytes().splitlines(keepends=True)[-2:])

    def test_without_a_path_the_configured_journal_is_checked(self, run, path, monkeypatch):
        """
        An operator need not know where the journal is.
        """
        monkeypatch.setenv("TACHOGRAPH_AUDIT_FILE", str(path))

        assert run("verify")[0] == 2
        assert run("tail")[0] == 0


class TestExample:
    @pytest.fixture
    def example(self):
        return runpy.run_path(str(EXAMPLE))["check"]

    def test_the_documented_verifier_agrees(self, example, path, records):
        """
        Forty lines of standard library find a changed, missing, foreign or torn line, and nothing in a good file.
        """
        data = path.read_bytes()
        assert list(example(path)) == []
        for bad in (
            data.replace(b"shell", b"spell", 1),
            data[:-3],
            data.replace(records[3].line + b"\n", b""),
            data + b"x\n",
        ):
            path.write_bytes(bad)
            assert len(list(example(path))) >= 1
        declared = own("audit.recovered", 9, offset=len(data), length=2, sha256=verify.sha256(b"x\n").hexdigest())
        path.write_bytes(data + b"x\n" + chain.seal(declared, 1, STREAM, records[-1].head).line + b"\n")
        assert list(example(path)) == []

    def test_it_is_short(self):
        """
        An auditor can read it.
        """
        assert len(EXAMPLE.read_text().splitlines()) <= 40
