"""What each family's tokeniser does that its files do not say. Data only: the builders read it.

Source: transformers models/*/tokenization_*.py; for models with code of their own, the tokenization file of
their repository: Qwen, ChatGLM, Baichuan, InternLM, GLM, CPM-Bee; thu-coai/EVA; model_center/tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Added:
    """A token that is matched in texts before anything else; flags as the `tokenizers` library has them."""

    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool | None = None  # None: not where special
    special: bool = True


Words = Literal["cpm1", "cpm2", "eva", "cpmant", "cpmbee"]


@dataclass(frozen=True)
class Rules:
    """A family's tokeniser, as far as the vocabulary's file leaves it open.

    tokens: special tokens by name, unless the files name others.
    template: what surrounds a text (`$A`), and a pair (`$A`, `$B`); a word is a token's name (`cls`) or its
    content, `lang` the source language, a number behind a colon its type. None: `add_bos_token` and
    `add_eos_token` decide, and `begins` where the files do not say.
    before, dropped, after: pieces put before a SentencePiece model's, in place of its first `dropped`, and
    after it.
    appended: tokens with the ids that follow the vocabulary; matched in texts where `matches_appended`.
    split: the regular expression that cuts texts into words; None is GPT-2's. composes: NFC first.
    words: whose words a vocab.txt is, where it is not WordPiece.
    has_types: whether a text has token types where there is no config.json; always_typed: whatever it says.
    """

    tokens: Mapping[str, str | Added] = field(default_factory=dict)
    template: tuple[str, str] | None = None
    begins: bool = False
    before: tuple[str, ...] = ()
    dropped: int = 0
    after: tuple[str, ...] = ()
    appended: tuple[str, ...] = ()
    matches_appended: bool = True
    split: str | None = None
    composes: bool = False
    words: Words | None = None
    pads_left: bool = False
    padding_type: int = 0
    has_types: bool = False
    always_typed: bool = False


MASK = Added("<mask>", lstrip=True)  # it takes the space before it, as a word's first piece does

BERT_TOKENS: Mapping[str, str | Added] = {
    "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}  # fmt: skip
FAIRSEQ_TOKENS: Mapping[str, str | Added] = {
    "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
    "cls_token": "<s>", "mask_token": "<mask>",
}  # fmt: skip
LLAMA_TOKENS: Mapping[str, str | Added] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
XLNET_TOKENS: Mapping[str, str | Added] = {
    **FAIRSEQ_TOKENS, "sep_token": "<sep>", "cls_token": "<cls>", "mask_token": MASK,
}  # fmt: skip
CPM_TOKENS: Mapping[str, str | Added] = {"eos_token": "<eod>", "unk_token": "<unk>", "pad_token": "<pad>"}

BERT_TEMPLATE = ("cls $A sep", "cls $A sep $B:1 sep:1")
FAIRSEQ_TEMPLATE = ("cls $A sep", "cls $A sep sep $B sep")
XLNET_TEMPLATE = ("$A sep cls:2", "$A sep $B:1 sep:1 cls:2")

FAIRSEQ_PIECES = ("<s>", "<pad>", "</s>", "<unk>")
MBART_LANGUAGES = (
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT",
    "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK",
    "tr_TR", "vi_VN", "zh_CN",
)  # fmt: skip
MBART50_LANGUAGES = (
    *MBART_LANGUAGES,
    "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN",
    "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX",
    "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
)  # fmt: skip

SPLIT_HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
SPLIT_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLIT_DIGITS = SPLIT_HEAD + r"\p{N}" + SPLIT_TAIL  # Qwen: every digit alone
SPLIT_THOUSANDS = SPLIT_HEAD + r"\p{N}{1,3}" + SPLIT_TAIL  # cl100k, Llama 3, GLM-4: three digits at most
SPLIT_MARKED = (  # Qwen 3.5: combining marks belong to words
    SPLIT_DIGITS.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
)

LLAMA3_NAMED = {
    0: "<|begin_of_text|>", 1: "<|end_of_text|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>",
    9: "<|eot_id|>",
}  # fmt: skip


def _llama3_specials() -> tuple[str, ...]:
    """Its 256 special tokens: five named, the others reserved and counted through.

    Source: github.com/meta-llama/llama3, llama/tokenizer.py.
    """
    reserved = iter(range(256))
    return tuple(LLAMA3_NAMED.get(i) or f"<|reserved_special_token_{next(reserved)}|>" for i in range(256))


RULES: Mapping[str, Rules] = {
    # WordPiece
    "bert": Rules(BERT_TOKENS, BERT_TEMPLATE, has_types=True),
    "mpnet": Rules({**FAIRSEQ_TOKENS, "unk_token": "[UNK]", "mask_token": MASK}, FAIRSEQ_TEMPLATE),
    "roformer": Rules(BERT_TOKENS, BERT_TEMPLATE, has_types=True),
    # words and their longest pieces
    "cpm1": Rules(CPM_TOKENS, words="cpm1"),
    "cpm2": Rules({**CPM_TOKENS, "bos_token": "<s>"}, words="cpm2"),
    "eva": Rules(
        {**CPM_TOKENS, "bos_token": "<go>", "sep_token": "<sep>", "cls_token": "<cls>"}, words="eva"
    ),
    "cpmant": Rules({**LLAMA_TOKENS, "pad_token": "<pad>"}, begins=True, words="cpmant", pads_left=True),
    "cpmbee": Rules(
        {**LLAMA_TOKENS, "pad_token": "<pad>", "mask_token": "<mask>"}, words="cpmbee", pads_left=True
    ),
    # byte pairs
    "gpt2": Rules(dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")),
    "opt": Rules(
        {**dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>"), "pad_token": "<pad>"}, begins=True
    ),
    "gpt_neox": Rules(
        {
            **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
            "pad_token": "<|padding|>",
        },
        composes=True,
    ),
    "roberta": Rules(FAIRSEQ_TOKENS, FAIRSEQ_TEMPLATE),
    "deberta": Rules(
        {
            **BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]",
            "mask_token": Added("[MASK]", lstrip=True),
        },
        BERT_TEMPLATE,
    ),
    "qwen2": Rules(
        dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>"),
        split=SPLIT_DIGITS,
        composes=True,
    ),
    "qwen3_5": Rules(
        dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>"),
        split=SPLIT_MARKED,
        composes=True,
    ),
    # ranks, as tiktoken has them
    "qwen": Rules(
        dict.fromkeys(("eos_token", "pad_token"), "<|endoftext|>"),
        appended=("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))),
        split=SPLIT_DIGITS,
        composes=True,
    ),
    "glm4": Rules(
        {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
        ("[gMASK] <sop> $A", "[gMASK] <sop> $A $B eos"),
        appended=(
            "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
            "<|assistant|>", "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>",
            "<|begin_of_video|>", "<|end_of_video|>",
        ),
        split=SPLIT_THOUSANDS,
        pads_left=True,
    ),
    "llama3": Rules(
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
        begins=True,
        appended=_llama3_specials(),
        split=SPLIT_THOUSANDS,
    ),
    # SentencePiece
    "t5": Rules(
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}, ("$A eos", "$A eos $B eos")
    ),
    "llama": Rules(LLAMA_TOKENS),
    "sentencepiece": Rules(LLAMA_TOKENS, begins=True),
    "gemma": Rules(
        {
            "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
        begins=True,
        pads_left=True,
    ),
    "albert": Rules(
        {
            **BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>",
            "pad_token": "<pad>", "mask_token": Added("[MASK]", lstrip=True),
        },
        BERT_TEMPLATE,
        has_types=True,
    ),
    "xlnet": Rules(XLNET_TOKENS, XLNET_TEMPLATE, pads_left=True, padding_type=3, always_typed=True),
    "cpm": Rules(XLNET_TOKENS, XLNET_TEMPLATE, pads_left=True, padding_type=3, always_typed=True),
    "deberta-v2": Rules(
        {**BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]"}, BERT_TEMPLATE, after=("[MASK]",)
    ),
    "xlm-roberta": Rules(
        {**FAIRSEQ_TOKENS, "mask_token": MASK},
        FAIRSEQ_TEMPLATE,
        before=FAIRSEQ_PIECES,
        dropped=3,
        after=("<mask>",),
    ),
    "camembert": Rules(
        {**FAIRSEQ_TOKENS, "mask_token": MASK},
        FAIRSEQ_TEMPLATE,
        before=("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"),
        dropped=1,
        after=("<mask>",),
    ),
    "mbart": Rules(
        {**FAIRSEQ_TOKENS, "mask_token": MASK},
        ("$A eos lang", "$A $B eos lang"),
        before=FAIRSEQ_PIECES,
        dropped=3,
        after=(*MBART_LANGUAGES, "<mask>"),
    ),
    "mbart50": Rules(
        {**FAIRSEQ_TOKENS, "mask_token": MASK},
        ("lang $A eos", "lang $A $B eos"),
        before=FAIRSEQ_PIECES,
        dropped=3,
        after=(*MBART50_LANGUAGES, "<mask>"),
    ),
    "pegasus": Rules(
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask_2>"},
        ("$A eos", "$A $B eos"),
        before=("<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{i}>" for i in range(2, 103))),
        dropped=2,
    ),
    "chatglm": Rules(
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"},
        ("[gMASK] sop $A", "[gMASK] sop $A $B eos"),
        appended=(
            "[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>",
            "<|observation|>",
        ),
        matches_appended=False,
        pads_left=True,
    ),
    "chatglm1": Rules(
        {
            "bos_token": "<sop>", "eos_token": "<eop>", "mask_token": "[MASK]", "unk_token": "<unk>",
            "pad_token": "<pad>",
        },
        ("$A [gMASK] bos", "$A [gMASK] bos $B eos"),
        pads_left=True,
    ),
    "glm": Rules(template=("cls $A eos", "cls $A eos $B eos")),
    "other": Rules(),
}  # fmt: skip
"""By kind, the name of a family of tokenisers here."""


OTHER_MODELS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "mobilebert", "nezha", "convbert", "layoutlm", "lxmert", "squeezebert", "visual_bert", "dpr",
        ),
        "bert",
    ),
    **dict.fromkeys(("mamba", "rwkv"), "gpt_neox"),
    **dict.fromkeys(("led", "mvp", "ibert", "data2vec-text"), "roberta"),
    **dict.fromkeys(("longt5", "switch_transformers"), "t5"),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl"), "qwen2"),
    **dict.fromkeys(("qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"), "qwen3_5"),
    **dict.fromkeys(("xlm-roberta-xl", "xmod"), "xlm-roberta"),
    **dict.fromkeys(("cpm-bee", "cpm_bee"), "cpmbee"),
    "code_llama": "llama", "yi": "sentencepiece", "recurrent_gemma": "gemma", "cpm": "cpm",
}  # fmt: skip
"""Models that no family loads, by config.json's model_type; a family says its own kind."""

