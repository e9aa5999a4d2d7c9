"""One pipeline of the `tokenizers` library for each kind of vocabulary file.

`tokenizer.json` is a pipeline already; the others are vocabularies whose rules their family fixes.
Source: transformers tokenization_utils_tokenizers.py, models/{bert,gpt2,roberta,t5,llama}/tokenization_*.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelcenter.errors import TokenizerDamaged, TokenizerNotFound, TokenizerUnsupported
from modelcenter.tokenizers.sentencepiece_model import SentencePieceModel, read_model
from modelcenter.tokenizers.settings import Added, TokenizerSettings, read_json

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend
    from tokenizers.decoders import Decoder
    from tokenizers.pre_tokenizers import PreTokenizer

SPACE = "▁"  # SentencePiece's sign for a space
T5_EXTRA_IDS = 100


def build(folder: Path, settings: TokenizerSettings) -> Backend:
    """The pipeline of the folder's vocabulary, with its special and added tokens.

    Raises TokenizerNotFound, TokenizerDamaged, and TokenizerUnsupported for a vocabulary without known rules.
    """
    name = vocabulary(folder)
    if name is None:
        raise TokenizerNotFound(folder, list(BUILDERS))
    try:
        backend = BUILDERS[name](folder / name, settings)
    except (TokenizerDamaged, TokenizerUnsupported):
        raise
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerDamaged(name, f"the tokenizers library cannot read it ({error})") from error
    _add_tokens(backend, settings)
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
    is_llama = settings.is_stated and settings.kind == settings.model_config.get("model_type") == "llama"
    if is_llama and is_byte_pairs(backend) and "ByteLevel" not in str(backend.pre_tokenizer):
        # Files from before transformers 5 put a space after each special token; it mends them so.
        backend.normalizer = None
        backend.pre_tokenizer = _llama_spaces(settings, settings.flag("add_prefix_space", True))
    return backend


def _from_wordpiece(path: Path, settings: TokenizerSettings) -> Backend:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    # Split at newlines only: some vocabularies hold other characters that Python takes for line ends.
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1] == "":
        lines.pop()
    vocab = {line.rstrip("\r"): index for index, line in enumerate(lines)}
    unknown = _token(settings, "unk_token", "[UNK]")
    if unknown not in vocab:
        raise TokenizerDamaged(path.name, f"it lacks the unknown token {unknown}")
    backend = Backend(models.WordPiece(vocab, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.flag("tokenize_chinese_chars", True),
        strip_accents=settings.config.get("strip_accents"),
        lowercase=settings.flag("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    begin, end = _token(settings, "cls_token", "[CLS]"), _token(settings, "sep_token", "[SEP]")
    _surround(backend, path, f"{begin}:0 $A:0 {end}:0", f"$B:1 {end}:1", [begin, end])
    return backend


def _from_byte_pairs(path: Path, settings: TokenizerSettings) -> Backend:
    """Byte-level byte pairs in vocab.json and merges.txt."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    if settings.kind not in ("gpt2", "roberta"):
        found = (
            settings.config.get("tokenizer_class")
            or settings.model_config.get("model_type")
            or "no known family"
        )
        raise TokenizerUnsupported(
            path.name, f"a tokeniser of {found}", "its tokenizer.json would say how texts are split"
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
    has_prefix = settings.flag("add_prefix_space", False)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=has_prefix)
    backend.decoder = decoders.ByteLevel()
    if settings.kind == "roberta":
        begin, end = _token(settings, "cls_token", "<s>"), _token(settings, "sep_token", "</s>")
        _surround(backend, path, f"{begin}:0 $A:0 {end}:0", f"{end}:0 $B:0 {end}:0", [begin, end])
    else:
        _begin_and_end(backend, path, settings, has_begin=settings.flag("add_bos_token", False))
    return backend


def _from_sentencepiece(path: Path, settings: TokenizerSettings) -> Backend:
    model = read_model(path)
    if settings.kind == "t5":
        backend = _t5(path, model, settings)
    elif model.is_bpe:
        backend = _llama(path, model, settings)
    else:
        backend = _unigram(path, model, settings)
    backend.add_tokens([_added(Added(model.pieces[i][0], normalized=False)) for i in model.control])
    backend.add_tokens(
        [_added(Added(model.pieces[i][0], normalized=False, special=False)) for i in model.defined]
    )
    return backend


