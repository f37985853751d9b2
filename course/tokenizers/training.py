"""Learning a vocabulary from texts: train_wordpiece, train_bpe, train_byte_bpe, train_unigram.

What it adds to the ladder: the tokenizers there read pieces from a file; here the pieces are found. Only words and how
often they occur matter, so the texts are read once and may come from any source, also one that does not fit into memory.

Merging (Sennrich, Haddow & Birch 2016, https://arxiv.org/abs/1508.07909), for WordPiece and both kinds of BPE: begin
with letters; the two neighbours that stand side by side most often become one piece; again, until there are enough.

    low 5 times, lower 2, newest 6, widest 3; the last letters are marked as in bpe.py
    e s occurs 6 + 3 = 9 times -> es; then es t</w>, 9 times -> est</w>; l o, 7 times -> lo; e w, 6 times -> ew …

Pruning (Kudo 2018, https://arxiv.org/abs/1804.10959, section 3.2), for Unigram: begin with every frequent part of a word;
estimate how probable each is; drop those whose loss makes the texts least improbable; again, until few enough are left.

    un, unhappy, happy, ppy …: without "unhappy" the texts are hardly less probable, as un + happy is nearly as good

use_fast=False does this in Python, use_fast=True (the default) in the Rust library. Merging gives the same pieces in both.
Pruning gives similar ones; there the Rust library adds up in random order, so its rarest pieces may differ from run to run.
"""

import difflib
import heapq
import inspect
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, trainers

from course.notes import note, progress
from course.tokenizers.base import clean_unicode
from course.tokenizers.bpe import OpenAIGPTTokenizer, Pair
from course.tokenizers.byte_bpe import BYTES, ByteBPETokenizer, GPT2Tokenizer
from course.tokenizers.encoding import whole
from course.tokenizers.special import ROLES
from course.tokenizers.unigram import CONTROL, NORMAL, UNKNOWN, T5Tokenizer, UnigramTokenizer
from course.tokenizers.wordpiece import BertTokenizer

Words = dict[str, int]                                    # word -> how often it occurs
LONGEST_WORD = 100                                        # a longer one (no blanks: a link, Thai) is learnt from in parts
LONGEST_PIECE = 16                                        # of Unigram, as in SentencePiece


def train_wordpiece(texts: Iterable[str], vocab_size: int = 8000, *, min_frequency: int = 2, limit_alphabet: int = 1000,
                    use_fast: bool = True, tokenizer_class: type[BertTokenizer] = BertTokenizer,
                    **options: Any) -> BertTokenizer:
    """Learns a WordPiece vocabulary; returns a BertTokenizer (with use_fast a BertTokenizerFast) that has it.

        tokenizer = train_wordpiece(table["answer"], vocab_size=2000, do_lower_case=False)
        tokenizer.save_pretrained("my-tokenizer")

    texts: any iterable, read once. vocab_size: pieces in all, special tokens and letters included. min_frequency: neighbours
    that stand together less often are not joined. limit_alphabet: only so many letters are learnt, the most frequent ones.
    options: what the tokenizer class takes; special tokens among them (pad_token="<pad>", additional_special_tokens=[…])
    get the first ids. Of pairs that are equally frequent the one with the smaller ids is joined first.

    Pairs are chosen by frequency, as in the Rust library. Google's program, never published, divided it by the frequencies
    of both parts (Schuster & Nakajima 2012), which prefers pieces that seldom occur apart.
    """
    special = first_tokens(BertTokenizer, tokenizer_class, options)
    words = count_words(texts, tokenizer_class(vocab=numbered(special), **options), limit_alphabet)
    vocab, _ = learn_merges(words, special + alphabet(words, inner="##"), vocab_size, min_frequency, use_fast, inner="##")
    return engine_class(tokenizer_class, use_fast)(vocab=vocab, **options)


