"""generate(): what follows from its definition, and what goes wrong with it. tests/parity has the comparison token for token."""

import json
import threading
from types import SimpleNamespace

import pytest
import tiny
import torch
from tiny import WRITERS, writer

import course
from course import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer, TextStreamer, scores
from course.generation import EncoderDecoder

each = pytest.mark.parametrize("kind", WRITERS)


def prompts(rows=2, length=5, seed=0):
    return torch.randint(6, 50, (rows, length), generator=torch.Generator().manual_seed(seed))


@each
def test_greedy_search_takes_the_best_token(kind):
    model, ids = writer(kind), prompts()
    found = model.generate(ids, max_new_tokens=4, eos_token_id=None, return_dict_in_generate=True, output_logits=True)
    assert found.sequences.shape[1] == (5 if isinstance(model, EncoderDecoder) else 9)
    for step, logits in enumerate(found.logits):
        token = found.sequences[:, found.sequences.shape[1] - 4 + step]
        assert torch.equal(token, logits.argmax(-1))
        torch.testing.assert_close(found.log_probs[:, step], logits.log_softmax(-1).amax(-1))


@each
@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"do_sample": True, "seed": 5}], ids=["greedy", "beams", "drawn"])
def test_a_text_does_not_depend_on_its_neighbours(kind, settings):
    """Nor on the side of the padding, nor on the penalty for repetitions finding padding in the text."""
    model, ids = writer(kind), prompts(3, 7)
    settings = {"max_new_tokens": 6, "eos_token_id": [3, 4], "pad_token_id": 3, "repetition_penalty": 1.5} | settings
    lengths = (7, 4, 2)
    alone = [model.generate(ids[row:row + 1, :length], **settings)[0] for row, length in enumerate(lengths)]
    start = 1 if isinstance(model, EncoderDecoder) else None
    for side in ("right", "left"):
        mask = (torch.arange(7) < torch.tensor(lengths)[:, None]).long()
        batch = ids.clone()
        if side == "left":
            mask = mask.flip(1)
            for row, length in enumerate(lengths):
                batch[row] = torch.cat([batch[row, length:], batch[row, :length]])
        found = model.generate(batch, attention_mask=mask, **settings)
        for row, length in enumerate(lengths):
            text = alone[row][start or length:].tolist()
            assert found[row, start or 7:][:len(text)].tolist() == text, (side, row)
            assert (found[row, (start or 7) + len(text):] == 3).all()


@each
def test_the_cache_changes_nothing(kind):
    if kind == "xlnet":
        pytest.skip("what XLNet remembers has not seen what came later, unlike what it reads anew")
    model = writer(kind)
    for settings in ({}, {"num_beams": 3}):
        with_it, without = (model.generate(prompts(), max_new_tokens=6, use_cache=c, **settings) for c in (True, False))
        assert torch.equal(with_it, without)


def test_what_is_drawn_has_the_right_distribution():
    """Chi-square over 6,000 first tokens, and over second ones: the draws are those of the softmax of the changed scores."""
    model, ids = writer("gpt2"), prompts(1)
    torch.manual_seed(1)
    settings = {"do_sample": True, "temperature": 1.4, "top_k": 8, "max_new_tokens": 1}
    found = model.generate(ids.expand(6000, -1), **settings, return_dict_in_generate=True, output_scores=True)
    shares = found.scores[0][0].softmax(-1)
    counts = found.sequences[:, -1].bincount(minlength=50)
    possible = shares > 0
    assert possible.sum() == 8 and counts[~possible].sum() == 0
    chi = ((counts - 6000 * shares)[possible]**2 / (6000 * shares[possible])).sum().item()
    assert chi < 24.3                                 # 7 degrees of freedom: more happens once in a thousand
    seeds = torch.cat([model.generate(ids, **settings, seed=seed)[:, -1] for seed in range(1500)])
    chi = ((seeds.bincount(minlength=50) - 1500 * shares)[possible]**2 / (1500 * shares[possible])).sum().item()
    assert chi < 24.3


