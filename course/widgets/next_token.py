"""Next-token and fill-mask explorer: probabilities under temperature, top-k, top-p and repetition penalty; click to write."""

from typing import Any

from course.widgets.base import Explorer, bars, line, slider, typed

SHOWN = 8                                             # tokens with a bar and a button


def next_token_explorer(model: Any = None, text: str = "The city council") -> "NextToken":
    """What a language model would write next. model: a name or a pipeline("text-generation")."""
    return NextToken(loaded("text-generation", model), text)


def fill_mask_explorer(model: Any = None, text: str = "My children walk to [MASK] every morning.") -> "FillMask":
    """What a masked language model would put into a gap. model: a name or a pipeline("fill-mask")."""
    return FillMask(loaded("fill-mask", model), text)


def loaded(task: str, model: Any) -> Any:
    from course import pipeline
    return pipeline(task, model=model) if model is None or isinstance(model, str) else model


class NextToken(Explorer):
    """values: text, temperature, top_k, top_p, repetition_penalty. The model reads a text once; sliders only reshape."""

    placed = "Write"

    def __init__(self, pipe: Any, text: str):
        self.pipe, self.tokenizer = pipe, pipe.tokenizer
        self.read: dict[str, tuple[list[int], Any]] = {}                   # text -> ids, logits (V,); the last few texts
        self.texts: list[str] = []                                         # to go back to
        super().__init__(text=text, temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0)

    def controls(self, w: Any) -> dict[str, Any]:
        v = self.values
        return {"text": typed(w, v["text"]),
                "temperature": slider(w, "temperature", v["temperature"], 0.1, 3.0, 0.1),
                "top_k": slider(w, "top_k (0: all)", v["top_k"], 0, 50),
                "top_p": slider(w, "top_p", v["top_p"], 0.05, 1.0, 0.05),
                "repetition_penalty": slider(w, "repetition_penalty", v["repetition_penalty"], 1.0, 2.0, 0.1)}

    # -- the model -----------------------------------------------------------------------------------------------------------

    def ids(self, text: str) -> list[int]:
        """What the model reads: without what would end the text, and not more than it can read."""
        ids = self.tokenizer(text, split_special_tokens=True, truncation=False, verbose=False)["input_ids"]
        while ids and ids[-1] in (self.tokenizer.eos_token_id, self.tokenizer.sep_token_id):
            ids = ids[:-1]
        if not ids or not text.strip():
            raise ValueError("Write a word: the model goes on from there.")
        return ids[-(self.pipe.model.config.max_tokens or len(ids)):]

    def place(self, ids: list[int]) -> int:
        """The position whose scores are wanted."""
        return -1

    def logits(self, text: str) -> tuple[list[int], Any]:
        import torch
        if text not in self.read:
            ids = self.ids(text)
            with torch.inference_mode():
                logits = self.pipe.model(input_ids=torch.tensor([ids], device=self.pipe.device)).logits
            self.read = dict(list(self.read.items())[-7:]) | {text: (ids, logits[0, self.place(ids)].float().cpu())}
        return self.read[text]

    def shares(self) -> tuple[Any, Any]:
        """(V,) probabilities as the model has them, and after the settings, as generate() would draw from."""
        import torch

        from course.generation_config import GenerationConfig
        from course.scores import score_functions
        ids, logits = self.logits(self.values["text"])
        settings = GenerationConfig(do_sample=True, **{name: value for name, value in self.values.items() if name != "text"})
        scores, text, none = logits[None], torch.tensor([ids]), torch.tensor([[0]])
        for function in score_functions(settings, none, none, none[0, :0]):
            scores = function(text, scores)
        return logits.softmax(-1), scores[0].softmax(-1)

    # -- the page ------------------------------------------------------------------------------------------------------------

    def best(self) -> list[tuple[int, float, float]]:
        """(token, probability before, probability now), the best of now first, then those that the settings cut."""
        before, now = self.shares()
        order = (now + before * 1e-9).topk(min(SHOWN, len(now))).indices.tolist()
        return [(token, before[token].item(), now[token].item()) for token in order]

    def name(self, token: int) -> str:
        """A token as it is shown: ‿ls goes on with the word before, ␣ and ↵ are a blank and a line break."""
        text = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        raw = self.tokenizer.convert_ids_to_tokens(token) or ""
        joins = raw.startswith("##") or (self.blanks and not raw.startswith(("Ġ", "▁")) and text[:1].isalnum())
        bare = text.removeprefix("##").strip() or text.replace("\n", "↵").replace(" ", "␣") or raw
        return ("‿" if joins else "") + bare

    @property
    def blanks(self) -> bool:
        """Whether the blank before a word belongs to its token."""
        return any(mark in token for mark in "Ġ▁" for token in self.tokenizer.convert_ids_to_tokens(
            self.tokenizer("a b", add_special_tokens=False)["input_ids"]))

    def draw(self) -> str:
        _, now = self.shares()
        rows = [(self.name(token), share, f"{share:.3f}" if share else f"cut (was {before:.3f})")
                for token, before, share in self.best()]
        return bars(rows, self.title()) + line(f"{int((now > 0).sum()):,} of {len(now):,} tokens can come.")

    def title(self) -> str:
        return "What comes next"

    def say(self) -> str:
        return f"{self.title()} after {self.values['text']!r}: " + ", ".join(
            f"{self.name(token)} {share:.2f}" for token, _, share in self.best())

    # -- writing -------------------------------------------------------------------------------------------------------------

    def below(self, w: Any) -> list[Any]:
        wide = {"width": "auto"}
        self.buttons = [w.Button(layout=wide) for _ in range(SHOWN)]
        for number, button in enumerate(self.buttons):
            button.on_click(lambda _, number=number: self.write(self.offered[number]))
        self.chance = w.Button(description="draw one", tooltip="Draw the token by chance, from the probabilities above",
                               layout=wide)
        self.chance.on_click(lambda _: self.write(self.drawn()))
        self.back = w.Button(description="undo", tooltip="Take the last token back", layout=wide, disabled=True)
        self.back.on_click(lambda _: self.undo())
        label = w.HTML(f"<b>{self.placed}:</b>")
        return [w.Box([label, *self.buttons, self.chance, self.back], layout=w.Layout(flex_flow="row wrap"))]

    def after(self) -> None:
        try:
            self.offered = [token for token, _, share in self.best() if share > 0]
        except ValueError:                            # no gap, no text: the picture says so
            self.offered = []
        for number, button in enumerate(self.buttons):
            button.disabled = number >= len(self.offered)
            button.description = self.name(self.offered[number]) if number < len(self.offered) else "–"
            button.tooltip = f"{self.placed} {button.description}"
        self.chance.disabled, self.back.disabled = not self.offered, not self.texts

    def drawn(self) -> int:
        import torch
        seed = torch.Generator().manual_seed(len(self.texts))              # everybody in a room gets the same text
        return int(torch.multinomial(self.shares()[1], 1, generator=seed))

    def written(self, token: int) -> str:
        ids = self.tokenizer(self.values["text"], add_special_tokens=False, split_special_tokens=True, verbose=False)
        return self.tokenizer.decode([*ids["input_ids"], token], clean_up_tokenization_spaces=False)

    def write(self, token: int) -> None:
        self.texts.append(self.values["text"])
        self.parts["text"].value = self.written(token)

    def undo(self) -> None:
        self.parts["text"].value = self.texts.pop()
        self.back.disabled = not self.texts


class FillMask(NextToken):
    """The same at the one gap of a text."""

    placed = "Fill in"

    def ids(self, text: str) -> list[int]:
        mask = self.tokenizer.mask_token
        if mask is None:
            raise ValueError("this model has no mask token, so it cannot fill gaps: next_token_explorer shows how it goes on")
        if text.count(mask) != 1:
            raise ValueError(f"Write {mask} once, where a word is missing.")
        before, after = text.split(mask)
        first, second = (self.tokenizer(part, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
                         for part in (before, after))
        ids = self.tokenizer.build_inputs_with_special_tokens([*first, self.tokenizer.mask_token_id, *second])
        if len(ids) > (self.pipe.model.config.max_tokens or len(ids)):
            raise ValueError(f"{len(ids)} tokens are more than this model can read: shorten the text.")
        return ids

    def place(self, ids: list[int]) -> int:
        return ids.index(self.tokenizer.mask_token_id)

    def title(self) -> str:
        return "What could stand in the gap"

    def written(self, token: int) -> str:
        return self.values["text"].replace(self.tokenizer.mask_token, self.tokenizer.decode([token]).strip())
