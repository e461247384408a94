"""How many texts a second, beside nlpaug on the same texts, files and model; one thread.

The figures are measured by this file in the environment of the peers: `make .venv-peers/installed`.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from clock import met, table

PEERS = Path(__file__).parent.parent / ".venv-peers/bin/python"
WORDNET = Path("/usr/share/wordnet")
TARGETS = {"synonym": 5, "keyboard": 5, "typo": 5, "ocr": 5, "vectors": 20, "masked": 10}
OPENED, OPENINGS = "Opened on both sides, so that no reading of files is timed: quicker foxes jumped over dogs", 10
TEXTS, WORDS, WIDTH = 60, 20000, 100
ROUNDS, SECONDS = (3, 41), 3.0  # the fewest and the most; between them, as many as take so long
PROCESSES = 3  # since a first epoch comes once in a process
LEXNAMES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object "
    "noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape "
    "noun.state noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession "
    "verb.social verb.stative verb.weather adj.ppl"
)
REMARKS = """\
A tenth of the words are edited, one at least and ten at most, on both sides. nlpaug tags parts of speech with NLTK's
tagger, whose weights would have to be downloaded: the same tagger is trained here on the texts, for five tags instead
of 45, which makes it quicker than it is elsewhere. Its model class asks transformers 4 for ids of tokens;
two lines here ask version 5. Vectors are random numbers for real words: only the time counts. The model has BERT's
form, 2 layers of 128, untrained. TextAttack is not measured: its import asks for NLTK's stop words, which would
have to be downloaded.
"""


def texts() -> list[str]:
    """Return texts of 10 to 200 words from the standard library's docstrings."""
    import argparse
    import logging
    import statistics
    import textwrap

    found = []
    for module in (argparse, inspect, json, logging, os, statistics, textwrap, random, subprocess):
        found += [inspect.getdoc(thing) or "" for _, thing in sorted(vars(module).items()) if callable(thing)]
    words = [word for word in " ".join(found).split() if word.strip(".,:;()").isalpha()]
    draw, texts, at = random.Random(0), [], 0
    while len(texts) < TEXTS:
        size = draw.randint(10, 200)
        texts.append(" ".join(words[at % (len(words) - 200) :][:size]))
        at += size
    return texts


def prepared(folder: Path) -> dict[str, str]:
    """Make the files that both sides read; return their paths."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests/augment_text"))
    from small_model import small_model

    model = small_model(folder / "model", length=1024, steps=0, width=128, pieces=8000)
    words = list(dict.fromkeys(word.strip(".,:;()'\"").lower() for text in texts() for word in text.split()))
    words = [word for word in words if word.isalpha()]
    words += [f"word{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10 % 10]}{i // 100}" for i in range(WORDS - len(words))]
    rows = np.random.default_rng(0).normal(size=(len(words), WIDTH)).astype("<f4")
    body = b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(words, rows, strict=True))
    (folder / "vectors.bin").write_bytes(f"{len(words)} {WIDTH}\n".encode() + body)
    store = folder / "nltk/corpora/wordnet"
    store.mkdir(parents=True)
    for file in WORDNET.iterdir():
        if file.is_file():
            (store / file.name).write_bytes(file.read_bytes())
    number = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    lines = [f"{i:02d}\t{name}\t{number[name.split('.')[0]]}\n" for i, name in enumerate(LEXNAMES.split())]
    (store / "lexnames").write_text("".join(lines))
    return {"model": str(model), "vectors": str(folder / "vectors.bin"), "nltk": str(folder / "nltk")}


def theirs(paths: dict[str, str]) -> dict[str, Callable[[list[str]], Any]]:
    """Return nlpaug's ways."""
    import nlpaug.augmenter.char as nac
    import nlpaug.augmenter.word as naw
    import nltk
    from nlpaug.model.lang_models import Bert
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.tag.perceptron import PerceptronTagger

    nltk.data.path.insert(0, paths["nltk"])
    WordNetCorpusReader.map_wn = lambda *_: None  # it maps versions, of which there is one
    tagger = PerceptronTagger(load=False)
    tagger.train([[(word, _likeliest(word)) for word in text.split()] for text in texts()], nr_iter=3)
    nltk.pos_tag = lambda tokens, **_: tagger.tag(tokens)
    Bert.token2id = lambda self, token: self.tokenizer.convert_tokens_to_ids(token)
    Bert.id2token = lambda self, number: self.tokenizer.convert_ids_to_tokens(int(number))
    often: dict[str, Any] = {"aug_p": 0.1, "aug_min": 1, "aug_max": 10}
    letters = {"aug_word_p": 0.1, "aug_word_min": 1, "aug_word_max": 10, "aug_char_max": 1}
    steps = {
        "synonym": naw.SynonymAug(aug_src="wordnet", **often),
        "keyboard": nac.KeyboardAug(**letters),
        "typo": nac.RandomCharAug(action="swap", **letters),
        "ocr": nac.OcrAug(**{**letters, "aug_char_min": 1}),
        "vectors": naw.WordEmbsAug(model_type="word2vec", model_path=paths["vectors"], top_k=5, **often),
        "masked": naw.ContextualWordEmbsAug(
            paths["model"], model_type="bert", action="substitute", top_k=10, **often
        ),
    }
    for step in steps.values():
        for _ in range(OPENINGS):
            step.augment(OPENED)
    return {name: step.augment for name, step in steps.items()}


