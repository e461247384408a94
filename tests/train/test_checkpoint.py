"""A checkpoint comes back whole, to the bit, or is named: after kills, full disks, truncation and flipped bits."""

import contextlib
import errno
import json
import math
import multiprocessing
import os
import random
import re
import resource
import signal
import time
from collections import Counter

import pytest
import torch
from safetensors import safe_open

from thalweg.record import StoreError
from thalweg.train import checkpoint
from thalweg.train.checkpoint import DTYPES, Checkpoints

fork = multiprocessing.get_context("fork")


def state(number, values=300):
    """Return the tensors and facts of a run at one moment; no two moments are alike."""
    tensors = {
        "0.weight": torch.full((values,), float(number)), "0.bias": torch.arange(number, number + 7),
        "1.step": torch.tensor(number / 7, dtype=torch.float64),
    }  # fmt: skip
    return tensors, {"step": number, "member": {"seed": 3}}


def bits(tensor):
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def assert_same(found, kept):
    (tensors, facts), (others, theirs) = found, kept
    assert facts == theirs
    assert list(tensors) == list(others)
    for name, tensor in tensors.items():
        assert bits(tensor) == bits(others[name].resolve_conj().resolve_neg())


def files(directory):
    """Return the names of the files there."""
    return sorted(path.name for path in (directory / "checkpoints").iterdir())


def newest(directory, name="lane-3"):
    return max(
        (directory / "checkpoints").glob(f"{name}.*.safetensors"), key=lambda path: int(path.name.split(".")[1])
    )


def failing(code):
    """Return a function that fails as the system does."""

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("dtype", sorted(DTYPES, key=str))
def test_every_dtype_comes_back_to_the_bit(tmp_path, dtype):
    size = torch.empty((), dtype=dtype).element_size()
    raw = bytearray(random.Random(1).randbytes(12 * size))  # among floats, NaN with unusual bits
    if dtype == torch.bool:
        raw = bytearray(byte % 2 for byte in raw)
    values = torch.frombuffer(raw, dtype=dtype)
    tensors = {
        "two axes": values.reshape(3, 4),
        "none": values[5],
        "empty": values[:0].reshape(0, 4),
        "one": values[:1],
    }
    Checkpoints(tmp_path).save("lane-3", tensors, None)
    assert_same(Checkpoints(tmp_path).load("lane-3"), (tensors, None))


def test_a_dtype_that_no_safetensors_file_holds_is_refused(tmp_path):
    with pytest.raises(TypeError, match='tensor "z" is complex128, which a safetensors file cannot hold'):
        Checkpoints(tmp_path).save("lane-3", {"z": torch.zeros(2, dtype=torch.complex128)}, {})
    assert not list(tmp_path.iterdir())


def test_tensors_may_lie_in_memory_as_they_like(tmp_path):
    matrix = torch.arange(12.0).reshape(3, 4)
    weight = torch.nn.Parameter(torch.ones(2))
    tensors = {
        "turned": matrix.T, "row": matrix[1], "every other": matrix[:, ::2], "spread": torch.ones(1).expand(5),
        "tied": matrix, "tied too": matrix, "weight": weight, "conjugate": torch.tensor([1 + 2j]).conj(),
        "imaginary part": torch.tensor([1 + 2j, 3 - 1j]).conj().imag,
    }  # fmt: skip
    Checkpoints(tmp_path).save("lane-3", tensors, {})
    found, _ = Checkpoints(tmp_path).load("lane-3")
    assert_same((found, {}), ({name: tensor.detach() for name, tensor in tensors.items()}, {}))
    for tensor in found.values():
        assert type(tensor) is torch.Tensor
        assert not tensor.requires_grad


def test_what_is_loaded_owns_its_memory_where_torch_would_have_put_it(tmp_path):
    tensors = {f"{i}": torch.full((i,), float(i)) for i in range(1, 40)}
    Checkpoints(tmp_path).save("lane-3", tensors, {})
    found = Checkpoints(tmp_path).load("lane-3")
    newest(tmp_path).write_bytes(b"")
    assert_same(found, (tensors, {}))
    for tensor in found[0].values():
        assert tensor.data_ptr() % 64 == 0, "kernels may round differently elsewhere"
        tensor.resize_(100)  # memory lent by something else cannot grow


