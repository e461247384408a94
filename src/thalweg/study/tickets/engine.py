"""Tickets in processes: each trains some of the seeds through all levels, and the parent alone writes records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from thalweg.errors import InputError
from thalweg.record import StoreError
from thalweg.study.engines.children import Child, fork
from thalweg.study.engines.lanes import said
from thalweg.study.tickets.chain import Chain
from thalweg.study.tickets.ticket import Ticket
from thalweg.train.checkpoint import Checkpoints

__all__ = ["Forked"]

PATIENCE = 600.0
"""Seconds without a sign of life after which a process is taken for stuck."""


@dataclass
class _Group:
    """Some tickets in a process of their own."""

    tickets: list[Ticket]
    child: Child
    heard: float
    deaths: int = 0


class Forked:
    """Groups of tickets, each in a process of its own; one that dies goes on once from where it was kept.

    Args:
        chain: makes a `Chain` of tickets, with ``tell``.
        parts: the tickets of each process.
        checkpoints: where tickets are kept.
        tell: gets what processes tell.
        say: gets a sentence on whatever goes another way than planned.
    """

    def __init__(
        self,
        chain: Callable[..., Chain],
        parts: Sequence[list[Ticket]],
        checkpoints: Checkpoints,
        tell: Callable[[Any], None],
        say: Callable[[str], None],
    ) -> None:
        self.chain, self.checkpoints, self.tell, self.say = chain, checkpoints, tell, say
        self.groups: dict[Connection, _Group] = {}
        self.parts = parts

    def run(self) -> None:
        """Train until all are done.

        Raises:
            InputError: what one of them raised, or a process that died twice.
            StoreError: a checkpoint could not be written.
        """
        try:
            for tickets in self.parts:
                self._start(tickets)
            while self.groups:
                for pipe in wait(list(self.groups), timeout=5.0):
                    assert isinstance(pipe, Connection)
                    self._hear(pipe)
                for pipe, group in list(self.groups.items()):
                    if time.monotonic() - group.heard > PATIENCE:
                        self._died(pipe, f"gave no sign of life for {PATIENCE:.0f} s")
        finally:
            for group in self.groups.values():
                group.child.end()

    def _start(self, tickets: list[Ticket], deaths: int = 0) -> None:
        child = fork(partial(self._work, tickets))
        self.groups[child.pipe] = _Group(tickets, child, time.monotonic(), deaths)

    def _work(self, tickets: list[Ticket], pipe: Connection) -> None:
        """Train a group in a forked process."""
        try:
            try:
                self.chain(tickets, tell=pipe.send).run()
            except StoreError as error:
                pipe.send(("full", str(error)))
            except InputError as error:
                pipe.send(("refused", str(error)))
            except Exception as error:
                pipe.send(("raised", said(error)))
            else:
                pipe.send("done")
        except (EOFError, BrokenPipeError, ConnectionResetError):
            os._exit(1)

    def _hear(self, pipe: Connection) -> None:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            self._died(pipe)
            return
        self.groups[pipe].heard = time.monotonic()
        match message:
            case "done":
                self.groups.pop(pipe).child.end(patience=10)
            case ("full", sentence):
                raise StoreError(sentence)
            case ("refused", sentence):
                raise InputError(sentence)
            case ("raised", sentence):
                raise InputError(f"training the tickets failed: {sentence}")
            case _:
                self.tell(message)

    def _died(self, pipe: Connection, why: str = "") -> None:
        group = self.groups.pop(pipe)
        code = group.child.end(patience=0 if why else 10)
        why = why or f"died (exit code {code}), perhaps for want of memory"
        if group.deaths:
            raise InputError(
                f"a process that trains tickets {why}, twice; what is recorded is kept, and the same command, with "
                "fewer --processes, goes on from there"
            )
        self.say(f"a process that trains tickets {why}; it goes on from where it was last kept")
        again = [Ticket.kept(self.checkpoints, one.place, one.seed) for one in group.tickets]
        self._start(again, group.deaths + 1)
