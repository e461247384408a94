"""Joining a Ray cluster, or saying in one sentence why that cannot be, before anything depends on it."""

from __future__ import annotations

import platform
import queue
import socket
import subprocess
import sys
import threading
from importlib import import_module
from importlib.metadata import version
from typing import Any

from thalweg.errors import InputError
from thalweg.task.reading import first_line

__all__ = ["answers", "connect", "installed", "versions"]

_REACHED_WITHIN = 8.0  # seconds for a connection
_JOINED_WITHIN = 20.0  # seconds for Ray to answer behind it


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
    print(" ".join(str(error).split())[:300])
    sys.exit(1)
"""


def connect(ray: Any, address: str) -> None:
    """Join a cluster, or start one; what it says of itself on the terminal is kept off it."""
    arguments: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    if address != "local":
        _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", **arguments)
    except Exception as error:
        raise InputError(f"no Ray cluster could be used at {address}: {first_line(error)}") from error
    # Without this Ray prints its own account of every process and node that dies, with their logs, among the lines.
    vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False


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
    command = [sys.executable, "-c", _REHEARSAL, address]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=_JOINED_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"there is no Ray cluster at {address}: something else answers there, or it hangs") from None
    if done.returncode:
        said = done.stdout.strip() or f"joining it ended with exit code {done.returncode}"
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


def versions() -> dict[str, str]:
    """Return what must be the same everywhere; torch's builds for other processors are the same version."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "thalweg": version("thalweg"), "torch": version("torch").partition("+")[0]}
