"""What users of this field reported: settings that get lost, numbers that are not Python's, files that somebody else wrote."""

import json
import sys
import threading

import numpy as np
import pytest
import tiny
import torch
from tiny import VOCAB
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import course
import course.tokenizers.auto
import course.tokenizers.byte_bpe
from course import AutoTokenizer, BertTokenizer, BertTokenizerFast
from course.tokenizers.base import clean_up
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


# -- a tokenizer.json that somebody else wrote -----------------------------------------------------------------------------------

TRAINED = ["The Survey answers were coded TWICE, by hand.", "Die Buerger sind muede.", "e-mail 2021 don't stop"] * 20
CASES = ["The Survey TWICE", "don't E-Mail, 2021!", "", "  unknown ☃ words  muede", "[SEP] The", "e-mail e-mail", "Surveys\nagain"]
NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROLES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), NAMES, strict=True))
FRAME = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
METASPACE = pre_tokenizers.Metaspace()
KINDS = {                                             # model, normalizer, pre_tokenizer, post_processor, decoder, the model's type
    "cased": ("WordPiece", normalizers.NFC(), pre_tokenizers.BertPreTokenizer(), FRAME, decoders.WordPiece(), "bert"),
    "no normalizer": ("WordPiece", None, pre_tokenizers.BertPreTokenizer(), FRAME, decoders.WordPiece(), "bert"),
    "cased Bert": ("WordPiece", normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer(), FRAME, decoders.WordPiece(), "bert"),
    "white space": ("WordPiece", normalizers.BertNormalizer(), pre_tokenizers.WhitespaceSplit(), FRAME, None, "distilbert"),
    "no frame": ("WordPiece", normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), None, decoders.WordPiece(), "bert"),
    "Bert frame": ("WordPiece", normalizers.Lowercase(), pre_tokenizers.Whitespace(), processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), None, "bert"),
    "words": ("WordLevel", normalizers.Lowercase(), pre_tokenizers.Whitespace(), FRAME, None, "bert"),
    "byte level": ("BPE", None, pre_tokenizers.ByteLevel(add_prefix_space=False), FRAME, decoders.ByteLevel(), "gpt2"),
    "byte level with a blank": ("BPE", normalizers.Lowercase(), pre_tokenizers.ByteLevel(), processors.ByteLevel(), decoders.ByteLevel(), "gpt2"),
    "byte level, Roberta": ("BPE", None, pre_tokenizers.ByteLevel(), processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)), decoders.ByteLevel(), "roberta"),
    "byte level, no frame": ("BPE", None, pre_tokenizers.ByteLevel(), processors.ByteLevel(trim_offsets=False), decoders.ByteLevel(), "roberta"),
    "plain BPE": ("BPE", normalizers.NFD(), pre_tokenizers.Whitespace(), FRAME, None, "gpt2"),
    "plain BPE, Llama": ("BPE", None, pre_tokenizers.Punctuation(), None, decoders.BPEDecoder(), "llama"),
    "lower Unigram": ("Unigram", normalizers.Lowercase(), METASPACE, FRAME, decoders.Metaspace(), "t5"),
    "Unigram": ("Unigram", normalizers.Nmt(), pre_tokenizers.Sequence([pre_tokenizers.Digits(), METASPACE]), FRAME, decoders.Metaspace(), "xlnet"),
    "Unigram under BERT": ("Unigram", normalizers.NFKC(), METASPACE, FRAME, decoders.Metaspace(), "bert"),
}


def described(model, normalizer, pre_tokenizer, post_processor, decoder, _):
    unknown = {} if model == "Unigram" else {"unk_token": "[UNK]"}
    made = Tokenizer(getattr(models, model)(**unknown))
    parts = {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder}
    for name, part in parts.items():
        if part is not None:
            setattr(made, name, part)
    more = {"unk_token": "[UNK]"} if model == "Unigram" else {}
    trainer = getattr(trainers, f"{model.replace('BPE', 'Bpe')}Trainer")(vocab_size=120, special_tokens=NAMES, show_progress=False, **more)
    made.train_from_iterator(TRAINED, trainer)
    made.add_tokens(["Buergermeister"])
    return made


