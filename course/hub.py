"""Where files come from: one function turns (name, filename) into a path on this computer.

It looks, in this order, into a local folder, the pocket models of this package, the Hub's cache, and the Hub.
A file that is in the cache is used without any request. The cache has the layout of huggingface_hub
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache), so both libraries share their downloads.
"""

import difflib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from course.notes import note

POCKET = Path(__file__).parent / "pocket"
# An installed package has the data sets inside, a checkout beside it (pyproject.toml says so).
DATASETS = next((p for p in (Path(__file__).with_name("datasets"), Path(__file__).parents[1] / "datasets") if p.is_dir()),
                Path(__file__).with_name("datasets"))
OPTIONS = ("cache_dir", "revision", "local_files_only", "token", "force_download", "use_auth_token", "proxies",
           "resume_download", "trust_remote_code", "mirror")
# Keywords of other libraries' from_pretrained that change no number: name -> the values that may be given, None for any.
NEUTRAL: dict[str, tuple | None] = {
    "attn_implementation": None, "low_cpu_mem_usage": None, "use_safetensors": None, "weights_only": None, "_fast_init": None,
    "from_tf": None, "from_flax": (False,), "from_pt": (False, True), "variant": (None,), "subfolder": (None, ""),
    "quantization_config": (None,), "load_in_8bit": (False,), "load_in_4bit": (False,), "state_dict": (None,)}
looked_for: ContextVar[dict[tuple, Path | None] | None] = ContextVar("looked_for", default=None)
HUB_NAME = re.compile(r"[\w\-.]{1,96}(/[\w\-.]{1,96})?", re.ASCII)
CLASSIC = ("bert-base-uncased", "bert-base-cased", "bert-large-uncased", "bert-base-multilingual-cased",
           "distilbert-base-uncased", "distilbert-base-cased", "distilbert-base-uncased-finetuned-sst-2-english",
           "distilroberta-base", "roberta-base", "gpt2", "distilgpt2", "t5-small", "t5-base", "facebook/bart-large-cnn",
           "sentence-transformers/all-MiniLM-L6-v2", "HuggingFaceTB/SmolLM2-135M-Instruct")


