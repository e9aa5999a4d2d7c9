"""Texts to ids and back, from the files beside a checkpoint. Knows no model and no torch."""

from modelcenter.tokenizers.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Tokenizer", "load_tokenizer"]