def test_beams_are_drawn_with_the_right_distribution():
    """The first of two beams that are drawn without putting back is a draw like any other."""
    model, ids = writer("gpt2"), prompts(1)
    torch.manual_seed(2)
    found = model.generate(ids.expand(4000, -1), do_sample=True, num_beams=2, top_k=4, max_new_tokens=1, num_return_sequences=2,
                           return_dict_in_generate=True, output_scores=True)
    shares = found.scores[0][0].softmax(-1)
    pairs = found.sequences[:, -1].view(-1, 2).sort(-1).values
    possible = shares.nonzero()[:, 0].tolist()
    chi = 0.0
    for a, first in enumerate(possible):
        for second in possible[a + 1:]:
            p, q = shares[first].item(), shares[second].item()
            wanted = 4000 * (p * q / (1 - p) + q * p / (1 - q))
            chi += ((pairs == torch.tensor([first, second])).all(1).sum().item() - wanted)**2 / wanted
    assert chi < 20.5                                 # 5 degrees of freedom


def test_seeds():
    model, ids = writer("llama"), prompts(3)
    settings = {"do_sample": True, "max_new_tokens": 8, "num_return_sequences": 2, "top_k": 0}
    one, again, other = (model.generate(ids, **settings, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(one[0], one[1])
    assert torch.equal(model.generate(ids[1:2], **settings, seed=1), one[2:4])
    torch.manual_seed(0)
    free = model.generate(ids, **settings)
    torch.manual_seed(0)
    assert torch.equal(model.generate(ids, **settings), free)


def test_groups_of_beams_differ():
    model, ids = writer("gpt2"), prompts(2)
    plain = model.generate(ids, num_beams=4, num_return_sequences=4, max_new_tokens=6, eos_token_id=None).view(2, 4, -1)
    found = model.generate(ids, num_beams=4, num_beam_groups=4, diversity_penalty=1e3, num_return_sequences=4, max_new_tokens=6,
                           eos_token_id=None).view(2, 4, -1)
    greedy = model.generate(ids, max_new_tokens=6, eos_token_id=None)
    for row in range(2):
        assert greedy[row].tolist() in found[row].tolist()                                # the first group goes as it likes
        assert all(len(set(found[row, :, place].tolist())) == 4 for place in range(5, 11))
    assert len(set(plain[0, :, 5].tolist())) < 4
    alone = model.generate(ids[1:], num_beams=4, num_beam_groups=2, diversity_penalty=0.7, max_new_tokens=6)
    both = model.generate(ids, num_beams=4, num_beam_groups=2, diversity_penalty=0.7, max_new_tokens=6)
    assert both[1, :alone.shape[1]].tolist() == alone[0].tolist()


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind not in ("transfo-xl", "xlnet", "reformer", "xlm")])
def test_guesses_from_the_prompt_change_no_token(kind):
    model = writer(kind)
    ids = prompts(1, 4).repeat(1, 3)
    plain = model.generate(ids, max_new_tokens=20, eos_token_id=None)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    for size in (1, 2, None):
        assert torch.equal(plain, model.generate(ids, max_new_tokens=20, eos_token_id=None, prompt_lookup_num_tokens=4,
                                                 max_matching_ngram_size=size))
    assert len(calls) <= 60
    drawn = {"do_sample": True, "max_new_tokens": 10, "seed": 3, "top_k": 5}
    assert torch.equal(model.generate(ids, **drawn), model.generate(ids, **drawn, prompt_lookup_num_tokens=3))


