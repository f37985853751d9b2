"""Beam search as a tree that grows: which beginnings are followed, and which are given up."""

import html
import itertools
import math
from typing import Any

from course.widgets.base import BLUE, GREY, Explorer, line, scrolls, slider, typed
from course.widgets.next_token import NextToken, loaded

STEPS = 6


def beam_explorer(model: Any = None, text: str = "The city council") -> "BeamTree":
    """How beam search writes, token by token. model: a name or a pipeline("text-generation")."""
    return BeamTree(loaded("text-generation", model), text)


Step = dict[tuple[int, ...], float]                   # the beginnings that are followed, with their log-probability


class BeamTree(Explorer):
    """values: text, beams, tokens. A search runs once for each text and number of beams; the slider `tokens` only looks."""

    def __init__(self, pipe: Any, text: str):
        self.pipe, self.names = pipe, NextToken(pipe, text)
        self.found: dict[tuple[str, int], list[Step]] = {}
        super().__init__(text=text, beams=3, tokens=3)

    def controls(self, w: Any) -> dict[str, Any]:
        v = self.values
        return {"text": typed(w, v["text"]), "beams": slider(w, "num_beams", v["beams"], 1, 5),
                "tokens": slider(w, "tokens", v["tokens"], 1, STEPS)}

    def search(self) -> list[Step]:
        """The beams after each token, as generate() follows them: its logits_processor sees all of them at each step."""
        import torch
        text, beams = self.values["text"], self.values["beams"]
        if (text, beams) not in self.found:
            ids = torch.tensor([self.names.ids(text)], device=self.pipe.device)[:, -64:]
            seen: list[tuple[Any, Any]] = []

            def watch(ids: Any, scores: Any) -> Any:
                seen.append((ids.clone(), scores))      # logarithms of probabilities already
                return scores

            ends = self.pipe.model.generation_config.ends
            self.pipe.model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=beams, max_new_tokens=STEPS + 1,
                                     min_new_tokens=STEPS + 1 if ends else None, do_sample=False, logits_processor=[watch])
            steps: list[Step] = [{(): 0.0}]
            start = ids.shape[1]
            for (now, logs), (later, _) in zip(seen, seen[1:], strict=False):
                place = {tuple(row[start:]): number for number, row in enumerate(now.tolist())}
                parents = [(tuple(row[start:-1]), row[-1]) for row in later.tolist()]
                steps.append({(*parent, token): steps[-1][parent] + logs[place[parent], token].item()
                              for parent, token in parents})
            self.found = dict(list(self.found.items())[-11:]) | {(text, beams): steps}
        return self.found[text, beams]

    def draw(self) -> str:
        steps = self.search()[:self.values["tokens"] + 1]
        nodes = {start: score for step in steps for start, score in step.items()}
        alive = {start[:length] for start in steps[-1] for length in range(len(start) + 1)}
        height: dict[tuple[int, ...], float] = {}
        leaves = itertools.count()

        def place(start: tuple[int, ...]) -> float:
            """Ends stand below each other, the better ones first; a node stands in the middle of what follows it."""
            after = sorted((node for node in nodes if node and node[:-1] == start), key=lambda node: -nodes[node])
            places = [place(node) for node in after] or [next(leaves)]
            height[start] = (places[0] + places[-1]) / 2
            return height[start]

        place(())
        wide, high = 118, 34
        parts: list[str] = []
        for start, y in height.items():
            x, y = 8 + wide * len(start), 10 + high * y
            colour, dash = (BLUE, "") if start in alive else (GREY, ' stroke-dasharray="4 3"')
            if start:
                up = 10 + high * height[start[:-1]] + 12
                parts.insert(0, f'<path d="M{x - wide + 92},{up:.0f} L{x},{y + 12:.0f}" stroke="{colour}" fill="none"{dash}/>')
                name, chance = self.names.name(start[-1]), f"{math.exp(nodes[start]):.1%}"
            else:
                name, chance = "start", "100%"
            parts.append(f'<rect x="{x}" y="{y:.0f}" width="92" height="25" rx="4" fill="white" stroke="{colour}"{dash}/>'
                         f'<text x="{x + 5}" y="{y + 17:.0f}" font-size="12" fill="black">{html.escape(name[:8])}</text>'
                         f'<text x="{x + 88}" y="{y + 17:.0f}" font-size="10" fill="#444" text-anchor="end">{chance}</text>')
        size = f'width="{wide * len(steps) + 10}" height="{high * (max(height.values()) + 1) + 12:.0f}"'
        said = f'aria-label="{html.escape(self.say())}" style="font-family: sans-serif"'
        return (scrolls(f'<svg role="img" {size} {said}>{"".join(parts)}</svg>', "The tree")
                + line("Blue: beginnings that are followed; grey and dashed: given up. The number is the probability of all "
                       "tokens up to there together."))

    def say(self) -> str:
        last = self.search()[:self.values["tokens"] + 1][-1]
        best = sorted(last.items(), key=lambda pair: -pair[1])
        return "Tree of beam search. " + "; ".join(
            f"{self.pipe.tokenizer.decode(list(start), clean_up_tokenization_spaces=False).strip()} {math.exp(score):.1%}"
            for start, score in best) + "."
