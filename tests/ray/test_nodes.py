"""A cluster's head that is lost, or hangs, just after it answered is waited for, and then given up."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from thalweg.errors import InputError
from thalweg.study.engines import nodes as ray_nodes
from thalweg.study.engines.nodes import Node, Nodes

THERE = {
    "NodeID": "a" * 56, "Alive": True, "Resources": {"CPU": 2.0}, "NodeManagerAddress": "10.0.0.1",
    "NodeManagerPort": 1,
}  # fmt: skip


def lost(*_):
    from ray.exceptions import RpcError

    raise RpcError("failed to connect to all addresses")


def hang(*_):
    threading.Event().wait()


@pytest.fixture
def quick(monkeypatch):
    """The head is asked for a moment, and missed for another; who listens answers."""
    monkeypatch.setattr(ray_nodes, "_HEARD_WITHIN", 0.2)
    monkeypatch.setattr(ray_nodes, "_MISSED_FOR", 0.5)
    monkeypatch.setattr(ray_nodes, "answers", lambda _: True)


def nodes_of(calls):
    """Return nodes whose head does what ``calls`` says: tell who is there, and take a question to a new one."""
    import ray.exceptions

    context = SimpleNamespace(gcs_address="10.0.0.1:6379", get_node_id=lambda: THERE["NodeID"])
    fake = SimpleNamespace(
        nodes=lambda: calls["nodes"](), get_runtime_context=lambda: context, exceptions=ray.exceptions
    )
    admit = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_: calls["ask"]()))
    return Nodes(fake, "head:6379", admit, [], {}, print)


@pytest.mark.parametrize("how", [lost, hang])
@pytest.mark.parametrize("what", ["nodes", "ask"])
def test_a_head_that_is_lost_after_it_answered_has_not_answered(quick, what, how):
    calls = {"nodes": lambda: [THERE], "ask": lambda: "answer"}
    nodes = nodes_of({**calls, what: how})
    nodes._look()
    assert (nodes.known, nodes.asked) == ({}, {})
    time.sleep(0.5)
    with pytest.raises(InputError, match=r"^the Ray cluster at head:6379 has not answered for 0 s; what is finished"):
        nodes._look()


@pytest.mark.parametrize("how", [lost, hang])
@pytest.mark.parametrize("what", ["nodes", "ask"])
def test_a_head_that_is_back_in_time_is_gone_on_with(quick, what, how):
    calls = {"nodes": lambda: [THERE], "ask": lambda: "answer"}
    nodes = nodes_of(changing := {**calls, what: how})
    nodes.used["b" * 56] = Node("10.0.0.2", 1)
    nodes._look()
    changing.update(calls)
    nodes._look()
    assert nodes.asked == {"answer": THERE["NodeID"]}
    assert nodes.known == {THERE["NodeID"]: Node("10.0.0.1", 2)}
    assert nodes.used == {}, "the other one is gone"


def test_what_is_no_loss_of_the_head_is_raised(quick):
    def wrong():
        raise TypeError("no such argument")

    with pytest.raises(TypeError, match="no such argument"):
        nodes_of({"nodes": wrong})._look()


HANGING = """
import threading
from types import SimpleNamespace
from thalweg.study.engines import cluster

cluster._LEFT_WITHIN = 0.1
try:
    print("done", end="")
    {}
finally:
    cluster._leave(SimpleNamespace(shutdown=threading.Event().wait))
"""


@pytest.mark.parametrize(("then", "code"), [("pass", 0), ("raise ValueError", 2), ("raise KeyboardInterrupt", 130)])
def test_a_process_that_cannot_leave_says_by_its_code_how_it_ended(then, code):
    ended = subprocess.run([sys.executable, "-c", HANGING.format(then)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (code, "done"), ended.stderr
