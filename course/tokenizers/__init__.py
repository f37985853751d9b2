"""Tokenizers: from text to numbers and back.

Read them as a ladder: base.py (with special.py, framing.py and encoding.py), words.py, wordpiece.py, bpe.py, byte_bpe.py,
unigram.py. rust.py is the fast engine of all, training.py learns vocabularies.
"""
