"""Prediction explorer: type a sentence, watch the label, drop words to see what moves it, swap names to audit it."""

import html
import re
from typing import Any

from course.widgets.base import CHIP, Explorer, bars, choice, line, short, typed

MOST_WORDS = 24                                       # words with a button


def prediction_explorer(model: Any = None, text: str = "Anna says that the new park is lovely, but the noise is unbearable.",
                        word: str = "Anna", others: str = "Mehmet, Chloe, Kwame") -> "Prediction":
    """What a classifier says, what it would say without a word, and with another one in its place.

    model: a name or a pipeline("text-classification"). word, others: what is swapped, and for what, with commas between.
    """
    from course import pipeline
    pipe = pipeline("text-classification", model=model) if model is None or isinstance(model, str) else model
    return Prediction(pipe, text, word, others)


class Prediction(Explorer):
    """values: text, label (whose probability is watched), word, others; `dropped` holds the words that are left out."""

    def __init__(self, pipe: Any, text: str, word: str, others: str):
        self.pipe = pipe
        self.labels = [str(name) for _, name in sorted(pipe.model.config.id2label.items())]
        self.known: dict[str, dict[str, float]] = {}  # text -> its scores: what was read once is not read again
        self.dropped: set[int] = set()
        super().__init__(text=text, label=self.labels[-1], word=word, others=others)

    def controls(self, w: Any) -> dict[str, Any]:
        v = self.values
        return {"text": typed(w, v["text"]), "label": choice(w, "Watched label", self.labels, v["label"]),
                "word": w.Text(v["word"], description="Swap", layout={"width": "220px"}),
                "others": typed(w, v["others"], "for")}

    def choose(self, name: str, value: Any) -> None:
        if name == "text" and len(value.split()) != len(self.words()):
            self.dropped.clear()                      # the numbers of the words mean others now
        super().choose(name, value)

    # -- the model -----------------------------------------------------------------------------------------------------------

    def words(self) -> list[str]:
        return self.values["text"].split()

    def scores(self, texts: list[str]) -> list[dict[str, float]]:
        """The scores of each text, {label: score}; only those that are new are read, together."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            found = self.pipe(new, top_k=None)
            self.known = dict(list(self.known.items())[-500:])
            self.known |= {text: {one["label"]: one["score"] for one in row} for text, row in zip(new, found, strict=True)}
        return [self.known[text] for text in texts]

    def without(self, dropped: set[int]) -> str:
        return " ".join(word for number, word in enumerate(self.words()) if number not in dropped)

    def swapped(self) -> dict[str, str]:
        """{another word: the text with it}; empty where the word does not stand in the text."""
        text, word = self.without(self.dropped), self.values["word"].strip()
        spot = rf"(?<!\w){re.escape(word)}(?!\w)"
        if not word or not re.search(spot, text):
            return {}
        others = [word, *filter(None, (other.strip() for other in self.values["others"].split(",")))]
        return {other: re.sub(spot, lambda _, other=other: other, text) for other in others[:12]}

    def moved(self) -> dict[int, float]:
        """How much the watched probability falls when one more word is left out (occlusion)."""
        left = [number for number in range(min(len(self.words()), MOST_WORDS)) if number not in self.dropped]
        now = self.without(self.dropped)
        texts = {number: self.without(self.dropped | {number}) for number in left}
        texts = {number: text for number, text in texts.items() if text}
        label, found = self.values["label"], self.scores([now, *texts.values(), *self.swapped().values()])
        return {number: found[0][label] - found[place][label] for place, number in enumerate(texts, 1)}

    # -- the page ------------------------------------------------------------------------------------------------------------

    def draw(self) -> str:
        now = self.without(self.dropped)
        if not now.strip():
            raise ValueError("Write a sentence, or take a word back in.")
        label, moved = self.values["label"], self.moved()
        scores = self.scores([now])[0]
        page = bars([(name, scores[name], f"{scores[name]:.3f}") for name in self.labels], short(now, 120))
        chips = "".join(self.chip(number, word, moved.get(number)) for number, word in enumerate(self.words()[:MOST_WORDS]))
        page += f'<div><b>Without a word</b>, {html.escape(label)} moves by</div><div style="line-height: 1.3">{chips}</div>'
        if swaps := self.swapped():
            rows = [(other, found[label], f"{found[label]:.3f}")
                    for other, found in zip(swaps, self.scores(list(swaps.values())), strict=True)]
            spread = max(value for _, value, _ in rows) - min(value for _, value, _ in rows)
            page += bars(rows, f"{label} with another word in the place of {self.values['word']}: apart by up to {spread:.3f}")
        return page + line("Orange: the word holds the probability up; blue: it keeps it down. What moves a model here is no "
                           "reason, and words also act together.")

    def chip(self, number: int, word: str, moved: float | None) -> str:
        if moved is None:
            style, note = "text-decoration: line-through; background: #f0f0f0", "out" if number in self.dropped else "alone"
        else:
            strength = min(1.0, abs(moved) * 2)
            colour = f"rgba({'230, 159, 0' if moved > 0 else '86, 180, 233'}, {strength:.2f})"
            style = f"background: linear-gradient({colour}, {colour}) #fff"
            note = f"{-moved:+.2f}"
        return (f'<span style="{CHIP}; margin: 1px; text-align: center; {style}">{html.escape(word)}<br>'
                f'<small style="color: #333">{note}</small></span>')

    def say(self) -> str:
        now = self.without(self.dropped)
        scores = self.scores([now])[0]
        return f"{now}: " + ", ".join(f"{name} {scores[name]:.2f}" for name in self.labels)

    # -- dropping words ------------------------------------------------------------------------------------------------------

    def below(self, w: Any) -> list[Any]:
        self.toggles = [w.ToggleButton(layout=w.Layout(width="auto")) for _ in range(MOST_WORDS)]
        for number, toggle in enumerate(self.toggles):
            toggle.observe(lambda change, number=number: self.drop(number, change["new"]), "value")
        return [w.Box([w.HTML("<b>Leave out:</b>"), *self.toggles], layout=w.Layout(flex_flow="row wrap"))]

    def drop(self, number: int, out: bool) -> None:
        if out != (number in self.dropped):
            self.dropped ^= {number}
            self.renew()

    def after(self) -> None:
        words = self.words()
        for number, toggle in enumerate(self.toggles):
            toggle.description = words[number] if number < len(words) else ""
            toggle.layout.display = None if number < len(words) else "none"
            toggle.value = number in self.dropped

