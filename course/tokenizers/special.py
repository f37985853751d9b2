"""Added and special tokens: strings with an id of their own, which are found in a text before it is cut.

    "Well … <speaker> yes"  --_parts-->  "Well … ", <speaker>, " yes"

Special ones mark what a text does not say: where it begins, ends, is padded. Those of a role ("sep_token") have names as
attributes, tokenizer.sep_token and tokenizer.sep_token_id; text that must not contain any is read with
split_special_tokens=True.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken

from course.tokenizers.encoding import plain, whole

BLANKS = re.compile(r"\s*")
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Vocabulary:
    """Tokens and their ids: those of the vocabulary, and those added to it."""

    def __init__(self, vocab: dict[str, int], added_tokens_decoder: dict[int, AddedToken] | None = None):
        self.vocab = vocab if all(type(number) is int for number in vocab.values()) else {
            token: whole(f"the id of {token!r}", number, 0) for token, number in vocab.items()}
        self.added: dict[str, AddedToken] = {}       # tokens that are found in a text before it is cut
        self.added_ids: dict[str, int] = {}
        self._id_to_token = {number: token for token, number in vocab.items()}
        self._next = max(self._id_to_token, default=-1) + 1
        self._special: dict[str, str | None] = dict.fromkeys(ROLES)
        self.additional_special_tokens: list[str] = []
        for number, token in sorted((added_tokens_decoder or {}).items()):
            self._remember(token, whole("the id of an added token", number, 0))

    def __len__(self) -> int:
        return len(self._id_to_token)

    @property
    def vocab_size(self) -> int:
        """Tokens without the added ones; len(tokenizer) counts all."""
        return len(self.vocab)

    def vocab_with_unknown(self) -> dict[str, int]:
        """For engines that look their unknown token up among the pieces, where it may be an added one."""
        known = self.unk_token is None or self.unk_token in self.vocab
        return self.vocab if known else self.vocab | {self.unk_token: self.unk_token_id}

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
        """An id or several -> token or tokens; None for an id above all others: some models have more rows than tokens."""
        ids = plain(ids)
        if isinstance(ids, int):
            return self._token(ids)
        special = self._unseen() if skip_special_tokens else ()
        return [self._token(i) for i in ids if i not in special]

    def _token(self, number: int) -> str | None:
        if not isinstance(number, int) or number < 0:
            raise IndexError(f"{number!r} is no id of this tokenizer: it has the ids 0 to {len(self) - 1}" + (
                ". Labels mark with it what does not count: leave those places out" if number == -100 else ""))
        return self._id_to_token.get(number)

    def _unseen(self) -> set[int]:
        """The ids that skip_special_tokens leaves out: tokens with a role, and those that were added as special."""
        return {*self.all_special_ids, *(self.added_ids[text] for text, token in self.added.items() if token.special)}

    @property
    def all_special_tokens(self) -> list[str]:
        found = [self._special[role] for role in ROLES] + self.additional_special_tokens
        return [t for t in dict.fromkeys(found) if t is not None]

    @property
    def all_special_ids(self) -> list[int]:
        return self.convert_tokens_to_ids(self.all_special_tokens)

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id, with how each is found in a text."""
        return {number: self.added[text] for text, number in sorted(self.added_ids.items(), key=lambda item: item[1])}

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        return dict(sorted(self.added_ids.items(), key=lambda item: item[1]))

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
            added = token if isinstance(token, AddedToken) else self.added.get(token) or AddedToken(
                token, special=special_tokens, normalized=not special_tokens)
            if special_tokens:
                added.special = True
            self._remember(added)
        return len(self) - before

    def add_special_tokens(self, special_tokens_dict: dict[str, Any], replace_additional_special_tokens: bool = True) -> int:
        """{"sep_token": "<sep>", "additional_special_tokens": ["<speaker>"]}; returns how many were new. The list of
        additional ones takes the place of the former list, or with replace_additional_special_tokens=False goes behind it."""
        before = len(self)
        for role, value in special_tokens_dict.items():
            if role == "additional_special_tokens":
                former = [] if replace_additional_special_tokens else self.additional_special_tokens
                self.additional_special_tokens = [*former, *listed(value)]  # type: ignore[list-item]
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
            number = self._next
        self._next = max(self._next, number + 1)
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
            if value is not None:
                self.add_tokens(value, special_tokens=True)
            self._special[name] = None if value is None else str(getattr(value, "content", value))
            self._changed()
        elif name.removesuffix("_id") in ROLES:
            setattr(self, name.removesuffix("_id"), None if value is None else self.convert_ids_to_tokens(value))
        elif name == "additional_special_tokens":
            self.add_tokens(listed(value), special_tokens=True)
            texts = (str(getattr(token, "content", token)) for token in listed(value))
            object.__setattr__(self, name, list(dict.fromkeys(texts)))
        else:
            object.__setattr__(self, name, value)

    def _parts(self, text: str, split_special: bool) -> list[tuple[str, str | None]]:
        """A text cut at the added tokens in it: (part, the token that stands there or None). Tokens are sought in the text
        as it is, those that are `normalized` afterwards in the folded rest."""
        parts: list[tuple[str, str | None]] = [(text, None)]
        for pattern, tokens, folded in self._patterns(split_special):
            cut: list[tuple[str, str | None]] = []
            for part, token in parts:
                looks, place, start = part, list(range(len(part))), 0
                if folded and token is None:
                    faces = [self.fold(char) for char in part]
                    looks, place = "".join(faces), [i for i, face in enumerate(faces) for _ in face]    # where each stood
                for match in pattern.finditer(looks) if token is None else ():
                    found = self.added[tokens[match.lastindex - 1]]
                    first, end = place[match.start()], place[match.end() - 1] + 1
                    if found.lstrip:                      # the blanks around belong to it
                        first = start + len(part[start:first].rstrip())
                    if found.rstrip:
                        end = BLANKS.match(part, end).end()  # type: ignore[union-attr]
                    cut += [(part[start:first], None), (part[first:end], found.content)]
                    start = end
                cut.append((part[start:], token))
            parts = [(part, token) for part, token in cut if part]
        return parts

    def _patterns(self, split_special: bool) -> list[tuple[re.Pattern, list[str], bool]]:
        """[(pattern that finds added tokens, the token of each of its groups, whether it wants folded text)]; special
        tokens are found only when the text may hold them."""
        cache = self._found
        if split_special not in cache:
            patterns = []                             # another thread may look while this one still works
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
                    groups.append(rf"(?<!\w){part}(?!\w)" if token.single_word else part)
                if groups:
                    # with many tokens (T5 has 103) one look at the next character rules nearly every place out
                    firsts = "".join({re.escape(text[0]) for text in wanted})
                    pattern = re.compile(f"(?=[{firsts}])(?:{'|'.join(groups)})")
                    patterns.append((pattern, [token.content for _, token in longest_first], folded))
            cache[split_special] = patterns
        return cache[split_special]

    def fold(self, char: str) -> str:
        """How a character looks where a `normalized` added token is sought."""
        return char


def listed(tokens: Any) -> list[str | AddedToken]:
    """A list of additional special tokens. TypeError for one text, whose letters would be taken for tokens."""
    if isinstance(tokens, (str, AddedToken)) or not isinstance(tokens, Iterable):
        raise TypeError(f"additional_special_tokens takes a list of tokens, got {tokens!r}: put it into brackets, [{tokens!r}]")
    return list(tokens)


def as_token(token: str | dict[str, Any]) -> AddedToken | str:
    """A token as json files write it: its text, or a dict with the text and how it is matched."""
    if isinstance(token, str):
        return token
    keys = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(token["content"], **{k: bool(token[k]) for k in keys if k in token})
