"""Options that a part or a skeleton would not read are refused, by their name and its own."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from modelcenter.errors import ConfigurationInvalid, Invalid
from modelcenter.models.build import initialised
from modelcenter.models.config import (
    Alibi,
    Attention,
    BlankFiller,
    Block,
    CrossAttention,
    Decoder,
    DisentangledAttention,
    Encoder,
    FeedForward,
    LanguageHead,
    LatentAttention,
    Learned,
    LocalGlobalAttention,
    MaskFiller,
    Norm,
    PermutationEncoder,
    PrefixDecoder,
    Prompts,
    RelativeAttention,
    RelativeBias,
    Rotary,
    SegmentBias,
    Side,
)

HEADS: dict[str, Any] = {"num_heads": 4, "num_kv_heads": 4, "head_dim": 8}
NORM = Norm(kind="layer", eps=1e-5)
FEEDFORWARD = FeedForward(intermediate_size=16, activation="gelu", gated=False)
ATTENTION = Attention(**HEADS, causal=True)
BLOCK = Block(attention=ATTENTION, feedforward=FEEDFORWARD, norm=NORM)
LATENT = LatentAttention(
    **HEADS, causal=True, q_lora_rank=None, kv_lora_rank=4, qk_nope_head_dim=4, qk_rope_head_dim=4,
    v_head_dim=8, latent_norm=NORM,
)  # fmt: skip
KINDS: dict[str, Attention] = {
    "cross": CrossAttention(**HEADS),
    "disentangled": DisentangledAttention(**HEADS, span=8),
    "latent": LATENT,
    "local_global": LocalGlobalAttention(**HEADS, window=4),
    "relative": RelativeAttention(**HEADS, causal=False),
}
BIAS = RelativeBias(num_buckets=8, max_distance=16, bidirectional=True, num_heads=4)
TEXT: dict[str, Any] = {
    "vocab_size": 9,
    "hidden_size": 32,
    "max_position_embeddings": None,
    "blocks": (BLOCK,),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("transposed", True),
        ("clip", 1.0),
        ("cap", 30.0),
        ("sinks", True),
        ("log_length", 512),
        ("rotate_values", True),
        ("alibi", Alibi(num_heads=4)),
        ("relative_bias", BIAS),
    ],
)
def test_a_kind_of_attention_refuses_what_it_does_not_read(kind: str, option: str, value: Any):
    attention = KINDS[kind]
    with pytest.raises(ConfigurationInvalid, match=rf"{option}=.* for {type(attention).__name__}"):
        replace(attention, **{option: value})


@pytest.mark.parametrize("kind", ["disentangled", "latent", "local_global", "relative"])
def test_a_kind_of_attention_without_groups_refuses_them(kind: str):
    with pytest.raises(ConfigurationInvalid, match="4 heads and 2 key/value heads"):
        replace(KINDS[kind], num_kv_heads=2)


@pytest.mark.parametrize(
    ("kind", "option", "value", "expected"),
    [
        ("cross", "layout", "sections", "groups, separate"),
        ("local_global", "layout", "sections", "groups, separate"),
        ("latent", "bias", "qkv", "'none' or 'all'"),
        ("latent", "head_dim", 16, r"4 \+ 4"),
        ("relative", "scale", 1.0, "expected None"),
        ("cross", "causal", True, "expected False"),
    ],
)
def test_a_value_that_a_kind_cannot_have_is_refused(kind: str, option: str, value: Any, expected: str):
    with pytest.raises(ConfigurationInvalid, match=expected):
        replace(KINDS[kind], **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cross_attention", KINDS["cross"]),
        ("norm_placement", "both"),
        ("residual_from_norm", True),
    ],
)
def test_a_parallel_block_refuses_what_only_one_after_another_has(option: str, value: Any):
    with pytest.raises(ConfigurationInvalid, match=f"{option}=.* for a parallel block"):
        replace(BLOCK, residual="parallel", **{option: value})


def blocks(**options: Any) -> tuple[Block, ...]:
    return (replace(BLOCK, attention=replace(ATTENTION, **options)),)


def test_skeletons_refuse_what_they_do_not_read():
    alibi, window = blocks(alibi=Alibi(num_heads=4)), blocks(window=4)
    refused = {
        "alibi=.* attentions of Encoder": lambda: Encoder(**TEXT | {"blocks": alibi}),
        "alibi=.* attentions of MaskFiller": lambda: MaskFiller(
            **TEXT | {"blocks": alibi}, norm=NORM, start_token_id=1, mask_token_ids=(2,)
        ),
        "window=4 for the attentions of PrefixDecoder": lambda: PrefixDecoder(
            **TEXT | {"blocks": window}, norm=NORM, position_bias=BIAS
        ),
        "positions=.* for PrefixDecoder": lambda: PrefixDecoder(
            **TEXT, norm=NORM, position_bias=BIAS, positions=Learned(num_positions=8)
        ),
        "type_vocab_size=2 for PermutationEncoder": lambda: PermutationEncoder(**TEXT, type_vocab_size=2),
        "rotary=.* attentions of an encoder-decoder": lambda: Side(
            blocks=blocks(rotary=Rotary(dim=8, theta=1e4)), norm=NORM, positions=None
        ),
    }
    for sentence, make in refused.items():
        with pytest.raises(ConfigurationInvalid, match=sentence):
            make()
    assert Decoder(**TEXT | {"blocks": alibi}, norm=NORM).num_layers == 1


def test_a_blank_filler_without_a_declared_limit_has_that_of_its_tables():
    rows = Learned(num_positions=6)
    config = BlankFiller(
        **TEXT, norm=NORM, positions=rows, block_positions=rows, start_token_id=7, mask_token_id=8
    )
    model = initialised(config)
    assert model(torch.tensor([[1, 8, 2, 3, 7, 4]])).last_hidden_state.shape == (1, 6, 32)
    with pytest.raises(Invalid, match="7 tokens are more than the model's 6 positions"):
        model(torch.tensor([[1, 8, 2, 3, 7, 4, 5]]))
    with pytest.raises(
        Invalid, match="more than the model's 6 positions"
    ):  # the last in the span is 6, from 0
        model(torch.tensor([[7, 8, 2, 3, 4, 5]]))


def test_what_is_told_of_tokens_goes_with_the_prompt():
    config = PrefixDecoder(
        **TEXT,
        norm=NORM,
        head=LanguageHead(tied=True),
        position_bias=SegmentBias(num_buckets=8, max_distance=16, num_segments=3, num_heads=4),
        prompts=Prompts(types=3, length=2, default=2),
        segment_types=3,
    )
    model = initialised(config)
    text, prompt = torch.tensor([[3, 4, 5]]), torch.tensor([[4, 5]])  # of type 2, its two vectors
    told = {
        "token_type_ids": torch.tensor([[0, 0, 2, 2, 2]]),
        "context": torch.ones((1, 5), dtype=torch.bool),
        "span": torch.zeros((1, 5), dtype=torch.long),
    }
    with_prompt = model(torch.cat((prompt, text), dim=1), **told).last_hidden_state[:, 2:]
    torch.testing.assert_close(with_prompt, model(text).last_hidden_state)
    for name in ("context", "span"):
        with pytest.raises(Invalid, match="give token_type_ids with them"):
            model(text, **{name: torch.ones_like(text)})
