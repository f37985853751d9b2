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

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Vocabulary:
    """Tokens and their ids: those of the vocabulary, and those added to it."""

    def __init__(self, vocab: dict[str, int], added_tokens_decoder: dict[int, AddedToken] | None = None):
        self.vocab = vocab
        self.added: dict[str, AddedToken] = {}       # tokens that are found in a text before it is cut
        self.added_ids: dict[str, int] = {}
        self._id_to_token = {number: token for token, number in vocab.items()}
        self._special: dict[str, str | None] = dict.fromkeys(ROLES)
        self.additional_special_tokens: list[str] = []
        for number, token in sorted((added_tokens_decoder or {}).items()):
            self._remember(token, number)

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


def as_token(token: str | dict[str, Any]) -> AddedToken | str:
    """A token as json files write it: its text, or a dict with the text and how it is matched."""
    if isinstance(token, str):
        return token
    keys = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(token["content"], **{k: bool(token[k]) for k in keys if k in token})
