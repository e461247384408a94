"""What becomes of a lane of a cluster that is lost: it is sent again, or its runs are tried apart, or have failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from thalweg.record import RunRecord
from thalweg.report.methods import counted
from thalweg.study.engines.kept import Kept, on_from
from thalweg.study.engines.lanes import Lane, failed, run_of, went_on
from thalweg.study.engines.order import Order
from thalweg.train import RunState

__all__ = ["AGAIN", "Again", "Sent", "epochs_in", "epochs_of", "made_of"]

AGAIN = 3
"""How often a lane that is lost without having got on is sent again before its runs are tried one by one."""


@dataclass
class Sent:
    """A lane at work.

    Attributes:
        lane: its runs, as they began here.
        node: where it is.
        told: how many epochs of its runs that are not done were told of.
        begun: whether it has a process.
        trains: whether that has all that it needs.
        silent: seconds for which it was listened to in vain.
        left: its runs that are not done, by identity.
    """

    lane: Lane
    node: str
    told: int = field(init=False)
    begun: bool = False
    trains: bool = False
    silent: float = 0.0
    left: dict[str, RunState] = field(init=False)

    def __post_init__(self) -> None:
        self.left = {state.member.identity: state for state in self.lane.states}
        self.told = epochs_in(self.lane.states)


@dataclass
class Again:
    """Sends again what is lost, by its own count.

    Attributes:
        order: gets what is to be trained again.
        kept: where lanes are kept.
        record: gets the record of a run that failed.
        count: gets how many epochs more, or fewer, runs have gone through.
        say: gets lines.
        was: on which node a lane was lost, by its name.
    """

    order: Order
    kept: Kept
    record: Callable[[RunRecord], None]
    count: Callable[[int], None]
    say: Callable[[str], None]
    was: dict[str, str] = field(default_factory=dict)

    def lost(self, one: Sent, reason: str, *, node_to_blame: bool = False) -> None:
        """Send what is left of a lost lane again, if anything is, or try its runs apart, or give up."""
        if not one.left:
            self.kept.remove(one.lane)
            return
        states = self.kept.of(one.lane, one.left)
        # Losses count where nothing was done between them, as on one machine.
        deaths = 1 if went_on(one.lane, one.left.keys(), states) else one.lane.deaths + 1
        if deaths <= (2 * AGAIN if node_to_blame else AGAIN):
            lane = replace(made_of(one.lane, states, compiles="yes"), deaths=deaths)
            self.was[lane.name] = one.node
            self.order.lanes.append(lane)
            self.count(epochs_in(states) - one.told)
            self.say(f"{reason}; {on_from(states)}")
        else:
            times = f"; lost {counted(deaths, 'time')} without getting on" if len(one.left) > 1 else ""
            self.apart(one, reason + times)

    def apart(self, one: Sent, reason: str, *, by_memory: bool = False) -> None:
        """Put a lane's runs that are left where they are tried again in other company, or record that one failed."""
        runs = [run_of(state.member) for state in one.left.values()]
        self.kept.remove(one.lane)
        self.count(-one.told)
        if len(runs) == 1 and (one.lane.deaths >= AGAIN or one.lane.executor == "one by one"):
            self.record(failed(runs[0], reason))
        else:
            self.say(self.order.apart(one.lane, runs, reason, by_memory=by_memory))


def made_of(lane: Lane, states: Sequence[RunState], *, compiles: str) -> Lane:
    """Return a lane of these runs, as it is trained on a cluster: by one thread, and compiled if that is the plan."""
    executor = "vmapped" if lane.executor == "compiled" and not compiles else lane.executor
    slots = lane.slots if executor == "compiled" else len(states)
    return replace(lane, executor=executor, slots=slots, states=tuple(states), threads=1)


def epochs_of(record: RunRecord) -> int:
    """Return how many epochs a run went through."""
    return 0 if record.curve is None else int((record.curve.step[1:] <= record.steps).sum())


def epochs_in(states: Sequence[RunState]) -> int:
    """Return how many epochs runs have gone through."""
    return sum(len(state.facts["losses"]) - 1 for state in states if "losses" in state.facts)
