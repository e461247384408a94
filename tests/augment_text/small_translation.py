"""Two tiny sequence-to-sequence models that change a few words there, and some of them back, made in seconds."""

import random

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from augment_text.small_model import FOX, docstrings

SPECIAL = ["<pad>", "</s>", "<unk>"]
SENTENCES = [
    "The quick brown fox jumps over the lazy dog",
    "A quick idea: big dogs jumped over an idle FOX.",
    "And the lazy dog quickly had another thought!",
    "the quick brown fox jumps over the lazy dog",
    "Don't panic: v1.2.3 is quick",
]
THERE = {"quick": "speedy", "jumps": "leaps", "lazy": "idle", "dog": "hound", "dogs": "hounds", "big": "large"}
PIVOT = {"The": "Le", "the": "le", "over": "sur", "fox": "renard", "A": "Un", "And": "Et", "is": "est"}


def tokenizer_of(words, length):
    """Return a tokenizer that knows words with the marks that touch them, and nothing else."""
    known = {token: i for i, token in enumerate([*SPECIAL, *dict.fromkeys(f"▁{word}" for word in words)])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=length, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def small_translation(folder, pairs, words, steps=60, length=64, config=None, seed=0):
    """Train a model on pairs of sentences, and save it; return the folder."""
    tokenizer = tokenizer_of(words, length)
    torch.manual_seed(seed)
    made = config or transformers.MarianConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=length,
        pad_token_id=0, eos_token_id=1, forced_eos_token_id=None, decoder_start_token_id=0, bos_token_id=None,
        dropout=0.0, attention_dropout=0.0, num_beams=1,
    )  # fmt: skip
    model = transformers.AutoModelForSeq2SeqLM.from_config(made)
    coded = tokenizer([one for one, _ in pairs], padding=True, return_tensors="pt")
    labels = tokenizer([other for _, other in pairs], padding=True, return_tensors="pt")["input_ids"]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # which is quicker for what is so small
    model.train()
    for _ in range(steps):
        loss = model(
            input_ids=coded["input_ids"],
            attention_mask=coded["attention_mask"],
            labels=labels.masked_fill(labels == 0, -100),
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def translations(folder, steps=60, length=64, more=()):
    """Make a model there and a model back, and return their folders."""
    texts = [*SENTENCES, *more, *(" ".join(text.split()[:12]) for text in [*docstrings()[:10], FOX])]
    changed = [" ".join(PIVOT.get(word, word) for word in text.split()) for text in texts]
    back = [" ".join(THERE.get(word, word) for word in text.split()) for text in texts]
    words = " ".join([*texts, *changed, *back]).split()
    random.Random(0).shuffle(words)
    there = small_translation(folder / "there", list(zip(texts, changed, strict=True)), words, steps, length)
    again = small_translation(folder / "back", list(zip(changed, back, strict=True)), words, steps, length, seed=1)
    return there, again
