"""generate() against transformers on tiny random checkpoints: token for token in greedy and beam search, the same scores, and
the same distribution to draw from."""

import sys
from pathlib import Path

import pytest
import torch
from pairs import shake

import course

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from tiny import WRITERS  # noqa: E402 - the same sizes as in the unit tests

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

SETTINGS = [
    {}, {"repetition_penalty": 1.6}, {"no_repeat_ngram_size": 2}, {"min_new_tokens": 5, "eos_token_id": [2, 7, 9, 11, 13]},
    {"bad_words_ids": [[7], [8, 9], [6, 10]], "suppress_tokens": [11, 12]}, {"begin_suppress_tokens": list(range(5, 30))},
    {"forced_eos_token_id": 9}, {"eos_token_id": list(range(3, 20)), "pad_token_id": 1}, {"renormalize_logits": True},
]
BEAMS = [
    {}, {"length_penalty": 0.2, "eos_token_id": list(range(3, 9))}, {"length_penalty": 3.0, "eos_token_id": [5, 6, 7, 8]},
    {"early_stopping": True, "eos_token_id": list(range(3, 12))}, {"early_stopping": "never", "eos_token_id": list(range(3, 12))},
    {"num_return_sequences": 3, "eos_token_id": [4, 5]}, {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3, "num_beams": 2},
    {"forced_eos_token_id": 9, "min_new_tokens": 4, "eos_token_id": [9, 10, 11]}, {"length_penalty": -1.0, "num_beams": 5},
]
each = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture(scope="module")
def repaired():
    """transformers 4.57.6 cannot run Transformer-XL as it is: type_as is called with a dtype, and generate() is gone."""
    original, found = torch.Tensor.type_as, getattr(transformers, "TransfoXLLMHeadModel", None)
    torch.Tensor.type_as = lambda self, other=None, dtype=None: original(self, other) if dtype is None else self.to(dtype)
    if found is not None and transformers.GenerationMixin not in found.__mro__:
        found.__bases__ += (transformers.GenerationMixin,)
    yield
    torch.Tensor.type_as = original


@pytest.fixture(scope="module")
def pairs(repaired, tmp_path_factory):
    """kind -> (ours, theirs) with the same weights, made when first asked for."""
    made = {}

    def get(kind):
        if kind not in made:
            torch.manual_seed(3)
            config = transformers.AutoConfig.for_model(kind, **WRITERS[kind] | {"vocab_size": 50})
            auto = "AutoModelForSeq2SeqLM" if kind in ("bart", "t5") else "AutoModelForCausalLM"
            theirs = getattr(transformers, auto).from_config(config)
            shake(theirs)
            folder = tmp_path_factory.mktemp(kind)
            theirs.save_pretrained(folder, safe_serialization=kind != "transfo-xl")
            made[kind] = getattr(course, auto).from_pretrained(folder), theirs.eval()
        return made[kind]
    return get


def both(pair, kind, ids, **settings):
    """Transformer-XL has no cache that today's transformers understands, Reformer's keeps buckets that ours computes anew."""
    ours, theirs = pair
    settings = {"do_sample": False, "return_dict_in_generate": True, "output_scores": True} | settings
    more = {"use_cache": False} if kind in ("transfo-xl", "reformer") else {}
    with torch.no_grad():
        return ours.generate(ids, **settings), theirs.generate(ids, **settings, **more)


