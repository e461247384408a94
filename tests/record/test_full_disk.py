"""A full disk stops a study with one sentence, and takes nothing from what was recorded before."""

import contextlib
import multiprocessing
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from test_store import run

from thalweg.record import Entry, RecipeRow, Store, StoreError

FULL = r"study\.db cannot be written: (disk I/O error|database or disk is full); what was recorded before is intact$"


def heavy(number):
    return run(str(number), seed=number, outcomes=np.full(1000, number, np.float32))


def assert_holds(store, count):
    """The first ``count`` records are there to the bit, and nothing else is."""
    assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = store.runs(curves=True, outcomes=True)
    assert kept.keys() == {str(number) for number in range(count)}
    for number in range(count):
        record = kept[str(number)]
        assert record.seed == number
        assert record.outcomes.tolist() == heavy(number).outcomes.tolist()
        assert record.curve.step.tolist() == heavy(number).curve.step.tolist()


def child(work, *arguments):
    """Run ``work(pipe, *arguments)`` in a process of its own and return what it sent."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    found = []
    with contextlib.suppress(EOFError):
        while True:
            found.append(ours.recv())
    process.join()
    ours.close()
    assert process.exitcode == 0
    return found


def filling(pipe, directory, limit):
    """Record until no file may grow; then read, and try again, with the same store."""
    store = Store(directory, write=True)
    store.begin({"task": 1}, [RecipeRow("a", "")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for number in range(1000):
        try:
            store.add_run(heavy(number))
        except StoreError as error:
            pipe.send(str(error))
            break
    assert_holds(store, number)
    with pytest.raises(StoreError, match=FULL):
        store.add_run(heavy(number))
    with pytest.raises(StoreError, match=FULL):
        store.put("text", "x" * limit)
    assert_holds(store, number)
    store.close()
    pipe.send(number)


@pytest.mark.parametrize("limit", [81_000, 100_000, 200_000, 333_333, 1_000_000])
def test_a_disk_that_fills_leaves_all_that_was_recorded(tmp_path, limit):
    sentence, count = child(filling, tmp_path, limit)
    with pytest.raises(StoreError, match=FULL):
        raise StoreError(sentence)
    with Store(tmp_path) as store:
        assert_holds(store, count)
        assert store.get("text") is None
    with Store(tmp_path, write=True) as store:  # once there is room
        store.add_run(heavy(count))
        assert_holds(store, count + 1)
        assert count > 0 or limit < 100_000


def test_each_way_of_writing_says_so_and_goes_on_when_there_is_room(tmp_path):
    text = "x" * 100_000
    with Store(tmp_path, write=True) as store:
        store.add_run(heavy(0))
        ways = {
            "begin": lambda: store.begin({"task": 1}, [RecipeRow(text, text)], [heavy(1)]),
            "add_run": lambda: store.add_run(run("1", seed=1, recipe=text, outcomes=heavy(1).outcomes)),
            "put": lambda: store.put("text", text),
            "add_entries": lambda: store.add_entries([Entry("tuning", text, 0, 0, "0")]),
        }
        for way in ways.values():
            pages = store._database.execute("PRAGMA page_count").fetchone()[0]
            store._database.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(StoreError, match=FULL):
                way()
            assert not store._database.in_transaction
            assert_holds(store, 1)
            assert store.get("task") is None
            assert store.recipes() == []
        store._database.execute("PRAGMA max_page_count = 1000000")
        ways["begin"]()
        ways["put"]()
        ways["add_entries"]()
        assert_holds(store, 2)
        assert len(store.entries()) == 1


def opening(pipe, directory, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    with pytest.raises(StoreError, match=r"study\.db cannot be opened: (disk I/O error|database or disk is full)$"):
        Store(directory, write=True)
    pipe.send("refused")


@pytest.mark.parametrize("limit", [0, 1000, 5000])
def test_a_study_that_cannot_begin_for_want_of_room_begins_when_there_is(tmp_path, limit):
    assert child(opening, tmp_path, limit) == ["refused"]
    with Store(tmp_path, write=True) as store:
        store.add_run(heavy(0))
        assert_holds(store, 1)


MOUNT = "mount -t tmpfs -o size={size} none {place}"
WRITE = "import sys; from thalweg.record import Store; Store(sys.argv[1], write=True).put('text', 'x' * 100_000)"
READ = "import sys; from thalweg.record import Store; print(len(Store(sys.argv[1]).finished()))"


def unshared(script):
    """Run a shell script in a name space of its own, in which it may mount; skip where there is none."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*words, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return subprocess.run([*words, script], capture_output=True, text=True, check=False)


def test_a_real_disk_that_is_full_is_said_to_be(tmp_path):
    """In memory: too small to open a study on it, and then to write one."""
    python = f"{sys.executable} -c"
    done = unshared(f"""
        {MOUNT.format(size="16k", place=tmp_path)} && {python} "{WRITE}" {tmp_path}/a
        mount -o remount,size=200k {tmp_path} && {python} "{WRITE}" {tmp_path}/a
        dd if=/dev/zero of={tmp_path}/b 2> /dev/null; {python} "{READ}" {tmp_path}/a; {python} "{WRITE}" {tmp_path}/a
    """)
    first, second, third = [line for line in done.stderr.splitlines() if "StoreError: " in line]
    assert first.endswith("a/study.db cannot be opened: disk I/O error (the disk is full)")
    assert second.endswith(
        "a/study.db cannot be written: database or disk is full; what was recorded before is intact"
    )
    assert third == second
    assert done.stdout == "0\n", "it can be read"


def test_a_study_is_read_where_nothing_can_be_written_and_the_sentence_says_why_it_cannot(tmp_path):
    with Store(tmp_path / "study", write=True) as store:
        store.add_run(heavy(0))
    python = f"{sys.executable} -c"
    done = unshared(f"""
        mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}
        {python} "{READ}" {tmp_path}/study; {python} "{WRITE}" {tmp_path}/study
    """)
    assert done.stdout == "1\n"
    assert done.stderr.splitlines()[-1].endswith("study cannot be written: Read-only file system")
