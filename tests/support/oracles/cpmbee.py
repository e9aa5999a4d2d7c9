"""CPM-Bee, from what OpenBMB's repository says of its forward, and the settings of its config.json."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.oracles.base import Oracle, RMSNorm, Values, heads


class CpmBeeForCausalLM(Oracle):
    cpmbee: Any
    model_type = "cpmbee"

    def __init__(self, settings: Values) -> None:
        super().__init__(settings)
        hidden, inner = settings["hidden_size"], settings["dim_ff"]
        self.size, self.head_dim = hidden, settings["dim_head"]
        count = settings["num_attention_heads"]
        top = self.cpmbee = nn.Module()
        top.input_embedding = nn.Embedding(settings["vocab_size"], hidden)
        top.encoder, top.position_bias = nn.Module(), nn.Module()
        self.buckets = settings["position_bias_num_buckets"]
        rows = self.buckets + settings["position_bias_num_segment_buckets"]
        top.position_bias.relative_attention_bias = nn.Parameter(torch.empty(rows, count))
        top.encoder.output_layernorm = RMSNorm(hidden, settings["eps"])
        top.encoder.layers = nn.ModuleList(nn.Module() for _ in range(settings["num_hidden_layers"]))
        for layer in top.encoder.layers:
            layer.self_att, layer.ffn = nn.Module(), nn.Module()
            layer.self_att.layernorm_before_attention = RMSNorm(hidden, settings["eps"])
            layer.ffn.layernorm_before_ffn = RMSNorm(hidden, settings["eps"])
            attention = layer.self_att.self_attention = nn.Module()
            attention.project_q = nn.Linear(hidden, count * self.head_dim, bias=False)
            attention.project_k = nn.Linear(hidden, count * self.head_dim, bias=False)
            attention.project_v = nn.Linear(hidden, count * self.head_dim, bias=False)
            attention.attention_out = nn.Linear(count * self.head_dim, hidden, bias=False)
            layer.ffn.ffn, layer.ffn.ffn.w_in = nn.Module(), nn.Module()
            layer.ffn.ffn.w_in.w_0 = nn.Linear(hidden, inner, bias=False)
            layer.ffn.ffn.w_in.w_1 = nn.Linear(hidden, inner, bias=False)
            layer.ffn.ffn.w_out = nn.Linear(inner, hidden, bias=False)
        for layer, (no_attention, no_feedforward) in zip(
            top.encoder.layers, settings["mask_modules"], strict=True
        ):
            if no_attention:
                del layer.self_att
            if no_feedforward:
                del layer.ffn

    def load_state_dict(self, state_dict: Any, *args: Any, **options: Any) -> Any:
        """A head that repeats the embedding may be there."""
        kept = {name: value for name, value in state_dict.items() if name != "lm_head.weight"}
        return super().load_state_dict(kept, *args, **options)

    def embedded(self, ids: Tensor, sub: Tensor) -> Tensor:
        """Rows over sqrt(d), turned in halves by 16 times the number of the token."""
        x = self.cpmbee.input_embedding(ids) / math.sqrt(self.size)
        angles = sub[..., None] * 16.0 * 10000.0 ** (-torch.arange(0, self.size, 2).float() / self.size)
        a, b = x.float().chunk(2, dim=-1)
        turned = (a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())
        return torch.cat(turned, dim=-1).to(x.dtype)

    def bucket(self, distance: int) -> int:
        half = self.buckets // 2
        base, exact, far = half if distance > 0 else 0, half // 2, abs(distance)
        if far < exact:
            return base + far
        most = self.settings["position_bias_max_distance"]
        ratio = math.log(far / exact) / math.log(most / exact)
        return base + min(exact + int(ratio * (half - exact)), half - 1)

    def scaled(self, linear: nn.Module, x: Tensor) -> Tensor:
        return linear(x) / math.sqrt(x.shape[-1])

    def structured(self, ids: Tensor, sub: Tensor, seen: Tensor, places: Tensor, related: Tensor) -> Tensor:
        """seen and related, (batch, length, length): what each token sees, and the relation to it."""
        rows = [
            [
                [
                    self.bucket(int(k - q)) if r == 0 else self.buckets + int(r) - 1
                    for k, r in zip(row, rs, strict=True)
                ]
                for q, rs in zip(row, relation, strict=True)
            ]
            for row, relation in zip(places, related, strict=True)
        ]
        bias = self.cpmbee.position_bias.relative_attention_bias[torch.tensor(rows)].permute(0, 3, 1, 2)
        x = self.embedded(ids, sub)
        for layer in self.cpmbee.encoder.layers:
            if hasattr(layer, "self_att"):
                own, y = layer.self_att.self_attention, layer.self_att.layernorm_before_attention(x)
                q, k, v = (
                    heads(self.scaled(getattr(own, f"project_{name}"), y), self.head_dim) for name in "qkv"
                )
                logits = (q @ k.transpose(-1, -2) / math.sqrt(self.head_dim) + bias).float()
                shares = logits.masked_fill(~seen[:, None], torch.finfo(torch.float32).min).softmax(-1)
                made = (shares.to(v.dtype) @ v).transpose(1, 2).flatten(2)
                x = (x + self.scaled(own.attention_out, made)) / 1.05
            if hasattr(layer, "ffn"):
                f, y = layer.ffn.ffn, layer.ffn.layernorm_before_ffn(x)
                made = F.gelu(self.scaled(f.w_in.w_0, y)) * self.scaled(f.w_in.w_1, y)
                x = (x + self.scaled(f.w_out, made)) / 1.05
        return self.cpmbee.encoder.output_layernorm(x)

    def hidden(self, input_ids: Tensor, seen: Tensor, position_ids: Tensor) -> Tensor:
        """A plain text: one segment, all written."""
        seen = seen[:, 0].expand(len(input_ids), -1, -1)
        related = torch.zeros_like(seen, dtype=torch.long)
        return self.structured(input_ids, torch.zeros_like(input_ids), seen, position_ids, related)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden / math.sqrt(self.size) @ self.cpmbee.input_embedding.weight.T
