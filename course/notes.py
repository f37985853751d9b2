"""Notes: what a person may like to know and nobody has to act on, such as which model was taken, or what was cut.

In a notebook a note is a quiet line, in a terminal one line on stderr. For programs it is a record of the level INFO of the
logger "course": logging.basicConfig(level="INFO") takes notes over, logging.getLogger("course").setLevel("WARNING") turns them
off. What may be wrong is no note but a warning, log.warning(…), and looks like one.
"""

import html
import logging
import sys
from typing import Any

from tqdm import tqdm

QUIET = '<div role="note" style="opacity: 0.75; font-size: 90%; max-width: 60em">Note: {}</div>'
said: set[str] = set()                              # notes that are given once and were


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, which shows more than text."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def note(text: str, *values: Any) -> None:
    """Says text % values where the reader sees it, without alarm."""
    log = logging.getLogger("course")
    log.info(text, *values)
    if log.isEnabledFor(logging.INFO) or log.level:
        return                                      # a program listens, or wants no notes
    line = text % values if values else text
    if in_notebook():
        from IPython.display import display
        display({"text/html": QUIET.format(html.escape(line)), "text/plain": line}, raw=True)
    else:
        print(line, file=sys.stderr)


def once(text: str) -> None:
    """A note that is given the first time only."""
    if text not in said:
        said.add(text)
        note(text)


def progress(*items: Any, **options: Any) -> tqdm:
    """A bar for long work, as tqdm(…) makes it; in a notebook one that does not stand among the errors."""
    if in_notebook():
        from tqdm.auto import tqdm as chosen  # takes a while to import
        return chosen(*items, **options)
    return tqdm(*items, **options)
