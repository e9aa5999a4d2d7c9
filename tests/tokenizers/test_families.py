"""Every family's ids, beside those of the original: its library, or its published algorithm restated here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import category, combining

import pytest
import sentencepiece
from transformers import AutoTokenizer

from modelcenter.errors import TokenizerUnsupported
from modelcenter.families.match import FILES, tokenizer_kind
from modelcenter.families.table import FAMILIES as FAMILY_FILES
from modelcenter.tokenizers import Tokenizer, load_tokenizer
from modelcenter.tokenizers.rules import OTHER_MODELS, RULES
from tests.support.texts import TRICKY
from tests.tokenizers.conftest import train_spiece, write_json

SPECIAL = ("[CLS]", "<s>", "▁")
PLAIN = [text for text in TRICKY if not any(sign in text for sign in SPECIAL)]
"""Texts without tokens in them, which the originals split off before their libraries see the text."""


def make(folder: Path, vocabulary: Path, model_type: str, **config: Any) -> Path:
    """A folder with that vocabulary, its config.json and, where there is one, its tokenizer_config.json."""
    folder.mkdir(exist_ok=True)
    (folder / vocabulary.name).write_bytes(vocabulary.read_bytes())
    write_json(folder / "config.json", {"model_type": model_type})
    if config:
        write_json(folder / "tokenizer_config.json", config)
    return folder


def loaded(folder: Path) -> Tokenizer:
    tokenizer = load_tokenizer(folder)
    assert tokenizer is not None
    return tokenizer


def processor_of(path: Path) -> Any:
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


# --- SentencePiece, numbered by its families

FAIRSEQ_CODES = 25  # languages of mBART
OFFSETS: dict[str, tuple[str, str, int, dict[int, int], list[int], list[int]]] = {
    # the trained model, model_type, offset, ids that differ from it, what goes before a text and after it
    "XLMRoberta": ("fairseq", "xlm-roberta", 1, {0: 3, 1: 0, 2: 2}, [0], [2]),
    "Camembert": ("fairseq", "camembert", 4, {0: 3}, [5], [6]),
    "Pegasus": ("pegasus", "pegasus", 103, {0: 0, 1: 1}, [], [1]),
    "DebertaV2": ("deberta-v2", "deberta-v2", 0, {}, [1], [2]),
    "Gemma": ("gemma", "gemma", 0, {}, [2], []),
}


@pytest.mark.parametrize("is_stated", [True, False], ids=["class", "model_type"])
@pytest.mark.parametrize("name", OFFSETS)
def test_ids_are_those_of_sentencepiece_with_the_offset_of_the_family(spiece, tmp_path, name, is_stated):
    model, model_type, offset, exceptions, before, after = OFFSETS[name]
    path = spiece(model)
    config = {"tokenizer_class": f"{name}Tokenizer"} if is_stated else {}
    tokenizer, processor = loaded(make(tmp_path, path, model_type, **config)), processor_of(path)
    for text in PLAIN:
        ids = [exceptions.get(i, i + offset) for i in processor.encode(text)]
        assert tokenizer.encode(text) == [*before, *ids, *after], text


def is_classed(text: str) -> bool:
    """Whether every mark has a combining class: transformers 5 takes away the others too."""
    return all(combining(char) or category(char)[0] != "M" for char in text)


AGREED: dict[str, tuple[str, str, Callable[[str], bool]]] = {
    # transformers 5 has lost the normalization of some, and strips no last space in others
    "XLMRoberta": ("fairseq", "xlm-roberta", lambda text: True),
    "Camembert": ("fairseq", "camembert", lambda text: True),
    "MBart": ("fairseq", "mbart", str.isascii),
    "MBart50": ("fairseq", "mbart", lambda text: text == text.strip() and "<" not in text),
    "Albert": ("albert", "albert", is_classed),
    "XLNet": ("xlnet", "xlnet", is_classed),
    "DebertaV2": ("deberta-v2", "deberta-v2", lambda text: text.isascii() and text.isprintable()),
    "Pegasus": ("pegasus", "pegasus", lambda text: text == text.strip() and "<" not in text),
    "Gemma": ("gemma", "gemma", lambda text: True),
}


@pytest.mark.parametrize("name", AGREED)
def test_ids_and_texts_are_those_of_transformers(spiece, tmp_path, name):
    model, model_type, is_agreed = AGREED[name]
    config = {"tokenizer_class": f"{name}Tokenizer", **({"add_bos_token": True} if name == "Gemma" else {})}
    folder = make(tmp_path, spiece(model), model_type, **config)
    ours, theirs = loaded(folder), AutoTokenizer.from_pretrained(folder)
    texts = [text for text in TRICKY if is_agreed(text)]
    assert len(texts) > 8
    for text in texts:
        ids = theirs.encode(text)
        assert ours.encode(text) == ids, text
        assert ours.decode(ids) == theirs.decode(ids), text
        assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    assert ours(texts[0], texts[1])["input_ids"] == theirs(texts[0], texts[1])["input_ids"]
    for token in ("eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{token}_token_id") == getattr(theirs, f"{token}_token_id"), token
    assert (ours.padding_side, len(ours)) == (theirs.padding_side, len(theirs))
    assert ours.get_vocab() == theirs.get_vocab()
    mine, yours = ours(texts[:3], padding=True), theirs(texts[:3], padding=True)
    assert mine["input_ids"] == yours["input_ids"]


@pytest.mark.parametrize("name", ["Albert", "XLNet"])
def test_types_of_pairs_are_those_of_transformers(spiece, tmp_path, name):
    kind = name.lower()
    folder = make(tmp_path, spiece(kind), kind)
    write_json(
        folder / "config.json", {"model_type": kind, **({"type_vocab_size": 2} if kind == "albert" else {})}
    )
    texts = (["a model", "a"], ["the text", "it"])
    tokenizer = loaded(folder)
    theirs = AutoTokenizer.from_pretrained(folder)(*texts, return_token_type_ids=True)
    assert tokenizer(*texts)["token_type_ids"] == theirs["token_type_ids"]
    # The original gives XLNet's padding a type of its own, transformers 5 the first text's.
    padded = tokenizer(*texts, padding=True)["token_type_ids"][1]
    assert (padded[0], padded[-1]) == ((3, 2) if kind == "xlnet" else (0, 0))


def test_languages_of_mbart_follow_the_pieces_and_end_the_text(spiece, tmp_path):
    path = spiece("fairseq")
    count = len(processor_of(path))
    config = {"tokenizer_class": "MBartTokenizer", "src_lang": "zh_CN"}
    tokenizer = loaded(make(tmp_path, path, "mbart", **config))
    assert tokenizer.encode("模型")[-2:] == [2, count + 1 + 24]
    assert tokenizer.mask_token_id == count + 1 + FAIRSEQ_CODES == len(tokenizer) - 1


def test_the_stated_language_ends_the_texts_of_a_tokenizer_json_too(spiece, tmp_path):
    config = {"tokenizer_class": "MBartTokenizer"}
    AutoTokenizer.from_pretrained(
        make(tmp_path / "model", spiece("fairseq"), "mbart", **config)
    ).save_pretrained(tmp_path / "json")
    for language in ("zh_CN", "en_XX", None):
        write_json(tmp_path / "json" / "tokenizer_config.json", {**config, "src_lang": language})
        tokenizer = loaded(tmp_path / "json")
        last = tokenizer.convert_ids_to_tokens(tokenizer.encode("a model")[-2:])
        assert last == ["</s>", language or "en_XX"]


def test_deberta_lowers_and_splits_where_its_files_ask_for_it(spiece, tmp_path):
    path = spiece("deberta-v2")
    config = {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": True, "split_by_punct": True}
    tokenizer, processor = loaded(make(tmp_path, path, "deberta-v2", **config)), processor_of(path)
    expected = processor.encode("it ' s a model ( 7b ) 。 好 ！")
    assert tokenizer.encode("It's a Model (7B)。好！", add_special_tokens=False) == expected


def test_albert_and_xlnet_cut_numbers_before_a_comma(tmp_path):
    """A model whose pieces hold commas: the original cuts `2019,` into the number's pieces and the comma."""
    path = tmp_path / "spiece.model"
    train_spiece(path, control_symbols=["<cls>", "<sep>", "<pad>", "<mask>"],
                 user_defined_symbols=["2019,", "▁7,"])  # fmt: skip
    processor, tokenizer = processor_of(path), loaded(make(tmp_path, path, "xlnet"))
    pieces = ["▁in", "▁7,", "2019,"]
    assert processor.encode("in 7,2019,", out_type=str)[-2:] == pieces[-2:]
    numbers = [*processor.encode("7", out_type=str), ",", *processor.encode("2019", out_type=str)[1:], ","]
    found = tokenizer.convert_ids_to_tokens(tokenizer.encode("in 7,2019,", add_special_tokens=False))
    assert found[-len(numbers) :] == [
        piece if piece in processor_vocab(processor) else "<unk>" for piece in numbers
    ]


