"""`import course` is instant, and every public name is there when it is asked for."""

import os
import subprocess
import sys

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
    assert getattr(course, name).__name__ == name
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
