"""Vectors of texts, as sentence-transformers' files describe them: `model.encode`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from modelcenter.checkpoint.files import LocalFiles
from modelcenter.checkpoint.sentence import Dense, Normalize, Pooling, Sentences, Unknown, read_sentences
from modelcenter.checkpoint.source import open_checkpoint
from modelcenter.errors import Invalid
from modelcenter.models.decoder import Decoder
from modelcenter.models.encoder_decoder import EncoderDecoder
from modelcenter.models.parts.heads import last_places

if TYPE_CHECKING:
    from modelcenter.models.model import Model

USUAL = Pooling(("mean",))
LONG_WORK = 8  # batches, from which on a bar shows how far it is

# torch's names of modules, as Dense's config.json has them.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": F.relu,
    "GELU": F.gelu,
    "SiLU": F.silu,
    "Sigmoid": torch.sigmoid,
}


def encode(
    model: Model,
    texts: str | Sequence[str],
    *,
    batch_size: int = 32,
    prompt_name: str | None = None,
    prompt: str | None = None,
    normalize: bool | None = None,
    show_progress: bool | None = None,
) -> Tensor:
    """The vectors of texts, (texts, size) in the model's dtype and on its device; of one text, (size,).

    The checkpoint's own modules say how (modules.json); without them, an encoder's is the mean of its tokens,
    a decoder's its last token. Longer texts than the model's are cut.

    batch_size: texts at a time, of like length. prompt_name: which of the checkpoint's prompts goes before
    each text; prompt: one of your own. normalize: whether vectors have length 1; None: as the modules say.
    show_progress: a bar; None: for long work at a terminal.

    Raises Invalid where there is no tokeniser, no such prompt, a module that is not known, or a text without
    tokens, as the empty one is where no token begins or ends texts.
    """
    if model.tokenizer is None:
        raise Invalid("The model has no tokeniser, so it reads no texts: give its folder a vocabulary.")
    if batch_size < 1:
        raise Invalid(f"batch_size is {batch_size}; expected 1 or more.")
    folder = model.source.folder if model.source is not None else None
    told = (read_sentences(LocalFiles(folder)) if folder else None) or usual(model)
    before = chosen_prompt(told, prompt_name, prompt)
    wanted = [texts] if isinstance(texts, str) else list(texts)
    rows = cut(model, told, [before + text for text in wanted])
    if not all(rows):
        raise Invalid(
            f"{wanted[rows.index([])]!r} has no tokens, so it has no vector: the tokeniser puts none around "
            "a text. Leave it out, or give it a prompt."
        )
    skipped = 0 if not before or counts_prompt(told) else max(len(cut(model, told, [before])[0]) - 1, 0)
    after = [finish(module, folder, model) for module in told.modules if not isinstance(module, Pooling)]
    pooling = next((module for module in told.modules if isinstance(module, Pooling)), USUAL)

    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    made: list[Tensor] = []
    with torch.inference_mode():
        for batch in watched(
            [order[i : i + batch_size] for i in range(0, len(order), batch_size)], show_progress
        ):
            vectors = pool(pooling, *hidden_states(model, [rows[i] for i in batch]), skipped)
            for step in after:
                vectors = step(vectors)
            made.append(F.normalize(vectors, dim=-1) if normalize else vectors)
    if not made:
        return torch.empty((0, model.config.hidden_size), dtype=model.dtype, device=model.device)
    found = torch.cat(made)[torch.tensor(order, device=model.device).argsort()]
    return found[0] if isinstance(texts, str) else found


def usual(model: Model) -> Sentences:
    """What is done where no file says: the mean of an encoder's tokens, a decoder's last token."""
    return Sentences((Pooling(("last",)) if isinstance(model, Decoder) else USUAL,))


def chosen_prompt(told: Sentences, name: str | None, prompt: str | None) -> str:
    """What goes before every text. Raises Invalid for a name that the checkpoint does not have."""
    if prompt is not None:
        return prompt
    name = told.default_prompt if name is None else name
    if name is None:
        return ""
    if name not in told.prompts:
        known = ", ".join(sorted(told.prompts)) or "none"
        raise Invalid(f"The checkpoint has no prompt {name!r}; it has {known}.")
    return told.prompts[name]


def counts_prompt(told: Sentences) -> bool:
    """Whether a prompt's tokens count towards a text's vector."""
    return all(module.include_prompt for module in told.modules if isinstance(module, Pooling))


def cut(model: Model, told: Sentences, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, no longer than the model takes."""
    # The files' own length replaces the tokeniser's; no text is longer than the model has positions.
    limits = (told.max_length or model.tokenizer.model_max_length, model.config.max_position_embeddings)
    limit = min((limit for limit in limits if limit is not None), default=None)
    ready = [text.strip() for text in texts]
    if told.lowercase:
        ready = [text.lower() for text in ready]
    rows: list[list[int]] = model.tokenizer(ready, truncation=limit is not None, max_length=limit)[
        "input_ids"
    ]
    return rows