def processor_vocab(processor: Any) -> set[str]:
    return {processor.id_to_piece(i) for i in range(len(processor))}


# --- models with code of their own


BLANKS = [
    "   leading",
    " 前导空格",
    "trailing   ",
    " ",
    "  两  边  ",
    "\n line",
    "▁sign",
    "a  double   triple",
]


@pytest.mark.parametrize("legacy", [None, True, False])
@pytest.mark.parametrize("model_type", ["llama", "mistral", "minicpm"])
def test_llamas_keep_every_space_as_sentencepiece_does(vocabularies, tmp_path, model_type, legacy):
    path = vocabularies / "llama" / "tokenizer.model"
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}
    if legacy is not None:
        config["legacy"] = legacy
    tokenizer, processor = loaded(make(tmp_path, path, model_type, **config)), processor_of(path)
    for text in [*PLAIN, *BLANKS]:
        assert tokenizer.encode(text) == [1, *processor.encode(text)], text
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text.replace("▁", " ")
    # What follows a token begins a text of its own where the tokeniser is legacy, as where nothing is said.
    later = processor.piece_to_id("b" if legacy is False else "▁b")
    assert tokenizer.encode("a</s>b") == [1, *processor.encode("a"), 2, later]


@pytest.mark.parametrize("name", ["InternLM", "InternLM2", "Baichuan", "Orion", "BlueLM", "Index", "Yi"])
def test_slow_llamas_begin_texts_and_cut_between_tokens_anew(vocabularies, tmp_path, name):
    path = vocabularies / "llama" / "tokenizer.model"
    remote = {"AutoTokenizer": [f"tokenization.{name}Tokenizer", None]}
    tokenizer, processor = loaded(make(tmp_path, path, "custom", auto_map=remote)), processor_of(path)
    for text in PLAIN:
        assert tokenizer.encode(text) == [1, *processor.encode(text)], text
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    assert tokenizer.encode("a</s>b") == [1, *processor.encode("a"), 2, *processor.encode("b")]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": remote, "add_bos_token": False}))
    assert loaded(tmp_path).encode("模型") == processor.encode("模型")


