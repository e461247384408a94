"""What one types becomes a task, or one sentence that says where it went wrong."""

import sys

import pytest

import thalweg as tw
from thalweg import InputError, load_task
from thalweg.task import builtin_tasks

HEADER = """
import torch
from torch import nn
import thalweg as tw

x = torch.arange(240.0).view(60, 4)
y = torch.arange(60) % 3

def make(**more):
    parts = {"data": (x, y), "loss": nn.functional.cross_entropy, "metric": tw.accuracy, **more}
    return tw.Task(model=lambda: nn.Linear(4, 3), **parts)

"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a task file; what loading it leaves behind in this process is taken back."""
    modules, path = set(sys.modules), list(sys.path)

    def make(text, name="my_task.py", header=HEADER):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(header + text)
        return str(tmp_path / name)

    yield make
    for name in set(sys.modules) - modules:
        if name.startswith("thalweg_file_") or str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    sys.path[:] = path


@pytest.mark.parametrize(
    ("text", "attribute", "expression"),
    [
        ("task = make()", "", "task"),
        ("task = make()", ":task", "task"),
        ("other = make()", ":other", "other"),
        ("def task():\n    return make()", "", "task()"),
        ("def large(rows=60):\n    return make()", ":large", "large()"),
        ("task = lambda: make()", ":task", "task()"),
    ],
)
def test_a_file_gives_a_task_or_a_function_that_returns_one(write, text, attribute, expression):
    file = write(text)
    task = load_task(file + attribute)
    assert task.name == "my_task"
    assert (task.origin.spec, str(task.origin.file), task.origin.expression) == (file + attribute, file, expression)


def test_a_task_keeps_its_own_name(write):
    assert load_task(write('task = make(name="squares")')).name == "squares"


def test_a_path_object_and_a_relative_path_do_too(write, tmp_path, monkeypatch):
    write("task = make()")
    monkeypatch.chdir(tmp_path)
    for spec in (tmp_path / "my_task.py", "my_task.py", "./my_task.py:task"):
        assert load_task(spec).origin.file == tmp_path / "my_task.py"


def test_a_file_is_read_anew_each_time(write):
    assert len(load_task(write("task = make()")).train) == 36
    assert len(load_task(write("task = make(splits=(0.5, 0.25, 0.25))")).train) == 30


def test_a_helper_beside_the_file_is_found_and_not_that_of_another_folder(write):
    files = []
    for folder, shares in (("one", "(0.6, 0.2, 0.2)"), ("two", "(0.5, 0.25, 0.25)")):
        write(f"SHARES = {shares}", f"{folder}/helper.py", header="")
        files.append(write("from helper import SHARES\ntask = make(splits=SHARES)", f"{folder}/my_task.py"))
    one, two = files
    assert [len(load_task(file).train) for file in (one, two, one)] == [36, 30, 36]


N = HEADER.count("\n")

BAD = {
    "no attribute": ("tasks = make()", "", 'unknown task in .*my_task.py: "task"; did you mean "tasks"?'),
    "another attribute": (
        "def large(): return make()",
        ":larg",
        'unknown task in .*my_task.py: "larg"; did you mean "large"?',
    ),
    "none alike": ("", ":zzz", 'unknown task in .*my_task.py: "zzz"; known: make'),
    "a number": (
        "task = 3",
        "",
        "my_task.py:task is a int, and must be a thalweg.Task or a function that returns one",
    ),
    "a class": (
        "class task(nn.Module): pass",
        "",
        "my_task.py:task is task, and must be a thalweg.Task or a function",
    ),
    "a module": ("task = nn.Linear(2, 2)", "", "my_task.py:task is a Linear, and must be"),
    "returns none": ("def task(): make()", "", "my_task.py:task() is a NoneType, and must be"),
    "takes arguments": (
        "def task(rows): make()",
        "",
        "my_task.py: TypeError: task() missing 1 required positional argument",
    ),
    "raises": ("\n\n1 / 0", "", f"my_task.py, line {N + 3}: ZeroDivisionError: division by zero"),
    "raises in a function": (
        "def deep():\n    1 / 0\ndef task():\n    deep()",
        "",
        f"my_task.py, line {N + 2}: ZeroDivisionError",
    ),
    "raises elsewhere": ("\ntorch.ones(2) @ torch.ones(3)", "", f"my_task.py, line {N + 2}: RuntimeError"),
    "raises over lines": ('\nraise ValueError("a\\nb")', "", f"my_task.py, line {N + 2}: ValueError: a"),
    "asserts": ("\nassert len(x) == 3", "", f"my_task.py, line {N + 2}: AssertionError"),
    "wrong import": ("import torhc", "", f"my_task.py, line {N + 1}: ModuleNotFoundError: No module named 'torhc'"),
    "ends": (
        "import sys\nsys.exit()",
        "",
        f"my_task.py, line {N + 2}: it ends the program; put that under if __name__ ==",
    ),
    "syntax": ("task = make(", "", f"my_task.py, line {N + 1}, is not Python: '(' was never closed"),
    "syntax, said later": (
        "\nreturn 3",
        "",
        f"my_task.py: SyntaxError: 'return' outside function (my_task.py, line {N + 2})",
    ),
    "indentation": ("if x:\npass", "", f"my_task.py, line {N + 2}, is not Python: expected an indented block"),
    "a null": ("\0", "", "my_task.py is not Python: source code string cannot contain null bytes"),
    "NaN": (
        "x[7, 1] = float('nan')\ntask = make()",
        "",
        f"my_task.py, line {N - 1}: data: the input of example 7 is NaN",
    ),
    "NaN targets": (
        "task = make(data=(x, torch.where(y > 1, float('nan'), 1.0)))",
        "",
        f"line {N - 1}: data: the target of example 2 is NaN or infinite; drop it or fill it in",
    ),
}


