"""What all widgets share: controls above, and below them the HTML that `draw` makes of their values.

An explorer works without ipywidgets and without a browser: `values` holds the state, `draw()` the picture of it. The controls
only write into `values`. Plain HTML is sent, no picture file: a slider is answered in a few hundredths of a second.
"""

import html
from collections.abc import Iterable
from typing import Any

from course.notebook import box, live

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#888888"                       # Okabe & Ito 2008
# JupyterLab and Notebook 7 take keys for themselves wherever the focus is: arrows that should move a slider, x that cuts the
# cell. Not from an element with this attribute, which only a script can set.
OWN_KEYS = ("""<style onload="this.closest('.course-widget')?.addEventListener('focusin', event => """
            """event.target.setAttribute('data-lm-suppress-shortcuts', 'true'))">.course-widget { min-width: 0 }</style>""")
CHIPS = ("#cfe4f3", "#fde3b8", "#d5f0e3", "#f3d9e8")                       # light, so that the dark text on them can be read
CHIP = "display: inline-block; color: #111; border: 1px solid #8888; padding: 0 3px; white-space: pre"
HATCHED = "repeating-linear-gradient(45deg, #e4e4e4 0 4px, #f8f8f8 4px 8px)"


class Explorer:
    """Base class. A subclass has `controls` (name -> widget, each with a value), `draw` and `say`."""

    def __init__(self, **values: Any):
        self.values = values
        self.made: Any = None
        self.draw_or_say_why()                        # what cannot be shown says so in the cell that asks for it

    def controls(self, w: Any) -> dict[str, Any]:
        """The widgets that set `values`, by name. w: the module ipywidgets."""
        raise NotImplementedError

    def below(self, w: Any) -> list[Any]:
        """Further widgets, under the picture."""
        return []

    def draw(self) -> str:
        """The picture of `values`, as HTML; whatever a user typed is escaped."""
        raise NotImplementedError

    def say(self) -> str:
        """The same in a sentence, for a terminal."""
        raise NotImplementedError

    def draw_or_say_why(self) -> str:
        """In a widget nobody sees an exception: what a user can cause stands where the picture would be."""
        try:
            return self.draw()
        except (ValueError, TypeError, KeyError, IndexError) as error:
            if self.made is None:
                raise
            return box("?", str(error.args[0] if error.args else error))

    @property
    def widget(self) -> Any:
        """The live widget, made when it is first asked for."""
        if self.made is None:
            import ipywidgets as w

            self.shown, self.parts = w.HTML(self.draw_or_say_why()), self.controls(w)
            for name, part in self.parts.items():
                part.observe(lambda change, name=name: self.choose(name, change["new"]), "value")
            rows = w.Box(list(self.parts.values()), layout=w.Layout(flex_flow="row wrap"))
            self.made = own(w, [rows, self.shown, *self.below(w)])
            self.after()
        return self.made

    def choose(self, name: str, value: Any) -> None:
        """A control has a new value."""
        if self.values[name] != value:
            self.values[name] = value
            self.renew()

    def renew(self) -> None:
        self.shown.value = self.draw_or_say_why()
        self.after()

    def after(self) -> None:
        """Once the picture is drawn: what else depends on the values."""

    def still(self) -> str:
        """For pages without a running kernel."""
        return f"<div>{self.draw()}</div>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        try:
            return live(self.widget, self.still(), self.say())
        except ImportError:                           # without ipywidgets a page is what it would be on paper
            return {"text/html": self.still(), "text/plain": self.say()}

    def __repr__(self) -> str:
        return self.say()


def own(w: Any, parts: list[Any]) -> Any:
    """A column of widgets that keeps its keys."""
    box = w.VBox([*parts, w.HTML(OWN_KEYS, layout={"height": "0", "margin": "0"})])
    box.add_class("course-widget")
    return box


# -- controls, the same in all widgets ---------------------------------------------------------------------------------------

def typed(w: Any, text: str, description: str = "Text") -> Any:
    """A line to type in; it answers with every letter."""
    return w.Text(text, description=description, style={"description_width": "initial"}, layout={"width": "98%"})


def slider(w: Any, description: str, value: float, low: float, high: float, step: float = 1) -> Any:
    make = w.IntSlider if isinstance(step, int) else w.FloatSlider
    return make(value=value, min=low, max=high, step=step, description=description,
                style={"description_width": "initial"}, layout={"width": "300px"})


def choice(w: Any, description: str, options: Iterable[Any], value: Any) -> Any:
    """Buttons, one of which is pressed. (JupyterLab takes the arrow keys away from a list that opens.)"""
    return w.ToggleButtons(options=list(options), value=value, description=description,
                           style={"description_width": "initial", "button_width": "auto"}, layout={"width": "auto"})


# -- pieces of HTML ----------------------------------------------------------------------------------------------------------

def bars(rows: Iterable[tuple[str, float, str]], title: str = "", most: float = 1.0) -> str:
    """A table of bars: (name, value, what stands behind it). A screen reader reads names and numbers."""
    lines = []
    for name, value, note in rows:
        width = 100 * max(0.0, min(1.0, value / most)) if most > 0 else 0
        lines.append(
            f'<tr style="background: none"><th scope="row" style="text-align: right; padding: 1px 8px; white-space: pre">'
            f'{html.escape(name)}</th><td style="width: 220px; padding: 1px"><div style="width: {width:.1f}%; height: 14px; '
            f'background: {BLUE}"></div></td><td style="text-align: left; padding: 1px 8px">{html.escape(note)}</td></tr>')
    head = f'<div style="margin-top: 6px; max-width: 60em; white-space: normal">{html.escape(title)}</div>' if title else ""
    return f'{head}<table aria-label="{html.escape(title)}" style="border: 0; margin: 4px 0">{"".join(lines)}</table>'


def line(text: str) -> str:
    """A sentence under a picture."""
    return f'<div style="margin: 4px 0; max-width: 60em; white-space: normal; line-height: 1.4">{html.escape(text)}</div>'


def scrolls(inside: str, name: str) -> str:
    """What may be wider than the page; with the focus in it, arrow keys move it."""
    return f'<div style="overflow-x: auto" tabindex="0" role="region" aria-label="{html.escape(name)}">{inside}</div>'


def short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[:length - 1] + "…"
