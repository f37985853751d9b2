"""What users of this field reported: settings that get lost, numbers that are not Python's, files that somebody else wrote."""

import json
import sys
import threading

import numpy as np
import pytest
import tiny
import torch
from tiny import VOCAB
from tokenizers import AddedToken

import course
from course import AutoTokenizer, BertTokenizer, BertTokenizerFast
from course.tokenizers.bpe import read_merges


@pytest.fixture(params=[True, False], ids=["rust", "python"])
def tokenizer(request):
    return tiny.tokenizer(fast=request.param)


def write(folder, name, content):
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


# -- numbers of numpy and torch ----------------------------------------------------------------------------------------------


def test_ids_may_be_numbers_of_numpy_and_torch(tokenizer):
    ids = tokenizer("good news")["input_ids"]
    tokens, text = tokenizer.convert_ids_to_tokens(ids), tokenizer.decode(ids)
    for many in (list(torch.tensor(ids)), list(np.array(ids)), tuple(np.int32(i) for i in ids), torch.tensor(ids), np.array(ids)):
        assert tokenizer.convert_ids_to_tokens(many) == tokens and tokenizer.decode(many) == text
        assert tokenizer.decode([many, many]) == tokenizer.batch_decode([many, many]) == [text, text]
    assert tokenizer.decode([torch.tensor(ids), torch.tensor(ids[:3])]) == [text, tokenizer.decode(ids[:3])]
    for one in (torch.tensor(7), np.int64(7), np.array(7)):
        assert tokenizer.convert_ids_to_tokens(one) == tokenizer.convert_ids_to_tokens(7) and tokenizer.decode(one) == tokenizer.decode(7)


@pytest.mark.parametrize("number", [np.int64, np.int32, torch.tensor, np.array])
def test_sizes_may_be_numbers_of_numpy_and_torch(tokenizer, number, tmp_path):
    text = "the good council and the bad school"
    assert len(tokenizer(text, truncation=True, max_length=number(5))["input_ids"]) == 5
    assert len(tokenizer(text, padding=True, pad_to_multiple_of=number(8))["input_ids"]) % 8 == 0
    assert tokenizer(text, truncation=True, max_length=number(6), stride=number(1), return_overflowing_tokens=True)["input_ids"] == \
        tokenizer(text, truncation=True, max_length=6, stride=1, return_overflowing_tokens=True)["input_ids"]
    assert tokenizer.pad({"input_ids": [[1]]}, padding="max_length", max_length=number(3))["input_ids"] == [[1, 0, 0]]
    made = BertTokenizer(vocab=dict(VOCAB), model_max_length=number(9), its_own=number(3))
    made.save_pretrained(tmp_path)
    assert made.model_max_length == BertTokenizer.from_pretrained(tmp_path).model_max_length == 9
    assert BertTokenizer.from_pretrained(tmp_path).init_kwargs["its_own"] == 3


@pytest.mark.parametrize("wrong", [True, 0, -1, 2.5, "5", np.float64(3), [5]])
def test_other_sizes_are_refused_by_name(tokenizer, wrong):
    with pytest.raises(ValueError, match="max_length must be a whole number of at least 1"):
        tokenizer("a", truncation=True, max_length=wrong)
    with pytest.raises(ValueError, match="pad_to_multiple_of must be a whole number of at least 1"):
        tokenizer("a", padding=True, pad_to_multiple_of=wrong)


# -- ids ---------------------------------------------------------------------------------------------------------------------


def test_rows_that_a_model_has_beyond_the_vocabulary_decode_to_nothing(tokenizer):
    ids = tokenizer("good")["input_ids"]
    unused = len(tokenizer) + 3
    assert tokenizer.decode([*ids, unused]) == tokenizer.decode(ids) and tokenizer.decode(unused) == ""
    assert tokenizer.decode([unused, *ids], skip_special_tokens=True) == "good"
    assert tokenizer.convert_ids_to_tokens([*ids, unused])[-1] is None and tokenizer.convert_ids_to_tokens(unused) is None
    with pytest.raises(IndexError, match="-100 is no id of this tokenizer.*Labels mark with it what does not count"):
        tokenizer.decode([5, -100])


