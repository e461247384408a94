"""Small files of the forms that words come from."""

import re
from collections import Counter

import numpy as np

from augment_text.small_model import small_model
from augment_text.small_translation import translations

LETTER = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}

SYNSETS = [
    ("verb", ["jump", "leap", "climb"], {}),
    ("noun", ["jump", "leap"], {}),
    ("adj", ["quick", "easy", "speedy"], {"quick": "slow"}),
    ("adj", ["slow", "sluggish"], {"slow": "quick"}),
    ("adj", ["quick", "slow"], {}),  # a sense as which it is its own opposite
    ("noun", ["dog", "hound", "domestic_dog", "Fido"], {}),
    ("noun", ["fox", "slyboots"], {}),
    ("adj", ["big", "large", "hulking"], {}),
    ("noun", ["idea", "thought", "notion"], {}),
    ("adv", ["quickly", "rapidly"], {}),
    ("adj", ["lazy", "idle"], {}),
]
COUNTS = [("jump", "2", 19), ("jump", "1", 2)]


def small_wordnet(folder, synsets=SYNSETS, counts=COUNTS):
    """Write WordNet's files, with offsets that hold; return the folder."""
    folder.mkdir(exist_ok=True)
    for name in LETTER:
        _write(folder, name, [synset for synset in synsets if synset[0] == name])
    if counts:
        (folder / "cntlist.rev").write_text("".join(f"{word}%{kind}:00:00:: 1 {n}\n" for word, kind, n in counts))
    return folder


HEAD = "  1 This database is provided by Princeton University  \n  2 WordNet 3.0 Copyright 2006  \n"


def _write(folder, name, synsets):
    """Write the data and the index of a part of speech; offsets have eight digits, so lines are laid out first."""
    letter = LETTER[name]

    def line(at, words, opposite, places):
        pointers = []
        for word, other in opposite.items():
            i = next(i for i, (_, there, _) in enumerate(synsets) if other in there)
            numbers = f"{words.index(word) + 1:02x}{synsets[i][1].index(other) + 1:02x}"
            pointers.append(f"! {places[i]:08d} {letter} {numbers}")
        inside = " ".join(f"{word} 0" for word in words)
        return f"{at:08d} 00 {letter} {len(words):02x} {inside} {len(pointers):03d} {' '.join(pointers)} | gloss  \n"

    places, at = [], len(HEAD)
    for _, words, opposite in synsets:
        places.append(at)
        at += len(line(at, words, opposite, [0] * len(synsets)))
    lines = [line(at, words, opposite, places) for at, (_, words, opposite) in zip(places, synsets, strict=True)]
    (folder / f"data.{name}").write_text(HEAD + "".join(lines))
    senses = {}
    for start, (_, words, _) in zip(places, synsets, strict=True):
        for word in words:
            senses.setdefault(word.lower(), []).append(f"{start:08d}")
    lines = [
        f"{word} {letter} {len(at)} 0 {len(at)} 0 {' '.join(at)}  \n"
        for word, at in sorted(senses.items(), key=lambda item: item[0].encode())
    ]
    (folder / f"index.{name}").write_text(HEAD + "".join(lines))


PARAPHRASES = [
    ("VBZ", "jumps", "climbs", 4.2, "Equivalence"),
    ("VBZ", "jumps", "leaps", 3.1, "Equivalence"),
    ("VBZ", "jumps", "jumped", 5.0, "Equivalence"),
    ("VBZ", "jumps", "falls", 5.0, "Exclusion"),
    ("VB", "jump", "hop", 3.0, "Equivalence"),
    ("JJ", "quick", "prompt", 3.9, "Equivalence"),
    ("JJ", "quick", "slow", 4.5, "OtherRelated"),
    ("JJ", "lazy", "idle", 1.2, "ForwardEntailment"),
    ("NN", "dog", "hound", 3.3, "Equivalence"),
    ("NN", "dog", "big animal", 3.3, "Equivalence"),
    ("NN", "thought", "notion", 3.3, "Equivalence"),
]


def small_ppdb(path, pairs=PARAPHRASES):
    """Write a file as PPDB 2.0 has it; return its path."""
    lines = [
        f"[{tag}] ||| {one} ||| {other} ||| PPDB2.0Score={score} PPDB1.0Score=1.0 p(e|f)=1.0 ||| 0-0 ||| {relation}\n"
        for tag, one, other, score, relation in pairs
    ]
    path.write_text("".join(lines))
    return path


VECTORS = {
    "quick": (1, 0.1, 0), "slow": (1, 0.12, 0), "easy": (1, 0.2, 0), "fast": (0.9, 0.3, 0.1), "dog": (0, 1, 0.1),
    "hounds": (0, 1, 0.2), "cat": (0.1, 1, 0), "jumps": (0, 0, 1), "jump": (0, 0.01, 1), "climb": (0, 0.1, 1),
    "leaps": (0, 0.2, 1), "lazy": (-1, 0.1, 0), "idle": (-1, 0.2, 0), "idea": (-1, -1, 0), "thought": (-1, -1, 0.1),
    "dogs": (0.05, 1, 0.1), "big": (1, -1, 0), "large": (1, -1, 0.1),
}  # fmt: skip


def trained_vectors(texts, width=40, reach=2):
    """Learn word vectors from texts: singular vectors of how much oftener than by chance words stand beside others.

    Each word beside another counts by its place, so that words are alike which can stand for one another.
    """
    sentences = [re.findall("[a-z]+", text.lower()) for text in texts]
    often = [word for word, n in Counter(word for words in sentences for word in words).items() if n > 2]
    number, counts = {word: i for i, word in enumerate(often)}, np.zeros((2 * reach, len(often), len(often)))
    for words in sentences:
        ids = [number[word] for word in words if word in number]
        for away in range(1, reach + 1):
            before, behind = ids[:-away], ids[away:]
            np.add.at(counts, (2 * away - 2, before, behind), 1)
            np.add.at(counts, (2 * away - 1, behind, before), 1)
    counts = np.concatenate(counts, 1)
    by_chance = np.where(counts > 0, counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum(), 1)
    oftener = np.log(np.maximum(counts, by_chance) / by_chance)
    left, sizes, _ = np.linalg.svd(oftener, full_matrices=False)
    return dict(zip(often, left[:, :width] * np.sqrt(sizes[:width]), strict=True))


def small_vectors(path, vectors=VECTORS, form="word2vec"):
    """Write word vectors as word2vec's text or binary, or GloVe's text; return the path."""
    rows = [np.array(vector, "<f4") for vector in vectors.values()]
    head = f"{len(rows)} {len(rows[0])}\n".encode() if form != "glove" else b""
    if form == "binary":
        body = b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(vectors, rows, strict=True))
    else:
        lines = [" ".join([word, *map(str, row.tolist())]) for word, row in zip(vectors, rows, strict=True)]
        body = ("\n".join(lines) + "\n").encode()
    path.write_bytes(head + body)
    return path


def given_sources(folder):
    """Return a function from a technique to hyperparameters that name small sources, made in a folder."""
    wordnet = str(small_wordnet(folder / "wordnet"))
    known = {
        "synonym": {"path": wordnet},
        "random_insertion": {"path": wordnet},
        "ppdb": {"path": str(small_ppdb(folder / "ppdb"))},
        "vectors": {"path": str(small_vectors(folder / "vectors.txt"))},
    }
    model = {"path": str(small_model(folder / "model"))}
    known |= {"masked": model, "masked_insertion": model}
    there, back = translations(folder)
    known["back_translation"] = {"path": str(there), "back": str(back)}
    return lambda technique: known.get(technique.name, {})
