"""A tiny BERT on the standard library's docstrings, made in seconds."""

import inspect
import json
import logging
import statistics
import string
import textwrap

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FOX = "the quick brown fox jumps over the lazy dog . little easy brown foxes climb over a lazy dog ."


def docstrings():
    """Return docstrings of the standard library, and a sentence that the lecture knows."""
    found = []
    for module in (json, logging, statistics, string, textwrap):
        found += [inspect.getdoc(thing) for _, thing in sorted(vars(module).items()) if callable(thing)]
    return [" ".join(text.split()) for text in found if text] + [FOX] * 20


def small_model(folder, length=64, steps=40, width=32, pieces=800, more=()):
    """Train a tokenizer and a model, and save them; return the folder."""
    texts = [*docstrings(), *more]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=pieces, special_tokens=SPECIAL, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=length, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(fast), hidden_size=width, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=2 * width, max_position_embeddings=length, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = transformers.BertForMaskedLM(config)
    ids = torch.tensor([i for text in texts for i in fast(text, verbose=False)["input_ids"]])
    optimizer, size = torch.optim.AdamW(model.parameters(), 3e-3), 32
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # which is quicker for what is so small
    for _ in range(steps):
        starts = torch.randint(len(ids) - size, (16,))
        batch = ids[starts[:, None] + torch.arange(size)]
        hidden = torch.rand(batch.shape) < 0.15
        loss = torch.nn.functional.cross_entropy(
            model(input_ids=batch.masked_fill(hidden, fast.mask_token_id)).logits[hidden], batch[hidden]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    fast.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