def test_several_ends_and_strings_that_end():
    tokenizer = tiny.tokenizer()
    model = writer("gpt2", vocab_size=len(tiny.VOCAB))
    ids = prompts(2)
    free = model.generate(ids, max_new_tokens=12, eos_token_id=None)
    ends = [int(free[0, 8]), int(free[1, 10])]
    found = model.generate(ids, max_new_tokens=12, eos_token_id=ends, pad_token_id=0)
    for row in range(2):
        first = next(place for place in range(5, 17) if free[row, place] in ends)
        assert found[row, :first + 1].tolist() == free[row, :first + 1].tolist() and not found[row, first + 1:].any()
    drawn = {"do_sample": True, "seed": 3, "max_new_tokens": 12, "eos_token_id": None, "temperature": 3.0}
    stop = tokenizer.decode(model.generate(ids[:1], **drawn)[0, 5:]).split()[3]
    short = model.generate(ids[:1], **drawn, stop_strings=["no such text", stop], tokenizer=tokenizer)
    assert stop in tokenizer.decode(short[0, 5:]) and stop not in tokenizer.decode(short[0, 5:-1])
    with pytest.raises(ValueError, match="tokenizer=tokenizer"):
        model.generate(ids, stop_strings=["."])


def test_length_counts_for_each_prompt():
    model, ids = writer("gpt2"), prompts(2, 6)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    found = model.generate(ids, attention_mask=mask, max_length=9, eos_token_id=None, pad_token_id=0)
    assert found.shape == (2, 12) and not found[1, 9:].any() and found[0, 9:].all()
    assert model.generate(ids, eos_token_id=None).shape == (2, 26)                        # 20 new ones, if nobody says otherwise
    assert model.generate(ids, eos_token_id=None, max_time=0.0).shape == (2, 7)


def test_a_stream_gives_the_text_of_generate(caplog):
    tokenizer = tiny.tokenizer()
    model, ids = writer("gpt2", vocab_size=len(tiny.VOCAB)), prompts(1)
    whole = tokenizer.decode(model.generate(ids, max_new_tokens=9)[0, 5:], skip_special_tokens=True)
    pieces = list(model.stream(ids, tokenizer=tokenizer, max_new_tokens=9))
    assert "".join(pieces).split() == whole.split() and len(pieces) > 3
    count = iter(range(100))

    def interrupt(*_):
        if next(count) == 3:
            raise KeyboardInterrupt
    handle = model.register_forward_hook(interrupt)
    assert len(list(model.stream(ids, tokenizer=tokenizer, max_new_tokens=9))) == 3
    assert "Interrupted" in caplog.text
    handle.remove()
    assert not torch.is_inference_mode_enabled()
    for _ in model.stream(ids, tokenizer=tokenizer, max_new_tokens=2):
        assert not torch.is_inference_mode_enabled()


def test_own_functions_and_gradients_afterwards():
    model, ids = writer("gpt2"), prompts(1)
    never = model.generate(ids, max_new_tokens=1)[0, -1]

    def without(ids, scores):
        scores = scores.clone()
        scores[:, never] = -torch.inf
        return scores
    found = model.generate(ids, max_new_tokens=6, logits_processor=[without])
    assert never not in found[0, 5:]
    model(found, labels=found).loss.backward()        # what generate returns may stand in a gradient


@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "seed": 1}, {"prompt_lookup_num_tokens": 2}])
def test_a_streamer_sees_the_prompt_and_every_token(settings):
    model, ids, seen = writer("gpt2"), prompts(2 if settings == {} else 1), []
    streamer = SimpleNamespace(put=seen.append, end=lambda: seen.append("end"))
    found = model.generate(ids, max_new_tokens=6, streamer=streamer, **settings)
    assert seen[-1] == "end" and torch.equal(seen[0], ids)
    assert torch.equal(torch.stack(seen[1:-1], 1), found[:, 5:])
    with pytest.raises(ValueError, match="leave num_beams or streamer out"):
        model.generate(ids, streamer=streamer, num_beams=2)
    assert seen[-1] == "end"                          # who waits for the text is not left waiting


def test_a_text_is_shown_while_it_is_written(capsys):
    tokenizer = tiny.tokenizer()
    model, ids = writer("gpt2", vocab_size=len(tiny.VOCAB)), prompts(1)
    whole = tokenizer.decode(model.generate(ids, max_new_tokens=9)[0])
    model.generate(ids, max_new_tokens=9, streamer=TextStreamer(tokenizer))
    assert capsys.readouterr().out == whole + "\n"
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    for _ in range(2):                                # it can be used again
        thread = threading.Thread(target=model.generate, args=(ids,), kwargs={"max_new_tokens": 9, "streamer": streamer})
        thread.start()
        pieces = list(streamer)
        thread.join()
        assert whole.endswith("".join(pieces)) and len(pieces) > 5 and "".join(pieces)
    with pytest.raises(ValueError, match="shows one text, and 2 are written"):
        model.generate(prompts(2), streamer=streamer)


