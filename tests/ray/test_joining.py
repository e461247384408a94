"""Which cluster is joined, which of its nodes are used, and what is said where that cannot be."""

import os
import shlex
import socket
import sys
import threading
import time
from contextlib import suppress

import pytest
import torch
from torch import nn
from work import SMALL, Acting, assert_same, collected, lanes_of, locally, small_task, train

import thalweg as tw
from small import small_digits
from thalweg import cli
from thalweg.errors import InputError
from thalweg.study.engines import cluster as ray_cluster
from thalweg.study.engines import nodes as ray_nodes
from thalweg.study.engines import ray as engine_ray

pytestmark = pytest.mark.usefixtures("apart")


def refused(task, address=None):
    """Return the one sentence with which a cluster is refused, and the seconds that it took."""
    started = time.monotonic()
    with pytest.raises(InputError) as error, engine_ray.Cluster(task, address):
        pass
    assert "\n" not in str(error.value)
    return str(error.value), time.monotonic() - started


def test_nobody_listens(linear_task):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said, seconds = refused(linear_task, address)
    remedy = "look at its address, or start it"
    assert said == f"there is no Ray cluster at {address}: connection refused; {remedy}"
    assert seconds < 5


def test_somebody_else_listens(linear_task, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_JOINED_WITHIN", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        said, seconds = refused(linear_task, address)
    assert said == f"there is no Ray cluster at {address}: something else answers there, or it hangs"
    assert seconds < 10


def test_a_cluster_that_asks_for_a_token(linear_task, monkeypatch):
    """Ray's client goes on asking for 20 s, and then says that it could not connect."""
    line = "gcs_client.cc:210: Unauthenticated: RPC error: InvalidAuthToken: Authentication token is missing"
    monkeypatch.setattr(ray_cluster, "_REHEARSAL", f"import time; print({line!r}, flush=True); time.sleep(60)")
    with socket.create_server(("127.0.0.1", 0)) as other:
        said, seconds = refused(linear_task, f"127.0.0.1:{other.getsockname()[1]}")
    assert "asks for a token; set RAY_AUTH_MODE=token" in said
    assert seconds < 5


def test_a_name_that_is_looked_up_in_vain_for_long(linear_task, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_REACHED_WITHIN", 4.0)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: threading.Event().wait())
    said, seconds = refused(linear_task, "head:6379")
    assert "no answer within 4 s" in said
    assert seconds < 10


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:many", "head:99999", "ray://head:10001"])
def test_what_is_no_address(linear_task, address):
    said, _ = refused(linear_task, address)
    assert said.startswith("--address takes host:port of ")
    assert address in said


def test_ray_is_not_installed(linear_task, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.exceptions", None)
    said, _ = refused(linear_task)
    assert said == "the engine ray needs Ray; install it with: pip install 'thalweg[ray]'"


def test_a_task_that_cannot_travel(head):
    with socket.socket() as one:
        said, _ = refused(small_task(loss=lambda *_: one.fileno()), head.address)
    assert said.startswith("task small digits cannot be sent to other machines: ")


def test_a_node_with_other_versions_is_left_out_and_nothing_is_lost(head, tmp_path):
    for package, version in (("torch", "2.12.0"), ("thalweg", "0.0.9")):
        fake = tmp_path / f"{package}-{version}.dist-info"
        fake.mkdir()
        (fake / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    other = head.add(env_vars={"PYTHONPATH": path})
    try:
        records, said = collected(small_task(), lanes_of(6, together=3), head.address)
    finally:
        head.shoot(other)
    theirs = "thalweg is 0.0.9 and torch is 2.12.0 there"
    here = f"{tw.__version__} and {torch.__version__.partition('+')[0]} here"
    assert said == [
        f"left out of the Ray cluster: node {other.node_ip_address}: {theirs}, and {here}",
        f"Ray cluster at {head.address}: 1 node, 1 core",
    ]
    assert len(records) == 6


def test_no_node_has_the_versions_that_are_here(head, linear_task, monkeypatch):
    monkeypatch.setattr(ray_nodes, "versions", lambda: {"python": "3.99", "thalweg": "1", "torch": "3.0.0"})
    said, _ = refused(linear_task, head.address)
    python = "{}.{}".format(*sys.version_info)
    assert said.startswith("no node of the Ray cluster can train: node ")
    assert f"python is {python} and thalweg is {tw.__version__} and torch is " in said
    assert said.endswith(" there, and 3.99 and 1 and 3.0.0 here")


def licensed(here):
    def model():
        if os.getpid() != here:
            raise RuntimeError("there is no licence on this machine")
        return nn.Linear(64, 10)

    return small_digits(model)


def of_its_own(_):
    def model():
        linear = nn.Linear(64, 10)
        nn.init.constant_(linear.weight, os.getpid() / 2**22)
        return linear

    return small_digits(model)


def otherwise(here):
    return small_digits(
        lambda: nn.Linear(64, 10),
        loss=lambda output, targets: nn.functional.cross_entropy(output, targets) * (1 + (os.getpid() != here)),
    )


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (licensed, "the model of task small digits could not be made: RuntimeError: there is no licence"),
        (of_its_own, "the model of task small digits begins with other weights there than here, under one seed"),
        (otherwise, "the loss of task small digits is "),
    ],
)
def test_a_task_that_is_another_on_a_node_is_refused_and_named(head, made, why):
    said, _ = refused(made(os.getpid()), head.address)
    host = head.cluster.head_node.node_ip_address
    assert said.startswith(f"no node of the Ray cluster can train: node {host}: ")
    assert why in said


def test_a_node_that_comes_later_is_used(head, tmp_path):
    mark, said, added = tmp_path / "two", [], []

    def wait(_):
        import ray

        until = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.05)
        (tmp_path / ray.get_runtime_context().get_node_id()).touch()

    def say(line):
        said.append(line)
        if "2 nodes" in line:
            mark.touch()
        elif not added:
            added.append(head.add())

    try:
        records, _ = collected(small_digits(lambda: Acting(wait)), lanes_of(6, together=3), head.address, say=say)
    finally:
        head.shoot(added[0])
    assert said[1] == "the Ray cluster has 2 nodes, 2 cores now"
    assert len(records) == 6
    assert added[0].node_id in {place.name for place in tmp_path.iterdir()}


def test_without_an_address_a_cluster_of_this_machine_is_made_and_ended(monkeypatch):
    import ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # Ray would change it for this whole process
    task, work, said, records = small_task(), lanes_of(3), [], []
    with engine_ray.Cluster(task, say=said.append) as cluster:
        assert cluster.processes == len(os.sched_getaffinity(0))
        train(cluster, work, on_record=records.append)
    assert not ray.is_initialized()
    assert said[0].startswith("Ray cluster on this machine: 1 node, ")
    alone = locally(task, work)
    assert len(records) == 3
    for record in records:
        assert_same(record, alone[record.identity])


def test_a_cluster_whose_head_dies_is_given_up_with_one_sentence(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(ray_nodes, "_MISSED_FOR", 4.0)
    own = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})

    def kill(_):
        if own.head_node.live_processes():
            own.head_node.kill_all_processes(check_alive=False, allow_graceful=False)

    try:
        with pytest.raises(InputError, match="has not answered for 4 s; what is finished is recorded, and the same"):
            collected(small_task(), lanes_of(1, epochs=100_000), own.address, on_epochs=kill)
    finally:
        own.shutdown()


