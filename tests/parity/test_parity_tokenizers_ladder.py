"""Both engines of our BPE, byte-level BPE and Unigram tokenizers against transformers, with the vocabularies of real checkpoints.

The reference is transformers' fast tokenizer, and its slow one where there is no fast one (CTRL) or where that differs from
the published model (XLNet: it splits off '.', '-', '(' and the like before the model runs).
"""

import copy

import pytest
from pairs import SHARED
from test_parity_tokenizers import first_difference, strings

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

BPE_FILES = {"vocab_file": "vocab.json", "merges_file": "merges.txt"}
# folder -> (start of the class, files, whether the fast tokenizer of transformers is the reference)
CHECKPOINTS = {
    "data/vocab/openai-gpt": ("OpenAIGPT", BPE_FILES, True),
    "conformance/hub/ctrl": ("CTRL", BPE_FILES, False),
    "data/vocab/gpt2": ("GPT2", BPE_FILES, True),
    "data/vocab/roberta-base": ("Roberta", BPE_FILES, True),
    "conformance/hub/facebook/bart-large-cnn": ("Bart", BPE_FILES, True),
    "data/vocab/t5-small": ("T5", {"vocab_file": "spiece.rebuilt.model"}, True),
    "data/vocab/xlnet-base-cased": ("XLNet", {"vocab_file": "spiece.model"}, False),
    "conformance/hub/google/reformer-crime-and-punishment": ("Reformer", {"vocab_file": "spiece.model"}, True),
}
NASTY = ["", " ", "   ", "\t\n\r", "a", " a", "a ", "  a  b  ", "a\n\nb\r\n c\t\td", "\u00a0x\u2003y\u3000z\u0085w\u2028v", "\x1cone\x1dtwo\x1e three\x1f",
         "un\u00adbreak\u200bable\u2060", "é e\u0301 ẹ̀ ÅÄÖ ß ﬁ Ǆ İı Σς ΟΔΟΣ", "naïve café ZÜRICH", "中文字,漢字。あア한글 한글", "ｶﾞｷﾞ か\u3099",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd \u263a\ufe0f ©\ufe0f ™ 1\ufe0f\u20e3",
         "x" * 99, "https://example.org/a?b=c&d=%20#e mail@example.org", "don't can't I'm we've they're o''clock ``so''", "$9.99 1,000.5 50% §5 ©£€–—…",
         "...!!!???---___", "<s> </s> <pad> <unk> <mask> <sep> <cls> <eop> <eod> <extra_id_0><extra_id_99>", "a<mask> b <mask>c  <mask>  d", "</s></s>x</s>",
         "▁a ▁ b▁▁c", "@@ th@@ the@@e </w> e</w>", "\x00\x01\x7f\x80\x9f\ufeff\ufffd", "مرحبا بالعالم שלום לְעוֹלָם", "नमस्ते दुनिया สวัสดี",
         "e" + "\u0301" * 30, "²³¹½ Ⅷ ㎏ ⑩ １２３", "a" + "\u200d" * 5 + "b", "ＦＵＬＬ　ｗｉｄｔｈ", "'\"`´‘’“”«»‹›", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎", "Ġhello Ċ",
         "In 2010, 1,000,000 or 3, a5,b 12,, 7,", "(a.b-c) \"q\" U.S. x-ray £5 €6 10–20", "¨ a ¸ b ´", "word\n\n\nword\n"]


@pytest.fixture(scope="module")
def texts():
    if not (SHARED / "data/text/udhr").is_dir():
        pytest.skip("the texts of ../shared/data/text/udhr are not here")
    found = NASTY + strings()
    assert len(found) >= 2000
    return found


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=lambda folder: folder.split("/")[-1])
def made(request):
    """Our engines (a list), the reference."""
    start, files, fast = CHECKPOINTS[request.param]
    folder = SHARED / request.param
    if not folder.is_dir():
        pytest.skip(f"the vocabulary ../shared/{request.param} is not here")
    if start in ("T5", "XLNet", "Reformer"):
        pytest.importorskip("sentencepiece", reason="transformers reads spiece.model with sentencepiece, which is not installed here")
    files = {argument: str(folder / file) for argument, file in files.items()}
    options = {"model_max_length": 512, "clean_up_tokenization_spaces": True}
    ours = [getattr(course, f"{start}Tokenizer{ending}")(**files, **options) for ending in ("", "Fast")
            if hasattr(course, f"{start}Tokenizer{ending}")]
    assert len(ours) == (1 if start == "CTRL" else 2)
    if start == "T5":                                 # transformers would convert the file; the Hub's tokenizer.json is the reference
        files, options = {"tokenizer_file": str(folder / "tokenizer.json")}, options | {"extra_ids": 100}
    theirs = getattr(transformers, f"{start}Tokenizer{'Fast' * fast}")(**files, **options)
    theirs.files = files
    for tokenizer in (*ours, theirs):
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.unk_token
    return ours, theirs


