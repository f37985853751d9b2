"""`import course` is instant, every public name is there when it is asked for, and no files import each other in a circle."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import course


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_brings_neither_torch_nor_anything_heavy():
    heavy = ("torch", "numpy", "tokenizers", "safetensors", "huggingface_hub", "transformers", "pandas", "tqdm")
    assert run(f"import sys, course; print([name for name in {heavy} if name in sys.modules])") == "[]\n"


def test_a_tokenizer_works_without_torch(tmp_path):
    code = ("import sys; from course import BertTokenizer; "
            "t = BertTokenizer(vocab={'[PAD]': 0, '[UNK]': 1, '[CLS]': 2, '[SEP]': 3, 'a': 4}); "
            "print(t('a a', return_tensors='np').input_ids.tolist(), 'torch' in sys.modules)")
    assert run(code) == "[[2, 4, 4, 3]] False\n"
    assert run("import sys; from course import AutoTokenizer; AutoTokenizer.from_pretrained('pocket/sentiment'); "
               "print('torch' in sys.modules)") == "False\n"


def test_nothing_is_written_or_asked_at_import(tmp_path):
    code = ("import socket; socket.socket.connect = socket.create_connection = socket.getaddrinfo = None; "
            "import course.pipelines, course.tokenizers.rust, course.models.bert")
    home = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "HF_HOME", "TMPDIR")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | home)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", course.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(course, name).__name__ == {"PretrainedConfig": "ModelConfig"}.get(name, name)
    assert name in dir(course)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'BertModle'"):
        course.BertModle  # noqa: B018
    with pytest.raises(ImportError):
        exec("from course import Nonsense")


def test_importing_all_names_works():
    space = {}
    exec("from course import *", space)
    assert set(course.__all__) <= set(space)


# -- how the files hang together -------------------------------------------------------------------------------------------

HOME = Path(course.__file__).parent
MODULES = {".".join(("course", *path.relative_to(HOME).with_suffix("").parts)).removesuffix(".__init__"): path
           for path in HOME.rglob("*.py")}


def imported(path):
    """The modules of the package that a file imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written in full, from course.…"
            found |= {f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else node.module
                      for alias in node.names}
    return found & set(MODULES)


def circles(uses):
    """The modules that can be reached from themselves."""
    def reach(module):
        seen, ahead = set(), [module]
        while ahead:
            new = uses[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen
    return {module for module in uses if module in reach(module)}


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_a_long_file_says_why(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 500 or "Long, because" in ast.get_docstring(ast.parse(source)), (
        f"{path.name} has more than 500 lines: cut it, or say in its docstring why it is long ('Long, because …')")


def test_no_files_import_each_other_in_a_circle():
    assert circles({module: imported(path) for module, path in MODULES.items()}) == set()


def test_a_script_beside_a_clone_gets_the_package(tmp_path):
    """`git clone …/course`, and then a script in the same place: `course` is the clone's folder there, not the package."""
    root = Path(course.__file__).parents[1]
    shutil.copytree(root / "course", tmp_path / "course/course", ignore=shutil.ignore_patterns("pocket", "__pycache__"))
    shutil.copy(root / "__init__.py", tmp_path / "course/__init__.py")
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", "import course; from course.checks import near; "
                           "print(course.__file__, course.pipeline.__name__, near(0.12, 0.123), course.BertConfig().model_type)"],
                          capture_output=True, text=True, cwd=tmp_path, env=plain)
    assert done.stdout.split() == [str(tmp_path / "course/course/__init__.py"), "pipeline", "True", "bert"], done.stderr
