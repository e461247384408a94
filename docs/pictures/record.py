"""Record a command in a terminal as an animated SVG: what it really printed, when it did.

    python docs/pictures/record.py OUT.svg [--fit SECONDS] -- COMMAND…

The film is as long as the command took, or is sped up to SECONDS, which it then says. It moves by CSS alone, so that
a page may show it as a picture; where motion is not wanted, and in print, it shows the end.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import shlex
import struct
import termios
import time
from html import escape
from pathlib import Path

COLUMNS, ROWS = 96, 20
WIDE, HIGH, EDGE = 8.4, 19.0, 18
HOLD = 6.0
"""Seconds for which the end stands before the film begins anew."""
INKS = {
    "30": "#5c6370", "31": "#e06c75", "32": "#98c379", "33": "#e5c07b", "34": "#61afef", "35": "#c678dd",
    "36": "#56b6c2",
}  # fmt: skip

Cell = tuple[str, str]


class Screen:
    """The lines of a terminal: what is printed, returned over, cleared and coloured; nothing else is known of."""

    def __init__(self) -> None:
        self.lines: list[list[Cell]] = [[]]
        self.row = self.column = 0
        self.ink = ""

    def feed(self, text: str) -> None:
        """Take what was printed."""
        for code, character in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|([\s\S])", text):
            if code:
                self._control(code)
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self._down()
            elif character >= " ":
                if self.column >= COLUMNS:
                    self._down()
                    self.column = 0
                line = self.lines[self.row]
                line += [(" ", "")] * (self.column + 1 - len(line))
                line[self.column] = (character, self.ink)
                self.column += 1

    def shown(self) -> tuple[tuple[tuple[int, str, str], ...], ...]:
        """Return the last lines, each as pieces: column, ink, text."""
        pieces = []
        for line in self.lines[-ROWS:]:
            row: list[tuple[int, str, str]] = []
            for at, (character, ink) in enumerate(line):
                if row and row[-1][1] == ink:
                    row[-1] = (row[-1][0], ink, row[-1][2] + character)
                else:
                    row.append((at, ink, character))
            pieces.append(tuple(piece for piece in row if piece[2].strip()))
        return tuple(pieces)

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])

    def _control(self, code: str) -> None:
        numbers, kind = code[:-1], code[-1]
        if kind == "A":
            self.row = max(self.row - int(numbers or 1), 0)
        elif kind == "K":
            self.lines[self.row] = [] if numbers == "2" else self.lines[self.row][: self.column]
        elif kind == "m":
            self.ink = _ink(numbers)


def _ink(numbers: str) -> str:
    """Return the colour that a code asks for; empty for the usual one."""
    parts = numbers.split(";")
    if parts[:2] == ["38", "2"]:
        return "#" + "".join(f"{int(part):02x}" for part in parts[2:5])
    if parts[:2] == ["38", "5"]:
        return "#4b5263"
    return next((INKS[part] for part in parts if part in INKS), "")


def recorded(command: list[str]) -> list[tuple[float, str]]:
    """Run a command in a terminal of its own; return what it printed, with seconds since it began."""
    began, told = time.monotonic(), []
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS), COLORTERM="truecolor")
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # how a terminal says that its last program has gone
            break
        if not read:
            break
        told.append((time.monotonic() - began, read.decode("utf-8", "replace")))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"{shlex.join(command)} failed:\n" + "".join(text for _, text in told))
    return told


def film(told: list[tuple[float, str]], command: str, fit: float | None, steps: float = 0.3) -> str:
    """Return what was printed as SVG: one picture for each change, ``steps`` seconds apart at least."""
    length = told[-1][0]
    faster = max(length / fit, 1.0) if fit else 1.0
    screen = Screen()
    screen.feed(f"\x1b[32m$\x1b[0m {command}\n\r")
    frames = [(0.0, screen.shown())]
    for at, text in told:
        screen.feed(text)
        moment, now = at / faster, screen.shown()
        if now == frames[-1][1]:
            continue
        if moment - frames[-1][0] < steps and len(frames) > 1:
            frames[-1] = (frames[-1][0], now)
        else:
            frames.append((moment, now))
    whole = frames[-1][0] + HOLD
    rows = max(len(lines) for _, lines in frames)
    width, height = COLUMNS * WIDE + 2 * EDGE, rows * HIGH + 2 * EDGE + 22
    style, groups = [], []
    for i, (start, lines) in enumerate(frames):
        last = i == len(frames) - 1
        a, b = 100 * start / whole, 100 * (whole if last else frames[i + 1][0]) / whole
        if not last:
            style.append(f"@keyframes k{i}{{0%,{a:.3f}%{{opacity:{int(i == 0)}}}{a:.3f}%,{b:.3f}%{{opacity:1}}"
                         f"{b:.3f}%,100%{{opacity:0}}}}")  # fmt: skip
        else:
            style.append(f"@keyframes k{i}{{0%,{a:.3f}%{{opacity:0}}{a:.3f}%,100%{{opacity:1}}}}")
        style.append(f"#f{i}{{opacity:{int(last)};animation:k{i} {whole:.2f}s step-end infinite}}")
        groups.append(f'<g id="f{i}">{_text(lines)}</g>')
    note = f'<text x="{width - EDGE}" y="23" text-anchor="end" fill="#7f848e">{faster:.0f}× as fast</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(command)}, in a terminal">\n<style>'
        "text{font:14px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#d7dae0;white-space:pre}"
        + "".join(style)
        + "@media (prefers-reduced-motion:reduce),print{g{animation:none!important}}</style>\n"
        '<rect width="100%" height="100%" rx="8" fill="#21252b"/>'
        '<circle cx="20" cy="18" r="5.5" fill="#e06c75"/><circle cx="38" cy="18" r="5.5" fill="#e5c07b"/>'
        '<circle cx="56" cy="18" r="5.5" fill="#98c379"/>' + (note if faster >= 1.5 else "") + "\n"
        + "\n".join(groups) + "\n</svg>\n"
    )  # fmt: skip


def _text(lines: tuple[tuple[tuple[int, str, str], ...], ...]) -> str:
    out = []
    for row, pieces in enumerate(lines):
        for column, ink, text in pieces:
            fill = f' style="fill:{ink}"' if ink else ""
            out.append(
                f'<text x="{EDGE + column * WIDE:.1f}" y="{EDGE + 34 + row * HIGH:.0f}" '
                f'textLength="{len(text) * WIDE:.1f}" lengthAdjust="spacingAndGlyphs"{fill}>{escape(text)}</text>'
            )
    return "".join(out)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("out", type=Path)
    asked.add_argument("--fit", type=float, metavar="SECONDS")
    asked.add_argument("command", nargs="+")
    given = asked.parse_args()
    given.out.write_text(film(recorded(given.command), shlex.join(given.command), given.fit))