def test_ids(made, texts):
    ours, theirs = made
    wanted = theirs(texts, verbose=False)
    for tokenizer in ours:
        found = tokenizer(texts, verbose=False)
        assert list(found) == list(wanted)
        for key in wanted:
            assert first_difference(texts, found[key], wanted[key]) is None, (type(tokenizer), key)


def test_positions(made, texts):
    ours, theirs = made
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "verbose": False}
    wanted = theirs(texts, **options) if theirs.is_fast else ours[0](texts, **options)
    for tokenizer in ours:
        found = tokenizer(texts, **options)
        for key in wanted:
            assert first_difference(texts, found[key], wanted[key]) is None, (type(tokenizer), key)
        for number, text in enumerate(texts):
            assert found.word_ids(number) == wanted.word_ids(number), text


def test_offsets_of_the_fast_xlnet_where_it_finds_the_same_words(made, texts):
    ours, theirs = made
    if not isinstance(theirs, transformers.XLNetTokenizer):
        pytest.skip("the other tokenizers are compared with a reference that has offsets")
    theirs = transformers.XLNetTokenizerFast(vocab_file=theirs.vocab_file)
    some = [text for text in texts if text.isascii() and text == text.strip() and theirs.tokenize(text) == ours[0].tokenize(text)]
    assert len(some) > 100
    wanted = theirs(some, return_offsets_mapping=True)["offset_mapping"]
    for tokenizer in ours:
        assert first_difference(some, tokenizer(some, return_offsets_mapping=True)["offset_mapping"], wanted) is None


