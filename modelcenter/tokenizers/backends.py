"""One pipeline of the `tokenizers` library for each kind of vocabulary file.

`tokenizer.json` is a pipeline already; the others are vocabularies whose rules their family fixes.
Source: transformers tokenization_utils_tokenizers.py, models/*/tokenization_*.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelcenter.errors import ModelCenterError, TokenizerDamaged, TokenizerNotFound, TokenizerUnsupported
from modelcenter.tokenizers.pieces import from_sentencepiece
from modelcenter.tokenizers.pipeline import SPACE, add_tokens, added_token, begin_and_end, surround, token
from modelcenter.tokenizers.ranks import composed, from_ranks, words
from modelcenter.tokenizers.settings import WORDPIECE, TokenizerSettings, is_ranks, read_json
from modelcenter.tokenizers.words import cut, from_words, read_words

if TYPE_CHECKING:
    from tokenizers import NormalizedString, PreTokenizedString
    from tokenizers import Tokenizer as Backend
    from tokenizers.pre_tokenizers import PreTokenizer


def build(folder: Path, settings: TokenizerSettings) -> Backend:
    """The pipeline of the folder's vocabulary, with its special and added tokens.

    Raises TokenizerNotFound, TokenizerDamaged, and TokenizerUnsupported for a vocabulary without known rules.
    """
    name = vocabulary(folder)
    if name is None:
        raise TokenizerNotFound(folder, list(BUILDERS))
    try:
        backend = BUILDERS[name](folder / name, settings)
    except ModelCenterError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerDamaged(name, f"the tokenizers library cannot read it ({error})") from error
    add_tokens(backend, settings)
    # Lengths are the caller's: files of sentence-transformers have some of their own baked in.
    backend.no_truncation()
    backend.no_padding()
    return backend


def vocabulary(folder: Path) -> str | None:
    """The vocabulary's file, None where the folder has none."""
    for name in BUILDERS:
        if (folder / name).is_file() and (name != VOCAB or (folder / MERGES).is_file()):
            return name
    return None


# --- one builder a file


def _from_json(path: Path, settings: TokenizerSettings) -> Backend:
    from tokenizers import Tokenizer as Backend

    content = read_json(path)
    normalizer = content.get("normalizer") or {}
    if settings.kind == "bert" and normalizer.get("type") == "BertNormalizer":
        # tokenizer_config.json is the truth for BERT, where the two disagree; transformers does the same.
        content["normalizer"] = {
            **normalizer,
            "lowercase": settings.flag("do_lower_case", True),
            "handle_chinese_chars": settings.flag("tokenize_chinese_chars", True),
            "strip_accents": settings.config.get("strip_accents"),
        }
        return Backend.from_str(json.dumps(content, ensure_ascii=False))
    backend = Backend.from_file(str(path))
    if settings.kind == "roformer":  # its own step is in Python: the file has BERT's in its place
        backend.pre_tokenizer = _jieba_words(backend)
    is_llama = settings.is_stated and settings.kind == settings.model_config.get("model_type") == "llama"
    if is_llama and is_byte_pairs(backend) and "ByteLevel" not in str(backend.pre_tokenizer):
        # Files from before transformers 5 put a space after each special token; it mends them so.
        backend.normalizer = None
        backend.pre_tokenizer = _llama_spaces(settings)
    _follow_flags(backend, path, settings)
    return backend


def _llama_spaces(settings: TokenizerSettings) -> PreTokenizer:
    """Spaces to ▁, and one put before the text, in legacy tokenisers after each special token too."""
    from tokenizers import pre_tokenizers

    prefixed = "always" if settings.flag("legacy", False) else "first"
    has_prefix = settings.flag("add_prefix_space", True)
    return pre_tokenizers.Metaspace(SPACE, prepend_scheme=prefixed if has_prefix else "never", split=False)


def _follow_flags(backend: Backend, path: Path, settings: TokenizerSettings) -> None:
    """Has texts begin and end as tokenizer_config.json says, where the file's own rules say otherwise."""
    template = settings.rules.template
    if template is not None:
        if "lang" in template[0] and settings.config.get("src_lang"):
            add_tokens(backend, settings)
            surround(backend, path, settings)
        return
    add_tokens(backend, settings)
    around = backend.encode("").ids
    stated = settings.config.get("add_bos_token"), settings.config.get("add_eos_token")
    names = ("bos_token", "eos_token")
    ids = [
        backend.token_to_id(settings.tokens[name].content) if name in settings.tokens else None
        for name in names
    ]
    has = ids[0] in around[:1], ids[1] in around[-1:] and len(around) > (ids[0] == ids[1])
    wanted = tuple(now if flag is None else bool(flag) for flag, now in zip(stated, has, strict=True))
    if wanted != has and set(around) <= set(ids):
        begin_and_end(backend, path, settings, begins=wanted[0], ends=wanted[1])


