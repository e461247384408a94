"""Studies that are killed a hundred times, and checkpoints that are damaged in forty ways."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from clock import met

KILLS, INSIDE, DAMAGED = 100, 20, 40
ROOT = Path(__file__).parent.parent
TESTS = (
    "tests/study/test_many_kills.py::test_many_kills",
    "tests/train/test_checkpoint.py::test_40_damaged_files_are_40_times_named_and_survived",
)


def section() -> str:
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-m", "slow or not slow", *TESTS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "THALWEG_KILLS": str(KILLS), "THALWEG_KILLED": str(KILLS)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = re.search(r"(\d+) kills, (\d+) inside a write (\{.*\}), (\d+) within .*; (\d+) studies", done.stdout)
    survived = re.search(r"(\d+) cut short and (\d+) with one bit flipped were named and survived", done.stdout)
    if done.returncode or not said or not survived:
        raise RuntimeError(done.stdout + done.stderr)
    kills, inside, where, within, studies = said.groups()
    places = ", ".join(f"{place} {count}" for place, count in re.findall(r"'(.+?)': (\d+)", where))
    cut, flipped = map(int, survived.groups())
    enough = met(min(int(kills), int(studies)) >= KILLS and int(inside) >= INSIDE)
    return f"""## Killed, and damaged

A study of pictures with dropout, augmentation, schedules, averaging and plateau, on data whose order matters, in
one process and in two in turn; SIGKILL at a random moment, or inside a write, to all of its processes or to one;
then the same command again, until it is done. Compared with one that was left alone: records, and weights byte by
byte.

- {kills} kills, {inside} of them inside a write ({places}), {within} within the epoch of the kill before;
  {studies} studies came to their end, each to the same bits. Asked for: {KILLS} kills, {INSIDE} of them inside,
  and {KILLS} equal results; {enough}.
- {cut + flipped} damaged checkpoints, {cut} cut short and {flipped} with one bit flipped, were named, and the one
  before used. Asked for: {DAMAGED}; {met(cut + flipped >= DAMAGED)}.

It took {time.monotonic() - started:.0f} s.
"""
