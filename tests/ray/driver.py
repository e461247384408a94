"""A study on a cluster, as a process that can be killed: what is recorded in a directory is not done again."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from test_lost import EPOCHS
from work import chunks_of, small_task

from thalweg.record import Store
from thalweg.study import engine_ray

if __name__ == "__main__":
    torch.set_num_threads(1)
    address, out = sys.argv[1:]
    with Store(out, write=True) as store:
        done = store.finished()
        work = []
        for chunk in chunks_of(20, epochs=EPOCHS):
            left = tuple(run for run in chunk.runs if run[0] not in done)
            work += [replace(chunk, runs=left)] if left else []
        engine_ray.execute(
            small_task(), work, on_record=store.add_run, on_epochs=lambda _: None, address=address, say=print
        )
