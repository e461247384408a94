"""Translation by sequence-to-sequence models from this machine, of many sentences at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.augment._draws import uniform_arrays
from thalweg.augment.text.sources._cards import licence, quiet
from thalweg.errors import InputError

__all__ = ["Translator", "opened", "said"]

TOKENS = 4096
"""How many tokens, padding and all, a model sees at once."""

Choose = Callable[[Sequence[tuple[Any, float]], float], Any]
"""From options with their chances, and a random number, to one of them."""


def opened(path: str) -> Translator:
    """Return the model in a folder, or of a name in transformers' own store; opened once.

    Raises:
        InputError: no transformers, no such model, or one that does not translate.
    """
    if not path:
        raise InputError(
            "back_translation needs the paths of two models that translate there and back, such as "
            "opus-mt-en-de's and opus-mt-de-en's; docs/augmentation-text.md says where to get them"
        )
    return _opened(path)


@lru_cache(4)
def _opened(path: str) -> Translator:
    try:
        import transformers
    except ImportError:
        raise InputError("back_translation needs transformers: pip install 'thalweg[text]'") from None
    try:
        with quiet(transformers.utils.logging):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            model = transformers.AutoModelForSeq2SeqLM.from_pretrained(path, local_files_only=True)
    except (ImportError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if not Path(path).exists():
            lines = ["there is no such folder, and no model of that name in the store of transformers"]
        elif "sentencepiece" in str(error).lower():
            lines = ["its tokenizer needs sentencepiece: pip install sentencepiece"]
        raise InputError(
            f"{path} is no model on this machine that translates; nothing is downloaded: "
            f"{lines[0] if lines else type(error).__name__}"
        ) from None
    return Translator(tokenizer, model.eval(), path)


class Translator:
    """A model from texts to texts, with its tokenizer.

    Args:
        tokenizer: one of transformers.
        model: one of transformers' for sequences to sequences.
        path: where they lie.
    """

    def __init__(self, tokenizer: Any, model: Any, path: str) -> None:
        self.tokenizer, self.model, self.path = tokenizer, model, path
        longest = getattr(model.config, "max_position_embeddings", None) or 512
        self.room = int(min(tokenizer.model_max_length, longest))
        ends = model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])

    def sampled(
        self, texts: Sequence[str], languages: tuple[str, str], streams: Sequence[int], way: int, top: int,
        choose: Choose,
    ) -> list[str | None]:  # fmt: skip
        """Return a translation of each text whose tokens are chosen one by one; None where there is none.

        Args:
            texts: sentences, with single spaces in them.
            languages: from which, and to which, for models that know many.
            streams: whole numbers, from which the random numbers of each text follow.
            way: another whole number, the same for all.
            top: among how many tokens is chosen.
            choose: the choice.

        There is none for a text that is longer than the model sees, that has something its tokenizer does not know,
        or whose translation has no end.
        """
        coded, forced = self._coded(texts, languages)
        found: list[str | None] = [None] * len(texts)
        for batch in _batches(coded):
            longest = max(_most(len(coded[i]), self.room) for i in batch)
            seeds = np.array([streams[i] for i in batch], np.uint64)
            numbers = uniform_arrays(seeds, way, 0, longest + 1)
            made = self._generated([coded[i] for i in batch], longest, forced, [_keyed(numbers, top, choose)])
            for i, ids in zip(batch, made.sequences.tolist(), strict=True):
                found[i] = self._read(ids, len(coded[i]))
        return found

    def searched(
        self, texts: Sequence[str], languages: tuple[str, str], beams: int, count: int
    ) -> list[list[tuple[str, float]]]:
        """Return for each text its likeliest translations, with their chances, as a search with beams finds them."""
        coded, forced = self._coded(texts, languages)
        found: list[list[tuple[str, float]]] = [[] for _ in texts]
        for batch in _batches(coded, beams):
            longest = max(_most(len(coded[i]), self.room) for i in batch)
            made = self._generated(
                [coded[i] for i in batch], longest, forced, [], num_beams=beams, num_return_sequences=count
            )
            rows = made.sequences.tolist()
            chances = [1.0] * len(rows) if beams == 1 else made.sequences_scores.exp().tolist()
            for at, (ids, chance) in enumerate(zip(rows, chances, strict=True)):
                i = batch[at // count]
                text = self._read(ids, len(coded[i]))
                if text is not None and all(text != known for known, _ in found[i]):
                    found[i].append((text, chance))
        return found

    def _coded(self, texts: Sequence[str], languages: tuple[str, str]) -> tuple[list[list[int]], int | None]:
        """Return the tokens of texts, none for those that cannot be translated, and which one has to come first."""
        prefix, first = self._told(languages)
        sound = [text.encode("utf-8", "replace").decode() for text in texts]
        given = self.tokenizer([prefix + text for text in sound], verbose=False)["input_ids"] if texts else []
        unknown = self.tokenizer.unk_token_id
        known = [len(ids) <= self.room and unknown not in ids for ids in given]
        return [
            ids if fits and text == whole else []
            for ids, fits, text, whole in zip(given, known, texts, sound, strict=True)
        ], first

    def _told(self, languages: tuple[str, str]) -> tuple[str, int | None]:
        """Return how a model is told the languages: what stands before a text, and the translation's first token."""
        here, there = languages
        if hasattr(self.tokenizer, "src_lang"):
            ids = [self._language(name) for name in languages]
            self.tokenizer.src_lang = here
            return "", ids[1]
        if self.model.config.model_type == "t5" and here and there:
            return f"translate {here} to {there}: ", None
        if there and getattr(self.tokenizer, "supported_language_codes", None):
            return f">>{there}<< ", None
        return "", None

    def _language(self, name: str) -> int:
        tokenizer = self.tokenizer
        token = getattr(tokenizer, "lang_code_to_token", {}).get(name, name)
        found = tokenizer.convert_tokens_to_ids(token) if name else None
        if found is None or found == tokenizer.unk_token_id:
            said = f"does not know the language {name!r}" if name else "knows many languages"
            known = sorted(getattr(tokenizer, "lang_code_to_token", None) or tokenizer.extra_special_tokens)[:6]
            raise InputError(
                f"{self.path} {said}: name that of the texts with language=, and the other with through="
                + (f", such as {', '.join(map(str, known))}" if known else "")
            )
        return int(found)

    def _generated(
        self, coded: Sequence[Sequence[int]], longest: int, first: int | None, choices: list[Any], **search: Any
    ) -> Any:
        import torch
        import transformers

        width = max(map(len, coded))
        ids = torch.full((len(coded), width), self.tokenizer.pad_token_id or 0)
        there = torch.zeros_like(ids)
        for i, row in enumerate(coded):
            ids[i, : len(row)] = torch.tensor(row)
            there[i, : len(row)] = 1
        # Some models are made to end in the last place, which is one more than `_read` takes.
        settings = copy.deepcopy(self.model.generation_config)
        settings.update(
            do_sample=False, num_beams=1, num_return_sequences=1, max_length=None, max_new_tokens=longest + 1,
            return_dict_in_generate=True, output_scores=bool(search),
        )  # fmt: skip
        settings.update(**search)
        if first is not None:
            settings.forced_bos_token_id = first
        device = self.model.device
        with torch.inference_mode(), quiet(transformers.utils.logging):
            return self.model.generate(
                input_ids=ids.to(device), attention_mask=there.to(device), generation_config=settings,
                logits_processor=transformers.LogitsProcessorList(choices),
            )  # fmt: skip

    def _read(self, ids: list[int], length: int) -> str | None:
        """Return a translation in letters; None if it does not end within what its text's length allows."""
        end = next((n for n, token in enumerate(ids) if n and token in self.ends), None)
        if end is None or end > _most(length, self.room):
            return None
        text: str = self.tokenizer.decode(ids[1:end], skip_special_tokens=True)
        return text.strip() or None