@pytest.fixture(params=KINDS)
def another(request, tmp_path):
    """A folder with a tokenizer.json alone, and the Rust library's own tokenizer of that file."""
    made = described(*KINDS[request.param])
    made.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, "config.json", {"model_type": KINDS[request.param][-1]})
    write(tmp_path, "tokenizer_config.json", ROLES)
    return tmp_path, made


def check(tokenizer, made):
    for text in [*CASES, "Buergermeister The"]:
        found, wanted = tokenizer(text, return_offsets_mapping=True), made.encode(text)
        assert found["input_ids"] == wanted.ids, text
        assert found["offset_mapping"] == wanted.offsets and found.word_ids() == wanted.word_ids
        if "Buergermeister" not in text:              # versions of the library differ in how they spell an added token
            assert tokenizer.decode(wanted.ids, clean_up_tokenization_spaces=True) == clean_up(made.decode(wanted.ids, skip_special_tokens=False))
        found, wanted = tokenizer(text, "The hand", return_token_type_ids=True), made.encode(text, "The hand")
        assert (found["input_ids"], found["token_type_ids"]) == (wanted.ids, wanted.type_ids)


@pytest.mark.parametrize("named", ["PreTrainedTokenizerFast", "TokenizersBackend", "", "its class"])
def test_every_part_of_a_tokenizer_json_counts(another, named, tmp_path):
    folder, made = another
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    name = course.tokenizers.auto.TOKENIZERS[kind][1] + "Tokenizer" if named == "its class" else named
    write(folder, "tokenizer_config.json", ROLES | ({"tokenizer_class": name} if name else {}))
    tokenizer = AutoTokenizer.from_pretrained(folder, **({"add_bos_token": False} if kind == "llama" else {}))
    check(tokenizer, made)
    tokenizer.save_pretrained(folder / "again")
    again = AutoTokenizer.from_pretrained(folder / "again")
    assert type(again) is type(tokenizer)
    check(again, made)


def test_the_python_engine_reads_it_alike_or_refuses_the_part_by_name(another):
    folder, made = another
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=False)
    except ValueError as error:
        assert "Python engine" in str(error) or "holds a" in str(error) or "use_fast=True" in str(error)
        return
    for text in CASES:
        assert tokenizer(text)["input_ids"] == made.encode(text).ids, text


