"""Architectures as data: what a model is made of, the shape of every parameter and the dimension it shards
along.

Plain frozen dataclasses, no torch. The torch modules are built from them, so that matching, auditing and
planning a checkpoint are arithmetic on headers. Values only: two layers with equal configs are equal.
"""

from modelcenter.models.config.attention import Attention, CrossAttention, Layout, QueryKeyNorm
from modelcenter.models.config.block import Block, stack
from modelcenter.models.config.disentangled import Convolution, DisentangledAttention
from modelcenter.models.config.feedforward import (
    ClampedGate,
    Experts,
    FeedForward,
    PairLayout,
    Router,
    alternating_rows,
)
from modelcenter.models.config.heads import (
    ClassificationHead,
    LanguageHead,
    MaskedLanguageHead,
    NextSentenceHead,
    Pooler,
    Transform,
)
from modelcenter.models.config.images import ImageClassificationHead, Patches
from modelcenter.models.config.latent import LatentAttention
from modelcenter.models.config.linear import Linear, Norm
from modelcenter.models.config.local_global import LocalGlobalAttention
from modelcenter.models.config.models import (
    Decoder,
    DisentangledEncoder,
    Encoder,
    EncoderDecoder,
    ImageEncoder,
    LongEncoder,
    ModelConfig,
    PermutationEncoder,
    Side,
    check_size,
)
from modelcenter.models.config.parameter import Parameter, Precise, Shape, Tree, nested, share, under
from modelcenter.models.config.positions import (
    Alibi,
    Learned,
    RelativeBias,
    Rotary,
    RotaryScaling,
    Sinusoidal,
)
from modelcenter.models.config.prefix import BlankFiller, MaskFiller, PrefixDecoder, Prompts
from modelcenter.models.config.relation import RelationBias, SegmentBias
from modelcenter.models.config.relative import RelativeAttention
from modelcenter.models.config.structured import StructuredDecoder

__all__ = [
    "Alibi",
    "Attention",
    "BlankFiller",
    "Block",
    "ClampedGate",
    "ClassificationHead",
    "Convolution",
    "CrossAttention",
    "Decoder",
    "DisentangledAttention",
    "DisentangledEncoder",
    "Encoder",
    "EncoderDecoder",
    "Experts",
    "FeedForward",
    "ImageClassificationHead",
    "ImageEncoder",
    "LanguageHead",
    "LatentAttention",
    "Layout",
    "Learned",
    "Linear",
    "LocalGlobalAttention",
    "LongEncoder",
    "MaskFiller",
    "MaskedLanguageHead",
    "ModelConfig",
    "NextSentenceHead",
    "Norm",
    "PairLayout",
    "Parameter",
    "Patches",
    "PermutationEncoder",
    "Pooler",
    "Precise",
    "PrefixDecoder",
    "Prompts",
    "QueryKeyNorm",
    "RelationBias",
    "RelativeAttention",
    "RelativeBias",
    "Rotary",
    "RotaryScaling",
    "Router",
    "SegmentBias",
    "Shape",
    "Side",
    "Sinusoidal",
    "StructuredDecoder",
    "Transform",
    "Tree",
    "alternating_rows",
    "check_size",
    "nested",
    "share",
    "stack",
    "under",
]
