"""A study whose steps are really compiled is killed while they are, and when they run; it comes to the same bits."""

import signal
import sys
import time
from pathlib import Path

import pytest
from killing import Victims, assert_same, family, kill, standing, states, wait

from thalweg.record import Store
from thalweg.train.inductor import no_compiler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
    pytest.mark.skipif(bool(no_compiler()), reason="there is no C++ compiler"),
]


@pytest.fixture
def victims():
    found = Victims()
    yield found
    found.close()


def compilers(leader):
    """Return the processes of a session that compile C++."""
    found = []
    for one in family(leader):
        try:
            name = Path(f"/proc/{one}/comm").read_text().strip()
        except OSError:
            continue
        if name == "cc1plus":
            found.append(one)
    return found


def plan_of(out):
    """Return what a study's plan says of batches of 20, or nothing where it has not begun."""
    if not (out / "study.db").exists():
        return ""
    with Store(out) as store:
        kinds = (store.get("plan") or {"by_kind": {}})["by_kind"]
    return next((plan["compiles"] for kind, plan in kinds.items() if "batch_size = 20" in kind), "")


def test_a_study_that_is_killed_while_it_compiles_and_after_comes_to_the_same_bits(tmp_path, victims):
    def begin(name, cache="cache", **more):
        (tmp_path / f"weights of {name}").mkdir(exist_ok=True)
        return victims.begin(
            tmp_path / name, tmp_path / f"weights of {name}", processes=2, cache=str(tmp_path / cache), **more
        )

    def ends(code):
        assert victims.is_over(240)
        assert victims.code() == code
        wait(lambda: not family(victims.pid), seconds=10)

    out = tmp_path / "study"
    for number, everybody in ((signal.SIGINT, False), (signal.SIGKILL, False), (signal.SIGKILL, True)):
        pid = begin("study")
        wait(lambda p=pid: compilers(p))
        time.sleep(0.5)
        assert not victims.is_over()
        kill(family(pid) if everybody else [pid], number)
        ends(130 if number == signal.SIGINT else -number)
        assert plan_of(out) == "pending"
    for call, count in (("write", 5), ("replace", 3)):
        pid = begin("study", seconds=0, stop=(call, count, "compiled"))
        wait(lambda p=pid: "T" in states(p).values() or victims.is_over(), seconds=240)
        assert not victims.is_over()
        kill(family(pid))
        ends(-signal.SIGKILL)
    assert plan_of(out) == "yes"
    assert standing(out)
    begin("study")
    ends(0)
    begin("alone", cache="cache-of-another")
    ends(0)
    assert_same(out, tmp_path / "alone")
    with Store(out) as store:
        assert {run.executor.partition(",")[0] for run in store.runs().values()} >= {"compiled", "vmapped"}
    weights, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / f"weights of {name}").glob("*.safetensors")}
        for name in ("study", "alone")
    )
    assert len(whole) > 15
    assert weights == whole
    assert not list((out / "checkpoints").iterdir())