def _from_vocab_txt(path: Path, settings: TokenizerSettings) -> Backend:
    if settings.rules.words:
        return from_words(path, settings)
    if settings.kind not in WORDPIECE and settings.is_stated:
        raise TokenizerUnsupported(
            path.name,
            f"a tokeniser of {settings.called}",
            "its tokenizer.json would say how texts are split",
        )
    return _from_wordpiece(path, settings)


def _from_wordpiece(path: Path, settings: TokenizerSettings) -> Backend:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    vocab = {line: index for index, line in enumerate(read_words(path))}
    unknown = token(settings, "unk_token", "[UNK]")
    if unknown not in vocab:
        raise TokenizerDamaged(path.name, f"it lacks the unknown token {unknown}")
    backend = Backend(models.WordPiece(vocab, unk_token=unknown))
    is_roformer = settings.kind == "roformer"
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.flag("tokenize_chinese_chars", True) and not is_roformer,
        strip_accents=settings.config.get("strip_accents"),
        lowercase=settings.flag("do_lower_case", True),
    )
    backend.pre_tokenizer = _jieba_words(backend) if is_roformer else pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    surround(backend, path, settings)
    return backend


def _jieba_words(backend: Backend) -> PreTokenizer:
    """RoFormer: jieba's words that the vocabulary has, other words cut as BERT's.

    Source: transformers models/roformer/tokenization_utils.py; jieba for rjieba, its port.
    """
    from tokenizers import normalizers, pre_tokenizers

    vocab = backend.get_vocab()
    apart = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )

    class Words:
        def pre_tokenize(self, text: PreTokenizedString) -> None:
            text.split(self.split)

        def split(self, index: int, part: NormalizedString) -> list[NormalizedString]:
            from tokenizers import NormalizedString

            found = cut(part.normalized, guesses=False)
            parts = ([word] if word in vocab else apart.normalize_str(word).split() for word in found)
            return [NormalizedString(word) for words in parts for word in words]

    return pre_tokenizers.PreTokenizer.custom(Words())


def _from_byte_pairs(path: Path, settings: TokenizerSettings) -> Backend:
    """Byte-level byte pairs in vocab.json and merges.txt."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    if settings.kind not in BYTE_PAIRS:
        raise TokenizerUnsupported(
            path.name,
            f"a tokeniser of {settings.called}",
            "its tokenizer.json would say how texts are split",
        )
    lines = (path.parent / MERGES).read_text(encoding="utf-8").split("\n")
    merges = []
    for line in lines:
        if line.strip() and not line.startswith("#version"):
            left, *right = line.rstrip("\r").split(" ")
            if len(right) != 1:
                raise TokenizerDamaged(MERGES, f"the line {line[:60]!r} is not two tokens")
            merges.append((left, right[0]))
    backend = Backend(
        models.BPE(
            vocab=read_json(path),
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
        )
    )
    backend.normalizer = composed() if settings.rules.composes else None
    if settings.rules.split is not None:
        backend.pre_tokenizer = words(settings.rules.split)
    else:
        has_prefix = settings.flag("add_prefix_space", False)
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=has_prefix)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([added_token(token) for token in settings.added.values()])
    surround(backend, path, settings)
    return backend


def _from_model(path: Path, settings: TokenizerSettings) -> Backend:
    """tokenizer.model is SentencePiece's, or tiktoken's."""
    return (from_ranks if is_ranks(path) else from_sentencepiece)(path, settings)


BYTE_PAIRS = ("gpt2", "opt", "gpt_neox", "roberta", "deberta", "qwen2", "qwen3_5", "glm")
VOCAB, MERGES = "vocab.json", "merges.txt"
BUILDERS: Mapping[str, Callable[[Path, TokenizerSettings], Backend]] = {
    "tokenizer.json": _from_json,
    "vocab.txt": _from_vocab_txt,
    "spiece.model": from_sentencepiece,
    "tokenizer.model": _from_model,
    "sentencepiece.bpe.model": from_sentencepiece,
    "spm.model": from_sentencepiece,
    "vocab.model": from_sentencepiece,
    "cog-pretrain.model": from_sentencepiece,
    "ice_text.model": from_sentencepiece,
    "qwen.tiktoken": from_ranks,
    VOCAB: _from_byte_pairs,
}
"""The vocabulary's file to its builder; the first that the folder has is taken."""


# --- what they share


def is_byte_pairs(backend: Backend) -> bool:
    """Whether the pieces come from merges, which keep every space of the text."""
    return type(backend.model).__name__ == "BPE"