def test_lines_and_scripts_without_blanks_are_shown_at_once():
    shown, texts = [], {1: "a", 2: " b", 3: "\n", 4: "好", 5: "\N{REPLACEMENT CHARACTER}"}

    class Shown(TextStreamer):
        def on_finalized_text(self, text, stream_end=False):
            shown.append(text)
    streamer = Shown(SimpleNamespace(decode=lambda ids: "".join(texts[number] for number in ids)))
    for number in (1, 2, 3, 4, 1, 5):
        streamer.put(torch.tensor([number]))
    streamer.end()
    assert shown == ["", "a ", "b\n", "好", "", "", "a\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("settings", [{}, {"num_beams": 2}, {"do_sample": True, "seed": 3}])
def test_own_functions_say_where_a_text_ends(settings):
    model, ids, seen = writer("gpt2"), prompts(2), []

    class Long(StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            seen.append(tuple(scores.shape) == (len(input_ids), 50))
            return input_ids.shape[1] >= 8
    found = model.generate(ids, max_new_tokens=9, stopping_criteria=StoppingCriteriaList([Long()]), **settings)
    assert found.shape == (2, 8) and all(seen)
    whole = model.generate(ids, max_new_tokens=9, eos_token_id=None, pad_token_id=0, do_sample=False)
    one = model.generate(ids, max_new_tokens=9, eos_token_id=None, pad_token_id=0,
                         stopping_criteria=[lambda ids, scores: ids[:, -1] == whole[0, 6]])
    row = whole[0, 5:].tolist().index(whole[0, 6]) + 6
    assert torch.equal(one[0, :row], whole[0, :row]) and not one[0, row:].any() and torch.equal(one[1], whole[1])
    for wrong in (None, torch.ones(7, dtype=torch.bool)):
        with pytest.raises(TypeError, match="one for each of"):
            model.generate(ids, stopping_criteria=[lambda ids, scores, wrong=wrong: wrong], **settings)
        with pytest.raises(TypeError, match="should return scores of the shape"):
            model.generate(ids, logits_processor=[lambda ids, scores, wrong=wrong: wrong], **settings)
    for wrong in (Long(), ["a word"], "a word"):
        with pytest.raises(TypeError, match="stopping_criteria is a list of functions"):
            model.generate(ids, stopping_criteria=wrong)
    with pytest.raises(TypeError, match="has the methods put and end"):
        model.generate(ids, streamer=print)
    for extra in ({"streamer": TextStreamer(tiny.tokenizer())}, {"stopping_criteria": [Long()]}, {"logits_processor": [Long()]}):
        with pytest.raises(ValueError, match=f"leave {next(iter(extra))} out"):
            model.generate(ids, allowed_outputs=[[7], [8]], **extra)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"use_cache": False, "repetition_penalty": 1.0}])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "ctrl", "t5"])
def test_vectors_in_the_place_of_tokens(kind, settings):
    model, ids = writer(kind), prompts(2)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1] * 5])   # the other side than generate's own
    options = {"max_new_tokens": 6, "attention_mask": mask, "eos_token_id": None, "pad_token_id": 0} | settings
    whole = model.generate(ids, **options)
    vectors = model.get_input_embeddings()(ids)
    alone = model.generate(inputs_embeds=vectors, **options)
    assert torch.equal(alone, whole if kind == "t5" else whole[:, 5:])
    if kind != "t5":
        assert torch.equal(model.generate(ids, inputs_embeds=vectors, **options), whole)


