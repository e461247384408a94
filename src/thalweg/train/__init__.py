"""Training: one step, the loop, many models at once."""

from thalweg.train.population import Member, Result, train
from thalweg.train.step import EXECUTORS

__all__ = ["EXECUTORS", "Member", "Result", "train"]
