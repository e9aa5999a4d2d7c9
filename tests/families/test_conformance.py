"""Every family through the suite that all share: a new one is one line more."""

from tests.conformance.family import FamilySuite
from tests.support import checkpoints


class TestBert(FamilySuite):
    recipes = checkpoints.BERT


class TestGpt2(FamilySuite):
    recipes = checkpoints.GPT2


class TestGptNeoX(FamilySuite):
    recipes = checkpoints.GPT_NEOX


class TestLlama(FamilySuite):
    recipes = checkpoints.LLAMA


class TestMixtral(FamilySuite):
    recipes = checkpoints.MIXTRAL


class TestT5(FamilySuite):
    recipes = checkpoints.T5
