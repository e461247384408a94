"""Studies: many runs with a plan, and the verdict."""

from thalweg.study.ablate import ablate
from thalweg.study.before import explain
from thalweg.study.budget import parse_duration
from thalweg.study.script import export
from thalweg.study.single import Trained, train
from thalweg.study.study import Study, compare
from thalweg.study.tickets.lottery import Lottery, lottery

__all__ = [
    "Lottery", "Study", "Trained", "ablate", "compare", "explain", "export", "lottery", "parse_duration", "train",
]  # fmt: skip
