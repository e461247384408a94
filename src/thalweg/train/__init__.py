"""Training: one step, the loop, many models at once."""

import os

# By default, the last bits of MKL's products depend on where their memory is aligned, and so on a run's place in its
# population. MKL reads this at its first call; it costs nothing that could be measured.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from thalweg.train.company import Result
from thalweg.train.executors import EXECUTORS
from thalweg.train.population import Population, train
from thalweg.train.state import Member, RunState, begin

__all__ = ["EXECUTORS", "Member", "Population", "Result", "RunState", "begin", "train"]
