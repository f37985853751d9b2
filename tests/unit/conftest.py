import pytest
import tiny


@pytest.fixture
def folder(tmp_path):
    """A saved BERT classifier with its tokenizer."""
    tiny.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def batch():
    """Three texts of different length as tensors."""
    texts = ["the council vote was not bad.", "good", "is the new school good or is it bad?"]
    return tiny.tokenizer()(texts, padding=True, return_tensors="pt")
