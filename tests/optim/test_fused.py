"""The fused step: the numbers of the eager one, in any number of threads, with nothing taken on trust."""

import copy
import os
import signal
import subprocess
import sys
import threading
import time

import llvmlite.binding as llvm
import numpy as np
import pytest
import torch
from torch import nn

from thalweg import optim
from thalweg.errors import InputError
from thalweg.optim._executors import fused, machine, reader
from thalweg.optim._executors.kernel import _Builder, kernel
from thalweg.optim._executors.lifting import lift
from thalweg.optim._executors.population import PopulationStep
from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import absolute, maximum, minimum, sign, sqrt, where

FORMULAS = [technique for technique in optim.CATALOGUE.values() if technique.scope == "element"]
CLASSES = [
    getattr(optim, name)
    for name in optim.__all__
    if name[0].isupper() and name not in ("CATALOGUE", "Optimizer") and getattr(optim, name).face.plain in FORMULAS
]
by_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)

HARD = [0.0, -0.0, 1e-45, -1e-45, 1e-39, 1e-20, 1.0, -1.0, 1e19, -1e30, float("inf"), -float("inf"), float("nan")]
"""Zeros, denormals, what overflows when squared, and what is not a number."""


def _steps(optimizer, params, gradients):
    for g in gradients:
        for p in params:
            p.grad = g.to(p.dtype).clone()
        optimizer.step()


def _like(a, b, eps, before=0.0):
    """Return whether two are the same kind of number everywhere, and close where finite.

    What is left of numbers as large as those before, which took each other away, is as close as these were.
    """
    same_kind = (a.isnan() == b.isnan()) & (a.isposinf() == b.isposinf()) & (a.isneginf() == b.isneginf())
    finite = a.isfinite() & b.isfinite()
    near = (a - b).abs() <= eps * torch.maximum(b.abs(), torch.as_tensor(before).abs().to(b)) + 1e-30
    return bool(same_kind.all()) and bool(near[finite].all())


@by_class
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_hard_values_come_out_alike(cls, dtype):
    """Each hard gradient on each hard parameter, once, and once more after a tame gradient."""
    hard = torch.tensor(HARD, dtype=torch.float64).to(dtype)
    p, g = (x.reshape(-1) for x in torch.meshgrid(hard, hard, indexing="ij"))
    tame = torch.linspace(-1, 1, len(p), dtype=torch.float64).to(dtype)
    ends = []
    for executor in ("fused", "eager"):
        q = nn.Parameter(p.clone())
        step = cls([q], lr=0.5, executor=executor)
        _steps(step, [q], [g])
        before = q.detach().double()
        _steps(step, [q], [tame])
        ends.append([q.detach().double(), *(x.double() for x in step.state[q].values() if x.dim())])
    for i, (fused_end, eager_end) in enumerate(zip(*ends, strict=True)):
        assert _like(fused_end, eager_end, 16 * torch.finfo(dtype).eps, before if i == 0 else 0.0)


@optimizer(source="a test", space={})
def signs(p, g, *, t):
    """One word as a formula."""
    return (sign(g),)


@optimizer(source="a test", space={})
def absolutes(p, g, *, t):
    """One word as a formula."""
    return (absolute(g),)


@optimizer(source="a test", space={})
def maxima(p, g, *, t):
    """One word as a formula."""
    return (maximum(g, p),)


@optimizer(source="a test", space={})
def maxima_of_numbers(p, g, *, t):
    """One word as a formula."""
    return (maximum(g, 0.5),)


@optimizer(source="a test", space={})
def minima(p, g, *, t):
    """One word as a formula."""
    return (minimum(g, p),)


@optimizer(source="a test", space={})
def roots(p, g, *, t):
    """One word as a formula."""
    return (sqrt(g),)


@optimizer(source="a test", space={})
def choices(p, g, *, t):
    """One word as a formula; a comparison with what is not a number does not hold."""
    return (where(g > p, p, g),)


