"""Tokenizers: from text to numbers and back. Read them as a ladder: base.py, then wordpiece.py; rust.py is the fast engine."""
