# %% [markdown]
# # Capstone: your own texts, the whole way
#
# > You have a table with texts, a question, and an afternoon. What may you claim at the end of it?
#
# You will be able to
#
# - take a table of your own from the file to a methods paragraph, in ten cells;
# - see at each step what is missing, instead of finding out in a review;
# - leave with tables, records and pictures that somebody else can check.
#
# 120 minutes or more · data: yours; until you name a file, `local_life` stands in · models: `pocket/encoder` ·
# memory: under 0.8 GB · no network needed · builds on lessons 10 to 12
#
# Every cell runs as it stands. Go through once to see where it leads, then change the lines marked `yours`. Nothing
# leaves your computer.

# %% [markdown]
# ## 1. The table
#
# One row a text. CSV, TSV, JSON or Parquet; semicolons, Excel's encoding and empty cells are understood. Look at the
# number of rows first: is it the one you expect?

# %%
from course import Codebook, adjudicate, agreement, annotate, code_by_hand
from course import estimate, hub, load_dataset, methods, pipeline, plan, sample
from course import validate, widgets
from course.research import find_pii, pictures

path = "local_life"  # yours: "my_texts.csv"
text = "answer"  # yours: the column with the texts
table = load_dataset(path)
print(len(table), "rows,", table[text].isna().sum(), "without a text")
find_pii(table[text])["kind"].value_counts().to_frame("flagged")

# %% [markdown]
# *What we see.* What looks like a name, a number or an address is flagged, not removed. Look at it before you show
# a text to anybody.
#
# Before you write labels, look at what is there. What the encoder takes for alike lies close together: move the slider,
# and read a text and its nearest.

# %%
some = table[text].dropna().head(300)
reader = pipeline("feature-extraction", model="pocket/encoder", pooling="mean")
widgets.embedding_map(reader(list(some)), some)

# %% [markdown]
# *What we see.* No topics, only neighbours. A crowd of points may be a label, a phrase that everybody uses, or a language.
#
# ## 2. The codebook
#
# Write labels that exclude each other, each with what is in and what is out. Ten minutes here save a day later.

# %%
book = Codebook.read(hub.DATASETS / "local_life.md")  # yours: "codebook.yml"
print(book.hash, "·", ", ".join(book))

# %% [markdown]
# ## 3. Code by hand, two people, blind
#
# Draw a pilot to argue about. Both code it alone; then lesson 10, section 3. When the rules hold, freeze the codebook.

# %%
pilot = sample(table, 30, seed=1, part="train")
mine = code_by_hand(pilot, text, book, coder="me")
mine

# %% [markdown]
# The stand-in has codes already; with your own table, `read_codes(test, book, anna="codes_anna.csv", …)` brings
# them in. How far do the coders agree?

# %%
test = sample(table, 200, by=None, seed=2)  # yours: by= a column of strata
coders = ["topic_a", "topic_b"]  # yours: the columns of the coders
people = agreement(test, coders, level=book.level, labels=list(book))
print(*people.advice, sep="\n")
pictures.agreement_plot(people)

# %% [markdown]
# ## 4. One code a text
#
# Talk about the disagreements, or let a third person decide. What stays open stays missing.

# %%
gold = adjudicate(test, coders, "third", third="topic_c")  # yours: the rule
gold["settled"].value_counts().to_frame()

# %% [markdown]
# ## 5. The machine
#
# The method `similarity` needs no training. With some hundred hand codes of their own, `few-shot` is better: draw them
# with `part="train"`, apart from the test.

# %%
machine = annotate(table, text, book, method="similarity")
print(machine.attrs["record"]["texts_per_second"], "texts per second")
machine[[text, "label", "margin"]].head(3).round(2)

# %% [markdown]
# ## 6. Is it good enough, and for whom?

# %%
report = validate(machine, gold, by=["area"])  # yours: groups that you compare
print(*report.notes[:3], sep="\n")
report[["label", "coded", "recall", "recall_low", "recall_high", "f1"]].round(2)

# %%
pictures.confusion_plot(report)

# %% [markdown]
# The same without what is right. Press a number and read the texts behind it, before you explain an error.

# %%
errors = report.errors
widgets.confusion_explorer(errors["gold"], errors["label"], errors[text])

# %% [markdown]
# ## 7. The claim
#
# One formula, three rows. If the corrected interval is too wide for your question, `plan` says how many hand codes
# would do.

# %%
formula, cluster = "transport ~ area", "respondent"  # yours
result = estimate(formula, machine, gold, cluster=cluster, target="beyond")
print(plan(report, "transport", width=0.05))
pictures.estimate_plot(result)

# %% [markdown]
# ## 8. What you will print

# %%
import textwrap

text = methods(book, people, report, result, rule="a third coder")
print(textwrap.fill(text, 78))

# %% [markdown]
# ## Recap
#
# - What is printed as NOT REPORTED is your list for tomorrow.
# - Keep the table, the codebook, the record and this notebook together: they are the study.
#
# **To discuss.** Who else could repeat this with what you keep? · Which of your sentences would change with another
# coder? · What did the people who wrote the texts agree to?