def test_where_the_node_of_this_process_dies_that_is_said_before_ray_ends_it():
    from ray.cluster_utils import Cluster

    own = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})

    def kill(_):
        if not killed:
            killed.append(own.head_node.kill_raylet(check_alive=False))

    killed = []
    try:
        with pytest.raises(InputError, match="that this process belongs to is gone; what is finished is recorded"):
            collected(small_task(), lanes_of(1, epochs=100_000), own.address, on_epochs=kill)
    finally:
        own.shutdown()


HOLDS_A_SOCKET = """
import socket
import thalweg as tw
from sklearn.datasets import load_iris
from torch import nn

one = socket.socket()

def loss(output, targets):
    return nn.functional.cross_entropy(output, targets) + 0 * one.fileno()

task = tw.Task(model=lambda: nn.Linear(4, 3), data=load_iris(return_X_y=True), loss=loss, metric=tw.accuracy)
"""


def command(line, monkeypatch, capsys):
    """Return the exit code of a command line, and what it says on standard error."""
    monkeypatch.setattr(sys, "argv", ["thalweg", *shlex.split(line)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize("what", ["unreachable", "other versions", "a task that cannot travel"])
def test_the_command_refuses_in_one_sentence_and_writes_nothing(head, tmp_path, monkeypatch, capsys, what):
    (tmp_path / "my_task.py").write_text(HOLDS_A_SOCKET)
    monkeypatch.chdir(tmp_path)
    address, task, begins = head.address, "wine", "no node of the Ray cluster can train: "
    if what == "unreachable":
        address, begins = "127.0.0.1:9", "there is no Ray cluster at 127.0.0.1:9: connection refused"
    elif what == "other versions":
        monkeypatch.setattr(ray_nodes, "versions", lambda: {"python": "3.99", "thalweg": "1", "torch": "3.0.0"})
    else:
        task, begins = "my_task.py:task", "task my_task cannot be sent to other machines: "
    line = f"compare {task} --vary optimizer=sgd,adam --epochs 1 --engine ray --address {address} --out study"
    code, said = command(line, monkeypatch, capsys)
    assert code == 2
    assert said.startswith(f"thalweg: {begins}")
    assert said.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir() if file.name != "__pycache__"] == ["my_task.py"]


def test_a_plan_is_that_of_the_cluster(head, monkeypatch, capsys):
    line = "compare wine --vary optimizer=sgd,adam --epochs 1 --plan --engine ray --address "
    code, said = command(f"{line}127.0.0.1:9", monkeypatch, capsys)
    assert code == 2
    assert said.startswith("thalweg: there is no Ray cluster at 127.0.0.1:9: ")
    monkeypatch.setattr(sys, "argv", ["thalweg", *line.split(), head.address])
    with suppress(SystemExit):
        cli.main()
    first, how, size = capsys.readouterr().out.splitlines()
    assert first == f"Ray cluster at {head.address}: 1 node, 1 core"
    assert "process" not in how
    assert " runs of 2 recipes on wine: " in size