def test_pieces_that_files_rename_keep_their_ids(vocabularies, tmp_path):
    """InternLM 2 names its unused pieces anew: `[UNUSED_TOKEN_145]` is `<|im_start|>`."""
    path = vocabularies / "llama" / "tokenizer.model"
    processor = processor_of(path)
    last = len(processor) - 1
    added = {str(last): {"content": "<|im_start|>", "special": True}, str(last + 7): {"content": "<|end|>"}}
    config = {"tokenizer_class": "InternLM2Tokenizer", "added_tokens_decoder": added}
    tokenizer = loaded(make(tmp_path, path, "internlm2", **config))
    encoded = tokenizer.encode("<|im_start|>user<|end|>", add_special_tokens=False)
    assert encoded == [last, *processor.encode("user"), last + 7]
    assert tokenizer.decode(encoded) == "<|im_start|> user<|end|>"
    assert tokenizer.convert_ids_to_tokens([last]) == ["<|im_start|>"]


def test_pieces_added_later_are_merged_by_their_scores(tmp_path, vocabularies):
    """Chinese Llamas append pieces with the score 0: they go before all others, from the left."""
    from sentencepiece import sentencepiece_model_pb2 as proto

    model = proto.ModelProto.FromString(  # type: ignore[attr-defined]
        (vocabularies / "llama" / "tokenizer.model").read_bytes()
    )
    present = {piece.piece for piece in model.pieces}
    for piece in ("言模", "型是", "la", "el", "nguage", "布，", "模型是"):
        if piece not in present:
            model.pieces.add(piece=piece, score=0.0)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    processor = processor_of(path)
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": True}
    tokenizer = loaded(make(tmp_path, path, "llama", **config))
    assert processor.encode("语言模型是文本", out_type=str) != ["▁", "语言模型", "是", "文本"]
    for text in PLAIN:
        assert tokenizer.encode(text) == [1, *processor.encode(text)], text
    later = loaded(make(tmp_path, path, "llama", **{**config, "legacy": False}))
    assert later.encode("a</s>b")[-2:] == [2, processor.piece_to_id("b")]
    assert tokenizer.encode("a</s>b")[-2:] == [2, processor.piece_to_id("▁b")]
    bare = loaded(make(tmp_path, path, "llama", **{**config, "add_prefix_space": False}))
    assert (
        bare.encode("b") == [1, processor.piece_to_id("b")]
        and bare.decode([processor.piece_to_id("▁b")]) == " b"
    )