def train_bpe(texts: Iterable[str], vocab_size: int = 8000, *, min_frequency: int = 2, limit_alphabet: int = 1000,
              use_fast: bool = True, **options: Any) -> OpenAIGPTTokenizer:
    """Learns BPE merges over lower-case words; returns an OpenAIGPTTokenizer. Arguments: see train_wordpiece."""
    special = first_tokens(OpenAIGPTTokenizer, OpenAIGPTTokenizer, options)
    words = count_words(texts, OpenAIGPTTokenizer(vocab=numbered(special), merges=[], **options), limit_alphabet)
    vocab, merges = learn_merges(words, special + alphabet(words, end="</w>"), vocab_size, min_frequency, use_fast, end="</w>")
    return engine_class(OpenAIGPTTokenizer, use_fast)(vocab=vocab, merges=merges, **options)


def train_byte_bpe(texts: Iterable[str], vocab_size: int = 8000, *, min_frequency: int = 2, use_fast: bool = True,
                   tokenizer_class: type[ByteBPETokenizer] = GPT2Tokenizer, **options: Any) -> ByteBPETokenizer:
    """Learns BPE merges over bytes, so that no text is ever unknown; returns a GPT2Tokenizer, or, with
    tokenizer_class=RobertaTokenizer, that. Arguments: see train_wordpiece."""
    special = first_tokens(ByteBPETokenizer, tokenizer_class, options)
    untrained = tokenizer_class(vocab=numbered(special), merges=[], **options)
    words = {"".join(BYTES[byte] for byte in word.encode()): count for word, count in count_words(texts, untrained).items()}
    vocab, merges = learn_merges(words, special + sorted(BYTES.values()), vocab_size, min_frequency, use_fast)
    return engine_class(tokenizer_class, use_fast)(vocab=vocab, merges=merges, **options)


def train_unigram(texts: Iterable[str], vocab_size: int = 8000, *, limit_alphabet: int = 1000, use_fast: bool = True,
                  tokenizer_class: type[UnigramTokenizer] = T5Tokenizer, **options: Any) -> UnigramTokenizer:
    """Learns pieces with probabilities; returns a T5Tokenizer, or, with tokenizer_class=XLNetTokenizer, that.

    T5's <extra_id_0>, <extra_id_1> … come on top of vocab_size; extra_ids=0 leaves them out. Other arguments: see
    train_wordpiece.
    """
    special = first_tokens(UnigramTokenizer, tokenizer_class, options)
    unknown = str(options.get("unk_token", tokenizer_class.special["unk_token"]))
    known = [(token, 0.0, UNKNOWN if token == unknown else CONTROL) for token in special]
    words = count_words(texts, tokenizer_class(pieces=known, **options), limit_alphabet)
    check_room(vocab_size, special + alphabet(words))
    scores = (unigram_in_rust if use_fast else unigram_in_python)(words, vocab_size - len(special))
    note_if_few(len(special) + len(scores), vocab_size)
    # a file keeps 32 bits of a score; what is rounded now stays the same when it is saved and read
    pieces = [(piece, float(np.float32(score)), NORMAL) for piece, score in scores.items()]
    return engine_class(tokenizer_class, use_fast)(pieces=known + pieces, **options)


# -- what all share: special tokens, words, letters ------------------------------------------------------------------------


def first_tokens(base: Any, tokenizer_class: Any, options: dict[str, Any]) -> list[str]:
    """The special tokens in the order of their ids, first those of the class. TypeError for options that it does not have."""
    fits = isinstance(tokenizer_class, type) and issubclass(tokenizer_class, base)
    if not fits or tokenizer_class.is_fast:
        raise TypeError(f"tokenizer_class must be {base.__name__} or a class made from it that does not end in Fast (use_fast "
                        f"chooses the engine), got {tokenizer_class!r}")
    known = {name for kind in tokenizer_class.__mro__ for name in inspect.signature(kind.__init__).parameters} | set(ROLES)
    for name in options:
        if name not in known - {"vocab", "merges", "pieces", "vocab_file", "merges_file", "self", "args", "kwargs"}:
            close = difflib.get_close_matches(name, [*known, "vocab_size", "min_frequency", "limit_alphabet", "use_fast"], n=1)
            raise TypeError(f"{tokenizer_class.__name__} is not trained with {name}=…" +
                            (f"; did you mean {close[0]}?" if close else ""))
    given = tokenizer_class.special | options
    tokens = [given[name] for name in given if name in ROLES] + list(given.get("additional_special_tokens") or [])
    return list(dict.fromkeys(str(getattr(token, "content", token)) for token in tokens if token is not None))


