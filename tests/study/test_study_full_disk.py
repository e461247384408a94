"""A disk that is full ends a command with one sentence and exit code 2; where there is room, the same goes on."""

import contextlib
import io
import multiprocessing
import resource
import shlex
import shutil
import subprocess
import sys

import pytest
from killing import assert_same, recorded

from thalweg import cli
from thalweg.recipe import Together
from thalweg.record import Store
from thalweg.study import before, study
from thalweg.study.engines import local as engine_local
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan

STUDY = "compare wine --vary optimizer=sgd,adam --epochs 3 --trials 2 --seeds 3"
RECIPE = 'epochs = 12\n\n[optimizer]\nname = "adam"\n'


def limited(pipe, line, limit, seconds):
    """Type a command where no file may grow beyond so many bytes, and send its exit code and what it said."""

    class Local(engine_local.Local):
        def __init__(self, *given, **named):
            super().__init__(*given, **named, seconds=seconds)

    before.Local = Local
    study.make_plans = lambda task, named, protocol, *_: ({Together(batch_size=task.batch_size): PLAN}, protocol)
    sys.argv = ["thalweg", *shlex.split(line)]
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    pipe.send((code, out.getvalue(), err.getvalue()))


PLAN = Plan("vmapped", 16, 1e-3, 1e-3, "as said")


def typed(line, limit=0, seconds=60.0):
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=limited, args=(theirs, line, limit, seconds))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()
        ours.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A study that had room enough."""
    out = tmp_path_factory.mktemp("alone")
    assert typed(f"{STUDY} --processes 1 --out {out}")[0] == 0
    return out


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_study_whose_records_do_not_fit_is_one_sentence_and_keeps_what_it_has(alone, tmp_path, processes):
    line = f"{STUDY} --processes {processes} --out {tmp_path}"
    code, out, err = typed(line, 400_000)
    assert (code, out) == (2, "")
    last = f"thalweg: {tmp_path}/study.db cannot be written: disk I/O error; what was recorded before is intact"
    assert err.splitlines()[-1] == last
    assert "Traceback" not in err
    with Store(tmp_path) as store:
        before = store.runs()
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert 1 < len(before) < recorded(alone)
    assert typed(line)[0] == 0
    assert_same(tmp_path, alone)
    with Store(tmp_path) as store:
        after = store.runs()
    assert all(after[name].cpu_seconds == run.cpu_seconds for name, run in before.items())


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_study_whose_checkpoints_do_not_fit_is_one_sentence_and_goes_on(alone, tmp_path, monkeypatch, processes):
    whole, count = Checkpoints.save, [0]

    def save(self, *given):
        count[0] += 1
        if count[0] == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        whole(self, *given)

    line = f"{STUDY} --processes {processes} --out {tmp_path}"
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        code, out, err = typed(line, seconds=0)
    assert (code, out) == (2, "")
    last = f"thalweg: {tmp_path} cannot be written: File too large; what was recorded before is intact"
    assert err.splitlines()[-1] == last
    assert "Traceback" not in err
    assert Checkpoints(tmp_path).names()
    assert typed(line)[0] == 0
    assert_same(tmp_path, alone)


@pytest.mark.parametrize("limit", [40_000, 100_000, 200_000])
def test_a_single_run_that_does_not_fit_is_one_sentence_and_goes_on(tmp_path, limit):
    """Neither its file of records, nor all of them, nor its page."""
    (tmp_path / "adam.toml").write_text(RECIPE)
    whole, out = tmp_path / "whole", tmp_path / "out"
    line = f"train wine --recipe {tmp_path}/adam.toml --out "
    assert typed(f"{line}{whole}")[0] == 0
    code, said, err = typed(f"{line}{out}", limit)
    assert (code, said) == (2, "")
    assert err.splitlines()[-1].startswith(f"thalweg: {out}")
    assert "Traceback" not in err
    assert typed(f"{line}{out}")[0] == 0
    for name in ("weights.safetensors", "recipe.toml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert (out / "report.html").exists()


MOUNTS = "mount -t tmpfs -o size={size} none {place}"


def unshared(script):
    """Run a shell script in a name space of its own, in which it may mount."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["200k", "500k", "1500k"])
def test_a_disk_that_is_full_is_one_sentence_and_what_is_recorded_is_intact(tmp_path, size):
    """A real one, in memory; it grows, and the same command goes on. On the largest only the page does not fit."""
    disk, kept, grown = (tmp_path / name for name in ("disk", "kept", "grown"))
    disk.mkdir()
    if not shutil.which("unshare") or unshared(MOUNTS.format(size="1m", place=disk)).returncode:
        pytest.skip("nothing can be mounted here")
    command = f"{shlex.quote(sys.executable)} -m thalweg {STUDY} --processes 2 --out {disk}/study"
    done = unshared(f"""
        {MOUNTS.format(size=size, place=disk)} && ({command}; echo code $?) && cp -r {disk}/study {kept} &&
        mount -o remount,size=50m {disk} && ({command}; echo code $?) && cp -r {disk}/study {grown}
    """)
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == ["code 2", "code 0"], done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("thalweg: ")]
    assert said.startswith(f"thalweg: {disk}/study")
    assert "full" in said or "No space left on device" in said
    assert said.endswith("; what was recorded before is intact")
    assert "Traceback" not in done.stderr
    with Store(kept) as store, Store(grown) as whole:
        before, after = store.runs(), whole.runs()
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert whole.get("verdict") is not None
    assert before or size == "200k"
    assert before.keys() <= after.keys()
    assert all(after[name].cpu_seconds == run.cpu_seconds for name, run in before.items())
