"""What every tokenizer does after a text is cut into pieces: special tokens, pairs, truncation, padding, tensors, decoding.

    text --pieces--> ids --template--> [CLS] ids [SEP] --padding--> a rectangular batch

A tokenizer adds one file to this one: how a text is cut (`tokens_of`, and `spans_of` for where each piece stood).
There are two engines with equal results: that readable Python, and the Rust library `tokenizers` (rust.py).
Special tokens are the subject of special.py, truncation and padding of framing.py; what the call returns, and how it still
knows its texts, is in encoding.py.
"""

import contextlib
import difflib
import inspect
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tokenizers import AddedToken

from course.tokenizers import chat, framing
from course.tokenizers.encoding import BatchEncoding, Pieces, Row, Span, plain, to_tensor, whole
from course.tokenizers.files import TokenizerFiles
from course.tokenizers.framing import NO_LIMIT
from course.tokenizers.special import ROLES

log = logging.getLogger(__name__)


class PreTrainedTokenizer(TokenizerFiles):
    """Base class of all tokenizers. A subclass says how a text is cut and how special tokens frame it."""

    model_input_names: Sequence[str] = ("input_ids", "token_type_ids", "attention_mask")
    single = "A:0"                                  # template: special tokens, mostly by role, and the texts, with types
    pair = "A:0 B:1"
    pad_token_type_id = 0
    trims_offsets = False                           # whether the span of a piece leaves the blank before it out

    def __init__(self, vocab: dict[str, int], *, model_max_length: int | None = None, padding_side: str = "right",
                 truncation_side: str = "right", clean_up_tokenization_spaces: bool = True,
                 additional_special_tokens: Sequence[str | AddedToken] | None = None, split_special_tokens: bool = False,
                 added_tokens_decoder: dict[int, AddedToken] | None = None, name_or_path: str = "",
                 chat_template: str | dict[str, str] | list[dict[str, str]] | None = None, single: str | None = None,
                 pair: str | None = None, trims_offsets: bool | None = None,
                 extra_special_tokens: Sequence[str | AddedToken] | dict[str, str | AddedToken] | None = None, **kwargs: Any):
        super().__init__(vocab, added_tokens_decoder)
        self._words: dict[str, list] = {}
        self.single, self.pair = single or self.single, pair or self.pair
        self.trims_offsets = self.trims_offsets if trims_offsets is None else trims_offsets
        model_max_length = plain(model_max_length)
        if model_max_length is not None and (not isinstance(model_max_length, (int, float)) or not model_max_length >= 1):
            raise ValueError(f"model_max_length must be a whole number of at least 1, got {model_max_length!r}")
        self.model_max_length = NO_LIMIT if model_max_length is None else int(min(model_max_length, NO_LIMIT))
        for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
            if side not in ("left", "right"):
                raise ValueError(f"{name} must be 'left' or 'right', got {side!r}")
        self.padding_side, self.truncation_side = padding_side, truncation_side
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.name_or_path = name_or_path
        named = chat.named_templates(chat_template)
        self.chat_template = named["default"] if list(named) == ["default"] else named or None
        for role in ROLES:
            if (token := kwargs.pop(role, None)) is not None:
                setattr(self, role, token)
        if isinstance(extra_special_tokens, dict):    # tokens with a name of their own, like tokenizer.image_token
            for name, token in extra_special_tokens.items():
                self.add_tokens(token, special_tokens=True)
                vars(self)[name] = str(getattr(token, "content", token))
            kwargs["extra_special_tokens"] = {name: vars(self)[name] for name in extra_special_tokens}
        elif extra_special_tokens:                    # the name that newer files use
            additional_special_tokens = [*(additional_special_tokens or []), *extra_special_tokens]
        if additional_special_tokens:
            self.additional_special_tokens = additional_special_tokens  # type: ignore[assignment]
        # some checkpoints name them, for models without token types
        self.model_input_names = list(kwargs.pop("model_input_names", None) or self.model_input_names)
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

    # -- text -> pieces: the Python engine -------------------------------------------------------------------------------

    def pieces(self, texts: Sequence[str] | Sequence[Sequence[str]], split_special: bool, words_given: bool,
               spans: bool = False) -> list[Pieces]:
        """Cuts texts (or, with words_given, lists of words) into pieces. spans: whether all of them will be asked for."""
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

    # -- the call --------------------------------------------------------------------------------------------------------

    def __call__(self, text: Any = None, text_pair: Any = None, add_special_tokens: bool = True,
                 padding: bool | str = False, truncation: bool | str | None = None, max_length: int | None = None,
                 stride: int = 0, is_split_into_words: bool = False, pad_to_multiple_of: int | None = None,
                 padding_side: str | None = None, return_tensors: str | None = None,
                 return_token_type_ids: bool | None = None, return_attention_mask: bool | None = None,
                 return_overflowing_tokens: bool = False, return_special_tokens_mask: bool = False,
                 return_offsets_mapping: bool = False, return_length: bool = False, verbose: bool = True,
                 split_special_tokens: bool | None = None, text_target: Any = None, text_pair_target: Any = None,
                 **old: Any) -> BatchEncoding:
        """One text, a list of texts, or pairs of both -> a BatchEncoding, the model's input.

        padding: True or "longest", "max_length", False. truncation: True or "longest_first", "only_first",
        "only_second", False. split_special_tokens=True reads "[SEP]" inside a text as five characters, not as the
        special token: use it for text that you did not write. text_target: what the model shall answer; its ids become the
        labels. Raises TypeError or ValueError that name the argument.
        """
        if text_target is not None:
            given = {name: value for name, value in locals().items() if name not in ("self", "text", "text_pair", "old")}
            given |= old | {"text_target": None, "text_pair_target": None}
            labels = self(text_target, text_pair_target, **given)
            return labels if text is None else BatchEncoding(
                (found := self(text, text_pair, **given)) | {"labels": labels["input_ids"]}, found.rows, self)
        is_split_into_words = bool(old.pop("is_pretokenized", is_split_into_words))
        if old.pop("pad_to_max_length", False):
            padding = "max_length"
        return_input_ids = old.pop("return_input_ids", True)
        if old:
            name = next(iter(old))
            known = [*inspect.signature(PreTrainedTokenizer.__call__).parameters][1:-1]
            close = difflib.get_close_matches(name, known, n=2)
            raise TypeError(f"a tokenizer has no option {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else ""))
        firsts, seconds, batched = self._texts(text, text_pair, is_split_into_words)
        split_special = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        first, second = (self._pieces(texts, split_special, is_split_into_words, return_offsets_mapping)
                         for texts in (firsts, seconds))
        strategy, limit = framing.truncation_of(truncation, max_length, padding, self.model_max_length, verbose)
        if return_overflowing_tokens and strategy is None:
            raise ValueError("return_overflowing_tokens=True needs truncation=True and max_length=…")
        rows = []
        step = whole("stride", stride, 0) if return_overflowing_tokens else None
        template = self._template(second is not None, add_special_tokens)
        for number, a in enumerate(first or ()):
            b = None if second is None else second[number]
            rows += framing.windows(a, b, template, strategy, limit, step, self.truncation_side, number)
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
        width = framing.padded_width(lengths, padding, limit, pad_to_multiple_of, self.pad_token is not None, verbose,
                                       strategy is not None)
        data = framing.columns(rows, columns, width, padding_side or self.padding_side, return_tensors,
                               self.pad_token_id or 0, self.pad_token_type_id)
        if return_length:
            data["length"] = [row.left + len(row.ids) + row.right for row in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [row.source for row in rows]
        if not batched and return_tensors is None and not return_overflowing_tokens:
            data = {name: column[0] for name, column in data.items()}
        data = {name: to_tensor(name, column, return_tensors) for name, column in data.items()}
        return BatchEncoding(data, rows, self)

    batch_encode_plus = __call__

    def encode_plus(self, text: Any, text_pair: Any = None, *, is_split_into_words: bool = False,
                    **options: Any) -> BatchEncoding:
        """One text or pair, never a batch: a list holds the tokens or the ids of one text."""
        if not is_split_into_words:
            text, text_pair = self._one(text), self._one(text_pair)
        return self(text, text_pair, is_split_into_words=is_split_into_words, **options)

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any) -> Any:
        """The ids alone of one text or pair; a list holds its tokens, or the ids without special tokens."""
        return self.encode_plus(text, text_pair, add_special_tokens=add_special_tokens, **options)["input_ids"]

    def prepare_for_model(self, ids: list[int], pair_ids: list[int] | None = None, **options: Any) -> BatchEncoding:
        """Ids without special tokens -> the model's input, framed, cut and padded as the options of a call say."""
        return self(self._one(ids), self._one(pair_ids), **options)

    def prepare_seq2seq_batch(self, src_texts: Any, tgt_texts: Any = None, max_length: int | None = None,
                              max_target_length: int | None = None, padding: bool | str = "longest",
                              truncation: bool | str = True, **options: Any) -> BatchEncoding:
        """The older form of tokenizer(src_texts, text_target=tgt_texts), with padding and truncation."""
        options |= {"padding": padding, "truncation": truncation, "verbose": False}
        batch = self(src_texts, max_length=max_length, **options)
        if tgt_texts is not None:
            batch["labels"] = self(tgt_texts, max_length=max_target_length or max_length, **options)["input_ids"]
        return batch

    @contextlib.contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """The older form of tokenizer(text_target=…): `with` it texts are read in the same way."""
        yield

    def tokenize(self, text: Any, pair: Any = None, add_special_tokens: bool = False, **options: Any) -> list[str]:
        """The pieces of one text as strings."""
        if not isinstance(text, str) and not options.get("is_split_into_words"):
            raise TypeError(f"tokenize takes one text, got {type(text).__name__} {str(text)[:40]!r}. Go through a list with "
                            "[tokenizer.tokenize(text) for text in texts]; words of one text want is_split_into_words=True")
        return self(text, pair, add_special_tokens=add_special_tokens, verbose=False, **options).tokens()

    def _one(self, text: Any) -> Any:
        """A text as it is; the tokens or ids of one as Pieces, which know no text."""
        given = plain(text)
        if not isinstance(given, list):
            return text
        for token in given:
            if isinstance(token, str) and " " in token and token not in self.added and token not in self.vocab:
                raise TypeError(f"encode and encode_plus take one text, or the tokens of one; {token[:40]!r} is no token. "
                                "tokenizer(texts) takes a list of texts")
        ids = self.convert_tokens_to_ids(given) if given and isinstance(given[0], str) else given
        if not all(isinstance(number, int) for number in ids):
            raise TypeError(f"one text, its tokens or its ids are needed, got {str(text)[:40]!r}; tokenizer(texts) takes more")
        return Pieces(ids, lambda: [(0, 0, None)] * len(ids))

    def _pieces(self, texts: list | None, split_special: bool, words_given: bool, spans: bool) -> list[Pieces] | None:
        """Texts cut into pieces; words that are given one by one may want a blank in front."""
        if texts is None or texts and isinstance(texts[0], Pieces):
            return texts
        if not words_given:
            return self.pieces(texts, split_special, False, spans)
        spaced = [[self.spaced(word) for word in words] for words in texts]
        found = self.pieces(spaced, split_special, True, spans)
        if spaced == texts:
            return found

        def moved(pieces: Pieces, old: list[str], new: list[str]) -> list[Span]:
            shift = [len(b) - len(a) for a, b in zip(old, new, strict=True)]
            return [(max(a - shift[w or 0], 0), max(b - shift[w or 0], 0), w) for a, b, w in pieces.spans]

        return [Pieces(pieces.ids, lambda pieces=pieces, old=old, new=new: moved(pieces, old, new))
                for pieces, old, new in zip(found, texts, spaced, strict=True)]

    def spaced(self, word: str) -> str:
        """A word of a text that is given as words, as it is cut: where blanks belong to words, with one in front."""
        return word

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
        for special in self.convert_ids_to_tokens(sorted(self._unseen())):
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
            if words_given:
                return isinstance(x, (list, tuple)) and all(isinstance(word, str) for word in x)
            return isinstance(x, (str, Pieces))

        def refuse(x: Any, where: str) -> TypeError:
            what = "nothing (None)" if x is None else f"{type(x).__name__} {str(x)[:40]!r}"
            cure = ("decode it: text.decode('utf-8')" if isinstance(x, bytes) else
                    "pass is_split_into_words=True for lists of words, prepare_for_model for ids"
                    if isinstance(x, (list, tuple)) and not words_given else
                    "give each text as a list of words, each pair as two such lists" if words_given else
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
        if pair is None and text and all(isinstance(x, (list, tuple)) and len(x) == 2 and all(map(is_one, x)) for x in text):
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
        return [t if isinstance(t, Pieces) else clean_unicode(t) if isinstance(t, str) else [clean_unicode(w) for w in t]
                for t in texts]

    def _template(self, pair: bool, special: bool) -> framing.Template:
        items: framing.Template = []
        for item in (self.pair if pair else self.single).split():
            role, kind = item.rsplit(":", 1)
            if role in ("A", "B"):
                items.append((role, int(kind)))
            elif special:
                has_role = f"{role}_token" in ROLES
                items.append((getattr(self, f"{role}_token_id") if has_role else self.convert_tokens_to_ids(role), int(kind)))
        return items

    # -- padding of what is already encoded --------------------------------------------------------------------------------

    def pad(self, encoded_inputs: Any, padding: bool | str = True, max_length: int | None = None,
            pad_to_multiple_of: int | None = None, padding_side: str | None = None,
            return_attention_mask: bool | None = None, return_tensors: str | None = None,
            verbose: bool = True) -> BatchEncoding:
        """Encodings of different lengths (a list of them, or one dict of lists) -> one rectangular batch. What is no input of
        the tokenizer's, such as labels, stays as it is: a data collator pads that. Tensors and arrays give such again."""
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = {key: [one[key] for one in encoded_inputs] for key in (encoded_inputs or [{}])[0]}
        if "input_ids" not in encoded_inputs:
            raise ValueError(f"pad needs encodings with input_ids, got {', '.join(map(str, encoded_inputs)) or 'nothing'}")
        given = encoded_inputs["input_ids"]
        given = given[0] if isinstance(given, (list, tuple)) and given else given
        if return_tensors is None and hasattr(given, "tolist") and given.ndim:
            return_tensors = "np" if isinstance(given, np.ndarray) else "pt"
        data = {key: plain(value) for key, value in encoded_inputs.items()}
        single = bool(data["input_ids"]) and not isinstance(data["input_ids"][0], list)
        if single:
            data = {key: [value] for key, value in data.items()}
        lengths = [len(ids) for ids in data["input_ids"]]
        if return_attention_mask or (return_attention_mask is None and "attention_mask" in self.model_input_names):
            data.setdefault("attention_mask", [[1] * n for n in lengths])
        width = framing.padded_width(lengths, padding, self.model_max_length if max_length is None else plain(max_length),
                                     pad_to_multiple_of, self.pad_token is not None, verbose)
        fill = {"input_ids": self.pad_token_id, "token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1,
                "attention_mask": 0}
        left = (padding_side or self.padding_side) == "left"
        for key in fill if width is not None else ():
            if key in data:
                padded = [[fill[key]] * (width - len(row)) for row in data[key]]  # type: ignore[operator]
                data[key] = [p + row if left else row + p for row, p in zip(data[key], padded, strict=True)]
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

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a text fit beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def _framed(self, first: list[int], second: list[int] | None) -> Row:
        parts = {name: (Pieces(list(ids), list), 0, len(ids)) for name, ids in (("A", first), ("B", second)) if ids is not None}
        return Row(self._template(second is not None, True), parts, 0, 0)

    # -- ids -> text -------------------------------------------------------------------------------------------------------

    def decode(self, token_ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None) -> Any:
        """Ids -> text; a list of lists -> a list of texts."""
        ids = plain(token_ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            return [self.decode(one, skip_special_tokens, clean_up_tokenization_spaces) for one in ids]
        tokens = self.convert_ids_to_tokens([ids] if isinstance(ids, int) else list(ids), skip_special_tokens)
        text = self.convert_tokens_to_string([token for token in tokens if token is not None])
        clean = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        return clean_up(text) if clean else text

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False,
                     clean_up_tokenization_spaces: bool | None = None) -> list[str]:
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return self.join(tokens)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
                f"special_tokens={self.special_tokens_map})")


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
