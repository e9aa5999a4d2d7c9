"""Greedy decoding: prefill once, then one token a step over the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from modelcenter.errors import Invalid
from modelcenter.generation.processors import Processor, processors, token_ids
from modelcenter.models.decoder import Decoder
from modelcenter.models.encoder_decoder import EncoderDecoder
from modelcenter.models.model import OWN, Model
from modelcenter.models.parts.heads import LanguageHeadPart


@torch.inference_mode()
def generate(
    model: Model,
    input_ids: Tensor,
    *,
    attention_mask: Tensor | None = None,
    max_new_tokens: int = 20,
    do_sample: bool = False,
    eos_token_id: int | Iterable[int] | None = OWN,
    decoder_input_ids: Tensor | None = None,
) -> Tensor:
    """The most likely continuation of `input_ids` (batch, length), token by token.

    Decoders return (batch, length + new), the prompt included; encoder-decoders what the decoder wrote,
    (batch, 1 + new), its start token (or `decoder_input_ids`) included.
    attention_mask: (batch, length), 0 for padding; prompts of different lengths are padded on the left.
    eos_token_id: where a row ends; by default the checkpoint's own (generation_config.json, else
        config.json); None: never. A row that has ended is filled up with the padding token.
    decoder_input_ids: (batch, length), what an encoder-decoder's text begins with, such as a start token and
        that of a language; by default its start token, and as the first new one that which
        generation_config.json forces.

    Of generation_config.json, else of config.json, these are obeyed: eos_token_id, pad_token_id,
    forced_eos_token_id (as the last of max_new_tokens, whatever eos_token_id is asked for),
    repetition_penalty, no_repeat_ngram_size, min_length (of the whole text), min_new_tokens, suppress_tokens,
    begin_suppress_tokens and of bad_words_ids those of one token; for encoder-decoders
    decoder_start_token_id and forced_bos_token_id. The tokens are those that transformers writes with
    do_sample=False, num_beams=1.
    Not obeyed are num_beams and length_penalty, as the search is greedy, encoder_no_repeat_ngram_size,
    max_length, and those of sampling (temperature, top_k, top_p).
    Raises Invalid for sampling, for a model without a language head, and for a prompt that does not fit.
    """
    if do_sample:
        raise Invalid("do_sample=True asks for sampling; generate decodes greedily: leave it out.")
    if max_new_tokens < 0:
        raise Invalid(f"max_new_tokens is {max_new_tokens}; expected none or more.")
    if input_ids.dim() != 2 or not input_ids.shape[1]:
        found = tuple(input_ids.shape)
        raise Invalid(f"input_ids is {found}; expected (batch, length), one token at least.")
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise Invalid(f"attention_mask is {tuple(attention_mask.shape)}; expected {tuple(input_ids.shape)}.")
    if decoder_input_ids is not None and not isinstance(model, EncoderDecoder):
        raise Invalid("decoder_input_ids is for encoder-decoders: this model continues input_ids.")
    ends = end_tokens(model, eos_token_id)
    pad = padding_token(model, ends)
    if isinstance(model, Decoder) and isinstance(model.head, LanguageHeadPart):
        return _decode(model, input_ids, attention_mask, max_new_tokens, ends, pad)
    if isinstance(model, EncoderDecoder) and isinstance(model.head, LanguageHeadPart):
        begun = _begun(model, input_ids, decoder_input_ids)
        return _write(model, input_ids, attention_mask, begun, max_new_tokens, ends, pad)
    raise Invalid(
        "The model has no language head, so it generates no text: load a checkpoint that carries one."
    )


def end_tokens(model: Model, asked: int | Iterable[int] | None) -> tuple[int, ...]:
    """The tokens that end a row."""
    if asked is None:
        return ()
    if asked is OWN:
        own = token_ids(model.source.generation.get("eos_token_id")) if model.source else ()
        return own or model.config.eos_token_ids
    return (asked,) if isinstance(asked, int) else tuple(asked)


def padding_token(model: Model, ends: tuple[int, ...]) -> int:
    """The token that fills up rows which have ended."""
    own = model.source.generation.get("pad_token_id") if model.source else None
    for pad in (own, model.config.pad_token_id, *ends[:1]):
        if isinstance(pad, int):
            return pad
    return 0


class _Rows:
    """The rows of a batch as they grow, each until its end token."""

    def __init__(
        self, start: Tensor, room: int, ends: tuple[int, ...], pad: int, asked: tuple[Processor, ...] = ()
    ) -> None:
        batch, self.length = start.shape
        self.tokens = start.new_full((batch, self.length + room), pad)
        self.tokens[:, : self.length] = start
        self.ends = torch.tensor(ends, device=start.device, dtype=start.dtype)
        self.pad = pad
        self.processors = asked
        self.ended = torch.zeros(batch, dtype=torch.bool, device=start.device)

    def add(self, logits: Tensor, forced: int | None = None) -> Tensor:
        """Append each row's most likely token, or `forced`, (batch, 1); rows that have ended get padding."""
        scores = logits[:, -1]
        for process in self.processors:
            scores = process(self.tokens[:, : self.length], scores.float())
        likely = scores.argmax(dim=-1)
        chosen = (likely if forced is None else torch.full_like(likely, forced)).masked_fill(
            self.ended, self.pad
        )
        self.tokens[:, self.length] = chosen
        self.length += 1
        if len(self.ends):
            self.ended |= torch.isin(chosen, self.ends)
        return chosen[:, None]

    @property
    def done(self) -> bool:
        return len(self.ends) > 0 and bool(self.ended.all())

    def result(self) -> Tensor:
        return self.tokens[:, : self.length].clone()