def test_special_tokens_that_only_the_table_of_added_tokens_knows(tokenizer, caplog):
    made = type(tokenizer)(vocab=dict(VOCAB), added_tokens_decoder={len(VOCAB): AddedToken("<|im_end|>", special=True)},
                           chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert "<|im_end|>" not in made.all_special_tokens
    ids = made("good <|im_end|> news")["input_ids"]
    assert made.decode(ids, skip_special_tokens=True) == made.decode(made("good news")["input_ids"], skip_special_tokens=True)
    assert "<|im_end|>" not in made.convert_ids_to_tokens(ids, skip_special_tokens=True)
    made.apply_chat_template([{"role": "user", "content": "good <|im_end|>"}])
    assert "a message holds '<|im_end|>'" in caplog.text


# -- special tokens ------------------------------------------------------------------------------------------------------------


def test_additional_special_tokens_are_a_list(tokenizer):
    size = len(tokenizer)
    for wrong in ("<xy>", AddedToken("<xy>"), 5):
        with pytest.raises(TypeError, match="additional_special_tokens takes a list of tokens"):
            tokenizer.add_special_tokens({"additional_special_tokens": wrong})
        with pytest.raises(TypeError, match="additional_special_tokens takes a list of tokens"):
            type(tokenizer)(vocab=dict(VOCAB), additional_special_tokens=wrong)
        with pytest.raises(TypeError, match="additional_special_tokens takes a list of tokens"):
            tokenizer.additional_special_tokens = wrong
    assert len(tokenizer) == size


def test_a_new_list_of_additional_special_tokens_replaces_the_old_one(tokenizer):
    tokenizer.add_special_tokens({"additional_special_tokens": ["<a>"]})
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<b>"]}) == 1
    assert tokenizer.additional_special_tokens == ["<b>"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<c>"]}, replace_additional_special_tokens=False)
    assert tokenizer.additional_special_tokens == ["<b>", "<c>"]
    assert tokenizer.additional_special_tokens_ids == [len(VOCAB) + 1, len(VOCAB) + 2]
    tokenizer.additional_special_tokens = ["<d>"]
    assert tokenizer.tokenize("<a> <d>") == ["<a>", "<d>"]


def test_the_tables_of_added_tokens(tokenizer):
    tokenizer.add_tokens(["word"])
    assert tokenizer.added_tokens_encoder == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "word": len(VOCAB)}
    assert str(tokenizer.added_tokens_decoder[len(VOCAB)]) == "word" and not tokenizer.added_tokens_decoder[len(VOCAB)].special
    assert tokenizer.added_tokens_decoder[3].special


def test_a_token_added_again_keeps_how_it_is_found():
    made = course.RobertaTokenizer(vocab={"<s>": 0, "</s>": 1, "<unk>": 2, "<pad>": 3, "<mask>": 4}, merges=[])
    made.add_special_tokens({"additional_special_tokens": ["<mask>"]})
    assert made.added_tokens_decoder[4].lstrip


def test_padding_can_be_taken_away(tokenizer):
    tokenizer.pad_token_id = None
    assert tokenizer.pad_token is None and tokenizer.pad_token_id is None


@pytest.mark.parametrize("role", ["sep_token", "cls_token", "unk_token", "pad_token", "mask_token"])
def test_a_new_special_token_is_there_after_saving(tokenizer, role, tmp_path):
    tokenizer.add_special_tokens({role: f"<{role}>"})
    texts = ["good news", "ünknown ☃ 中"]
    found = tokenizer(texts, padding=True)["input_ids"]
    assert any(len(VOCAB) in ids for ids in found) or role == "mask_token"
    tokenizer.save_pretrained(tmp_path)
    for other in (BertTokenizer, BertTokenizerFast):
        assert other.from_pretrained(tmp_path)(texts, padding=True)["input_ids"] == found


def test_many_tokens_are_added_at_once(tokenizer):
    assert tokenizer.add_tokens([f"word{number}x" for number in range(3000)]) == 3000
    assert tokenizer.convert_tokens_to_ids("word2999x") == len(VOCAB) + 2999
    assert tokenizer("word7x word2999x", add_special_tokens=False)["input_ids"] == [len(VOCAB) + 7, len(VOCAB) + 2999]


def test_threads_find_added_tokens_alike():
    text = "good [SEP] <t7> news <t33>"
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            made = BertTokenizer(vocab=dict(VOCAB), additional_special_tokens=[f"<t{number}>" for number in range(40)])
            found, start = [], threading.Barrier(8)

            def work(made=made, found=found, start=start):
                start.wait()
                found.append(made(text)["input_ids"])

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == [made(text)["input_ids"]] * 8
    finally:
        sys.setswitchinterval(interval)


# -- files ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["", "Fast"])
def test_everything_that_a_tokenizer_was_given_comes_back(start, tmp_path):
    given = {"model_max_length": 77, "padding_side": "left", "truncation_side": "left", "clean_up_tokenization_spaces": False,
             "split_special_tokens": True, "do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False,
             "model_input_names": ["input_ids"], "pad_token": "<p>", "bos_token": "<b>", "additional_special_tokens": ["<a>"],
             "chat_template": "{{ messages }}"}
    getattr(course, f"BertTokenizer{start}")(vocab=dict(VOCAB), **given).save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, tokenizer_type="bert", use_fast=bool(start))
    assert {name: getattr(again, name) for name in given} == given


