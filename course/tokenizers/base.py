"""What every tokenizer does after a text is cut into pieces: special tokens, pairs, truncation, padding, tensors, decoding.

    text --pieces--> ids --template--> [CLS] ids [SEP] --padding--> a rectangular batch

A tokenizer adds one file to this one: how a text is cut (`tokens_of`, and `spans_of` for where each piece stood).
There are two engines with equal results: that readable Python, and the Rust library `tokenizers` (rust.py).
What the call returns, and how it still knows its texts, is in encoding.py.
"""

import difflib
import logging
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from tokenizers import AddedToken, Tokenizer

from course import hub
from course.tokenizers import chat, rust
from course.tokenizers.encoding import BatchEncoding, Pieces, Row, Span, to_tensor

log = logging.getLogger(__name__)
NO_LIMIT = int(1e30)                                # model_max_length when nobody said how much the model reads
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class PreTrainedTokenizer:
    """Base class of all tokenizers. A subclass says how a text is cut and how special tokens frame it."""

    vocab_files_names: ClassVar[dict[str, str]] = {}
    model_input_names: tuple[str, ...] = ("input_ids", "token_type_ids", "attention_mask")
    single = "A:0"                                  # template: special tokens, mostly by role, and the texts, with types
    pair = "A:0 B:0"
    pad_token_type_id = 0
    saved_as = ""                                   # the tokenizer_class of files, where it is not the name of this class
    trims_offsets = False                           # whether the span of a piece leaves the blank before it out
    is_fast = False

    def __init__(self, vocab: dict[str, int], *, model_max_length: int | None = None, padding_side: str = "right",
                 truncation_side: str = "right", clean_up_tokenization_spaces: bool = True,
                 additional_special_tokens: Sequence[str | AddedToken] | None = None, split_special_tokens: bool = False,
                 added_tokens_decoder: dict[int, AddedToken] | None = None, name_or_path: str = "",
                 chat_template: str | dict[str, str] | list[dict[str, str]] | None = None, **kwargs: Any):
        self.vocab = vocab
        self._words: dict[str, list] = {}
        if model_max_length is not None and (not isinstance(model_max_length, (int, float)) or model_max_length < 1):
            raise ValueError(f"model_max_length must be a whole number of at least 1, got {model_max_length!r}")
        self.model_max_length = NO_LIMIT if model_max_length is None else int(model_max_length)
        for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
            if side not in ("left", "right"):
                raise ValueError(f"{name} must be 'left' or 'right', got {side!r}")
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.name_or_path = name_or_path
        named = chat.named_templates(chat_template)
        self.chat_template = named["default"] if list(named) == ["default"] else named or None
        self.added: dict[str, AddedToken] = {}       # tokens that are found in a text before it is cut
        self.added_ids: dict[str, int] = {}
        self._id_to_token = {number: token for token, number in vocab.items()}
        self._special: dict[str, str | None] = dict.fromkeys(ROLES)
        self.additional_special_tokens: list[str] = []
        for number, token in sorted((added_tokens_decoder or {}).items()):
            self._remember(token, number)
        for role in ROLES:
            if (token := kwargs.pop(role, None)) is not None:
                setattr(self, role, token)
        if additional_special_tokens:
            self.add_special_tokens({"additional_special_tokens": list(additional_special_tokens)})
        if isinstance(names := kwargs.get("model_input_names"), (list, tuple)):
            self.model_input_names = tuple(names)    # some checkpoints say so, for models without token types
        self.init_kwargs = kwargs                    # what tokenizer_config.json says besides: kept for saving

    # -- how a text is cut: the subclass ---------------------------------------------------------------------------------

    def tokens_of(self, text: str) -> list[str]:
        """The pieces of a text in which no special token stands."""
        raise NotImplementedError

    def spans_of(self, text: str) -> list[Span]:
        """Where each piece of tokens_of(text) stood, and in which word."""
        raise NotImplementedError

    def cut_word(self, word: str) -> list:
        """The pieces of one word, where a tokenizer cuts texts into words first."""
        raise NotImplementedError

    def split_word(self, word: str) -> list:
        """cut_word, but each word is worked out once."""
        found = self._words.get(word)
        if found is None:
            if len(self._words) >= 100_000:          # a bound, for streams of millions of texts
                self._words.clear()
            self._words[word] = found = self.cut_word(word)
        return found

    def join(self, tokens: list[str]) -> str:
        """Pieces -> text."""
        return " ".join(tokens)

    def rust(self, alone: bool = False) -> Tokenizer | None:
        """The engine of the Rust library that cuts alike, without added tokens; None where that library cannot.
        alone: for tokenizer.json, which is used without the Python class."""
        return None

    # -- vocabulary ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._id_to_token)

    @property
    def vocab_size(self) -> int:
        """Tokens without the added ones; len(tokenizer) counts all."""
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        return self.vocab | self.added_ids

    def get_added_vocab(self) -> dict[str, int]:
        return {t: i for t, i in self.added_ids.items() if t not in self.vocab}

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """A token or several -> id or ids; what is not in the vocabulary becomes the unknown token."""
        if isinstance(tokens, str):
            found = self.added_ids.get(tokens, self.vocab.get(tokens))
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        if isinstance(ids, int):
            return self._token(ids)
        special = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token(i) for i in ids if i not in special]

    def _token(self, number: int) -> str:
        if number not in self._id_to_token:
            raise IndexError(f"{number} is no id of this tokenizer: it has the ids 0 to {len(self) - 1}")
        return self._id_to_token[number]

    @property
    def all_special_tokens(self) -> list[str]:
        found = [self._special[role] for role in ROLES] + self.additional_special_tokens
        return [t for t in dict.fromkeys(found) if t is not None]

    @property
    def all_special_ids(self) -> list[int]:
        return self.convert_tokens_to_ids(self.all_special_tokens)

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        found: dict[str, Any] = {role: token for role, token in self._special.items() if token is not None}
        return found | ({"additional_special_tokens": self.additional_special_tokens}
                        if self.additional_special_tokens else {})

    def add_tokens(self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False) -> int:
        """Adds words to the vocabulary, each kept in one piece; returns how many were new.
        Then call model.resize_token_embeddings(len(tokenizer))."""
        many = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens)
        before = len(self)
        for token in many:
            if not isinstance(token, (str, AddedToken)) or not str(getattr(token, "content", token)):
                raise TypeError(f"add_tokens takes words, got {token!r}")
            added = token if isinstance(token, AddedToken) else AddedToken(token, special=special_tokens,
                                                                           normalized=not special_tokens)
            if special_tokens:
                added.special = True
            self._remember(added)
        return len(self) - before

    def add_special_tokens(self, special_tokens_dict: dict[str, Any]) -> int:
        """{"sep_token": "<sep>", "additional_special_tokens": ["<speaker>"]}; returns how many were new."""
        before = len(self)
        for role, value in special_tokens_dict.items():
            if role == "additional_special_tokens":
                self.add_tokens(value, special_tokens=True)
                self.additional_special_tokens += [t for t in (str(getattr(v, "content", v)) for v in value)
                                                   if t not in self.additional_special_tokens]
            elif role in ROLES:
                setattr(self, role, value)
            else:
                raise ValueError(f"{role!r} is no special token; there are {', '.join(ROLES)} and additional_special_tokens")
        return len(self) - before

    def _remember(self, token: AddedToken, number: int | None = None) -> None:
        text = token.content
        if number is None:
            number = self.added_ids.get(text, self.vocab.get(text))
        if number is None:
            number = max(self._id_to_token, default=-1) + 1
        self.added[text], self.added_ids[text] = token, number
        self._id_to_token[number] = text
        self._changed()

    def _changed(self) -> None:
        """Forget what was built from the added tokens."""
        self._found: dict[bool, list[tuple[re.Pattern, list[str], bool]]] = {}

    def __getattr__(self, name: str) -> Any:          # pad_token, pad_token_id and so on
        role = name.removesuffix("_id")
        if role in ROLES:
            token = self.__dict__["_special"][role]
            return token if name == role or token is None else self.convert_tokens_to_ids(token)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ROLES:
            self._special[name] = None if value is None else str(getattr(value, "content", value))
            if value is not None:
                added = value if isinstance(value, AddedToken) else \
                    self.added.get(value) or AddedToken(value, special=True, normalized=False)
                added.special = True
                self._remember(added)
        elif name.removesuffix("_id") in ROLES:
            setattr(self, name.removesuffix("_id"), self.convert_ids_to_tokens(value))
        else:
            object.__setattr__(self, name, value)

    # -- text -> pieces: the Python engine -------------------------------------------------------------------------------

    def pieces(self, texts: Sequence[str] | Sequence[Sequence[str]], split_special: bool, words_given: bool) -> list[Pieces]:
        """Cuts texts (or, with words_given, lists of words) into pieces."""
        found = []
        added, vocab, unknown = self.added_ids, self.vocab, self.unk_token_id
        for text in texts:
            chunks: Sequence[str] = text if words_given else [text]  # type: ignore[list-item, assignment]
            tokens = [token for chunk in chunks for token in self._cut(chunk, split_special)]
            found.append(Pieces([added[t] if t in added else vocab.get(t, unknown) for t in tokens],
                                lambda chunks=chunks: self._spans(chunks, split_special, words_given)))
        return found

    def _cut(self, text: str, split_special: bool) -> list[str]:
        return [piece for part, token in self._parts(text, split_special)
                for piece in (self.tokens_of(part) if token is None else [token])]

    def _spans(self, chunks: Sequence[str], split_special: bool, words_given: bool) -> list[Span]:
        spans: list[Span] = []
        for index, chunk in enumerate(chunks):
            start, word = 0, 0
            for part, token in self._parts(chunk, split_special):
                blank = len(part) - len(part.lstrip()) if self.trims_offsets else 0
                inner = self.spans_of(part) if token is None else [(blank, len(part), 0)]
                spans += [(start + a, start + b, index if words_given else word + (w or 0)) for a, b, w in inner]
                start += len(part)
                word += 1 + max((w or 0 for *_, w in inner), default=-1)
        return spans

    def _parts(self, text: str, split_special: bool) -> list[tuple[str, str | None]]:
        """A text cut at the added tokens in it: (part, the token that stands there or None). Tokens are sought in the text
        as it is, those that are `normalized` afterwards in the folded rest."""
        parts: list[tuple[str, str | None]] = [(text, None)]
        for pattern, tokens, folded in self._patterns(split_special):
            cut: list[tuple[str, str | None]] = []
            for part, token in parts:
                looks, place, start = part, list(range(len(part))), 0
                if folded:
                    faces = [self.fold(char) for char in part]
                    looks, place = "".join(faces), [i for i, face in enumerate(faces) for _ in face]    # where each stood
                for match in pattern.finditer(looks) if token is None else ():
                    first, end = place[match.start()], place[match.end() - 1] + 1
                    cut += [(part[start:first], None), (part[first:end], tokens[match.lastindex - 1])]
                    start = end
                cut.append((part[start:], token))
            parts = [(part, token) for part, token in cut if part]
        return parts

    def _patterns(self, split_special: bool) -> list[tuple[re.Pattern, list[str], bool]]:
        """[(pattern that finds added tokens, the token of each of its groups, whether it wants folded text)]; special
        tokens are found only when the text may hold them."""
        if split_special not in self._found:
            self._found[split_special] = []
            for folded in (False, True):
                wanted: dict[str, AddedToken] = {}
                for token in self.added.values():
                    text = "".join(map(self.fold, token.content)) if folded else token.content
                    if text and token.normalized == folded and not (split_special and token.special):
                        wanted.setdefault(text, token)
                longest_first = sorted(wanted.items(), key=lambda item: -len(item[0]))
                groups = []
                for text, token in longest_first:
                    part = f"({re.escape(text)})"
                    part = rf"(?<!\w){part}(?!\w)" if token.single_word else part
                    groups.append((r"\s*" if token.lstrip else "") + part + (r"\s*" if token.rstrip else ""))
                if groups:
                    # with many tokens (T5 has 103) one look at the next character rules nearly every place out
                    firsts = "".join({re.escape(text[0]) for text in wanted} | {r"\s" for t in wanted.values() if t.lstrip})
                    pattern = re.compile(f"(?=[{firsts}])(?:{'|'.join(groups)})")
                    self._found[split_special].append((pattern, [token.content for _, token in longest_first], folded))
        return self._found[split_special]

    def fold(self, char: str) -> str:
        """How a character looks where a `normalized` added token is sought."""
        return char

    # -- the call --------------------------------------------------------------------------------------------------------

    def __call__(self, text: Any = None, text_pair: Any = None, add_special_tokens: bool = True,
                 padding: bool | str = False, truncation: bool | str | None = None, max_length: int | None = None,
                 stride: int = 0, is_split_into_words: bool = False, pad_to_multiple_of: int | None = None,
                 padding_side: str | None = None, return_tensors: str | None = None,
                 return_token_type_ids: bool | None = None, return_attention_mask: bool | None = None,
                 return_overflowing_tokens: bool = False, return_special_tokens_mask: bool = False,
                 return_offsets_mapping: bool = False, return_length: bool = False, verbose: bool = True,
                 split_special_tokens: bool | None = None, **old: Any) -> BatchEncoding:
        """One text, a list of texts, or pairs of both -> a BatchEncoding, the model's input.

        padding: True or "longest", "max_length", False. truncation: True or "longest_first", "only_first",
        "only_second", False. split_special_tokens=True reads "[SEP]" inside a text as five characters, not as the
        special token: use it for text that you did not write. Raises TypeError or ValueError that name the argument.
        """
        is_split_into_words = bool(old.pop("is_pretokenized", is_split_into_words))
        if old.pop("pad_to_max_length", False):
            padding = "max_length"
        return_input_ids = old.pop("return_input_ids", True)
        if old:
            name = next(iter(old))
            close = difflib.get_close_matches(name, type(self).__call__.__code__.co_varnames[:22], n=2)
            raise TypeError(f"a tokenizer has no option {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else ""))
        firsts, seconds, batched = self._texts(text, text_pair, is_split_into_words)
        split_special = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        first = self.pieces(firsts, split_special, is_split_into_words)
        second = None if seconds is None else self.pieces(seconds, split_special, is_split_into_words)
        strategy, limit = self._truncation(truncation, max_length, padding, verbose)
        if return_overflowing_tokens and strategy is None:
            raise ValueError("return_overflowing_tokens=True needs truncation=True and max_length=…")
        rows = []
        template = self._template(second is not None, add_special_tokens)
        for number, a in enumerate(first):
            b = None if second is None else second[number]
            rows += self._windows(a, b, template, strategy, limit, stride if return_overflowing_tokens else None, number)
        if strategy is None and verbose:
            longest = max((len(row.ids) for row in rows), default=0)
            if longest > self.model_max_length:
                log.warning("a text has %d tokens and the model reads at most %d: truncation=True cuts it, "
                            "return_overflowing_tokens=True makes windows", longest, self.model_max_length)
        names = self.model_input_names
        wanted = [("input_ids", return_input_ids), ("token_type_ids", return_token_type_ids),
                  ("attention_mask", return_attention_mask)]
        columns = [name for name, asked in wanted if asked or (asked is None and name in names)]
        columns += ["special_tokens_mask"] * return_special_tokens_mask + ["offset_mapping"] * return_offsets_mapping
        lengths = [len(row.ids) for row in rows]
        width = self._width(lengths, padding, max_length if strategy is None else limit, pad_to_multiple_of, verbose)
        data = self._columns(rows, columns, width, padding_side or self.padding_side, return_tensors)
        if return_length:
            data["length"] = [row.left + len(row.ids) + row.right for row in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [row.source for row in rows]
        if not batched and return_tensors is None and not return_overflowing_tokens:
            data = {name: column[0] for name, column in data.items()}
        data = {name: to_tensor(name, column, return_tensors) for name, column in data.items()}
        return BatchEncoding(data, rows, self)

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        return self(text, text_pair, **options)

    batch_encode_plus = encode_plus

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The ids alone."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any) -> list[str]:
        """The pieces as strings."""
        ids = self(text, pair, add_special_tokens=add_special_tokens, verbose=False, **options)
        return ids.tokens() if self.is_fast or add_special_tokens or pair else self._cut(
            clean_unicode(text), bool(options.get("split_special_tokens", self.split_special_tokens)))

    def apply_chat_template(self, conversation: Any, tools: list[dict[str, Any]] | None = None,
                            documents: list[dict[str, str]] | None = None, chat_template: str | None = None,
                            add_generation_prompt: bool = False, continue_final_message: bool = False,
                            tokenize: bool = True, padding: bool | str = False, truncation: bool = False,
                            max_length: int | None = None, return_tensors: str | None = None, return_dict: bool = False,
                            tokenizer_kwargs: dict[str, Any] | None = None, **values: Any) -> Any:
        """A chat, [{"role": "user", "content": "Hello!"}, …], or a list of chats -> ids as the model was trained on them.

        add_generation_prompt: the text ends where the answer begins. continue_final_message: it ends inside the last message.
        tokenize=False: the text; return_dict=True: a BatchEncoding. chat_template: a Jinja template, or the name of one that
        the tokenizer has. tools, documents and further keywords are for the template. Raises TypeError or ValueError.
        """
        if continue_final_message and add_generation_prompt:
            raise ValueError("add_generation_prompt=True starts a new message and continue_final_message=True goes on with the "
                             "last one: choose one of them")
        if return_dict and not tokenize:
            raise ValueError("return_dict=True needs tokenize=True: a text alone has no ids and no mask")
        template = self.get_chat_template(chat_template, tools)
        chats, several = chat.check_messages(conversation, template)
        for special in self.all_special_tokens:
            if any(special in str(message.get("content")) for one in chats for message in one):
                log.warning("a message holds %r, which the model reads as a mark of the chat itself. Remove it from text "
                            "that you did not write", special)
        values = self.special_tokens_map | {"add_generation_prompt": add_generation_prompt, "tools": tools,
                                            "documents": documents} | values
        texts = [chat.render(template, one, continue_final_message, **values) for one in chats]
        if not tokenize:
            return texts if several else texts[0]
        found = self(texts if several else texts[0], add_special_tokens=False, padding=padding, truncation=truncation,
                     max_length=max_length, return_tensors=return_tensors, **(tokenizer_kwargs or {}))
        return found if return_dict else found["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: list[dict[str, Any]] | None = None) -> str:
        """The Jinja template that apply_chat_template uses: the one given or named, else the tokenizer's own."""
        named = chat.named_templates(self.chat_template)
        wanted = chat_template or ("tool_use" if tools and "tool_use" in named else "default")
        if wanted in named or "{" in wanted:
            return named.get(wanted, wanted)
        cure = f"it has {', '.join(named)}; name one with chat_template=…" if named else \
            "use an instruction-tuned checkpoint (often called …-Instruct), or pass a Jinja template as chat_template=…"
        raise ValueError(f"this tokenizer{f' ({self.name_or_path})' * bool(self.name_or_path)} has no chat template"
                         f"{f' {wanted!r}' * bool(named)}: {cure}")

    def _texts(self, text: Any, pair: Any, words_given: bool) -> tuple[list, list | None, bool]:
        """Any allowed input -> (first texts, second texts or None, whether it was a batch)."""
        shape = "a list of words" if words_given else "a text"

        def is_one(x: Any) -> bool:
            return (isinstance(x, (list, tuple)) and all(isinstance(w, str) for w in x)) if words_given else isinstance(x, str)

        def refuse(x: Any, where: str) -> TypeError:
            what = "nothing (None)" if x is None else f"{type(x).__name__} {str(x)[:40]!r}"
            cure = ("decode it: text.decode('utf-8')" if isinstance(x, bytes) else
                    "for lists of words pass is_split_into_words=True" if isinstance(x, (list, tuple)) else
                    "make it text with str(…), or drop empty rows first")
            return TypeError(f"the tokenizer needs {shape}, or a list of them; {where} is {what}. To cure it, {cure}")

        if hasattr(text, "tolist") and not isinstance(text, str):     # a pandas column, an array of strings
            text = text.tolist()
        if hasattr(pair, "tolist") and not isinstance(pair, str):
            pair = pair.tolist()
        if is_one(text) and not (words_given and text == []):
            if pair is not None and not is_one(pair):
                raise refuse(pair, "text_pair")
            return self._clean([text]), None if pair is None else self._clean([pair]), False
        if not isinstance(text, (list, tuple)):
            raise refuse(text, "text")
        if pair is None and text and not words_given and all(
                isinstance(x, (list, tuple)) and len(x) == 2 and all(isinstance(y, str) for y in x) for x in text):
            text, pair = [x[0] for x in text], [x[1] for x in text]
        if pair is not None and (not isinstance(pair, (list, tuple)) or len(pair) != len(text)):
            size = len(pair) if isinstance(pair, (list, tuple)) else 1
            raise ValueError(f"text has {len(text)} entries and text_pair {size}: pairs need two lists of the same length")
        for name, many in (("text", text), ("text_pair", pair or [])):
            for number, one in enumerate(many):
                if not is_one(one):
                    raise refuse(one, f"{name}[{number}]")
        return self._clean(text), None if pair is None else self._clean(pair), True

    @staticmethod
    def _clean(texts: Sequence) -> list:
        return [clean_unicode(t) if isinstance(t, str) else [clean_unicode(w) for w in t] for t in texts]

    def _template(self, pair: bool, special: bool) -> list[tuple[int | str, int]]:
        """[(id of a special token or "A" or "B", token type), …]"""
        items: list[tuple[int | str, int]] = []
        for item in (self.pair if pair else self.single).split():
            role, kind = item.rsplit(":", 1)
            if role in ("A", "B"):
                items.append((role, int(kind)))
            elif special:
                has_role = f"{role}_token" in ROLES
                items.append((getattr(self, f"{role}_token_id") if has_role else self.convert_tokens_to_ids(role), int(kind)))
        return items

    def _truncation(self, truncation: bool | str | None, max_length: int | None, padding: bool | str,
                    verbose: bool) -> tuple[str | None, int]:
        """(strategy or None, limit). A max_length without truncation and padding means truncation, as it always did."""
        if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1):
            raise ValueError(f"max_length must be a whole number of at least 1, got {max_length!r}")
        if truncation is None:
            truncation = max_length is not None and padding is False
            if truncation and verbose:
                log.warning("max_length=%d without truncation: texts are cut as with truncation=True; say so to be clear",
                            max_length)
        strategies = ("longest_first", "only_first", "only_second")
        strategy = {True: "longest_first", False: None, "do_not_truncate": None}.get(truncation, truncation)
        if strategy is not None and strategy not in strategies:
            raise ValueError(f"truncation must be True, False or one of {', '.join(strategies)}, got {truncation!r}")
        limit = self.model_max_length if max_length is None else max_length
        if strategy is not None and limit >= NO_LIMIT:
            if verbose:
                log.warning("nothing is cut: this tokenizer does not know the maximum length of its model; pass max_length=…")
            strategy = None
        return strategy, limit  # type: ignore[return-value]

    def _windows(self, a: Pieces, b: Pieces | None, template: list, strategy: str | None, limit: int, stride: int | None,
                 source: int) -> list[Row]:
        """The row, or with a stride the overlapping windows, that a text (pair) becomes under a limit of tokens."""
        n, m = len(a.ids), len(b.ids) if b else 0
        room = limit - (len(template) - (2 if b else 1))
        whole = {"A": (a, 0, n)} | ({"B": (b, 0, m)} if b else {})
        if strategy is None or n + m <= room:
            return [Row(template, whole, source, 0)]
        if room < (1 if b is None else 2):
            raise ValueError(f"max_length={limit} leaves no room for the text beside the "
                             f"{limit - room} special tokens: choose at least {limit - room + 1}")
        if b is None or strategy == "only_first":
            keep, name, size = room - m, "A", n
        elif strategy == "only_second":
            keep, name, size = room - n, "B", m
        elif stride is None:
            return [self._both(a, b, template, room, source)]
        else:
            raise ValueError("which of the two texts shall move through the windows? With return_overflowing_tokens=True a "
                             "pair needs truncation='only_second' (or 'only_first')")
        if keep < 1:
            raise ValueError(f"truncation={strategy!r} cannot make this pair fit into max_length={limit}: the other text "
                             f"alone has {n if name == 'B' else m} tokens. Use truncation='longest_first'")
        if stride is not None and stride >= keep:
            raise ValueError(f"stride={stride} must be smaller than the {keep} tokens that fit into one window")
        rows = []
        for offset in [0] if stride is None else range(0, max(size - stride, 1), keep - stride):
            start, end = offset, min(offset + keep, size)
            if self.truncation_side == "left":        # counted from the end
                start, end = size - end, size - start
            parts = whole | {name: (whole[name][0], start, end)}
            rows.append(Row(template, parts, source, 0 if stride is not None else size - keep))  # type: ignore[arg-type]
        return rows

    def _both(self, a: Pieces, b: Pieces, template: list, room: int, source: int) -> Row:
        """longest_first: the longer text gives way until both are equal, then each gets half."""
        n, m = len(a.ids), len(b.ids)
        short, long = min(n, m), max(n, m)
        if 2 * short > room:
            short, long = room // 2, room - room // 2
        else:
            long = room - short
        keep_a, keep_b = (short, long) if n <= m else (long, short)
        right = self.truncation_side == "right"
        parts = {"A": (a, 0 if right else n - keep_a, keep_a if right else n),
                 "B": (b, 0 if right else m - keep_b, keep_b if right else m)}
        return Row(template, parts, source, n + m - room)

    def _width(self, lengths: list[int], padding: bool | str, limit: int | None, multiple: int | None,
               verbose: bool = True) -> int | None:
        """The length to which shorter rows are padded; None when nothing is padded."""
        strategy = {True: "longest", False: None, "do_not_pad": None}.get(padding, padding)
        if strategy not in (None, "longest", "max_length"):
            raise ValueError(f"padding must be True, False, 'longest' or 'max_length', got {padding!r}")
        if strategy is None:
            return None
        if self.pad_token is None:
            raise ValueError("this tokenizer has no padding token, so texts of different length cannot share a batch. "
                             "Set one: tokenizer.pad_token = tokenizer.eos_token")
        width = max(lengths, default=0)
        if strategy == "max_length":
            width = self.model_max_length if limit is None else limit
            if width >= NO_LIMIT:
                if verbose:
                    log.warning("nothing is padded: this tokenizer does not know the maximum length of its model; "
                                "pass max_length=…")
                return None
        return width + -width % multiple if multiple else width

    def _columns(self, rows: list[Row], names: list[str], width: int | None, side: str, tensors: str | None) -> dict[str, Any]:
        """Lists per row, or padded arrays where tensors are asked for."""
        if side not in ("left", "right"):
            raise ValueError(f"padding_side must be 'left' or 'right', got {side!r}")
        for row in rows:
            pad = max(0, (width or 0) - len(row.ids))
            row.left, row.right = (pad, 0) if side == "left" else (0, pad)
            row.pad_type = self.pad_token_type_id
        full = max((row.left + len(row.ids) + row.right for row in rows), default=0)
        if tensors is not None and any(row.left + len(row.ids) + row.right < full for row in rows):
            raise ValueError(f"the texts have different lengths ({min(len(r.ids) for r in rows)} to "
                             f"{max(len(r.ids) for r in rows)} tokens), so they do not fit into one tensor: pass padding=True, "
                             "and truncation=True for long ones")
        pad_id = self.pad_token_id or 0
        data: dict[str, Any] = {}
        if tensors is None:
            for name in names:
                data[name] = [
                    [pad_id] * row.left + row.ids + [pad_id] * row.right if name == "input_ids" else
                    [0] * row.left + [1] * len(row.ids) + [0] * row.right if name == "attention_mask" else
                    row.types if name == "token_type_ids" else
                    row.special if name == "special_tokens_mask" else row.offsets for row in rows]
            return data
        for name in names:
            if name == "input_ids":
                array = np.full((len(rows), full), pad_id, dtype=np.int64)
                for line, row in zip(array, rows, strict=True):
                    line[row.left:full - row.right] = row.ids
            elif name == "attention_mask":
                left, right = (np.array([getattr(row, side) for row in rows], dtype=np.int64)[:, None]
                               for side in ("left", "right"))
                place = np.arange(full)[None]
                array = ((place >= left) & (place < full - right)).astype(np.int64)
            elif name == "token_type_ids" and not self.pad_token_type_id and \
                    not any(kind for row in rows[:1] for _, kind in row.layout):
                array = np.zeros((len(rows), full), dtype=np.int64)
            else:
                attribute = {"token_type_ids": "types", "special_tokens_mask": "special"}.get(name, "offsets")
                array = np.array([getattr(row, attribute) for row in rows], dtype=np.int64)
            data[name] = array
        return data

    # -- padding of what is already encoded --------------------------------------------------------------------------------

    def pad(self, encoded_inputs: Any, padding: bool | str = True, max_length: int | None = None,
            pad_to_multiple_of: int | None = None, padding_side: str | None = None,
            return_attention_mask: bool | None = None, return_tensors: str | None = None,
            verbose: bool = True) -> BatchEncoding:
        """Encodings of different lengths (a list of them, or one dict of lists) -> one rectangular batch."""
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = {key: [one[key] for one in encoded_inputs] for key in (encoded_inputs or [{}])[0]}
        if "input_ids" not in encoded_inputs:
            raise ValueError(f"pad needs encodings with input_ids, got {', '.join(map(str, encoded_inputs)) or 'nothing'}")
        data = {key: [v.tolist() if hasattr(v, "tolist") else v for v in
                      (value.tolist() if hasattr(value, "tolist") else value)] for key, value in encoded_inputs.items()}
        single = bool(data["input_ids"]) and not isinstance(data["input_ids"][0], (list, tuple))
        if single:
            data = {key: [value] for key, value in data.items()}
        lengths = [len(ids) for ids in data["input_ids"]]
        if return_attention_mask or (return_attention_mask is None and "attention_mask" in self.model_input_names):
            data.setdefault("attention_mask", [[1] * n for n in lengths])
        width = self._width(lengths, padding, max_length, pad_to_multiple_of)
        fill = {"input_ids": self.pad_token_id, "token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1,
                "labels": -100, "offset_mapping": (0, 0)}
        left = (padding_side or self.padding_side) == "left"
        for key, rows in data.items():
            same = all(isinstance(r, (list, tuple)) and len(r) == n for r, n in zip(rows, lengths, strict=True))
            if width is not None and same:
                padded = [[fill.get(key, 0)] * (width - len(r)) for r in rows]
                data[key] = [p + list(r) if left else list(r) + p for r, p in zip(rows, padded, strict=True)]
        if single and return_tensors is None:
            data = {key: value[0] for key, value in data.items()}
        return BatchEncoding({k: to_tensor(k, v, return_tensors) for k, v in data.items()}, None, self)

    # -- special tokens around ids -----------------------------------------------------------------------------------------

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: list[int] | None = None) -> list[int]:
        """Ids without special tokens -> ids with them."""
        return self._framed(token_ids_0, token_ids_1).ids

    def create_token_type_ids_from_sequences(self, token_ids_0: list[int], token_ids_1: list[int] | None = None) -> list[int]:
        return self._framed(token_ids_0, token_ids_1).types

    def get_special_tokens_mask(self, token_ids_0: list[int], token_ids_1: list[int] | None = None,
                                already_has_special_tokens: bool = False) -> list[int]:
        """1 for special tokens, 0 for the text."""
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(i in special) for i in token_ids_0]
        return self._framed(token_ids_0, token_ids_1).special

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return len(self._template(pair, True)) - (2 if pair else 1)

    def _framed(self, first: list[int], second: list[int] | None) -> Row:
        parts = {name: (Pieces(list(ids), list), 0, len(ids)) for name, ids in (("A", first), ("B", second)) if ids is not None}
        return Row(self._template(second is not None, True), parts, 0, 0)

    # -- ids -> text -------------------------------------------------------------------------------------------------------

    def decode(self, token_ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None) -> Any:
        """Ids -> text; a list of lists -> a list of texts."""
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        if isinstance(ids, (list, tuple)) and ids and isinstance(ids[0], (list, tuple)) or hasattr(ids, "dim"):
            return [self.decode(one, skip_special_tokens, clean_up_tokenization_spaces) for one in ids]
        tokens = self.convert_ids_to_tokens([ids] if isinstance(ids, int) else list(ids), skip_special_tokens)
        text = self.convert_tokens_to_string(tokens)
        clean = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return clean_up(text) if clean else text

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False,
                     clean_up_tokenization_spaces: bool | None = None) -> list[str]:
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return self.join(tokens)

    # -- files ---------------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **kwargs: Any) -> Self:
        """The tokenizer of a checkpoint: Hub name, pocket name or local folder; keywords override its settings."""
        options, overrides = hub.split_options(kwargs)
        settings = read_settings(name, **options)
        files = cls.read_files(name, **options)
        settings["added_tokens_decoder"] = files.pop("added_tokens_decoder", {}) | settings["added_tokens_decoder"]
        return cls(**(files | settings | {"name_or_path": str(name)} | overrides))

    @classmethod
    def read_files(cls, name: str | os.PathLike, **options: Any) -> dict[str, Any]:
        """The vocabulary and what tokenizer.json alone knows, as keywords for the class."""
        raise NotImplementedError

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        raise NotImplementedError

    def save_pretrained(self, folder: str | os.PathLike) -> tuple[str, ...]:
        """Writes the vocabulary, tokenizer_config.json, special_tokens_map.json and, where there is a Rust engine,
        tokenizer.json."""
        folder = hub.make_folder(folder)
        files = list(self.save_vocabulary(folder))
        decoder = {str(i): {"content": t, "lstrip": a.lstrip, "normalized": a.normalized, "rstrip": a.rstrip,
                            "single_word": a.single_word, "special": a.special}
                   for t, a in self.added.items() for i in (self.added_ids[t],)}
        settings = self.init_kwargs | self.special_tokens_map | {
            "added_tokens_decoder": decoder, "model_max_length": self.model_max_length,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces, "padding_side": self.padding_side,
            "tokenizer_class": self.saved_as or type(self).__name__.removesuffix("Fast")}
        if self.chat_template is not None:
            settings["chat_template"] = self.chat_template if isinstance(self.chat_template, str) else [
                {"name": name, "template": template} for name, template in self.chat_template.items()]
        (folder / "chat_template.jinja").unlink(missing_ok=True)      # of an older checkpoint; it would count more
        for file, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", self.special_tokens_map)):
            hub.write_json(folder / file, content)
            files.append(str(folder / file))
        if type(self).rust is not PreTrainedTokenizer.rust:
            hub.write_text(folder / "tokenizer.json", rust.build(self, False, with_template=True).to_str(pretty=True))
            files.append(str(folder / "tokenizer.json"))
        return tuple(files)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
                f"special_tokens={self.special_tokens_map})")


