"""Joining a Ray cluster, or one sentence on why that cannot be."""

from __future__ import annotations

import atexit
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from thalweg.errors import InputError
from thalweg.task.reading import first_line

__all__ = ["answers", "installed", "joined"]

_REACHED_WITHIN = 8.0  # seconds for a connection
_JOINED_WITHIN = 20.0  # seconds for Ray to answer behind it
_LEFT_WITHIN = 10.0  # seconds for it to be told that this process leaves


def installed() -> Any:
    """Return Ray, or say how to install it."""
    try:
        import_module("ray.exceptions")
        return import_module("ray")
    except ImportError as error:
        raise InputError("the engine ray needs Ray; install it with: pip install 'thalweg[ray]'") from error


_REHEARSAL = """
import logging, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    print("trouble:", " ".join(str(error).split())[:300])
    sys.exit(1)
"""


@contextmanager
def joined(ray: Any, address: str) -> Iterator[None]:
    """Join a cluster, or begin one (``"local"``); leave it in the end, or end it, however this process ends.

    What Ray says of itself on the terminal is kept off it.

    Raises:
        InputError: see `_reach`.
    """
    ours = address == "local"
    if not ours:
        _reach(address)
    arguments = {"include_dashboard": False} if ours else {}
    with ExitStack() as leaving:
        leaving.callback(ray.shutdown if ours else partial(_leave, ray))
        ended = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", **arguments)
        except Exception as error:
            raise InputError(f"no Ray cluster could be used at {address}: {first_line(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended)  # Ray's own prints where its threads were
        # Without this Ray prints its own account of every process and node that dies, with their logs.
        vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False
        if ours and sys.platform.startswith("linux"):
            leaving.enter_context(_guarded())
        yield


def _leave(ray: Any) -> None:
    """Leave a cluster, or be without it: Ray would wait for a head that hangs for as long as it does."""
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(_LEFT_WITHIN)
    if leaving.is_alive():
        atexit.unregister(vars(import_module("ray._private.worker"))["shutdown"])  # which would wait again
        atexit.register(_end, leaving, sys.exc_info()[0])


def _end(leaving: threading.Thread, why: type[BaseException] | None) -> None:
    """End this process where it is still in a cluster: Ray's own threads would have it crash a moment later."""
    if leaving.is_alive():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0 if why is None else 130 if why is KeyboardInterrupt else 2)


_GUARD = """
import os, signal, sys, time
parent, *others = sys.argv[1:]
while os.getppid() == int(parent):
    time.sleep(0.3)
for other in others:
    number, born = other.split(":")
    try:
        with open(f"/proc/{number}/stat") as file:
            if file.read().rpartition(")")[2].split()[19] == born:
                os.kill(int(number), signal.SIGKILL)
    except OSError:
        pass
"""


@contextmanager
def _guarded() -> Iterator[None]:
    """Have the cluster that this process has begun end with it; a process of its own sees to that.

    Where this process is killed, the kernel kills what it has started, and what trains ends with that; but two of
    Ray's own would go on for a minute, trying to say so.
    """
    mine, kin = str(os.getpid()), _kin()
    raylets = {number for number, (name, parent, _) in kin.items() if name == "raylet" and parent == mine}
    others = [f"{number}:{born}" for number, (_, parent, born) in kin.items() if parent in raylets]
    guard = subprocess.Popen(
        [sys.executable, "-ISc", _GUARD, mine, *others],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


def _kin() -> dict[str, tuple[str, str, str]]:
    """Return every process's name, parent and time of birth."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            name, _, rest = place.read_text().partition("(")[2].rpartition(")")
            found[place.parent.name] = name, rest.split()[1], rest.split()[19]
    return found


def _reach(address: str) -> None:
    """Try an address before this process depends on it: Ray waits for minutes, or ends the process that asks.

    Raises:
        InputError: nobody answers there, or no Ray cluster that this machine is a node of.
    """
    if address.startswith("ray://"):
        raise InputError(f"--address takes host:port of the cluster's head, not Ray's client protocol ({address})")
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise InputError(f"--address takes host:port of a cluster's head, such as 10.0.0.1:6379, not {address!r}")
        # In a thread, since looking up a name cannot be given a time.
        found: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_knock, args=(host.strip("[]"), int(port), found), daemon=True).start()
        try:
            trouble = found.get(timeout=_REACHED_WITHIN)
        except queue.Empty:
            trouble = f"no answer within {_REACHED_WITHIN:.0f} s"
        if trouble:
            raise InputError(f"there is no Ray cluster at {address}: {trouble}; look at its address, or start it")
    _rehearse(address)


def _rehearse(address: str) -> None:
    """Join a cluster in a process of its own.

    Raises:
        InputError: that could not be.
    """
    command = [sys.executable, "-c", _REHEARSAL, address]
    trouble = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        stuck = threading.Timer(_JOINED_WITHIN, process.kill)
        stuck.start()
        try:
            for line in process.stdout:
                if "InvalidAuthToken" in line:
                    process.kill()
                    raise InputError(
                        f"the Ray cluster at {address} asks for a token; set RAY_AUTH_MODE=token, and have its "
                        "~/.ray/auth_token on this machine or in RAY_AUTH_TOKEN"
                    )
                if line.startswith("trouble: "):
                    trouble = line.removeprefix("trouble: ").strip()
        finally:
            stuck.cancel()
    if process.returncode == -signal.SIGKILL:
        raise InputError(f"there is no Ray cluster at {address}: something else answers there, or it hangs")
    if process.returncode:
        said = trouble or f"joining it ended with exit code {process.returncode}"
        raise InputError(f"no Ray cluster could be used at {address}: {said}")


def _knock(host: str, port: int, found: queue.SimpleQueue[str]) -> None:
    try:
        socket.create_connection((host, port), timeout=_REACHED_WITHIN - 3).close()
        found.put("")
    except OSError as error:
        found.put((error.strerror or str(error)).lower())


def answers(address: str) -> bool:
    """Return whether somebody listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True
