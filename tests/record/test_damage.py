"""A bit that flips in a study's file changes nothing, or is named: and what it took is made again, or refused."""

import random
import sqlite3

import numpy as np
import pytest
from test_store import run
from test_versions import fit

from thalweg.record import Entry, RecipeRow, Store, StoreError, checksums

FACTS = {"task": {"name": "digits"}, "protocol": {"seeds": 2}, "plan": {"together": 16}}
RECIPES = [RecipeRow("adam", "lr = [0.1, 1.0]\n" * 4), RecipeRow("sgd", "lr = [0.01, 0.1]\n" * 4)]
RUNS = [run(f"{i:x}" * 64, seed=i, valid=i / 10, recipe="lr = 0.1\n" * 9) for i in range(1, 9)]
RUNS += [
    run("a" * 64, status="diverged", reason="its loss is not finite", seed=9, valid=np.nan),
    run("b" * 64, status="failed", reason="out of memory", seed=10, curve=None, outcomes=None, test=np.nan),
]
ENTRIES = [Entry("tuning", ("adam", "sgd")[i % 2], i // 2, 0, one.identity) for i, one in enumerate(RUNS)]
FITS = [fit(setting=i, valid=i / 10) for i in range(3)]
VERDICT = {"best": "adam", "sentences": ["adam is ahead."]}
AGAIN = "repeat the study's command, which makes that anew, or put a copy of it back"
INSTEAD = "put a copy of it back, or begin anew with another --out"


def go_on(store):
    """Do what a study does that goes on: what is there is left, and what is not is made."""
    if store.get("plan") is None:
        store.begin(FACTS, RECIPES)
    store.add_entries(ENTRIES)
    done = store.finished()
    for one in RUNS:
        if one.identity not in done:
            store.add_run(one)
    for one in FITS:
        store.add_baseline(one)
    store.put("verdict", VERDICT)


def content(store):
    """Return all that a study's reader sees, to be compared."""
    facts = {name: store.get(name) for name in (*FACTS, "verdict", "progress")}
    runs = {name: told(one) for name, one in store.runs(curves=True, outcomes=True).items()}
    fits = [told(one) for one in store.baselines()]
    return facts, store.recipes(), store.entries(), dict(sorted(runs.items())), fits


def told(record):
    curve = getattr(record, "curve", None)
    values = {**vars(record), "curve": curve and {name: column.tolist() for name, column in vars(curve).items()}}
    return repr({**values, "outcomes": None if record.outcomes is None else record.outcomes.tolist()})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that is done: its file, and what it holds."""
    directory = tmp_path_factory.mktemp("whole")
    with Store(directory, write=True) as store:
        go_on(store)
    with Store(directory) as store:
        assert store.forgotten == ""
        return (directory / "study.db").read_bytes(), content(store)


def flipped(file, bit):
    harmed = bytearray(file)
    harmed[bit // 8] ^= 1 << bit % 8
    return bytes(harmed)


@pytest.mark.parametrize("seed", range(4))
def test_a_bit_that_flips_is_harmless_or_named_and_what_is_named_is_made_again(whole, tmp_path, seed):
    file, expected = whole
    draw = random.Random(seed)
    found = []
    for number in range(40):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "study.db").write_bytes(flipped(file, draw.randrange(8 * len(file))))
        sentence = ""
        try:
            with Store(directory) as store:
                assert content(store) == expected
        except StoreError as error:
            sentence = str(error)
            assert sentence.startswith(f"{directory}/study.db ")
        if sentence and not sentence.endswith(AGAIN):
            with pytest.raises(StoreError) as refused:
                Store(directory, write=True)
            assert str(refused.value) == sentence
            found.append("refused")
            continue
        with Store(directory, write=True) as store:
            assert bool(store.forgotten) == bool(sentence)
            assert content(store)[3].items() <= expected[3].items(), "what is left is what was written"
            go_on(store)
        with Store(directory) as store:
            assert content(store) == expected
        found.append("mended" if sentence else "harmless")
    assert {"mended", "harmless"} <= set(found)


def changed(directory, file, statement, *values):
    """Write a study's file, and change it as no thalweg would."""
    (directory / "study.db").write_bytes(file)
    with sqlite3.connect(directory / "study.db") as database:
        database.execute(statement, values)
    database.close()


OTHER = RUNS[2].identity
HARM = {
    "a run's score": ("UPDATE run SET test = 0.75 WHERE identity = ?", "run adam, seed 3"),
    "a run's status": ("UPDATE run SET status = 'diverged' WHERE identity = ?", "run adam, seed 3"),
    "a run's seed": ("UPDATE run SET seed = 35 WHERE identity = ?", "run adam, seed 35"),
    "a text that is none": ("UPDATE run SET recipe = CAST(x'ff00' AS TEXT) WHERE identity = ?", "run adam, seed 3"),
    "an outcome": ("UPDATE outcome SET test = x'000000000000803f0000803f' WHERE run = ?", "run adam, seed 3"),
    "no outcomes": ("DELETE FROM outcome WHERE run = ?", "run adam, seed 3"),
    "a point": ("UPDATE curve SET valid = 0.5 WHERE epoch = 1 AND run = ?", "run adam, seed 3"),
    "a text for a number": ("UPDATE curve SET valid = 'x' WHERE epoch = 1 AND run = ?", "run adam, seed 3"),
    "no text": ("UPDATE curve SET step = CAST(x'ff' AS TEXT) WHERE epoch = 1 AND run = ?", "run adam, seed 3"),
    "a point less": ("DELETE FROM curve WHERE epoch = 2 AND run = ?", "run adam, seed 3"),
    "a point of another": ("UPDATE curve SET run = '?' WHERE epoch = 2 AND run = ?", "run adam, seed 3; run ?"),
    "a point of nobody": ("UPDATE curve SET run = CAST(run AS BLOB) WHERE epoch = 2 AND run = ?", "run adam, seed 3"),
    "no run": ("DELETE FROM run WHERE identity = ?", "run adam"),
    "a run's checksum": ("UPDATE checksum SET crc = crc + 1 WHERE name = CAST(? AS BLOB)", "run adam, seed 3"),
    "an entry": ("UPDATE entry SET run = '?' WHERE run = ?", "entry tuning, adam, 1, 0"),
    "its place": ("UPDATE entry SET setting = 9 WHERE run = ?", "entry tuning, adam, 9, 0; entry tuning, adam, 1, 0"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_what_a_study_makes_again_is_named_by_a_reader_and_forgotten_by_a_writer(whole, tmp_path, harm):
    file, expected = whole
    statement, named = HARM[harm]
    changed(tmp_path, file, statement, OTHER)
    with pytest.raises(StoreError) as refused:
        Store(tmp_path)
    assert str(refused.value) == f"{tmp_path}/study.db is damaged ({named}); {AGAIN}"
    with Store(tmp_path, write=True) as store:
        said = f"{tmp_path}/study.db is damaged ({named}); what is damaged is forgotten and made again"
        assert store.forgotten == said
        assert store.get("verdict") is None, "it was made of what is forgotten"
        if "run" in named:
            assert store.finished() == {one.identity for one in RUNS} - {OTHER}
        go_on(store)
    with Store(tmp_path) as store:
        assert content(store) == expected


MANY = "; ".join(f"entry tuning, adam, {i}, 0" for i in range(5)) + "; and 5 more"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE baseline SET valid = 0.75 WHERE setting = 1", "baseline knn, 1, 0"),
        ("""UPDATE study SET value = '{"best": "sgd"}' WHERE name = 'verdict'""", "fact verdict"),
        ("UPDATE run SET seed = 4", "run adam, seed 4; run sgd, seed 4"),
        ("UPDATE entry SET run = run || 'f'", MANY),
    ],
)  # fmt: skip
def test_fits_a_verdict_and_many_runs_are_made_again(whole, tmp_path, statement, named):
    file, expected = whole
    changed(tmp_path, file, statement)
    with pytest.raises(StoreError) as refused:
        Store(tmp_path)
    assert str(refused.value) == f"{tmp_path}/study.db is damaged ({named}); {AGAIN}"
    with Store(tmp_path, write=True) as store:
        go_on(store)
    with Store(tmp_path) as store:
        assert content(store) == expected


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE study SET value = '3' WHERE name = 'plan'", " (fact plan)"),
        ("UPDATE recipe SET declared = '' WHERE name = 'sgd'", " (recipe sgd)"),
        ("UPDATE recipe SET position = 2 WHERE name = 'sgd'", " (recipe sgd)"),
        ("DELETE FROM recipe WHERE name = 'sgd'", " (recipe sgd)"),
        ("DROP TABLE checksum", ""),
        ("DROP TABLE entry", ""),
        ("ALTER TABLE run RENAME COLUMN test TO tess", " (table run)"),
        ("ALTER TABLE checksum RENAME COLUMN crc TO crd", ""),
    ],
)
def test_what_says_which_study_it_is_cannot_be_made_again(whole, tmp_path, statement, named, write):
    changed(tmp_path, whole[0], statement)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError) as refused:
        Store(tmp_path, write=write)
    assert str(refused.value) == f"{tmp_path}/study.db is damaged{named}; {INSTEAD}"
    assert sorted(tmp_path.iterdir()) == before, "nothing is written, and nobody holds the lock"


