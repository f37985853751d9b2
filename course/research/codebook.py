"""Codebook: the instrument. Coders and models read the same words from it."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from course import hub
from course.research.agreement import LEVELS

STYLES = ("name", "definition", "full")


@dataclass(frozen=True)
class Label:
    """One code. include and exclude decide the doubtful cases; examples are texts that have it."""

    name: str
    definition: str = ""
    include: str = ""
    exclude: str = ""
    examples: tuple[str, ...] = field(default=())

    def text(self, style: str = "definition") -> str:
        """style: "name", "definition" ("name: definition"), or "full" with the rules for doubtful cases."""
        parts = [self.name if style == "name" or not self.definition else f"{self.name}: {self.definition}"]
        if style == "full":
            parts += [f"Include: {self.include}"] * bool(self.include) + [f"Not here: {self.exclude}"] * bool(self.exclude)
        return " ".join(part if part.endswith((".", "!", "?")) or style != "full" else part + "." for part in parts)


class Codebook:
    """Labels with their definitions, the question they answer, and how they are compared.

    labels: {name: definition}, names, or Label objects. level: nominal, ordinal (in this order), interval or ratio (the
    names are numbers). Raises ValueError for fewer than two labels, equal ones, or an unknown level.
    """

    def __init__(self, name: str, question: str = "", labels: Any = (), level: str = "nominal"):
        entries = [Label(str(key), str(text or "")) for key, text in labels.items()] if isinstance(labels, dict) else [
            label if isinstance(label, Label) else Label(str(label)) for label in labels]
        names = [label.name.strip() for label in entries]
        if len(entries) < 2:
            raise ValueError(f"a codebook needs at least two labels, got {names}: with one there is nothing to decide")
        if "" in names or len({n.casefold() for n in names}) < len(names):
            twice = next(n for n in names if not n or sum(n.casefold() == m.casefold() for m in names) > 1)
            raise ValueError(f"every label needs a name of its own; {twice!r} is empty or there twice")
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        if level in ("interval", "ratio"):
            try:
                [float(n) for n in names]
            except ValueError:
                raise ValueError(f"level={level!r} needs numbers as labels, got {', '.join(names)}") from None
        self.name, self.question, self.level = str(name), str(question), level
        self.labels: dict[str, Label] = {label.name: label for label in entries}

    def __iter__(self) -> Any:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    # -- files -----------------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | os.PathLike) -> Self:
        """From .json or .yml (as save writes them), or a table with the columns label, definition, include, exclude,
        examples (divided by |): .csv, or the first such table in a .md file, like the card of a data set."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}: a codebook is a .yml, .json, .csv or .md file")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        if path.suffix in (".json", ".yml", ".yaml"):
            if path.suffix == ".json":
                found: Any = json.loads(text)
            else:
                try:
                    import yaml
                except ModuleNotFoundError:
                    raise ModuleNotFoundError('reading .yml needs PyYAML: pip install pyyaml, or save as .json') from None
                found = yaml.safe_load(text)
            if not isinstance(found, dict) or not found.get("labels"):
                raise ValueError(f"{path} holds no codebook: it needs a name, a question, a level and labels")
            labels = found["labels"]
            if isinstance(labels, dict):
                labels = [{"name": key} | (value if isinstance(value, dict) else {"definition": value or ""})
                          for key, value in labels.items()]
            rows = [label if isinstance(label, dict) else {"name": label} for label in labels]
            return cls(found.get("name", path.stem), found.get("question", ""), make(rows, path), found.get("level", "nominal"))
        if path.suffix == ".md":
            rows = next(markdown_tables(text), [])
        else:
            first = text.split("\n", 1)[0]
            rows = list(csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=first.count)))
        if not rows:
            raise ValueError(f"{path} holds no table of labels: its first column must be called label, topic, code or name")
        return cls(path.stem, "", make(rows, path))

    def save(self, path: str | os.PathLike) -> None:
        """Writes .json or .yml; read() gives the same codebook back."""
        path = Path(path)
        if path.suffix == ".json":
            hub.write_text(path, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")
        else:
            import yaml
            hub.write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "question": self.question, "level": self.level, "labels": [
            {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(label).items() if value}
            for label in self.labels.values()]}

    @property
    def hash(self) -> str:
        """12 hexadecimal digits that change with every word of the codebook."""
        content = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def diff(self, old: "Codebook") -> list[str]:
        """What changed since an older version, a line for each change."""
        lines = [f"{what}: {getattr(old, what)!r} -> {getattr(self, what)!r}" for what in ("name", "question", "level")
                 if getattr(old, what) != getattr(self, what)]
        lines += [f"removed: {name}" for name in old if name not in self.labels]
        for name, label in self.labels.items():
            if (before := old.labels.get(name)) is None:
                lines.append(f"added: {label.text()}")
            else:
                lines += [f"{name}, {key}: {value!r} -> {asdict(label)[key]!r}" for key, value in asdict(before).items()
                          if value != asdict(label)[key]]
        if list(self) != list(old) and not lines:
            lines.append(f"order: {', '.join(old)} -> {', '.join(self)}")
        return lines

    # -- words -----------------------------------------------------------------------------------------------------------

    def prompt(self, text: str | None = None, style: str = "definition", shots: int = 0) -> str:
        """The very words that a model reads, and that coders can be shown: question, labels, and with shots so many
        examples of each label; then the text, when one is given."""
        if style not in STYLES:
            raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
        lines = [self.question or "Which label fits the text?", "", "Labels:"]
        lines += [f"- {label.text(style)}" for label in self.labels.values()]
        for label in self.labels.values():
            for example in label.examples[:shots]:
                lines += ["", f"Text: {example}", f"Label: {label.name}"]
        return "\n".join(lines if text is None else [*lines, "", f"Text: {text}", "Label:"])

    def examples(self) -> list[str]:
        """All texts that serve as examples: none of them may be used as a test."""
        return [example for label in self.labels.values() for example in label.examples]

    def check(self, codes: Iterable[Any]) -> None:
        """Raises ValueError for a code that is no label; a missing one is legal."""
        bad = sorted({str(c) for c in codes if not (c is None or c != c or str(c) in self.labels)})
        if bad:
            raise ValueError(f"{', '.join(map(repr, bad[:5]))}: no label of the codebook {self.name!r}, which has "
                             f"{', '.join(self)}")

    def __repr__(self) -> str:
        return f"Codebook({self.name!r}, {len(self)} labels, {self.level}, version {self.hash})\n{self.prompt()}"


def make(rows: Sequence[dict[str, Any]], path: Path) -> list[Label]:
    labels = []
    for row in rows:
        row = {str(key).strip().casefold(): value for key, value in row.items()}
        name = next((row[key] for key in ("name", "label", "topic", "code") if row.get(key) not in (None, "")), None)
        if name is None:
            raise ValueError(f"{path}: a label has no name: {row}")
        examples = row.get("examples") or ()
        examples = examples.split("|") if isinstance(examples, str) else examples
        definition = row.get("definition") or next((v for k, v in row.items() if k.startswith("what")), "")
        labels.append(Label(str(name).strip(), str(definition or "").strip(), str(row.get("include") or "").strip(),
                            str(row.get("exclude") or "").strip(), tuple(str(e).strip() for e in examples if str(e).strip())))
    return labels


def markdown_tables(text: str) -> Any:
    """The tables of a .md file whose first column names labels, each as a list of dicts."""
    for block in re.findall(r"(?:^\|.*\|[ ]*\n?)+", text, re.MULTILINE):
        lines = [[cell.strip().strip("*`") for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        if len(lines) > 2 and lines[0][0].casefold() in ("label", "topic", "code", "name"):
            yield [dict(zip(lines[0], line, strict=False)) for line in lines[2:]]