def _decode(
    model: Decoder,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    room: int,
    ends: tuple[int, ...],
    pad: int,
) -> Tensor:
    batch, length = input_ids.shape
    if attention_mask is not None and not bool(attention_mask[:, -1].all()):
        raise Invalid("attention_mask ends in padding: prompts of different lengths are padded on the left.")
    learned = model.config.positions
    if learned is not None and length + room > learned.num_positions:
        raise Invalid(
            f"{length} tokens and {room} new ones are {length + room}; "
            f"the model has {learned.num_positions} positions."
        )
    asked = processors(
        generation_values(model),
        start=length,
        ends=ends,
        vocab_size=model.config.vocab_size,
        shown=attention_mask,
    )
    rows = _Rows(input_ids, room, ends, pad, asked)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.to(input_ids)
    padded = not bool(mask.all())
    mask = torch.cat((mask, mask.new_ones((batch, room))), dim=1)
    # Padding on the left takes no position: the first real token is always at 0.
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    last = named_token(model, "forced_eos_token_id")
    cache = model.new_cache(length + room)
    turning_point = longrope_length(model)
    step, seen = input_ids, 0
    for i in range(room):
        stop = seen + step.shape[1]
        if seen and turning_point is not None and crosses(positions, seen, stop, turning_point):
            # The cached keys were turned by the factors of short texts: the text is read anew, once.
            cache, step, seen = model.new_cache(length + room), rows.result(), 0
        out = model(
            step,
            attention_mask=mask[:, :stop] if padded else None,
            position_ids=positions[:, seen:stop] if padded and not model.derives_positions else None,
            cache=cache,
            logits_to_keep=1,
        )
        step, seen = rows.add(out.logits, last if i == room - 1 else None), stop
        if rows.done:
            break
    return rows.result()


def longrope_length(model: Decoder) -> int | None:
    """Beyond how many tokens LongRoPE has other factors; None where a model knows no such length."""
    rotaries = {block.attention.rotary for block in model.config.blocks}
    scalings = [rotary.scaling for rotary in rotaries if rotary is not None and rotary.scaling is not None]
    lengths = [s.original_max_position_embeddings for s in scalings if s.kind == "longrope"]
    return min(lengths, default=None)


def crosses(positions: Tensor, seen: int, stop: int, length: int) -> bool:
    """Whether the longest row, of whose tokens `seen` were read, grows beyond `length` with the next."""
    before, after = (int(positions[:, :end].max()) + 1 for end in (seen, stop))
    return before <= length < after


def _begun(model: EncoderDecoder, input_ids: Tensor, asked: Tensor | None) -> Tensor:
    """What the decoder's text begins with, (batch, length). Raises Invalid for another shape."""
    batch = input_ids.shape[0]
    if asked is None:
        start = named_token(model, "decoder_start_token_id")
        return input_ids.new_full((batch, 1), model.config.decoder_start_token_id if start is None else start)
    if asked.dim() != 2 or asked.shape[0] != batch or not asked.shape[1]:
        raise Invalid(
            f"decoder_input_ids is {tuple(asked.shape)}; expected ({batch}, length), one token at least."
        )
    return asked.to(input_ids)


def named_token(model: Decoder | EncoderDecoder, name: str) -> int | None:
    """The token that generation_config.json names so, or config.json where there is no other.

    Of several the lowest: they are forced with equal scores, of which the first is the largest.
    Raises Invalid for one that is not in the vocabulary: the file is untrusted.
    """
    found = sorted(token_ids(generation_values(model).get(name)))[:1]
    if found and not 0 <= found[0] < model.config.vocab_size:
        raise Invalid(f"{name} is {found[0]}; the model has {model.config.vocab_size} tokens.")
    return found[0] if found else None


def generation_values(model: Model) -> Mapping[str, Any]:
    """What generation_config.json says; where there is none, config.json, as older files have it."""
    if model.source is None:
        return {}
    values: Mapping[str, Any] = model.source.generation or model.source.matched.configuration.values
    return values


def _write(
    model: EncoderDecoder,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    begun: Tensor,
    room: int,
    ends: tuple[int, ...],
    pad: int,
) -> Tensor:
    side, length = model.config.decoder, begun.shape[1]
    limit = getattr(side.positions, "num_positions", None) if side else None
    if limit is not None and length + room > limit + 1:  # the last new token needs none
        raise Invalid(f"{length} tokens and {room} new ones are more than the model's {limit} positions.")
    memory = model.encode_source(input_ids, attention_mask)
    first = named_token(model, "forced_bos_token_id") if length == 1 else None
    last = named_token(model, "forced_eos_token_id")
    asked = processors(
        generation_values(model),
        start=length,
        ends=ends,
        vocab_size=model.config.vocab_size,
        is_forced=first is not None,
    )
    step, rows = begun, _Rows(begun, room, ends, pad, asked)
    cache = model.new_cache(length + room)
    for i in range(room):
        out = model(
            attention_mask=attention_mask,
            decoder_input_ids=step,
            memory=memory,
            cache=cache,
            logits_to_keep=1,
        )
        forced = last if i == room - 1 and last is not None else first if i == 0 else None
        step = rows.add(out.logits, forced)
        if rows.done:
            break
    return rows.result()
