"""Where files come from: folder, pocket model, cache, Hub; and what is said when they do not come."""

import json
import os
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tiny

import course
from course import AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer, hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cached(cache, name, folder=None, commit=COMMIT, branch="main"):
    """Puts a checkpoint into a cache as huggingface_hub does; returns its folder there."""
    repo = Path(cache) / f"models--{name.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True, exist_ok=True)
    (repo / "refs" / branch).write_text(commit)
    tiny.save(repo / "snapshots" / commit) if folder is None else None
    return repo / "snapshots" / commit


@pytest.fixture
def no_download(monkeypatch):
    def refuse(*args):
        raise AssertionError(f"wanted to download {args[:2]}")
    monkeypatch.setattr(hub, "download", refuse)


# -- the order -----------------------------------------------------------------------------------------------------------


def test_folder_first_then_cache(tmp_path, monkeypatch, no_download):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    snapshot = cached(tmp_path / "cache", "someone/tiny")
    assert hub.find_file("someone/tiny", "vocab.txt", cache_dir=tmp_path / "cache") == snapshot / "vocab.txt"
    tiny.save(tmp_path / "someone/tiny")
    assert hub.find_file("someone/tiny", "vocab.txt", cache_dir=tmp_path / "cache") == Path("someone/tiny/vocab.txt")
    assert hub.find_file(Path("someone/tiny"), "vocab.txt").is_file()


def test_pocket_models_come_before_the_cache(tmp_path, monkeypatch, no_download):
    monkeypatch.setattr(hub, "POCKET", tmp_path / "pocket")
    tiny.save(tmp_path / "pocket/mine")
    cached(tmp_path / "cache", "pocket/mine")
    assert hub.find_file("pocket/mine", "vocab.txt", cache_dir=tmp_path / "cache") == tmp_path / "pocket/mine/vocab.txt"
    assert hub.pocket_names() == ["pocket/mine"]
    assert AutoTokenizer.from_pretrained("pocket/mine").name_or_path == "pocket/mine"
    with pytest.raises(FileNotFoundError, match="no pocket model 'pocket/yours'; there are: pocket/mine"):
        hub.find_file("pocket/yours", "config.json")


def test_a_cached_checkpoint_loads_without_any_request(tmp_path, monkeypatch, no_download):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshot = cached(tmp_path / "hub", "someone/tiny")
    for file in ("model.safetensors.index.json", "pytorch_model.bin", "added_tokens.json", "chat_template.jinja"):
        (snapshot.parents[1] / ".no_exist" / COMMIT).mkdir(parents=True, exist_ok=True)
        (snapshot.parents[1] / ".no_exist" / COMMIT / file).touch()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    AutoModelForSequenceClassification.from_pretrained("someone/tiny")
    AutoTokenizer.from_pretrained("someone/tiny")
    with pytest.raises(AssertionError, match="wanted to download"):
        AutoTokenizer.from_pretrained("someone/tiny", force_download=True)


