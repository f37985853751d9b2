"""Answers for a corpus that is larger than memory: read, answered and written in pieces, and taken up again after a crash.

    course annotate speeches.parquet labelled.parquet --task sentiment-analysis --model pocket/sentiment --column text

The rows are read as Arrow record batches. Each piece of the result is a file of its own beside the target, written whole or not
at all; when all are there they are joined. A run that was killed goes on with the first piece that is missing: no row is lost,
none is there twice. With a codebook, the same for research.annotate:

    course annotate speeches.parquet coded.parquet --codebook topics.csv --task few-shot --train coded_by_hand.csv --column text

On several machines the same function maps over a data set of Ray Data, see annotate_ray().
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from course import hub, notes
from course.training.record import data_hash

PIECE = 2048            # rows: enough to sort by length, little enough to lose at a crash


class Annotator:
    """Called with an Arrow table (or a pandas DataFrame), it gives it back with a column for each field of the answer.

    task: of a pipeline; with a codebook, a method of research.annotate (options: style, seed, train, …). The model is loaded at
    the first call, so that the object can be sent to another process before.
    """

    def __init__(self, task: str, column: str, model: str | None = None, codebook: Any = None, **options: Any):
        self.task, self.column, self.model, self.codebook, self.options = task, column, model, codebook, options
        self.answer: Callable[[Any], dict[str, Any]] | None = None
        self.coding: Any = None

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa
        if hasattr(table, "to_dict") and not isinstance(table, pa.Table):
            return self(pa.Table.from_pandas(table, preserve_index=False)).to_pandas()
        if self.answer is None:
            self.answer = self.by_codebook() if self.codebook is not None else self.by_task()
        for name, values in self.answer(table.column(self.column)).items():
            table = table.append_column(name if name not in table.column_names else f"{self.task}_{name}", values)
        return table

    def by_task(self) -> Callable[[Any], dict[str, Any]]:
        import pyarrow as pa

        from course import pipeline
        pipe = pipeline(self.task, model=self.model)

        def answers(texts: list[str]) -> list[dict[str, Any]]:
            # one answer becomes columns; several (names in a text, a score for each label) one column of JSON
            found = pipe(texts, **self.options)
            return [{name: plain(value) for name, value in answer.items()} if isinstance(answer, dict) else
                    {"answers": plain(answer)} for answer in found]
        # a piece in which nothing was said has the same columns: what kind they are, one answer shows
        kinds = {name: pa.scalar(value).type for name, value in sorted(answers(["This is a text."])[0].items())}

        def columns(texts: Any) -> dict[str, Any]:
            given = texts.to_pylist()
            present = [place for place, text in enumerate(given) if text is not None and str(text).strip()]
            found = dict(zip(present, answers([str(given[place]) for place in present]) if present else [], strict=True))
            return {name: pa.array([found.get(place, {}).get(name) for place in range(len(given))], kind)
                    for name, kind in kinds.items()}
        return columns

    def by_codebook(self) -> Callable[[Any], dict[str, Any]]:
        import pyarrow as pa

        from course.research.annotate import Coding
        self.coding = Coding(self.column, self.codebook, self.model, self.task, **self.options)

        def columns(texts: Any) -> dict[str, Any]:
            coded = self.coding(texts.to_pandas().to_frame(self.column)).drop(columns=self.column)
            return {name: pa.array(coded[name], pa.string() if name == "label" else None, from_pandas=True) for name in coded}
        return columns


def plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def annotate_ray(dataset: Any, task: str, column: str, model: str | None = None, codebook: Any = None, workers: int = 2,
                 piece: int = PIECE, **options: Any) -> Any:
    """A data set of Ray Data with a column for each field of the answers; nothing is computed before it is read or written.

        ray.init("auto")
        annotate_ray(ray.data.read_parquet("speeches"), "sentiment-analysis", "text", workers=8).write_parquet("labelled")

    Each worker loads the model once. Ray gives what a lost worker was doing to another one. Raises KeyError for a column that
    is not there.
    """
    try:
        import ray.data
    except ImportError:
        raise ImportError('data sets of Ray need Ray: pip install "course[ray]"') from None
    if column not in dataset.columns():
        raise KeyError(f"the data set has no column {column!r}; it has {', '.join(dataset.columns())}")
    dataset = dataset.repartition(target_num_rows_per_block=piece)       # else one file may be one block, for one worker
    return dataset.map_batches(Annotator, fn_constructor_args=(task, column, model, codebook), fn_constructor_kwargs=options,
                               batch_format="pyarrow", batch_size=piece, num_cpus=1,
                               compute=ray.data.ActorPoolStrategy(size=workers))


def annotate_file(source: str | Path, target: str | Path, task: str, column: str, model: str | None = None,
                  piece: int = PIECE, progress: bool = True, codebook: Any = None, **options: Any) -> int:
    """Answers every row of source (Parquet, CSV, Arrow, or a folder of them) into the Parquet file target; the number of rows.

    task: of a pipeline, or with a codebook a method of research.annotate, whose record is then written beside the target as
    NAME.record.json. An empty text has no answer. Raises FileNotFoundError, KeyError or ValueError with the cure, and
    FileExistsError where target is there already or holds the pieces of another run.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError('large files are read with Arrow: pip install "course[corpus]"') from None
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if target.exists():
        raise FileExistsError(f"{target} is there already: delete it, or choose another name")
    dataset, parts = open_dataset(source, column), target.with_name(target.name + ".pieces")
    begin(parts, {"source": str(source.absolute()), "bytes": size_of(source), "task": task, "model": model,
                  "column": column, "piece": piece, "codebook": getattr(codebook, "hash", None), "options": said(options)})
    annotator, record = Annotator(task, column, model, codebook, **options), parts / "record.json"
    total, done, began = dataset.count_rows(), 0, time.monotonic()
    with notes.progress(total=total, unit="text", disable=not progress) as bar:
        for number, table in enumerate(pieces(dataset, piece)):
            path = parts / f"{number:08d}.parquet"
            if not path.exists():
                answered = annotator(table)
                if annotator.coding is not None and not record.exists():
                    hub.write_json(record, annotator.coding.record)
                with hub.replacing(path) as temporary:
                    pq.write_table(answered, temporary)
                done += len(table)
            bar.update(len(table))
    files = sorted(parts.glob("*.parquet"))
    schema = pq.read_schema(files[0]) if files else dataset.schema
    with hub.replacing(target) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for path in files:
            writer.write_table(pq.read_table(path))
    if record.exists():
        hub.write_json(target.with_suffix(".record.json"), hub.read_json(record))
    shutil.rmtree(parts)
    if progress:
        rate = f", {done / max(1e-9, time.monotonic() - began):.0f} a second" if done else ""
        print(f"{total} rows in {target}; {done} of them answered now{rate}", file=sys.stderr)
    return total


