# %% [markdown]
# # Agreement and validation
#
# > Two coders agree on 94 % of the texts, and the coefficient says they might as well have thrown dice. A model agrees
# > with one of them as often as the other coder does. When is a coder, or a model, good enough?
#
# You will be able to
#
# - compute percent agreement and kappa by hand, and say when they contradict each other and why;
# - use every code that there is, instead of dropping the texts that one coder has not read;
# - put an interval around a coefficient, resampling what was really drawn;
# - validate a model label by label on a sample with known probabilities, and see the texts behind an error;
# - plan how many texts to code, before and after a pilot.
#
# 60 minutes · data: `local_life`, three coders · model: `pocket/encoder` · memory: under 0.8 GB · no network needed ·
# builds on lesson 10

# %% [markdown]
# ## 1. Two numbers that quarrel
#
# Two coders searched 125 speeches for incitement. They found it where the table says; nearly always there was none.

# %%
from course import Codebook, agreement, annotate, hub, load_dataset
from course import plan, sample, validate, widgets
from course.checks import lesson_11 as checks
from course.research import pictures

speeches = pd.DataFrame([[118, 5], [2, 0]], index=["A: none", "A: some"],
                        columns=["B: none", "B: some"])
speeches

# %% [markdown]
# *What we see.* 118 agreements, all on "none". Of the seven speeches in which one of them saw something, they share
# not a single one.
#
# ### Exercise 1 · level 1 of 3 · 8 minutes
#
# Compute the **percent** agreement as a share, the share that two coders with these habits would agree on **by
# chance**, and from both Cohen's kappa, `(percent - chance) / (1 - chance)`.
#
# <details><summary>Hint</summary>By chance both say none with the product of A's and B's share of none; the same for
# some. Add the two.</details>
# <details><summary>Bigger hint</summary>A says none in 123 of 125, B in 120 of 125.</details>

# %% tags=["exercise", "check"]
percent, chance, kappa = ..., ..., ...  # your code here
### BEGIN SOLUTION
percent = (118 + 0) / 125
chance = (123 / 125) * (120 / 125) + (2 / 125) * (5 / 125)
kappa = (percent - chance) / (1 - chance)
print(f"{percent:.3f}, {chance:.3f}, {kappa:.3f}")
### END SOLUTION
checks.paradox(percent, chance, kappa)

# %% [markdown]
# *What we see.* Whoever says "none" all day agrees with everybody who does the same. Percent counts that as success,
# kappa counts none of it. Neither is wrong: they answer different questions. `agreement` prints them side by side and
# says so. It wants a row a text and a column a coder:

# %%
cells = [("none", "none", 118), ("none", "some", 5), ("some", "none", 2)]
rows = [(a, b) for a, b, times in cells for _ in range(times)]
speech = agreement(pd.DataFrame(rows, columns=["A", "B"]), ["A", "B"])
print(*speech.advice, sep="\n")
speech.drop(columns=["level", "coders"]).round(2)

# %% [markdown]
# ## 2. The third coder read a quarter
#
# Back to the survey. A and B read all 900 answers, C every fourth respondent. Krippendorff's **alpha** takes any
# number of coders and lets codes be missing.

# %%
survey = load_dataset("local_life")
topics = ["topic_a", "topic_b", "topic_c"]
all_codes = agreement(survey, topics)
all_codes[["coefficient", "value", "low", "high", "units"]].round(3)

# %% [markdown]
# ### Exercise 2 · level 2 of 3 · 8 minutes
#
# Much software drops every text that one coder has not read. Compute **alpha** in that way (`dropped`), and how many
# **codes** this throws away (`thrown`): a code is one cell of the three columns that is not empty.
#
# <details><summary>Hint</summary><code>survey.dropna(subset=topics)</code> keeps the complete rows.</details>
# <details><summary>Bigger hint</summary><code>table.set_index("coefficient")["value"]["alpha"]</code>, and
# <code>survey[topics].notna().to_numpy().sum()</code> before and after.</details>

# %% tags=["exercise", "check"]
dropped, thrown = ..., ...  # your code here
### BEGIN SOLUTION
complete = survey.dropna(subset=topics)
table = agreement(complete, topics).set_index("coefficient")
dropped = table["value"]["alpha"]
thrown = survey[topics].notna().to_numpy().sum() - 3 * len(complete)
print(f"alpha {dropped:.3f} without {thrown} codes")
### END SOLUTION
checks.complete_cases(dropped, thrown, survey)

# %% [markdown]
# ## 3. How sure is the coefficient?
#
# A coefficient from 900 answers is itself an estimate. We draw 900 answers again and again from these, and look how
# far the coefficient moves. But were *answers* drawn? People were: each gave three.

