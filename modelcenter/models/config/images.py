"""What models of images have instead of an embedding of tokens, and their head."""

from __future__ import annotations

from dataclasses import dataclass

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.linear import Linear
from modelcenter.models.config.parameter import Parameter, Tree, under


@dataclass(frozen=True, kw_only=True)
class Patches:
    """An image cut into patches, each a vector, after that of the class; all with learned positions
    (arXiv:2010.11929 §3.1).

    image_size, patch_size: (height, width) in pixels. channels: of a pixel.
    """

    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    channels: int

    def __post_init__(self) -> None:
        if 0 in self.grid:
            raise ConfigurationInvalid(
                f"cuts images of {self.image_size} pixels into patches of {self.patch_size}; "
                "expected patches that are no larger"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """The rows and columns of patches; pixels that fill no patch are left out."""
        (height, width), (rows, columns) = self.image_size, self.patch_size
        return height // rows, width // columns

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    def tree(self, hidden_size: int) -> Tree:
        return {
            "weight": Parameter((hidden_size, self.channels, *self.patch_size)),
            "bias": Parameter((hidden_size,)),
            "class_token": Parameter((1, 1, hidden_size)),
            "positions": Parameter((1, 1 + self.num_patches, hidden_size)),
        }


@dataclass(frozen=True, kw_only=True)
class ImageClassificationHead:
    """A logit for each of `num_labels` classes, from the vector of the class token.

    size: of what a first layer, without a bias and with tanh, makes of that vector (the representation of
    ViT's pretraining, arXiv:2010.11929 §3.1); None: there is no such layer.
    """

    num_labels: int
    size: int | None = None
    name = "image-classification"

    def dense(self, hidden_size: int) -> Linear | None:
        """The first product."""
        return None if self.size is None else Linear(outputs=self.size, inputs=hidden_size)

    def linear(self, hidden_size: int) -> Linear:
        """The product that makes the logits."""
        return Linear(outputs=self.num_labels, inputs=self.size or hidden_size, bias=True)

    def tree(self, hidden_size: int) -> Tree:
        dense = self.dense(hidden_size)
        return {**(under("dense.", dense.tree()) if dense else {}), **self.linear(hidden_size).tree()}
