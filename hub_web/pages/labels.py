"""What things are called in the page's language: tasks, languages, licences, families."""

from __future__ import annotations

import re

from babel import Locale

from hub_web import i18n
from hub_web.i18n import gettext
from modelcenter.registry import vocabulary

SHARED_WORDS = re.compile(r" (?:Community )?License\b| Terms of Use$|^GNU ")
FAMILIES = {
    "albert": "ALBERT",
    "baichuan": "Baichuan",
    "bart": "BART",
    "bert": "BERT",
    "bloom": "BLOOM",
    "bluelm": "BlueLM",
    "chatglm": "ChatGLM",
    "codegen": "CodeGen",
    "cohere": "Cohere",
    "cohere2": "Cohere 2",
    "cpm": "CPM",
    "cpm1": "CPM-1",
    "cpmant": "CPM-Ant",
    "cpmbee": "CPM-Bee",
    "deberta": "DeBERTa",
    "deberta-v2": "DeBERTa v2",
    "deepseek": "DeepSeek",
    "deepseek_v2": "DeepSeek v2",
    "deepseek_v3": "DeepSeek v3",
    "distilbert": "DistilBERT",
    "electra": "ELECTRA",
    "ernie": "ERNIE",
    "ernie4_5": "ERNIE 4.5",
    "ernie4_5_moe": "ERNIE 4.5 MoE",
    "ernie_m": "ERNIE-M",
    "eva": "EVA",
    "falcon": "Falcon",
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3": "Gemma 3",
    "gemma3_text": "Gemma 3",
    "glm": "GLM",
    "glm4": "GLM-4",
    "glm4_moe": "GLM-4 MoE",
    "gpt2": "GPT-2",
    "gpt_bigcode": "GPT BigCode",
    "gpt_neo": "GPT-Neo",
    "gpt_neox": "GPT-NeoX",
    "gpt_oss": "gpt-oss",
    "gptj": "GPT-J",
    "granite": "Granite",
    "hunyuan": "Hunyuan",
    "index": "Index",
    "internlm": "InternLM",
    "internlm2": "InternLM 2",
    "internlm3": "InternLM 3",
    "llama": "Llama",
    "llama4": "Llama 4",
    "longformer": "Longformer",
    "mamba": "Mamba",
    "megatron-bert": "Megatron-BERT",
    "minicpm": "MiniCPM",
    "minicpm3": "MiniCPM 3",
    "minicpm4": "MiniCPM 4",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "mobilebert": "MobileBERT",
    "modernbert": "ModernBERT",
    "moss": "MOSS",
    "mpnet": "MPNet",
    "mpt": "MPT",
    "mt5": "mT5",
    "nezha": "NEZHA",
    "olmo": "OLMo",
    "olmo2": "OLMo 2",
    "opt": "OPT",
    "orion": "Orion",
    "pegasus": "PEGASUS",
    "phi": "Phi",
    "phi3": "Phi-3",
    "qwen": "Qwen",
    "qwen2": "Qwen2",
    "qwen2_5": "Qwen2.5",
    "qwen2_moe": "Qwen2 MoE",
    "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3 MoE",
    "qwen3_next": "Qwen3-Next",
    "roberta": "RoBERTa",
    "roformer": "RoFormer",
    "rwkv": "RWKV",
    "skywork": "Skywork",
    "smollm3": "SmolLM3",
    "stablelm": "StableLM",
    "starcoder2": "StarCoder2",
    "t5": "T5",
    "telechat": "TeleChat",
    "telechat2": "TeleChat2",
    "umt5": "UMT5",
    "vit": "ViT",
    "xglm": "XGLM",
    "xlm-roberta": "XLM-RoBERTa",
    "xlnet": "XLNet",
    "xverse": "XVERSE",
    "yi": "Yi",
}


def task(tag: str) -> str:
    """A task by its hub tag; an unknown one keeps its tag."""
    known = vocabulary.TASKS.get(tag)
    if known is None:
        return tag
    return known.chinese if i18n.language() == "zh" else known.english


def license_name(tag: str) -> str:
    """A licence by its hub tag, without the words that all licences share."""
    if tag == "other":
        return gettext("Own licence")
    return SHARED_WORDS.sub("", vocabulary.LICENSES.get(tag.lower(), tag)).strip()


def family(tag: str) -> str:
    """An architecture family by its name in code."""
    return FAMILIES.get(tag, tag)


def language(tag: str) -> str:
    """A natural language by its code, in the page's language: zh is Chinese, 中文."""
    known = vocabulary.LANGUAGES.get(tag.lower())
    if known is not None:
        return known[i18n.language() == "zh"]
    names = Locale(i18n.language()).languages
    return names.get(tag) or names.get(tag.replace("-", "_")) or tag