WORDS = [signs, absolutes, maxima, maxima_of_numbers, minima, roots, choices]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_not_a_number_stays_so_in_every_word(word, dtype):
    hard = torch.tensor(HARD, dtype=dtype)
    p, g = (x.reshape(-1).contiguous() for x in torch.meshgrid(hard, hard, indexing="ij"))
    (expected,) = word.formula(p, g, t=1)
    out, constants = p.clone(), np.full(1, 0.5)
    table = np.array([[len(p), constants.ctypes.data, out.data_ptr(), g.data_ptr()]])
    kernel(word, str(dtype).removeprefix("torch."))(table.ctypes.data, 0, 1)
    assert torch.equal(out.isnan(), expected.isnan())
    eps = torch.finfo(dtype).eps  # torch's square root is out by a bit at times
    assert torch.allclose(out.nan_to_num(), expected.nan_to_num(), rtol=eps, atol=0)
    assert expected[g.isnan()].isnan().all()


# -- nothing is taken on trust ----------------------------------------------------------------------------


@pytest.fixture(params=["compiled", "in Python"])
def reading(request, monkeypatch):
    """Addresses read by compiled code, and by the same questions in Python."""
    if request.param == "in Python":
        monkeypatch.setattr(reader, "available", lambda: False)
    elif not reader.available():
        pytest.skip("this torch does not publish what it takes")
    return request.param


def test_compiled_reading_is_there():
    """On the torch that is tested with; elsewhere Python reads, more slowly."""
    assert reader.available()


def test_both_readings_step_alike(reading):
    """Gradients of every kind, laid out in every way, on parameters with and without a gradient."""
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(n, 3)) for n in range(1, 9)]
    twins = copy.deepcopy(params)
    first, second = optim.Adam(params), optim.Adam(twins, executor="eager")
    for i in range(8):
        for j, (p, q) in enumerate(zip(params, twins, strict=True)):
            g = torch.randn(p.shape)
            p.grad = None if (i + j) % 5 == 0 else g.t().contiguous().t() if (i + j) % 3 == 0 else g
            q.grad = None if p.grad is None else p.grad.clone()
        first.step()
        second.step()
    assert all(torch.allclose(p, q, rtol=1e-5, atol=1e-6) for p, q in zip(params, twins, strict=True))
    assert (first._plans[0].batches[0].reader is None) == (reading == "in Python")


def _worse(change, p, optimizer):
    kept = optimizer.state[p]
    match change:
        case "parameter shorter":
            p.data = torch.ones(2)
        case "parameter of another type":
            p.data = p.data.double()
        case "parameter set to other memory":
            with torch.no_grad():
                p.set_(torch.ones(2))
        case "state resized":
            kept["exp_avg"].resize_(1)
        case "state of another type":
            kept["exp_avg"] = kept["exp_avg"].double()
        case "state set to other memory":
            kept["exp_avg"].set_(torch.ones(2, dtype=torch.float32))
        case "state gone":
            kept["exp_avg"] = "gone"


@pytest.mark.parametrize(
    "change",
    [
        "parameter shorter", "parameter of another type", "parameter set to other memory", "state resized",
        "state of another type", "state set to other memory", "state gone",
    ],
)  # fmt: skip
def test_what_was_changed_behind_its_back_is_refused(reading, change):
    params = [nn.Parameter(torch.ones(64)) for _ in range(3)]
    step = optim.Adam(params)
    _steps(step, params, [torch.ones(64)] * 2)
    params[1].grad = None
    _worse(change, params[1], step)
    for p in params:
        p.grad = torch.ones_like(p)
    before = [p.detach().clone() for p in params]
    with pytest.raises(InputError, match="the state of Adam keeps"):
        step.step()
    assert all(torch.equal(a, b) for a, b in zip(before, params, strict=True))


@pytest.mark.parametrize("key", ["exp_avg", "step", "everything"])
def test_state_put_in_its_place_counts(reading, key):
    p = nn.Parameter(torch.ones(8))
    step = optim.Adam([p])
    _steps(step, [p], [torch.ones(8)] * 3)
    if key == "everything":
        step.state[p] = {}
    else:
        step.state[p][key] = torch.zeros_like(step.state[p][key])
    _steps(step, [p], [torch.ones(8)])
    kept = step.state[p]
    assert int(kept["step"]) == (4 if key == "exp_avg" else 1)
    assert torch.allclose(kept["exp_avg"], torch.full((8,), 0.1)) == (key != "step")