def test_vectors_that_cannot_be_read():
    model, ids = writer("gpt2"), prompts(2)
    vectors = model.get_input_embeddings()(ids)
    for wrong in (vectors[0], ids, vectors.tolist(), vectors[:, :0], vectors[..., 1:]):
        with pytest.raises(TypeError, match="must be a tensor of vectors"):
            model.generate(inputs_embeds=wrong)
    for options, message in (({"input_ids": ids[:, 1:]}, "a vector for each token"), ({"allowed_outputs": [[7], [8]]}, "input_ids"),
                             ({"prompt_lookup_num_tokens": 2}, "leave it out")):
        with pytest.raises(ValueError, match=message):
            model.generate(inputs_embeds=vectors, **options)
    with pytest.raises(TypeError, match="does not go on from inputs_embeds"):
        writer("xlnet").generate(inputs_embeds=vectors)
    with pytest.raises(ValueError, match="one of input_ids, inputs_embeds"):
        writer("t5").generate(ids, inputs_embeds=vectors)


def test_a_start_without_a_prompt():
    assert writer("gpt2").generate(max_new_tokens=3)[0, 0] == 1


@pytest.mark.parametrize(("settings", "message"), [
    ({"temperature": 0.0, "do_sample": True}, "do_sample=False"), ({"temperature": 0}, "do_sample=False"),
    ({"top_p": 1.5}, "top_p must be a number from 0 to 1, got 1.5"), ({"top_k": -1}, "top_k must be a whole number from 0 on"),
    ({"min_new_tokens": 9, "max_new_tokens": 3}, "min_new_tokens=9 is more than max_new_tokens=3"),
    ({"min_length": 30, "max_length": 20}, "min_length=30 is more than max_length=20"),
    ({"max_new_tokens": 0}, "max_new_tokens must be a whole number from 1"),
    ({"num_return_sequences": 2}, "do_sample=True, or num_beams"), ({"num_beams": 2, "num_return_sequences": 3}, "is more than num_beams"),
    ({"num_beams": 4, "num_beam_groups": 3}, "must divide"), ({"early_stopping": "soon", "num_beams": 2}, "'never'"),
    ({"prompt_lookup_num_tokens": 3, "num_beams": 2}, "prompt_lookup_num_tokens"), ({"num_beams": True}, "num_beams must be"),
    ({"max_length": 5}, "set max_new_tokens instead"), ({"repetition_penalty": 0.0}, "repetition_penalty must be"),
    ({"suppress_tokens": list(range(50))}, "no token that could come next"),
    ({"attention_mask": torch.ones(2, 4)}, "attention_mask has the shape"), ({"attention_mask": torch.zeros(2, 5)}, "all padding"),
])
def test_settings_that_nothing_can_be_written_with(settings, message):
    with pytest.raises(ValueError, match=message):
        writer("gpt2").generate(prompts(), **settings)


def test_prompts_that_cannot_be_read(caplog):
    model = writer("gpt2")
    with pytest.raises(ValueError, match="the prompt is empty"):
        model.generate(torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="room for 40"):
        model.generate(prompts(1, 40), max_new_tokens=3)
    assert model.generate(prompts(1, 38), max_new_tokens=9, eos_token_id=None).shape == (1, 40)
    assert "room for 40 tokens" in caplog.text
    for wrong, message in (("Hello", "tokenizer"), ({"input_ids": prompts()}, "two stars"), (prompts()[0], r"\(batch, length\)"),
                           (prompts().float(), "whole numbers")):
        with pytest.raises(TypeError, match=message):
            model.generate(wrong)
    with pytest.raises(TypeError, match="Did you mean max_new_tokens"):
        model.generate(prompts(), max_new_token=3)
    with pytest.raises(TypeError, match="output_attentions"):
        model.generate(prompts(), output_attentions=True)
    with pytest.raises(ValueError, match="no token that begins"):
        writer("ctrl").generate(max_new_tokens=3)
    with pytest.raises(ValueError, match="the encoder reads"):
        writer("t5").generate(max_new_tokens=3)
    with pytest.raises(ValueError, match="one prompt, without num_beams"):
        next(model.stream(prompts(2), tokenizer=tiny.tokenizer()))
    with pytest.raises(ValueError, match="one prompt, without num_beams"):
        next(model.stream(prompts(1), tokenizer=tiny.tokenizer(), num_beams=2))


