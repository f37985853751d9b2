"""Data sets as pandas data frames: those of this package, a file on this computer, or a data set on the Hub.

    from course import load_dataset
    survey = load_dataset("local_life")
    print(survey.attrs["card"])          # who made it, what the columns mean, what it is not good for
"""

import gzip
import json
import os
import re
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course import hub

try:
    import pandas as pd
except ModuleNotFoundError:
    raise ModuleNotFoundError('data sets need pandas. Try: pip install "course[lab]"') from None

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
SPLITS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
          "dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test"}


def list_datasets() -> list[str]:
    """The names of the data sets that ship with the package."""
    return hub.dataset_names()


def load_dataset(name: str | os.PathLike, split: str | None = None, data_files: str | None = None,
                 **options: Any) -> pd.DataFrame:
    """The rows of a data set; its card is in `.attrs["card"]`.

    `name` is one of list_datasets(), a path to a CSV, TSV, JSON, JSONL or Parquet file, or a data set on the Hub like
    "owner/name" (with the options of from_pretrained: cache_dir, revision, token, local_files_only, force_download).
    `split` chooses a part by its name, `data_files` one file of a data set on the Hub. An empty cell is missing; the
    words NA, None and null stay what somebody wrote. Raises FileNotFoundError, OSError or ValueError with the cure.
    """
    if not isinstance(name, (str, os.PathLike)) or not os.fspath(name):
        raise TypeError(f"load_dataset needs a name or a path, got {name!r}. There are: {', '.join(list_datasets())}")
    path = Path(name).expanduser()
    options, unknown = hub.split_options(options)
    if unknown:
        raise TypeError(f"load_dataset does not know {', '.join(unknown)}; it takes name, split, data_files and, for data "
                        f"sets on the Hub, {', '.join(hub.OPTIONS[:5])}")
    if name in list_datasets():
        path = hub.DATASETS / f"{name}.csv"
        rows, card = part(read(path), split, path), path.with_suffix(".md")
    elif os.path.isfile(path):                        # unlike Path.is_file this takes names of any length
        rows, card = part(read(path), split, path), None
    elif os.path.isdir(path):
        inside = ", ".join(sorted(p.name for p in path.iterdir() if suffix(p) in FORMATS)[:12]) or "no table"
        raise ValueError(f"{path} is a folder; give the path of one file. It holds: {inside}")
    elif re.fullmatch(r"\w[\w\-.]{0,95}/[\w\-.]{1,96}", str(name)) and suffix(path) not in FORMATS:
        rows, card = from_hub(str(name), split, data_files, options)
    else:
        close = hub.suggestion(str(name)[:200], hub.cache_folder(), "dataset")
        raise FileNotFoundError(f"there is no data set {str(name)[:200]!r}.{close} With the package come: "
                                f"{', '.join(list_datasets())}. Or give the path of a file ({', '.join(FORMATS)}; this folder "
                                f"is {Path.cwd()}), or 'owner/name' on the Hub")
    rows.attrs["card"] = card.read_text(encoding="utf-8", errors="replace") if card else ""
    return rows


def part(rows: pd.DataFrame, split: str | None, path: Path) -> pd.DataFrame:
    """The rows of a single file that belong to a split: those its column `split` says, or all for "train"."""
    if split is None or ("split" not in rows and split == "train"):
        return rows
    if "split" not in rows:
        raise ValueError(f"{path.name} is not divided into parts, so it has no split {split!r}. Divide it yourself: "
                         "test = data.sample(frac=0.2, random_state=0); train = data.drop(test.index)")
    if split not in set(rows["split"]):
        raise ValueError(f"{path.name} has no split {split!r}; there are: {', '.join(map(str, rows['split'].unique()))}")
    return rows[rows["split"] == split].reset_index(drop=True)


# -- files ---------------------------------------------------------------------------------------------------------------


