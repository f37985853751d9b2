"""The codebook and the people: files, prompts, the editor, forms, disagreements."""

import pandas as pd
import pytest

from course import hub, load_dataset
from course.research.codebook import Codebook, Label
from course.research.coding import (
    adjudicate,
    code_by_hand,
    coding_form,
    disagreements,
    find_pii,
    read_codes,
)

BOOK = Codebook("moods", "How does the answer sound?", [
    Label("glad", "says that something is good", include="thanks", examples=("Lovely park.",)),
    Label("sorry", "complains", exclude="plain wishes", examples=("No bus again.",)), "neither"])
TEXTS = pd.DataFrame({"answer": ["The park is lovely.", "<img src=x onerror=alert(1)> No bus.", None, "More trees."], "other": "x"},
                     index=[7, 8, 9, 10])


def test_a_codebook_comes_back_from_every_file(tmp_path):
    for name in ("book.json", "book.yml"):
        BOOK.save(tmp_path / name)
        again = Codebook.read(tmp_path / name)
        assert again.to_dict() == BOOK.to_dict() and again.hash == BOOK.hash and len(BOOK.hash) == 12
    (tmp_path / "book.csv").write_text("\ufefflabel;definition;examples\nglad;says that something is good;Lovely.|Fine.\nsorry;complains;\n")
    table = Codebook.read(tmp_path / "book.csv")
    assert table.labels["glad"].examples == ("Lovely.", "Fine.") and table.labels["sorry"].definition == "complains"
    card = Codebook.read(hub.DATASETS / "local_life.md")
    assert len(card) == 10 and card.labels["health"].definition.startswith("doctors")
    assert set(load_dataset("local_life").topic_a) == set(card)


def test_its_version_changes_with_every_word():
    changed = Codebook("moods", BOOK.question, [BOOK.labels["glad"], Label("sorry", "complains loudly", exclude="plain wishes",
                                                                           examples=("No bus again.",)), "both"])
    assert changed.hash != BOOK.hash
    assert changed.diff(BOOK) == ["removed: neither", "sorry, definition: 'complains' -> 'complains loudly'", "added: both"]
    assert BOOK.diff(BOOK) == []


def test_prompts_hold_the_very_words():
    assert BOOK.prompt("Nice.", style="name").splitlines() == ["How does the answer sound?", "", "Labels:", "- glad", "- sorry",
                                                               "- neither", "", "Text: Nice.", "Label:"]
    full = BOOK.prompt(style="full", shots=1)
    assert "sorry: complains. Not here: plain wishes." in full and "Text: Lovely park.\nLabel: glad" in full


@pytest.mark.parametrize("labels, options, says", [
    (["a"], {}, "at least two"), (["a", "A"], {}, "'a' is empty or there twice"), (["a", " "], {}, "name of its own"),
    (["a", "b"], {"level": "metric"}, "nominal"), (["a", "b"], {"level": "ratio"}, "needs numbers")])
def test_codebooks_that_decide_nothing(labels, options, says):
    with pytest.raises(ValueError, match=says):
        Codebook("x", "", labels, **options)


def test_files_that_hold_no_codebook(tmp_path):
    with pytest.raises(FileNotFoundError, match="a codebook is"):
        Codebook.read(tmp_path / "none.yml")
    (tmp_path / "empty.md").write_text("# A card\n\nwithout a table\n")
    with pytest.raises(ValueError, match="no table of labels"):
        Codebook.read(tmp_path / "empty.md")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="holds no codebook"):
        Codebook.read(tmp_path / "list.json")


def test_coding_saves_each_answer_and_goes_on_after_a_crash(tmp_path):
    path = tmp_path / "anna.csv"
    first = code_by_hand(TEXTS, "answer", BOOK, "anna", path)
    first.code("glad")
    first.code("sorry", unsure=True)
    again = code_by_hand(TEXTS, "answer", BOOK, "anna", path)          # the first was never closed
    assert again.open == [9, 10]
    again.code(None)
    again.code("glad")
    again.undo()
    again.code("neither")
    table = code_by_hand(TEXTS, "answer", BOOK, "anna", path).table
    assert table["anna"].tolist()[:2] == ["glad", "sorry"] and pd.isna(table["anna"][9]) and table["anna"][10] == "neither"
    assert table["anna_unsure"].tolist() == [False, True, False, False] and list(table.id) == [7, 8, 9, 10]
    with pytest.raises(ValueError, match="Codes under two sets of rules"):
        code_by_hand(TEXTS, "answer", Codebook("moods", "?", ["glad", "sorry"]), "anna", path)
    with pytest.raises(ValueError, match="no label of the codebook"):
        code_by_hand(TEXTS, "answer", BOOK, "ben", tmp_path / "ben.csv").code("happy")


