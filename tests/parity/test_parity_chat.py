"""Chats against transformers: the same text and ids for three kinds of templates, written for this test."""

import json

import pytest

import course
from course.tokenizers.byte_bpe import BYTES

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

# marks around every message, as SmolLM2 and Qwen have them, with tools and a system message of its own
CHATML = """\
{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nYou are a patient interviewer.<|im_end|>\\n' }}
{%- endif %}
{%- if tools %}
    {{- 'You may call:' }}
    {%- for tool in tools %}
        {{- '\\n' ~ (tool | tojson) }}
    {%- endfor %}
    {{- '\\n' }}
{%- endif %}
{% for message in messages %}
    {% if message.content is string %}
{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>' }}
    {% else %}
        {% for part in message.content if part.type == 'text' %}
{{ '<|im_start|>' ~ message['role'] ~ '\\n' ~ part['text'] ~ '<|im_end|>' }}
        {% endfor %}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# user and assistant take turns, the system message stands inside the first question, as in Llama 2
TURNS = """\
{%- set start = 1 if messages[0]['role'] == 'system' else 0 -%}
{%- for message in messages[start:] -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('user and assistant take turns') -}}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
        {%- set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' if start and loop.first else '' -%}
        {{- bos_token + '[INST] ' + system + message['content'].strip() + ' [/INST]' -}}
    {%- else -%}
        {% generation %}{{- ' ' + message['content'] | trim + ' ' + eos_token -}}{% endgeneration %}
    {%- endif -%}
{%- endfor -%}
"""
# the date, a switch of the caller's, a loop that stops early, tojson with options
ODD = """\
{{ strftime_now('%Y') }}
  {% if shout is defined and shout %}
LOUD
  {% endif %}
  {% for message in messages %}
    {% if loop.index > 3 %}{% break %}{% endif %}
{{ loop.index }}. {{ message | tojson(indent=2) }}
{{ message.content | tojson(ensure_ascii=True) }}
  {% endfor %}
{{ documents | length if documents else 'no documents' }}{{ tools is none }}{{ documents is none }}
"""
CHATS = [
    [{"role": "user", "content": "Is the bus <late>? It's & always \"late\". "}],
    [{"role": "system", "content": "Code each answer: größer, 小さい."}, {"role": "user", "content": " Too many cars \n"},
     {"role": "assistant", "content": "  traffic  "}, {"role": "user", "content": "\U0001f68c!"},
     {"role": "assistant", "content": "public\ntransport"}],
    [{"role": "user", "content": "x</s>y<|im_end|>"}, {"role": "assistant", "content": "z "}],
]
TOOLS = [{"type": "function", "function": {"name": "count", "description": "counts <words>", "parameters": {}}}]


@pytest.fixture(scope="module", params=["python", "rust"])
def both(request, tmp_path_factory):
    vocab = {letter: number for number, letter in enumerate(["<s>", "</s>", *BYTES.values()])}
    made = course.GPT2Tokenizer(vocab=vocab, merges=[], bos_token="<s>", eos_token="</s>", unk_token="</s>", pad_token="</s>",
                                additional_special_tokens=["<|im_start|>", "<|im_end|>"], padding_side="left",
                                clean_up_tokenization_spaces=False, model_max_length=2000,
                                chat_template=[{"name": "default", "template": CHATML}, {"name": "turns", "template": TURNS},
                                               {"name": "odd", "template": ODD}])
    folder = tmp_path_factory.mktemp("chat")
    made.save_pretrained(folder)
    fast = request.param == "rust"
    return (course.AutoTokenizer.from_pretrained(folder, tokenizer_type="gpt2", use_fast=fast),
            transformers.AutoTokenizer.from_pretrained(folder, tokenizer_type="gpt2", use_fast=fast))


@pytest.mark.parametrize("template", ["default", "turns", "odd"])
@pytest.mark.parametrize("options", [{}, {"add_generation_prompt": True}, {"continue_final_message": True}, {"shout": True},
                                     {"tools": TOOLS}, {"documents": [{"title": "a", "text": "b"}]}], ids=str)
def test_texts_and_ids_are_the_same(both, template, options):
    ours, theirs = both
    if template == "odd" and "continue_final_message" in options:
        options = {}                                  # transformers seeks the message word by word, and here it is JSON
    for chat in CHATS:
        options = options | {"chat_template": template}
        text = ours.apply_chat_template(chat, tokenize=False, **options)
        assert text == theirs.apply_chat_template(chat, tokenize=False, **options)
        assert ours.apply_chat_template(chat, **options) == theirs.apply_chat_template(chat, **options)


def test_batches_are_the_same(both):
    ours, theirs = both
    options = {"padding": True, "truncation": True, "max_length": 60, "return_tensors": "pt", "return_dict": True}
    mine, other = (dict(t.apply_chat_template(CHATS, **options)) for t in both)
    assert {k: v.tolist() for k, v in mine.items()} == {k: v.tolist() for k, v in other.items()}
    assert ours.apply_chat_template(CHATS[0], return_tensors="pt").tolist() == \
        theirs.apply_chat_template(CHATS[0], return_tensors="pt").tolist()
    mine, other = (t.apply_chat_template(CHATS, tokenizer_kwargs={"return_special_tokens_mask": True}, return_dict=True)
                   for t in both)
    assert mine["input_ids"] == other["input_ids"]


def test_chats_that_both_refuse(both):
    for tokenizer in both:
        with pytest.raises(Exception, match="take turns"):
            tokenizer.apply_chat_template([CHATS[0][0], CHATS[0][0]], chat_template="turns")


def test_templates_that_transformers_saves_are_found(both, tmp_path):
    _, theirs = both
    for name, template in (("one", CHATML), ("several", {"default": TURNS, "odd": ODD})):
        theirs.chat_template = template
        theirs.save_pretrained(tmp_path / name, save_jinja_files=False)
        found = course.AutoTokenizer.from_pretrained(tmp_path / name, tokenizer_type="gpt2")
        assert found.chat_template == template
    theirs.chat_template = CHATML
    theirs.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file/chat_template.jinja").exists()
    assert "chat_template" not in json.loads((tmp_path / "file/tokenizer_config.json").read_text())
    assert course.AutoTokenizer.from_pretrained(tmp_path / "file", tokenizer_type="gpt2").chat_template == CHATML