def same(ours, theirs):
    assert ours.sequences.tolist() == theirs.sequences.tolist()
    for mine, other in zip(ours.scores, theirs.scores, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@each
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_greedy_search(pairs, kind, settings):
    ids = torch.randint(14, 50, (2, 5), generator=torch.Generator().manual_seed(1))
    same(*both(pairs(kind), kind, ids, max_new_tokens=12, **settings))


@each
@pytest.mark.parametrize("settings", BEAMS, ids=str)
def test_beam_search(pairs, kind, settings):
    ids = torch.randint(14, 50, (2, 5), generator=torch.Generator().manual_seed(2))
    ours, theirs = both(pairs(kind), kind, ids, max_new_tokens=11, **{"num_beams": 4} | settings)
    torch.testing.assert_close(ours.sequences_scores, theirs.sequences_scores, rtol=1e-4, atol=1e-4)
    assert ours.beam_indices.tolist() == theirs.beam_indices.tolist()
    written = torch.nn.functional.pad(ours.beam_indices >= 0, (ours.sequences.shape[1] - ours.beam_indices.shape[1], 0), value=True)
    # behind the end transformers fills with an end token where the padding token is 0
    assert ours.sequences[written].tolist() == theirs.sequences[written].tolist()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2", "bart", "t5"])
@pytest.mark.parametrize("beams", [1, 3])
def test_prompts_of_different_length(pairs, kind, beams):
    ids = torch.randint(14, 50, (3, 7), generator=torch.Generator().manual_seed(3))
    mask = (torch.arange(7) >= torch.tensor([[0], [3], [6]])).long()
    if kind in ("bart", "t5"):
        mask = mask.flip(1)
    ours, theirs = both(pairs(kind), kind, ids, attention_mask=mask, max_new_tokens=9, num_beams=beams)
    assert ours.sequences.tolist() == theirs.sequences.tolist()


@pytest.mark.parametrize("settings", [
    {"temperature": 0.6}, {"top_k": 7}, {"top_p": 0.7, "top_k": 0}, {"min_p": 0.2, "top_k": 0}, {"typical_p": 0.5, "top_k": 0},
    {"epsilon_cutoff": 0.03}, {"eta_cutoff": 0.05}, {"temperature": 1.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.2},
    {"top_k": None}], ids=str)
def test_what_is_drawn_from(pairs, settings):
    """The scores before the draw, in transformers and here, at the same text: a first token of each."""
    ids = torch.randint(14, 50, (4, 5), generator=torch.Generator().manual_seed(4))
    ours, theirs = both(pairs("gpt2"), "gpt2", ids, max_new_tokens=1, do_sample=True, **settings)
    torch.testing.assert_close(ours.scores[0], theirs.scores[0], rtol=1e-5, atol=1e-5)


def test_transition_scores(pairs):
    ids = torch.randint(14, 50, (2, 5), generator=torch.Generator().manual_seed(5))
    for settings in ({}, {"num_beams": 3, "num_return_sequences": 2, "eos_token_id": list(range(3, 12))}):
        ours, theirs = both(pairs("llama"), "llama", ids, max_new_tokens=6, **settings)
        for normalize in (False, True):
            found, wanted = (model.compute_transition_scores(
                out.sequences, out.scores, out.beam_indices if "num_beams" in settings else None, normalize_logits=normalize)
                for model, out in zip(pairs("llama"), (ours, theirs), strict=True))
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_settings_of_a_checkpoint(pairs, tmp_path):
    ours, theirs = pairs("llama")
    theirs.save_pretrained(tmp_path)
    transformers.GenerationConfig(num_beams=3, max_new_tokens=4, eos_token_id=[5, 6], length_penalty=0.5).save_pretrained(tmp_path)
    ids = torch.randint(14, 50, (2, 5), generator=torch.Generator().manual_seed(6))
    found = course.AutoModelForCausalLM.from_pretrained(tmp_path)
    wanted = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert found.generate(ids).tolist() == wanted.generate(ids).tolist()
    found.save_pretrained(tmp_path / "again")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert again.generate(ids).tolist() == wanted.generate(ids).tolist()


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3}], ids=str)
@pytest.mark.parametrize("kind", ["gpt2", "llama", "bart", "t5"])
def test_vectors_in_the_place_of_tokens(pairs, kind, settings):
    ours, theirs = pairs(kind)
    ids, mask = torch.randint(6, 50, (2, 5), generator=torch.Generator().manual_seed(1)), torch.tensor([[0, 0, 1, 1, 1], [1] * 5])
    settings = {"do_sample": False, "max_new_tokens": 6, "attention_mask": mask, "pad_token_id": 0} | settings
    vectors = theirs.get_input_embeddings()(ids).detach()
    assert ours.generate(inputs_embeds=vectors, **settings).tolist() == theirs.generate(inputs_embeds=vectors, **settings).tolist()


@pytest.mark.parametrize("beams", [1, 3])
def test_what_a_streamer_sees_and_criteria_end(pairs, beams):
    ids, seen = torch.tensor([[7, 8, 9, 10, 11]]), ([], [])

    def long(ids, scores, **kwargs):
        return torch.full((len(ids),), ids.shape[1] >= 8)
    for model, shown, package in zip(pairs("gpt2"), seen, (course, transformers), strict=True):
        class Streamer(transformers.generation.BaseStreamer):
            def put(self, value, shown=shown):
                shown.append(value.tolist())

            def end(self, shown=shown):
                shown.append("end")
        settings = {"do_sample": False, "num_beams": beams, "max_new_tokens": 9, "eos_token_id": None, "pad_token_id": 0}
        shown.append(model.generate(ids, stopping_criteria=package.StoppingCriteriaList([long]), **settings).tolist())
        if beams == 1:
            model.generate(ids, streamer=Streamer(), **settings)
    assert seen[0] == seen[1] and len(seen[0]) == (1 if beams > 1 else 1 + 1 + 9 + 1)


def test_what_a_text_streamer_shows():
    class Tokenizer:
        def decode(self, ids, **options):
            return "".join({6: " ", 7: "\n", 8: "好", 9: "ab"}.get(number, chr(60 + number)) for number in ids)
    seen = ([], [])
    for package, shown in zip((course, transformers), seen, strict=True):
        class Shown(package.TextStreamer):
            def on_finalized_text(self, text, stream_end=False, shown=shown):
                shown.append((text, stream_end))
        streamer = Shown(Tokenizer())
        streamer.put(torch.tensor([[10, 9, 6, 12]]))
        for number in (9, 6, 10, 7, 8, 13, 8, 6, 9):
            streamer.put(torch.tensor([number]))
        streamer.end()
    assert seen[0] == seen[1]