def test_revisions(tmp_path, no_download, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    other = "f" * 40
    cached(tmp_path, "someone/tiny")
    cached(tmp_path, "someone/tiny", commit=other, branch="v2")
    assert COMMIT in str(hub.find_file("someone/tiny", "vocab.txt", cache_dir=tmp_path))
    for revision in ("v2", other):
        assert other in str(hub.find_file("someone/tiny", "vocab.txt", cache_dir=tmp_path, revision=revision))
    with pytest.raises(AssertionError, match="wanted to download"):
        hub.find_file("someone/tiny", "vocab.txt", cache_dir=tmp_path, revision="v3")


VARIABLES = ["TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE", "HF_HUB_CACHE",
             "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_cache_variables(variable, monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert hub.cache_folder() == Path.home() / ".cache/huggingface/hub"
    monkeypatch.setenv(variable, str(tmp_path))
    below = {"HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}.get(variable, "")
    assert hub.cache_folder() == tmp_path / below
    cached(tmp_path / below, "someone/tiny")
    assert BertTokenizer.from_pretrained("someone/tiny")("good").tokens() == ["[CLS]", "good", "[SEP]"]
    monkeypatch.setenv("TRANSFORMERS_CACHE", str(tmp_path / "first"))
    assert hub.cache_folder() == tmp_path / "first"


# -- without a network ---------------------------------------------------------------------------------------------------


def test_offline_says_what_is_missing_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        AutoTokenizer.from_pretrained("bert-base-uncasd")
    text = str(caught.value)
    for part in ("config.json of 'bert-base-uncasd' is not on this computer", "HF_HUB_OFFLINE is set", "Did you mean 'bert-base-uncased'",
                 f"it stays in {tmp_path / 'hub'}", "give its path", "need no download"):
        assert part in text
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(FileNotFoundError, match="local_files_only=True"):
        AutoTokenizer.from_pretrained("bert-base-uncased", local_files_only=True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    assert hub.offline()


def test_names_in_the_cache_are_suggested(tmp_path):
    cached(tmp_path, "someone/codebook-model")
    with pytest.raises(FileNotFoundError, match="Did you mean 'someone/codebook-model'"):
        hub.find_file("someone/codebok-model", "config.json", cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["./my model", "/no/such/folder", "../x", "C:\\models\\bert", "a/b/c", "http://x.y/z", "bert base", "x" * 5000,
                                  "a\0b", "-v", ".hidden", "é", "a--b", "a..b"])
def test_what_is_neither_folder_nor_name(name):
    with pytest.raises(FileNotFoundError, match="is neither a folder on this computer .*nor the name of a model on the Hub"):
        hub.find_file(name, "config.json")


@pytest.mark.parametrize("name", [None, 5, "", ["bert"]])
def test_what_is_no_name_at_all(name):
    with pytest.raises(TypeError, match="a model name or a folder is needed, got"):
        hub.find_file(name, "config.json")


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.safetensors").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file: give the folder that it lies in"):
        hub.find_file(tmp_path / "model.safetensors", "config.json")


def test_a_folder_that_is_no_checkpoint(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"has no config.json, so it is not a saved model or tokenizer \(it holds: notes.txt\)"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert hub.find_file(tmp_path, "config.json", required=False) is None


# -- a Hub on this computer ----------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's protocol as downloading files takes."""

    folder: Path
    broken: set[str] = set()
    log: list[str] = []

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        type(self).log.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if len(parts) < 5 or parts[2] != "resolve":
            return self.fail(404, "RepoNotFound")
        name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        if name == "someone/gated":
            return self.fail(403, "GatedRepo")
        if name == "someone/down":
            return self.fail(503, "")
        if name != "someone/tiny":
            return self.fail(401, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self.fail(404, "RevisionNotFound")
        path = self.folder / file
        if not path.is_file():
            return self.fail(404, "EntryNotFound")
        data = path.read_bytes()
        self.send_response(200)
        for key, value in (("Content-Length", len(data)), ("ETag", f'"{abs(hash(data)):040x}"'), ("X-Repo-Commit", COMMIT)):
            self.send_header(key, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data[:len(data) // 2] if file in self.broken else data)

    def fail(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(folder):
    Hub.folder, Hub.log, Hub.broken = folder, [], set()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def online(code, server, home, **variables):
    """Runs code in a fresh process whose Hub is the server; huggingface_hub reads its variables when it is imported."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    found = subprocess.run([sys.executable, "-c", f"from course import BertTokenizer, hub\n{code}"], text=True, capture_output=True,
                           env=plain | {"HF_ENDPOINT": server, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                                        "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "3"} | variables)
    return found


LOAD = ("from course import AutoModelForSequenceClassification as Model, AutoTokenizer\n"
        "print(Model.from_pretrained('someone/tiny').num_parameters(), AutoTokenizer.from_pretrained('someone/tiny')('good').tokens())")


def test_download_once_then_never_ask_again(server, tmp_path, folder):
    first = online(LOAD, server, tmp_path / "home")
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith(" ['[CLS]', 'good', '[SEP]']\n")
    snapshot = tmp_path / "home/hub/models--someone--tiny/snapshots" / COMMIT
    assert (snapshot / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert any(line.endswith("/resolve/main/model.safetensors") for line in Hub.log)
    Hub.log.clear()
    second = online(LOAD, server, tmp_path / "home")
    assert second.stdout == first.stdout and Hub.log == []
    third = online(LOAD, "http://127.0.0.1:9", tmp_path / "home", HF_HUB_OFFLINE="1")
    assert third.stdout == first.stdout


REFUSED = [
    ("someone/tinny", "config.json", None, ["there is no model 'someone/tinny' on the Hub", "HF_TOKEN", "Did you mean 'someone/tiny'"]),
    ("someone/gated", "config.json", None, ["'someone/gated' asks for an account: accept its terms", "HF_TOKEN"]),
    ("someone/tiny", "config.json", "v9", ["'someone/tiny' has no revision 'v9'"]),
    ("someone/tiny", "nothing.json", None, ["'someone/tiny' on the Hub has no file nothing.json."]),
    ("someone/down", "config.json", None, ["the Hub cannot be reached", "Check the connection (or HF_ENDPOINT)", "503"]),
]


def test_names_in_another_case_are_suggested(tmp_path):
    assert hub.suggestion("Bert-Base-Uncased", tmp_path, "model").startswith(" Did you mean 'bert-base-uncased'")


def test_what_the_hub_refuses(server, tmp_path):
    code = "hub.find_file('someone/tiny', 'vocab.txt')\n" + "\n".join(
        f"try: hub.find_file({name!r}, {file!r}, revision={revision!r})\nexcept OSError as error: print(error)"
        for name, file, revision, _ in REFUSED)
    found = online(code, server, tmp_path)
    assert found.returncode == 0, found.stderr
    for line, (*_, parts) in zip(found.stdout.splitlines(), REFUSED, strict=True):
        assert all(part in line for part in parts), line
    assert not list(tmp_path.rglob("*.incomplete"))


def test_no_connection_fails_at_once_and_files_at_hand_still_work(tmp_path):
    snapshot = cached(tmp_path / "hub", "someone/tiny")
    (snapshot / "tokenizer_config.json").unlink()     # nobody can say whether the Hub has one
    code = ("import time; time.sleep = lambda seconds: print('waits', seconds)\n"
            "print(BertTokenizer.from_pretrained('someone/tiny')('good').tokens())\n"
            "try: BertTokenizer.from_pretrained('someone/other')\nexcept OSError as error: print(error)")
    found = online(code, "http://127.0.0.1:9", tmp_path)
    tokens, error = found.stdout.splitlines()
    assert tokens == "['[CLS]', 'good', '[SEP]']"
    assert "'someone/other' is not on this computer and the Hub cannot be reached" in error and "downloads are kept in" in error
    assert "Traceback" not in found.stderr


def test_a_broken_download_leaves_no_file_behind(server, tmp_path, folder):
    Hub.broken = {"model.safetensors"}
    code = "print(hub.find_file('someone/tiny', 'model.safetensors', required=False))"
    found = online(f"try: {code}\nexcept OSError as error: print('refused:', error)", server, tmp_path)
    assert "refused: the download of someone/tiny/model.safetensors" in found.stdout, found.stdout + found.stderr
    assert not list(tmp_path.rglob("snapshots/*/model.safetensors"))
    Hub.broken = set()
    path = Path(online(code, server, tmp_path).stdout.strip())
    assert path.read_bytes() == (folder / "model.safetensors").read_bytes()


def test_large_downloads_are_announced(server, tmp_path, folder):
    with open(folder / "big.bin", "wb") as file:
        file.truncate(51_000_000)
    found = online("print(hub.find_file('someone/tiny', 'big.bin').stat().st_size); hub.find_file('someone/tiny', 'vocab.txt')", server, tmp_path)
    assert found.stdout == "51000000\n" and f"Downloading someone/tiny/big.bin: 51 MB to {tmp_path / 'hub'}\n" in found.stderr


# -- options and files ---------------------------------------------------------------------------------------------------


def test_options_are_told_from_settings():
    found = hub.split_options({"revision": "main", "num_labels": 3, "use_auth_token": "secret", "proxies": {}, "resume_download": True,
                               "trust_remote_code": False})
    assert found == ({"revision": "main", "token": "secret"}, {"num_labels": 3})


@pytest.mark.parametrize(("content", "message"), [
    (b"{'a': 1}", "is damaged or not JSON .line 1: "), (b'{"a":\n 1,}', "line 2"), (b"", "is damaged or not JSON"),
    (b"\xff\xfe\x00", "is not a text file in UTF-8"), (b"[1, 2]", "should hold a JSON object.*not a list"), (b"null", "not a NoneType"),
    (b"[" * 100_000, "nested too deeply"),
])
def test_settings_files_that_are_damaged(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"{tmp_path}.*{message}"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_files_that_an_editor_of_windows_saved(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert hub.read_json(tmp_path / "a.json") == {"a": 1}


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    hub.write_json(path, {"b": "ö", "a": 1})
    assert path.read_bytes() == '{\n  "a": 1,\n  "b": "ö"\n}\n'.encode()
    with pytest.raises(RuntimeError), hub.replacing(path) as temporary:
        Path(temporary).write_text("half")
        raise RuntimeError
    with pytest.raises(TypeError):
        hub.write_json(path, {"a": object()})
    (tmp_path / "a folder").mkdir()
    with pytest.raises(OSError):
        hub.write_text(tmp_path / "a folder", "x")    # cannot take the place of a folder
    (tmp_path / "a folder").rmdir()
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1, "b": "ö"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_files_can_be_read_by_others_as_the_system_wants(tmp_path):
    old = os.umask(0o022)
    try:
        hub.write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


# -- folders that are not what they seem -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["model.safetensors", "vocab.txt", "config.json"])
def test_a_pointer_of_git_lfs_is_told_from_a_file(folder, file):
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 440473133\n")
    loader = course.AutoTokenizer if file == "vocab.txt" else course.AutoModel
    if file == "vocab.txt":
        (folder / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(OSError, match=f"{file} is only a pointer of Git LFS.*git lfs pull"):
        loader.from_pretrained(folder)


def test_a_folder_that_hides_a_model_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.model().save_pretrained("owner/my-model")
    with pytest.raises(FileNotFoundError, match="owner/my-model has no .*and it hides the model 'owner/my-model' of the Hub. Rename or move"):
        course.AutoTokenizer.from_pretrained("owner/my-model")
    assert course.AutoModel.from_pretrained("owner/my-model")
    tiny.tokenizer().save_pretrained("owner/my-model")           # one of the cures
    assert course.AutoTokenizer.from_pretrained("owner/my-model")
    (tmp_path / "bert-base-uncased").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no config.json \(it holds: nothing\), and it hides the model 'bert-base-uncased' of the Hub"):
        course.AutoModel.from_pretrained("bert-base-uncased")


def test_an_old_folder_of_sentence_transformers(tmp_path):
    tiny.save(tmp_path / "sbert/0_Transformer")
    (tmp_path / "sbert/modules.json").write_text("[]")
    with pytest.raises(FileNotFoundError, match="has no config.json, but its folder 0_Transformer has one: give '.*0_Transformer'"):
        course.AutoModel.from_pretrained(tmp_path / "sbert")
    assert course.AutoModel.from_pretrained(tmp_path / "sbert/0_Transformer")


def test_what_a_killed_download_left_is_cleared_away(tmp_path, monkeypatch):
    import huggingface_hub

    blobs = tmp_path / "models--a--b/blobs"
    blobs.mkdir(parents=True)
    for name in ("abc.1234.incomplete", "abc.incomplete", "other.1234.incomplete"):
        (blobs / name).write_text("half")

    def whole(*_, **__):
        (blobs / "abc").write_text("whole")
        return str(blobs / "abc")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: type("Found", (), {"size": 5}))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", whole)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert hub.find_file("a/b", "model.safetensors", cache_dir=tmp_path).read_text() == "whole"
    assert sorted(path.name for path in blobs.iterdir()) == ["abc", "other.1234.incomplete"]
