"""People code texts: an editor for the notebook, forms for those without one, disagreements, and how they are settled."""

import html
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from course import hub
from course.data import load_dataset
from course.notebook import live
from course.research.codebook import Codebook
from course.research.evidence import with_id
from course.widgets.base import own

KEYS = "1234567890"                                  # the first ten labels
COLUMNS = ("id", "label", "unsure", "time", "codebook")


class HandCoding:
    """What code_by_hand returns: shown in a notebook it is the editor; `.table` are the texts with the codes so far."""

    def __init__(self, frame: pd.DataFrame, text: str, codebook: Codebook, coder: str, path: str | os.PathLike | None = None):
        self.frame = with_id(frame)
        if text not in frame:
            raise KeyError(f"there is no column {text!r}; there are: {', '.join(map(str, frame.columns))}")
        if not re.fullmatch(r"\w[\w\- ]*", coder or ""):
            raise ValueError(f"coder is a name of letters, digits, - and _, got {coder!r}: it names the column and the file")
        if coder in frame:
            raise ValueError(f"the table has a column {coder!r} already: choose another name for the coder")
        self.text, self.codebook, self.coder = text, codebook, coder
        self.path = Path(path or f"codes_{coder}.csv")
        self.codes: dict[str, dict[str, Any]] = {}       # id as text -> what was decided; label None is skipped
        if self.path.exists():
            self.resume()
        self.widget: Any = None

    def resume(self) -> None:
        """Takes up the codes that an earlier session saved."""
        saved = pd.read_csv(self.path, dtype=str, keep_default_na=False)
        if missing := set(COLUMNS) - set(saved):
            raise ValueError(f"{self.path} is no file of codes (it lacks {', '.join(sorted(missing))}): give another path")
        if other := sorted(set(saved["codebook"]) - {self.codebook.hash}):
            raise ValueError(f"{self.path} was coded with version {other[0]} of the codebook, this is {self.codebook.hash}. "
                             "Codes under two sets of rules do not mix: give path= a new name and code again")
        for row in saved.to_dict("records"):
            self.codes[row["id"]] = row | {"label": row["label"] or None, "unsure": row["unsure"] == "True"}

    @property
    def open(self) -> list[Any]:
        """The ids that wait."""
        return [i for i in self.frame["id"] if str(i) not in self.codes]

    @property
    def table(self) -> pd.DataFrame:
        """The texts with a column of codes named like the coder, missing where skipped or not reached."""
        found = [self.codes.get(str(i), {}) for i in self.frame["id"]]
        return self.frame.assign(**{self.coder: pd.Series([f.get("label") for f in found], self.frame.index, object),
                                    f"{self.coder}_unsure": [bool(f.get("unsure")) for f in found]})

    def code(self, label: str | None, unsure: bool = False) -> None:
        """Decides the text that is shown, saves, and goes on; None skips it."""
        if label is not None:
            self.codebook.check([label])
        if self.open:
            now = time.strftime("%Y-%m-%dT%H:%M:%S")
            decision = (self.open[0], label, unsure, now, self.codebook.hash)
            self.codes[str(self.open[0])] = dict(zip(COLUMNS, decision, strict=True))
            self.save()

    def undo(self) -> None:
        """Takes the last decision back."""
        if self.codes:
            self.codes.popitem()
            self.save()

    def save(self) -> None:
        hub.write_text(self.path, pd.DataFrame(list(self.codes.values()), columns=COLUMNS).to_csv(index=False))

    # -- the editor --------------------------------------------------------------------------------------------------------

    def page(self) -> str:
        """What the coder sees: how far they are, and the text. Nothing of what others coded."""
        done, total = len(self.codes), len(self.frame)
        if not self.open:
            return f"<p><b>✓ All {total} texts are done.</b> Saved in {html.escape(str(self.path))}.</p>"
        value = self.frame.set_index("id").loc[self.open[0], self.text]
        shown = "<i>(no answer: skip it)</i>" if pd.isna(value) or not str(value).strip() else html.escape(str(value))
        return (f"<p>{html.escape(self.codebook.question)}</p><p>Text {done + 1} of {total}</p>"
                f"<blockquote style='font-size:1.15em;border-left:4px solid #888;padding:.3em 1em'>{shown}</blockquote>")

    def build(self) -> Any:
        """The editor, of parts that ipywidgets 7.7 and 8 both have. Keys: 1-9 and 0 code, s skips,
        u undoes, ? is unsure."""
        import ipywidgets as w
        view = w.HTML(self.page())
        keys = w.Text(placeholder="1-9, 0, s, u or ?", description="Key:", layout=w.Layout(width="14em"))
        unsure = w.Checkbox(description="unsure", indent=False, layout=w.Layout(width="7em"))
        names = list(self.codebook)

        def after(action: Any, *arguments: Any) -> None:
            action(*arguments)
            unsure.value, view.value = False, self.page()

        buttons = []
        for number, label in enumerate(self.codebook.labels.values()):
            button = w.Button(description=f"{KEYS[number:number + 1]} {label.name}".strip(), tooltip=label.text("full"),
                              layout=w.Layout(width="auto"))
            button.on_click(lambda _, name=label.name: after(self.code, name, unsure.value))
            buttons.append(button)
        others = []
        for name, action in (("s skip", lambda _: after(self.code, None)), ("u undo", lambda _: after(self.undo))):
            button = w.Button(description=name, layout=w.Layout(width="auto"))
            button.on_click(action)
            others.append(button)

        def pressed(change: dict[str, Any]) -> None:
            key = change["new"].strip().lower()
            if not key:
                return
            if key == "?":
                unsure.value = not unsure.value
            elif key == "s":
                after(self.code, None)
            elif key == "u":
                after(self.undo)
            elif key in KEYS[:len(names)]:
                after(self.code, names[KEYS.index(key)], unsure.value)
            keys.value = ""

        keys.observe(pressed, "value")
        rules = "".join(f"<li>{html.escape(label.text('full'))}</li>" for label in self.codebook.labels.values())
        help_text = w.HTML(f"<details><summary>Codebook</summary><ol>{rules}</ol></details>")
        self.widget = own(w, [view, w.Box(buttons, layout=w.Layout(flex_flow="row wrap")), w.HBox([keys, unsure, *others]),
                              help_text])
        return self.widget

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        names = " · ".join(f"{KEYS[n:n + 1]} {html.escape(name)}" for n, name in enumerate(self.codebook))
        still = f"<div>In a running notebook, an editor with a button for each label: <b>{names}</b></div>{self.page()}"
        return live(self.widget or self.build(), still, repr(self))

    def __repr__(self) -> str:
        return f"HandCoding by {self.coder}: {len(self.codes)} of {len(self.frame)} texts, saved in {self.path}"


