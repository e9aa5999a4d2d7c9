"""Every family through the suite that all share: a new one is one line more."""

from tests.conformance.family import FamilySuite, WritingFamilySuite
from tests.support import checkpoints


class TestBert(FamilySuite):
    recipes = checkpoints.BERT


class TestGpt2(WritingFamilySuite):
    recipes = checkpoints.GPT2


class TestGptNeoX(WritingFamilySuite):
    recipes = checkpoints.GPT_NEOX


class TestLlama(WritingFamilySuite):
    recipes = checkpoints.LLAMA


class TestMixtral(WritingFamilySuite):
    recipes = checkpoints.MIXTRAL


class TestT5(WritingFamilySuite):
    recipes = checkpoints.T5
