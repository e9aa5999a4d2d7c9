"""InternLM 3. Source: github.com/InternLM/InternLM; transformers modular_internlm3.py (as Llama).

`qkv_bias` gives q, k and v a bias, `bias` the other products; transformers' own files say `attention_bias`
and `mlp_bias`.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import BIASES, attention, decoder, decoder_map, gated, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder


def config(hf: Configuration, header: Header) -> Decoder:
    inward = hf.flag("qkv_bias", "attention_bias", default=False)
    others = hf.flag("bias", "mlp_bias", default=False)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            head_dim=128,
            bias=BIASES[inward, others],
        ),
        feedforward=gated(hf, bias=others),
        norm=rms_norm(hf, eps=1e-5),
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=32768)


FAMILY = Family(
    name="internlm3",
    model_types=("internlm3",),
    classes=("InternLM3Model", "InternLM3ForCausalLM", "LlamaModel", "LlamaForCausalLM"),
    config=config,
    dialects={"huggingface": decoder_map},
    tokenizer="sentencepiece",
)
