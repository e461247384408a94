"""The page's server: this machine alone, standard library, one page and its state."""

from __future__ import annotations

import errno
import json
import secrets
import threading
from collections.abc import Callable
from hashlib import blake2b
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from thalweg.errors import InputError
from thalweg.watch.reader import Reader
from thalweg.watch.state import state_of

__all__ = ["PORT", "Watcher"]

PORT = 6117
"""What is tried first where no port is asked for, so that an open page finds the next watcher too."""

HERE = ("127.0.0.1", "localhost", "[::1]")
"""Names by which a browser may ask: any other one is of a page elsewhere that had its name point here."""


class Watcher:
    """Serves the page of one study, on the loopback interface, until it is closed.

    Args:
        directory: the study's; the study may not be there yet.
        port: of the server; `PORT`, or any that is free, if None.

    Attributes:
        address: where the page is.
        reader: of the records.

    Raises:
        InputError: the port is taken, or the directory is none or holds something that is not a study.
    """

    def __init__(self, directory: Path | str, port: int | None = None) -> None:
        self.reader = Reader(directory)
        if self.reader.directory.exists() and not self.reader.directory.is_dir():
            raise InputError(f"{directory} is a file; give a study's directory")
        with self.reader.lock:
            self.reader.read()
        if self.reader.problem:
            raise InputError(self.reader.problem)
        self._server = _bound(port, self)
        self.port = int(self._server.server_address[1])
        self.address = f"http://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True)
        self._thread.start()

    def state(self) -> tuple[str, bytes]:
        """Return what the page shows as JSON, and a name for it that changes with it."""
        with self.reader.lock:
            self.reader.read()
            text = json.dumps(state_of(self.reader), allow_nan=False, separators=(",", ":")).encode()
        return blake2b(text, digest_size=8).hexdigest(), text

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _bound(port: int | None, watcher: Watcher) -> _Server:
    made: Callable[..., Any] = type("Handler", (_Handler,), {"watcher": watcher})
    for one in (PORT, 0) if port is None else (port,):
        try:
            return _Server(("127.0.0.1", one), made)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            why = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be used by you"}.get(error.errno or 0)
            raise InputError(
                f"port {one} {why or f'cannot be used: {error.strerror}'}; choose another --port"
            ) from error
        except OverflowError as error:
            raise InputError(f"--port takes a number from 0 to 65535, not {one}") from error
    raise AssertionError


class _Handler(BaseHTTPRequestHandler):
    """Answers for the page, its state and the study's report; nothing else is there."""

    watcher: Watcher
    server_version, sys_version = "thalweg", ""
    timeout = 60

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if not self._is_from_here(asked.path):
            self._send(HTTPStatus.FORBIDDEN, b"this page is for this machine alone\n")
        elif asked.path == "/":
            nonce = secrets.token_urlsafe(16)
            self._send(HTTPStatus.OK, _page(nonce), "text/html", _policy(nonce))
        elif asked.path == "/state":
            name, text = self.watcher.state()
            seen = parse_qs(asked.query).get("seen", [""])[0]
            body = b'{"same":true}' if seen == name else b'{"name":"%s","state":%s}' % (name.encode(), text)
            self._send(HTTPStatus.OK, body, "application/json")
        elif asked.path == "/report":
            try:
                page = (self.watcher.reader.directory / "report.html").read_bytes()
            except OSError:
                self._send(HTTPStatus.NOT_FOUND, b"there is no report yet\n")
            else:  # it has a policy of its own
                self._send(HTTPStatus.OK, page, "text/html", "frame-ancestors 'none'")
        elif asked.path == "/favicon.ico":  # which browsers ask for by themselves
            self._send(HTTPStatus.NO_CONTENT, b"")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"there is nothing here\n")

    do_HEAD = do_GET  # noqa: N815

    def _is_from_here(self, path: str) -> bool:
        """Return whether the browser knows this machine by its own name, and no other site's page reads the state."""
        host = (self.headers.get("Host") or "").strip().lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] if ":" in host else host
        own = path != "/state" or self.headers.get("Sec-Fetch-Site") in (None, "none", "same-origin")
        return name in HERE and own

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain", policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body))),
            ("Content-Security-Policy", policy), ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"), ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _page(nonce: str) -> bytes:
    parts = resources.files("thalweg.watch").joinpath("templates")
    page = parts.joinpath("watch.html").read_text("utf-8")
    style = resources.files("thalweg.report").joinpath("templates", "page.css").read_text("utf-8")
    script = parts.joinpath("watch.js").read_text("utf-8")
    for name, value in (("style", style), ("script", script), ("nonce", nonce)):
        page = page.replace("{{ " + name + " }}", value)
    return page.encode()