def _t5(path: Path, model: SentencePieceModel, settings: TokenizerSettings) -> Backend:
    """T5: the pieces, then the sentinels `<extra_id_99>` … `<extra_id_0>`; every text ends with `</s>`."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    count = settings.config.get("extra_ids", T5_EXTRA_IDS)
    sentinels = [f"<extra_id_{i}>" for i in reversed(range(count))]
    vocab = [*model.pieces, *((sentinel, 0.0) for sentinel in sentinels)]
    backend = Backend(models.Unigram(vocab, unk_id=model.unknown, byte_fallback=model.has_byte_fallback))
    if model.charsmap:
        backend.normalizer = normalizers.Precompiled(model.charsmap)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")]
    )
    backend.decoder = decoders.Metaspace(SPACE, prepend_scheme="always")
    backend.add_special_tokens([_added(Added(sentinel)) for sentinel in sentinels])
    end = _token(settings, "eos_token", "</s>")
    _surround(backend, path, f"$A:0 {end}:0", f"$B:0 {end}:0", [end])
    return backend


def _llama(path: Path, model: SentencePieceModel, settings: TokenizerSettings) -> Backend:
    """Llama: the text as it is, spaces as ▁, one before its first word; bytes where no piece fits."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers

    ids = {piece: index for index, (piece, _) in enumerate(model.pieces)}
    has_prefix = settings.flag("add_prefix_space", model.adds_dummy_prefix)
    backend = Backend(
        models.BPE(vocab=ids, merges=model.merges(), fuse_unk=True, byte_fallback=model.has_byte_fallback)
    )
    if model.charsmap:
        backend.normalizer = normalizers.Precompiled(model.charsmap)
    backend.pre_tokenizer = _llama_spaces(settings, has_prefix)
    backend.decoder = _joined(has_prefix)
    # A class that is stated says whether it begins texts; a model alone is Llama's, which does.
    has_begin = settings.flag("add_bos_token", not settings.is_stated)
    _begin_and_end(backend, path, settings, has_begin=has_begin)
    return backend


def _llama_spaces(settings: TokenizerSettings, has_prefix: bool) -> PreTokenizer:
    from tokenizers import pre_tokenizers

    # Legacy tokenisers put a space after each special token too.
    prefixed = "always" if settings.flag("legacy", False) else "first"
    return pre_tokenizers.Metaspace(SPACE, prepend_scheme=prefixed if has_prefix else "never", split=False)


def _unigram(path: Path, model: SentencePieceModel, settings: TokenizerSettings) -> Backend:
    """A unigram model of no family known here, by its own normalizer's settings."""
    from tokenizers import Regex, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    backend = Backend(
        models.Unigram(list(model.pieces), unk_id=model.unknown, byte_fallback=model.has_byte_fallback)
    )
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.removes_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence(steps)
    # Not "first": that looks at the text's first character, which stripping may have taken away.
    prefixed = "always" if model.adds_dummy_prefix else "never"
    backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=prefixed)
    backend.decoder = _joined(model.adds_dummy_prefix)
    _begin_and_end(backend, path, settings, has_begin=settings.flag("add_bos_token", False))
    return backend


VOCAB, MERGES = "vocab.json", "merges.txt"
BUILDERS: Mapping[str, Callable[[Path, TokenizerSettings], Backend]] = {
    "tokenizer.json": _from_json,
    "vocab.txt": _from_wordpiece,
    "spiece.model": _from_sentencepiece,
    "tokenizer.model": _from_sentencepiece,
    "sentencepiece.bpe.model": _from_sentencepiece,
    VOCAB: _from_byte_pairs,
}
"""The vocabulary's file to its builder; the first that the folder has is taken."""


# --- what they share


def is_byte_pairs(backend: Backend) -> bool:
    """Whether the pieces come from merges, which keep every space of the text."""
    return type(backend.model).__name__ == "BPE"


def _token(settings: TokenizerSettings, name: str, default: str) -> str:
    token = settings.tokens.get(name)
    return token.content if token is not None else default


def _joined(has_prefix: bool) -> Decoder:
    """Pieces to text: signs to spaces, bytes to characters, less the space that was put first."""
    from tokenizers import decoders

    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)] if has_prefix else steps)


def _begin_and_end(backend: Backend, path: Path, settings: TokenizerSettings, *, has_begin: bool) -> None:
    """`<s> text </s>` as far as the files ask for either."""
    begin = settings.tokens.get("bos_token") if has_begin else None
    end = settings.tokens.get("eos_token") if settings.flag("add_eos_token", False) else None

    def around(text: str, kind: int) -> str:
        parts = [
            f"{begin.content}:{kind}" if begin else "",
            f"{text}:{kind}",
            f"{end.content}:{kind}" if end else "",
        ]
        return " ".join(part for part in parts if part)

    used = [token.content for token in (begin, end) if token]
    _surround(backend, path, around("$A", 0), around("$B", 1), used)


def _surround(backend: Backend, path: Path, first: str, second: str, used: Sequence[str]) -> None:
    """Has one text become `first`, two `first second`. Raises TokenizerDamaged for a token without an id."""
    from tokenizers import processors

    ids = {token: backend.token_to_id(token) for token in used}
    for token, index in ids.items():
        if index is None:
            raise TokenizerDamaged(path.name, f"it lacks the special token {token}")
    backend.post_processor = processors.TemplateProcessing(
        single=first, pair=f"{first} {second}", special_tokens=list(ids.items())
    )


def _add_tokens(backend: Backend, settings: TokenizerSettings) -> None:
    """Adds what the files name and the vocabulary's file does not add by itself."""
    present = {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in (*settings.added.values(), *settings.tokens.values(), *settings.extra):
        if token.content not in present:
            present.add(token.content)
            backend.add_tokens([_added(token)])


def _added(token: Added) -> AddedToken:
    from tokenizers import AddedToken

    return AddedToken(
        token.content,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        single_word=token.single_word,
        normalized=not token.special if token.normalized is None else token.normalized,
        special=token.special,
    )
