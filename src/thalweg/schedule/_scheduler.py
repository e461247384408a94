"""A schedule as a ``torch.optim.lr_scheduler.LRScheduler``, for loops that want one."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from thalweg.errors import InputError, spelt
from thalweg.schedule._technique import Schedule, ScheduleTechnique, State

__all__ = ["Scheduler"]


@spelt
class Scheduler(LRScheduler):
    """Writes a schedule's rates into an optimizer's groups: each group's own rate times the multiplier.

    Call ``step()`` after each step of the optimizer. Where a part follows a metric, ``step(metric)`` is a step that
    brings one along, and ``observe(metric)`` brings one without being a step.

    What it keeps is the step, each group's own rate, and what was seen of the metric; every rate is computed from
    these anew. So it may be made and loaded before or after the optimizer is, in any order, and goes on with the
    rates that there would have been.

    Args:
        optimizer: any of torch's kind. A group's own rate is its ``"initial_lr"``, if it has one, as in torch; else
            its ``"lr"``. A group that is added later has its own rate too, and follows the schedule from its first
            step on.
        schedule: of `thalweg.schedule`.
        total: the run's steps, where the schedule has parts that last a share of them or what they leave.
        step: how many steps have been taken already, for a run whose scheduler was not saved.
        higher_is_better: of the metric, if a part follows one; a loss is better when it is lower.

    Raises:
        InputError: a schedule whose lengths are open or add up to more than ``total``.

    >>> import torch
    >>> from thalweg import schedule
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    >>> scheduler = schedule.Scheduler(optimizer, schedule.warmup(2) >> schedule.linear(), total=4)
    >>> for _ in range(4):
    ...     print(scheduler.get_last_lr())
    ...     optimizer.step()
    ...     scheduler.step()
    [0.05]
    [0.1]
    [0.1]
    [0.05]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule | ScheduleTechnique,
        total: int | None = None,
        *,
        step: int = 0,
        higher_is_better: bool = False,
    ) -> None:
        # torch's own constructor would wrap the optimizer's step, to warn of an order that does not matter here.
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(f"a scheduler takes a torch optimizer, not {type(optimizer).__name__}")
        whole = schedule() if isinstance(schedule, ScheduleTechnique) else schedule
        if not isinstance(whole, Schedule):
            raise InputError(f"a scheduler takes a schedule such as schedule.cosine(1000), not {schedule!r}")
        for name, value, least in (("total", total, 1), ("step", step, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")
        self.optimizer = optimizer
        self.schedule = whole.resolved(total)
        self.higher_is_better = higher_is_better
        self.seen: State = self.schedule.start()
        self.base_lrs: list[float | Tensor] = []
        self.last_epoch = step - 1
        self._initial_step()
        itself = weakref.ref(self)
        optimizer.register_step_pre_hook(lambda *_: _take_in(itself()))

    def step(self, metric: Any = None) -> None:
        """Count a step of the optimizer, and set the rates of the next.

        Args:
            metric: what was measured after it, a number or a tensor of one; for schedules that follow one.

        Raises:
            InputError: a metric for a schedule that follows none.
        """
        self._step_count += 1
        if metric is None:
            self._update_lr()
        else:
            number = self._number(metric)
            self.last_epoch += 1
            self.seen = self.schedule.observe(self.seen, number, self.last_epoch)
            self._write()

    def observe(self, metric: Any) -> None:
        """Take a metric that was measured after the steps so far, and set the rates of the next step.

        Raises:
            InputError: the schedule follows no metric.
        """
        self.seen = self.schedule.observe(self.seen, self._number(metric), self.last_epoch)
        self._write()

    def get_lr(self) -> list[float | Tensor]:
        """Return each group's rate for the next step, computed from the step."""
        self._take_in()
        multiplier = self.schedule(max(self.last_epoch, 0), self.seen)
        return [float(base) * multiplier for base in self.base_lrs[: len(self.optimizer.param_groups)]]

    def get_last_lr(self) -> list[float | Tensor]:
        """Return each group's rate for the next step."""
        return self.get_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return the step, each group's own rate, and what was seen of the metric: numbers and lists of numbers."""
        self._take_in()
        return {
            "step": self.last_epoch,
            "base_lrs": [float(base) for base in self.base_lrs],
            "seen": [list(part) for part in self.seen],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state: set the rates to what they were, whether the optimizer was loaded or will be.

        Raises:
            InputError: the state is no scheduler's, or another schedule's; nothing has been changed then.
        """
        try:
            step, bases, seen = (state_dict[name] for name in ("step", "base_lrs", "seen"))
            step, bases = int(step), [float(base) for base in bases]
            seen = tuple(tuple(part) for part in seen)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                'a scheduler\'s state holds "step", "base_lrs" and "seen"; this one does not: '
                "what torch's schedulers save cannot be loaded, but Scheduler(…, step=n) starts at a step"
            ) from error
        if [len(part) for part in seen] != [len(part) for part in self.schedule.start()]:
            raise InputError(f"the saved state is not of the schedule {self.schedule.name}")
        self.last_epoch, self._step_count, self.base_lrs, self.seen = step, step + 1, bases, seen
        for group, base in zip(self.optimizer.param_groups, bases, strict=False):
            group["initial_lr"] = base
        self._write()

    def _update_lr(self, epoch: int | None = None) -> None:
        """Go to a step, the next if none is given; torch's ``SequentialLR`` calls this."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write()

    def _take_in(self) -> None:
        """Note the own rate of groups that have not been seen, and give them their part of the schedule."""
        new = self.optimizer.param_groups[len(self.base_lrs) :]
        for group in new:
            base = group.setdefault("initial_lr", float(group["lr"]))
            self.base_lrs.append(float(base))
        if new:
            self._write()

    def _write(self) -> None:
        rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(float(rate))
            else:
                group["lr"] = rate
        self._last_lr = rates

    def _number(self, metric: Any) -> float:
        if not self.schedule.feedback:
            raise InputError(f"the schedule {self.schedule.name} follows no metric; call step() without one")
        try:
            number = float(metric)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"a metric is a number, not {type(metric).__name__}") from error
        return -number if self.higher_is_better else number


def _take_in(scheduler: Scheduler | None) -> None:
    if scheduler is not None and len(scheduler.base_lrs) < len(scheduler.optimizer.param_groups):
        scheduler._take_in()  # noqa: SLF001
