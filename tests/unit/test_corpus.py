"""course annotate: large files in pieces, again after a kill, and what goes wrong."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny

import course
from course import corpus

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed here")

WORDS = ["good", "bad", "not", "the council", "new school", "happy people"]


@pytest.fixture
def model(tmp_path):
    tiny.save(tmp_path / "model", id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1})
    return str(tmp_path / "model")


def table(rows):
    return pd.DataFrame({"number": range(rows), "text": [None if i % 17 == 5 else f"{WORDS[i % 6]} {WORDS[i % 5]}" for i in range(rows)]})


@pytest.mark.parametrize("kind", ["parquet", "csv", "folder"])
def test_every_row_is_answered_as_the_pipeline_does(tmp_path, model, kind):
    rows, source = table(100), tmp_path / f"in.{kind}"
    if kind == "csv":
        rows.to_csv(source, index=False)
    elif kind == "parquet":
        rows.to_parquet(source)
    else:
        source.mkdir()
        for number in range(3):
            rows[number * 40:(number + 1) * 40].to_parquet(source / f"{number}.parquet")
    assert corpus.annotate_file(source, tmp_path / "out.parquet", "sentiment-analysis", "text", model, piece=32, progress=False) == 100
    found = pd.read_parquet(tmp_path / "out.parquet")
    expected = course.pipeline("sentiment-analysis", model=model).frame(rows["text"])
    assert found["number"].tolist() == list(range(100))
    assert found["label"].fillna("").tolist() == expected["label"].fillna("").tolist()
    assert found["score"].fillna(-1).tolist() == pytest.approx(expected["score"].fillna(-1).tolist(), abs=1e-5)
    assert {p.name for p in tmp_path.iterdir()} == {"model", source.name, "out.parquet"}


def test_a_killed_run_goes_on_without_losing_or_repeating_a_row(tmp_path, model):
    """Killed with SIGKILL again and again, at other moments, until it comes to its end."""
    rows, source, target = table(3000), tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows.to_parquet(source)
    command = [sys.executable, "-m", "course", "annotate", str(source), str(target), "--task", "sentiment-analysis", "--model", model,
               "--column", "text", "--piece", "64"]
    here = os.environ | {"PYTHONPATH": str(Path(course.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    kills, parts = 0, tmp_path / "out.parquet.pieces"
    for extra in (0, 5):
        process = subprocess.Popen(command, env=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list(parts.glob("*.parquet")))
        while process.poll() is None and len(list(parts.glob("*.parquet"))) < before + 2 + extra:
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills and not target.exists() and list(parts.glob("*.parquet"))
    assert corpus.annotate_file(source, target, "sentiment-analysis", "text", model, piece=64, progress=False) == 3000
    found = pd.read_parquet(target)
    assert found["number"].tolist() == list(range(3000)) and not parts.exists()
    expected = course.pipeline("sentiment-analysis", model=model).frame(rows["text"])
    assert found["label"].fillna("").tolist() == expected["label"].fillna("").tolist()


def test_answers_with_several_entries_become_json(tmp_path, model):
    table(10).to_parquet(tmp_path / "in.parquet")
    corpus.annotate_file(tmp_path / "in.parquet", tmp_path / "out.parquet", "sentiment-analysis", "text", model, progress=False, top_k=None)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert '"label": "POSITIVE"' in found["answers"][0] and pd.isna(found["answers"][5])


def test_what_goes_wrong_is_said(tmp_path, model, capsys):
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table(10).to_parquet(source)

    def said(*arguments):
        assert corpus.main([str(a) for a in arguments]) == 1
        return capsys.readouterr().err
    rest = ("--task", "sentiment-analysis", "--model", model, "--column")
    assert "no column 'txt'; it has number, text" in said(source, target, *rest, "txt")
    assert "there is no" in said(tmp_path / "no.parquet", target, *rest, "text")
    (tmp_path / "cut.parquet").write_bytes(source.read_bytes()[:-9])
    assert "is damaged or no .parquet file" in said(tmp_path / "cut.parquet", target, *rest, "text")
    assert "should be a file, or a folder" in said(tmp_path / "model", target, *rest, "text")
    assert "say which with --codebook" in said(source, target, *rest, "text", "--train", str(source))
    book = tmp_path / "book.csv"
    book.write_text("label,definition\nhealth,doctors\ntransport,buses\n")
    few = ("--task", "few-shot", "--codebook", str(book), "--column", "text")
    assert "learns from hand codes" in said(source, target, *few)
    assert "train has no column 'gold'; it has number, text" in said(source, target, *few, "--train", str(source))
    assert not target.exists() and not list(tmp_path.glob("*.pieces/*.parquet"))
    corpus.begin(tmp_path / "out.parquet.pieces", {"another": "run"})
    (tmp_path / "out.parquet.pieces/00000000.parquet").touch()
    assert "pieces of a run with other settings" in said(source, target, *rest, "text")
    shutil.rmtree(tmp_path / "out.parquet.pieces")
    assert corpus.main([str(source), str(target), *rest, "text"]) == 0
    assert "out.parquet; 10 of them answered now" in capsys.readouterr().err
    assert "is there already" in said(source, target, *rest, "text")


def test_a_codebook_codes_as_annotate_does(tmp_path):
    """course annotate --codebook is research.annotate in pieces: the same labels and probabilities, and the record beside them."""
    from course.research import Codebook, annotate, read_record
    book = Codebook("topics", "", {"transport": "roads, buses and trains", "health": "doctors, hospitals, illness"})
    texts = ["The bus is late.", None, "The doctor retired.", "No train on Sundays.", "  ", "Too few hospitals."] * 3
    frame = pd.DataFrame({"text": texts, "id": range(100, 118)})
    train = frame[frame["text"].notna()][:4].assign(gold=["transport", "health", "transport", "health"])
    frame.to_parquet(tmp_path / "in.parquet")
    train.to_csv(tmp_path / "hand.csv", index=False)
    book.save(tmp_path / "book.json")
    for task, more in (("similarity", []), ("few-shot", ["--train", str(tmp_path / "hand.csv")])):
        target = tmp_path / f"{task}.parquet"
        assert corpus.main([str(tmp_path / "in.parquet"), str(target), "--task", task, "--codebook", str(tmp_path / "book.json"),
                            "--column", "text", "--piece", "5", *more]) == 0
        expected = annotate(frame, "text", book, method=task, train=train[train["text"].str.strip() != ""] if more else None)
        found = pd.read_parquet(target)
        assert list(found) == ["text", *[name for name in expected if name != "text"]]
        assert found["label"].fillna("").tolist() == expected["label"].fillna("").tolist()
        assert found["p_health"].fillna(-1).tolist() == pytest.approx(expected["p_health"].fillna(-1).tolist(), abs=1e-5)
        assert found["valid"].tolist() == expected["valid"].tolist()
        record = read_record(target.with_suffix(".record.json"))
        assert record["method"] == task and record["codebook_hash"] == book.hash and len(record["train_ids"]) == (4 if more else 0)


def test_a_piece_in_which_nothing_was_said_has_the_same_columns(tmp_path, model):
    pd.DataFrame({"text": [None, "", "good", None]}).to_parquet(tmp_path / "in.parquet")
    corpus.annotate_file(tmp_path / "in.parquet", tmp_path / "out.parquet", "sentiment-analysis", "text", model, piece=2, progress=False)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["label"].isna().tolist() == [True, True, False, True] and found["score"].dtype == float
