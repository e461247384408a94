"""What it costs a study to be watched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from statistics import median

from clock import met, spent, table

PAIRS, TARGET, POLL = 5, 0.02, 1.5
COMMAND = str(Path(sys.executable).with_name("thalweg"))
STUDY = "compare wine --vary optimizer=sgd,momentum,adam,rmsprop --trials 8 --seeds 10 --processes 2 --out"
WRITES = """
import sys, time
from thalweg.study.live import Live
spent, whole = [], Live.write
def write(self):
    started = time.process_time()
    whole(self)
    spent.append(time.process_time() - started)
Live.write = write
from thalweg.cli import main
try:
    main()
finally:
    with open(sys.argv[-1] + ".spent", "w") as file:
        file.write(f"{len(spent)} {sum(spent)}")
"""


def figures() -> str:
    """Return the CPU time of a study alone and watched, in pairs, and of its watcher, as Markdown."""
    alone, watched, watchers, writes = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(PAIRS):
            for kind in ("alone", "watched") if pair % 2 == 0 else ("watched", "alone"):
                directory = Path(folder) / f"{pair}-{kind}"
                if kind == "alone":
                    alone.append(_study(directory)[0])
                else:
                    _watched(directory, watched, watchers, writes)
    ratios = [b / a for a, b in zip(alone, watched, strict=True)]
    shares = [(w + row) / a for a, w, row in zip(alone, watchers, writes, strict=True)]
    rows = [
        ["the study, CPU, alone", f"{median(alone):.1f} s", "", ""],
        ["the study, CPU, watched", f"{median(watched):.1f} s", "", ""],
        ["watched to alone, pair by pair", f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", "", ""],
        ["the watcher, CPU while the study runs", f"{median(watchers):.2f} s", "", ""],
        ["of the study’s: writing its progress", f"{median(writes):.2f} s", "", ""],
        [
            "the watcher and the writing, in parts of the study", f"{100 * median(shares):.2f} %",
            f"≤ {100 * TARGET:g} %", met(median(shares) <= TARGET),
        ],
    ]  # fmt: skip
    return f"""### A study, watched

`thalweg {STUDY} DIR` alone, and with `thalweg watch DIR` whose page asks
every {POLL:g} s; medians of {PAIRS} pairs, in turn. The study writes its progress in both, so that anyone may begin
to watch; the ratio of the two shows what the reader costs the writer, and how much of it is noise. The browser's own
time is not in it.

{table(["", "measured", "target", ""], rows)}"""


def _study(directory: Path) -> tuple[float, float]:
    """Run the study; return its CPU seconds, and those of them that went into writing its progress."""
    _, cpu = spent([sys.executable, "-c", WRITES, *STUDY.split(), str(directory)])
    return cpu, float(Path(f"{directory}.spent").read_text().split()[1])


def _watched(directory: Path, watched: list[float], watchers: list[float], writes: list[float]) -> None:
    command = [COMMAND, "watch", str(directory), "--no-open", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watcher:
        assert watcher.stdout is not None
        address = next(word for word in watcher.stdout.readline().split() if word.startswith("http")).rstrip(";")
        ended = threading.Event()
        page = threading.Thread(target=_ask, args=(address, ended))
        before = _cpu_of(watcher.pid)
        page.start()
        cpu, writing = _study(directory)
        watchers.append(_cpu_of(watcher.pid) - before)
        ended.set()
        page.join()
        watcher.terminate()
    watched.append(cpu)
    writes.append(writing)


def _ask(address: str, ended: threading.Event) -> None:
    """Do what the page does."""
    while not ended.wait(POLL):
        with suppress(OSError), urllib.request.urlopen(f"{address}state?seen=", timeout=10) as answer:
            answer.read()


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    started = time.perf_counter()
    print(figures())
    print(f"{time.perf_counter() - started:.0f} s")
