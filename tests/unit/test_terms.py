"""The glossary: every example runs, every link leads somewhere, and every spelling finds its card."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course import glossary
from course.terms import NAMES, TERMS, Card, Table, key

SOURCES = {path.stem: path.read_text(encoding="utf-8")
           for path in sorted((Path(__file__).parents[2] / "lessons/src").glob("*.py"))}
CLASSIC = ["autoencoding models", "autoregressive models", "CLM", "causal language modeling", "deep learning", "MLM",
           "masked language modeling", "multimodal", "NLG", "NLP", "NLU", "pretrained model", "RNN", "seq2seq",
           "token", "self-attention", "sequence-to-sequence", "input IDs", "attention mask", "token type IDs", "position IDs",
           "labels", "decoder input IDs", "feed forward chunking"]


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_the_example_of_a_card_gives_a_result_that_is_shown_both_ways(term):
    card = glossary(term.name)
    assert isinstance(card, Card) and card.result is not None
    shown, page = repr(card), card._repr_html_()
    for part in (term.name, term.meaning, repr(card.result).splitlines()[0]):
        assert part in shown
    assert page.count("</pre>") == 2 and "<script" not in page
    assert "grad_fn" not in shown and "0x" not in shown


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_an_entry_is_short_and_refers_to_others(term):
    assert 15 <= len(term.meaning.split()) <= 60 and term.meaning.endswith(".")
    assert 2 <= len(re.findall(r"[.:] |\.$", term.meaning)) <= 5
    assert max(map(len, term.example.splitlines())) <= 120
    assert term.related and set(term.related) <= {other.name for other in TERMS} - {term.name}


def test_no_name_stands_for_two_terms():
    names = [key(name) for term in TERMS for name in (term.name, *term.aliases)]
    assert len(names) == len(set(names)) == len(NAMES)


@pytest.mark.parametrize("name", CLASSIC)
def test_the_terms_of_the_classic_glossary_are_there(name):
    assert key(name) in NAMES


def test_results_are_those_of_now_and_leave_the_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = glossary("RNN"), glossary("rnn")
    assert first.result == second.result and first.result[2] > first.result[20]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_the_cards_claim_is_true():
    mask, places, inputs, chunks = (glossary(name).result for name in (
        "attention mask", "position IDs", "decoder input IDs", "feed-forward chunking"))
    assert mask["with the mask"] != mask["without"]
    assert places["in order"] > 0.05 > places["one place for all"]
    assert inputs[0] == pytest.approx(inputs[1]) and chunks is True
    assert glossary("autoregressive").result == [[False, False, False, True]]
    near = glossary("embedding").result
    assert near["rent, money"] > near["rent, tree"]


@pytest.mark.parametrize("spelling", ["attention mask", "Attention Masks", "attention_mask", "attention-mask", " MASK "])
def test_spelling_does_not_matter(spelling):
    assert glossary(spelling).term.name == "attention mask"


@pytest.mark.parametrize(("wanted", "found"), [
    ("atention mask", "attention mask"), ("posision ids", "position IDs"), ("autoencoder", "autoencoding"),
    ("BERT", "autoencoding"), ("probability", "loss")])
def test_an_unknown_term_gives_the_closest(wanted, found):
    table = glossary(wanted)
    assert isinstance(table, Table) and found in [term.name for term in table.terms] and len(table.terms) < 15
    assert repr(wanted) in repr(table) and "not in the glossary" in repr(table)


def test_a_term_that_resembles_none_gives_all():
    for nonsense in ("zzzz", "", "<b>"):
        assert len(glossary(nonsense).terms) == len(TERMS)
    assert "<b>'" not in glossary("<b>")._repr_html_()


def test_the_table_has_a_row_for_each_term_and_a_box():
    table = glossary()
    assert len(repr(table).splitlines()) == 1 + len(TERMS)
    page = table._repr_html_()
    assert page.count("<tr>") == len(TERMS) and 'type="search"' in page and "teacher forcing" in page


def test_anything_but_a_name_is_refused():
    with pytest.raises(TypeError, match="name of a term.*got a int"):
        glossary(7)


def test_the_function_is_not_hidden_by_a_module():
    code = "import course.terms, course; print(course.glossary('token').term.name)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "token\n"


@pytest.mark.parametrize("name", SOURCES)
def test_lessons_link_to_terms_and_terms_name_their_lessons(name):
    number, text = int(name[:2]), SOURCES[name]
    anchors = {term.name.replace(" ", "-"): term for term in TERMS}
    for anchor in re.findall(r"glossary\.ipynb#([^)]*)\)", text):
        assert anchor in anchors, f"{name} links to #{anchor}, which no term of the glossary has"
        assert number in anchors[anchor].lessons, f"{anchor} lacks lesson {number}, which links to it"
    words = key(re.sub(r"[^\w-]+", " ", text))
    for term in TERMS:
        if number in term.lessons:
            assert any(key(spelling) in words for spelling in (term.name, *term.aliases)), f"{name} does not use {term.name}"
