"""The catalogue's search on both databases: labelled questions, facets, orders, and who sees what."""
# ruff: noqa: E501  questions stand with their answers

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from modelcenter.registry import accounts, search
from modelcenter.registry.access import ANONYMOUS, Actor
from modelcenter.registry.analysis import fold, terms, words
from modelcenter.registry.cards import read_card
from modelcenter.registry.facts import Evidence, describe, publish
from modelcenter.registry.search import FACETS, Query, find
from modelcenter.registry.seed import seed
from modelcenter.registry.tables import Facet, Model, Repository
from tests.support.catalogue import CARDS, KINDS, lasting_hub


@pytest.fixture(scope="module", params=KINDS)
def hub(request, tmp_path_factory):
    """A hub with the whole catalogue, and two hosted models of alice: one public and complete, one private."""
    with lasting_hub(request, request.param, tmp_path_factory.mktemp("catalogue")) as hub:
        seed(hub, CARDS)
        with hub.database.transaction() as session:
            alice = accounts.create_user(session, "alice", password="secret-secret")
            for name, private, verdict in (
                ("tiny-bert-zh", False, "complete"),
                ("hidden-bert", True, "incomplete"),
            ):
                repository = Repository(
                    namespace="alice", name=name, owner_id=alice.id, private=private, downloads=5, likes=2
                )
                session.add(repository)
                session.flush()
                model = Model(repository_id=repository.id)
                session.add(model)
                card = read_card(
                    "---\nlanguage: zh\nlicense: mit\npipeline_tag: text-classification\ntags: [legal]\n"
                    "modelcenter: {family: bert, parameters: 5000000}\n---\n# 中文情感分类小模型\n\n用于酒店评论的情感分类。\n"
                )
                describe(repository, model, Evidence(card=card, commit="0" * 40), None)
                model.verdict = verdict
                publish(session, repository, model, card)
        yield hub


@pytest.fixture
def session(hub):
    with hub.database.session() as session:
        yield session


@pytest.fixture(scope="module")
def alice(hub) -> Actor:
    with hub.database.session() as session:
        return accounts.authenticate_password(session, "alice", "secret-secret")


def ids(session, actor=ANONYMOUS, **query) -> list[str]:
    page = find(session, Query(per_page=1000, **query), actor)
    assert len(page.rows) == page.total
    return [row.repository.repo_id for row in page.rows]


# --- the analyser


def test_width_case_and_script_are_folded():
    assert fold("ＢＥＲＴ 簡體中文 對話") == "bert 简体中文 对话"


def test_terms_of_both_writings():
    assert terms("通义千问") == ["通", "通义", "义", "义千", "千", "千问", "问"]
    assert {"qwen/qwen2.5-7b", "qwen", "qwen2.5-7b", "qwen2.5", "2.5", "7b", "7"} <= set(
        terms("Qwen/Qwen2.5-7B")
    )
    assert {"gpt-2", "gpt", "2", "+gpt2"} <= set(terms("GPT-2")) & set(terms("GPT 2"))
    assert {"+qwen25", "+qwen257b", "+qwen2", "+2.5-7b"} <= set(terms("Qwen2.5-7B"))
    assert not {"+18b", "18b"} & set(terms("Qwen-1.8B"))
    assert terms("中文BERT") == ["中", "中文", "文", "bert", "+bert"]
    assert terms(None, "", "，。！", "---") == []
    assert "c++" in terms("written in C++.")


def test_questions_are_cut_into_words_that_tell():
    assert [word.text for word in words("中文情感分类模型")] == ["中文", "情感", "分类"]
    assert [word.text for word in words("The best models for Chinese")] == ["best", "chinese"]
    assert [word.text for word in words("模型")] == ["模型"]
    assert len(words(" ".join(f"w{i}" for i in range(1000)))) <= 12


# --- labelled questions: all of these must be on the first page

