"""A study that is killed again and again, often inside a write, comes to the bits of one that was left alone."""

import os
import random
import signal
import sys
import time
from collections import Counter

import pytest
from killing import Victims, assert_same, family, is_recording, kill, standing, states, wait
from victim import CHECKPOINT, RECORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
]

LATEST = {**dict.fromkeys(CHECKPOINT, 7), **dict.fromkeys(RECORD, 3)}
"""At which of the writes of a process it is asked to stop, at the latest, by the place in the write."""


class Kills:
    """Studies that are killed until there have been enough kills, and compared with one that was left alone.

    Attributes:
        count: kills.
        inside: how many of them came inside a write, by the place in it.
        within: how many came within the epoch of the kill before, when a run had gone on from there by some steps.
        studies: how many came to their end.
    """

    def __init__(self, place):
        self.place, self.draw = place, random.Random(4)
        self.victims = [Victims(), Victims()]  # which differ in all that Python draws at random
        self.count, self.inside, self.within, self.studies = 0, Counter(), 0, 0
        started = time.monotonic()
        assert self.ends(self.begin("alone", 2)) == 0
        self.took = time.monotonic() - started

    def begin(self, name, processes, **more):
        """Begin a study or go on with it, in the script that was not asked last."""
        self.victims.reverse()
        weights = self.place / f"weights of {name}"
        weights.mkdir(exist_ok=True)
        self.victims[0].begin(self.place / name, weights, processes=processes, **more)
        return self.victims[0]

    def ends(self, victims):
        assert victims.is_over(120)
        return victims.code()

    def study(self, processes, times):
        """Kill a study until it is done, or enough have been killed; then have it done, and compare it."""
        name, stood, code = f"study {self.studies}", {}, None
        while self.count < times and code != 0:
            stop = None
            if self.draw.random() < 0.5:
                where = self.draw.choice(list(LATEST))
                stop = where, self.draw.randint(1, LATEST[where])
            victims = self.begin(name, processes, stop=stop, seconds=0 if stop else 0.02)
            if stop:
                wait(lambda v=victims: "T" in states(v.pid).values() or v.is_over())
            else:
                victims.is_over(self.draw.uniform(0, 0.3) * self.took)
            if not victims.is_over():
                self.kill(victims, self.place / name, stop)
            code = self.ends(victims)
            assert code in (0, -signal.SIGKILL)
            wait(lambda gone=victims.pid: not family(gone), seconds=10)
            stands = standing(self.place / name)
            self.within += any(
                step > before and step // epoch == before // epoch
                for run, (step, epoch) in stands.items()
                for before, _ in [stood.get(run, (step, epoch))]
            )
            stood = stands
        assert code == 0 or self.ends(self.begin(name, processes)) == 0
        self.compare(name)
        self.studies += 1

    def kill(self, victims, out, stop):
        """Kill all of a study's processes, the first alone, or another alone; that one it survives for a while."""
        first, found = victims.pid, states(victims.pid)
        waiting = [one for one, state in found.items() if state == "T"]
        whom = [list(found), [first]]
        if first not in waiting:
            whom.append([one for one in waiting or found if one != first][:1])
        if waiting and stop[0] in RECORD:
            assert is_recording(out)
        if waiting and stop[0] in ("write", "fsync", "replace"):  # of which whoever is left tidies up at once
            there = list(out.glob("checkpoints/*"))
            unfinished = {path.name.split(".")[2] for path in there if path.suffix == ".tmp"}
            # The first flush of all is that of the folder, in which there is nothing yet.
            assert unfinished & {str(one) for one in waiting} or (stop[0] == "fsync" and not there)
        self.die(self.draw.choice([some for some in whom if some]), waiting, stop)
        if not victims.is_over(self.draw.uniform(0, 0.3) * self.took):
            waiting = [one for one, state in states(first).items() if state == "T"]
            self.die(family(first), waiting, stop)

    def die(self, whom, waiting, stop):
        kill(whom)
        self.count += 1
        if waiting:
            self.inside[stop[0]] += 1

    def compare(self, name):
        assert_same(self.place / name, self.place / "alone")
        weights, whole = (
            {path.name: path.read_bytes() for path in (self.place / f"weights of {one}").glob("*.safetensors")}
            for one in (name, "alone")
        )
        assert len(whole) > 15
        assert weights == whole
        assert not list((self.place / name / "checkpoints").iterdir()), "nothing is left over"


def test_many_kills(tmp_path):
    """As many as ``THALWEG_KILLS`` says, and so many studies; one process and two in turn."""
    times, studies = (int(os.environ.get(f"THALWEG_{word}", least)) for word, least in (("KILLS", 30), ("KILLED", 2)))
    kills = Kills(tmp_path)
    try:
        while kills.count < times or kills.studies < studies:
            kills.study(1 + kills.studies % 2, max(times, kills.count + 1))
    finally:
        for victims in kills.victims:
            victims.close()
    inside = sum(kills.inside.values())
    print(f"{kills.count} kills, {inside} inside a write {dict(kills.inside)}, {kills.within} within an epoch of the "
          f"kill before; {kills.studies} studies to their end, each to the same bits")  # fmt: skip
    assert inside >= kills.count / 5
    assert kills.within >= times / 20
    assert kills.studies >= studies
