"""Training: one step, the loop, many models at once."""

from thalweg.train.company import Result
from thalweg.train.executors import EXECUTORS
from thalweg.train.population import Population, train
from thalweg.train.state import Member, RunState, begin

__all__ = ["EXECUTORS", "Member", "Population", "Result", "RunState", "begin", "train"]
