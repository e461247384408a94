"""Studies: many runs with a plan, and the verdict."""

from thalweg.study.ablate import ablate
from thalweg.study.before import explain
from thalweg.study.budget import parse_duration
from thalweg.study.script import export
from thalweg.study.single import Trained, train
from thalweg.study.study import Study, compare
from thalweg.study.tickets.lottery import Lottery, lottery
from thalweg.task.task import on_task

__all__ = [
    "Lottery", "Study", "Trained", "ablate", "compare", "explain", "export", "lottery", "parse_duration", "train",
]  # fmt: skip

ablate, compare, explain = on_task(ablate), on_task(compare), on_task(explain)
lottery, train = on_task(lottery), on_task(train)
