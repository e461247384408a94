"""Small files of the forms that words come from."""

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
    for name, letter in LETTER.items():
        mine = [synset for synset in synsets if synset[0] == name]
        head = "  1 This database is provided by Princeton University  \n  2 WordNet 3.0 Copyright 2006  \n"

        def line(at, words, opposite, places):
            pointers = [
                f"! {places(other):08d} {letter} {words.index(word) + 1:02x}{first + 1:02x}"
                for word, (other, first) in opposite
            ]
            inside = " ".join(f"{word} 0" for word in words)
            return f"{at:08d} 00 {letter} {len(words):02x} {inside} {len(pointers):03d} {' '.join(pointers)} | a gloss  \n"

        def found(word):
            """Return the first synset of a word, and its place there."""
            return next((i, words.index(word)) for i, (_, words, _) in enumerate(mine) if word in words)

        pointers = [[(word, found(other)) for word, other in opposite.items()] for _, _, opposite in mine]
        places, at = [], len(head)
        for (_, words, _), opposite in zip(mine, pointers, strict=True):
            places.append(at)
            at += len(line(at, words, opposite, lambda i: 0))
        text = head
        for start, (_, words, _), opposite in zip(places, mine, pointers, strict=True):
            text += line(start, words, opposite, lambda i, places=places: places[i])
        (folder / f"data.{name}").write_text(text)
        senses = {}
        for start, (_, words, _) in zip(places, mine, strict=True):
            for word in words:
                senses.setdefault(word.lower(), []).append(start)
        lines = [
            f"{word} {letter} {len(offsets)} 0 {len(offsets)} 0 {' '.join(f'{offset:08d}' for offset in offsets)}  \n"
            for word, offsets in sorted(senses.items(), key=lambda item: item[0].encode())
        ]
        (folder / f"index.{name}").write_text("  1 This database  \n" + "".join(lines))
    if counts:
        (folder / "cntlist.rev").write_text("".join(f"{word}%{kind}:00:00:: 1 {n}\n" for word, kind, n in counts))
    return folder


def given_sources(folder):
    """Return a function from a technique to hyperparameters that name small sources, made in a folder."""
    wordnet = str(small_wordnet(folder / "wordnet"))
    known = {"synonym": {"path": wordnet}, "random_insertion": {"path": wordnet}}
    return lambda technique: known.get(technique.name, {})