# %%
by_person = agreement(survey, topics, cluster="respondent")
pictures.agreement_plot(by_person)

# %% [markdown]
# *What we see.* The interval is the news, not an adjective. Whether .76 is "substantial" depends on what you do with
# the codes; whether it could as well be .73 does not. Some labels are clear to everybody, others are not:

# %%
pictures.agreement_plot(by_person, by_label=True)

# %% [markdown]
# ## 4. Is the model good enough?
#
# The model reads the frozen codebook; 200 answers, drawn at random, are compared with the hand codes of coder A.

# %%
book = Codebook.read(hub.DATASETS / "local_life.md")
machine = annotate(survey, "answer", book, method="similarity")
gold = sample(survey, 200, by="question", seed=7)
report = validate(machine, gold, gold_label="topic_a", by=["area"])
report[["label", "coded", "recall", "recall_low", "recall_high", "f1"]].round(2)

# %% [markdown]
# *What we see.* One accuracy hides ten stories. Look at the widths: with a dozen hand codes, a recall says
# almost nothing, and the table admits it. Now the errors themselves.

# %%
pictures.confusion_plot(report)

# %% [markdown]
# A number in that table is a stack of answers. Read some before you explain it:

# %%
errors = report.errors
widgets.confusion_explorer(errors["gold"], errors["label"], errors["answer"])

# %% [markdown]
# ### Exercise 3 · level 3 of 3 · 12 minutes
#
# A colleague validates on the 200 answers on which the machine was least sure (smallest `margin`), "because errors
# are there". What **share** of these is right (`unsure`), and what share of *all* answers with a label (`overall`)?
# Compare with coder A.
#
# <details><summary>Hint</summary><code>machine.nsmallest(200, "margin")</code></details>
# <details><summary>Bigger hint</summary>Answers without a label have no margin: keep
# <code>machine[machine["valid"]]</code> first.</details>

# %% tags=["exercise", "check"]
unsure, overall = ..., ...  # your code here
### BEGIN SOLUTION
labelled = machine[machine["valid"]]
right = labelled["label"] == labelled["topic_a"]
overall = right.mean()
unsure = right[labelled.nsmallest(200, "margin").index].mean()
print(f"{unsure:.2f} of the least sure, {overall:.2f} of all")
### END SOLUTION
checks.least_sure(unsure, overall, machine)

# %% [markdown]
# Does a probability of .8 mean that eight of ten are right? And does the model read all groups equally well?

# %%
pictures.calibration_plot(report)

# %%
report.by_group.round(2)

# %% [markdown]
# *What we see.* The model is not as sure as it should be, or surer: the distance from the diagonal says which. Where
# accuracy differs between groups, a comparison of these groups is a comparison of errors, too: lesson 12.
#
# ## 5. How many more?
#
# Before a pilot we know nothing, and plan for the worst: a share of one half. After it we know the share, the size of
# the corpus, and how closely the machine follows the hand.

# %%
print("before:", plan(width=0.05), "of endless texts")
print("before:", plan(width=0.05, total=900), "of 900")
print("after: ", plan(report, "transport", width=0.05), "of 900")

# %% [markdown]
# ### Exercise 4 · level 2 of 3 · 6 minutes
#
# **Safety** is rare, about 5 % of the answers. You want its recall to be known to ± .10 and expect .80. How many answers
# *about safety* must be coded (`cases`), and how many answers at random to meet so many (`texts`)?
#
# <details><summary>Hint</summary>A recall is a share among the safety answers: <code>plan(width=…, share=…)</code>.</details>
# <details><summary>Bigger hint</summary>One in twenty of the random answers is about safety.</details>

# %% tags=["exercise", "check"]
cases, texts = ..., ...  # your code here
### BEGIN SOLUTION
cases = plan(width=0.10, share=0.80)["by hand"]
texts = cases / 0.05
print(cases, "cases, so", round(texts), "answers")
### END SOLUTION
checks.rare(cases, texts)

# %% [markdown]
# ## Recap
#
# - Percent counts what chance gives away, kappa and alpha do not; when they quarrel, look at the rare label.
# - Missing codes are used, not dropped; intervals resample what was drawn.
# - Validate on a random sample with known probabilities, label by label, and read the texts behind the errors.
# - Agreement is not validity: two coders, or six models, can share a mistake.
#
# **To discuss.** Human agreement is about .75: can a model reach .95 against coder A, and would you believe it? · Whose codes
# are the truth when A and B differ? · Would you publish a study with a recall of .5 for the label it is about?
#
# **The same with a research model.** Everything after `annotate` stays as it is: name a larger model there, such as
# `sentence-transformers/all-MiniLM-L6-v2` (91 MB) for `similarity`, and compare the two reports on the same sample.
