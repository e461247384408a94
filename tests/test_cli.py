"""The command line as one types it: what each command leaves, and one sentence for every mistake."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from safetensors.torch import load_file

from thalweg import cli, optim
from thalweg.catalogue import KINDS
from thalweg.cli import commands
from thalweg.recipe import Recipe
from thalweg.record import Store
from thalweg.task import builtin_tasks

SMALL = "--trials 1 --seeds 2 --epochs 1 --processes 1"
STUDY = f"compare wine --vary optimizer=sgd,adam {SMALL}"

ROWS = [f"{i % 7},{i * i % 11},{'red' if i % 3 else 'white'},{i / 8}" for i in range(30)]
TASK = """\
import torch
import thalweg as tw
from torch import nn

x = torch.randn(60, 4)
y = (x[:, 0] > 0).long()
"""
TASK_END = "loss=nn.functional.cross_entropy, metric=tw.accuracy)\n"
FILES = {
    "wines.csv": "\n".join(["acid,sugar,colour,price", *ROWS]),
    "empty.csv": "",
    "one_class.csv": "\n".join(["acid,sugar,colour,price", *(row.replace("white", "red") for row in ROWS)]),
    "nan_target.csv": "\n".join(["acid,sugar,colour,price", *ROWS[:4], "1,2,red,nan", *ROWS[5:]]),
    "raises.py": 'def task():\n    raise RuntimeError("no data today\\nnor tomorrow")\n',
    "nan_targets.py": f"{TASK}task = tw.Task(model=lambda: nn.Linear(4, 1), data=(x, x[:, :1] / 0 * 0), {TASK_END}",
    "unfit.py": f"{TASK}task = tw.Task(model=lambda: nn.Linear(4, 2), data=(x, y + 1), {TASK_END}",
    "late.py": f"""{TASK}
class Net(nn.Linear):
    steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps > 2:
            raise RuntimeError("tired")
        return super().forward(x)


