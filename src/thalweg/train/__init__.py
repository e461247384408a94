"""Training: one step, the loop, many models at once."""

from thalweg.train.executors import EXECUTORS
from thalweg.train.population import Population, Result, train
from thalweg.train.state import Member, RunState, begin

__all__ = ["EXECUTORS", "Member", "Population", "Result", "RunState", "begin", "train"]
