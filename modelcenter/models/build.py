"""From a config to its module, on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelcenter.models import config as c
from modelcenter.models.decoder import Decoder
from modelcenter.models.encoder import Encoder
from modelcenter.models.encoder_decoder import EncoderDecoder
from modelcenter.models.model import Model

SKELETONS: Mapping[type, Callable[[Any], Model]] = {
    c.Encoder: Encoder,
    c.Decoder: Decoder,
    c.EncoderDecoder: EncoderDecoder,
}


def build(config: c.ModelConfig) -> Model:
    """The model of `config`, without memory for its parameters."""
    return SKELETONS[type(config)](config)