def open_dataset(source: Path, column: str) -> Any:
    import pyarrow.dataset as ds
    if not source.exists():
        raise FileNotFoundError(f"there is no {source} (this folder is {Path.cwd()})")
    suffixes = {".parquet": "parquet", ".csv": "csv", ".arrow": "ipc", ".feather": "ipc"}
    inside = sorted({p.suffix for p in source.iterdir() if p.suffix in suffixes}) if source.is_dir() else [source.suffix]
    if len(inside) != 1 or inside[0] not in suffixes:
        raise ValueError(f"{source} should be a file, or a folder of files of one kind: {', '.join(suffixes)}")
    try:
        dataset = ds.dataset(source, format=suffixes[inside[0]])
    except (OSError, ValueError) as error:            # Arrow's own errors are kinds of these
        raise ValueError(f"{source} is damaged or no {inside[0]} file: {str(error).splitlines()[0]}") from None
    if column not in dataset.schema.names:
        raise KeyError(f"{source} has no column {column!r}; it has {', '.join(dataset.schema.names)}. Say which with --column")
    return dataset


def pieces(dataset: Any, size: int) -> Iterator[Any]:
    """The rows in order, in tables of `size`; never more than two of them in memory."""
    import pyarrow as pa
    held: list[Any] = []
    count = 0
    for batch in dataset.to_batches(batch_size=size, batch_readahead=1, fragment_readahead=1):
        while len(batch):
            taken = batch.slice(0, size - count)
            held, count, batch = [*held, taken], count + len(taken), batch.slice(len(taken))
            if count == size:
                yield pa.Table.from_batches(held)
                held, count = [], 0
    if held:
        yield pa.Table.from_batches(held)


def said(options: dict[str, Any]) -> str:
    """Options as a text that is another when they are; a table of hand codes by its hash."""
    return repr([(name, data_hash(value) if hasattr(value, "columns") else value) for name, value in sorted(options.items())])


def size_of(source: Path) -> int:
    return sum(p.stat().st_size for p in (source.iterdir() if source.is_dir() else [source]) if p.is_file())


def begin(parts: Path, settings: dict[str, Any]) -> None:
    """The folder for the pieces: a new one, or that of the same run."""
    parts.mkdir(parents=True, exist_ok=True)
    note, mark = parts / "settings.json", hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    for left in parts.glob("*.part"):                 # what a killed run was writing
        left.unlink()
    if not note.exists() or not any(parts.glob("*.parquet")):          # a run that failed at once stands in nobody's way
        hub.write_json(note, settings | {"mark": mark})
    elif hub.read_json(note).get("mark") != mark:
        raise FileExistsError(f"{parts} holds the pieces of a run with other settings or another source ({note}): delete the "
                              "folder, or choose another target")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="course annotate", description=__doc__.splitlines()[0])
    parser.add_argument("source", help="Parquet, CSV or Arrow file, or a folder of them")
    parser.add_argument("target", help="the Parquet file to make")
    parser.add_argument("--task", required=True, help="of a pipeline, like sentiment-analysis; with --codebook a method of "
                        "annotate(), like similarity")
    parser.add_argument("--codebook", help="a .yml, .json, .csv or .md file with the labels and their definitions")
    parser.add_argument("--train", help="a table to learn from: texts in the same column, hand codes in the column gold")
    parser.add_argument("--column", required=True, help="that holds the texts")
    parser.add_argument("--model", help="a name or folder; without it the task's own")
    parser.add_argument("--piece", type=int, default=PIECE, help="rows that are written together")
    options = parser.parse_args(argv)
    try:
        book, more = None, dict[str, Any]()
        if options.train and not options.codebook:
            raise ValueError("--train is what a method learns a codebook from: say which with --codebook")
        if options.codebook:
            from course.research.codebook import Codebook
            book = Codebook.read(options.codebook)
        if options.train:
            from course.data import load_dataset
            more["train"] = load_dataset(options.train)
        annotate_file(options.source, options.target, options.task, options.column, options.model, options.piece,
                      codebook=book, **more)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it was.", file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError, ImportError) as error:
        print(f"course annotate: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    return 0
