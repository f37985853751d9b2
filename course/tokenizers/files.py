"""A tokenizer's files: what a checkpoint says about its tokenizer, and how it is saved.

    vocab.txt, merges.txt, spiece.model …    the vocabulary, each class has its own form
    tokenizer.json                           all that the Rust engine needs (tokenizer_json.py)
    tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template.jinja     settings and special tokens
"""

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Tokenizer

from course import hub
from course.tokenizers import rust, tokenizer_json
from course.tokenizers.encoding import plain
from course.tokenizers.special import Vocabulary, as_token

FROM_FILES = ("vocab", "merges", "pieces", "charsmap", "normalizer", "pre_tokenizer", "decoder", "single", "pair",
              "trims_offsets", "ignore_merges", "tokenizer_json", "tokenizer_object", "self", "use_fast", "tokenizer_class",
              "processor_class", "auto_map", "backend", "is_local")
ADDED = ("added_tokens_decoder", "single", "pair", "trims_offsets")           # parts of a tokenizer.json beside its vocabulary


class TokenizerFiles(Vocabulary):
    """Reads and writes a tokenizer's files. A subclass says what its vocabulary looks like."""

    vocab_files_names: ClassVar[dict[str, str]] = {}
    special: ClassVar[dict[str, Any]] = {}          # the special tokens that a class has unless told otherwise
    json_first = False                              # whether tokenizer.json counts more than the other files
    saved_as = ""                                   # the tokenizer_class of files, where it is not the name of this class
    is_fast = False

    init_kwargs: dict[str, Any]
    model_input_names: Sequence[str]
    model_max_length: int
    clean_up_tokenization_spaces: bool
    padding_side: str
    truncation_side: str
    split_special_tokens: bool
    chat_template: str | dict[str, str] | None

    def rust(self, alone: bool = False) -> Tokenizer | None:
        """The engine of the Rust library that cuts alike, without added tokens; None where that library cannot.
        alone: for tokenizer.json, which is used without the Python class."""
        return None

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **kwargs: Any) -> Self:
        """The tokenizer of a checkpoint: Hub name, pocket name or local folder; keywords override its settings."""
        options, overrides = hub.split_options({k: v for k, v in kwargs.items() if k not in ("config", "use_fast")})
        settings = read_settings(name, **options)
        path = hub.find_file(name, "tokenizer.json", required=False, **options) if cls.has_engine() else None
        described: dict[str, Any] = {}
        if path:
            described = cls.described_by(tokenizer_json.read(path), settings | overrides, path)
        files = None if "tokenizer_json" in described or path and cls.json_first else cls.read_files(name, not path, **options)
        if files is not None:                         # tokenizer.json just says what is added to them
            described = {key: described[key] for key in ADDED if key in described} | files
        settings["added_tokens_decoder"] = described.pop("added_tokens_decoder", {}) | settings["added_tokens_decoder"]
        return cls(**(described | settings | {"name_or_path": str(name)} | overrides))

    @classmethod
    def has_engine(cls) -> bool:
        """Whether the Rust library knows tokenizers of this kind, so that a tokenizer.json can describe them."""
        return cls.rust is not TokenizerFiles.rust

    @classmethod
    def described_by(cls, content: dict[str, Any], settings: dict[str, Any], path: os.PathLike | str = "it") -> dict[str, Any]:
        """Keywords for the class from the contents of a tokenizer.json: the vocabulary, added tokens, frames, and the file
        itself where it has parts that this class does not expect. ValueError where the Python engine does not know them."""
        expected, kind = cls.expected(content, settings), content["model"]["type"]
        if expected["model"]["type"] not in (kind, None):
            raise ValueError(f"{path} holds a {kind} tokenizer, {cls.__name__} reads {expected['model']['type']}: use "
                             "AutoTokenizer")
        part = tokenizer_json.unexpected(content, expected)
        if part and not cls.is_fast:
            raise ValueError(f"the Python engine of {cls.__name__} cannot cut texts as {path} says ({part}). use_fast=True, "
                             "the default, can")
        found = cls.read_model(content) | {"added_tokens_decoder": tokenizer_json.added_tokens(content)}
        found |= {"tokenizer_json": content} if part else {}
        frame = tokenizer_json.read_frame(content.get("post_processor"))
        if part or "trims_offsets" in frame:
            found["trims_offsets"] = frame.get("trims_offsets", False)
        tokens = {role: str(getattr(token, "content", token)) for role, token in (cls.special | settings).items()}
        for name, bare in (("single", "A:0"), ("pair", "A:0 B:1")):
            items = [item.rsplit(":", 1) for item in getattr(cls, name).split()]
            usual = " ".join(f"{tokens.get(f'{role}_token', role)}:{kind}" for role, kind in items)
            wanted = frame.get(name, usual if all(role in "AB" for role, _ in items) else bare)
            if wanted != usual:
                found[name] = wanted
        return found

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """The parts of a tokenizer.json that the class itself stands for, as patterns; see tokenizer_json.fits."""
        raise NotImplementedError

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The vocabulary in the contents of a tokenizer.json, and settings that stand there, as keywords for the class."""
        raise NotImplementedError

    @classmethod
    def read_files(cls, name: str | os.PathLike, required: bool = True, **options: Any) -> dict[str, Any] | None:
        """The vocabulary in files of its own, as keywords for the class; None where there are none and a tokenizer.json is."""
        found = {key: hub.find_file(name, file, required=False, **options) for key, file in cls.vocab_files_names.items()}
        if all(found.values()):
            return found
        sentencepiece = required and [other for other in ("spiece.model", "tokenizer.model")
                                      if hub.find_file(name, other, required=False, **options)]
        if sentencepiece:
            raise FileNotFoundError(f"{name} has a SentencePiece vocabulary, {cls.__name__} reads "
                                    f"{' and '.join(cls.vocab_files_names.values())}. Open it with the class that it was made "
                                    "for, like T5Tokenizer, XLNetTokenizer or LlamaTokenizer.from_pretrained(…)")
        if required:
            hub.find_file(name, next(file for key, file in cls.vocab_files_names.items() if not found[key]), **options)
        return None

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What the tokenizer was given besides its tokens, as it is now."""
        names = ("model_max_length", "clean_up_tokenization_spaces", "padding_side", "truncation_side", "split_special_tokens")
        usual = self.model_input_names == list(type(self).model_input_names)
        return self.init_kwargs | {key: vars(self)[key] for key in (*names, *self.init_kwargs) if key in vars(self)} | (
            {} if usual else {"model_input_names": self.model_input_names})

    def save_pretrained(self, folder: str | os.PathLike, legacy_format: bool | None = None,
                        filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes the vocabulary, tokenizer_config.json, special_tokens_map.json and, where there is a Rust engine,
        tokenizer.json."""
        folder = hub.make_folder(folder)
        files = list(self.save_vocabulary(folder, filename_prefix))
        decoder = {str(i): {"content": t, "lstrip": a.lstrip, "normalized": a.normalized, "rstrip": a.rstrip,
                            "single_word": a.single_word, "special": a.special}
                   for t, a in self.added.items() for i in (self.added_ids[t],)}
        settings = self.settings() | self.special_tokens_map | {
            "added_tokens_decoder": decoder, "tokenizer_class": self.saved_as or type(self).__name__.removesuffix("Fast")}
        if self.chat_template is not None:
            settings["chat_template"] = self.chat_template if isinstance(self.chat_template, str) else [
                {"name": name, "template": template} for name, template in self.chat_template.items()]
        settings = {key: plain(value) for key, value in settings.items()}
        (folder / "chat_template.jinja").unlink(missing_ok=True)      # of an older checkpoint; it would count more
        for file, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", self.special_tokens_map)):
            hub.write_json(folder / file, content)
            files.append(str(folder / file))
        if self.has_engine():
            hub.write_text(folder / "tokenizer.json", rust.build(self, False, with_template=True).to_str(pretty=True))
            files.append(str(folder / "tokenizer.json"))
        return tuple(files)


def read_settings(name: str | os.PathLike, **options: Any) -> dict[str, Any]:
    """tokenizer_config.json, special_tokens_map.json and added_tokens.json as keywords for a tokenizer class."""
    settings: dict[str, Any] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        if path := hub.find_file(name, file, required=False, **options):
            settings |= hub.read_json(path)
    if path := hub.find_file(name, "chat_template.jinja", required=False, **options):
        settings["chat_template"] = path.read_text(encoding="utf-8")
    # what is cut and where from is said by the checkpoint's own files: no setting may name another one
    settings = {key: value for key, value in settings.items() if key not in FROM_FILES and not key.endswith("_file")}
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
