# %% [markdown]
# # Machine labels in estimates, and writing it down
#
# > Do people in villages and suburbs talk more about transport than people in towns? A model has read all the answers
# > under two different wordings, and both times it says the same. It is wrong both times.
#
# You will be able to
#
# - show that analyses can agree with each other and miss the truth together;
# - correct an estimate with hand codes of a random sample, and read the three rows that come out;
# - say what the weight of the machine does, and when hand codes alone are better;
# - plan how many hand codes a given precision needs, with and without a machine;
# - write a methods paragraph in which every number comes from a record.
#
# 60 minutes · data: `local_life`, coder A on all answers plays the truth · model: `pocket/encoder` · memory: under
# 0.8 GB · no network needed · builds on lessons 10 and 11

# %% [markdown]
# ## 1. Stable and wrong
#
# Villages and suburbs on one side, city and small towns on the other: by how much does the share of answers about
# transport differ? Coder A has read everything, so for once we know.

# %%
from course import Codebook, agreement, annotate, estimate, hub, load_dataset
from course import methods, multiverse, plan, sample, validate, widgets
from course.checks import lesson_12 as checks
from course.research import pictures

survey = load_dataset("local_life").dropna(subset="answer")
survey["far"] = survey["area"].isin(["village", "suburb"]) * 1.0
transport = survey["topic_a"] == "transport"
shares = transport.groupby(survey["far"]).mean()
truth = shares[1.0] - shares[0.0]
print(f"{shares[0.0]:.3f} and {shares[1.0]:.3f}: a difference of {truth:+.3f}")

# %% [markdown]
# In a real study nobody has read everything. A machine has. Here it is with the definitions of the codebook:

# %%
book = Codebook.read(hub.DATASETS / "local_life.md")
machine = annotate(survey, "answer", book, method="similarity")
called = machine["label"] == "transport"
called.groupby(survey["far"]).mean().round(3).to_frame("says transport")

# %% [markdown]
# Both shares are off, and the difference has shrunk. Where does it go? Press a number and read what the machine read.

# %%
names = ["another topic", "transport"]
widgets.confusion_explorer(transport, called, survey["answer"], names)

# %% [markdown]
# *What we see.* Two kinds of error. What it misses is lost on both sides; what it calls transport without reason comes
# from both sides. Either makes the sides more alike than they are.
#
# ### Exercise 1 · level 1 of 3 · 6 minutes
#
# Compute the **naive** difference from the machine's labels, the share of A's transport answers that it **missed**, and
# the share of all other answers that it calls transport by **false_alarm**.
#
# <details><summary>Hint</summary><code>called[transport]</code> are the machine's decisions on the answers that A calls
# transport; <code>called[~transport]</code> those on all others.</details>
# <details><summary>Bigger hint</summary>The mean of True and False is a share.</details>

# %% tags=["exercise", "check"]
naive, missed, false_alarm = ..., ..., ...  # your code here
### BEGIN SOLUTION
by_side = called.groupby(survey["far"]).mean()
naive = by_side[1.0] - by_side[0.0]
missed = 1 - called[transport].mean()
false_alarm = called[~transport].mean()
print(f"{naive:+.3f}; missed {missed:.2f}, false alarms {false_alarm:.2f}")
left = 1 - missed - false_alarm
print(f"{truth:+.3f} x {left:.2f} = {truth * left:+.3f}")
### END SOLUTION
checks.naive(naive, missed, false_alarm, machine, survey)

# %% [markdown]
# Perhaps it was this wording? A careful reader asks for robustness, so we try others, and draw 200 answers to be
# coded by hand, to which we come in a moment.

# %%
gold = sample(survey, 200, seed=11)
paths = multiverse(survey, "answer", book, "transport ~ far", gold,
                   styles=["name", "definition"], gold_label="topic_a",
                   target="corpus")
pictures.curve_plot(paths, truth=truth)

# %% [markdown]
# *What we see.* The squares sit close together, and their intervals leave the dashed truth out. They agree because
# they share what is wrong with them: one model, one blind spot. An interval around a naive estimate knows about the
# number of texts; it knows nothing about the errors.
#
# ## 2. What 200 hand codes add
#
# The hand codes are a random sample, so they measure how the machine errs, on each side. `estimate` takes that
# error out (Egami et al. 2023; Angelopoulos et al. 2023).

# %%
result = estimate("transport ~ far", machine, gold, gold_label="topic_a",
                  target="corpus")
far = result[result["term"] == "far"]
far[["method", "estimate", "se", "low", "high", "lambda"]].round(3)

# %%
pictures.estimate_plot(result, "far", truth=truth)

# %% [markdown]
# *What we see.* The naive row is precise about the wrong number. Hand codes alone are right on average and wide. The
# corrected row is right on average and less wide: the machine did the part of the work that it can do.
#
# ### Exercise 2 · level 2 of 3 · 8 minutes
#
# How many hand codes *alone* would give the standard error of the corrected row? A standard error shrinks with the
# square root of the number.
#
# <details><summary>Hint</summary>Half the standard error needs four times the codes.</details>
# <details><summary>Bigger hint</summary>200 times the square of the ratio of the two standard errors.</details>