def test_the_editor_by_buttons_and_by_keys(tmp_path):
    coding = code_by_hand(TEXTS, "answer", BOOK, "anna", tmp_path / "anna.csv")
    view, buttons, row, rules, _ = coding.build().children
    keys, unsure, skip, undo = row.children
    buttons.children[1].click()
    keys.value = "?"
    assert unsure.value is True
    keys.value = "2"
    assert keys.value == "" and unsure.value is False
    assert "Text 3 of 4" in view.value and "no answer" in view.value
    skip.click()
    keys.value = "u"
    keys.value = "s"
    keys.value = "9"                                                    # no such label: nothing happens
    assert len(coding.codes) == 3 and list(coding.table["anna"][:2]) == ["sorry", "sorry"]
    undo.click()
    undo.click()
    assert "<img" not in view.value and "&lt;img" in view.value         # a text is shown, never run
    for _ in range(3):
        buttons.children[0].click()
    assert "All 4 texts are done" in view.value
    shown = coding._repr_mimebundle_()
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == coding.widget.model_id
    assert "3 neither" in shown["text/html"] and "4 of 4 texts" in shown["text/plain"]


def test_forms_for_coders_without_jupyter(tmp_path):
    coding_form(TEXTS, "answer", BOOK, tmp_path / "form.csv")
    form = pd.read_csv(tmp_path / "form.csv", encoding="utf-8-sig")
    assert list(form.columns) == ["id", "answer", "label", "unsure"]
    form["label"] = ["Glad", "sorry ", None, "neither"]
    form.to_csv(tmp_path / "ben.csv", sep=";", index=False, encoding="cp1252")    # what a spreadsheet makes of it
    coded = read_codes(TEXTS, BOOK, ben=tmp_path / "ben.csv")
    assert coded["ben"].tolist()[:2] == ["glad", "sorry"] and pd.isna(coded["ben"][9])
    form["label"] = ["glad", "happy", None, None]
    form.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match="the first for id 8: 'happy'"):
        read_codes(TEXTS, BOOK, ben=tmp_path / "bad.csv")
    form.assign(label="glad", id=[7, 8, 9, 11]).to_csv(tmp_path / "ids.csv", index=False)
    with pytest.raises(ValueError, match="not in the table: 11"):
        read_codes(TEXTS, BOOK, ben=tmp_path / "ids.csv")


CODED = pd.DataFrame({"a": ["x", "x", "y", None, "x"], "b": ["x", "y", "x", "y", None], "c": ["x", "z", "x", "x", None]})


def test_disagreements_hardest_first():
    queue = disagreements(CODED, ["a", "b", "c"])
    assert list(queue.index) == [1, 2, 3] and queue.labels[1] == "x / y / z"
    assert len(disagreements(load_dataset("local_life"), ["topic_a", "topic_b"])) == 211
    assert len(disagreements(load_dataset("local_life"), ["sentiment_a", "sentiment_b"])) == 180


@pytest.mark.parametrize("rule, options, gold, settled", [
    ("majority", {}, ["x", None, "x", None, "x"], ["agreed", "tie", "majority", "tie", "one coder"]),
    ("third", {"third": "c"}, ["x", "z", "x", "x", "x"], ["agreed", "by c", "by c", "by c", "one coder"]),
    ("talk", {"decisions": {1: "y"}}, ["x", "y", None, None, "x"], ["agreed", "talked over", "open", "open", "one coder"])])
def test_how_disagreements_are_settled(rule, options, gold, settled):
    found = adjudicate(CODED, ["a", "b", "c"], rule, **options)
    assert found.gold.where(found.gold.notna(), None).tolist() == gold and found.settled.tolist() == settled
    assert found[["a", "b", "c"]].equals(CODED)


def test_settling_needs_to_know_how():
    with pytest.raises(ValueError, match="'majority', 'third' or 'talk'"):
        adjudicate(CODED, ["a", "b"], "vote")
    with pytest.raises(ValueError, match="who decides"):
        adjudicate(CODED, ["a", "b"], "third")
    with pytest.raises(ValueError, match="not in the table: 99"):
        adjudicate(CODED, ["a", "b"], "talk", decisions={99: "x"})


def test_pii_is_flagged():
    found = find_pii(pd.Series(["Write to a.person@example.org or 0123 456 7890.", "Nothing here.", None, "Mia Example said so."]))
    assert set(found.kind) == {"e-mail", "phone", "name?"} and set(found.row) == {0, 3}