def hidden_states(model: Model, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The last hidden states (batch, length, hidden_size) and the mask (batch, length) of rows of ids.

    Padded on the right, so that every position is what it is without padding.
    """
    length = max(map(len, rows))
    pad = model.config.pad_token_id
    pad = model.tokenizer.pad_token_id if pad is None else pad
    ids = torch.full((len(rows), length), 0 if pad is None else pad, device=model.device)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens, device=model.device)
        mask[row, : len(tokens)] = 1
    if isinstance(model, EncoderDecoder):
        return model.encode_source(ids, mask), mask
    hidden: Tensor = model(ids, attention_mask=mask).last_hidden_state
    return hidden, mask


def pool(pooling: Pooling, hidden: Tensor, mask: Tensor, skipped: int = 0) -> Tensor:
    """(batch, length, hidden_size) -> (batch, hidden_size), times the number of modes.

    skipped: tokens at the start, a prompt's, that do not count. Sums are taken in fp32: those of fp16 end at
    65504. Source: sentence-transformers' Pooling.
    """
    dtype, hidden = hidden.dtype, hidden.float()
    if skipped:
        mask = mask.clone()
        mask[:, :skipped] = 0
    shown = mask[..., None].to(hidden.dtype)
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device, dtype=hidden.dtype)[None, :, None]
    rows = torch.arange(len(hidden), device=hidden.device)

    def average(weights: Tensor) -> Tensor:
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)

    def vector(mode: str) -> Tensor:
        match mode:
            case "first":
                return hidden[:, 0]
            case "last":
                return hidden[rows, last_places(mask, None, mask)]
            case "max":
                return hidden.masked_fill(shown == 0, torch.finfo(hidden.dtype).min).amax(dim=1)
            case "mean_sqrt":
                return (hidden * shown).sum(dim=1) / shown.sum(dim=1).clamp(min=1e-9).sqrt()
            case "weighted_mean":
                return average(shown * places)
        return average(shown)

    return torch.cat([vector(mode) for mode in pooling.modes], dim=-1).to(dtype)


def finish(
    module: Dense | Normalize | Unknown, folder: Path | None, model: Model
) -> Callable[[Tensor], Tensor]:
    """What a module after the pooling does to vectors (batch, size). Raises Invalid for one not known."""
    if isinstance(module, Normalize):
        return lambda vectors: F.normalize(vectors, dim=-1)
    if isinstance(module, Unknown) or module.activation not in ACTIVATIONS:
        name = module.name if isinstance(module, Unknown) else f"a Dense with {module.activation}"
        raise Invalid(f"The checkpoint's vectors need {name}, which is not known.")
    assert folder is not None
    activation = ACTIVATIONS[module.activation]
    checkpoint = open_checkpoint(folder / module.folder)
    held = {
        name: checkpoint.tensor(name).to(dtype=model.dtype, device=model.device) for name in module.shapes()
    }
    return lambda vectors: activation(F.linear(vectors, held["linear.weight"], held.get("linear.bias")))


def watched(batches: Sequence[list[int]], show: bool | None) -> Iterator[list[int]]:
    """The batches, behind a bar where that is asked for."""
    from huggingface_hub.utils.tqdm import tqdm

    shown = sys.stderr.isatty() and len(batches) >= LONG_WORK if show is None else show
    bar: Any = tqdm(batches, desc="Encoding", disable=not shown)  # type: ignore[no-untyped-call]
    yield from bar