def test_rows_that_are_out_of_order_are_written_anew_and_none_is_lost(whole, tmp_path):
    """As where a bit of an index has flipped: SQLite finds it, and each row is what was written."""
    file, expected = whole
    changed(tmp_path, file, "CREATE TABLE other (x TEXT PRIMARY KEY)")
    path = tmp_path / "study.db"
    with sqlite3.connect(path) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        places = [database.execute(query, (name,)).fetchone()[0] for name in INDEXES]
        size = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    harmed, lost = bytearray(path.read_bytes()), slice((places[0] - 1) * size, places[0] * size)
    harmed[lost] = harmed[(places[1] - 1) * size : places[1] * size]  # it has no rows
    path.write_bytes(harmed)
    named = "study.db is damaged (the order of its rows)"
    with pytest.raises(StoreError) as refused:
        Store(tmp_path)
    assert str(refused.value) == f"{tmp_path}/{named}; {AGAIN}"
    before = path.read_bytes()
    with Store(tmp_path, write=True) as store:
        assert store.forgotten.endswith("was damaged (the order of its rows) and is written anew; nothing is lost")
        assert content(store) == expected
        assert list(store.runs_since(0)[0]) == [one.identity for one in RUNS]
    assert path.read_bytes() != before
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "study.db"}
    with Store(tmp_path, write=True) as store:
        assert store.forgotten == ""


