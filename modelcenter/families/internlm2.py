"""InternLM 2 and 2.5. Source: arXiv:2403.17297; its modeling_internlm2.py.

q, k and v lie in one matrix, group by group: each key/value head's queries, then its k, then its v.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, gated, rms_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, FeedForward
from modelcenter.weights.rules import RulesLike, WeightMap, gate_up_separate, qkv_groups, within


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=10000.0),
            own_head_dim=False,
            layout="groups",
            bias="all" if hf.flag("bias", default=True) else "none",
        ),
        feedforward=gated(hf),
        norm=rms_norm(hf),
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        heads=("output.",),
        max_position_embeddings=2048,
    )


def layer(block: Block) -> RulesLike:
    assert isinstance(block.feedforward, FeedForward)
    return {
        "attention_norm.*": "attention_norm.*",
        **within("attention", qkv_groups(block.attention, "attention.wqkv.*")),
        "attention.out.*": "attention.wo.*",
        "feedforward_norm.*": "ffn_norm.*",
        **within(
            "feedforward", gate_up_separate(block.feedforward, "feed_forward.w1.*", "feed_forward.w3.*")
        ),
        "feedforward.down.*": "feed_forward.w2.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer, embedding="model.tok_embeddings", head=("output",))


FAMILY = Family(
    name="internlm2",
    model_types=("internlm2",),
    classes=("InternLM2Model", "InternLM2ForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="sentencepiece",
)
