"""Answers for a corpus that is larger than memory: read, answered and written in pieces, and taken up again after a crash.

    course annotate speeches.parquet labelled.parquet --task sentiment-analysis --model pocket/sentiment --column text

The rows are read as Arrow record batches. Each piece of the result is a file of its own beside the target, written whole or not
at all; when all are there they are joined. A run that was killed goes on with the first piece that is missing: no row is lost,
none is there twice.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course import hub, notes

PIECE = 2048            # rows: enough to sort by length, little enough to lose at a crash


class Annotator:
    """Called with an Arrow table (or a pandas DataFrame), it gives it back with a column for each field of the answer.

    The pipeline is made at the first call, so that the object can be sent to another process before.
    """

    def __init__(self, task: str, column: str, model: str | None = None, **options: Any):
        self.task, self.column, self.model, self.options, self.pipe = task, column, model, options, None

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa
        if hasattr(table, "to_dict") and not isinstance(table, pa.Table):
            return self(pa.Table.from_pandas(table, preserve_index=False)).to_pandas()
        if self.pipe is None:
            from course import pipeline
            self.pipe = pipeline(self.task, model=self.model)
        texts = table.column(self.column).to_pylist()
        present = [place for place, text in enumerate(texts) if text is not None and str(text).strip()]
        answers: list[dict[str, Any]] = [{} for _ in texts]
        for place, answer in zip(present, self.pipe([str(texts[p]) for p in present], **self.options), strict=True):
            # one answer becomes columns; several (names in a text, a score for each label) one column of JSON
            answers[place] = answer if isinstance(answer, dict) else {"answers": json.dumps(answer, ensure_ascii=False)}
        for name in sorted({name for answer in answers for name in answer}) or ["label"]:
            values = [plain(answer.get(name)) for answer in answers]
            table = table.append_column(name if name not in table.column_names else f"{self.task}_{name}", pa.array(values))
        return table


def plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def annotate_file(source: str | Path, target: str | Path, task: str, column: str, model: str | None = None,
                  piece: int = PIECE, progress: bool = True, **options: Any) -> int:
    """Answers every row of source (Parquet, CSV, Arrow, or a folder of them) into the Parquet file target; the number of rows.

    An empty text has no answer. Raises FileNotFoundError, KeyError or ValueError with the cure, and FileExistsError where
    target is there already or holds the pieces of another run.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError('large files are read with Arrow: pip install "course[corpus]"') from None
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if target.exists():
        raise FileExistsError(f"{target} is there already: delete it, or choose another name")
    dataset, parts = open_dataset(source, column), target.with_name(target.name + ".pieces")
    begin(parts, {"source": str(source.absolute()), "bytes": size_of(source), "task": task, "model": model, "column": column,
                  "piece": piece, "options": repr(sorted(options.items()))})
    annotator, total, done, began = Annotator(task, column, model, **options), dataset.count_rows(), 0, time.monotonic()
    with notes.progress(total=total, unit="text", disable=not progress) as bar:
        for number, table in enumerate(pieces(dataset, piece)):
            path = parts / f"{number:08d}.parquet"
            if not path.exists():
                with hub.replacing(path) as temporary:
                    pq.write_table(annotator(table), temporary)
                done += len(table)
            bar.update(len(table))
    files = sorted(parts.glob("*.parquet"))
    schemas = [pq.read_schema(path) for path in files] or [dataset.schema]
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    with hub.replacing(target) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for path in files:
            table = pq.read_table(path)
            for field in schema:                      # a piece in which nothing was said has no score
                if field.name not in table.column_names:
                    table = table.append_column(field, pa.nulls(len(table), field.type))
            writer.write_table(table.select(schema.names).cast(schema))
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


def size_of(source: Path) -> int:
    return sum(p.stat().st_size for p in (source.iterdir() if source.is_dir() else [source]) if p.is_file())


def begin(parts: Path, settings: dict[str, Any]) -> None:
    """The folder for the pieces: a new one, or that of the same run."""
    parts.mkdir(parents=True, exist_ok=True)
    note, mark = parts / "settings.json", hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    for left in parts.glob("*.part"):                 # what a killed run was writing
        left.unlink()
    if not note.exists():
        hub.write_json(note, settings | {"mark": mark})
    elif hub.read_json(note).get("mark") != mark:
        raise FileExistsError(f"{parts} holds the pieces of a run with other settings or another source ({note}): delete the "
                              "folder, or choose another target")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="course annotate", description=__doc__.splitlines()[0])
    parser.add_argument("source", help="Parquet, CSV or Arrow file, or a folder of them")
    parser.add_argument("target", help="the Parquet file to make")
    parser.add_argument("--task", required=True, help="of a pipeline, like sentiment-analysis")
    parser.add_argument("--column", required=True, help="that holds the texts")
    parser.add_argument("--model", help="a name or folder; without it the task's own")
    parser.add_argument("--piece", type=int, default=PIECE, help="rows that are written together")
    options = parser.parse_args(argv)
    try:
        annotate_file(options.source, options.target, options.task, options.column, options.model, options.piece)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where it was.", file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError, ImportError) as error:
        print(f"course annotate: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    return 0