def _likeliest(word: str) -> str:
    """Return a word's likeliest part of speech as Penn's tag."""
    from thalweg.augment.text.sources._wordnet import opened, reading

    part, _ = reading(word.strip(".,:;()'").lower(), "", "", opened(str(WORDNET)))
    return {"NOUN": "NN", "VERB": "VB", "ADJ": "JJ", "ADV": "RB"}.get(part, "DT")


def ours(paths: dict[str, str]) -> dict[str, Callable[[list[str]], Any]]:
    """Return ours."""
    from thalweg import augment

    epochs = iter(range(10**6))
    steps = {
        "synonym": augment.synonym(path=str(WORDNET)),
        "keyboard": augment.keyboard(),
        "typo": augment.typo(),
        "ocr": augment.ocr(),
        "vectors": augment.vectors(path=paths["vectors"]),
        "masked": augment.masked(path=paths["model"]),
    }
    for step in steps.values():
        for epoch in range(OPENINGS):
            step.texts([OPENED], epoch=epoch)
    return {name: lambda given, step=step: step.texts(given, epoch=next(epochs)) for name, step in steps.items()}


def measured(names: Sequence[str]) -> list[dict[str, float | str]]:
    """Return seconds for all texts: the first time, and the median of later epochs, of both sides in turns."""
    import torch

    torch.set_num_threads(1)
    given, found = texts(), []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["THALWEG_CACHE"] = f"{folder}/cache"
        paths = prepared(Path(folder))
        sides = {"ours": ours(paths), "nlpaug": theirs(paths)}
        gc.collect()
        gc.freeze()  # one look at all that was imported takes as long as a hundred rounds, and meets whoever is first
        for name in names:
            times: dict[str, list[float]] = {side: [] for side in sides}
            for done in range(ROUNDS[1]):
                if done >= ROUNDS[0] and sum(sum(each) for each in times.values()) > SECONDS:
                    break
                for side, ways in sides.items():
                    before = time.process_time()
                    ways[name](given)
                    times[side].append(time.process_time() - before)
            row: dict[str, float | str] = {"name": name}
            for side, each in times.items():
                row |= {f"{side} first": each[0], f"{side} later": median(each[1:])}
            found.append(row)
    return found


def section() -> str:
    if not PEERS.exists():
        raise RuntimeError("make .venv-peers/installed first")
    runs = []
    for _ in range(PROCESSES):
        done = subprocess.run([str(PEERS), __file__], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for each in zip(*runs, strict=True):
        name = each[0]["name"]
        row = {key: median(one[key] for one in each) for key in each[0] if key != "name"}
        first, later = (row[f"nlpaug {when}"] / row[f"ours {when}"] for when in ("first", "later"))
        rows.append([
            name, f"{TEXTS / row['ours first']:.0f}", f"{TEXTS / row['ours later']:.0f}",
            f"{TEXTS / row['nlpaug later']:.0f}", f"{first:.1f}", f"{later:.1f}",
            f"≥ {TARGETS[name]}: {met(min(first, later) >= TARGETS[name])}",
        ])  # fmt: skip
    head = [
        "",
        "ours, texts/s, first epoch",
        "later epochs",
        "nlpaug 1.1.11",
        "times, first",
        "times, later",
        "target",
    ]
    said = f"{TEXTS} texts of 10 to 200 words; medians of {PROCESSES} processes."
    return f"## Texts\n\n{said}\n\n{table(head, rows)}\n\n{REMARKS}"


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1:] or list(TARGETS))))