def test_a_parameter_put_in_anothers_place_is_stepped(reading):
    """The group's list edited by hand, of equal values, so that only the object tells."""
    params = [nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))]
    step = optim.Adam(params, lr=0.1)
    _steps(step, params, [torch.ones(1)])
    new = nn.Parameter(params[0].detach().clone())
    step.param_groups[0]["params"][0] = new
    params[0].grad = None
    new.grad = torch.ones(1)
    params[1].grad = torch.ones(1)
    before = params[0].item()
    step.step()
    assert new.item() != before == params[0].item()
    assert int(step.state[new]["step"]) == 1


# -- threads and processes -----------------------------------------------------------------------------------

LARGE = [fused.ALONE + 1, 3 * fused.PIECE + 17, 5, fused.PIECE, 1000, 0, fused.PIECE + 1]


def _trained(dtype=torch.float32, cls=optim.Adam, steps=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    params = [nn.Parameter(torch.randn(n, generator=generator).to(dtype)) for n in LARGE]
    step = cls(params, lr=0.1)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(dtype)
        step.step()
    return torch.cat([p.detach() for p in params])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64], ids=str)
def test_threads_change_no_bit(dtype):
    alone = _trained(dtype)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        assert torch.equal(_trained(dtype), alone)


@pytest.mark.parametrize("threads", [1, 2])
def test_optimizers_in_threads_of_their_own_do_not_meet(threads):
    classes = [optim.Adam, optim.SGD, optim.RMSprop, optim.Adam]
    expected = [_trained(cls=cls, seed=i) for i, cls in enumerate(classes)]
    found = [None] * len(classes)

    def train(i):
        torch.set_num_threads(threads)
        found[i] = _trained(cls=classes[i], seed=i)

    torch.set_num_threads(threads)
    workers = [threading.Thread(target=train, args=(i,)) for i in range(len(classes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_steps_with_threads_of_its_own():
    p = nn.Parameter(torch.ones(fused.ALONE + 3))
    p.grad = torch.ones_like(p)
    step = optim.SGD([p], lr=0.25)
    torch.set_num_threads(2)
    step.step()  # the parent's threads have been started
    child = os.fork()
    if child == 0:
        step.step()
        os._exit(0 if bool((p.detach().numpy() == 0.5).all()) else 1)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child waits for threads that it does not have")
    assert status == 0
    step.step()
    assert (p == 0.5).all()


# -- what it costs ---------------------------------------------------------------------------------------------


def _alone(script):
    """Run a script in a process of its own; return what it prints, as numbers."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=500)
    return [float(word) for word in done.stdout.split()]


HIGH_WATER = """
import resource, torch
from torch import nn
from thalweg import optim
torch.set_num_threads(2)
warm = nn.Parameter(torch.ones(1 << 20)); warm.grad = torch.ones_like(warm)
w = optim.{name}([warm]); w.step(); w.step()
params = [nn.Parameter(torch.ones(1 << 22)) for _ in range(25)]
for p in params:
    p.grad = torch.ones_like(p)
step = optim.{name}(params)
step.step()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
for _ in range(3):
    step.step()
print((peak() - before) / (25 * 4 * (1 << 22)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Adam", "SGD", "NAdam"])
def test_a_step_needs_no_memory_beside_state(name):
    """The process's high-water mark rises by at most 1 % of 420 MB of parameters after the first step."""
    (share,) = _alone(HIGH_WATER.format(name=name))
    assert share <= 0.01


COLD = """
import time, torch
from torch import nn
from thalweg import optim
torch.set_num_threads(1)
for name in optim.__all__:
    if name[0].isupper() and name not in ("CATALOGUE", "Optimizer"):
        params = [nn.Parameter(torch.ones(30, 20)), nn.Parameter(torch.ones(30))]
        step = getattr(optim, name)(params)
        for p in params:
            p.grad = torch.ones_like(p)
        begin = time.process_time()
        step.step()
        print(time.process_time() - begin)
"""


@pytest.mark.slow
def test_a_first_step_does_not_keep_one_waiting():
    """2 s of computing at most, building the kernel included, whichever the class."""
    assert max(_alone(COLD)) <= 2.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_compiled_step_is_the_eager_one():
    """On the CPU, where the fused one is usually taken; for more groups than torch compiles one piece of code."""
    params = [nn.Parameter(torch.linspace(-1, 1, n)) for n in range(2, 12)]
    twins = copy.deepcopy(params)
    steps = [
        optim.Adam([{"params": [p]} for p in mine], lr=0.01, executor=executor)
        for mine, executor in ((params, "compiled"), (twins, "eager"))
    ]
    for i in range(3):
        for p, q in zip(params, twins, strict=True):
            p.grad = torch.cos(p.detach() * (i + 1))
            q.grad = torch.cos(q.detach() * (i + 1))
        for step in steps:
            step.step()
    assert all(torch.allclose(p, q, rtol=1e-5, atol=1e-6) for p, q in zip(params, twins, strict=True))


def test_a_kernel_that_is_freed_takes_nothing_with_it_that_another_needs():
    """An engine owns the machine that it was compiled for, and frees it."""
    code = (
        "import gc; from thalweg import optim; from thalweg.optim._executors.kernel import kernel\n"
        "for _ in range(3):\n"
        "    made = [kernel(t, 'float32') for t in optim.CATALOGUE.values() if t.scope == 'element']\n"
        "    del made; kernel.cache_clear(); gc.collect()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_machine_code_is_kept_and_what_is_damaged_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))
    made, emit = [], llvm.TargetMachine.emit_object
    monkeypatch.setattr(llvm.TargetMachine, "emit_object", lambda *given: made.append(given) or emit(*given))
    module = _Builder(optim.adam, "float32", ()).module

    def updated():
        step = machine.compiled(module, interleaved=False)
        constants = np.arange(1, 1 + lift(optim.adam).count, dtype=np.float32)
        columns = [constants, *(np.linspace(i, i + 1, 5, dtype=np.float32) for i in range(1, 5))]
        table = np.array([[5, *(column.ctypes.data for column in columns)]])
        step(table.ctypes.data, 0, 1)
        return columns[1].tobytes()

    first = updated()
    assert [updated(), updated()] == [first, first]
    assert len(made) == 1
    (path,) = (tmp_path / "machine").iterdir()
    content = path.read_bytes()
    for damaged in (content[:-1], content[:100] + bytes([content[100] ^ 1]) + content[101:], b""):
        path.write_bytes(damaged)
        assert updated() == first
    assert len(made) == 4
    assert machine.compiled(_Builder(optim.sgd, "float32", ()).module) is not None
    assert len(list((tmp_path / "machine").iterdir())) == 2, "another formula is other code"


@pytest.mark.parametrize("technique", FORMULAS, ids=lambda technique: technique.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_updated_the_same_by_pieces(technique, dtype):
    """Gradients may lie where backward has left them, parameter by parameter."""
    shapes = [(5, 7), (3,), (1,), (129, 2), ()]
    sizes = [int(np.prod(shape)) for shape in shapes]
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, sum(sizes), generator=generator, dtype=dtype)
    values = [{**dict(technique().resolved().values), "lr": 0.01 * (i + 1)} for i in range(3)]
    whole, cut = (PopulationStep(technique, values, start.clone(), shapes) for _ in range(2))
    assert cut.takes_pieces
    for t in range(1, 4):
        gradients = torch.randn(3, sum(sizes), generator=generator, dtype=dtype)
        pieces = [
            [x.clone().view(shape) for x, shape in zip(row.split(sizes), shapes, strict=True)] for row in gradients
        ]
        whole.step(gradients, t, np.array([1.0, 0.5, 2.0]))
        cut.step(pieces, t, np.array([1.0, 0.5, 2.0]))
        assert torch.equal(whole.parameters, cut.parameters)
        for row in range(3):
            ones, others = whole.kept(row), cut.kept(row)
            assert all(map(torch.equal, ones[0], others[0])), t
            assert ones[1] == others[1]
