# %% [markdown]
# # Coding with a codebook
#
# > One answer says that the bus stopped coming, another that lorries wake the children at five. Both are "about
# > traffic". Who decides where they belong, and can a machine be told the decision?
#
# You will be able to
#
# - write a codebook as an object that people and models read, and see what changed between two versions;
# - code texts in the notebook, blind to what others said, and lose nothing in a crash;
# - find the disagreements that a rule could settle, and settle the rest in the open;
# - let a model code under the same words, and notice how much the words do;
# - freeze the codebook and draw a test sample whose probabilities are known.
#
# 60 minutes · data: `local_life`, 900 open answers with two coders · model: `pocket/encoder` · memory: under 0.8 GB ·
# no network needed · builds on lessons 1 and 4

# %% [markdown]
# ## 1. The instrument
#
# A codebook is to an open answer what a questionnaire is to an opinion: the instrument. Change a word, and you
# measure something else. So it is one object, with one version number, and everybody reads from it.

# %%
from course import Codebook, adjudicate, annotate, code_by_hand, disagreements
from course import hub, load_dataset, plots, sample, widgets
from course.checks import lesson_10 as checks

first = Codebook("traffic", "What does this answer complain about?", {
    "transport": "getting from one place to another",
    "environment": "nature, air, water, noise, rubbish",
    "safety": "crime, violence, fear"})
first

# %% [markdown]
# *What we see.* The text below the first line is what a coder gets to read, and word for word what a language model
# would get. The **version** changes with every comma, so a result can say under which rules it was made.
#
# *"Lorries thunder past from five in the morning, the windows rattle."* Transport or environment? The codebook does
# not say; the coder will, silently, and tomorrow perhaps differently.
#
# ### Exercise 1 · level 1 of 3 · 8 minutes
#
# Write the rule down. Make `second`: the same three labels, but whoever reads it knows where the **noise** of traffic
# belongs. `Label(name, definition, include=…, exclude=…)` has room for doubtful cases.
#
# <details><summary>Hint</summary>A rule has two ends: what one label takes in, another one gives away.</details>
# <details><summary>Bigger hint</summary><code>Label("environment", "nature, …", include="noise of traffic")</code>, and
# an <code>exclude</code> for transport.</details>

# %% tags=["exercise", "check"]
from course.research import Label

second = ...  # your code here
### BEGIN SOLUTION
second = Codebook("traffic", "What does this answer complain about?", [
    Label("transport", "getting from one place to another",
          exclude="noise of traffic"),
    Label("environment", "nature, air, water, noise, rubbish",
          include="noise of traffic, also of lorries and trains"),
    Label("safety", "crime, violence, fear")])
print(*second.diff(first), sep="\n")
### END SOLUTION
checks.rule(second, first)

# %% [markdown]
# ## 2. Code by hand
#
# Twelve answers, drawn at random, marked `train`: we will shape our rules on them, so they may never test anything.

# %%
book = Codebook.read(hub.DATASETS / "local_life.md")
survey = load_dataset("local_life")
answers = survey[survey["language"] == "en"].dropna(subset="answer")
pilot = sample(answers, 12, seed=4, part="train")
coding = code_by_hand(pilot, "answer", book, coder="me")
coding

# %% [markdown]
# *What we see.* An editor: click a label or type its key; `s` skips, `u` takes back, `?` marks a doubt. It shows the
# answer and nothing else, no age, no place, and not what the others thought. Each decision is saved at once in
# `codes_me.csv`; run the cell again tomorrow and you go on where you stopped. (On a page without a running kernel the
# buttons are missing.)
#
# Your codes are a column beside the texts. Missing means missing: a skipped answer is no "other".

# %%
coding.table[["answer", "topic_a", "me"]].tail(4)

# %% [markdown]
# ## 3. Where people differ
#
# Coders A and B read all 900 answers, each alone. On which ones do they part?

# %%
queue = disagreements(survey, ["topic_a", "topic_b"], book)
pairs = queue["labels"].value_counts().head(8)
print(len(queue), "of", len(survey), "answers")
plots.bars(list(pairs.index), pairs, "What is confused with what", decimals=0)

# %% [markdown]
# *What we see.* Not noise, but a pattern: a few pairs make most of it. Press the number of a pair and read its answers,
# and the rule that is missing writes itself.

# %%
widgets.confusion_explorer(survey["topic_a"], survey["topic_b"],
                           survey["answer"], sides=("coder A", "coder B"))

# %% [markdown]
# ### Exercise 2 · level 2 of 3 · 10 minutes
#
# Suppose one new rule settled the most frequent pair completely. On what **share** of the 900 answers would A and B
# then agree?
#
# <details><summary>Hint</summary>What do they agree on today? Which number is added?</details>
# <details><summary>Bigger hint</summary><code>pairs.iloc[0]</code> is how many answers the rule would settle.</details>

# %% tags=["exercise", "check"]
with_rule = ...  # your code here
### BEGIN SOLUTION
with_rule = 1 - (len(queue) - pairs.iloc[0]) / len(survey)
print(f"{1 - len(queue) / len(survey):.3f} -> {with_rule:.3f}")
### END SOLUTION
checks.after_the_rule(with_rule, survey)