def test_scores_that_are_no_numbers():
    model = writer("gpt2")
    with torch.no_grad():
        model.transformer.norm.weight[0] = torch.nan
    for settings in ({}, {"num_beams": 2}, {"do_sample": True}):
        with pytest.raises(ValueError, match="not numbers"):
            model.generate(prompts(), **settings)
    assert model.generate(prompts(), remove_invalid_values=True, max_new_tokens=2).shape == (2, 7)
    with pytest.raises(ValueError, match="not numbers"):
        model.generate(prompts(), allowed_outputs=[[7], [8]])


def test_settings_without_effect_are_named(caplog):
    model = writer("gpt2")
    model.generate(prompts(), top_k=5, max_new_tokens=1)
    assert "top_k=5 has no effect without do_sample=True" in caplog.text
    caplog.clear()
    model.generate(prompts(), length_penalty=2.0, max_new_tokens=1)
    assert "without num_beams" in caplog.text
    caplog.clear()
    model.train().generate(prompts(), max_new_tokens=1)
    assert "model.eval()" in caplog.text


def test_settings_of_a_checkpoint_that_are_not_written_here(tmp_path, caplog):
    writer("gpt2").save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"guidance_scale": 1.5, "penalty_alpha": 0.0}))
    course.AutoModelForCausalLM.from_pretrained(tmp_path).generate(prompts(), max_new_tokens=1)
    assert "guidance_scale=1.5" in caplog.text and "penalty_alpha" not in caplog.text


# -- the functions that change scores --------------------------------------------------------------------------------------


def test_padding_is_no_text():
    ids, flat = torch.tensor([[-1, -1, 4, 5], [4, 5, 4, 5]]), torch.ones(2, 7)
    assert scores.repetition_penalty(ids, flat, 2.0).tolist() == [[1, 1, 1, 1, .5, .5, 1]] * 2
    assert scores.lengths(ids).tolist() == [[2], [4]]
    found = scores.no_repeat_ngram(ids, flat, 2)
    assert found[0].isfinite().all() and found[1].isfinite().tolist() == [True] * 4 + [False] + [True] * 2
    found = scores.end_not_before(ids, flat, 3, torch.tensor([0, 1]))
    assert found[0].isfinite().sum() == 5 and found[1].isfinite().all()
    assert scores.bad_words(ids, flat, [[5, 3], [6]]).isfinite().tolist() == [[True] * 3 + [False] + [True] * 2 + [False]] * 2
    assert scores.force(ids, flat, [2], 4)[1].tolist() == [float("-inf")] * 2 + [0.0] + [float("-inf")] * 4


def test_functions_leave_their_input_alone():
    ids, given = prompts(2), torch.randn(2, 50)
    before = given.clone()
    for function in (lambda: scores.repetition_penalty(ids, given, 1.3), lambda: scores.no_repeat_ngram(ids, given, 1),
                     lambda: scores.bad_words(ids, given, [[3]]), lambda: scores.suppress(ids, given, [4]),
                     lambda: scores.only_top_k(ids, given, 3), lambda: scores.only_top_p(ids, given, 0.3),
                     lambda: scores.only_typical(ids, given, 0.3), lambda: scores.only_min_p(ids, given, 0.3),
                     lambda: scores.top_k_top_p_filtering(given, 3, 0.5)):
        assert not torch.equal(function(), before) and torch.equal(given, before)


def test_filtering_refuses_what_is_no_share():
    with pytest.raises(ValueError, match="share of all probability"):
        course.top_k_top_p_filtering(torch.zeros(1, 4), top_p=1.5)
    with pytest.raises(ValueError, match="top_k must be"):
        course.top_k_top_p_filtering(torch.zeros(1, 4), top_k=-2)


# -- legal answers only ------------------------------------------------------------------------------------------------------

