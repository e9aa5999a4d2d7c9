"""What the suite asks of an oracle, in the way transformers' models answer it.

An oracle is the plain text of a published model: unfused, no cache, no options beyond its description. The
names of its `state_dict()` are those of released files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Values = dict[str, Any]


class Oracle(nn.Module):
    """A causal language model.

    A subclass makes its modules in `__init__` (after `super().__init__(settings)`) and says in `hidden` what
    its last norm gives and in `logits` what its head makes of that. `facts` maps vocab_size, hidden_size and
    num_attention_heads to the names that its config.json has for them, where they are others.
    """

    model_type = ""
    facts: Mapping[str, str] = {}

    def __init__(self, settings: Values) -> None:
        super().__init__()
        self.settings = settings
        told = {
            n: settings[self.facts.get(n, n)] for n in ("vocab_size", "hidden_size", "num_attention_heads")
        }
        self.config = SimpleNamespace(**told, _attn_implementation="eager")
        self.generation_config = SimpleNamespace(eos_token_id=None, pad_token_id=0)

    def hidden(self, input_ids: Tensor, seen: Tensor, position_ids: Tensor) -> Tensor:
        """input_ids (batch, length); seen (batch, 1, length, length), what each query sees; -> the last
        hidden states (batch, length, hidden_size)."""
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden_size) -> (batch, length, vocab_size)."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> dict[str, Any]:
        """The answers by the names of transformers' outputs."""
        length = input_ids.shape[1]
        shown = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        seen = torch.ones(length, length, dtype=torch.bool).tril()[None, None] & shown[:, None, None].bool()
        places = torch.arange(length)[None].expand_as(input_ids) if position_ids is None else position_ids
        hidden = self.hidden(input_ids, seen, places)
        return {"logits": self.logits(hidden), "hidden_states": (hidden,)}

    @torch.no_grad()
    def generate(self, input_ids: Tensor, attention_mask: Tensor, max_new_tokens: int, **_: Any) -> Tensor:
        """Greedy, each token from the whole text anew; positions count what is shown."""
        told = self.generation_config.eos_token_id
        ends = told if isinstance(told, list) else [] if told is None else [told]
        open_rows = torch.ones(len(input_ids), dtype=torch.bool)
        for _step in range(max_new_tokens):
            places = (attention_mask.cumsum(1) - 1).clamp(min=0)
            chosen = self(input_ids, attention_mask, places)["logits"][:, -1].argmax(-1)
            chosen = torch.where(open_rows, chosen, self.generation_config.pad_token_id)
            input_ids = torch.cat((input_ids, chosen[:, None]), dim=1)
            attention_mask = torch.cat((attention_mask, torch.ones_like(chosen[:, None])), dim=1)
            open_rows &= ~torch.isin(chosen, torch.tensor(ends, dtype=torch.long))
            if not open_rows.any():
                break
        return input_ids

    def save_pretrained(self, place: Path) -> None:
        """config.json and model.safetensors, as released."""
        save_file({n: t.contiguous() for n, t in self.state_dict().items()}, place / "model.safetensors")
        values = {**self.settings, "architectures": [type(self).__name__], "model_type": self.model_type}
        (place / "config.json").write_text(json.dumps(values))

    @classmethod
    def from_folder(cls, place: Path, dtype: torch.dtype) -> Self:
        """The model of a folder, its values as `dtype`."""
        model = cls(json.loads((place / "config.json").read_text()))
        model.load_state_dict(load_file(place / "model.safetensors"))
        return model.to(dtype).eval()


# --- plain pieces that published descriptions share


class RMSNorm(nn.Module):
    """arXiv:1910.07467."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x: Tensor) -> Tensor:
        made = x.float() * (x.float().square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return self.weight * made.to(x.dtype)


def rotated(x: Tensor, position_ids: Tensor, theta: float, dim: int, interleaved: bool = False) -> Tensor:
    """x (batch, heads, length, head_dim), its first `dim` elements turned pair by pair: arXiv:2104.09864."""
    even = dim + dim % 2
    x, rest = x[..., :even], x[..., even:]
    angles = position_ids[:, None, :, None].float() * theta ** (-torch.arange(0, dim, 2).float() / dim)
    pairs = x.unflatten(-1, (-1, 2)) if interleaved else x.unflatten(-1, (2, -1)).transpose(-1, -2)
    turned = torch.view_as_complex(pairs.float().contiguous()) * torch.polar(torch.ones_like(angles), angles)
    made = torch.view_as_real(turned)
    made = made.flatten(-2) if interleaved else made.transpose(-1, -2).flatten(-2)
    return torch.cat((made.to(x.dtype), rest), dim=-1)


def attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Softmax attention of q (batch, heads, length, head_dim) over k and v of as many or fewer heads."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    logits = (q @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5 + bias
    shares = logits.masked_fill(~seen, torch.finfo(torch.float32).min).softmax(-1)
    return (shares.to(v.dtype) @ v).transpose(1, 2).flatten(2)


def heads(x: Tensor, head_dim: int) -> Tensor:
    """(batch, length, heads * head_dim) -> (batch, heads, length, head_dim)."""
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)