def count_words(texts: Iterable[str], tokenizer: Any, limit_alphabet: int | None = None) -> Words:
    """How often each word occurs, as the tokenizer cuts words; those with a letter rarer than the limit are left out."""
    if isinstance(texts, (str, bytes, dict)) or not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) != 1:
        raise TypeError("texts must be a list of texts, a column of a table or anything else that gives one text after the "
                        f"other, got {type(texts).__name__}" + (": put it into a list" if isinstance(texts, str) else ""))
    if limit_alphabet is not None:
        whole("limit_alphabet", limit_alphabet)
    seen: Counter[str] = Counter()
    for number, text in enumerate(progress(texts, desc="counting words", unit="text", delay=2, leave=False)):
        if not isinstance(text, str):
            raise TypeError(f"texts must hold texts, number {number} (counting from 0) is {type(text).__name__} "
                            f"{str(text)[:40]!r}; drop missing values first, make numbers text with str(…)")
        for part, token in tokenizer._parts(clean_unicode(text), False):
            seen.update(tokenizer.words_of(part) if token is None else ())        # special tokens are not learnt from
    words: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for word, count in seen.items():
        for start in range(0, len(word), LONGEST_WORD):
            words[word[start:start + LONGEST_WORD]] += count
        for letter in word:
            letters[letter] += count
    if not words:
        raise ValueError("texts holds no words to learn from: is it empty, or an iterator that was used up before?")
    rare = set(sorted(letters, key=lambda letter: (-letters[letter], letter))[limit_alphabet:] if limit_alphabet else ())
    if rare:
        note("limit_alphabet=%d leaves out %d rarer letters (%s …); words with them will be unknown or in parts",
             limit_alphabet, len(rare), " ".join(sorted(rare)[:10]))
    return {word: count for word, count in words.items() if rare.isdisjoint(word)}


def letters_of(word: str, inner: str, end: str) -> list[str]:
    """'low' -> ['l', '##o', '##w'] with inner='##', ['l', 'o', 'w</w>'] with end='</w>'."""
    letters = [word[0], *(inner + letter for letter in word[1:])]
    letters[-1] += end
    return letters


def alphabet(words: Words, inner: str = "", end: str = "") -> list[str]:
    """All letters, plain and, where a new word might have them so, with the mark."""
    plain = {letter for word in words for letter in word}
    marked = {inner + letter + end for word in words if end or len(word) > 1 for letter in word}
    return sorted(plain | marked, key=lambda letter: (len(letter), letter))


def numbered(pieces: Iterable[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces)}


def check_room(vocab_size: int, start: list[str]) -> None:
    vocab_size = whole("vocab_size", vocab_size)
    if vocab_size < len(start):
        raise ValueError(f"vocab_size={vocab_size} is too small: special tokens and letters alone are {len(start)}. Choose "
                         "more, or let limit_alphabet=… leave out rare letters")


def note_if_few(found: int, vocab_size: int) -> None:
    if found < vocab_size:
        note("the texts give only %d of the %d pieces asked for: nothing else occurs often enough", found, vocab_size)


def engine_class(tokenizer_class: type, use_fast: bool) -> Any:
    return getattr(sys.modules[tokenizer_class.__module__], f"{tokenizer_class.__name__}Fast", tokenizer_class) \
        if use_fast else tokenizer_class


# -- merging ---------------------------------------------------------------------------------------------------------------


