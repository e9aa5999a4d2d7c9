"""Text from models: greedy decoding with a cache of keys and values."""

from modelcenter.generation.greedy import generate

__all__ = ["generate"]
