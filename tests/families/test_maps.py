"""The laws of each family's own map, on random configurations and in every layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcenter.errors import CannotShard
from modelcenter.families.match import Match, match
from modelcenter.models.config import ModelConfig, share
from modelcenter.planning import shares
from modelcenter.weights.execute import exported
from modelcenter.weights.plan import audit
from modelcenter.weights.rules import WeightMap
from tests.support.relations import Memory, executed, header_of, reads

law = settings(max_examples=12, deadline=None, derandomize=True, database=None)


@st.composite
def configurations(draw: st.DrawFn, family: str, world: int = 1) -> dict[str, Any]:
    """A config.json of a family: any head counts, sizes, depths and flags. world: ranks that may split it."""
    kv = world * draw(st.integers(1, 4 if world == 1 else 2))
    heads, head_dim, layers = (
        kv * draw(st.integers(1, 3)),
        2 * draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
    )
    size, vocab = heads * head_dim, draw(st.integers(3, 30))
    inner = draw(st.integers(1, 40)) if world == 1 else 4 * world * draw(st.integers(1, 5))
    tied = draw(st.booleans())
    decoder = {
        "vocab_size": vocab, "hidden_size": size, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv, "intermediate_size": inner, "tie_word_embeddings": tied,
        "max_position_embeddings": 16, "rope_theta": 10000.0,
    }  # fmt: skip
    return {
        "bert": {
            **decoder, "architectures": [draw(st.sampled_from(["BertForMaskedLM", "BertForPreTraining"]))],
            "tie_word_embeddings": True,
        },
        "llama": {
            **decoder, "architectures": ["LlamaForCausalLM"], "attention_bias": draw(st.booleans()),
            "mlp_bias": draw(st.booleans()), "head_dim": 2 * draw(st.integers(1, 4)),
        },
        "gpt2": {
            "architectures": ["GPT2LMHeadModel"], "vocab_size": vocab, "n_embd": size, "n_layer": layers,
            "n_head": heads, "n_inner": draw(st.sampled_from([None, inner])), "n_positions": 8,
            "tie_word_embeddings": tied,
        },
        "t5": {
            "architectures": ["T5ForConditionalGeneration"], "vocab_size": vocab, "d_model": size,
            "d_ff": inner, "d_kv": head_dim, "num_heads": heads, "num_layers": layers,
            "tie_word_embeddings": tied,
            "num_decoder_layers": draw(st.integers(1, 3)),
            "feed_forward_proj": draw(st.sampled_from(["relu", "gated-gelu", "gated-silu"])),
        },
        "gpt_neox": {
            **decoder,
            "architectures": ["GPTNeoXForCausalLM"],
            "rotary_pct": 1.0,
            "attention_bias": draw(st.booleans()),
        },
        "mixtral": {
            **decoder, "architectures": ["MixtralForCausalLM"], "num_local_experts": draw(st.integers(2, 4)),
        },
    }[family] | {"model_type": family}  # fmt: skip


FAMILIES = pytest.mark.parametrize("family", ["bert", "gpt2", "gpt_neox", "llama", "mixtral", "t5"])
LAYOUTS = pytest.mark.parametrize("layout", ["fused", "separate", "stored"])


def arranged(values: dict[str, Any], layout: str) -> tuple[Match, ModelConfig, WeightMap]:
    """The model that a config.json implies, in a layout, and its map onto a checkpoint that has all of it."""
    matched = match(values, {})
    config = matched.arranged(None, layout)
    weights = matched.family.dialects["huggingface"](config)
    return matched, config, weights.bind(header_of(weights, "F32"))


@FAMILIES
@LAYOUTS
@law
@given(st.data())
def test_every_layout_reads_the_same_tensors_and_gives_them_back(
    family: str, layout: str, data: st.DataObject
):
    values = data.draw(configurations(family))
    matched, config, weights = arranged(values, layout)
    header = header_of(weights, "F32")
    stored = header_of(arranged(values, "stored")[2], "F32")
    assert {n: info.shape for n, info in header.items()} == {n: info.shape for n, info in stored.items()}
    assert audit(weights, header).ok and matched.audit(header).ok
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32 - 1)))
    bits = {
        name: torch.randint(-(2**31), 2**31, info.shape, dtype=torch.int32, generator=generator)
        for name, info in header.items()
    }
    tensors = Memory({name: value.view(torch.float32) for name, value in bits.items()})
    ours = executed(weights, header, tensors, "float32")
    assert {name: tuple(value.shape) for name, value in ours.items()} == config.parameters()
    for name, shape, _, given_back in exported(weights, ours):
        assert shape == header[name].shape
        assert torch.equal(given_back().view(torch.int32), bits.pop(name))
    assert not bits


@FAMILIES
@pytest.mark.parametrize("layout", ["fused", "separate"])
@law
@given(st.data())
def test_the_ranks_shares_read_each_element_once(family: str, layout: str, data: st.DataObject):
    world = data.draw(st.integers(2, 4))
    _, config, weights = arranged(data.draw(configurations(family, world)), layout)
    header, tree = header_of(weights, "F32"), config.tree()

    counts = [reads(weights, header, shares(config, rank, world)) for rank in range(world)]
    on_every_rank = {
        piece.source for name, p in tree.items() if p.shard_dim is None for piece in weights.pieces(name)
    }
    for name in header:
        times = world if name in on_every_rank else 1
        assert (sum(count[name] for count in counts) == times).all(), name
    split = {
        piece.source for name, p in tree.items() if p.shard_dim is not None for piece in weights.pieces(name)
    }
    assert not split & on_every_rank


@FAMILIES
def test_what_does_not_split_evenly_is_refused_by_name(family: str):
    size = {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 12, "intermediate_size": 12}
    values: dict[str, Any] = {
        "gpt2": {"n_embd": 12, "n_head": 3, "n_layer": 1},
        "t5": {"d_model": 12, "d_kv": 4, "num_heads": 3, "d_ff": 12, "num_layers": 1},
    }.get(family, size | {"num_hidden_layers": 1, "num_local_experts": 2, "max_position_embeddings": 8})
    if family in ("bert", "gpt_neox"):
        values |= {"num_attention_heads": 3, "rotary_pct": 1.0}
    config = arranged({**values, "vocab_size": 5, "model_type": family}, "fused")[1]
    name = next(n for n in config.tree() if n.endswith("attention.qkv.weight"))
    with pytest.raises(CannotShard) as refused:
        share(name, config.tree()[name], 0, 2)
    assert (refused.value.parameter, refused.value.units, refused.value.world) == (name, 3, 2)
    assert name in str(refused.value) and "3" in str(refused.value) and "2 ranks" in str(refused.value)