def _most(length: int, room: int) -> int:
    """Return how many tokens the translation of so many has at most."""
    return min(2 * length + 16, room - 1)


def _keyed(numbers: np.ndarray, top: int, choose: Choose) -> Any:
    """Return a processor of logits that leaves one token for each row: the one that its random number chooses."""
    import torch

    def process(ids: Any, scores: Any) -> Any:
        chances, which = scores.float().softmax(-1).topk(min(top, scores.shape[-1]))
        now = numbers[:, ids.shape[1] - 1].tolist()
        rows = zip(which.tolist(), chances.tolist(), now, strict=True)
        chosen = [choose([(n, p) for n, p in zip(names, given, strict=True) if p > 0], u) for names, given, u in rows]
        left = torch.full_like(scores, -float("inf"))
        left[torch.arange(len(chosen)), torch.tensor(chosen)] = 0.0
        return left

    return process


def _batches(coded: Sequence[Sequence[int]], beams: int = 1) -> Iterator[list[int]]:
    """Yield which texts are translated together: those of like lengths, up to so many tokens; none without tokens."""
    batch: list[int] = []
    for i in sorted((i for i, ids in enumerate(coded) if ids), key=lambda i: len(coded[i])):
        if batch and (len(batch) + 1) * beams * len(coded[i]) > TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def said(path: str, back: str) -> str:
    """Return which models these are, with the licences that their cards state."""
    each = [
        f"{type(opened(one).model).__name__} in {one}, {licence(one)}" for one in dict.fromkeys((path, back or path))
    ]
    return "; back by ".join(each)