def read_settings(name: str | os.PathLike, **options: Any) -> dict[str, Any]:
    """tokenizer_config.json, special_tokens_map.json and added_tokens.json as keywords for a tokenizer class."""
    settings: dict[str, Any] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        if path := hub.find_file(name, file, required=False, **options):
            settings |= hub.read_json(path)
    if path := hub.find_file(name, "chat_template.jinja", required=False, **options):
        settings["chat_template"] = path.read_text(encoding="utf-8")
    for key in ("tokenizer_class", "auto_map", "special_tokens_map_file", "tokenizer_file", "use_fast", "processor_class",
                "vocab_file", "vocab", "self"):
        settings.pop(key, None)
    if "max_len" in settings:                         # files of 2019
        settings.setdefault("model_max_length", settings.pop("max_len"))
    found, added = settings.get("added_tokens_decoder") or {}, {}
    if path := hub.find_file(name, "added_tokens.json", required=False, **options):
        added = hub.read_json(path)
    try:
        plain = {int(number): AddedToken(token, normalized=False) for token, number in added.items()}
        settings["added_tokens_decoder"] = plain | {int(number): as_token(token) for number, token in found.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"the added tokens of {name} (added_tokens_decoder in tokenizer_config.json, added_tokens.json) are "
                         "damaged: each needs its text and a number") from None
    for key, value in settings.items():
        if isinstance(value, dict) and "content" in value:
            settings[key] = as_token(value)
    if settings.get("additional_special_tokens"):
        settings["additional_special_tokens"] = [as_token(t) for t in settings["additional_special_tokens"]]
    return settings


def as_token(token: str | dict[str, Any]) -> AddedToken | str:
    """A token as json files write it: its text, or a dict with the text and how it is matched."""
    if isinstance(token, str):
        return token
    keys = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(token["content"], **{k: bool(token[k]) for k in keys if k in token})


def clean_unicode(text: str) -> str:
    """Lone surrogates (half an emoji, as broken exports contain them) become U+FFFD; all else stays."""
    if text.isascii():
        return text
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_up(text: str) -> str:
    """Removes the blanks that joining tokens puts before punctuation and inside contractions."""
    for wide, tight in ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
                        (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")):
        text = text.replace(wide, tight)
    return text
