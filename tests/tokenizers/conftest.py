"""Small tokenisers trained here, in the files that real ones come in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, normalizers, pre_tokenizers, trainers

from tests.support.texts import TRAINING


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


@pytest.fixture(scope="session")
def vocabularies(tmp_path_factory) -> Path:
    """A folder with each kind of vocabulary: bert/vocab.txt, gpt2/…, roberta/…, t5/spiece.model, llama/…"""
    folder: Path = tmp_path_factory.mktemp("vocabularies")
    for name in ("bert", "gpt2", "roberta", "t5", "llama"):
        (folder / name).mkdir()
    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer(lowercase=False)
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    lines = [*TRAINING, *(line.lower() for line in TRAINING)]
    wordpiece.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    )
    vocab = wordpiece.get_vocab()
    (folder / "bert" / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.__getitem__)) + "\n")
    for name, special in {
        "gpt2": ["<|endoftext|>"],
        "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    }.items():
        pairs = ByteLevelBPETokenizer()
        pairs.train_from_iterator(TRAINING, vocab_size=600, special_tokens=special, show_progress=False)
        pairs.save_model(str(folder / name))
    common: dict[str, Any] = {"minloglevel": 2, "hard_vocab_limit": False, "num_threads": 1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING * 3), model_prefix=str(folder / "t5" / "spiece"), vocab_size=500,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.98, **common,
    )  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING * 3), model_prefix=str(folder / "llama" / "tokenizer"),
        vocab_size=900, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
        split_digits=True, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        character_coverage=0.98, **common,
    )  # fmt: skip
    return folder


@pytest.fixture
def folder_of(vocabularies, tmp_path) -> Callable[..., Path]:
    """Makes a folder with the vocabulary of a kind, its config.json and the given tokenizer_config.json."""

    def make(kind: str, /, config: dict[str, Any] | None = None, **files: Any) -> Path:
        folder: Path = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for path in (vocabularies / kind).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        types = {"type_vocab_size": 2} if kind == "bert" else {}
        write_json(folder / "config.json", {"model_type": kind, "vocab_size": 2000, **types})
        if config is not None:
            write_json(folder / "tokenizer_config.json", config)
        for name, content in files.items():
            write_json(folder / f"{name}.json", content)
        return folder

    return make