def suffix(path: Path) -> str:
    """The kind of a file by its name: data.csv.gz is a .csv."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def read(path: Path) -> pd.DataFrame:
    """One file as a data frame. Raises ValueError that names the file, and the line where it can."""
    kind = suffix(path)
    try:
        if kind in (".csv", ".tsv"):
            return read_csv(path, "\t" if kind == ".tsv" else None)
        if kind == ".jsonl":
            return read_jsonl(path)
        if kind == ".json":
            return pd.read_json(path, encoding="utf-8-sig")
        if kind == ".parquet":
            return pd.read_parquet(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 (byte {error.object[error.start]:#x} cannot be read). If it is a table "
                         "that an older program saved: save it again as 'CSV UTF-8', or read it with "
                         f"pandas.read_csv({str(path)!r}, encoding='cp1252')") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked, is it damaged? ({error})") from None
    except ImportError:
        raise ImportError(f"{path.name} is a Parquet file, which takes another package to read. Try: pip install pyarrow") \
            from None
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is damaged or not a {kind} table: {' '.join(str(error).split())}") from None
    raise ValueError(f"{path} is not a table that load_dataset reads ({', '.join(FORMATS)}). "
                     "From a spreadsheet, save it as 'CSV UTF-8'")


def open_text(path: Path) -> Any:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig")


def read_csv(path: Path, separator: str | None) -> pd.DataFrame:
    """A table of text. Spreadsheets of many countries write ; between cells, so the header decides."""
    try:
        if separator is None:
            with open_text(path) as file:
                header = next((line for line in file if line.strip()), "")
            separator = max(",;\t", key=header.count)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, sep=separator, index_col=False, low_memory=False, encoding="utf-8-sig",
                               keep_default_na=False, na_values=[""])
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: a table starts with a line of column names") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise ValueError(f"{path} is not a regular table ({reason}). Has each line as many cells as the first, and is each "
                         "quotation mark closed? Cells that hold a comma, a quotation mark or a line break stand in "
                         '"quotation marks"') from None


def read_jsonl(path: Path) -> pd.DataFrame:
    """One JSON object a line."""
    rows = []
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line) if line.strip() else {}
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"{path}, line {number} is not JSON: {getattr(error, 'msg', 'nested too deeply')}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number} should be an object like {{\"text\": …}}, not a {type(row).__name__}")
            rows += [row] if row else []
    if not rows:
        raise ValueError(f"{path} is empty: each line should hold an object like {{\"text\": …}}")
    return pd.DataFrame(rows)


# -- the Hub -------------------------------------------------------------------------------------------------------------


def from_hub(name: str, split: str | None, data_files: str | None, options: dict[str, Any]) -> tuple[pd.DataFrame, Path | None]:
    """(rows, path of the card) of a data set on the Hub; files in the cache are used without any request."""
    options = options | {"repo_type": "dataset"}
    card = hub.find_file(name, "README.md", required=False, **options)       # says why when there is no such data set
    files = [data_files] if data_files else choose(name, split, tables(name, **options))
    frames = [read(hub.find_file(name, file, **options)) for file in files]  # type: ignore[arg-type]
    columns = {file: list(frame.columns) for file, frame in zip(files, frames, strict=True)}
    if len({tuple(c) for c in columns.values()}) > 1:
        raise ValueError(f"the files of {name!r} have different columns, so they are no single table: {columns}. "
                         f"Choose one: load_dataset({name!r}, data_files={files[0]!r})")
    return pd.concat(frames, ignore_index=True), card


def tables(name: str, cache_dir: str | os.PathLike | None = None, revision: str | None = None,
           local_files_only: bool = False, token: str | bool | None = None, force_download: bool = False,
           repo_type: str = "dataset") -> list[str]:
    """The names of a data set's tables on the Hub. They are kept in the cache: files alone do not tell whether all came."""
    cache = Path(cache_dir).expanduser() if cache_dir else hub.cache_folder()
    repo = cache / f"datasets--{name.replace('/', '--')}"
    ref = repo / "refs" / (revision or "main")
    commit = ref.read_text().strip() if ref.is_file() else revision or "main"
    known = repo / "tables" / f"{commit}.json"
    if known.is_file() and not force_download:
        return hub.read_json(known)["files"]
    if hub.offline() or local_files_only:             # another program may have downloaded it
        here = repo / "snapshots" / commit
        files = readable(p.relative_to(here).as_posix() for p in here.rglob("*") if p.is_file())
        if not files:
            hub.find_file(name, "its table", cache_dir=cache, local_files_only=True, repo_type=repo_type)  # says why not
        return files
    import huggingface_hub
    try:
        info = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token).dataset_info(
            name, revision=revision, timeout=10)
    except Exception as error:                        # the repository was found before; each version has its own HTTP client
        raise OSError(f"{hub.unreachable(name, cache, repo_type)} "
                      f"({type(error).__name__}: {' '.join(str(error).split())})") from None
    files = readable(sibling.rfilename for sibling in info.siblings or ())
    if not files:
        raise ValueError(f"{name!r} on the Hub has no CSV, TSV, JSONL or Parquet file. See its files at "
                         f"https://huggingface.co/datasets/{name}/tree/main and choose one with data_files=")
    (repo / "tables").mkdir(parents=True, exist_ok=True)
    hub.write_json(repo / "tables" / f"{info.sha}.json", {"files": files})
    return files


def readable(files: Iterable[str]) -> list[str]:
    """The tables among the files of a data set; its .json files are settings, mostly."""
    return sorted(f for f in files if suffix(Path(f)) in FORMATS and suffix(Path(f)) != ".json")


def choose(name: str, split: str | None, files: list[str]) -> list[str]:
    """The files of one split: those whose path says so, or all of them when none does."""
    found: dict[str, list[str]] = {}
    for file in files:
        words = re.split(r"[^a-z]+", file.lower())
        found.setdefault(next((SPLITS[word] for word in words if word in SPLITS), ""), []).append(file)
    if len(found) > 1:
        found.pop("", None)
    if list(found) == [""]:
        found = {"train": found[""]}
    if split is None and len(found) > 1:
        raise ValueError(f"{name!r} has several parts; choose one: load_dataset({name!r}, split=…) with one of "
                         f"{', '.join(found)}")
    wanted = SPLITS.get(split, split) if split else next(iter(found))
    if wanted not in found:
        raise ValueError(f"{name!r} has no split {split!r}; there are: {', '.join(found)}")
    if len({(Path(file).parent, suffix(Path(file))) for file in found[wanted]}) > 1:
        raise ValueError(f"{name!r} holds more than one table for {wanted!r}: {', '.join(found[wanted][:20])}. "
                         f"Choose one: load_dataset({name!r}, data_files={found[wanted][0]!r})")
    return found[wanted]
