"""The user's cache: kept, found again, never trusted when damaged, and never in the way."""

import pytest

from thalweg import cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "deep" / "cache"))
    return cache.folder()


def made(texts):
    return lambda: texts.pop(0)


def test_a_text_is_made_once(folder):
    texts = ["a\r\nb\n</script>", "another"]
    assert cache.kept("one", made(texts)) == "a\r\nb\n</script>"
    assert cache.kept("one", made(texts)) == "a\r\nb\n</script>"
    assert [path.name for path in folder.iterdir()] == ["one"]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:70] + b"x" + b[71:], lambda _: b"", lambda _: b"\xff"]
)
def test_what_is_damaged_is_made_anew(folder, damage):
    cache.kept("one", lambda: "first")
    path = folder / "one"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.kept("one", lambda: "second") == "second"
    assert cache.kept("one", lambda: "third") == "second"


def test_a_cache_that_cannot_be_written_is_none(folder, monkeypatch):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file, not a folder")
    assert cache.kept("one", lambda: "made") == "made"
    monkeypatch.delenv("THALWEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/someone/.else")
    assert str(cache.folder()) == "/home/someone/.else/thalweg"
