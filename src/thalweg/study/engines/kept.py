"""Lanes as they were last kept, by an engine that is killed or loses them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from thalweg.report.methods import counted
from thalweg.study.engines.lanes import Lane, lane_left, lanes_left
from thalweg.train import RunState
from thalweg.train.checkpoint import Checkpoints

__all__ = ["SECONDS", "Kept", "on_from"]

SECONDS = 5.0
"""From one checkpoint of a lane on another machine to the next, at least."""

_BYTES = 20e6  # a second, of all lanes together: their checkpoints pass through one network and onto one disk
_WRITTEN_IN = 0.02  # seconds, of a small one; writing may take a tenth of the time


class Kept:
    """The checkpoints of lanes; what is damaged of them is said once.

    Args:
        checkpoints: of the study; None where nothing is kept.
        say: gets sentences.

    Raises:
        StoreError: in each method: the directory cannot be written, or read.
    """

    def __init__(self, checkpoints: Checkpoints | None, say: Callable[[str], None]) -> None:
        self.checkpoints, self.say = checkpoints, say

    def left(self, wanted: Collection[str]) -> list[Lane]:
        """Return the lanes of a study that was stopped, with the runs that are wanted; forget others."""
        lanes = []
        with self._telling_what_is_damaged():
            for lane in lanes_left(self.checkpoints, set()) if self.checkpoints is not None else ():
                states = tuple(state for state in lane.states if state.member.identity in wanted)
                if states:
                    lanes.append(replace(lane, states=states))
                else:
                    self.remove(lane)
        return lanes

    def of(self, lane: Lane, left: Mapping[str, RunState]) -> list[RunState]:
        """Return what is left of a lane as it was last kept, or as it began.

        Args:
            lane: which.
            left: its runs that are not done, as they began, by identity.
        """
        with self._telling_what_is_damaged():
            found = lane_left(self.checkpoints, lane.name) if self.checkpoints is not None else None
        kept = {state.member.identity: state for state in found.states} if found is not None else {}
        return [kept[name] for name in left] if left.keys() <= kept.keys() else list(left.values())

    @contextmanager
    def _telling_what_is_damaged(self) -> Iterator[None]:
        """Say of each damaged checkpoint that is met inside a ``with`` which it is, and what is used in its place."""
        damaged = self.checkpoints.damaged if self.checkpoints is not None else []
        before = len(damaged)
        yield
        for sentence in damaged[before:]:
            self.say(sentence)

    def pace(self, lanes: int) -> tuple[float, float] | None:
        """Return the least seconds from one checkpoint of a lane to the next, and its most bytes a second.

        None where nothing is kept.

        Args:
            lanes: how many are at work; where there are many, each is kept more seldom.
        """
        if self.checkpoints is None:
            return None
        return max(SECONDS, 10 * _WRITTEN_IN * lanes), _BYTES / max(1, lanes)

    def save(self, lane: Lane, tensors: Mapping[str, Tensor], facts: Any) -> None:
        """Keep a lane; see `thalweg.train.checkpoint.Checkpoints.save`."""
        if self.checkpoints is not None:
            self.checkpoints.save(lane.name, tensors, facts)

    def remove(self, lane: Lane) -> None:
        """Keep a lane no longer."""
        if self.checkpoints is not None:
            self.checkpoints.remove(lane.name)


def on_from(states: Sequence[RunState]) -> str:
    """Return how runs that `Kept.of` returned go on, in words."""
    one = len(states) == 1
    if any(state.tensors for state in states):
        then = "goes on from where it was last kept" if one else "go on from where they were last kept"
    else:
        then = "begins anew" if one else "begin anew"
    return f"{counted(len(states), 'run')} {then}"