def learn_merges(words: Words, start: list[str], vocab_size: int, min_frequency: int, use_fast: bool, inner: str = "",
                 end: str = "") -> tuple[dict[str, int], list[Pair]]:
    """The vocabulary, which begins with `start`, and the merges in the order in which they were learnt."""
    check_room(vocab_size, start)
    whole("min_frequency", min_frequency)
    learn = merges_in_rust if use_fast else merges_in_python
    vocab, merges = learn(words, numbered(start), vocab_size, min_frequency, inner, end)
    note_if_few(len(vocab), vocab_size)
    return vocab, merges


def merges_in_python(words: Words, vocab: dict[str, int], vocab_size: int, min_frequency: int, inner: str,
                     end: str) -> tuple[dict[str, int], list[Pair]]:
    """Counts all pairs of neighbours once; after each merge only the words in which it happened are counted anew.

    The heap gives the most frequent pair. Its counts grow old when other merges break pairs up; an old one is put back with
    the count of now when it comes to the top, which is cheaper than to find it in the middle.
    """
    pieces, counts = list(vocab), list(words.values())
    cuts = [[vocab[letter] for letter in letters_of(word, inner, end)] for word in words]
    pairs: Counter[tuple[int, int]] = Counter()
    places: defaultdict[tuple[int, int], set[int]] = defaultdict(set)        # the words in which a pair stands, or once stood
    for number, (cut, count) in enumerate(zip(cuts, counts, strict=True)):
        for pair in pairwise(cut):
            pairs[pair] += count
            places[pair].add(number)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    with progress(total=vocab_size - len(vocab), desc="merging", unit="piece", delay=2, leave=False) as bar:
        while heap and len(vocab) < vocab_size:
            count, best = heapq.heappop(heap)
            if -count != pairs[best]:
                if pairs[best] > 0:
                    heapq.heappush(heap, (-pairs[best], best))
                continue
            if -count < min_frequency:
                break
            left, right = (pieces[number] for number in best)
            piece = left + right.removeprefix(inner)
            merges.append((left, right))
            if piece not in vocab:
                vocab[piece] = len(pieces)
                pieces.append(piece)
                bar.update()
            grown = set()
            for number in places.pop(best):
                old = cuts[number]
                cuts[number] = new = merged(old, best, vocab[piece])
                for pair in pairwise(old):
                    pairs[pair] -= counts[number]
                for pair in pairwise(new):
                    pairs[pair] += counts[number]
                    if vocab[piece] in pair:
                        places[pair].add(number)
                        grown.add(pair)
            for pair in grown:
                heapq.heappush(heap, (-pairs[pair], pair))
    return vocab, merges


def merged(cut: list[int], pair: tuple[int, int], number: int) -> list[int]:
    """[5, 1, 2, 1, 2], (1, 2), 9 -> [5, 9, 9]."""
    new, at = [], 0
    while at < len(cut):
        both = cut[at] == pair[0] and cut[at + 1:at + 2] == [pair[1]]
        new.append(number if both else cut[at])
        at += 2 if both else 1
    return new


