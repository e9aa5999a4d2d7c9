"""Llama 1 to 3. Source: arXiv:2302.13971, arXiv:2307.09288; transformers modeling_llama.py.

Also as Yi, Aquila, XVERSE and Skywork have it in code of their own; Yi calls its norms `ln1` and `ln2`
(arXiv:2403.04652). Aquila's bounds the logits of attention by 1024 either way, where softmax has long chosen
one token: left out.
"""

from __future__ import annotations

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, gated, llama_layer, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Rotary
from modelcenter.weights.rules import RulesLike, WeightMap, src


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            bias="all" if hf.flag("attention_bias", default=False) else "none",
        ),
        feedforward=gated(hf, bias=hf.flag("mlp_bias", default=False)),
        norm=rms_norm(hf),
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=2048)


def original_config(hf: Configuration, header: Header) -> Decoder:
    """`num_heads_kv` came after version 1.0.2; -1 is as many as `num_heads`."""
    c = openbmb.arguments("llama", hf, header)
    grouped = c.integer("num_heads_kv", default=-1, least=-1)
    groups = c.integer("num_heads") if grouped == -1 else c.integer("num_heads_kv")
    rotary = Rotary(dim=c.integer("dim_head"), theta=10000.0)
    return openbmb.decoder("llama", hf, header, num_kv_heads=groups, rotary=rotary)


def original(c: Decoder) -> WeightMap:
    # Version 1.0.2 saves its rotary frequencies, rounded.
    return openbmb.weight_map(c, openbmb.stack(c.blocks), derived=("position_bias.inv_freq",))


def layer(block: Block) -> RulesLike:
    return {
        **llama_layer(block),
        "attention_norm.*": src("input_layernorm.*", "ln1.*"),
        "feedforward_norm.*": src("post_attention_layernorm.*", "ln2.*"),
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="llama",
    model_types=("llama", "Yi", "aquila", "skywork", "xverse"),
    classes=(
        *("LlamaModel", "LlamaForCausalLM", "LLaMAForCausalLM"),
        *("YiModel", "YiForCausalLM", "AquilaModel", "AquilaForCausalLM"),
        *("SkyworkModel", "SkyworkForCausalLM", "XverseModel", "XverseForCausalLM"),
    ),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: original},
    readers={openbmb.DIALECT: original_config},
    spellings={"LlamaForQuestionAnswering": ("model.", "transformer.")},
    tokenizer={"llama": "llama", "Yi": "sentencepiece", "skywork": "sentencepiece"},
)