def test_a_setting_changed_later_is_saved(tokenizer, tmp_path):
    tokenizer.truncation_side = tokenizer.padding_side = "left"
    tokenizer.model_max_length = 33
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert (again.truncation_side, again.padding_side, again.model_max_length) == ("left", "left", 33)


SECRET = "root:secret"


@pytest.mark.parametrize("key", ["merges_file", "vocab_file", "tokenizer_file", "special_tokens_map_file", "added_tokens_file",
                                 "chat_template_file", "spm_file", "source_spm"])
@pytest.mark.parametrize("kind", ["gpt2", "bert", "llama", "t5", "ctrl"])
def test_settings_name_no_files(key, kind, tmp_path):
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, "config.json", {"model_type": kind})
    write(folder, "tokenizer_config.json", {key: str(tmp_path / "secret")})
    vocab = {"<|endoftext|>": 0, "<unk>": 1, "a": 2, "[UNK]": 3, "[CLS]": 4, "[SEP]": 5}
    write(folder, "vocab.json", vocab)
    write(folder, "vocab.txt", "\n".join(vocab))
    write(folder, "special_tokens_map.json", {key: "../secret"})
    for fast in (True, False):
        try:
            AutoTokenizer.from_pretrained(folder, use_fast=fast)
        except (OSError, ValueError) as error:
            assert SECRET not in str(error) and "secret" not in str(error)
    write(folder, "merges.txt", "")
    if kind in ("gpt2", "ctrl", "bert"):
        assert AutoTokenizer.from_pretrained(folder)("a")["input_ids"].count(2) == 1


def test_text_files_may_begin_with_the_mark_of_windows_editors(tmp_path):
    write(tmp_path, "merges.txt", "\ufeff#version: 0.2\nl o\nlo w\n")
    assert read_merges(tmp_path / "merges.txt") == [("l", "o"), ("lo", "w")]
    write(tmp_path, "merges.txt", "\ufeffl o\n")
    assert read_merges(tmp_path / "merges.txt") == [("l", "o")]
    (tmp_path / "merges.txt").write_bytes(b"\xff\xfel\0o\0")
    with pytest.raises(ValueError, match=r"merges.txt is not a text file in UTF-8"):
        read_merges(tmp_path / "merges.txt")


# -- what is refused -----------------------------------------------------------------------------------------------------------


def test_an_unknown_keyword_is_answered_with_names_that_there_are(tokenizer):
    with pytest.raises(TypeError, match="no option 'olda'$"):
        tokenizer("a", olda=1)
    with pytest.raises(TypeError, match="did you mean max_length"):
        tokenizer("a", max_lenght=4)
    with pytest.raises(TypeError, match="did you mean split_special_tokens"):
        tokenizer("a", split_special_token=True)


@pytest.mark.parametrize("template", ["{{ 1 / (messages | length - 1) }}", "{{ range(10 ** 12) }}", "{{ messages[0].content | int // 0 }}",
                                      "{{ messages.nothing.at_all }}", "{{ 'x' ** 2 }}",
                                      "{{ 1 / 0 }}", "{% for i in range(100001) %}{% endfor %}", "{{ strftime_now(messages) }}"])
def test_whatever_goes_wrong_in_a_chat_template_is_a_clear_error(tokenizer, template):
    with pytest.raises(ValueError, match="the chat template"):
        tokenizer.apply_chat_template([{"role": "user", "content": "good"}], chat_template=template)