ANSWERS = [[7, 8, 9], [7, 8, 10], [7, 11], [12], [13, 14]]


@each
def test_every_legal_answer_is_scored_in_full(kind):
    """Against the plain way, a call for every token; prompts of different length with a beginning that they share."""
    model = writer(kind)
    ids = torch.cat([prompts(1, 10).expand(3, -1), prompts(3, 5, seed=1)], 1)
    mask = torch.ones_like(ids)
    mask[1, 13:] = 0
    found = model.generate(ids, attention_mask=mask, allowed_outputs=ANSWERS)
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(3))
    torch.testing.assert_close(found.probabilities, found.log_probs.softmax(1))
    assert found.answers == [ANSWERS[number] for number in found.indices] and found.legal == ANSWERS
    for row in range(3):
        read = ids[row:row + 1, :int(mask[row].sum())]
        for number, answer in enumerate(ANSWERS):
            begin, ends, more = read, [], {}
            if isinstance(model, EncoderDecoder):
                begin, ends, more = torch.tensor([[model.config.decoder_start_token_id]]), model.generation_config.ends, {"input_ids": read}
            total = 0.0
            for token in [*answer, *ends]:
                with torch.no_grad():
                    total += model(**model.next_inputs(begin, None), **more).logits[0, -1].log_softmax(-1)[token].item()
                begin = torch.cat([begin, torch.tensor([[token]])], 1)
            assert abs(total - found.log_probs[row, number].item()) < 1e-3


def test_a_legal_answer_does_not_depend_on_neighbours():
    model = writer("llama")
    ids = torch.cat([prompts(1, 12).expand(40, -1), prompts(40, 6, seed=2)], 1)
    many = model.generate(ids, allowed_outputs=ANSWERS).log_probs
    alone = torch.cat([model.generate(ids[row:row + 1], allowed_outputs=ANSWERS).log_probs for row in range(40)])
    torch.testing.assert_close(many, alone, rtol=1e-4, atol=1e-4)
    near_the_end = prompts(1, 37)
    assert model.generate(near_the_end, allowed_outputs=ANSWERS).log_probs.shape == (1, 5)


@pytest.mark.parametrize(("answers", "message"), [
    (["good", "good"], "same tokens"), (["good", "good people"], "is how 'good people' begins"), ([], "list of legal answers"),
    (["good", ""], "no tokens"), ("good", "list of legal answers"), (["Good", "good"], "same tokens")])
def test_legal_answers_that_cannot_be_told_apart(answers, message):
    model = writer("gpt2", vocab_size=len(tiny.VOCAB))
    with pytest.raises((ValueError, TypeError), match=message):
        model.generate(prompts(), allowed_outputs=answers, tokenizer=tiny.tokenizer())


def test_numbers_are_legal_answers():
    model = writer("gpt2", vocab_size=len(tiny.VOCAB))
    numbers = [f"{number} ." for number in (1, 2, 10, 20)]
    found = model.generate(prompts(3), allowed_outputs=numbers, tokenizer=tiny.tokenizer())
    assert set(found.answers) <= set(numbers) and found.probabilities.shape == (3, 4)


def test_legal_answers_as_texts():
    model = writer("gpt2", vocab_size=len(tiny.VOCAB))
    found = model.generate(prompts(), allowed_outputs=["good", "bad", "[SEP]"], tokenizer=tiny.tokenizer())
    assert set(found.answers) <= {"good", "bad", "[SEP]"} and found.probabilities.shape == (2, 3)
    assert model.generate(prompts(), allowed_outputs=["[SEP]"], tokenizer=tiny.tokenizer()).log_probs.amax() < 0
    with pytest.raises(ValueError, match="need the tokenizer"):
        model.generate(prompts(), allowed_outputs=["good", "bad"])
    with pytest.raises(ValueError, match="leave num_beams out"):
        model.generate(prompts(), allowed_outputs=[[7], [8]], num_beams=3)
    with pytest.raises(ValueError, match="room for 40 together"):
        model.generate(prompts(1, 39), allowed_outputs=ANSWERS)
