"""Masked language models from a folder on this machine: what words they expect in the places of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thalweg.augment.text._edits import Edit
from thalweg.augment.text._words import words
from thalweg.augment.text.sources._cards import licence, quiet
from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment.text._edits import Draft

__all__ = ["Masked", "opened", "said"]

TOKENS = 4096
"""How many tokens, padding and all, a model sees at once."""

Guesses = list[tuple[str, float]]
"""Words and their chances, the likeliest first."""


class _Window(NamedTuple):
    """A part of a text that a model sees: token ids, and which of them are masks for which guesses."""

    ids: list[int]
    places: list[int]
    which: list[int]


def opened(path: str) -> Masked:
    """Return the model in a folder; opened once.

    Raises:
        InputError: no transformers, no such folder, or a model that guesses no masked words.
    """
    if not path:
        raise InputError(
            "masked language models need the path of one that transformers saved, such as bert-base-uncased's; "
            "docs/augmentation-text.md says where to get one"
        )
    return _opened(path)


@lru_cache(2)
def _opened(path: str) -> Masked:
    try:
        import transformers
    except ImportError:
        raise InputError("masked language models need transformers: pip install 'thalweg[text]'") from None
    try:
        with quiet(transformers.utils.logging):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            model = transformers.AutoModelForMaskedLM.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if not Path(path).exists():
            why = "there is no such folder, and no model of that name in the store of transformers"
        raise InputError(
            f"{path} is no masked language model on this machine; nothing is downloaded: {why}"
        ) from None
    return Masked(tokenizer, model.eval(), path)


class Masked:
    """A masked language model and its tokenizer.

    Args:
        tokenizer: a fast one of transformers, with a mask.
        model: one of transformers' for masked language modelling.
        path: where they lie.
    """

    def __init__(self, tokenizer: Any, model: Any, path: str) -> None:
        if not tokenizer.is_fast or tokenizer.mask_token_id is None:
            raise InputError(f"the tokenizer in {path} is not fast, or has no mask; take one with tokenizer.json")
        self.tokenizer, self.model, self.path = tokenizer, model, path
        bare, framed = (tokenizer("a", add_special_tokens=on)["input_ids"] for on in (False, True))
        at = next(i for i in range(len(framed)) if framed[i : i + len(bare)] == bare)
        self._frame = framed[:at], framed[at + len(bare) :]
        self.room = _longest(tokenizer, model) - at - len(self._frame[1])
        self.ids, self.words = _vocabulary(tokenizer, model.config.vocab_size)

    def guesses(self, asked: Sequence[tuple[Draft, Sequence[int]]], *, top: int, gaps: bool) -> list[list[Guesses]]:
        """Return what the model expects in each place of each text: at most ``top`` words.

        Args:
            asked: texts, with the numbers of the words that are masked, in their order, all at once.
            top: how many guesses.
            gaps: put masks before the words, and not in their places.
        """
        found: list[list[Guesses]] = [[[] for _ in chosen] for _, chosen in asked]
        places = [(i, j) for i, (_, chosen) in enumerate(asked) for j in range(len(chosen))]
        windows = list(self._windows(asked, gaps=gaps))
        for batch in _batches(sorted(windows, key=lambda window: len(window.ids))):
            which = [k for window in batch for k in window.which]
            for k, (chances, ids) in zip(which, self._seen(batch, top + 3), strict=True):
                i, j = places[k]
                draft, chosen = asked[i]
                out = {draft.words[chosen[j]].lower()} | ({draft.words[chosen[j] - 1].lower()} if gaps else set())
                guessed = [(self.words[n], p) for n, p in zip(ids, chances, strict=True)]
                found[i][j] = [(word, p) for word, p in guessed if word.lower() not in out][:top]
        return found

    def _windows(self, asked: Sequence[tuple[Draft, Sequence[int]]], *, gaps: bool) -> Iterator[_Window]:
        """Yield windows that hold all masks once; a text that fits is one."""
        texts, marks = [], []
        for draft, chosen in asked:
            text, at = self._with_masks(draft, chosen, gaps=gaps)
            texts.append(text.encode("utf-8", "replace").decode())  # halves of pairs, which no tokenizer takes, are ?
            marks.append(at)
        coded = self.tokenizer(
            texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False
        ) if texts else {"input_ids": [], "offset_mapping": []}  # fmt: skip
        first, mask, room = 0, self.tokenizer.mask_token_id, self.room
        for ids, spans, at in zip(coded["input_ids"], coded["offset_mapping"], marks, strict=True):
            tokens = [n for n, token in enumerate(ids) if token == mask]
            mine = [n for n in tokens if any(spans[n][0] <= start < spans[n][1] for start in at)]
            numbers = list(range(first, first + len(mine)))
            first += len(at)
            left = list(zip(mine, numbers, strict=True))
            while left:
                start = max(0, min(left[0][0] - room // 4, len(ids) - room))
                end = len(ids) if start + room >= len(ids) else start + room - room // 4
                here = [(n, k) for n, k in left if n < end]
                left = left[len(here) :]
                head, tail = self._frame
                yield _Window(
                    [*head, *ids[start : start + room], *tail],
                    [n - start + len(head) for n, _ in here],
                    [k for _, k in here],
                )

    def _with_masks(self, draft: Draft, chosen: Sequence[int], *, gaps: bool) -> tuple[str, list[int]]:
        """Return a text as it is now with masks in it, and where those are."""
        mask, name = self.tokenizer.mask_token, "\0"
        masks = [
            Edit(draft.bounds[2 * i], draft.bounds[2 * i + (not gaps)], "", mask + " " * gaps, -1, name)
            for i in chosen
        ]
        text, edits = draft.done(masks)
        at, moved = [], 0
        for edit in edits:
            if edit.step == -1:
                at.append(edit.start + moved)
            moved += len(edit.after) - (edit.end - edit.start)
        return text, at

    def _seen(self, batch: Sequence[_Window], top: int) -> list[tuple[list[float], list[int]]]:
        """Return for each mask of each window the likeliest words' chances, and which they are."""
        import torch

        longest = max(len(window.ids) for window in batch)
        ids = torch.full((len(batch), longest), self.tokenizer.pad_token_id or 0)
        there = torch.zeros_like(ids)
        for i, window in enumerate(batch):
            ids[i, : len(window.ids)] = torch.tensor(window.ids)
            there[i, : len(window.ids)] = 1
        rows = torch.tensor([i for i, window in enumerate(batch) for _ in window.places])
        columns = torch.tensor([place for window in batch for place in window.places])
        base, narrowed = self.model.base_model, False

        def masks_alone(_module: Any, _inputs: Any, output: Any) -> Any:
            nonlocal narrowed
            output.last_hidden_state = output.last_hidden_state[rows, columns].unsqueeze(0)
            narrowed = True
            return output

        # The head, which is most of a small model, is asked for the masks' places alone.
        hook = base.register_forward_hook(masks_alone) if base is not self.model else None
        device = self.model.device
        try:
            with torch.inference_mode():
                logits = self.model(input_ids=ids.to(device), attention_mask=there.to(device)).logits
        finally:
            if hook is not None:
                hook.remove()
        logits = logits[0] if narrowed else logits[rows, columns]
        chances = logits.float()[:, self.ids.to(device)].softmax(-1)
        values, which = chances.topk(min(top, len(self.ids)), dim=-1)
        return list(zip(values.tolist(), which.tolist(), strict=True))


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    """Yield windows of like lengths, up to so many tokens."""
    batch: list[_Window] = []
    for window in windows:
        if batch and (len(batch) + 1) * len(window.ids) > TOKENS:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _longest(tokenizer: Any, model: Any) -> int:
    """Return how many tokens the model can see."""
    longest = int(min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None) or 512))
    places = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(places, "padding_idx", None)
    if places is not None and padding is not None:  # RoBERTa counts places from behind the padding's number
        longest = min(longest, places.num_embeddings - padding - 1)
    return longest


def _vocabulary(tokenizer: Any, size: int) -> tuple[Any, list[str]]:
    """Return the tokens that are whole words: their ids as a tensor, and the words."""
    import torch

    tokens = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    pieces = any(token.startswith("##") for token in tokens if token)
    special = set(tokenizer.all_special_tokens)
    ids, found = [], []
    for i, token in enumerate(tokens):
        if not token or token in special:
            continue
        if pieces:
            word = "" if token.startswith("##") else token
        else:
            starts = token[0] in "Ġ▁"
            word = (
                (token[1:] if token.isascii() or token[1:].isascii() else _decoded(tokenizer, token))
                if starts
                else ""
            )
        if word and words(word) == [(0, len(word))] and (len(word) > 1 or not word.isascii() or word in "aAI"):
            ids.append(i)
            found.append(word)
    return torch.tensor(ids, dtype=torch.long), found


def _decoded(tokenizer: Any, token: str) -> str:
    text: str = tokenizer.convert_tokens_to_string([token])
    return text.strip().lstrip("▁")


def said(path: str) -> str:
    """Return what the model is, and its licence where its card says that."""
    model = opened(path)
    return f"{type(model.model).__name__} in {path}, {licence(path)}"