def split_options(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords -> (options for find_file, all others)."""
    options = {k: v for k, v in kwargs.items() if k in OPTIONS}
    if options.pop("trust_remote_code", False):
        raise ValueError("trust_remote_code=True runs a stranger's code on this computer; course never does. "
                         "Models of the supported architectures load without it")
    for old in ("proxies", "resume_download", "mirror"):        # huggingface_hub has dropped them
        options.pop(old, None)
    if (token := options.pop("use_auth_token", None)) is not None:
        options.setdefault("token", token)
    for name, known in NEUTRAL.items():
        if name in kwargs and known is not None and kwargs[name] not in known:
            raise ValueError(f"{name}={kwargs[name]!r} is something that course does not have; without it the checkpoint loads "
                             "from its PyTorch or safetensors files")
    return options, {k: v for k, v in kwargs.items() if k not in OPTIONS and k not in NEUTRAL}


def cache_folder() -> Path:
    """Where downloads go: the first of these environment variables that is set, else ~/.cache/huggingface/hub."""
    for name in ("TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE", "HF_HUB_CACHE",
                 "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def offline() -> bool:
    """True when HF_HUB_OFFLINE (or its predecessor TRANSFORMERS_OFFLINE) forbids the network."""
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
               for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def pocket_names() -> list[str]:
    """The models that ship with the package."""
    return sorted(f"pocket/{path.parent.name}" for path in POCKET.glob("*/config.json"))


def dataset_names() -> list[str]:
    """The data sets that ship with the package."""
    return sorted(path.stem for path in DATASETS.glob("*.csv"))


@contextmanager
def each_file_once() -> Iterator[None]:
    """Inside, what was looked for once, found or absent, is not looked for again: the class of a model, the model and its
    tokenizer all need config.json, and what the Hub lacks costs a request each time."""
    token = looked_for.set({})
    try:
        yield
    finally:
        looked_for.reset(token)


def find_file(name: str | os.PathLike, filename: str, *, required: bool = True, **options: Any) -> Path | None:
    """The path of a file of a checkpoint (or, repo_type="dataset", of a data set) on this computer; None when it does
    not exist and is not required. Options: cache_dir, revision, local_files_only, token, force_download, repo_type.

    Raises FileNotFoundError or OSError with the cure when a required file cannot be had.
    """
    known, key = looked_for.get(), (str(name), filename, *sorted(options.items()))
    if known is None:
        return look_for(name, filename, required=required, **options)
    if key not in known or known[key] is None and required:
        known[key] = look_for(name, filename, required=required, **options)
    return known[key]


def look_for(name: str | os.PathLike, filename: str, *, required: bool, cache_dir: str | os.PathLike | None = None,
             revision: str | None = None, local_files_only: bool = False, token: str | bool | None = None,
             force_download: bool = False, repo_type: str = "model") -> Path | None:
    """find_file without a memory: a folder, a pocket model, the cache, the Hub."""
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise TypeError(f"a model name or a folder is needed, got {name!r}")
    name = os.fspath(name)
    folder = Path(name).expanduser()
    if os.path.isdir(folder):                         # unlike Path.is_dir this takes names of any length
        return in_folder(folder, filename, required, name)
    if os.path.isfile(folder):
        raise NotADirectoryError(f"{name} is a file: give the folder that it lies in, {str(folder.parent)!r}")
    if name.startswith("pocket/"):
        if (POCKET / name[7:]).is_dir():
            return in_folder(POCKET / name[7:], filename, required)
        raise FileNotFoundError(f"there is no pocket model {name!r}; there are: {', '.join(pocket_names())}")
    if not HUB_NAME.fullmatch(name) or name.startswith((".", "-")) \
            or ".." in name or "--" in name:
        raise FileNotFoundError(f"{name!r} is neither a folder on this computer (looked for {folder.absolute()}) "
                                "nor the name of a model on the Hub, like 'bert-base-uncased' or 'user/model'")
    cache = Path(cache_dir).expanduser() if cache_dir else cache_folder()
    if not force_download:
        path, known_absent = in_cache(cache, name, filename, revision or "main", repo_type)
        if path is not None or (known_absent and not required):
            return path
    if offline() or local_files_only:
        if not required:
            return None
        why = "HF_HUB_OFFLINE is set" if offline() else "local_files_only=True"
        raise FileNotFoundError(f"{filename} of {name!r} is not on this computer and {why}."
                                f"{suggestion(name, cache, repo_type)} With internet, load it once without that setting, "
                                f"and it stays in {cache}; or copy the {repo_type}'s folder here and give its path."
                                f"{no_download(repo_type)}")
    return download(name, filename, cache, revision, token, force_download, required, repo_type)


def in_folder(folder: Path, filename: str, required: bool, name: str = "") -> Path | None:
    """name: as it was asked for, when that may be meant for the Hub."""
    path = folder / filename
    if path.is_file():
        if path.stat().st_size < 1000 and path.read_bytes().startswith(b"version https://git-lfs"):
            raise OSError(f"{path} is only a pointer of Git LFS: the file that it stands for was not downloaded with the rest. "
                          "Run `git lfs pull` in that folder, or load the model by its name on the Hub")
        return path
    if not required:
        return None
    inside = next(folder.glob(f"*/{filename}"), None)
    if inside is not None and not (folder / "config.json").is_file():    # 0_Transformer in those of sentence-transformers
        raise FileNotFoundError(f"the folder {folder} has no {filename}, but its folder {inside.parent.name} has one: give "
                                f"{str(inside.parent)!r}")
    present = ", ".join(sorted(p.name for p in folder.iterdir())[:12]) or "nothing"
    raise FileNotFoundError(f"the folder {folder.absolute()} has no {filename}" + (
        f" (it holds: {present}), and it hides the model {name!r} of the Hub. Rename or move it to get that one, or save "
        f"there what is missing: model and tokenizer each have a save_pretrained({name!r})" if HUB_NAME.fullmatch(name) else
        f", so it is not a saved model or tokenizer (it holds: {present}). Save there with save_pretrained(folder), or check "
        "the path"))


def in_cache(cache: Path, name: str, filename: str, revision: str, repo_type: str) -> tuple[Path | None, bool]:
    """(path or None, whether the Hub is known not to have this file), without any request."""
    repo = cache / f"{repo_type}s--{name.replace('/', '--')}"
    ref = repo / "refs" / revision
    commit = ref.read_text().strip() if ref.is_file() else revision
    path = repo / "snapshots" / commit / filename
    return (path if path.is_file() else None), (repo / ".no_exist" / commit / filename).exists()


def download(name: str, filename: str, cache: Path, revision: str | None, token: str | bool | None, force: bool,
             required: bool, repo_type: str) -> Path | None:
    os.environ.setdefault("HF_HUB_DISABLE_SYMLINKS_WARNING", "1")
    import huggingface_hub  # takes a while to import, and most loads never need it
    from huggingface_hub import errors
    endpoint = os.environ.get("HF_ENDPOINT") or None
    where: dict[str, Any] = {"revision": revision, "endpoint": endpoint, "repo_type": repo_type}
    size = None                                       # known as soon as the Hub says that it has the file
    try:
        # asked first because hf_hub_download tries for half a minute when there is no connection
        try:
            url = huggingface_hub.hf_hub_url(name, filename, **where)
            size = huggingface_hub.get_hf_file_metadata(url, token=token).size or 0
        except errors.HfHubHTTPError as error:        # hf_hub_download knows what to do: wait, remember, refuse
            if error.response.status_code >= 500:
                raise
        if size and size > 50e6:
            note(f"Downloading {name}/{filename}: {size / 1e6:,.0f} MB to {cache}")
        path = Path(huggingface_hub.hf_hub_download(name, filename, cache_dir=cache, token=token, force_download=force,
                                                    **where))
        blob = path.resolve()
        for part in blob.parent.glob(f"{blob.name}*.incomplete"):     # of a download that was killed and not taken up again
            part.unlink(missing_ok=True)
        return path
    except errors.EntryNotFoundError as error:
        # "not in the cache and no connection" is a kind of "no such entry" too
        connected = not isinstance(error, errors.LocalEntryNotFoundError)
        if not required:
            return None
        raise FileNotFoundError(f"{name!r} on the Hub has no file {filename}." if connected
                                else unreachable(name, cache, repo_type)) from None
    except errors.GatedRepoError:
        page = name if repo_type == "model" else f"{repo_type}s/{name}"
        raise OSError(f"{name!r} asks for an account: accept its terms at https://huggingface.co/{page}, create a token at "
                      "https://huggingface.co/settings/tokens and set HF_TOKEN (or pass token=…)") from None
    except errors.RevisionNotFoundError:
        raise FileNotFoundError(f"{name!r} has no revision {revision!r}: give a branch, a tag or a commit") from None
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(f"there is no {repo_type} {name!r} on the Hub (or it is private: set HF_TOKEN)."
                                f"{suggestion(name, cache, repo_type)}") from None
    except Exception as error:                        # huggingface_hub 0.x, 1.x and 2.x use different HTTP clients
        clients = ("httpx", "httpcore", "requests", "huggingface_hub", "urllib3")
        if not isinstance(error, OSError) and not type(error).__module__.startswith(clients):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if size is not None:
            raise OSError(f"the download of {name}/{filename} to {cache} failed, nothing half is kept: {reason}") from None
        if not required:
            return None
        raise OSError(f"{unreachable(name, cache, repo_type)} ({reason})") from None


def unreachable(name: str, cache: Path, repo_type: str) -> str:
    return (f"{name!r} is not on this computer and the Hub cannot be reached.{suggestion(name, cache, repo_type)} "
            f"Check the connection (or HF_ENDPOINT), then try again; downloads are kept in {cache}.{no_download(repo_type)}")


def no_download(repo_type: str) -> str:
    if repo_type == "model":
        return f" Models that need no download: {', '.join(pocket_names())}"
    return f" Data sets that need no download: {', '.join(dataset_names())}"


def suggestion(name: str, cache: Path, repo_type: str) -> str:
    """' Did you mean …?' with the closest known names, or ''."""
    cached = [p.name.split("--", 1)[1].replace("--", "/") for p in cache.glob(f"{repo_type}s--*")] if cache.is_dir() else []
    ours = [*CLASSIC, *pocket_names()] if repo_type == "model" else dataset_names()
    known = {k.lower(): k for k in [*cached, *ours] if k != name}
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.7)
    return f" Did you mean {' or '.join(repr(known[k]) for k in close)}?" if close else ""


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """The object in a JSON file. Raises ValueError that names the file, and the line when it is not JSON."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))      # -sig: Windows editors put a mark in front
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged or not JSON (line {error.lineno}: {error.msg}). "
                         "If it was downloaded, load once more with force_download=True") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8; is it damaged?") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be the settings of a model; is it damaged?") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object like {{\"name\": value, …}}, not a {type(content).__name__}")
    return content


def make_folder(folder: str | os.PathLike) -> Path:
    """The folder to save in, made when it does not exist."""
    if not isinstance(folder, (str, os.PathLike)) or not str(folder):
        raise TypeError(f"save_pretrained needs the name of a folder, got {folder!r}; '.' is the present one")
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; save_pretrained needs the name of a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


class replacing:
    """`with replacing(path) as temporary:` the file written there takes path's place only when nothing went wrong."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def __enter__(self) -> str:
        handle, self.temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name, suffix=".part")
        os.close(handle)
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(self.temporary, 0o666 & ~umask)   # mkstemp makes files that only their owner may read
                os.replace(self.temporary, self.path)
        finally:
            Path(self.temporary).unlink(missing_ok=True)