INDEXES = ("sqlite_autoindex_run_1", "sqlite_autoindex_other_1")


@pytest.mark.parametrize("write", [False, True])
def test_a_run_trained_alone_is_written_with_what_says_which_and_is_refused_with_it(tmp_path, write):
    with Store(tmp_path, write=True) as store:
        store.begin({"task": 1}, [RecipeRow("adam", "x")], [run()])
    changed(tmp_path, (tmp_path / "study.db").read_bytes(), "UPDATE run SET test = 0.1")
    with pytest.raises(StoreError) as refused:
        Store(tmp_path, write=write)
    assert str(refused.value) == f"{tmp_path}/study.db is damaged (run adam, seed 7); {INSTEAD}"


def test_whoever_reads_while_another_writes_sees_no_damage(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.begin(FACTS, RECIPES)
        for one in RUNS:
            store.add_run(one)
            store.put("progress", {"run": one.identity})
            with Store(tmp_path) as reader:
                assert reader.finished() == store.finished()
        store.add_run(run("b" * 64, seed=10))  # which failed
        store.add_entries(ENTRIES)
        store.drop_entries("tuning")
        Store(tmp_path).close()


def test_a_run_that_is_recorded_while_another_looks_is_no_damage(tmp_path, monkeypatch):
    sums = checksums._sums

    def slowly(database, kind, key=()):
        found = sums(database, kind, key)
        if kind == "run" and not key:
            store.add_run(RUNS[1])
        return found

    with Store(tmp_path, write=True) as store:
        store.begin(FACTS, RECIPES, RUNS[:1])
        monkeypatch.setattr(checksums, "_sums", slowly)
        with Store(tmp_path) as reader:
            assert len(reader.finished()) == 2