task = tw.Task(model=lambda: Net(4, 2), data=(x, y), {TASK_END}""",
    "adam.toml": 'epochs = 1\n\n[optimizer]\nname = "adam"\nlr = 0.02\n',
    "short.toml": "epochs = 3\nbatch_size = 8\n",
    "again.toml": 'epochs = 1\n\n[optimizer]\nname = "adam"\nlr = 0.02\n',
    "type.toml": 'epochs = 1\n\n[optimizer]\nname = "adam"\nlr = "fast"\n',
    "role.toml": "epochs = 1\ncolour = 3\n",
    "not.toml": "epochs: 1\n",
    "damaged/study.db": "this is no database, but long enough to be looked at\n" * 50,
}


def thalweg(line):
    """Return exit code, standard output and standard error of a command line, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    code, arguments = None, sys.argv
    try:
        sys.argv = ["thalweg", *shlex.split(line)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = arguments
    return code, out.getvalue(), err.getvalue()


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder in which commands are typed, with files good and bad."""
    folder = tmp_path_factory.mktemp("place")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "no-study").mkdir()
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(scope="module")
def said(place):
    """What was said when a study and a trained recipe were made there; a third directory's file is torn."""
    words = {
        "study": thalweg(f"{STUDY} --out study"),
        "trained": thalweg("train wine --recipe adam.toml --out trained --seed 3"),
    }
    shutil.copytree("study", "torn")
    whole = Path("torn/study.db").read_bytes()
    Path("torn/study.db").write_bytes(whole[:4096].ljust(len(whole), b"\0"))
    return words


# -- what the commands do ------------------------------------------------------------------------------


def test_compare_says_the_verdict_and_where_the_report_is(place, said):
    code, out, err = said["study"]
    assert code == 0
    assert "adam" in out
    assert out.endswith("report: study/report.html\n")
    assert "note: With 2 seeds the intervals are wide" in out
    effort = "1 trial, then 2 seeds of the defaults and of the chosen setting (once, where these are the same)"
    swept = "and 42 runs for the sensitivity to the learning rate"
    assert f"at most 52 runs of 2 recipes on wine: {effort}, {swept}; about" in err
    assert (place / "study" / "report.html").read_text().startswith("<!DOCTYPE html>")
    with Store(place / "study") as store:
        assert store.get("protocol")["command"] == f"thalweg {STUDY} --out study"


def test_compare_again_says_the_same_and_runs_nothing(place, said):
    before = snapshot(place / "study")
    code, out, err = thalweg(f"{STUDY} --out study")
    assert (code, out) == said["study"][:2]
    assert "runs are recorded in study and are kept" in err
    assert snapshot(place / "study").keys() == before.keys()


def test_compare_varies_files_and_files_alone(place, tmp_path):
    code, out, _ = thalweg(f"compare wines.csv --target colour --recipe adam.toml {SMALL} --out {tmp_path}/one")
    assert code == 0, out
    code, _, err = thalweg(
        f"compare wines.csv --target price --recipe adam.toml --vary batch_size=8,16 {SMALL} --out {tmp_path}/two"
    )
    assert code == 0
    assert "price is taken for a quantity" in err
    for name, there in [("one", ["adam"]), ("two", ["adam + batch_size 8", "adam + batch_size 16"])]:
        with Store(tmp_path / name) as store:
            assert [row.name for row in store.recipes()] == there


def test_a_plan_says_how_a_tables_column_was_understood_before_all_else(place):
    code, out, _ = thalweg(f"compare wines.csv --target price --vary batch_size=8,16 {SMALL} --plan")
    assert code == 0
    assert out.startswith("price is taken for a quantity")
    assert re.search(r"\d+ together by vmap|one by one, at \d+ µs a run and step", out), "and how runs are executed"


def test_missing_values_and_the_metric_are_taken_as_the_command_says(place, tmp_path):
    head, first, *rest = FILES["wines.csv"].splitlines()
    cells = zip(head.split(","), first.split(","), strict=True)
    gap = ",".join("" if name == "acid" else value for name, value in cells)
    (place / "gap.csv").write_text("\n".join([head, gap, *rest, ""]))
    line = f"train gap.csv --target colour --metric balanced_accuracy --recipe adam.toml --out {tmp_path}/out"
    code, _, err = thalweg(line)
    assert code == 2
    assert "gap.csv has missing values: 1 in acid" in err
    assert "--missing fill" in err
    assert not (tmp_path / "out").exists()
    code, out, err = thalweg(f"{line} --missing fill")
    assert code == 0, err
    assert "balanced accuracy" in out
    assert "missing values are filled in: 1 in acid" in err


def test_a_study_in_an_empty_file_begins_anew_and_says_so_and_until_then_there_is_no_report(place):
    (place / "empty").mkdir()
    (place / "empty" / "study.db").touch()
    code, _, err = thalweg("report empty")
    assert code == 2
    assert "empty holds no study yet: its study.db is empty" in err
    code, _, err = thalweg(f"compare wine --vary optimizer=sgd {SMALL} --out empty")
    assert code == 0
    assert "empty/study.db is empty: the study begins anew" in err


def test_compare_without_out_is_kept_beside_under_the_tasks_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = thalweg(f"compare wine --vary optimizer=sgd {SMALL}")
    assert code == 0
    assert out.endswith("report: wine-study/report.html\n")
    assert [path.name for path in tmp_path.iterdir()] == ["wine-study"]


def test_train_leaves_weights_recipe_record_and_report(place, said):
    code, out, _ = said["trained"]
    assert code == 0
    assert out.startswith("accuracy: train ")
    assert out.endswith("weights, recipe, record and report: trained\n")
    there = place / "trained"
    assert {p.name for p in there.iterdir()} == {
        "lock", "recipe.toml", "report.html", "study.db", "weights.safetensors",
    }  # fmt: skip
    assert load_file(there / "weights.safetensors")
    assert Recipe.from_file(there / "recipe.toml").optimizer.resolved() == optim.adam(lr=0.02).resolved()
    with Store(there) as store:
        assert [run.seed for run in store.runs().values()] == [3]


def test_report_is_drawn_anew_from_the_records(place, said, tmp_path):
    shutil.copytree(place / "study", tmp_path / "study")
    page = tmp_path / "study" / "report.html"
    drawn = page.read_text()
    page.unlink()
    assert thalweg(f"report {tmp_path}/study") == (0, f"report: {page}\n", "")
    assert page.read_text() == drawn


@pytest.mark.parametrize("directory", ["study", "study sgd", "trained"])
def test_export_prints_or_writes_a_script(place, said, tmp_path, directory):
    code, printed, err = thalweg(f"export {directory}")
    assert (code, err) == (0, "")
    compile(printed, "script.py", "exec")
    assert thalweg(f"export {directory} --out {tmp_path}/script.py") == (0, f"script: {tmp_path}/script.py\n", "")
    assert (tmp_path / "script.py").read_text() == printed.removesuffix("\n")


def test_techniques_lists_every_one_with_its_source():
    code, whole, _ = thalweg("techniques")
    assert code == 0
    for kind, members in KINDS.items():
        for given in (kind, f"{kind}s"):
            code, page, _ = thalweg(f"techniques {given}")
            assert code == 0
            assert page.strip() in whole
            assert [line.partition(":")[0] for line in page.splitlines() if line[:1].strip() and ": " in line] == [
                *members
            ]
        assert page.count("\n  source: ") == len(members)


def test_tasks_lists_every_one():
    code, out, _ = thalweg("tasks")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [*builtin_tasks()]


# -- mistakes ------------------------------------------------------------------------------------------

NEW = f"{SMALL} --out new"
BOTH = "--vary optimizer=sgd,adam"
MISTAKES = {
    # names
    f"compare wines {BOTH} {NEW}": 'unknown task "wines"; did you mean "wine"?',
    f"compare wine.csv --target x {BOTH} {NEW}": "there is no file wine.csv; did you mean wines.csv?",
    f"compare wine --vary optimizer=adm,sgd {NEW}": 'unknown optimizer "adm"; did you mean "adam"?',
    f"compare wine --vary schedule=cosin {NEW}": 'unknown schedule "cosin"; did you mean "cosine"?',
    f"compare wine --vary colour=red,blue {NEW}": 'unknown role "colour"; known: optimizer, schedule, batch_size, '
    "epochs",
    f"compare wine --vary 'optimizer=adam(beta=1)' {NEW}": 'unknown hyperparameter of adam "beta"; did you mean ',
    f"compare wines.csv --target colur {BOTH} {NEW}": 'unknown column of wines.csv: "colur"; did you mean "colour"?',
    "techniques colours": 'unknown kind "colours"; known: optimizer, schedule',
    # tables
    f"compare wines.csv {BOTH} {NEW}": "say which column of wines.csv is predicted, with --target; it has acid, ",
    f"compare wine --target colour {BOTH} {NEW}": "--target names a column of a CSV file, and wine is not one",
    f"compare empty.csv --target colour {BOTH} {NEW}": "empty.csv is empty; give a CSV file with a header and rows",
    f"compare one_class.csv --target colour {BOTH} {NEW}": 'column "colour" of one_class.csv has the same value in '
    "every row",
    f"compare nan_target.csv --target price {BOTH} {NEW}": "nan_target.csv has missing values: 1 in price (the ",
    # numbers
    f"compare wine {BOTH} --trials 0 --out new": "trials takes a whole number from 1 up, not 0",
    f"compare wine {BOTH} --seeds -1 --out new": "seeds takes a whole number from 1 up, not -1",
    f"compare wine {BOTH} --seed -1 --out new": "seed takes a whole number from 0 up, not -1",
    f"compare wine {BOTH} --epochs 0 --out new": "epochs takes a whole number from 1 up, not 0",
    f"compare wine {BOTH} --batch-size 0 --out new": "batch_size takes a whole number from 1 up, not 0",
    f"compare wine {BOTH} --processes 0 --out new": "processes takes a whole number from 1 up, not 0",
    "train wine --recipe adam.toml --seed -1 --out new": "seed takes a whole number from 0 up, not -1",
    f"compare wine {BOTH} --budget soon --out new": '"soon" is not a length of time; write 20m, 1h30m or 45s',
    f"compare wine {BOTH} --budget 0s --out new": '"0s" is not a length of time',
    f"compare wine {BOTH} --budget 0.001s --out new": "a budget of 1 s is too small: two trials and three seeds of "
    "each recipe take about",
    # what is compared
    f"compare wine {NEW}": "nothing to compare: give --vary optimizer=adam,sgd or --recipe FILE.toml",
    f"compare wine --vary optimizer {NEW}": '--vary "optimizer" has no "="; write --vary optimizer=adam,sgd',
    f"compare wine --vary optimizer= {NEW}": "--vary optimizer= names nothing to compare",
    f"compare wine --vary optimizer=sgd --vary optimizer=adam {NEW}": "--vary optimizer is there twice",
    f"compare wine --vary optimizer=adam,adam {NEW}": '"adam" is named twice; every recipe is compared once',
    f"compare wine --vary 'optimizer=adam,adam()' {NEW}": "adam and adam() are the same recipe; every recipe is ",
    f"compare wine --recipe adam.toml --recipe again.toml {NEW}": "adam and again are the same recipe; every recipe ",
    f"compare wine --recipe adam.toml --recipe adam.toml {NEW}": "two recipe files have the same name",
    f"compare wine --vary 'optimizer=adam(' {NEW}": 'optimizer "adam(" cannot be read; write it as adam or adam(lr',
    f"compare wine --vary 'optimizer=adam(**lr)' {NEW}": "adam(**lr) cannot be read: name each of its",
    f"compare wine --vary 'schedule=warmup >> 3' {NEW}": "schedule takes a schedule such as schedule.cosine(), not 3",
    f"compare wine --vary 'batch_size={{[]:1}}' {NEW}": "batch_size cannot be {[]: 1}",
    f"compare wine --vary 'schedule=warmup(500)' {NEW}": "recipe warmup(500): the schedule warmup(500) lasts 500 ",
    # recipe files
    f"compare wine --recipe type.toml {NEW}": "type.toml, line 5: lr of adam takes a number, not 'fast'",
    f"compare wine --recipe role.toml {NEW}": 'role.toml, line 2: unknown role "colour"; known: optimizer, ',
    f"compare wine --recipe not.toml {NEW}": "not.toml is not TOML: ",
    f"compare wine --recipe none.toml {NEW}": "the recipe none.toml cannot be read: No such file or directory",
    f"compare wine --recipe no-study {NEW}": "the recipe no-study cannot be read: Is a directory",
    "train wine --recipe type.toml --out new": "type.toml, line 5: lr of adam takes a number, not 'fast'",
    # task files
    f"compare raises.py:task {BOTH} {NEW}": "raises.py, line 2: RuntimeError: no data today",
    f"compare unfit.py:tusk {BOTH} {NEW}": 'unknown task in unfit.py: "tusk"; did you mean "task"?',
    f"compare unfit.py {BOTH} {NEW}": "the loss of task unfit cannot take ",
    f"compare nan_targets.py {BOTH} {NEW}": "nan_targets.py, line 7: ",
    "train unfit.py --recipe adam.toml --out new": "the loss of task unfit cannot take ",
    # directories
    f"compare wine {BOTH} {SMALL} --out adam.toml": "adam.toml cannot be written: File exists",
    f"compare wine {BOTH} {SMALL} --out adam.toml/new": "adam.toml/new cannot be written: Not a directory",
    f"compare wine {BOTH} {SMALL} --out {'x' * 300}": f"{'x' * 300} cannot be written: File name too long",
    "train wine --recipe adam.toml --out adam.toml/new": "adam.toml/new cannot be written: Not a directory",
    f"compare diabetes {BOTH} {SMALL} --out study": "study holds a study of the task wine, not diabetes; choose ",
    f"compare wine --vary optimizer=sgd {SMALL} --out study": "study holds a study of other recipes (sgd, adam); ",
    f"compare wine {BOTH} {SMALL} --batch-size 8 --out study": "study holds a study in which sgd and adam was",
    f"{STUDY.replace('--trials 1', '--trials 2')} --out study": "study holds a study with trials 1 and not 2",
    f"{STUDY} --seed 1 --out study": "study holds a study with seed 0 and not 1; choose another --out",
    f"{STUDY} --out trained": "trained holds a run of thalweg train; choose another --out",
    "train wine --recipe adam.toml --out trained": "trained holds another run or study; choose another --out",
    "train wine --recipe adam.toml --out study": "study holds another run or study; choose another --out",
    f"{STUDY} --out damaged": "damaged/study.db cannot be used as a study: file is not a database",
    "train wine --recipe adam.toml --out damaged": "damaged/study.db cannot be used as a study: file is not a ",
    "report damaged": "damaged/study.db cannot be used as a study: file is not a database",
    "export damaged": "damaged/study.db cannot be used as a study: file is not a database",
    "report torn": "torn/study.db is damaged; put a copy of it back, ",
    "export torn": "torn/study.db is damaged; put a copy of it back, ",
    f"{STUDY} --out torn": "torn/study.db is damaged; put a copy of it back, ",
    "report no-study": "no-study holds no study: there is no study.db in it",
    f"report {'x' * 300}": f"{'x' * 300} holds no study: there is no study.db in it",
    "report nowhere": "nowhere holds no study: there is no study.db in it",
    "export no-study": "no-study holds no study: there is no study.db in it",
    "export study adm": 'unknown recipe "adm"; did you mean "adam"?',
    "export study --out adam.toml/script.py": "adam.toml/script.py cannot be written: Not a directory",
    "export study --out no-study": "no-study cannot be written: Is a directory",
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items())
def test_a_mistake_is_one_sentence_and_leaves_nothing(place, said, line, message, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = snapshot(place)
    code, out, err = thalweg(line)
    assert err.startswith(f"thalweg: {message}")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert snapshot(place) == before


def test_a_run_that_fails_on_the_way_is_one_sentence_too(place, tmp_path):
    code, out, err = thalweg(f"train late.py --recipe short.toml --out {tmp_path}/new")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "thalweg: training on task late failed: RuntimeError: tired"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "no such command 'nonsense'; see thalweg --help"),
        ("compare wine --nonsense", "no such option: --nonsense"),
        ("compare wine --trials x", "invalid value for '--trials': "),
        ("watch here --tensorboard", "option '--tensorboard' requires an argument; see thalweg watch --help"),
        ("compare", "missing argument 'TASK'; see thalweg compare --help"),
        ("train wine --out new", "missing option '--recipe'; see thalweg train --help"),
    ],
)
def test_what_is_not_a_command_is_refused_with_the_way_to_help(place, line, message):
    code, out, err = thalweg(line)
    assert (code, out) == (2, "")
    assert err.startswith(f"thalweg: {message}")
    assert err.count("\n") == 1


