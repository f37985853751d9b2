"""The data sets of the course, and load_dataset: names, files, the Hub, and what is said about broken ones."""

import gzip
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import cohen_kappa_score

from course import data, hub, list_datasets, load_dataset

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).parents[2]
TOPICS = {"housing", "transport", "health", "economy", "education", "safety", "environment", "community", "government", "other"}
SENTIMENTS = {"negative", "mixed", "positive"}
COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def survey():
    return load_dataset("local_life")


# -- local_life ----------------------------------------------------------------------------------------------------------


def test_the_survey_is_complete(survey):
    assert list(survey) == ["respondent", "age", "gender", "education", "area", "household", "interest", "question", "language", "answer",
                            "topic_a", "topic_b", "topic_c", "sentiment_a", "sentiment_b", "sentiment_c"]
    people = survey.groupby("respondent")
    assert (people.size() == 3).all() and len(survey) >= 840
    assert (people[["age", "gender", "education", "area", "household", "interest"]].nunique() == 1).all(axis=None)
    assert survey["question"].tolist() == ["problem", "change", "wish"] * people.ngroups
    assert survey["answer"].notna().sum() >= 800
    assert 5 <= survey["answer"].isna().sum() <= 20
    assert survey.drop(columns=["answer", "topic_c", "sentiment_c"]).notna().all(axis=None)
    third = survey["respondent"] % 4 == 0
    assert (survey["topic_c"].notna() == third).all() and (survey["sentiment_c"].notna() == third).all()


def test_the_survey_holds_only_values_of_its_codebook(survey):
    for coder in "abc":
        assert set(survey[f"topic_{coder}"].dropna()) == TOPICS
        assert set(survey[f"sentiment_{coder}"].dropna()) == SENTIMENTS
    assert survey["age"].between(16, 99).all()
    for column in ("gender", "education", "area", "household", "interest", "question"):
        assert all(value in survey.attrs["card"] for value in survey[column].unique())
    assert all(f"| {topic} |" in survey.attrs["card"] for topic in TOPICS)
    assert (survey.loc[survey["answer"].isna(), ["topic_a", "topic_b"]] == "other").all(axis=None)


def test_answers_are_written_one_by_one(survey):
    answers = survey["answer"].dropna().str.lower()
    assert answers.is_unique or answers.duplicated().mean() < 0.01
    long = answers[answers.str.split().str.len() >= 4].tolist()
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(5, 5)).fit_transform(long)
    close = (grams @ grams.T).toarray() > 0.6
    np.fill_diagonal(close, False)
    assert close.any(axis=1).mean() < 0.02                              # answers that have a near-duplicate
    openings = Counter(tuple(answer.split()[:4]) for answer in long)
    assert len(openings) / len(long) > 0.98 and openings.most_common(1)[0][1] <= 3
    endings = Counter(tuple(answer.split()[-4:]) for answer in long)
    assert len(endings) / len(long) > 0.98
    assert len(set(" ".join(long).split())) > 3000


def test_answers_differ_in_length_and_language(survey):
    words = survey["answer"].fillna("").str.split().str.len()
    assert 8 <= words.median() <= 16 and words.std() > 8
    assert (words.between(1, 3)).sum() >= 60 and (words >= 40).sum() >= 15 and 80 <= words.max() <= 150
    assert 10 <= (survey["language"] != "en").sum() <= 30 and survey["language"].nunique() >= 6


def test_coders_differ_where_it_is_hard_to_say(survey):
    topic = cohen_kappa_score(survey["topic_a"], survey["topic_b"])
    sentiment = cohen_kappa_score(survey["sentiment_a"], survey["sentiment_b"])
    assert 0.7 <= topic <= 0.85 and 0.6 <= sentiment < topic
    assert f"kappa {topic:.2f} for topic, {sentiment:.2f} for sentiment" in survey.attrs["card"]
    # their styles: B reads complaints into wishes, A hears traffic first
    wishes = survey[survey["question"] == "wish"]
    assert (wishes["sentiment_b"] == "negative").sum() > 3 * (wishes["sentiment_a"] == "negative").sum()
    assert (survey["topic_a"] == "transport").sum() > (survey["topic_b"] == "transport").sum()
    swapped = ((survey["sentiment_a"] == "negative") & (survey["sentiment_b"] == "positive")).sum()
    assert swapped <= 2                                                # nobody takes good for bad by chance


