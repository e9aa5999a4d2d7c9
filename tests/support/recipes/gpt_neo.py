"""Tiny checkpoints of gpt_neo, each beyond the defaults of its configuration."""

from __future__ import annotations

from tests.support.recipe import Recipe, Values, without

_NEO: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 48,
    "attention_types": [[["global", "local"], 1]], "window_size": 5, "intermediate_size": 44,
    "layer_norm_epsilon": 1e-3, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
RECIPES = (
    Recipe("gpt_neo", "GPTNeoForCausalLM", _NEO),
    Recipe("gpt_neo-untied", "GPTNeoForCausalLM", _NEO | {
        "tie_word_embeddings": False, "attention_types": [[["local"], 2], [["global"], 1]], "num_layers": 3,
        "intermediate_size": None, "activation_function": "relu",
    }),
    # What each layer's attention is counts, whatever `attention_types` says.
    Recipe("gpt_neo-layers", "GPTNeoForCausalLM", _NEO, respell=lambda values: values | {
        "attention_layers": ["local", "local"],
    }, only_numbers=True),
    Recipe("gpt_neo-base", "GPTNeoModel", _NEO),
    Recipe("gpt_neo-old-config", "GPTNeoForCausalLM", _NEO | {
        "intermediate_size": None, "layer_norm_epsilon": 1e-5,
    }, respell=without("intermediate_size", "layer_norm_epsilon", "tie_word_embeddings",
                       "activation_function", "dtype"), only_numbers=True),
)  # fmt: skip