# -- the process ---------------------------------------------------------------------------------------


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


LOADED = (
    "; heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'altair', 'vl_convert', 'jinja2'} & sys.modules.keys()"
    "; print(' '.join(heavy) or 'light')"
)


def test_importing_and_asking_for_help_load_nothing_heavy():
    assert run(f"import sys, thalweg, thalweg.cli{LOADED}").stdout == "light\n"
    for arguments in ("--help", "compare --help", "compare --nonsense"):
        told = run(f"import sys, atexit\ndef tell():\n    {LOADED[2:]}\natexit.register(tell)\n"
                   "from thalweg.cli import main; main()", *arguments.split())  # fmt: skip
        assert told.stdout.endswith("light\n")
        assert "--help" in told.stdout + told.stderr


def test_a_mistake_ends_a_process_as_it_ends_a_call():
    (script,) = entry_points(group="console_scripts", name="thalweg")
    assert script.load() is cli.main
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "techniques", "optimzer"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (done.stdout, done.stderr) == ("", 'thalweg: unknown kind "optimzer"; did you mean "optimizer"?\n')


def test_a_folder_that_is_gone_is_one_sentence(tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.chdir(sys.argv.pop()); os.rmdir(os.getcwd()); from thalweg.cli import main; main()"
    done = run(code, "compare", "wine", "--vary", "optimizer=sgd,adam", "--out", "x", str(tmp_path / "gone"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "thalweg: the folder that it is called in is gone; change into one that is there\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address spaces have no limit elsewhere")
@pytest.mark.parametrize("mebibytes", [400, 500])
def test_where_memory_is_too_small_for_what_must_be_loaded_that_is_one_sentence(tmp_path, mebibytes):
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (2 * [{mebibytes} * 2**20]))"
    limit = f"import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; {limit}"  # which takes memory for each core
    words = ["compare", "wine", "--vary", "optimizer=sgd,adam", "--out", str(tmp_path / "new")]
    done = run(f"{limit}; from thalweg.cli import main; main()", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("thalweg: memory ran out (")
    assert done.stderr.endswith(" or use a machine with more; what is recorded is kept\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc"), OSError("no library")])
def test_memory_that_runs_out_later_is_one_sentence_too_and_another_error_is_not_hidden(monkeypatch, error):
    def ends(**_):
        raise error from (ImportError("a.so: failed to map segment from shared object") if error.args else None)

    monkeypatch.setattr(commands, "app", ends)
    code, _, err = thalweg("tasks")
    assert code == 2
    assert err.startswith("thalweg: memory ran out")
    error.__cause__ = None
    monkeypatch.setattr(commands, "app", lambda **_: (_ for _ in ()).throw(ValueError("a mistake of ours")))
    with pytest.raises(ValueError, match="a mistake of ours"):
        thalweg("tasks")


def test_a_reader_that_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "tasks"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert "Traceback" not in done.stderr
