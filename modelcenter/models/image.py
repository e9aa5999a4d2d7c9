"""The image skeleton: ViT and its kind."""

from __future__ import annotations

from torch import Tensor, nn

from modelcenter.models import config as c
from modelcenter.models.block import BlockPart, Context, run
from modelcenter.models.model import Model
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.heads import ImageClassificationHeadPart, PoolerPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.patches import PatchesPart


class ImageEncoder(Model):
    """Patches of an image, blocks that see all of them, and a last norm."""

    config: c.ImageEncoder

    def __init__(self, config: c.ImageEncoder) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.patches = PatchesPart(config.patches, size)
        self.blocks = nn.ModuleList(BlockPart(block, size) for block in config.blocks)
        self.norm = NormPart(config.norm, size)
        self.pooler = PoolerPart(size) if config.pooler else None
        self.head = ImageClassificationHeadPart(config.head, size) if config.head else None

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> ModelOutput:
        """pixel_values (batch, channels, height, width), as the checkpoint's preprocessor scales them.

        interpolate_pos_encoding: take images of other sizes than the model's, its positions stretched.
        The logits are (batch, num_labels). Raises Invalid for images that do not fit.
        """
        hidden = self.patches(pixel_values, interpolate_pos_encoding)
        hidden = self.norm(run(self.blocks, hidden, Context()))
        return ModelOutput(
            last_hidden_state=hidden,
            logits=self.head(hidden[:, 0]) if self.head else None,
            pooler_output=self.pooler(hidden) if self.pooler else None,
        )
