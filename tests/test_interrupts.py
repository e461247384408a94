"""Ctrl-C is one line and exit code 130, wherever it comes; and files are whole whatever comes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg.files import write_whole

BEGIN = """
import atexit, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background ignore

def press(*_, **__):
    signal.raise_signal(signal.SIGINT)

def command(does, so=None, once=None):
    from thalweg.cli import commands, interrupts
    def app(**_):
        if so is None:
            return does()
        with interrupts.stopping(so, once):
            return does()
    commands.app = app

class Importing:
    def __init__(self, name):
        self.name = name
    def find_spec(self, name, *_):
        if name == self.name:
            press()
"""


def ended(program, *words):
    """Return the exit code and standard error of a program that calls the command line."""
    code = f"{BEGIN}{program}\nfrom thalweg.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("module", ["typer", "thalweg.cli.study", "thalweg.catalogue"])
def test_while_modules_are_imported(module):
    assert ended(f"sys.meta_path.insert(0, Importing('{module}'))", "techniques") == (130, "\nstopped\n")


def test_in_a_command():
    assert ended("command(press)") == (130, "\nstopped\n")
    assert ended("command(press, 'nothing was written')") == (130, "\nstopped; nothing was written\n")
    assert ended("command(lambda: exec('press()'))") == (130, "\nstopped\n")
    kept = "command(press, 'all is kept', once='/')"
    assert ended(kept) == (130, "\nstopped; all is kept\n")
    assert ended(kept.replace("'/'", "'nowhere'")) == (130, "\nstopped\n")


@pytest.mark.parametrize("where", ["thalweg.task.loading.load_task", "thalweg.study.study.fingerprint"])
def test_before_a_study_has_begun_nothing_is_kept(where, tmp_path):
    module, name = where.rsplit(".", 1)
    command = "compare", "wine", "--vary", "optimizer=sgd,adam", "--out", str(tmp_path / "study")
    stopped = f"import thalweg.study, {module} as home\nhome.{name} = thalweg.task.{name} = press"
    assert ended(stopped, *command) == (130, "\nstopped\n")
    assert list(tmp_path.iterdir()) == []


def test_where_something_makes_another_error_of_it():
    """As numpy does where it is imported by code in C, and SQLite where it calls Python."""
    does = """
def does():
    try:
        press()
    except KeyboardInterrupt:
        raise ImportError("failed") from None
command(does, "all is kept")"""
    assert ended(does) == (130, "\nstopped; all is kept\n")


def test_again_while_the_first_is_seen_to():
    does = """
def does():
    try:
        press()
    finally:
        press()
        sys.stderr.write("put away")
command(does)"""
    assert ended(does) == (130, "put away\nstopped\n")
    says = """
class Said:
    flush = press
    def write(self, text):
        press()
        sys.__stderr__.write(text)
        press()
sys.stderr = Said()
command(press)"""
    assert ended(says) == (130, "\nstopped\n")


def test_where_python_could_only_print_it():
    does = """
class Dies:
    def __del__(self):
        press()
        time.sleep(0)

def does():
    began = time.monotonic()
    Dies()
    try:
        time.sleep(60)
    finally:
        if time.monotonic() > began + 30:
            sys.stderr.write("slept on")
command(does)"""
    assert ended(does) == (130, "\nstopped\n")


def test_while_python_ends():
    assert ended("atexit.register(press)\ncommand(press)") == (130, "\nstopped\n")
    assert ended("atexit.register(press)\ncommand(lambda: 0)") == (0, "")
    assert ended("atexit.register(press)", "techniques", "optimzer")[0] == 2


def test_an_error_that_is_not_its_doing_is_not_hidden():
    code, said = ended("def does():\n    raise OSError('no disk')\ncommand(does)")
    assert code == 1
    assert said.endswith("OSError: no disk\n")


def test_a_program_around_keeps_its_own_way():
    own = "def own(*_):\n    sys.stderr.write('own')\nsignal.signal(signal.SIGINT, own)\ncommand(press)"
    assert ended(own) == (0, "own")
    around = "command(press)\nimport thalweg.cli\nexec('try: main()\\nexcept SystemExit as end: code = end.code',"
    around += " found := {'main': thalweg.cli.main, '__name__': 'around'})\nassert found['code'] == 130\n"
    around += "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\ncommand(lambda: 0)"
    assert ended(around) == (0, "\nstopped\n")


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    place, link = tmp_path / "script.py", tmp_path / "link.py"
    place.write_text("before")
    place.chmod(0o750)
    link.symlink_to(place)
    write = os.write

    def interrupted(descriptor, content):
        write(descriptor, content[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_whole(place, b"after")
    assert place.read_text() == "before"
    write_whole(link, b"after")
    assert (place.read_text(), place.stat().st_mode & 0o777, link.is_symlink()) == ("after", 0o750, True)
    assert sorted(tmp_path.iterdir()) == [link, place]
    reading, writing = os.pipe()
    write_whole(Path(f"/dev/fd/{writing}"), b"into a pipe")
    assert os.read(reading, 99) == b"into a pipe"
    os.close(reading), os.close(writing)


def test_a_file_is_on_the_disk_before_its_name_is_and_its_name_before_anything_else(tmp_path, monkeypatch):
    said, calls = [], {name: getattr(os, name) for name in ("fsync", "replace")}

    def fsync(descriptor):
        said.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        calls["fsync"](descriptor)

    def replace(*places):
        said.append("name")
        calls["replace"](*places)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_whole(tmp_path / "weights", b"those")
    assert said == ["file", "name", "folder"]