# %% [markdown]
# What no rule settles is decided in the open. C, who read every fourth respondent, may be the third voice; where C
# did not read, the answer stays open. Every original code stays in the table.

# %%
settled = adjudicate(survey, ["topic_a", "topic_b"], "third", third="topic_c")
settled["settled"].value_counts().to_frame()

# %% [markdown]
# ## 4. The machine reads the same words
#
# `annotate` gives every answer a label and a probability for *each* label of the codebook. The method `similarity`
# compares the answer's [embedding](../lessons/glossary.ipynb#embedding) with that of the label's words; nothing is
# trained. First it reads only the names of the labels.

# %%
changes = survey[survey["question"] == "change"]
by_name = annotate(changes, "answer", book, method="similarity", style="name")
by_name[["answer", "topic_a", "label", "margin"]].head(4).round(2)

# %% [markdown]
# The same model, the same answers; now it reads the definitions, too.

# %%
by_definition = annotate(changes, "answer", book, method="similarity")
by_definition[["answer", "topic_a", "label", "margin"]].head(4).round(2)

# %% [markdown]
# ### Exercise 3 · level 2 of 3 · 8 minutes
#
# On what share of the answers *that have a label* does the machine agree with coder A, under names and under
# definitions?
#
# <details><summary>Hint</summary>An empty answer has no label, and no part in the share.</details>
# <details><summary>Bigger hint</summary><code>rows = table[table["valid"]]</code>, then compare two columns.</details>

# %% tags=["exercise", "check"]
share_name, share_definition = ..., ...  # your code here
### BEGIN SOLUTION
def share(table):
    rows = table[table["valid"]]
    return (rows["label"] == rows["topic_a"]).mean()

share_name, share_definition = share(by_name), share(by_definition)
print(f"{share_name:.2f} by names, {share_definition:.2f} by definitions")
### END SOLUTION
checks.words_matter(share_name, share_definition, by_name, by_definition)

# %% [markdown]
# *What we see.* A codebook is a lever. But we have now compared two wordings on these very answers: if we report the
# better share, we report our luck as well. And the empty answers?

# %%
empty = by_definition[~by_definition["valid"]]
empty[["answer", "topic_a", "label", "p_other"]].head(3)

# %% [markdown]
# *What we see.* Coder A wrote *other*; the machine wrote nothing, because nobody said anything. "Other" is an answer
# that fits no label. Silence is another thing; a study that mixes them counts silence as an opinion.
#
# ## 5. Freeze, then draw
#
# From here on the codebook does not change. What is frozen has a number, and every run leaves a record.

# %%
record = by_definition.attrs["record"]
keep = ("model", "revision", "method", "style", "codebook_hash", "seed")
pd.Series({key: record[key] for key in keep}, name="record").to_frame()

# %% [markdown]
# Now the test sample: 200 answers at random within each question. The column `pi` is the probability with which an
# answer was drawn. It looks dull and carries everything: without it nobody can say what 200 answers tell about 900.

# %%
test = sample(survey, 200, by="question", seed=7)
test.groupby("stratum")["pi"].agg(["size", "mean"]).round(3)

# %% [markdown]
# ### Exercise 4 · level 3 of 3 · 8 minutes
#
# A colleague draws differently: 25 answers from each kind of `area`, "so that villages are not forgotten". Draw that
# sample as `even`. How many answers of the survey does one **village** answer in it stand for?
#
# <details><summary>Hint</summary><code>sample(…, equal=True)</code> takes the same number from each stratum.</details>
# <details><summary>Bigger hint</summary>An answer drawn with probability <code>pi</code> stands for
# <code>1 / pi</code> answers.</details>

# %% tags=["exercise", "check"]
even, stands_for = ..., ...  # your code here
### BEGIN SOLUTION
even = sample(survey, 100, by="area", equal=True, seed=7)
stands_for = 1 / even[even["area"] == "village"]["pi"].iloc[0]
print(f"one village answer stands for {stands_for:.1f}")
### END SOLUTION
checks.stands_for(even, stands_for, survey)

# %% [markdown]
# ## Recap
#
# - A codebook is an instrument with a version; people and models read the same words.
# - Disagreement is information: most of it sits in a few pairs, and a rule can settle those.
# - Missing stays missing. "Other" is a code, silence is not.
# - The texts on which you polished the rules are spent; the test sample is drawn after the freeze, with `pi`.
#
# **To discuss.** Is a plain wish ("more trees!") a complaint? Where would your codebook say so? · Should the machine
# get to read examples that coders do not see? · Who should be the third voice, and what if it is always the senior
# one?
#
# **The same with a research model.** `annotate(…, method="zero-shot", model="facebook/bart-large-mnli")` downloads 1.6
# GB once and judges whether the answer entails each definition; its authors report an accuracy of about 0.90 on MNLI.
# Lesson 11 asks whether any of this is good enough.