def test_facts_are_what_json_holds_and_nan(tmp_path):
    facts = {
        "nan": math.nan, "inf": [math.inf, -math.inf], "third": 1 / 3, "tiny": 5e-324, "minus": -0.0, "big": 2**80,
        "text": 'ü "\n\ud800', "none": None, "deep": {"": [True, {}]},
    }  # fmt: skip
    Checkpoints(tmp_path).save("lane-3", {}, facts)
    tensors, found = Checkpoints(tmp_path).load("lane-3")
    assert tensors == {}
    assert repr(found) == repr(facts)
    with pytest.raises(TypeError, match="not JSON serializable"):
        Checkpoints(tmp_path).save("lane-3", {}, {"set": {1}})
    assert len(files(tmp_path)) == 1


def test_any_reader_of_safetensors_opens_it(tmp_path):
    tensors, facts = state(4)
    Checkpoints(tmp_path).save("lane-3", tensors, facts)
    with safe_open(newest(tmp_path), framework="numpy") as file:
        assert sorted(file.keys()) == sorted(tensors)
        assert file.get_tensor("0.bias").tolist() == tensors["0.bias"].tolist()
        assert json.loads(file.metadata()["facts"]) == facts


def test_the_last_two_generations_stay_and_the_newest_is_loaded(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load("lane-3") is None
    assert checkpoints.names() == []
    for number in range(12):  # counts of one digit and of two
        checkpoints.save("lane-3", *state(number))
        assert_same(checkpoints.load("lane-3"), state(number))
    checkpoints.save("lane-10", *state(99))
    assert [name.rsplit(".", 2)[0] for name in files(tmp_path)] == ["lane-10.1", "lane-3.11", "lane-3.12"]
    assert all(re.fullmatch(r"lane-\d+\.\d+\.[0-9a-f]{32}\.safetensors", name) for name in files(tmp_path))
    again = Checkpoints(tmp_path)
    assert again.names() == ["lane-10", "lane-3"]
    assert_same(again.load("lane-3"), state(11))
    assert again.damaged == []
    again.remove("lane-3")
    again.remove("lane-3")
    assert again.load("lane-3") is None
    assert again.names() == ["lane-10"]


@pytest.mark.parametrize("name", ["", "Lane", "../lane", "lane.3", "lane_3", "lane\n"])
def test_names_that_could_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="made of lower-case letters, digits and hyphens"):
        Checkpoints(tmp_path).save(name, *state(0))
    with pytest.raises(ValueError, match="which safetensors uses itself"):
        Checkpoints(tmp_path).save("lane", {"__metadata__": torch.ones(1)}, {})
    assert not list(tmp_path.iterdir())


def test_other_files_are_let_alone(tmp_path):
    Checkpoints(tmp_path).save("lane-3", *state(0))
    folder = tmp_path / "checkpoints"
    strangers = ["notes.txt", "other.tmp", "model.safetensors", "lane-3.safetensors", "Lane-3.7.ab.safetensors"]
    for name in [*strangers, "lane-3.٣.ab.safetensors"]:
        (folder / name).write_text("mine")
    (folder / f"lane-3.8.{'a' * 32}.safetensors").mkdir()
    os.mkfifo(folder / f"lane-3.9.{'b' * 32}.safetensors")
    before = {name for name in files(tmp_path) if not name.startswith("lane-3.1.")}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("lane-3", *state(1))
    assert_same(checkpoints.load("lane-3"), state(1))
    assert checkpoints.names() == ["lane-3"]
    checkpoints.remove("lane-3")
    assert set(files(tmp_path)) == before
    assert checkpoints.damaged == []


# -- damage ------------------------------------------------------------------------------------------