def test_texts_come_back(made, texts):
    ours, theirs = made
    some = texts[:100] + texts[100::3]
    for text, ids in zip(some, theirs(some, verbose=False)["input_ids"], strict=True):
        for options in ({}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": False}):
            wanted = theirs.decode(ids, **options)
            for tokenizer in ours:
                assert tokenizer.decode(ids, **options) == wanted, (type(tokenizer), text, options)


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_pairs_that_are_cut_and_padded(made, texts, strategy):
    ours, theirs = made
    lengths = list(map(len, theirs(texts, add_special_tokens=False, verbose=False)["input_ids"]))
    long = [text for text, length in zip(texts, lengths, strict=True) if length >= 40][:100]
    short = [text for text, length in zip(texts, lengths, strict=True) if length <= 15]
    short = (short * 100)[:len(long)]
    firsts, seconds = (short, long) if strategy == "only_second" else (long, short)
    for multiple in (None, 8):
        options = {"truncation": strategy, "max_length": 24, "padding": True, "pad_to_multiple_of": multiple}
        wanted = theirs(firsts, seconds, **options)
        for tokenizer in ours:
            found, tensors = tokenizer(firsts, seconds, **options), tokenizer(firsts, seconds, return_tensors="np", **options)
            padded = tokenizer.pad(tokenizer(firsts, seconds, truncation=strategy, max_length=24), pad_to_multiple_of=multiple)
            for key in wanted:
                assert first_difference(firsts, found[key], wanted[key]) is None, (type(tokenizer), key)
                assert tensors[key].tolist() == padded[key] == wanted[key], (type(tokenizer), key)


def test_words_given(made, texts):
    ours, theirs = made
    if isinstance(ours[0], course.GPT2Tokenizer):      # byte-level BPE takes lists of words with this option only
        *ours, theirs = (type(tokenizer)(**theirs.files, add_prefix_space=True) for tokenizer in (*ours, theirs))
    words = [text.split() or ["x"] for text in texts[:400]]
    wanted = theirs(words, is_split_into_words=True, verbose=False)
    for tokenizer in ours:
        found = tokenizer(words, is_split_into_words=True, verbose=False)
        assert first_difference(words, found["input_ids"], wanted["input_ids"]) is None
        if theirs.is_fast:
            for number, text in enumerate(words):
                assert found.word_ids(number) == wanted.word_ids(number), text


ADDED = {"plain": {"content": "newword"}, "capitals": {"content": "NewWord"}, "not normalized": {"content": "NewWord", "normalized": False},
         "single word": {"content": "ing", "single_word": True, "normalized": False},
         "strips both": {"content": "<x>", "lstrip": True, "rstrip": True, "normalized": False},
         "special": {"content": "<Speaker>", "special": True, "normalized": False}}
AROUND = ["a newword here", "NEWWORD newWord NewWord.", "newwords renewword", "singing ing ING-ing", "a <x> b<x>c  <x>  d <x>",
          "<Speaker> hello <speaker><Speaker>"]


@pytest.mark.parametrize("kind", ADDED)
def test_added_tokens(made, kind):
    ours, theirs = copy.deepcopy(made)
    settings = ADDED[kind]
    if kind == "single word" and not theirs.is_fast:
        pytest.skip("transformers' slow tokenizers look only at the character before such a token")
    for tokenizer in (*ours, theirs):
        tokenizer.add_tokens([transformers.AddedToken(**settings)], special_tokens=settings.get("special", False))
    wanted = theirs(AROUND)["input_ids"]
    for tokenizer in ours:
        assert first_difference(AROUND, tokenizer(AROUND)["input_ids"], wanted) is None, type(tokenizer)
        assert [tokenizer.decode(ids) for ids in wanted] == [theirs.decode(ids) for ids in wanted]


def test_no_text_makes_special_tokens_unless_asked(made, texts):
    ours, theirs = made
    special = set(theirs.all_special_ids) - {theirs.unk_token_id}
    texts = ["＜/s＞ ＜unk＞ ＜sep＞", *texts]              # transformers' fast T5 reads the first as the end of the text
    wanted = ours[0](texts, split_special_tokens=True, add_special_tokens=False, verbose=False)["input_ids"]
    for tokenizer in ours:
        found = tokenizer(texts, split_special_tokens=True, add_special_tokens=False, verbose=False)["input_ids"]
        assert first_difference(texts, found, wanted) is None
        assert first_difference(texts, [special & set(ids) for ids in found], [set()] * len(texts)) is None


def test_files_go_both_ways(made, texts, tmp_path):
    ours, theirs = made
    start = type(theirs).__name__.removesuffix("Fast").removesuffix("Tokenizer")
    texts = texts[:100] + texts[100::10]
    wanted = theirs(texts, verbose=False)["input_ids"]
    readers = [getattr(library, f"{start}Tokenizer{ending}") for library in (course, transformers) for ending in ("", "Fast")
               if hasattr(library, f"{start}Tokenizer{ending}")]
    for number, maker in enumerate([*ours, theirs]):
        folder = tmp_path / str(number)
        maker.save_pretrained(folder)
        assert type(course.AutoTokenizer.from_pretrained(folder)) is type(ours[-1])
        assert type(course.AutoTokenizer.from_pretrained(folder, use_fast=False)) is type(ours[0])
        for reader in readers:
            if reader is getattr(transformers, "XLNetTokenizerFast", None) and maker is theirs:
                continue                              # transformers' own conversion, which differs from its slow tokenizer
            if reader in (transformers.T5Tokenizer, transformers.ReformerTokenizer):
                continue                              # differs a little from the fast one; see below
            again = reader.from_pretrained(folder)
            assert again.model_max_length == 512 and again.padding_side == theirs.padding_side
            assert first_difference(texts, again(texts, verbose=False)["input_ids"], wanted) is None, (type(maker), reader)


def test_a_sentencepiece_file_made_from_a_tokenizer_json(texts, tmp_path):
    folder = SHARED / "data/vocab/t5-small"
    if not folder.is_dir():
        pytest.skip("the vocabulary ../shared/data/vocab/t5-small is not here")
    pytest.importorskip("sentencepiece", reason="transformers reads spiece.model with sentencepiece, which is not installed here")
    wanted = transformers.T5TokenizerFast.from_pretrained(folder)(texts, verbose=False)["input_ids"]
    slow = transformers.T5Tokenizer(str(folder / "spiece.rebuilt.model"), legacy=True)
    for number, kind in enumerate((course.T5TokenizerFast, course.T5Tokenizer)):
        tokenizer = kind.from_pretrained(folder)      # there is no spiece.model
        assert first_difference(texts, tokenizer(texts, verbose=False)["input_ids"], wanted) is None
        tokenizer.save_pretrained(tmp_path / str(number))
        again = transformers.T5Tokenizer.from_pretrained(tmp_path / str(number), legacy=True)
        assert first_difference(texts, again(texts, verbose=False)["input_ids"], slow(texts, verbose=False)["input_ids"]) is None


@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity"])
def test_a_sentencepiece_file_without_bytes(texts, rule, tmp_path):
    trained = pytest.importorskip("sentencepiece", reason="the model of this test is trained with sentencepiece, which is not installed here")
    trained.SentencePieceTrainer.train(sentence_iterator=iter(texts[::3]), model_prefix=str(tmp_path / "spiece"), model_type="bpe", vocab_size=3000,
                                       character_coverage=0.98, normalization_rule_name=rule, user_defined_symbols=["<speaker>"], minloglevel=2)
    file = str(tmp_path / "spiece.model")
    theirs = transformers.ReformerTokenizerFast(file, clean_up_tokenization_spaces=True)
    some = [*texts, "<speaker> hello<speaker>", "a</s>b  </s> <unk>c"]
    wanted = theirs(some, return_offsets_mapping=True, verbose=False)
    for kind in (course.ReformerTokenizerFast, course.ReformerTokenizer):
        ours = kind(file)
        assert ours.special_tokens_map == theirs.special_tokens_map and len(ours) == len(theirs)
        found = ours(some, return_offsets_mapping=True, verbose=False)
        for key in wanted:
            assert first_difference(some, found[key], wanted[key]) is None, (kind, key)
        assert [ours.decode(ids) for ids in wanted["input_ids"]] == [theirs.decode(ids) for ids in wanted["input_ids"]]
    # the program itself spells some clusters of accents otherwise, keeps line breaks that it learned, and reads <s> as three letters
    slow = transformers.ReformerTokenizer(file)(some, verbose=False)["input_ids"]
    same = sum(a == b for a, b in zip(slow, found["input_ids"], strict=True))
    assert same >= 0.98 * len(some), f"only {same} of {len(some)} as in the slow tokenizer"