CLASS_KINDS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "Bert", "DistilBert", "Electra", "MobileBert", "Ernie", "RetriBert", "MegatronBert", "NomicBert",
            "Nezha", "ConvBert", "LayoutLM", "Lxmert", "SqueezeBert", "DPRContextEncoder",
            "DPRQuestionEncoder", "DPRReader", "Realm", "GLMBert",
        ),
        "bert",
    ),
    **dict.fromkeys(("GPT2", "CodeGen"), "gpt2"),
    **dict.fromkeys(("Roberta", "Longformer", "Bart", "LED", "Mvp"), "roberta"),
    **dict.fromkeys(("T5", "MT5"), "t5"),
    **dict.fromkeys(("Llama", "LLaMA", "CodeLlama", "MiniCPM"), "llama"),
    **dict.fromkeys(
        (
            "Baichuan", "BaiChuan", "InternLM", "InternLM2", "InternLM3", "Orion", "BlueLM", "Telechat",
            "Skywork", "Index", "Yi", "XversE",
        ),
        "sentencepiece",
    ),
    **dict.fromkeys(("QWen", "Qwen"), "qwen"),
    **dict.fromkeys(("GLMChinese", "GLMGPT2"), "glm"),
    "Qwen3_5": "qwen3_5", "GPTNeoX": "gpt_neox", "MPNet": "mpnet", "RoFormer": "roformer",
    "CpmAnt": "cpmant", "CpmBee": "cpmbee",
    "CPMBee": "cpmbee", "CPM1": "cpm1", "CPM2": "cpm2", "EVA": "eva", "Deberta": "deberta", "Qwen2": "qwen2",
    "ChatGLM": "chatglm", "ChatGLM4": "glm4", "Gemma": "gemma", "Albert": "albert", "XLNet": "xlnet",
    "Cpm": "cpm", "DebertaV2": "deberta-v2", "XLMRoberta": "xlm-roberta", "Camembert": "camembert",
    "MBart": "mbart", "MBart50": "mbart50", "Pegasus": "pegasus",
}  # fmt: skip
"""The tokeniser's class, without `Tokenizer` and `Fast`, to its kind."""

NUMBERED_APART = (
    "Barthez", "Bartpho", "BigBird", "FNet", "M2M100", "Marian", "Nllb", "PLBart", "Reformer", "RemBert",
    "SeamlessM4T", "Siglip", "Speech2Text", "Udop", "XGLM",
)  # fmt: skip
"""Classes that number SentencePiece's pieces, or surround texts, by rules that are not here."""

GENERIC_CLASSES = ("PreTrained", "TokenizersBackend", "")
"""PreTrainedTokenizerFast and what has no class say nothing."""