def damages(content):
    """Yield 40 damaged versions: cut short, and with one bit flipped, everywhere in the file."""
    draw = random.Random(7)
    header = int.from_bytes(content[:8], "little")
    assert content[8 + header - 1 : 8 + header] == b" ", "the header is padded: the case this is for"
    lengths = [0, 1, 8, 8 + header, len(content) - 1, *(draw.randrange(len(content)) for _ in range(15))]
    places = [0, 7, 8, 8 + header // 2, 8 + header - 1, 8 + header, len(content) - 1]
    places += [draw.randrange(8 + header) for _ in range(6)] + [draw.randrange(len(content)) for _ in range(7)]
    assert (len(lengths), len(places)) == (20, 20)
    for length in lengths:
        yield content[:length]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        yield bytes(flipped)


def test_40_damaged_files_are_40_times_named_and_survived(tmp_path):
    for number in range(2):
        Checkpoints(tmp_path).save("lane-3", *state(number))
    path = newest(tmp_path)
    content = path.read_bytes()
    found = Counter()
    for damaged in damages(content):
        path.write_bytes(damaged)
        checkpoints = Checkpoints(tmp_path)
        assert_same(checkpoints.load("lane-3"), state(0))
        sentence = "checkpoint lane-3.2 is damaged (its checksum does not hold); the one before is used"
        assert checkpoints.damaged == [sentence]
        aside = path.with_name(f"{path.name}.damaged")
        assert aside.read_bytes() == damaged, "a person can look at it"
        assert_same(checkpoints.load("lane-3"), state(0))
        assert checkpoints.damaged == [sentence], "it is named once"
        aside.unlink()
        found["flipped" if len(damaged) == len(content) else "cut"] += 1
    print(f"{found['cut']} cut short and {found['flipped']} with one bit flipped were named and survived")
    assert found == {"cut": 20, "flipped": 20}
    path.write_bytes(content)
    assert_same(Checkpoints(tmp_path).load("lane-3"), state(1))


def test_the_count_goes_on_after_damage(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save("lane-3", *state(number))
    newest(tmp_path).write_bytes(b"")
    checkpoints.load("lane-3")
    checkpoints.save("lane-3", *state(2))
    assert_same(checkpoints.load("lane-3"), state(2))
    assert [name.split(".")[1] for name in files(tmp_path)] == ["1", "2", "3"]
    checkpoints.remove("lane-3")
    assert checkpoints.names() == []
    (left,) = files(tmp_path)
    assert left.endswith(".damaged")


def test_damage_to_both_generations_is_said(tmp_path):
    for number in range(2):
        Checkpoints(tmp_path).save("lane-3", *state(number))
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load("lane-3") is None
    why = "is damaged (its checksum does not hold)"
    assert checkpoints.damaged == [
        f"checkpoint lane-3.2 {why}, and so is the one before",
        f"checkpoint lane-3.1 {why}; there is none before it, and its runs begin anew",
    ]


def test_damage_that_cannot_be_put_aside_is_named_once_and_passed_by(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save("lane-3", *state(number))
    newest(tmp_path).write_bytes(b"")
    monkeypatch.setattr(os, "rename", failing(errno.EROFS))
    for _ in range(2):
        assert_same(checkpoints.load("lane-3"), state(0))
    assert len(checkpoints.damaged) == 1


def test_a_file_under_another_name_is_not_taken_for_it(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for name in ("lane-2", "lane-3"):
        checkpoints.save(name, *state(0))
    other, own = newest(tmp_path, "lane-2"), newest(tmp_path)
    other.rename(other.with_name(other.name.replace("lane-2.1.", "lane-3.4.")))
    own.with_name("lane-3.3.safetensors").write_bytes(own.read_bytes())
    own.with_name("lane-3.2.model.safetensors").write_bytes(own.read_bytes())
    assert_same(checkpoints.load("lane-3"), state(0))
    assert checkpoints.damaged == [
        "checkpoint lane-3.4 is damaged (it is lane-2.1 under another name), and so is the one before",
        "checkpoint lane-3.2 is damaged (its checksum does not hold); the one before is used",
    ]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"{}", b"\x02" + b"\0" * 7 + b"[]"])
def test_what_is_no_checkpoint_by_its_content_is_named(tmp_path, content):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"lane-3.1.{checkpoint._checksum(content)}.safetensors").write_bytes(content)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load("lane-3") is None
    assert "lane-3.1 is damaged (it is no checkpoint); there is none before it" in checkpoints.damaged[0]


def test_a_file_that_cannot_be_read_is_damaged_unless_it_is_for_want_of_descriptors(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("lane-3", *state(0))
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", failing(errno.EMFILE))
        with pytest.raises(StoreError, match="cannot be read: Too many open files"):
            checkpoints.load("lane-3")
    assert_same(checkpoints.load("lane-3"), state(0))
    monkeypatch.setattr("pathlib.Path.read_bytes", failing(errno.EIO))
    assert checkpoints.load("lane-3") is None
    assert "(it cannot be read: Input/output error)" in checkpoints.damaged[0]


# -- kills -------------------------------------------------------------------------------------------


def child(work, *arguments):
    """Run ``work(pipe, *arguments)`` in a process of its own; return the process and the pipe's other end."""
    ours, theirs = fork.Pipe()
    process = fork.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def received(pipe):
    """Return all that the dead process had sent."""
    found = []
    with contextlib.suppress(EOFError):
        while True:
            found.append(pipe.recv())
    pipe.close()
    return found


def saving(pipe, directory):
    checkpoints = Checkpoints(directory)
    for number in range(10_000):
        checkpoints.save("lane-3", *state(number, values=20_000))
        pipe.send(number)


def slowly_saving(pipe, directory):
    """Save with writes and flushes that take their time, each told before it begins."""
    write, fsync = os.write, os.fsync

    def slow_write(file, content):
        time.sleep(0.001)
        return write(file, content[:4000])

    def slow_fsync(file):
        time.sleep(0.02)
        fsync(file)

    os.write, os.fsync = slow_write, slow_fsync
    checkpoints = Checkpoints(directory)
    for number in range(10_000):
        pipe.send(("begins", number))
        checkpoints.save("lane-3", *state(number, values=20_000))
        pipe.send(number)


def assert_whole(directory, last):
    """Nothing is damaged or left over, and the last generation that was acknowledged, or a later one, is there."""
    checkpoints = Checkpoints(directory)
    assert not [name for name in files(directory) if name.endswith(".tmp")]
    found = checkpoints.load("lane-3")
    assert checkpoints.damaged == []
    if last is None and found is None:
        return
    number = found[1]["step"]
    assert number in ((0,) if last is None else (last, last + 1))
    assert_same(found, state(number, values=20_000))


def test_a_kill_at_random_moments_leaves_the_last_generation(tmp_path):
    draw = random.Random(5)
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        process, pipe = child(saving, tmp_path / str(i))
        assert pipe.poll(60)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert_whole(tmp_path / str(i), max(received(pipe)))


def stepping(pipe, directory, step):
    """Save thrice; at one of the system's calls, counted through, die, a write half done."""
    calls = {name: getattr(os, name) for name in ("mkdir", "open", "write", "fsync", "replace", "unlink")}
    count = 0

    def counted(name):
        def call(*arguments, **named):
            nonlocal count
            count += 1
            if count == step:
                if name == "write":
                    calls[name](arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return calls[name](*arguments, **named)

        return call

    checkpoints = Checkpoints(directory)
    for number in range(3):
        for name in calls:
            setattr(os, name, counted(name))
        checkpoints.save("lane-3", *state(number, values=20_000))
        for name, call in calls.items():
            setattr(os, name, call)
        pipe.send(number)


def test_a_kill_at_each_of_the_calls_of_the_system_leaves_the_last_generation(tmp_path):
    kills = 0
    for step in range(1, 100):
        directory = tmp_path / str(step)
        directory.mkdir()
        process, pipe = child(stepping, directory, step)
        process.join()
        acknowledged = received(pipe)
        if process.exitcode == 0:
            break
        kills += 1
        if (directory / "checkpoints").exists():
            assert_whole(directory, max(acknowledged, default=None))
    assert acknowledged == [0, 1, 2]
    # A folder made and flushed (3), thrice a file written and renamed and its folder flushed (6), a file removed.
    assert kills == 22


@pytest.mark.slow
def test_20_kills_inside_the_write_leave_the_last_generation(tmp_path):
    draw = random.Random(6)
    inside = 0
    tried = 0
    while inside < 20:
        tried += 1
        assert tried < 60
        directory = tmp_path / str(tried)
        directory.mkdir()
        process, pipe = child(slowly_saving, directory)
        begun = []
        while ("begins", 2) not in begun:
            begun.append(pipe.recv())
        time.sleep(draw.uniform(0, 0.06))
        process.kill()
        process.join()
        inside += any(name.endswith(".tmp") for name in files(directory))
        numbers = [message for message in begun + received(pipe) if isinstance(message, int)]
        assert_whole(directory, max(numbers))


def test_what_another_opening_took_for_a_leftover_is_written_again(tmp_path, monkeypatch):
    replace = os.replace

    def meanwhile(*arguments):
        monkeypatch.setattr(os, "replace", replace)
        Checkpoints(tmp_path)
        return replace(*arguments)

    monkeypatch.setattr(os, "replace", meanwhile)
    Checkpoints(tmp_path).save("lane-3", *state(0))
    assert_same(Checkpoints(tmp_path).load("lane-3"), state(0))


def test_a_name_is_removed_from_its_oldest_generation_on(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save("lane-3", *state(number))
    unlink = os.unlink

    def one(*arguments, **named):
        unlink(*arguments, **named)
        monkeypatch.setattr(os, "unlink", failing(errno.EIO))

    monkeypatch.setattr(os, "unlink", one)
    with pytest.raises(StoreError, match="cannot be written: Input/output error"):
        checkpoints.remove("lane-3")
    assert_same(checkpoints.load("lane-3"), state(1))


# -- directories that cannot be written --------------------------------------------------------------


def limited(pipe, directory, limit):
    checkpoints = Checkpoints(directory)
    checkpoints.save("lane-3", *state(0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        checkpoints.save("lane-3", *state(1))
    except StoreError as error:
        pipe.send((str(error), files(directory)))


@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_files_that_may_not_grow_are_said_in_one_sentence(tmp_path, limit):
    process, pipe = child(limited, tmp_path, limit)
    process.join()
    ((sentence, there),) = received(pipe)
    assert sentence == f"{tmp_path} cannot be written: File too large; what was recorded before is intact"
    assert len(there) == 1, "the earlier generation alone"
    assert_same(Checkpoints(tmp_path).load("lane-3"), state(0))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_disk_that_fails_is_said_in_one_sentence_and_costs_nothing_else(tmp_path, monkeypatch, call, code):
    checkpoints = Checkpoints(tmp_path)
    for number in range(2):
        checkpoints.save("lane-3", *state(number))
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(code))
        with pytest.raises(StoreError) as caught:
            checkpoints.save("lane-3", *state(2))
    intact = "; what was recorded before is intact" if code in (errno.ENOSPC, errno.EDQUOT) else ""
    assert str(caught.value) == f"{tmp_path} cannot be written: {os.strerror(code)}{intact}"
    assert files(tmp_path) == before
    assert_same(checkpoints.load("lane-3"), state(1))
    checkpoints.save("lane-3", *state(2))
    assert_same(checkpoints.load("lane-3"), state(2))


def test_a_disk_that_fills_in_the_middle_of_a_write_keeps_nothing_half(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("lane-3", *state(0))
    before = files(tmp_path)
    write, room = os.write, [500, 300]

    def filling(file, content):
        return write(file, content[: room.pop()]) if room else failing(errno.ENOSPC)()

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        with pytest.raises(StoreError, match="cannot be written: No space left on device"):
            checkpoints.save("lane-3", *state(1))
    assert files(tmp_path) == before
    room += [10**6, 500, 300]
    monkeypatch.setattr(os, "write", filling)
    checkpoints.save("lane-3", *state(1))
    assert_same(checkpoints.load("lane-3"), state(1))


def test_an_interruption_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(tmp_path).save("lane-3", *state(0))
    assert files(tmp_path) == []


def test_a_file_system_that_cannot_flush_folders_does(tmp_path, monkeypatch):
    fsync = os.fsync

    def regular_only(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 – a link to what is open
            failing(errno.EINVAL)()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", regular_only)
    Checkpoints(tmp_path).save("lane-3", *state(0))
    assert_same(Checkpoints(tmp_path).load("lane-3"), state(0))


def test_places_that_hold_no_folder_are_named(tmp_path):
    with pytest.raises(StoreError, match="nowhere cannot be written: No such file or directory"):
        Checkpoints(tmp_path / "nowhere").save("lane-3", *state(0))
    assert Checkpoints(tmp_path / "nowhere").load("lane-3") is None
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(StoreError, match="checkpoints cannot be read: Not a directory"):
        Checkpoints(tmp_path).save("lane-3", *state(0))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes anywhere")
def test_a_directory_that_may_only_be_read_is_read(tmp_path):
    for number in range(2):
        Checkpoints(tmp_path).save("lane-3", *state(number))
    newest(tmp_path).write_bytes(b"")
    (tmp_path / "checkpoints" / "lane-3.9.1.tmp").write_text("")
    before = files(tmp_path)
    (tmp_path / "checkpoints").chmod(0o500)
    try:
        checkpoints = Checkpoints(tmp_path)
        assert_same(checkpoints.load("lane-3"), state(0))
        assert_same(checkpoints.load("lane-3"), state(0))
        assert len(checkpoints.damaged) == 1
        for change in (lambda: checkpoints.save("lane-3", *state(2)), lambda: checkpoints.remove("lane-3")):
            with pytest.raises(StoreError, match="cannot be written: Permission denied"):
                change()
        assert files(tmp_path) == before
    finally:
        (tmp_path / "checkpoints").chmod(0o700)