def test_answers_fit_the_people(survey):
    def share(topic, people):
        return (survey.loc[people & survey["question"].eq("problem"), "topic_a"] == topic).mean()
    city, village, young = survey["area"] == "city", survey["area"] == "village", survey["age"] < 35
    assert share("housing", city & young) > 2 * share("housing", village)
    assert share("transport", village) > 2 * share("transport", city)


def test_figures_on_the_card_are_those_of_the_data(survey):
    card = survey.attrs["card"]
    words = survey["answer"].fillna("").str.split().str.len()
    for figure in (f"{len(survey)}: three answers of each of {survey['respondent'].nunique()} respondents; {survey['answer'].isna().sum()} answers are empty",
                   f"English; {(survey['language'] != 'en').sum()} answers in", f"0 to {words.max()} words, median {words.median():.0f}",
                   f"{survey['age'].min()} to {survey['age'].max()}", f"({survey['topic_c'].notna().sum()} answers)"):
        assert figure in card, figure
    some = survey.dropna(subset=["topic_c"])
    for what in ("topic", "sentiment"):
        for coder in "ab":
            assert f"{cohen_kappa_score(some[f'{what}_{coder}'], some[f'{what}_c']):.2f}" in card.split("C codes", 1)[1]


# -- languages -----------------------------------------------------------------------------------------------------------


def test_languages_are_parallel():
    texts = load_dataset("languages")
    wide = texts.pivot(index="sentence", columns="code", values="text")
    assert wide.shape == (31, 8) and wide.notna().all(axis=None) and list(texts)[:4] == ["sentence", "language", "code", "text"]
    assert not texts["text"].duplicated().any() and (texts["text"] == texts["text"].str.strip()).all()
    for code, letters in {"ar": r"[\u0600-\u06ff]", "zh": r"[\u4e00-\u9fff]", "tr": "[ıışğİ]", "mi": "[āēīōū]", "de": "[äöüß]"}.items():
        assert wide[code].str.contains(letters).sum() >= (30 if code in ("ar", "zh") else 12), code
    assert not wide["mi"].str.contains("[bcdfjlqsvxyz]", case=False).any()          # letters that Māori does not have
    assert (texts.loc[texts["sentence"] == 31, "source"] == "udhr").all() and (texts["source"] == "course").sum() == 240


# -- names ---------------------------------------------------------------------------------------------------------------


def test_every_data_set_has_a_card_and_is_found():
    assert list_datasets() == ["languages", "local_life"]
    for name in list_datasets():
        rows = load_dataset(name)
        assert len(rows) and rows.attrs["card"].startswith(f"# {name}: ") and "icence" in rows.attrs["card"]
        assert load_dataset(name, split="train").equals(rows)


def test_the_wheel_takes_every_package_and_the_data():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {f"course.{init.parent.name}" for init in (ROOT / "course").glob("*/__init__.py")}
    assert set(settings["packages"]) == folders | {"course", "course.datasets"}
    assert settings["package-dir"] == {"course.datasets": "datasets"}
    patterns = settings["package-data"]["course.datasets"]
    assert all(any(file.match(pattern) for pattern in patterns) for file in (ROOT / "datasets").iterdir())


@pytest.mark.parametrize("name", ["locallife", "my_survey", "x.csv", "a/b/c", "../local_life", "owner/table.csv", "a b", "x" * 5000, "a\0b"])
def test_unknown_names(name):
    with pytest.raises(FileNotFoundError, match="there is no data set .*With the package come: languages, local_life") as caught:
        load_dataset(name)
    assert len(str(caught.value)) < 1200
    assert ("Did you mean 'local_life'" in str(caught.value)) == (name in ("locallife", "../local_life"))


@pytest.mark.parametrize("name", [None, 7, "", ["local_life"]])
def test_what_is_no_name(name):
    with pytest.raises(TypeError, match="load_dataset needs a name or a path, got"):
        load_dataset(name)


def test_splits_and_options_that_do_not_exist():
    with pytest.raises(ValueError, match="local_life.csv is not divided into parts, so it has no split 'test'. Divide it yourself"):
        load_dataset("local_life", split="test")
    with pytest.raises(TypeError, match="does not know streaming; it takes name, split, data_files"):
        load_dataset("local_life", streaming=True)


# -- files ---------------------------------------------------------------------------------------------------------------


