"""What a lesson shows around its results: the line of the set-up cell, and replies to exercises in a quiet box."""

import html
import platform
from dataclasses import dataclass
from typing import Any

# Hints are folded away on the screen and open on paper and in a printed page; tables and code are not cut there.
PAPER = """<style>@media print {
details::details-content { content-visibility: visible !important; height: auto !important; display: block !important }
pre, code { white-space: pre-wrap !important }
.jp-OutputArea-output, .jp-RenderedHTMLCommon { overflow: visible !important }
}</style>"""
# sign: a colour that both themes and people who see no red or green can tell apart, and the sign for everybody else
SIGNS = {"✓": "#009e73", "?": "#e69f00", "○": "#888888"}


@dataclass(frozen=True)
class Ready:
    """The versions at work. A notebook shows them as one line, and opens the hints of the exercises on paper."""

    line: str

    def __repr__(self) -> str:
        return self.line

    def _repr_html_(self) -> str:
        return f"<div>{html.escape(self.line)}</div>{PAPER}"


def ready(seed: int = 42) -> Ready:
    """The last line of every set-up cell: seeds the random numbers and names the versions."""
    import torch

    import course
    course.set_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Ready(f"Python {platform.python_version()} · course {course.__version__} · torch {torch.__version__} · "
                 f"device {device} · seed {seed}")


def box(sign: str, *paragraphs: str) -> str:
    """HTML of a reply: a coloured edge, a sign, text that wraps between words and keeps the colours of the theme."""
    first, *rest = (html.escape(text).replace("\n", "<br>") for text in paragraphs)
    more = "".join(f'<p style="margin: 6px 0 0">{text}</p>' for text in rest)
    return (f'<div style="border-left: 5px solid {SIGNS[sign]}; background: {SIGNS[sign]}1f; padding: 8px 14px; '
            f'margin: 4px 0; max-width: 46em; white-space: normal; overflow-wrap: break-word; word-break: normal">'
            f'<b aria-hidden="true">{sign}</b> {first}{more}</div>')


def live(widget: Any, still: str, text: str) -> dict[str, Any]:
    """What `_repr_mimebundle_` returns for something to touch: the widget, and for pages without a running kernel (GitHub, a
    PDF, Colab's preview) the same as HTML and as text. Works with ipywidgets 7.7 and 8."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/html": still, "text/plain": text}