RELEVANT = {
    "对话": {"THUDM/chatglm-6b", "thu-coai/EVA2.0-base", "zai-org/chatglm3-6b", "THUDM/glm-4-9b-chat-hf"},
    "中文对话模型": {"THUDM/chatglm-6b", "thu-coai/EVA2.0-xlarge", "ClueAI/ChatYuan-large-v1"},
    "中文對話模型": {"THUDM/chatglm-6b", "thu-coai/EVA2.0-xlarge"},
    "中文 bert 分类": {"alice/tiny-bert-zh"},
    "情感分类": {"alice/tiny-bert-zh"},
    "ｂｅｒｔ": {"google-bert/bert-base-uncased", "google-bert/bert-base-chinese"},
    "qwen2.5-7b": {"Qwen/Qwen2.5-7B"},
    "Qwen 2.5": {"Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-72B"},
    "Qwen/Qwen2.5-7B": {"Qwen/Qwen2.5-7B"},
    "qwen2.5-7": {"Qwen/Qwen2.5-7B"},
    "千问": {"Qwen/Qwen2.5-7B", "Qwen/Qwen3-8B", "Qwen/Qwen-7B"},
    "通义千问 7b": {"Qwen/Qwen2.5-7B", "Qwen/Qwen-7B"},
    "百川": {"baichuan-inc/Baichuan-7B", "baichuan-inc/Baichuan2-13B-Base"},
    "openbmb": {"openbmb/cpm-bee-10b", "openbmb/MiniCPM3-4B"},
    "清华": {"THUDM/chatglm-6b", "TsinghuaAI/CPM-Generate"},
    "gpt2": {"openai-community/gpt2", "openai-community/gpt2-xl", "uer/gpt2-chinese-cluecorpussmall"},
    "gpt-2 chinese": {"uer/gpt2-chinese-cluecorpussmall"},
    "llama3": {"meta-llama/Meta-Llama-3-8B", "meta-llama/Llama-3.1-8B", "hfl/llama-3-chinese-8b"},
    "llama 3.1 70b": {"meta-llama/Llama-3.1-70B"},
    "bert-base-chinese": {"google-bert/bert-base-chinese"},
    "bert-base-unc": {"google-bert/bert-base-uncased"},
    "chinese embedding": {"shibing624/text2vec-base-chinese", "BAAI/bge-large-zh-v1.5", "thenlper/gte-base-zh"},
    "中文向量": {"BAAI/bge-large-zh-v1.5", "moka-ai/m3e-base", "thenlper/gte-large-zh"},
    "检索 多语言": {"BAAI/bge-m3"},
    "翻译": {"google-t5/t5-base"},
    "translation": {"google-t5/t5-base"},
    "摘要": {"google/pegasus-large"},
    "summarization": {"google/pegasus-large"},
    "代码": {"Qwen/Qwen2.5-Coder-7B", "deepseek-ai/deepseek-coder-6.7b-base"},
    "编程": {"Qwen/Qwen2.5-Coder-7B", "deepseek-ai/deepseek-coder-6.7b-base"},
    "混合专家": {"mistralai/Mixtral-8x7B-v0.1", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-30B-A3B"},
    "mixture of experts": {"mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B"},
    "推理": {"deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "Qwen/Qwen3-8B"},
    "文言文": {"ethanyt/guwenbert-base"},
    "法律": {"thunlp/Lawformer"},
    "长文本": {"thunlp/Lawformer", "answerdotai/ModernBERT-base"},
    "完形填空 中文": {"google-bert/bert-base-chinese"},
    "fill mask multilingual": {"google-bert/bert-base-multilingual-cased", "FacebookAI/xlm-roberta-base"},
    "图像分类": {"google/vit-base-patch16-224"},
    "文心": {"nghuyong/ernie-3.0-base-zh", "baidu/ERNIE-4.5-0.3B-PT"},
    "GroupViT": set(),
}  # fmt: skip

FIRST = {
    "qwen2.5-7b": "Qwen/Qwen2.5-7B",
    "Qwen2.5 7B": "Qwen/Qwen2.5-7B",
    "bert-base-chinese": "google-bert/bert-base-chinese",
    "google-bert/bert-base-uncased": "google-bert/bert-base-uncased",
    "gpt2": "openai-community/gpt2",
    "deepseek v3": "deepseek-ai/DeepSeek-V3",
    "chatglm-6b": "THUDM/chatglm-6b",
    "roberta-base": "FacebookAI/roberta-base",
    "mixtral": "mistralai/Mixtral-8x7B-v0.1",
}


@pytest.mark.parametrize("question", RELEVANT)
def test_labelled_questions_find_what_they_ask_for(session, question):
    page = find(session, Query(text=question), ANONYMOUS)
    assert RELEVANT[question] <= {row.repository.repo_id for row in page.rows}
    assert page.sort == "relevance"


def is_chinese(row) -> bool:
    return "zh" in row.model.tags or "lzh" in row.model.tags or "chinese" in names_of(row)


def is_chat(row) -> bool:
    return (
        bool({"chat", "dialogue", "conversational"} & set(row.model.tags))
        or "对话" in names_of(row)
        or "chat" in names_of(row)
    )


def is_embedding(row) -> bool:
    return (
        row.model.pipeline_tag in ("feature-extraction", "sentence-similarity")
        or "embedding" in row.model.tags
    )


def is_classifier(row) -> bool:
    return "classification" in (row.model.pipeline_tag or "")


def names_of(row) -> str:
    return f"{row.repository.repo_id} {row.model.title_en} {row.model.title_zh}".lower()


def squeezed_name(row) -> str:
    return "".join(character for character in names_of(row) if character not in " -._")


# A question, who answers it, and how much of the found must (precision) and of the answers must be found (recall).
PRECISE = {
    "中文": (is_chinese, 1, 1),
    "chinese": (is_chinese, 1, 1),
    "zh": (is_chinese, 1, 0.95),
    "code": (lambda row: "code" in row.model.tags or "coder" in names_of(row), 1, 1),
    "代码": (lambda row: "code" in row.model.tags or "coder" in names_of(row), 1, 1),
    "english": (lambda row: "en" in row.model.tags, 1, 1),
    "嵌入": (is_embedding, 1, 1),
    "embedding": (is_embedding, 1, 1),
    "对话": (is_chat, 1, 0.95),
    "chat": (is_chat, 1, 1),
    "聊天": (is_chat, 1, 0.95),
    "分类": (is_classifier, 1, 1),
    "classification": (is_classifier, 1, 1),
    "翻译": (lambda row: row.model.pipeline_tag == "translation", 1, 1),
    "中文对话模型": (lambda row: is_chinese(row) and is_chat(row), 1, 0.95),
    "chinese chat": (lambda row: is_chinese(row) and is_chat(row), 1, 1),
    "中文嵌入": (lambda row: is_chinese(row) and is_embedding(row), 1, 1),
    "中文 bert 分类": (lambda row: is_chinese(row) and is_classifier(row) and row.model.family == "bert", 1, 1),
    "chinese bert": (lambda row: is_chinese(row) and "bert" in f"{names_of(row)} {row.model.family} {row.model.architecture}".lower(), 0.8, 0.5),
    "gpt-2": (lambda row: "gpt2" in squeezed_name(row) or row.model.model_type == "gpt2", 1, 1),
    "qwen25": (lambda row: row.repository.name.startswith("Qwen2.5"), 1, 1),
    "qwen2.5": (lambda row: row.repository.name.startswith("Qwen2.5"), 1, 1),
    "qwen2.5-7b": (lambda row: row.repository.repo_id == "Qwen/Qwen2.5-7B", 0.5, 1),
    "qwen257b": (lambda row: row.repository.repo_id == "Qwen/Qwen2.5-7B", 0.5, 1),
    "Qwen 2.5 7B": (lambda row: row.repository.repo_id == "Qwen/Qwen2.5-7B", 0.5, 1),
    "llama3": (lambda row: "llama3" in squeezed_name(row) or "Llama-8B" in row.repository.name, 1, 0.8),
    "qwen-7b": (lambda row: row.repository.repo_id == "Qwen/Qwen-7B", 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("question", PRECISE)
def test_little_else_is_found(session, question):
    is_answer, precision, recall = PRECISE[question]
    everything = find(session, Query(per_page=1000), ANONYMOUS).rows
    answers = {row.repository.repo_id for row in everything if row.model and is_answer(row)}
    found = set(ids(session, text=question))
    assert found & answers
    assert len(found & answers) >= precision * len(found), sorted(found - answers)
    assert len(found & answers) >= recall * len(answers), sorted(answers - found)


@pytest.mark.parametrize(
    "spellings",
    [
        ("gpt2", "gpt-2", "GPT 2", "GPT_2"),
        ("qwen2.5", "qwen25", "Qwen 2.5", "qwen-2.5"),
        ("llama3", "llama-3", "Llama 3"),
        ("Llama 3.1", "llama3.1", "llama-3.1", "llama31"),
        ("中文对话模型", "中文 对话", "中文聊天模型", "开源中文对话模型"),
        ("qwen2.5-7b", "Qwen 2.5 7B", "qwen-2.5-7b"),
    ],
)
def test_spellings_of_a_name_find_the_same(session, spellings):
    found = [set(ids(session, text=text)) for text in spellings]
    assert found[0]
    assert all(other == found[0] for other in found)


def test_names_that_only_share_their_letters_are_others(session):
    assert ids(session, text="qwen2-57b") == []
    assert "Qwen/Qwen-1_8B" not in ids(session, text="qwen 18b")


def test_text_answers_where_no_tag_does(session):
    page = find(session, Query(text="bert 标注"), ANONYMOUS)
    assert "google-bert/bert-base-chinese" in {row.repository.repo_id for row in page.rows}
    narrowed = find(session, Query(text="bert 分类", size=(">20B",)), ANONYMOUS)
    assert narrowed.total == 0  # the one classifier is small: the words are not taken more widely for it


def test_what_cards_say_of_every_model_finds_none(session):
    for text in ("隐藏维度", "feed-forward", "from_pretrained", "AutoTokenizer"):
        assert len(ids(session, text=text)) < 10, text


@pytest.mark.parametrize("question", FIRST)
def test_the_model_that_is_named_comes_first(session, question):
    assert find(session, Query(text=question), ANONYMOUS).rows[0].repository.repo_id == FIRST[question]


def test_any_part_of_an_id_finds_it_where_that_is_asked_for(session):
    every = ids(session)
    for text in ("ERT", "alice/t", "nsaido/Cr", "bert zh", "y-bert", "-"):
        parts = text.lower().split()
        assert {name for name in every if all(part in name.lower() for part in parts)} <= set(
            found := ids(session, text=text, in_id=True)
        )
        # What words find comes first, in the same order.
        by_words = ids(session, text=text)
        assert [name for name in found if name in by_words] == by_words
    assert ids(session, text="iny-ber", in_id=True) == ["alice/tiny-bert-zh"]
    assert ids(session, text="iny_ber", in_id=True) == ids(session, text="%", in_id=True) == []


def test_words_of_a_question_narrow_it(session):
    assert set(ids(session, text="qwen 7b")) < set(ids(session, text="qwen"))
    assert "huggyllama/llama-30b" not in ids(session, text="llama3")
    assert "Qwen/Qwen2.5-Coder-7B" not in ids(session, text="对话")


def test_names_come_before_tags_before_text(session):
    found = ids(session, text="chinese")
    assert "chinese" in found[0].lower()
    assert found.index("hfl/chinese-bert-wwm") < found.index("Qwen/Qwen2.5-7B")


@pytest.mark.parametrize(
    "text", ['"', "'", "a' OR 'b", 'NEAR("a" b)', "name:bert*", "a & !b | (", "\\", "%_", "'; DROP TABLE models; --", "a" * 10_000, "😀", "\0", "中" * 5000, "AND OR NOT", "-", "+", "c++ c#", "é ü ß Ж नमस्ते"]
)  # fmt: skip
def test_no_question_is_an_error(session, text):
    page = find(session, Query(text=text), ANONYMOUS)
    assert page.total >= 0


def test_a_question_without_words_finds_nothing(session):
    assert ids(session, text="，。") == []


def test_near_spellings_are_proposed(session):
    page = find(session, Query(text="qwne2.5-7b"), ANONYMOUS)
    assert page.total == 0
    assert page.suggestion
    assert find(session, Query(text=page.suggestion), ANONYMOUS).total > 0
    assert find(session, Query(text="文言文 zzzzqq"), ANONYMOUS).suggestion == "文言文"
    assert find(session, Query(text="zzzzqq"), ANONYMOUS).suggestion is None


# --- facets


def test_facets_count_what_choosing_them_gives(session):
    query = Query(text="", family=("bert", "llama"), language=("zh",), per_page=1000)
    page = find(session, query, ANONYMOUS)
    assert page.total == len(page.rows)
    assert {row.model.family for row in page.rows if row.model} == {"bert", "llama"}
    for facet in FACETS:
        chosen = getattr(query, facet)
        for value, count in page.facets[facet][:6]:
            alone = {**{name: getattr(query, name) for name in FACETS}, facet: (*chosen, value)}
            assert find(session, Query(**alone), ANONYMOUS).total == count, (facet, value, chosen)


def test_each_value_of_a_facet_leads_to_as_many_as_it_says(session):
    """Values beside a chosen one are added to it."""
    choices: tuple[dict[str, Any], ...] = (
        {"task": ("fill-mask",), "language": ("zh",)},
        {"text": "bert", "family": ("bert",), "size": ("<100M", "100M-1B")},
        {"organization": ("qwen",)},
    )
    for chosen in choices:
        page = find(session, Query(**chosen), ANONYMOUS)
        for facet, values in page.facets.items():
            already = chosen.get(facet, ())
            for value, count in values:
                query = Query(**{**chosen, facet: (*already, value)})
                assert find(session, query, ANONYMOUS).total == count, (chosen, facet, value)
        assert dict(page.facets["language"])["zh"] <= page.total


def test_chosen_values_come_first_and_count_the_list(session):
    page = find(session, Query(task=("fill-mask",), language=("en", "zh")), ANONYMOUS)
    assert {value for value, _ in page.facets["language"][:2]} == {"en", "zh"}
    assert {count for _, count in page.facets["language"][:2]} == {page.total}


def test_organizations_that_differ_in_case_are_one(hub, session):
    with hub.database.transaction() as writing:
        owner = accounts.create_user(writing, "qwen", password="secret-secret")
        repository = Repository(namespace="qwen", name="small-one", owner_id=owner.id)
        writing.add(repository)
        writing.flush()
        repository_id = repository.id
    try:
        with hub.database.session() as reading:
            values = [
                (value, count)
                for value, count in find(reading, Query(), ANONYMOUS).facets["organization"]
                if value.lower() == "qwen"
            ]
            assert values == [("Qwen", 31)]
            for spelling in ("qwen", "Qwen"):
                page = find(reading, Query(organization=(spelling,)), ANONYMOUS)
                assert page.total == 31
                assert page.facets["organization"][0] == ("Qwen", 31)
    finally:
        with hub.database.transaction() as writing:
            writing.delete(writing.get_one(Repository, repository_id))


def test_values_of_one_facet_are_alternatives_and_facets_narrow(session):
    bert, llama = len(ids(session, family=("bert",))), len(ids(session, family=("llama",)))
    assert len(ids(session, family=("bert", "llama"))) == bert + llama
    assert len(ids(session, family=("bert",), language=("zh",))) < bert
    assert ids(session, family=("bert",), library=("no-such-library",)) == []


def test_facets_cover_the_catalogue(session):
    facets = find(session, Query(), ANONYMOUS).facets
    assert set(facets) == set(FACETS)
    assert [size for size, _ in facets["size"]] == ["<100M", "100M-1B", "1B-5B", "5B-20B", ">20B"]
    assert dict(facets["loads"]) == {"yes": 1}
    assert {"zh", "en", "multilingual"} <= set(dict(facets["language"]))
    assert dict(facets["organization"])["Qwen"] == 30
    assert dict(facets["license"])["apache-2.0"] > 90


def test_facets_hold_what_the_cards_say(session):
    assert ids(session, loads=("yes",)) == ["alice/tiny-bert-zh"]
    assert len(ids(session, organization=("qwen",))) == 30
    assert set(ids(session, size=("<100M",), language=("zh",), license=("apache-2.0",))) >= {"hfl/rbt3"}
    assert ids(session, task=("summarization",)) == ["google/pegasus-large"]
    assert ids(session, min_parameters=7_615_616_512, max_parameters=7_615_616_512, organization="Qwen", sort="name") == [
        "Qwen/Qwen2-7B", "Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-Coder-7B",
    ]  # fmt: skip
    assert ids(session, tags=("license:mit", "zh", "legal")) == ["alice/tiny-bert-zh"]
    assert ids(session, tags=("linked",), text="mixtral") == ["mistralai/Mixtral-8x7B-v0.1"]


# --- orders and pages


def test_orders(session):
    assert ids(session, sort="downloads")[0] == ids(session, sort="likes")[0] == "alice/tiny-bert-zh"
    by_size = [
        row.model.parameters if row.model else None
        for row in find(session, Query(sort="parameters", per_page=1000), ANONYMOUS).rows
    ]
    known = [count for count in by_size if count is not None]
    assert known == sorted(known, reverse=True)
    assert by_size[: len(known)] == known
    names = ids(session, sort="name")
    assert [name.lower() for name in names] == sorted(name.lower() for name in names)
    assert set(ids(session, sort="created")) == set(ids(session, sort="updated")) == set(names)
    assert find(session, Query(sort="relevance"), ANONYMOUS).sort == "updated"
    assert find(session, Query(sort="no such order"), ANONYMOUS).sort == "updated"


def test_pages_partition_the_list(session):
    whole = ids(session, sort="name")
    pages = [find(session, Query(sort="name", page=number), ANONYMOUS) for number in range(1, 10)]
    assert [row.repository.repo_id for page in pages for row in page.rows] == whole
    assert {page.total for page in pages} == {len(whole)}
    assert max(len(page.rows) for page in pages) == search.PER_PAGE


def test_a_page_takes_two_statements(hub, session):
    statements = []
    listener = lambda *arguments: statements.append(arguments[2])  # noqa: E731
    event.listen(hub.database.engine, "before_cursor_execute", listener)
    try:
        for query in (
            Query(),
            Query(text="中文 bert", family=("bert",), language=("zh", "en"), size=("100M-1B",)),
        ):
            statements.clear()
            page = find(session, query, ANONYMOUS)
            assert page.rows
            assert [row.model and row.model.title_en for row in page.rows]
            assert (
                len([text for text in statements if text.lstrip().upper().startswith(("SELECT", "WITH"))])
                == 2
            )
    finally:
        event.remove(hub.database.engine, "before_cursor_execute", listener)


# --- who sees what


def test_private_models_are_found_by_their_owner_only(session, alice):
    for query in ({"text": "hidden"}, {"organization": ("alice",)}, {}, {"text": "情感分类"}):
        assert "alice/hidden-bert" not in ids(session, **query)
        assert "alice/hidden-bert" in ids(session, alice, **query)
    anonymous, hers = find(session, Query(), ANONYMOUS), find(session, Query(), alice)
    assert hers.total == anonymous.total + 1
    assert dict(hers.facets["organization"])["alice"] == 2
    assert dict(anonymous.facets["organization"])["alice"] == 1
    assert find(session, Query(text="hiddem"), ANONYMOUS).suggestion != "hidden"
    administrator = Actor(None, "root", is_admin=True)
    assert "alice/hidden-bert" in ids(session, administrator)


def test_the_index_follows_its_models(hub):
    with hub.database.transaction() as session:
        repository = Repository(
            namespace="alice",
            name="passing",
            owner_id=session.query(Repository.owner_id)
            .filter(Repository.owner_id.is_not(None))
            .limit(1)
            .scalar(),
        )
        session.add(repository)
        session.flush()
        for title in ("月亮", "太阳"):
            search.index(session, search.Document(repository.id, (title,), (), ()))
        session.add(Facet(repository_id=repository.id, facet="tag", value="x"))
    with hub.database.session() as session:
        assert ids(session, text="月亮") == []
        assert ids(session, text="太阳") == ["alice/passing"]
    with hub.database.transaction() as session:
        session.delete(session.get_one(Repository, repository.id))
    with hub.database.session() as session:
        assert ids(session, text="太阳") == []
