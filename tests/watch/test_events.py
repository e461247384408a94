"""Event files against the published layout, and read back by a reader written apart from the writer."""

import math
import struct

import pytest

from thalweg.watch.events import Events, _crc32c, _safe, event_file
from thalweg.watch.reader import Reader


def fields(data):
    """Yield (field, value) of a message in protocol buffers."""
    at = 0

    def whole():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = whole()
        match key & 7:
            case 0:
                yield key >> 3, whole()
            case 1:
                yield key >> 3, struct.unpack("<d", data[at : at + 8])[0]
                at += 8
            case 5:
                yield key >> 3, struct.unpack("<f", data[at : at + 4])[0]
                at += 4
            case 2:
                length = whole()
                yield key >> 3, data[at : at + length]
                at += length


def records(content):
    """Yield the records of an event file; its checksums are those of Castagnoli's polynomial, bit by bit."""

    def crc(data):
        rest = 0xFFFFFFFF
        for bit in (byte >> i & 1 for byte in data for i in range(8)):
            rest = rest >> 1 ^ 0x82F63B78 * ((rest ^ bit) & 1)
        rest ^= 0xFFFFFFFF
        return ((rest >> 15 | rest << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32

    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert struct.unpack("<I", content[8:12])[0] == crc(content[:8])
        data = content[12 : 12 + length]
        assert struct.unpack("<I", content[12 + length : 16 + length])[0] == crc(data)
        yield data
        content = content[16 + length :]


def scalars(content):
    first, *rest = (dict(fields(data)) for data in records(content))
    assert first[3] == b"brain.Event:2"
    for event in rest:
        value = dict(fields(dict(fields(event[5]))[1]))
        yield event[2], value[1].decode(), value[2]


def test_the_checksum_is_the_published_one():
    """RFC 3720, appendix B.4, and the usual check value."""
    assert _crc32c(b"123456789") == 0xE3069283
    assert _crc32c(bytes(32)) == 0x8A9136AA
    assert _crc32c(bytes([255] * 32)) == 0x62A8AB43
    assert _crc32c(bytes(range(32))) == 0x46DD794E


def test_scalars_come_back_as_they_were():
    given = [(0, "a/ü", 0.5), (300, "b", -1.25), (10**9, "c", math.pi)]
    back = list(scalars(event_file(given, 12.5)))
    assert [x[:2] for x in back] == [x[:2] for x in given]
    assert [x[2] for x in back] == pytest.approx([x[2] for x in given], rel=1e-6)


def test_runs_are_written_once_each_in_folders_of_their_own(written, tmp_path):
    study = written(names=("../up", "<script>"))
    study.add("../up", repeat=0, valid=0.6)
    study.add("<script>", repeat=1, status="failed", reason="x", valid=float("nan"))
    reader, logs = Reader(study.directory), Events(tmp_path / "logs")
    reader.read(0)
    assert logs.write(reader.runs, reader.entries, "accuracy") == 2
    assert logs.write(reader.runs, reader.entries, "accuracy") == 0
    assert Events(tmp_path / "logs").write(reader.runs, reader.entries, "accuracy") == 0
    study.add("../up", repeat=2)
    reader.read(0)
    assert logs.write(reader.runs, reader.entries, "accuracy") == 1
    files = sorted((tmp_path / "logs").rglob("*tfevents*"))
    assert len(files) == 3
    assert {f.relative_to(tmp_path / "logs").parts[0] for f in files} == {"_up", "_script_"}
    (first,) = [f for f in files if "chosen-0-0" in str(f)]
    found = list(scalars(first.read_bytes()))
    valid = [(step, value) for step, tag, value in found if tag == "accuracy/valid"]
    assert [step for step, _ in valid] == [0, 10, 20, 30]
    assert [value for _, value in valid] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert [step for step, tag, _ in found if tag == "loss/train"] == [10, 20, 30]
    assert {tag for _, tag, _ in found} >= {"end/accuracy/test", "end/accuracy/train", "end/accuracy/valid"}


def test_two_runs_never_share_a_folder(written, tmp_path):
    study = written(names=("a/b", "a_b"))
    for name in ("a/b", "a_b"):
        study.add(name)
    reader = Reader(study.directory)
    reader.read(0)
    reader.runs = {f"{i}-{name}": run for i, (name, run) in enumerate(reader.runs.items())}
    entries = [type(e)(e.arm, e.recipe, e.setting, e.repeat, f"{i}-{e.run}") for i, e in enumerate(reader.entries)]
    assert Events(tmp_path / "logs").write(reader.runs, entries, "accuracy") == 2


@pytest.mark.parametrize(("name", "safe"), [("adam", "adam"), ("..", "recipe"), ("a >> b", "a __ b"), ("", "recipe")])
def test_names_are_those_of_one_folder(name, safe):
    assert _safe(name) == safe