@pytest.mark.parametrize("model_type", ["chatglm", "custom"])
def test_chatglm_begins_with_its_mask_and_does_not_read_tokens_from_texts(vocabularies, tmp_path, model_type):
    path = vocabularies / "llama" / "tokenizer.model"
    config = {"tokenizer_class": "ChatGLMTokenizer"} if model_type == "custom" else {}
    tokenizer, processor = loaded(make(tmp_path, path, model_type, **config)), processor_of(path)
    count = len(processor)
    mask, sop = count + 1, count + 3
    for text in TRICKY:
        assert tokenizer.encode(text) == [mask, sop, *processor.encode(text)], text
        if text in PLAIN:
            assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    assert tokenizer("a", "b")["input_ids"] == [mask, sop, *processor.encode("a"), *processor.encode("b"), 2]
    assert tokenizer.convert_tokens_to_ids(["<|user|>", "<|observation|>"]) == [count + 6, count + 8]
    assert tokenizer.pad_token_id == 0 and tokenizer.padding_side == "left"
    assert tokenizer(["a", "a b c"], padding=True)["input_ids"][0][0] == 0


def test_chatglm_6b_writes_lines_and_blanks_as_pieces(tmp_path):
    path = tmp_path / "ice_text.model"
    blanks = [f"<|blank_{n}|>" for n in range(2, 81)]
    train_spiece(path, vocab_size=700, byte_fallback=True, pad_id=3,
                 user_defined_symbols=["<n>", "<|tab|>", *blanks],
                 control_symbols=["[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"])  # fmt: skip
    tokenizer, processor = loaded(make(tmp_path, path, "chatglm")), processor_of(path)
    mask, sop = (processor.piece_to_id(piece) for piece in ("[gMASK]", "<sop>"))
    text = "两 行\n  与\t制表 and" + " " * 83 + "end"
    spelled = "两 行<n><|blank_2|>与<|tab|>制表 and<|blank_80|><|blank_3|>end"
    assert tokenizer.encode(text) == [*processor.encode(spelled), mask, sop]
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    shifted = loaded(make(tmp_path, path, "chatglm", num_image_tokens=20000))
    assert shifted.encode(text) == [i + 20000 for i in tokenizer.encode(text)]


