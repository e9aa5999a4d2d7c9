"""XLNet. Source: arXiv:1906.08237; transformers modeling_xlnet.py.

One stream, without memories of earlier segments: what checkpoints are fine-tuned and asked with. The query
stream of pretraining shares all its weights but one vector, which is kept.
"""

from __future__ import annotations

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import classification, layer_norm, summary, task
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import (
    Block,
    ClassificationHead,
    FeedForward,
    LanguageHead,
    PermutationEncoder,
    RelativeAttention,
)
from modelcenter.weights.rules import RulesLike, WeightMap, each


def config(hf: Configuration, header: Header) -> PermutationEncoder:
    hidden_size = hf.integer("d_model", "hidden_size", default=1024)
    num_heads = hf.integer("n_head", "num_attention_heads", default=16)
    head_dim = hf.head_dim(hidden_size, num_heads)
    hf.refuse(same_length=(False,), d_head=(head_dim,), attn_type=("bi", "uni"))
    clamp = hf.values.get("clamp_len")
    if clamp is not None and type(clamp) is not int:
        raise ConfigurationInvalid(f"has clamp_len {clamp!r}; expected a number of tokens, -1 for no limit")
    layer = Block(
        attention=RelativeAttention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=hf.values.get("attn_type") == "uni",
            furthest=hf.integer("clamp_len") if clamp is not None and clamp > 0 else None,
            mirrored=hf.flag("bi_data", default=False),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("d_inner", default=4096),
            activation=hf.activation("ff_activation", default="gelu"),
            gated=False,
            bias=True,
        ),
        norm=layer_norm(hf),
        norm_placement="after_residual",
    )
    return PermutationEncoder(
        vocab_size=hf.integer("vocab_size", "n_token"),
        hidden_size=hidden_size,
        max_position_embeddings=None,
        blocks=(layer,) * hf.layers("n_layer", "num_hidden_layers", default=24),
        pad_token_id=hf.pad_token_id,
        head=head(hf, header),
    )


def head(hf: Configuration, header: Header) -> LanguageHead | ClassificationHead | None:
    """What the class says, else the language model's where the tensors say so."""
    kind = task(hf)
    if kind in ("SequenceClassification", "MultipleChoice"):
        of, transform = summary(hf, kind="last", activation="tanh")
        return classification(hf, of=of, transform=transform, choice=of, choice_transform=transform)
    if kind == "TokenClassification":
        return classification(hf)
    if kind == "QuestionAnsweringSimple":
        if hf.num_labels != 2:
            raise ConfigurationInvalid(f"has {hf.num_labels} labels for an answer's place; expected 2")
        return ClassificationHead(name="question-answering", num_labels=2, of="tokens", answer="span")
    if kind == "MaskedLM" or carries(header, "lm_loss."):
        tied = hf.flag("tie_word_embeddings", default=True)
        return LanguageHead(tied=tied, bias=True, name="permutation-lm")
    return None


def huggingface(c: PermutationEncoder) -> WeightMap:
    layer: RulesLike = {
        "attention.q": "rel_attn.q",
        "attention.k": "rel_attn.k",
        "attention.v": "rel_attn.v",
        "attention.out": "rel_attn.o",
        "attention.position": "rel_attn.r",
        "attention.content_bias": "rel_attn.r_w_bias",
        "attention.position_bias": "rel_attn.r_r_bias",
        "attention.segment_bias": "rel_attn.r_s_bias",
        "attention.segments": "rel_attn.seg_embed",
        "attention_norm.*": "rel_attn.layer_norm.*",
        "feedforward.up.*": "ff.layer_1.*",
        "feedforward.down.*": "ff.layer_2.*",
        "feedforward_norm.*": "ff.layer_norm.*",
    }
    rules: RulesLike = {
        "embedding.weight": "transformer.word_embedding.weight",
        "mask_embedding": "transformer.mask_emb",
        **each(c.num_layers, "blocks.{i}.", "transformer.layer.{i}.", layer),
        **heads(c.head),
    }
    return WeightMap.of(
        c.parameters(),
        rules,
        copies={"lm_loss.weight": "transformer.word_embedding.weight"},
        optional_prefix="transformer.",
    )


def heads(head: object) -> RulesLike:
    """The names of the head's tensors."""
    if not isinstance(head, ClassificationHead):
        return {"head.weight": "lm_loss.weight", "head.bias": "lm_loss.bias"}
    out = {
        "sequence-classification": "logits_proj.*",
        "multiple-choice": "logits_proj.*",
        "token-classification": "classifier.*",
        "question-answering": "qa_outputs.*",
    }
    return {"head.dense.*": "sequence_summary.summary.*", "head.out.*": out[head.name]}


FAMILY = Family(
    name="xlnet",
    model_types=("xlnet",),
    classes=(
        "XLNetModel",
        "XLNetLMHeadModel",
        "XLNetForSequenceClassification",
        "XLNetForTokenClassification",
        "XLNetForMultipleChoice",
        "XLNetForQuestionAnsweringSimple",
    ),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="xlnet",
)
