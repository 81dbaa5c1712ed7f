"""Words to features: the word-level tokenizer and the small T5 encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tracache.training.render.scenes import vocabulary

MAX_TOKENS = 20
"""A pair takes 15 words and the end mark; the rest is padding."""
TEXT_WIDTH = 96


def build_tokenizer(
    known: list[str] | None = None, length: int = MAX_TOKENS
) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word of a grammar; anything else is ``<unk>``.

    Parameters
    ----------
    known : list of str, optional
        The words; those of the pictures where none are given.
    length : int, default 20
        Tokens that a caption is padded to.
    """
    words = ["<pad>", "</s>", "<unk>", *(vocabulary() if known is None else known)]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # white space, punctuation apart
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
    )


def build_text_encoder(words: int, width: int = TEXT_WIDTH, layers: int = 2) -> T5EncoderModel:
    """A fresh T5 encoder for a vocabulary of ``words`` tokens."""
    return T5EncoderModel(
        T5Config(
            vocab_size=words,
            d_model=width,
            d_kv=width // 4,
            d_ff=2 * width,
            num_layers=layers,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            is_encoder_decoder=False,
            use_cache=False,
            tie_word_embeddings=False,  # type: ignore[call-arg]
        )
    )


def load_text_encoder(folder: Path) -> T5EncoderModel:
    """The text encoder of a pipeline's folder, float32."""
    return T5EncoderModel.from_pretrained(
        folder, subfolder="text_encoder", dtype=torch.float32, local_files_only=True
    )


def tokenize(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, int64 (n, tokens) each, exactly as the pipeline makes them."""
    out = tokenizer(
        captions,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        add_special_tokens=True,
        return_tensors="pt",
    )
    return out.input_ids, out.attention_mask.to(torch.int64)


def tokenize_short(
    tokenizer: PreTrainedTokenizerFast, captions: list[str]
) -> tuple[Tensor, Tensor]:
    """As ``tokenize``, cut to the longest caption: padding is masked anyway, so need not run."""
    ids, mask = tokenize(tokenizer, captions)
    longest = int(mask.sum(1).max())
    return ids[:, :longest], mask[:, :longest]
