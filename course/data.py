"""Data sets as pandas data frames: those of this package, a file on this computer, or a data set on the Hub.

    from course import load_dataset
    survey = load_dataset("local_life")
    print(survey.attrs["card"])          # who made it, what the columns mean, what it is not good for
"""

import codecs
import csv
import gzip
import io
import json
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterable
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
            return read_json(path)
        if kind == ".parquet":
            return pd.read_parquet(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in {error.encoding.upper()} (byte {error.object[error.start]:#x} cannot be "
                         f"read). {encoding_cure(path)}") from None
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


def open_bytes(path: Path) -> Any:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rb")


def encoding_of(path: Path) -> str:
    """UTF-8 unless the first bytes say UTF-16 or UTF-32, as exports of Excel ("Unicode text") and survey programs do."""
    with open_bytes(path) as file:
        start = file.read(4096)
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = start[0::2].count(0), start[1::2].count(0)        # a column name in Latin letters, without a mark in front
    if max(even, odd) > len(start) / 8 and min(even, odd) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    return "utf-8-sig"


def encoding_cure(path: Path) -> str:
    """What to try with a file that cannot be decoded; code that is advised has been tried."""
    again = "If it is a table that an older program saved, save it again as 'CSV UTF-8'"
    if suffix(path) not in (".csv", ".tsv") or encoding_of(path) != "utf-8-sig":
        return again + ", or as text in UTF-8"
    try:
        separator = "\t" if suffix(path) == ".tsv" else separator_of(head(path, "cp1252"))
        pd.read_csv(path, sep=separator, encoding="cp1252", nrows=100)
    except (ValueError, pd.errors.ParserError):
        return again
    options = "" if separator == "," else f", sep={separator!r}"
    return f"{again}, or read it with pandas.read_csv({str(path)!r}{options}, encoding='cp1252')"


def open_text(path: Path, encoding: str | None = None) -> Any:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding=encoding or encoding_of(path))


def head(path: Path, encoding: str) -> list[str]:
    """The first lines of a table that are not blank, up to 64 KB."""
    with open_text(path, encoding) as file:
        text = file.read(65536)
    lines = text.split("\n")
    return [line for line in (lines[:-1] if len(text) == 65536 and len(lines) > 1 else lines) if line.strip()]


SAID = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)              # Excel's way of saying what stands between cells


def separator_of(lines: list[str]) -> str:
    """What stands between the cells: spreadsheets of many countries write ;. Signs inside "quoted cells" do not count.

    It is the sign by which most lines have as many cells as the first, and among equals the one that makes most cells.
    """
    if lines and (said := SAID.fullmatch(lines[0])):
        return said[1]

    def fit(sign: str) -> tuple[float, int]:
        rows = list(csv.reader(lines, delimiter=sign))
        widths = [len(row) for row in rows if row]
        return (widths.count(widths[0]) / len(widths) if widths[0] > 1 else 0, widths[0]) if widths else (0, 0)
    return max(",;\t", key=fit)


def read_csv(path: Path, separator: str | None) -> pd.DataFrame:
    """A table of text."""
    encoding = encoding_of(path)
    try:
        lines = head(path, encoding)
        said = int(bool(lines and SAID.fullmatch(lines[0])))
        separator = separator if separator and not said else separator_of(lines)
        source = (lone_marks(path, said) if separator == "\t" else None) or (lambda: path)
        options: dict[str, Any] = {"sep": separator, "index_col": False, "low_memory": False, "encoding": encoding,
                                   "keep_default_na": False, "na_values": [""], "skiprows": said}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            rows = pd.read_csv(source(), **options)
            numbers = [place for place, kind in enumerate(rows.dtypes) if kind.kind in "iuf"]
            if numbers:
                text = pd.read_csv(source(), **options | {"usecols": numbers, "dtype": str})
                for number, place in enumerate(numbers):
                    rows.isetitem(place, exact(rows.iloc[:, place], text.iloc[:, number]))
        return rows
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: a table starts with a line of column names") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise ValueError(f"{path} is not a regular table ({reason}). Has each line as many cells as the first, and is each "
                         "quotation mark closed? Cells that hold a comma, a quotation mark or a line break stand in "
                         '"quotation marks"') from None


def lone_marks(path: Path, skip: int) -> Callable[[], Any] | None:
    """A table with tabs in which every line is a row, though some cell begins with a quotation mark and does not end with
    one: such marks are put in quotation marks. None for any other table, also one with line breaks in its cells.
    """
    with open_text(path) as file:
        rows = [line.split("\t") for line in file.read().split("\n")[skip:] if line.strip(" ")]
    if not rows or len(rows[0]) == 1 or any(len(row) != len(rows[0]) for row in rows):
        return None

    def lone(cell: str) -> bool:
        return cell.startswith('"') and not re.fullmatch(r'"(?:[^"]|"")*"', cell)
    if not any(lone(cell) for row in rows for cell in row):
        return None
    doubled = (['"' + cell.replace('"', '""') + '"' if lone(cell) else cell for cell in row] for row in rows)
    sure = skip * "\n" + "\n".join(map("\t".join, doubled))
    return lambda: io.StringIO(sure)


def exact(column: pd.Series, said: pd.Series) -> pd.Series:
    """A column of numbers as it was written: 007 stays text, and no digit of a long number is lost.

    said: text, or what JSON said. Beside an empty cell pandas keeps whole numbers as floats, with 15 to 16 digits.
    """
    there = said.dropna()
    texts = there.astype(str)
    if texts.str.fullmatch(r"\s*[+-]?0\d+\s*").any():
        return said
    if column.dtype.kind != "f" or not texts.str.fullmatch(r"\s*[+-]?\d+\s*").all() or not (texts.str.len() > 15).any():
        return column
    whole = {place: int(number) for place, number in there.items()}
    if all(-2**63 <= number < 2**63 for number in whole.values()):
        return pd.Series(pd.array([whole.get(place) for place in said.index], dtype="Int64"), said.index)
    return said


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
    return frame_of(rows)


def read_json(path: Path) -> pd.DataFrame:
    """A list of objects, an object of columns, or pandas' "split"; several objects are read as lines. Texts stay texts."""
    with open_text(path) as file:
        text = file.read()
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return read_jsonl(path)
        raise
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(content, dict) and set(content) == {"columns", "index", "data"}:
        content = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return frame_of(content)
    if isinstance(content, dict) and content and all(isinstance(column, (list, dict)) for column in content.values()):
        columns = {name: pd.Series(column, dtype=object) for name, column in content.items()}
        return frame_of(pd.DataFrame(columns).to_dict("records"))
    raise ValueError('a table is a list of objects, [{"text": …}, …], or an object of columns, {"text": […], …}')


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    for place, name in enumerate(frame.columns):
        if frame.dtypes.iloc[place].kind == "f":
            said = pd.Series([row.get(name) for row in rows], frame.index, dtype=object)
            frame.isetitem(place, exact(frame.iloc[:, place], said))
    return frame


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