def test_a_tokenizer_alone_in_its_folder(another):
    folder, made = another
    (folder / "config.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    check(AutoTokenizer.from_pretrained(folder), made)


def test_tokenizer_file_and_tokenizer_object(another):
    folder, made = another
    check(course.PreTrainedTokenizerFast(tokenizer_file=folder / "tokenizer.json", **ROLES), made)
    tokenizer = course.PreTrainedTokenizerFast(tokenizer_object=made, **ROLES)
    check(tokenizer, made)
    assert (tokenizer.pad_token_id, tokenizer.mask_token, len(tokenizer)) == (0, "[MASK]", made.get_vocab_size())
    with pytest.raises(TypeError, match="needs tokenizer_file"):
        course.PreTrainedTokenizerFast()


def test_tokenizer_file_for_a_class(tmp_path):
    tokenizer = tiny.tokenizer(do_lower_case=False)
    tokenizer.save_pretrained(tmp_path)
    for options in ({"tokenizer_file": tmp_path / "tokenizer.json"}, {"tokenizer_object": tokenizer.backend_tokenizer}):
        again = BertTokenizerFast(**options)
        assert again("The good Council", "x")["input_ids"] == tokenizer("The good Council", "x")["input_ids"]
    assert BertTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json").do_lower_case is False


@pytest.mark.parametrize("kind", ["BertTokenizerFast", "RobertaTokenizerFast", "GPT2TokenizerFast", "T5TokenizerFast", "XLNetTokenizerFast",
                                  "OpenAIGPTTokenizerFast"])
@pytest.mark.parametrize("use_fast", [True, False])
def test_added_tokens_of_files_in_the_form_of_transformers_5(kind, use_fast, tmp_path):
    unigram = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<pad>", 0.0, 3), ("▁", -2.0, 1), ("a", -3.0, 1), ("▁a", -2.5, 1)]
    vocab = dict(VOCAB) if kind.startswith("Bert") else {token: n for n, token in enumerate(
        ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>", *course.tokenizers.byte_bpe.BYTES.values(), "a</w>"])}
    source = {"pieces": unigram} if kind[:2] in ("T5", "XL") else {"vocab": vocab} if kind[0] == "B" else {"vocab": vocab, "merges": []}
    tokenizer = getattr(course, kind)(**source)
    tokenizer.add_special_tokens({"additional_special_tokens": [*tokenizer.additional_special_tokens, "<turn>"]})
    tokenizer.add_tokens(["brexit-ish"])
    text = "a<turn> a brexit-ish a"
    ids, plain = tokenizer(text)["input_ids"], tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
    assert "<turn>" not in plain and "brexit-ish" in plain
    tokenizer.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["added_tokens_decoder"]
    settings["extra_special_tokens"] = settings.pop("additional_special_tokens")
    for file in tmp_path.iterdir():
        if file.name not in ("tokenizer.json", "tokenizer_config.json"):
            file.unlink()
    write(tmp_path, "tokenizer_config.json", settings)
    again = AutoTokenizer.from_pretrained(tmp_path, use_fast=use_fast)
    assert again(text)["input_ids"] == ids and again.decode(ids, skip_special_tokens=True) == plain
    assert again.additional_special_tokens == tokenizer.additional_special_tokens and len(again) == len(tokenizer)


def test_special_tokens_with_names_of_their_own(tokenizer, tmp_path):
    made = type(tokenizer)(vocab=dict(VOCAB), extra_special_tokens={"image_token": "<image>"})
    made.save_pretrained(tmp_path)
    for one in (made, type(tokenizer).from_pretrained(tmp_path)):
        assert one.image_token == "<image>" and one.tokenize("good <image>") == ["good", "<image>"]
        assert one.decode(one("good <image>")["input_ids"], skip_special_tokens=True) == "good"


# -- tokenizer_class -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("use_fast", [True, False])
def test_a_tokenizer_class_that_is_not_written_here_is_refused(file, use_fast, tmp_path):
    tiny.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["tokenizer_class"]
    write(tmp_path, "tokenizer_config.json", settings)
    write(tmp_path, "config.json", {"model_type": "bert"})
    content = json.loads((tmp_path / file).read_text())
    write(tmp_path, file, content | {"tokenizer_class": "BertJapaneseTokenizer"})
    with pytest.raises(ValueError, match="needs a BertJapaneseTokenizer, which course does not have"):
        AutoTokenizer.from_pretrained(tmp_path, use_fast=use_fast)
    write(tmp_path, file, content | {"tokenizer_class": "DistilBertTokenizer"})
    assert isinstance(AutoTokenizer.from_pretrained(tmp_path, use_fast=use_fast), course.DistilBertTokenizer)


def test_a_fast_class_that_is_not_written_here_is_what_its_file_says(tmp_path):
    made = described(*KINDS["Unigram"])
    made.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, "tokenizer_config.json", ROLES | {"tokenizer_class": "CamembertTokenizerFast"})
    check(AutoTokenizer.from_pretrained(tmp_path), made)
    write(tmp_path, "tokenizer_config.json", ROLES | {"tokenizer_class": "CamembertTokenizer"})
    with pytest.raises(ValueError, match=r"needs a CamembertTokenizer.*PreTrainedTokenizerFast.from_pretrained"):
        AutoTokenizer.from_pretrained(tmp_path)
    check(course.PreTrainedTokenizerFast.from_pretrained(tmp_path), made)


def test_a_sentencepiece_vocabulary_beside_a_bert_model(tmp_path):
    pieces = [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁a", -2.0, 1)]
    course.T5Tokenizer(pieces=pieces).save_vocabulary(tmp_path)
    write(tmp_path, "config.json", {"model_type": "bert"})
    with pytest.raises(FileNotFoundError, match="has a SentencePiece vocabulary, BertTokenizerFast reads vocab.txt.*T5Tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)
    assert course.T5Tokenizer.from_pretrained(tmp_path).tokenize("a") == ["▁a"]


@pytest.mark.parametrize("kind", ["OpenAIGPT", "Reformer", "T5"])
def test_another_unknown_token_in_both_engines(kind, tmp_path):
    pieces = [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁", -2.0, 1), ("a", -2.0, 1)]
    vocab = {"<unk>": 0, "</s>": 1, "a": 2, "a</w>": 3, "▁": 4}
    source = {"pieces": pieces} if kind == "T5" else {"vocab": vocab, "merges": []}
    found = []
    for end in ("", "Fast"):
        made = getattr(course, f"{kind}Tokenizer{end}")(**source)
        made.unk_token = "<other>"
        found.append(made("a ☃ b <other> a")["input_ids"])
    assert found[0] == found[1] and made.unk_token_id in found[0]


def test_ids_of_a_vocabulary_may_be_numbers_of_numpy(tmp_path):
    vocab = dict(zip(VOCAB, np.arange(len(VOCAB)), strict=True))
    for kind in (BertTokenizer, BertTokenizerFast):
        made = kind(vocab=dict(vocab), added_tokens_decoder={np.int64(len(vocab)): AddedToken("<x>")})
        assert made("good <x>")["input_ids"] == tiny.tokenizer()("good")["input_ids"][:-1] + [len(VOCAB), 3]
        made.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the id of 'a' must be a whole number of at least 0, got 1.5"):
        BertTokenizer(vocab=vocab | {"a": 1.5})


def test_keywords_that_change_nothing(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path, legacy_format=False)
    again = type(tokenizer).from_pretrained(tmp_path, config=tiny.config(), use_fast=True, from_tf=False, mirror=None)
    assert again("good")["input_ids"] == tokenizer("good")["input_ids"] and not {"config", "use_fast"} & set(again.init_kwargs)
    again.save_pretrained(tmp_path / "again", filename_prefix="my")
    assert (tmp_path / "again" / "my-vocab.txt").is_file()


# -- learning anew -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Bert", "GPT2", "Roberta", "T5", "XLNet", "OpenAIGPT", "general"])
def test_a_vocabulary_learnt_anew(kind, tmp_path):
    unigram = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<pad>", 0.0, 3), ("<cls>", 0.0, 3), ("<sep>", 0.0, 3), ("▁", -2.0, 1)]
    vocab = {token: n for n, token in enumerate(["<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>"])}
    bytes_ = {letter: len(vocab) + n for n, letter in enumerate(course.tokenizers.byte_bpe.BYTES.values())}
    source = {"Bert": {"vocab": dict(VOCAB)}, "OpenAIGPT": {"vocab": vocab | {"a</w>": 6}, "merges": []}, "T5": {"pieces": unigram, "extra_ids": 2},
              "XLNet": {"pieces": unigram}, "general": {"tokenizer_object": described(*KINDS["white space"])} | ROLES}.get(
                  kind, {"vocab": vocab | bytes_, "merges": []})
    name = "PreTrainedTokenizerFast" if kind == "general" else f"{kind}TokenizerFast"
    tokenizer = getattr(course, name)(**source, model_max_length=77, padding_side="left")
    texts = ["the council voted on housing"] * 20 + ["another council voted again"] * 10
    for given in (texts, [texts[:5], texts[5:]], iter(texts)):
        made = tokenizer.train_new_from_iterator(given, 300, new_special_tokens=["<new>"])
        assert type(made) is type(tokenizer) and (made.model_max_length, made.padding_side) == (77, "left")
        assert len(made.tokenize("the council")) < (3 if kind not in ("T5", "XLNet") else 10) and made.tokenize("the <new>")[-1] == "<new>"
        assert made.decode(made("the council voted")["input_ids"], skip_special_tokens=True).strip() == "the council voted"
        assert made("the", "again").sequence_ids().count(None) == tokenizer("the", "again").sequence_ids().count(None)
    made.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("another council <new>")["input_ids"] == made("another council <new>")["input_ids"]
    if kind == "Bert":
        renamed = tokenizer.train_new_from_iterator(texts, 300, special_tokens_map={"[CLS]": "<cls>"})
        assert renamed.cls_token == "<cls>" and renamed("council").tokens() == ["<cls>", "council", "[SEP]"]
