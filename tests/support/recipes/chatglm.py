"""Tiny checkpoints of ChatGLM, each beyond the defaults of its configuration."""

from __future__ import annotations

from functools import partial

from tests.support.recipe import Recipe, Values, without

_CHATGLM: Values = {
    "vocab_size": 101, "padded_vocab_size": 101, "hidden_size": 32, "ffn_hidden_size": 44, "num_layers": 2,
    "kv_channels": 12, "num_attention_heads": 4, "multi_query_attention": True, "multi_query_group_num": 2,
    "seq_length": 64, "layernorm_epsilon": 1e-3, "rmsnorm": True, "post_layer_norm": True,
    "apply_residual_connection_post_layernorm": False, "add_bias_linear": False, "add_qkv_bias": True,
    "tie_word_embeddings": False, "eos_token_id": 2, "pad_token_id": 0,
    "apply_query_key_layer_scaling": True, "original_rope": True, "quantization_bit": 0,
}  # fmt: skip


def released(values: Values) -> Values:
    """As THUDM's files say it: no head in the class, the vocabulary by its padded size alone."""
    values["architectures"] = ["ChatGLMModel"]
    return without("vocab_size", "quantization_bit")(values)


# Special tokens are frequent, so that many texts have them.
_FIRST: Values = {
    "vocab_size": 13, "hidden_size": 32, "inner_hidden_size": 44, "num_layers": 2, "num_attention_heads": 4,
    "max_sequence_length": 64, "layernorm_epsilon": 1e-3, "position_encoding_2d": True, "bos_token_id": 9,
    "eos_token_id": 10, "gmask_token_id": 6, "mask_token_id": 5, "pad_token_id": 0,
}  # fmt: skip
_recipe = partial(Recipe, model="ChatGLMForConditionalGeneration", oracle="chatglm")
RECIPES = (
    _recipe("chatglm2", settings=_CHATGLM),
    _recipe("chatglm-biases", settings=_CHATGLM | {
        "add_bias_linear": True, "rmsnorm": False, "apply_residual_connection_post_layernorm": True,
        "num_layers": 3,
    }),
    _recipe("chatglm-bare", settings=_CHATGLM | {"add_qkv_bias": False, "post_layer_norm": False}),
    _recipe("chatglm2-32k", settings=_CHATGLM | {
        "rope_ratio": 4, "_name_or_path": "THUDM/chatglm2-6b-32k",
    }, only_numbers=True),
    _recipe("chatglm-glm4", settings=_CHATGLM | {"rope_ratio": 50}, respell=released, only_numbers=True),
    _recipe("chatglm-odd", settings=_CHATGLM | {"kv_channels": 10}, only_numbers=True),
    _recipe("chatglm1", model="ChatGLMModel", settings=_FIRST,
            copies={"lm_head.weight": "transformer.word_embeddings.weight"}),
)  # fmt: skip
