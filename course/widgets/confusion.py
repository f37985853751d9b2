"""Confusion explorer: how often each label is taken for which, and the texts behind each cell."""

import html
from collections.abc import Sequence
from typing import Any

from course.widgets.base import Explorer, line, own, scrolls, short

MOST_LABELS, MOST_TEXTS = 20, 20


def confusion_explorer(labels: Sequence[Any], predictions: Sequence[Any], texts: Sequence[str],
                       names: Sequence[str] | None = None, sides: tuple[str, str] = ("label", "predicted")) -> "Confusion":
    """A button for each pair of label and prediction; it shows the texts. names: what the numbers 0, 1, … mean. sides: who
    says what stands in the rows and in the columns, ("coder A", "coder B") where nobody knows what is right."""
    from course.training.metrics import confusion_matrix
    labels, predictions = list(labels), list(predictions)
    texts = [text if isinstance(text, str) else "(no text)" if text is None or text != text else str(text) for text in texts]
    if len(texts) != len(labels):
        raise ValueError(f"{len(labels)} labels and {len(texts)} texts: each label needs its text")
    table = confusion_matrix(labels, predictions, names)
    if len(table) > MOST_LABELS:
        raise ValueError(f"{len(table)} labels make a table nobody can read: choose {MOST_LABELS} or fewer")
    if names is not None:
        labels, predictions = ([names[one] if not isinstance(one, str) else one for one in side]
                               for side in (labels, predictions))
    return Confusion(table, list(zip(labels, predictions, texts, strict=True)), sides)


class Confusion(Explorer):
    """values: cell, a pair (label, prediction)."""

    def __init__(self, table: Any, rows: list[tuple[Any, Any, str]], sides: tuple[str, str]):
        self.table, self.rows, self.names = table, rows, list(table.index)
        self.corner = f"{sides[0]} ↓ {sides[1]} →"
        self.table.index.name, self.table.columns.name = self.sides = sides
        wrong = [(count, i != j, (a, b)) for i, a in enumerate(self.names) for j, b in enumerate(self.names)
                 if (count := table.iloc[i, j])]
        super().__init__(cell=max(wrong, key=lambda one: (one[1], one[0]))[2])      # the most frequent mistake

    def controls(self, w: Any) -> dict[str, Any]:
        return {}

    @property
    def widget(self) -> Any:
        if self.made is None:
            import ipywidgets as w
            self.shown = w.HTML(self.texts_behind())
            wide, letters = (96, 14) if len(self.names) <= 5 else (46, 4)
            size, self.buttons = w.Layout(width=f"{wide}px", height="34px", padding="0"), {}
            cells: list[Any] = [w.HTML(named(self.corner)), *(w.HTML(named(name, letters)) for name in self.names)]
            for i, name in enumerate(self.names):
                cells.append(w.HTML(named(name)))
                for j, other in enumerate(self.names):
                    count = int(self.table.iloc[i, j])
                    button = w.Button(description=str(count), tooltip=self.said(count, name, other),
                                      layout=size, disabled=not count)
                    button.on_click(lambda _, cell=(name, other): self.choose("cell", cell))
                    self.buttons[name, other] = button
                    cells.append(button)
            grid = w.GridBox(cells, layout=w.Layout(grid_template_columns=f"170px repeat({len(self.names)}, {wide + 6}px)"))
            self.made = own(w, [w.Box([grid], layout=w.Layout(overflow="auto")), self.shown])
            self.after()
        return self.made

    def after(self) -> None:
        for cell, button in self.buttons.items():
            button.button_style = "primary" if cell == self.values["cell"] else "info" if cell[0] == cell[1] else ""

    def renew(self) -> None:
        self.shown.value = self.texts_behind()
        self.after()

    def behind(self) -> list[str]:
        return [text for label, predicted, text in self.rows if (label, predicted) == self.values["cell"]]

    def said(self, count: int, label: Any, predicted: Any) -> str:
        return f"{count} {'text' if count == 1 else 'texts'} with {self.sides[0]} {label}, {self.sides[1]} {predicted}"

    def texts_behind(self) -> str:
        label, predicted = self.values["cell"]
        found = self.behind()
        items = "".join(f"<li>{html.escape(short(text, 300))}</li>" for text in found[:MOST_TEXTS])
        more = line(f"… and {len(found) - MOST_TEXTS} more") if len(found) > MOST_TEXTS else ""
        same = "the same" if label == predicted else "different"
        return (f"<div><b>{html.escape(self.said(len(found), label, predicted))}</b> ({same})</div>"
                f'<ol style="max-width: 60em">{items}</ol>{more}')

    def draw(self) -> str:
        head = "".join(f'<th scope="col" style="padding: 2px 8px">{html.escape(str(name))}</th>' for name in self.names)
        body = "".join(
            f'<tr><th scope="row" style="padding: 2px 8px">{html.escape(str(name))}</th>'
            + "".join(f'<td style="padding: 2px 8px">{self.table.iloc[i, j]}</td>' for j in range(len(self.names))) + "</tr>"
            for i, name in enumerate(self.names))
        return scrolls(f'<table><tr><th style="padding: 2px 8px">{html.escape(self.corner)}</th>{head}</tr>{body}</table>',
                       "Labels and predictions") + self.texts_behind()

    def say(self) -> str:
        label, predicted = self.values["cell"]
        return f"{self.table}\n{self.said(len(self.behind()), label, predicted)}"


def named(name: Any, letters: int = 24) -> str:
    return f'<b title="{html.escape(str(name))}">{html.escape(short(str(name), letters))}</b>'
