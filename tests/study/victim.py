"""A small study for tests to kill; as a script, ``python victim.py`` runs one for each line of JSON that it reads.

Each is a process of its own in a session of its own, forked from the script's, which has imported all there is to
import: its number is printed, and its exit code when it has ended. Where the line asks for it, a process of the
study stops itself (SIGSTOP) inside a write, where it can be killed at leisure.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.recipe import Together
from thalweg.record import Store
from thalweg.study import before, study
from thalweg.study.engines import lanes
from thalweg.study.engines import local as engine_local
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan

CHECKPOINT = ("write", "fsync", "replace", "unlink")
"""Calls of the system inside the write of a checkpoint before which it can stop; the first one half done."""

RECORD = ("INSERT INTO curve", "INSERT INTO outcome", "COMMIT")
"""Statements inside the transaction that records a run before which it can stop."""

STEPS = {20: 9, 30: 6}
"""Of an epoch of 180 examples, by the batch size."""


def net():
    hidden = nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), *hidden, nn.Linear(16, 10))


def task():
    """Return a task of pictures whose metric shows every bit of the weights."""
    entropy = tw.Metric("entropy", lambda output, y: F.cross_entropy(output, y, reduction="none"), False)
    inputs, targets = load_digits(return_X_y=True)
    data = inputs[:300].reshape(-1, 1, 8, 8), targets[:300]
    return tw.Task(
        model=net, data=data, loss=F.cross_entropy, metric=entropy, name="small digits", standardize=True
    )  # fmt: skip


def recipes():
    falls = tw.schedule.warmup(3) >> tw.schedule.plateau(patience=0, factor=0.5, threshold=0.2)
    rate = tw.Choice((0.003, 0.01))  # of which there is no curve
    return {
        "adam": tw.Recipe(
            tw.optim.adam(lr=rate), falls, epochs=4, batch_size=20, average=tw.average.ema(),
            augment=tw.augment.flip() >> tw.augment.ssr(),
        ),
        "momentum": tw.Recipe(
            tw.optim.momentum(lr=rate), tw.schedule.warmup(5) >> tw.schedule.cosine(), epochs=3, batch_size=20,
            average=tw.average.swa(), gradient=tw.gradient.clip_norm(1.0),
        ),
        "lookahead": tw.Recipe(
            tw.optim.sgd(lr=rate), falls, epochs=2, batch_size=30, wrapper=tw.wrapper.lookahead(k=4),
        ),
    }  # fmt: skip


PLANS = {
    Together(batch_size=20): Plan("vmapped", 4, 1e-3, 1e-3, "as said"),
    Together(batch_size=30): Plan("one by one", 1, 1e-3, 1e-3, "as said"),
}


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def stop_in_checkpoint(call, count, executor=None):
    """Stop in the so-manieth checkpoint that a process writes; of lanes with an executor, if one is named."""
    save, calls = Checkpoints.save, {name: getattr(os, name) for name in CHECKPOINT}

    def stopping(*given, **named):
        setattr(os, call, calls[call])
        if call == "write":
            os.write(given[0], given[1][: len(given[1]) // 2])
        stop()
        return calls[call](*given, **named)

    def saving(self, name, tensors, facts):
        nonlocal count
        count -= executor in (None, facts["executor"])
        if count == 0:
            setattr(os, call, stopping)
        return save(self, name, tensors, facts)

    Checkpoints.save = saving


def stop_in_record(statement, count):
    """Stop in the transaction of the so-manieth run that is recorded."""
    add_run = Store.add_run

    def adding(self, run):
        nonlocal count
        count -= 1
        if count == 0:
            self._database.execute("PRAGMA cache_size = 1")  # what is written so far lies on the disk by then
            self._database.set_trace_callback(lambda said: said.startswith(statement) and stop())
        add_run(self, run)

    Store.add_run = adding


def keep_weights(folder):
    """Have every run's final weights written down where its record is made."""
    record_of = lanes.record_of
    lanes.Population = partial(lanes.Population, keep_weights=True)

    def recording(run, executor, result):
        temporary = Path(folder, f"{run[0]}.{os.getpid()}")
        save_file({name: x.contiguous() for name, x in result.weights.items()}, temporary)
        temporary.replace(Path(folder, f"{run[0]}.safetensors"))
        return record_of(run, executor, result)

    lanes.record_of = recording


def run(out, weights, processes, seconds=0.02, stop=None, cache=None):
    """Do the study.

    Args:
        out: its directory.
        weights: the folder that gets each run's final weights.
        processes: how many.
        seconds: from one checkpoint of a lane to the next.
        stop: where to stop, if anywhere: one of `CHECKPOINT` or `RECORD`, at which of them, and of whom.
        cache: where compiled code is kept, if the steps of batches of 20 are to be compiled.
    """
    torch.set_num_threads(1)
    plans = dict(PLANS)
    if cache is not None:
        os.environ |= {"THALWEG_CACHE": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
        # As slow as this, it is faster once it is compiled, however long that is measured to take.
        plans[Together(batch_size=20)] = Plan("vmapped", 4, 1e3, 1e-3, "as said", "pending", 4)
    study.make_plans = lambda task, named, protocol, *_: (plans, protocol)

    class Local(engine_local.Local):
        def __init__(self, *given, **named):
            super().__init__(*given, **named, seconds=seconds)

    before.Local = Local
    keep_weights(weights)
    if stop is not None:
        (stop_in_checkpoint if stop[0] in CHECKPOINT else stop_in_record)(*stop)
    tw.compare(task(), recipes(), trials=2, seeds=2, out=out, processes=processes, progress=False)


def serve():
    importlib.import_module("torch._dynamo")  # which vmap does where it is first called

    importlib.import_module("thalweg.report.writing").libraries()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setsid()
                run(**json.loads(line))
                code = 0
            except KeyboardInterrupt:
                code = 130
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