ROWS = [{"text": "Der Bus, \"immer\" zu spät", "n": 1}, {"text": "NA", "n": 2}, {"text": "两行\ntext", "n": 3}]


@pytest.mark.parametrize("kind", ["csv", "semicolon.csv", "tsv", "jsonl", "json", "csv.gz", "jsonl.gz", "windows.csv"])
def test_files_of_every_kind(tmp_path, kind):
    path, table = tmp_path / f"data.{kind}", pd.DataFrame(ROWS)
    if "json" in kind:
        table.to_json(path, orient="records", lines="jsonl" in kind)
    else:
        table.to_csv(path, index=False, sep={"semicolon.csv": ";", "tsv": "\t"}.get(kind, ","),
                     encoding="utf-8-sig" if kind == "windows.csv" else "utf-8", lineterminator="\r\n" if kind == "windows.csv" else "\n")
    assert load_dataset(path).to_dict("records") == ROWS
    assert load_dataset(str(path)).attrs["card"] == ""


LONE = """id\ttext
1\t"He would not say
2\t"quoted, all of it"
3\tand then she said no"
4\t"Yes" and "no"
"""


def test_a_line_of_a_tsv_is_a_row_whatever_its_quotation_marks(tmp_path):
    """Between two lone marks, rows were merged into one, silently."""
    (tmp_path / "a.tsv").write_text(LONE)
    texts = ['"He would not say', "quoted, all of it", 'and then she said no"', '"Yes" and "no"']
    assert load_dataset(tmp_path / "a.tsv").to_dict("list") == {"id": [1, 2, 3, 4], "text": texts}
    (tmp_path / "a.csv").write_bytes(LONE.replace("\n", "\r\n").encode("utf-16"))     # Excel's "Unicode text", renamed
    assert load_dataset(tmp_path / "a.csv").to_dict("list") == {"id": [1, 2, 3, 4], "text": texts}
    (tmp_path / "a.csv").write_text('sep=\t\nid\ttext\tn\n1\t"He said\t7\n2\tshe said"\t8\n')
    assert load_dataset(tmp_path / "a.csv")["text"].tolist() == ['"He said', 'she said"']
    (tmp_path / "b.tsv").write_text('id\ttext\n1\t"two\nlines"\n2\t"a ""word"""\n\n3\t\n')    # written by a program
    rows = load_dataset(tmp_path / "b.tsv")
    assert rows["text"].tolist()[:2] == ["two\nlines", 'a "word"'] and rows["text"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(("content", "columns", "first"), [
    ('"Q1: What, if anything, worries you?";party\nrents;A\nnothing;B\n', ["Q1: What, if anything, worries you?", "party"],
     ["rents", "A"]),
    ('"a; b; c",d\n1,2\n', ["a; b; c", "d"], [1, 2]),
    ("id;name, first\n1;Anna\n2;Ben\n", ["id", "name, first"], [1, "Anna"]),
    ("sep=;\nid;text\n1;a, b, c\n", ["id", "text"], [1, "a, b, c"]),
    ('"sep=\t"\nid\ttext\n1\ta;b\n', ["id", "text"], [1, "a;b"]),
    ("sep=|\r\nid|text\r\n1|a,b;c\r\n", ["id", "text"], [1, "a,b;c"]),
    ("answer\nrent\n", ["answer"], ["rent"]),
])
def test_what_stands_between_cells(tmp_path, content, columns, first):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a.csv").write_text(content, encoding=encoding, newline="")
        rows = load_dataset(tmp_path / "a.csv")
        assert list(rows.columns) == columns and rows.iloc[0].tolist() == first, encoding


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(("name", "content"), [
    ("a.csv", "id,text\n1,Müll\n"), ("a.csv", "id;text\n1;Müll\n"), ("a.tsv", "id\ttext\n1\tMüll\n"),
    ("a.json", '[{"id": 1, "text": "Müll"}]'), ("a.jsonl", '{"id": 1, "text": "Müll"}\n')])
def test_exports_in_utf_16(tmp_path, name, content, encoding):
    (tmp_path / name).write_bytes(content.encode(encoding))
    assert load_dataset(tmp_path / name).to_dict("records") == [{"id": 1, "text": "Müll"}]


BIG = 1234567890123456789                    # an id of a social network; as a float it ends in …800


@pytest.mark.parametrize(("name", "content"), [
    ("a.csv", f"id,text\n{BIG},a\n,b\n"), ("a.tsv", f"id\ttext\n{BIG}\ta\n\tb\n"),
    ("a.jsonl", f'{{"id": {BIG}, "text": "a"}}\n{{"id": null, "text": "b"}}\n'),
    ("a.jsonl", f'{{"id": {BIG}, "text": "a"}}\n{{"text": "b"}}\n'),
    ("a.json", f'[{{"id": {BIG}, "text": "a"}}, {{"id": null, "text": "b"}}]'),
    ("a.json", f'{{"id": [{BIG}, null], "text": ["a", "b"]}}')])
def test_no_digit_of_a_long_id_is_lost(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    rows = load_dataset(tmp_path / name)
    assert rows["id"].iloc[0] == BIG and rows["id"].isna().tolist() == [False, True] and rows["text"].tolist() == ["a", "b"]
    (tmp_path / name).write_text(content.replace(str(BIG), str(BIG) * 2))                 # more than any integer of 64 bits
    assert int(load_dataset(tmp_path / name)["id"].iloc[0]) == int(str(BIG) * 2)


@pytest.mark.parametrize("content", [
    '[{"id": "00123", "when": "2024-01-05"}, {"id": "00124", "when": "1999"}]',
    '{"id": ["00123", "00124"], "when": ["2024-01-05", "1999"]}',
    '{"id": {"0": "00123", "1": "00124"}, "when": {"0": "2024-01-05", "1": "1999"}}',
    '{"columns": ["id", "when"], "index": [0, 1], "data": [["00123", "2024-01-05"], ["00124", "1999"]]}',
    '{"id": "00123", "when": "2024-01-05"}\n{"id": "00124", "when": "1999"}\n'])
def test_texts_in_json_stay_texts(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    assert load_dataset(tmp_path / "a.json").to_dict("list") == {"id": ["00123", "00124"], "when": ["2024-01-05", "1999"]}


def test_leading_zeros_of_postal_codes_stay(tmp_path):
    (tmp_path / "a.csv").write_text("code,code,age,share\n01067,1,30,0.5\n80331,2,,07\n")
    rows = load_dataset(tmp_path / "a.csv")
    assert rows["code"].tolist() == ["01067", "80331"] and rows["code.1"].tolist() == [1, 2]
    assert rows["age"].iloc[0] == 30 and rows["share"].tolist() == ["0.5", "07"]


def test_parquet_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", lambda path: (_ for _ in ()).throw(ImportError("no engine")))
    with pytest.raises(ImportError, match="a.parquet is a Parquet file.*pip install pyarrow"):
        load_dataset(tmp_path / "a.parquet")


def test_words_that_mean_missing_elsewhere_stay_words(tmp_path):
    (tmp_path / "a.csv").write_text("answer,n\nNA,1\nnone,2\nn/a,\n,4\n")
    rows = load_dataset(tmp_path / "a.csv")
    assert rows["answer"].tolist()[:3] == ["NA", "none", "n/a"] and rows["answer"].isna().tolist() == [False] * 3 + [True]
    assert rows["n"].isna().tolist() == [False, False, True, False]


def test_a_huge_cell_is_read(tmp_path):
    text = "word " * 400_000
    (tmp_path / "a.csv").write_text(f'n,text\n1,"{text}"\n2,short\n')
    assert load_dataset(tmp_path / "a.csv")["text"].tolist() == [text, "short"]


def test_a_column_split_divides_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("text,split\na,train\nb,test\nc,train\n")
    assert load_dataset(tmp_path / "a.csv", split="train")["text"].tolist() == ["a", "c"]
    assert len(load_dataset(tmp_path / "a.csv")) == 3
    with pytest.raises(ValueError, match="a.csv has no split 'dev'; there are: train, test"):
        load_dataset(tmp_path / "a.csv", split="dev")


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.csv", b"", "is empty: a table starts with a line of column names"),
    ("a.csv", b"\n\n  \n", "is empty"),
    ("a.csv", b"a,b\n1,2\n1,2,3\n", "is not a regular table .*line 3.*as many cells as the first"),
    ("a.csv", b"a,b\n1,2,3\n1,2,3\n", "is not a regular table"),
    ("a.csv", b'a,b\n1,"open\n2,3\n', "is not a regular table .*each quotation mark closed"),
    ("a.csv", "a,b\nMüller,1\n".encode("cp1252"), "is not text in UTF-8 .byte 0xfc.*CSV UTF-8.*encoding='cp1252'"),
    ("a.csv", "a;b\nMüller, A;1\n".encode("cp1252"), "read it with pandas.read_csv.*, sep=';', encoding='cp1252'"),
    ("a.csv", "a,b\nx,1\n".encode("utf-16")[:-1], "is not text in UTF-16.*save it again as 'CSV UTF-8', or as text in UTF-8"),
    ("a.jsonl", '{"a": "ü"}'.encode("cp1252"), "is not text in UTF-8 .byte 0xfc.*or as text in UTF-8$"),
    ("a.csv.gz", b"a,b\n1,2\n", "cannot be unpacked"),
    ("a.jsonl", b'{"a": 1}\n{"a": 2\n', "line 2 is not JSON"),
    ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2 should be an object like .* not a list"),
    ("a.jsonl", b'{"a": 1}\n' + b"[" * 100_000, "line 2 is not JSON: nested too deeply"),
    ("a.jsonl", b"\n", "is empty: each line should hold an object"),
    ("a.jsonl", b"\xff", "is not text in UTF-8"),
    ("a.json", b"[" * 100_000, "nested too deeply"),
    ("a.json", b'{"a": 1}\n{"a": 2\n', "line 2 is not JSON"),
    ("a.json", b'["a", "b"]', "a table is a list of objects"),
    ("a.json", b'{"a": [1, 2', "is damaged or not a .json table"),
    ("a.xlsx", b"PK", "is not a table that load_dataset reads .*From a spreadsheet, save it as 'CSV UTF-8'"),
    ("notes", b"text", "is not a table that load_dataset reads"),
])
def test_broken_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_folder_says_what_it_holds(tmp_path):
    (tmp_path / "answers.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="is a folder; give the path of one file. It holds: answers.csv"):
        load_dataset(tmp_path)


# -- the Hub -------------------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's protocol as one small data set takes."""

    files: dict[str, bytes]
    log: list[str] = []

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        type(self).log.append(f"{self.command} {self.path}")
        api = re.match(r"/api/datasets/someone/answers(/revision/main)?(\?|$)", self.path)
        file = re.match(r"/datasets/someone/answers/resolve/(?:main|[0-9a-f]{40})/([^?]+)", self.path)
        if api:
            self.answer(json.dumps({"id": "someone/answers", "sha": COMMIT, "siblings": [{"rfilename": f} for f in self.files]}).encode())
        elif file and file[1] in self.files:
            self.answer(self.files[file[1]])
        else:
            self.answer(b"", 404 if file else 401, "EntryNotFound" if file else "RepoNotFound")

    def answer(self, content, status=200, code=None):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        for key, value in (("Content-Length", len(content)), ("ETag", f'"{abs(hash(content)):040x}"'), ("X-Repo-Commit", COMMIT)):
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    Hub.log, Hub.files = [], {"README.md": b"# answers: a card", "train.csv": b"text,n\na,1\nb,2\n", "data/test.csv": b"text,n\nc,3\n"}
    running = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def online(code, server, home):
    """Runs code in a fresh process whose Hub is the server; huggingface_hub reads its variables when it is imported."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                          env=plain | {"HF_ENDPOINT": server, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                                       "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "3"})


LOAD = """from course import load_dataset
def show(*args, **kwargs):
    try:
        rows = load_dataset(*args, **kwargs)
        print(rows.to_dict('list'), rows.attrs['card'])
    except Exception as error:
        print(type(error).__name__, ' '.join(str(error).split()))
"""


def test_a_data_set_of_the_hub_is_asked_for_once(server, tmp_path):
    code = LOAD + "show('someone/answers', split='train')\nshow('someone/answers', 'test')\nshow('someone/answers')\n" \
        "show('someone/answers', 'dev')\nshow('someone/answers', data_files='data/test.csv')\nshow('someone/answes')"
    first = online(code, server, tmp_path)
    lines = first.stdout.splitlines()
    assert lines[:2] == ["{'text': ['a', 'b'], 'n': [1, 2]} # answers: a card", "{'text': ['c'], 'n': [3]} # answers: a card"], first.stderr
    assert lines[2].startswith("ValueError 'someone/answers' has several parts; choose one") and lines[2].endswith("test, train")
    assert lines[3] == "ValueError 'someone/answers' has no split 'dev'; there are: test, train"
    assert lines[4] == lines[1]
    assert lines[5].startswith("FileNotFoundError there is no dataset 'someone/answes' on the Hub") and "Did you mean 'someone/answers'" in lines[5]
    Hub.log.clear()
    again = LOAD + "show('someone/answers', split='train')\nshow('someone/answers')"
    second = online(again, server, tmp_path)
    assert second.stdout.splitlines() == [lines[0], lines[2]] and Hub.log == []
    assert load_dataset("someone/answers", split="test", cache_dir=tmp_path / "hub")["text"].tolist() == ["c"]   # tests are offline


def test_data_sets_of_the_hub_that_cannot_be_had(server, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not on this computer and HF_HUB_OFFLINE is set.*Data sets that need no download: languages, local_life"):
        load_dataset("someone/answers", "train", cache_dir=tmp_path)
    code = LOAD + "show('someone/answers', 'train')"
    found = online(code, "http://127.0.0.1:9", tmp_path).stdout
    assert found.startswith("OSError 'someone/answers' is not on this computer and the Hub cannot be reached. Check the connection")
    Hub.files = {"README.md": b"# only words", "settings.json": b"{}"}
    assert "'someone/answers' on the Hub has no CSV, TSV, JSONL or Parquet file" in online(code, server, tmp_path).stdout
    assert not list(tmp_path.rglob("tables"))
    Hub.files = {"a.csv": b"text\na\n", "b.csv": b"words\nb\n"}
    assert "have different columns" in online(code, server, tmp_path / "new").stdout


def cached(cache, files):
    """A data set that huggingface_hub has downloaded, whole."""
    repo = Path(cache) / "datasets--someone--answers"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text(COMMIT)
    for name, content in files.items():
        path = repo / "snapshots" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_what_another_program_has_downloaded_is_used_offline(tmp_path):
    rows = gzip.compress(b'{"text": "a"}\n')
    cached(tmp_path, {"en/train-00000-of-00002.jsonl.gz": rows, "en/train-00001-of-00002.jsonl.gz": rows, "README.md": b"card"})
    found = load_dataset("someone/answers", cache_dir=tmp_path)
    assert found["text"].tolist() == ["a", "a"] and found.attrs["card"] == "card"
    assert load_dataset("someone/answers", data_files="en/train-00000-of-00002.jsonl.gz", cache_dir=tmp_path)["text"].tolist() == ["a"]


@pytest.mark.parametrize(("files", "split", "chosen"), [
    (["a.csv", "b.csv"], None, ["a.csv", "b.csv"]),
    (["a.csv"], "train", ["a.csv"]),
    (["train.csv", "notes.csv"], None, ["train.csv"]),
    (["data/dev-00000.parquet", "data/dev-00001.parquet", "data/train.parquet"], "validation", ["data/dev-00000.parquet", "data/dev-00001.parquet"]),
    (["test/x.csv", "training/x.csv"], "train", ["training/x.csv"]),
    (["contest.csv"], "train", ["contest.csv"]),
])
def test_files_of_a_split(files, split, chosen):
    assert data.choose("someone/answers", split, files) == chosen


def test_several_tables_are_never_mixed():
    for files in (["de/train.csv", "en/train.csv"], ["train.csv", "train.jsonl"]):
        with pytest.raises(ValueError, match=f"holds more than one table for 'train': {', '.join(files)}. Choose one.*data_files='{files[0]}'"):
            data.choose("someone/answers", "train", files)


def test_pandas_is_asked_for_by_name():
    code = "import sys; sys.modules['pandas'] = None\nfrom course import load_dataset"
    found = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, cwd=ROOT)
    assert 'ModuleNotFoundError: data sets need pandas. Try: pip install "course[lab]"' in found.stderr


def test_data_sets_ship_inside_an_installed_package(tmp_path):
    """hub.DATASETS looks beside hub.py first: there the wheel puts them."""
    (tmp_path / "course/datasets").mkdir(parents=True)
    (tmp_path / "course/hub.py").write_text((ROOT / "course/hub.py").read_text(encoding="utf-8"), encoding="utf-8")
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['DATASETS'])"
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "course/hub.py")], text=True, capture_output=True)
    assert found.stdout.strip() == str(tmp_path / "course/datasets") != str(hub.DATASETS)