def code_by_hand(frame: pd.DataFrame, text: str, codebook: Codebook, coder: str,
                 path: str | os.PathLike | None = None) -> HandCoding:
    """An editor in the notebook for one coder, blind to all others: buttons, keys, skip, unsure, undo.

    Each decision is saved at once into `path` (codes_NAME.csv); the same call after a crash goes on where it ended.
    """
    return HandCoding(frame, text, codebook, coder, path)


def coding_form(frame: pd.DataFrame, text: str, codebook: Codebook, path: str | os.PathLike) -> None:
    """A form for a coder without Jupyter, .csv or .xlsx: id, text, an empty column label; the codebook in a second sheet
    (or a file beside it). read_codes() brings it back."""
    path = Path(path)
    form = with_id(frame)[["id", text]].assign(label="", unsure="")
    rules = pd.DataFrame([{"label": label.name, "definition": label.definition, "include": label.include,
                           "exclude": label.exclude} for label in codebook.labels.values()])
    if path.suffix == ".xlsx":
        try:
            with pd.ExcelWriter(path) as file:
                form.to_excel(file, sheet_name="texts", index=False)
                rules.to_excel(file, sheet_name="codebook", index=False)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"writing .xlsx needs {error.name}: pip install openpyxl, or write a .csv") from None
    else:
        hub.write_text(path, "\ufeff" + form.to_csv(index=False))         # the mark by which Excel knows UTF-8
        hub.write_text(path.with_name(path.stem + "_codebook.md"), codebook.prompt(style="full") + "\n")


def read_codes(frame: pd.DataFrame, codebook: Codebook, **files: str | os.PathLike) -> pd.DataFrame:
    """The frame with a column for each coder: read_codes(pilot, book, anna="codes_anna.csv", ben="form_ben.xlsx").

    Joined by id; a code that is no label of the codebook raises ValueError with the ids, an empty one stays missing.
    """
    frame = with_id(frame)
    for coder, path in files.items():
        found = pd.read_excel(path, dtype=str) if str(path).endswith(".xlsx") else load_dataset(path)
        if missing := {"id", "label"} - set(found):
            raise ValueError(f"{path} lacks the column {', '.join(sorted(missing))}; it has {', '.join(map(str, found))}")
        labels = [None if pd.isna(v) or not str(v).strip() else str(v).strip() for v in found["label"]]
        known = {name.casefold(): name for name in codebook}
        illegal = [(i, v) for i, v in zip(found["id"], labels, strict=True) if v is not None and v.casefold() not in known]
        if illegal:
            raise ValueError(f"{path}: {len(illegal)} codes are no label of the codebook, the first for id {illegal[0][0]}: "
                             f"{illegal[0][1]!r}. Labels: {', '.join(codebook)}")
        ids = found["id"].astype(str)
        if (twice := ids[ids.duplicated()].unique()).size:
            raise ValueError(f"{path} has ids more than once: {', '.join(twice[:5])}")
        if strange := sorted(set(ids) - set(frame["id"].astype(str))):
            raise ValueError(f"{path} codes texts that are not in the table: {', '.join(strange[:5])}")
        codes = dict(zip(ids, (None if v is None else known[v.casefold()] for v in labels), strict=True))
        frame = frame.assign(**{coder: frame["id"].astype(str).map(codes).astype(object)})
    return frame