def test_glm_in_chinese_is_surrounded_as_its_files_have_it(spiece, tmp_path):
    (tmp_path / "cog-pretrain.model").write_bytes(spiece("fairseq").read_bytes())
    processor = processor_of(tmp_path / "cog-pretrain.model")
    count = len(processor)
    tokens = ("<|endoftext|>", "[UNUSED]", "[CLS]", "[MASK]", "<|startofpiece|>", "<|endofpiece|>")
    write_json(tmp_path / "added_tokens.json", {token: count + 3 * i for i, token in enumerate(tokens)})
    write_json(tmp_path / "config.json", {"model_type": "glm"})
    named = {
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "GLMChineseTokenizer", **named})
    tokenizer = loaded(tmp_path)
    for text in PLAIN:
        assert tokenizer.encode(text) == [count + 6, *processor.encode(text), count], text
    found = tokenizer.encode("语言[MASK]模型<|startofpiece|>", add_special_tokens=False)
    assert found == [*processor.encode("语言"), count + 9, *processor.encode("模型"), count + 12]


def test_glm_of_model_center_cuts_and_names_four_tokens(spiece, tmp_path):
    (tmp_path / "vocab.model").write_bytes(spiece("fairseq").read_bytes())
    tokenizer, processor = loaded(tmp_path), processor_of(tmp_path / "vocab.model")
    for text in PLAIN:
        assert tokenizer.encode(text) == processor.encode(text), text
    assert tokenizer.convert_ids_to_tokens([50002, 50006, 50007, 50008]) == ["[CLS]", "[S]", "[E]", "[MASK]"]


# --- which family's it is, and what files say of it


@pytest.mark.parametrize("name", sorted(AGREED.keys() - {"MBart"}))
def test_a_saved_tokenizer_json_gives_the_ids_of_the_model_it_was_made_of(spiece, tmp_path, name):
    """But mBART's, which transformers 5 saves without its normalization."""
    model, model_type, is_agreed = AGREED[name]
    config = {"tokenizer_class": f"{name}Tokenizer", **({"add_bos_token": True} if name == "Gemma" else {})}
    ours = loaded(make(tmp_path / "model", spiece(model), model_type, **config))
    AutoTokenizer.from_pretrained(tmp_path / "model").save_pretrained(tmp_path / "json")
    write_json(tmp_path / "json" / "config.json", {"model_type": model_type})
    (tmp_path / "json" / spiece(model).name).unlink(missing_ok=True)
    saved = loaded(tmp_path / "json")
    assert (tmp_path / "json" / "tokenizer.json").exists()
    for text in (text for text in TRICKY if is_agreed(text)):
        assert saved.encode(text) == ours.encode(text), text
    assert saved.padding_side == ours.padding_side
    assert saved.special_tokens == {key: value for key, value in ours.special_tokens.items() if value}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "begin"),
        ({"add_bos_token": False}, ""),
        ({"add_eos_token": True}, "begin end"),
        ({"add_bos_token": False, "add_eos_token": True}, "end"),
        ({"add_bos_token": None}, "begin"),
    ],
)
def test_flags_go_before_what_tokenizer_json_does(folder_of, tmp_path, flags, expected):
    llama = {"tokenizer_class": "LlamaTokenizer", "legacy": False}
    folder = folder_of("llama", config={**llama, "add_bos_token": True})
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    write_json(tmp_path / "saved" / "tokenizer_config.json", {**llama, **flags})
    write_json(tmp_path / "saved" / "config.json", {"model_type": "llama"})
    tokenizer = loaded(tmp_path / "saved")
    ids = tokenizer.encode("a")
    assert [name for name, i in (("begin", 1), ("end", 2)) if i in ids] == expected.split()


