"""What ``thalweg watch`` does until it is interrupted."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path

from thalweg.watch.events import Events
from thalweg.watch.server import Watcher

__all__ = ["follow"]


def follow(
    directory: Path | str,
    port: int | None = None,
    *,
    browser: bool = True,
    logs: Path | str | None = None,
    say: Callable[[str], None] = print,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Serve a study's page until Ctrl-C; the study is not touched.

    Args:
        directory: the study's; it may not be there yet.
        port: see `Watcher`.
        browser: open the page, where there is a display.
        logs: a directory that gets every run that is done as TensorBoard reads it; see `Events`.
        say: gets the lines that a person sees.
        wait: waits so many seconds.

    Raises:
        InputError: the port is taken, the directory holds something that is not a study, or ``logs`` cannot be
            written.
    """
    events = None if logs is None else Events(logs)
    with Watcher(directory, port) as watcher:
        opened = browser and _display() and _opened(watcher.address)
        there = "" if watcher.reader.there else f"; {directory} has no records yet, the page waits for them"
        say(f"{'opened' if opened else 'the page is at'} {watcher.address}{there}")
        if not opened and os.environ.get("SSH_CONNECTION"):
            say(f"from another machine: ssh -L {watcher.port}:127.0.0.1:{watcher.port} HOST, then this address there")
        if events is not None:
            say(f"for TensorBoard: tensorboard --logdir {events.directory}")
        say("Ctrl-C ends watching; the study goes on")
        try:
            while True:
                if events is not None:
                    with watcher.reader.lock:
                        watcher.reader.read()
                        runs, entries = dict(watcher.reader.runs), list(watcher.reader.entries)
                        task = watcher.reader.facts.get("task") or {}
                    name = str((task.get("metric") or {}).get("name") or "metric")
                    events.write(runs, entries, name)
                wait(2.0)
        except KeyboardInterrupt:
            say("\nwatching ended; the study is as it was")


def _display() -> bool:
    """Return whether a browser would be seen; one in the terminal is not wanted."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _opened(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