def merges_in_rust(words: Words, vocab: dict[str, int], vocab_size: int, min_frequency: int, inner: str,
                   end: str) -> tuple[dict[str, int], list[Pair]]:
    """The same by the Rust library. It numbers marked letters as it meets them, which differs from run to run and decides
    between equally frequent pairs; letters that it is given as special tokens have their numbers already."""
    given = {"continuing_subword_prefix": inner, "end_of_word_suffix": end}
    marks: dict[str, Any] = {name: mark for name, mark in given.items() if mark}
    engine = Tokenizer(models.BPE(**marks))
    engine.train_from_iterator(running(words), trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=list(vocab), show_progress=False, **marks))
    model = json.loads(engine.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def running(words: Words) -> Iterator[str]:
    """Each word as often as it occurs."""
    return chain.from_iterable(repeat(word, count) for word, count in words.items())


# -- pruning ---------------------------------------------------------------------------------------------------------------


def unigram_in_python(words: Words, size: int) -> dict[str, float]:
    """Piece -> logarithm of its probability, the most probable first; letters always stay, so that every word can be cut."""
    scores = estimated(seeds(words, 10 * size))
    with progress(total=max(0, len(scores) - size), desc="pruning", unit="piece", delay=2, leave=False) as bar:
        while True:
            expected = expectation(words, scores)
            scores = estimated(expected)
            if len(scores) <= size:
                return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
            # what would the texts lose if the second best way to cut had to do?
            losses = {piece: expected[piece] * (scores[piece] - without(piece, scores)) for piece in scores if len(piece) > 1}
            most = len(scores) - max(size, len(scores) * 3 // 5)
            for piece in sorted(losses, key=lambda piece: (losses[piece], piece))[:most]:
                del scores[piece]
            bar.update(most)


def seeds(words: Words, most: int) -> dict[str, float]:
    """The letters, and the parts of words that occur at least twice and cover most of the texts, with their frequencies."""
    letters: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    found: dict[str, float] = {}
    for size in range(2, LONGEST_PIECE + 1):              # one size after the other: less has to be held at a time
        parts: Counter[str] = Counter()
        for word, count in words.items():
            for start in range(len(word) - size + 1):
                parts[word[start:start + size]] += count
        both = chain(found.items(), ((part, count) for part, count in parts.items() if count > 1))
        found = dict(heapq.nsmallest(most, both, key=lambda item: (-item[1] * len(item[0]), item[0])))
    return dict(letters) | found


def estimated(frequencies: dict[str, float]) -> dict[str, float]:
    """Frequencies -> logarithms of probabilities; nothing is impossible."""
    total = sum(frequencies.values())
    return {piece: math.log(max(count, 1e-3) / total) for piece, count in frequencies.items()}


def expectation(words: Words, scores: dict[str, float]) -> dict[str, float]:
    """How often each piece is expected when every way to cut a word counts as much as it is probable.

    Forwards: how probable are all ways to each place together? Backwards: through which pieces do they lead?
    """
    expected = dict.fromkeys(scores, 0.0)
    longest = max(map(len, scores))
    for word, count in words.items():
        total = [0.0]                                     # logarithms, place by place
        arriving: list[list[tuple[int, str, float]]] = [[]]        # (where the piece starts, the piece, its share of the ways)
        for end in range(1, len(word) + 1):
            ways = [(start, piece, total[start] + scores[piece]) for start in range(max(0, end - longest), end)
                    if (piece := word[start:end]) in scores]
            top = max(way[2] for way in ways)
            shares = [math.exp(score - top) for *_, score in ways]
            everything = sum(shares)
            total.append(top + math.log(everything))
            arriving.append([(start, piece, share / everything) for (start, piece, _), share in zip(ways, shares, strict=True)])
        reached = [0.0] * len(word) + [float(count)]
        for end in range(len(word), 0, -1):
            for start, piece, share in arriving[end]:
                expected[piece] += reached[end] * share
                reached[start] += reached[end] * share
    return expected


def without(piece: str, scores: dict[str, float]) -> float:
    """The score of the best way to cut a piece into others."""
    best = [0.0]
    for end in range(1, len(piece) + 1):
        best.append(max(best[start] + scores.get(piece[start:end], -math.inf) for start in range(end)
                        if end - start < len(piece)))
    return best[-1]


def unigram_in_rust(words: Words, size: int) -> dict[str, float]:
    """The same by the Rust library, which begins with more parts and estimates with a prior for few pieces."""
    engine = Tokenizer(models.Unigram())
    engine.train_from_iterator(running(words), trainers.UnigramTrainer(
        vocab_size=size + 1, unk_token="<unk>", max_piece_length=LONGEST_PIECE, show_progress=False))
    return {piece: score for piece, score in json.loads(engine.to_str())["model"]["vocab"] if piece != "<unk>"}