@pytest.mark.parametrize(("text", "attribute", "message"), BAD.values(), ids=BAD)
def test_a_mistake_in_a_file_is_said_with_its_line(write, text, attribute, message):
    with pytest.raises(InputError) as caught:
        load_task(write(text) + attribute)
    for piece in message.split(".*"):
        assert piece in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_in_a_helper_is_said_with_the_line_that_imports_it(write):
    write("def broken(:", "helper.py", header="")
    with pytest.raises(InputError, match=rf"my_task.py, line {N + 1}: SyntaxError: .*helper.py, line 1"):
        load_task(write("import helper"))


def test_an_interruption_is_not_taken_for_a_mistake(write):
    with pytest.raises(KeyboardInterrupt):
        load_task(write("raise KeyboardInterrupt"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", 'unknown task "digit"; did you mean "digits"'),
        ("zzz", f'unknown task "zzz"; known: {", ".join(builtin_tasks())}'),
        ("my_tsk.py:task", "there is no file my_tsk.py; did you mean my_task.py?"),
        ("nowhere/my_task.py", "there is no file nowhere/my_task.py; look at its path"),
        ("folder.py", "folder.py cannot be read: Is a directory"),
        ("houses.cvs", "houses.cvs is neither a CSV file (.csv, .tsv), .npz, a Python file (.py), nor a folder"),
        ("hoses.csv", "there is no file hoses.csv; did you mean houses.csv?"),
        ("", 'unknown task ""'),
        ("x" * 5000, 'unknown task "xxx'),
        ("a,b\n" + "1,2\n" * 99, 'unknown task "a,b'),
        ("x" * 5000 + ".py", "there is no file xxx"),
        ("x" * 5000 + ".csv", "there is no file xxx"),
        (3, "load_task takes a built-in name or a file, not a int"),
        (None, "load_task takes a built-in name or a file, not a NoneType"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(write, tmp_path, monkeypatch, spec, message):
    write("task = make()")
    (tmp_path / "folder.py").mkdir()
    for name in ("houses.cvs", "houses.csv"):
        (tmp_path / name).write_text("a,b\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load_task(spec, target="price" if str(spec).endswith(".csv") else None)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("spec", ["digits", "my_task.py:task", "nothing"])
def test_a_target_goes_with_a_csv_file_alone(spec):
    with pytest.raises(InputError, match=f"--target names a column of a CSV file, and {spec} is not one"):
        load_task(spec, target="price")


def test_a_task_is_remade_from_where_it_comes_from(write, tmp_path):
    """Workers and exported scripts evaluate the expression in the file."""
    rows = "\n".join(f"{i},{i % 7 * 1.5},{i % 5}" for i in range(30))
    path = tmp_path / "it's.csv"
    path.write_text("a,b,c\n" + rows)
    for task in (load_task("wine"), load_task(path, target="b"), load_task(path, target="b", drop=["c"])):
        names = {"__name__": "elsewhere"}
        exec(compile(task.origin.file.read_text(), str(task.origin.file), "exec"), names)
        again = eval(task.origin.expression, names)
        assert isinstance(again, tw.Task)
        assert again.train.inputs.equal(task.train.inputs)