# %% tags=["exercise", "check"]
worth = ...  # your code here
### BEGIN SOLUTION
se = far.set_index("method")["se"]
worth = 200 * (se["hand codes only"] / se["corrected"]) ** 2
print(f"{worth:.0f} hand codes")
### END SOLUTION
checks.worth(worth, far)

# %% [markdown]
# ## 3. How much weight for the machine?
#
# `lambda` is that weight: 0 is hand codes only, 1 trusts the machine's pattern fully (and is then corrected by the
# hand codes). By default it is chosen so that the standard error is smallest.

# %%
def errors(table):
    found = {}
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        rows = estimate("transport ~ far", table, gold, gold_label="topic_a",
                        target="corpus", weight=weight)
        found[weight] = rows[rows["term"] == "far"]["se"].iloc[-1]
    return pd.Series(found, name="standard error").round(4)

errors(machine)

# %% [markdown]
# ### Exercise 3 · level 3 of 3 · 10 minutes
#
# Now a machine that has learned nothing: `guessing`, the same table with its labels shuffled
# (`machine["label"].sample(frac=1, random_state=0).to_numpy()`). Which **weight** of the five is best for it, and by how
# much larger is its standard error at weight 1 (`loss`, a ratio to weight 0)?
#
# <details><summary>Hint</summary><code>guessing = machine.assign(label=…)</code>, then
# <code>errors(guessing)</code>.</details>
# <details><summary>Bigger hint</summary><code>idxmin()</code> of a series gives the weight; divide two of its
# values.</details>

# %% tags=["exercise", "check"]
weight, loss = ..., ...  # your code here
### BEGIN SOLUTION
shuffled = machine["label"].sample(frac=1, random_state=0).to_numpy()
found = errors(machine.assign(label=shuffled))
weight, loss = found.idxmin(), found[1.0] / found[0.0]
print(found.to_dict(), weight, round(loss, 2))
### END SOLUTION
checks.guessing(weight, loss, machine, gold)

# %% [markdown]
# ## 4. Planning with a machine
#
# After a pilot we know how closely machine and hand go together. How many hand codes for the share of transport to ±
# 3 points?

# %%
report = validate(machine, gold, gold_label="topic_a")
plan(report, "transport", width=0.03)

# %% [markdown]
# *What we see.* The machine saves some hand codes; it replaces none of them. A better model saves more.
#
# Is the answer about these texts or about people like these? Above it was these texts (`target="corpus"`); the other
# question has a wider interval, and respondents, not answers, are what was drawn.

# %%
people = estimate("transport ~ far", machine, gold, gold_label="topic_a",
                  target="beyond", cluster="respondent")
people[people["term"] == "far"][["method", "estimate", "low", "high"]].round(3)

# %% [markdown]
# ## 5. Writing it down
#
# Everything that was done has left a record. `methods` writes the paragraph from the records alone.

# %%
import textwrap

coders = agreement(survey, ["topic_a", "topic_b"], cluster="respondent")
text = methods(book, coders, report, result, paths)
print(textwrap.fill(text, 78))

# %% [markdown]
# *What we see.* Numbers where there is a record, and NOT REPORTED where there is none. Such a paragraph is hard to
# argue with, which is why it must be true.
#
# ### Exercise 4 · level 2 of 3 · 8 minutes
#
# Fill the gaps with what is true of this lesson: call `methods` once more with `rule=` (whose code counted when A
# and B differed?) and `frozen=` (was the prompt fixed before the test sample was drawn, or after?).
#
# <details><summary>Hint</summary>The hand codes above came from one column. Nobody resolved anything.</details>
# <details><summary>Bigger hint</summary>In section 1 two wordings were tried on the very answers that were then
# used to correct.</details>

# %% tags=["exercise", "check"]
paragraph = ...  # your code here
### BEGIN SOLUTION
paragraph = methods(book, coders, report, result, paths,
                    rule="taking the code of coder A, so not at all",
                    frozen="only after two wordings had met the test sample")
print(textwrap.fill(paragraph, 78))
### END SOLUTION
checks.paragraph(paragraph, book, result)

# %% [markdown]
# ## Recap
#
# - Analyses that agree can be wrong together; an interval around a naive estimate does not know of errors.
# - A random sample of hand codes, with its probabilities, takes the machine's error out. It cannot repair a codebook.
# - A poor machine gets little weight; then hand codes do the work.
# - The texts that chose the wording should not be those that correct.
#
# **To discuss.** Corrected p = .06, naive p = .01: which do you print? · Errors cancel out on average: in which group? ·
# My corrected interval is wider than the naive one. Have I lost?
#
# **The same with a research model.** The three rows stay the same; only `annotate` changes. With a model that is
# right in 90 % of the texts, λ rises and 200 hand codes do the work of several hundred. They are still needed.
