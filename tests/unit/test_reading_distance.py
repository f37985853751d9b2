"""The rules that keep the models readable (CONTRIBUTING.md): how much code stands between a reader and a whole model,
and what may not be where."""

import ast
import importlib
import io
import tokenize
from pathlib import Path

import pytest
from torch import nn

import course
from course.config import MODELS
from course.modeling import PreTrainedModel

HOME = Path(course.__file__).parent
FILES = sorted(path for path in (HOME / "models").glob("*.py") if path.name not in ("__init__.py", "auto.py"))
NN = sorted((HOME / "nn").glob("*.py"))
BLANK = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def code_lines(text):
    """How many lines hold code: no blank lines, comments, docstrings and tables of names, which are data."""
    tree = ast.parse(text)
    other = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            other.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").isupper():
            other.update(range(node.lineno, node.end_lineno + 1))
    lines = {line for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in BLANK
             for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - other)


def test_lines_are_counted_as_a_reader_counts():
    text = '"""Two\nlines."""\n\n# a comment\nx = """a\nb"""\n\n\ndef f():\n    """One."""\n    return (1,   # why\n            2)\nNAMES = {1: 2,\n 3: 4}\n'
    assert code_lines(text) == 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_model_is_read_in_one_sitting(path):
    """A model that brings an attention of its own may be longer, for its reader has no use for nn/attention.py."""
    text = path.read_text(encoding="utf-8")
    own, blocks, attention = (code_lines(text), *(code_lines((HOME / "nn" / name).read_text(encoding="utf-8"))
                                                  for name in ("blocks.py", "attention.py")))
    used = importlib.import_module(f"course.models.{path.stem}")
    if any(getattr(part, "__module__", "") == "course.nn.attention" for part in vars(used).values()):
        assert own <= 280, f"{path.name} has {own} lines of code"
        assert own + blocks + attention <= 500, f"{path.name} has {own} lines of code, the blocks {blocks + attention}"
    else:
        assert own + blocks <= 500, f"{path.name} has {own} lines of code, the blocks {blocks}"


@pytest.mark.parametrize("path", NN, ids=lambda path: path.stem)
def test_blocks_know_no_model_and_no_config(path):
    names = {word.lower() for kind, (file, start) in MODELS.items() for word in (kind, file, start)}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NAME:
            found = token.string.lower()
            assert "config" not in found, f"line {token.start[0]}: {token.string}"
            assert not any(name in found for name in names), f"line {token.start[0]}: {token.string}"


def test_no_package_is_deeper_than_one_level():
    deep = [path for path in HOME.rglob("*.py") if len(path.relative_to(HOME).parts) > 2]
    assert deep == []


def test_few_levels_of_classes():
    """nn.Module, PreTrainedModel, the model; one level more where a paper says "the same network" or "a part of it"."""
    for file, _ in MODELS.values():
        for name, found in vars(importlib.import_module(f"course.models.{file}")).items():
            if isinstance(found, type) and issubclass(found, PreTrainedModel) and found is not PreTrainedModel:
                levels = found.__mro__.index(nn.Module) - 1           # between it and nn.Module
                assert found.__mro__[levels] is PreTrainedModel, name
                assert levels <= 2, f"{name}: {[base.__name__ for base in found.__mro__[:levels + 1]]}"