def disagreements(coded: pd.DataFrame, coders: Sequence[str], codebook: Codebook | None = None) -> pd.DataFrame:
    """The units on which coders differ, those with the most different codes first, then by the pair of labels that is
    confused most often; with a codebook the definitions stand beside them."""
    if missing := [c for c in coders if c not in coded]:
        raise KeyError(f"there is no column {missing[0]!r}; there are: {', '.join(map(str, coded.columns))}")
    sets = coded[list(coders)].apply(lambda row: tuple(sorted({str(v) for v in row if not pd.isna(v)})), axis=1)
    differ = sets[sets.map(len) > 1]
    often = Counter(differ)
    queue = with_id(coded).loc[differ.index].assign(labels=differ.map(" / ".join), kinds=differ.map(len),
                                                    as_often=differ.map(often))
    if codebook is not None:
        queue["definitions"] = differ.map(lambda labels: "\n".join(codebook.labels[name].text("full") for name in labels))
    return queue.sort_values(["kinds", "as_often", "labels"], ascending=[False, False, True], kind="stable")


def adjudicate(coded: pd.DataFrame, coders: Sequence[str], rule: str = "majority", *, third: str | None = None,
               decisions: dict[Any, str] | None = None) -> pd.DataFrame:
    """One code a text in the column `gold`, and in `settled` how it came about; every original code stays.

    rule: "majority" (a tie stays missing), "third" (where the others differ, the column `third` decides), or "talk" (where
    they differ, decisions={id: label} decides, else it stays missing). One code alone is taken as it is.
    """
    if rule not in ("majority", "third", "talk"):
        raise ValueError(f"rule must be 'majority', 'third' or 'talk', got {rule!r}")
    if rule == "third" and third not in coded:
        raise ValueError(f"rule='third' needs the column of the coder who decides, third='carl'; got {third!r}")
    coded = with_id(coded)
    known = set(coded["id"])
    if decisions and (strange := [i for i in decisions if i not in known]):
        raise ValueError(f"decisions for ids that are not in the table: {', '.join(map(str, strange[:5]))}")
    gold, settled = [], []
    for row in coded.to_dict("records"):
        codes = [row[c] for c in coders if not pd.isna(row[c])]
        counted = Counter(codes).most_common()
        if len(counted) < 2:
            found, how = (counted[0][0], "one coder" if len(codes) == 1 else "agreed") if counted else (None, "not coded")
        elif rule == "majority":
            tie = counted[0][1] == counted[1][1]
            found, how = (None, "tie") if tie else (counted[0][0], "majority")
        elif rule == "third":
            found, how = (None, "open") if pd.isna(row[third]) else (row[third], f"by {third}")
        else:
            found = (decisions or {}).get(row["id"])
            how = "open" if found is None else "talked over"
        gold.append(found)
        settled.append(how)
    return coded.assign(gold=pd.Series(gold, coded.index, object), settled=settled)


PII = {"e-mail": r"[\w.+-]+@[\w-]+\.[\w.]+", "web address": r"(?:https?://|www\.)\S+",
       "phone": r"(?<!\w)\+?\d[\d ()/-]{6,}\d", "long number": r"\d{6,}", "name?": r"\b[A-Z][a-z]+ [A-Z][a-z]+\b"}


def find_pii(texts: pd.Series) -> pd.DataFrame:
    """Flags what may tell who somebody is, for a person to look at: a row a find. It misses much (nicknames, places, jobs)
    and flags much that is harmless; nothing is sent anywhere and nothing is removed."""
    rows = [{"row": row, "kind": kind, "found": found} for row, text in texts.dropna().items()
            for kind, pattern in PII.items() for found in re.findall(pattern, str(text))]
    return pd.DataFrame(rows, columns=["row", "kind", "found"])