def test_chinese_gpts_and_t5s_with_a_vocab_txt_are_cut_as_bert_is(folder_of):
    expected = loaded(folder_of("bert")).encode("语言 model")
    for model_type in ("gpt2", "t5", "bart", "unheard-of"):
        folder = folder_of("bert")
        write_json(folder / "config.json", {"model_type": model_type})
        assert loaded(folder).encode("语言 model") == expected


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        ("cpm1", ["<unk>", "<eod>", "</_>", "</n>"]),
        ("cpm2", ["<unk>", "<s>", "▂", "▃"]),
        ("cpmant", ["<unk>", "<s>", "</s>", "<d>", "</d>", "</_>", "</n>"]),
        ("cpmbee", ["<unk>", "<s>", "</s>", "<d>", "</d>", "</_>", "</n>", "<ans>"]),
        ("bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▂"]),
    ],
)
def test_a_vocab_txt_without_settings_tells_its_family_by_its_words(tmp_path, kind, tokens):
    (tmp_path / "vocab.txt").write_text("\n".join([*tokens, "a", "模型"]) + "\n", encoding="utf-8")
    assert loaded(tmp_path).settings.kind == kind


@pytest.mark.parametrize("name", ["Nllb", "RemBert", "M2M100"])
def test_numbers_of_families_without_rules_are_not_guessed(spiece, tmp_path, name):
    folder = make(tmp_path, spiece("fairseq"), "custom", tokenizer_class=f"{name}Tokenizer")
    with pytest.raises(TokenizerUnsupported, match=f"belongs to a tokeniser of {name}Tokenizer.*numbered"):
        loaded(folder).encode("a")
    bert = make(tmp_path / "bert", spiece("fairseq"), "custom", tokenizer_class="TapasTokenizer")
    (bert / "sentencepiece.bpe.model").rename(bert / "vocab.txt")
    with pytest.raises(TokenizerUnsupported, match=r"vocab\.txt belongs to a tokeniser of TapasTokenizer"):
        loaded(bert).encode("a")


def test_added_tokens_are_matched_as_their_flags_say(spiece, tmp_path):
    """Among the library's pieces too: blanks eaten, words only, ordinary text that collides."""
    processor = processor_of(spiece("xlnet"))
    count = len(processor)
    flags: list[dict[str, Any]] = [
        {"content": "<left>", "lstrip": True},
        {"content": "<right>", "rstrip": True},
        {"content": "odel", "single_word": True},
        {"content": "模型", "special": False, "normalized": False},
    ]
    added = {str(count + i): {"special": True, **token} for i, token in enumerate(flags)}
    tokenizer = loaded(make(tmp_path, spiece("xlnet"), "xlnet", added_tokens_decoder=added))

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    cut: Callable[[str], list[int]] = processor.encode
    assert encode("a  <left>b") == [*cut("a"), count, *cut("b")]
    assert encode("a<right>  b") == [*cut("a"), count + 1, *cut("b")]
    assert encode("model") == cut("model") and encode("m odel") == [*cut("m"), count + 2]
    assert encode("语言模型") == [*cut("语言"), count + 3]
    assert tokenizer.decode([count, count + 3], skip_special_tokens=True) == "模型"


def test_every_family_says_its_kind_and_no_other_place_does():
    kinds = {name: tokenizer_kind(name) for name in FILES | FAMILY_FILES.keys()}
    assert {kind for kind in kinds.values() if kind} <= RULES.keys()
    assert [name for name in OTHER_MODELS if kinds.get(name)] == []
    told = ("xlm-roberta", "camembert", "glm_10b", "Yi", "moss", "vit")
    assert [kinds[name] for name in told] == [
        "xlm-roberta",
        "camembert",
        "glm",
        "sentencepiece",
        "gpt2",
        None,
    ]
