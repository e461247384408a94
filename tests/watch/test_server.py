"""The server answers this machine alone, and nothing but its page; the command says what it does."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from thalweg.cli import main
from thalweg.errors import InputError
from thalweg.watch import Watcher, follow, following


@pytest.fixture
def watcher(written):
    study = written()
    study.add("adam")
    with Watcher(study.directory, 0) as one:
        yield one


def ask(watcher, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", watcher.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_it_listens_on_loopback_alone(watcher):
    assert watcher._server.server_address[0] == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(2)
        found = socket.gethostbyname_ex(socket.gethostname())[2]
        for address in [a for a in found if not a.startswith("127.")]:
            assert other.connect_ex((address, watcher.port)) != 0


def test_the_page_and_its_state(watcher):
    status, headers, body = ask(watcher)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert f'<script nonce="{nonce}">' in body.decode()
    assert "{{" not in body.decode().partition("<script")[0]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert nonce not in ask(watcher)[1]["Content-Security-Policy"]
    status, headers, body = ask(watcher, "/state?seen=")
    found = json.loads(body)
    assert (status, found["state"]["names"]) == (200, ["sgd", "adam"])
    assert "Access-Control-Allow-Origin" not in headers
    assert json.loads(ask(watcher, f"/state?seen={found['name']}")[2]) == {"same": True}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "", "[::1"])
def test_a_name_that_was_pointed_here_is_refused(watcher, host):
    for path in ("/", "/state", "/report"):
        assert ask(watcher, path, Host=host.format(port=watcher.port))[0] == 403


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:9999", "LOCALHOST", "[::1]:{port}"])
def test_this_machines_names_are_taken_also_through_a_tunnel(watcher, host):
    assert ask(watcher, Host=host.format(port=watcher.port))[0] == 200


def test_other_sites_pages_may_not_read_the_state(watcher):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert ask(watcher, "/state", **{"Sec-Fetch-Site": site})[0] == status


@pytest.mark.parametrize("path", ["/study.db", "/../study.db", "/%2e%2e/lock", "//etc/passwd", "/report/../study.db"])
def test_nothing_else_is_there(watcher, path):
    assert ask(watcher, path)[0] == 404


def test_nothing_can_be_sent_to_it(watcher):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(watcher, "/state", method)[0] == 501
    assert ask(watcher, "/", "HEAD")[2] == b""


def test_the_report_is_served_when_it_is_there(watcher):
    assert ask(watcher, "/report")[0] == 404
    (watcher.reader.directory / "report.html").write_text("<p>report</p>")
    assert ask(watcher, "/report")[::2] == (200, b"<p>report</p>")


def test_the_study_is_not_written_to(watcher):
    before = {f.name: f.read_bytes() for f in watcher.reader.directory.iterdir() if not f.name.endswith("-shm")}
    for _ in range(3):
        ask(watcher, "/state")
        watcher.reader._read_at = 0
    assert before == {
        f.name: f.read_bytes() for f in watcher.reader.directory.iterdir() if not f.name.endswith("-shm")
    }


def test_a_port_in_use_is_one_sentence_and_another_is_taken_where_none_was_asked_for(tmp_path, monkeypatch):
    with Watcher(tmp_path, 0) as first:
        with pytest.raises(InputError, match=f"port {first.port} is in use; choose another --port"):
            Watcher(tmp_path, first.port)
        monkeypatch.setattr("thalweg.watch.server.PORT", first.port)
        with Watcher(tmp_path) as second:
            assert second.port != first.port
    with pytest.raises(InputError, match="from 0 to 65535, not 70000"):
        Watcher(tmp_path, 70000)


def test_what_cannot_be_watched_is_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "study.db").write_bytes(b"nothing that SQLite wrote" * 10)
    for words, message in (
        ("file", "is a file; give a study's directory"), ("odd", "cannot be used as a study"),
        (". --tensorboard file/x", "cannot be written"),
    ):  # fmt: skip
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", f"thalweg watch {words} --no-open".split())
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr().err
        assert (end.value.code, told.count("\n")) == (2, 1)
        assert message in told


def interrupted(_):
    raise KeyboardInterrupt


def test_without_a_display_it_says_the_address(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    opened, said = [], []
    monkeypatch.setattr(following.webbrowser, "open", opened.append)
    follow(tmp_path / "later", 0, say=said.append, wait=interrupted)
    assert opened == []
    assert said[0].startswith("the page is at http://127.0.0.1:")
    assert "has no records yet" in said[0]
    assert said[-1] == "\nwatching ended; the study is as it was"


@pytest.mark.parametrize(
    ("works", "wanted", "first"),
    [(True, True, "opened"), (False, True, "the page is at"), (True, False, "the page is at")],
)
def test_with_a_display_it_opens_the_page_unless_told_not_to(tmp_path, monkeypatch, works, wanted, first):
    monkeypatch.setenv("DISPLAY", ":0")
    opened, said = [], []
    monkeypatch.setattr(following.webbrowser, "open", lambda address: opened.append(address) or works)
    follow(tmp_path, 0, browser=wanted, say=said.append, wait=interrupted)
    assert said[0].startswith(f"{first} http://127.0.0.1:")
    assert len(opened) == wanted


def test_ctrl_c_ends_it_cleanly(tmp_path):
    command = [sys.executable, "-m", "thalweg", "watch", str(tmp_path), "--port", "0", "--no-open"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as process:
        assert process.stdout.readline().startswith("the page is at http://127.0.0.1:")
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert "watching ended" in out


def test_it_imports_nothing_heavy():
    code = "import sys, thalweg.watch; print(*sorted({'torch', 'altair', 'scipy', 'jinja2'} & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
    )
