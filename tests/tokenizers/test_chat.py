"""Chat templates beside transformers' own rendering, and what they may not do."""

from typing import Any

import pytest
from transformers import AutoTokenizer

from modelcenter.errors import Invalid, TokenizerDamaged
from modelcenter.tokenizers import Tokenizer
from tests.tokenizers.conftest import write_json

CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""
LLAMA = """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}
[INST] {{ message['content'] | trim }} [/INST]{% else %}
{% generation %} {{ message['content'] }}{% endgeneration %}
{{ eos_token }}{% endif %}{% if loop.index > 20 %}{% break %}{% endif %}{% endfor %}"""
TOOLS = """{% set found = namespace(count=0) %}{% for tool in tools or [] %}
{% set found.count = found.count + 1 %}
{{ found.count }}: {{ tool | tojson(indent=2) }}{% endfor %}{{ messages | tojson }}{{ style }}"""
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": " 你好 <b> "},
    {"role": "assistant", "content": "Hello “you”", "tool_calls": None},
    {"role": "user", "content": "再见\n"},
]


@pytest.mark.parametrize("place", ["config", "file", "old file", "named"])
@pytest.mark.parametrize("template", [CHATML, LLAMA, TOOLS])
def test_conversations_are_written_as_transformers_writes_them(folder_of, template, place):
    config: dict[str, Any] = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False}
    if place == "config":
        config["chat_template"] = template
    if place == "named":
        config["chat_template"] = [
            {"name": "default", "template": template},
            {"name": "tool_use", "template": "{{ tools | length }} tools" + template},
        ]
    folder = folder_of("llama", config=config)
    if place == "old file":
        write_json(folder / "chat_template.json", {"chat_template": template})
    if place == "file":
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    ours, theirs = Tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    if place == "old file":  # of processors, for transformers
        theirs.chat_template = template
    tools = [{"type": "function", "function": {"name": "查询", "parameters": {"a": [1, None, True]}}}]
    choices: list[dict[str, Any]] = [{}, {"add_generation_prompt": True}, {"tools": tools, "style": "plain"}]
    for options in choices:
        expected = theirs.apply_chat_template(MESSAGES, tokenize=False, **options)
        assert ours.apply_chat_template(MESSAGES, tokenize=False, **options) == expected
        ids = theirs.apply_chat_template(MESSAGES, return_dict=False, **options)
        assert ours.apply_chat_template(MESSAGES, **options) == ids


def test_a_template_may_be_passed_by_name_or_as_it_is(folder_of):
    named = [{"name": "default", "template": "a"}, {"name": "rag", "template": "{{ documents }}"}]
    tokenizer = Tokenizer(folder_of("llama", config={"chat_template": named}))
    assert tokenizer.apply_chat_template(MESSAGES, tokenize=False) == "a"
    assert tokenizer.apply_chat_template(MESSAGES, tokenize=False, template="rag", documents=7) == "7"
    text = tokenizer.apply_chat_template(
        MESSAGES, tokenize=False, template="{{ strftime_now('%%') }}{{ x }}", x=1
    )
    assert text == "%1"


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ messages[0].update(role='x') }}",
        "{% include '/etc/passwd' %}",
        "{% for %}",
        "{% set n = namespace(_a=1) %}",
        "{{ dict.mro() }}",
        "{{ 'a' + 1 }}",
        "{{ messages['a'] + [][3] }}",
    ],
)
def test_what_a_template_may_not_do_is_refused(folder_of, attack):
    tokenizer = Tokenizer(folder_of("llama"))
    with pytest.raises(Invalid, match="chat template refuses"):
        tokenizer.apply_chat_template(MESSAGES, template=attack)


def test_templates_of_another_shape_are_named(folder_of):
    for odd in (7, ["a"], [{"name": "default"}]):
        with pytest.raises(TokenizerDamaged, match="chat_template is neither a text nor a list"):
            Tokenizer(folder_of("llama", config={"chat_template": odd})).apply_chat_template(MESSAGES)


def test_what_is_lacking_is_said(folder_of):
    tokenizer = Tokenizer(folder_of("llama"))
    with pytest.raises(Invalid, match="no chat template: pass `template`"):
        tokenizer.apply_chat_template(MESSAGES)
    with pytest.raises(Invalid, match="no message; expected at least one"):
        tokenizer.apply_chat_template([], template=CHATML)
    with pytest.raises(Invalid, match="roles must alternate"):
        tokenizer.apply_chat_template(MESSAGES[1:], template=LLAMA)
