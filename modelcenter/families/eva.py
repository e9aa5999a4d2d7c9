"""EVA 2.0. Source: arXiv:2203.09313; github.com/thu-coai/EVA, its branch for transformers.

T5 v1.1's stacks, whose logits are scaled where `attn_scale` says so, with T5's names. Vectors of the two
speakers lie in its files and are added to nothing.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import t5
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import EncoderDecoder, LanguageHead
from modelcenter.weights.rules import WeightMap

SENTINELS = 190  # the last of the vocabulary; the first of them, <s_0>, begins an answer


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    hf.refuse(num_decoder_layers=(hf.layers("num_layers"),))  # its code builds as many of both
    stated = {name: value for name, value in hf.values.items() if value is not None}
    told = Configuration(
        {"vocab_size": 30000, "pad_token_id": 5, "eos_token_id": 4, **stated}
        # Its code asks for neither, whatever its configuration says: "relu" in the released ones.
        | {"feed_forward_proj": "gated-gelu", "relative_attention_max_distance": 128}
    )
    first_sentinel = max(told.integer("vocab_size") - SENTINELS, 0)
    scale = None if hf.flag("attn_scale", default=False) else 1.0
    return replace(
        t5.stacks(told, tied=False, scaled=False, scale=scale),
        head=LanguageHead(tied=False, name="seq2seq-lm"),
        decoder_start_token_id=told.integer("decoder_start_token_id", default=first_sentinel, least=0),
    )


def huggingface(c: EncoderDecoder) -> WeightMap:
    speakers = ("role_embeds.weight", "encoder.role_embeds.weight", "decoder.role_embeds.weight")
    return replace(t5.huggingface(c), unused=speakers)


FAMILY = Family(
    name="eva",
    model_types=("eva",),
    classes=("EVAModel",),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="eva",
)
