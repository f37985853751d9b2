# %% [markdown]
# # Summary of the tasks
#
# > Who is spoken of, which place, what was said in another language? Each of these is one line. What happens inside the
# > line, how is it scored, and what does it get wrong?
#
# You will be able to
#
# - find names in a text, draw them in it, and count them over a survey;
# - say what stands between the scores of tokens and a name;
# - translate, first in one line, then with `generate`, and score a translation;
# - fill a gap, and see that this task is the school of the others;
# - name, for each task, the mistake to look for first.
#
# 55 minutes · data: `local_life`, and sentences invented for this lesson · models: `pocket/ner`, `pocket/translator`,
# `pocket/encoder` · memory: under 1 GB · no network needed · builds on lessons 1 and 2

# %% [markdown]
# ## 1. Names in a text
#
# `ner` stands for named entity recognition: which words name a person (PER), a place (LOC), an organisation (ORG) or
# something else with a name (MISC)?

# %%
from course import AutoTokenizer, load_dataset, pipeline, plots
from course.checks import lesson_03 as checks

ner = pipeline("ner", model="pocket/ner", aggregation_strategy="simple")

# %%
text = ("Anna Berg left Port Sarn for Tamsin in May, "
        "and Harbourside Housing kept her deposit.")
plots.Spans(text, ner(text))

# %% [markdown]
# *What we see.* Each name with its label behind it. *Harbourside Housing* is a landlord: how much of it was found, and as
# what? A small model knows the forms of names, not the town. Look into the result:

# %%
pd.DataFrame(ner(text)).round(2)

# %% [markdown]
# *What we see.* A score, and `start` and `end`, the letters at which the name begins and stops in the text. With them
# a finding can always be shown in its context.
#
# Over a column, `frame` keeps each finding beside its row; an answer with two names has two rows, one without has an
# empty one.

# %%
survey = load_dataset("local_life").query("language == 'en'").head(90)
names = ner.frame(survey["answer"]).dropna()
names[["entity_group", "word", "score"]].head(6).round(2)

# %% [markdown]
# ### Exercise 1 · level 1 of 3 · 5 minutes
#
# Which **places** do these people name? Make the list `places` of all words in `names` whose group is LOC and whose
# score is above 0.6.
#
# <details><summary>Hint</summary><code>names.query("score > 0.6")</code> keeps some rows; two conditions are joined by
# <code>and</code>.</details>
# <details><summary>Bigger hint</summary><code>names.query("entity_group == 'LOC' and score > 0.6")["word"]</code> is a
# column; <code>list(…)</code> makes a list of it.</details>

# %% tags=["exercise", "check"]
places = ...  # your code here
### BEGIN SOLUTION
places = list(names.query("entity_group == 'LOC' and score > 0.6")["word"])
print(places)
### END SOLUTION
checks.places(places, names)

# %% [markdown]
# ## 2. The same by hand
#
# The model gives each [token](../lessons/glossary.ipynb#token) one score a label. `B-` begins a name, `I-` continues it, `O` is outside.

# %%
tokenizer = AutoTokenizer.from_pretrained("pocket/ner")
encoded = tokenizer(text, return_tensors="pt")
with torch.inference_mode():
    chances = ner.model(**encoded).logits[0].softmax(-1)
labels = [ner.model.config.id2label[int(place)] for place in chances.argmax(-1)]

# %%
score = chances.amax(-1).numpy().round(2)
pd.DataFrame({"label": labels, "score": score}, index=encoded.tokens())[1:12]

# %% [markdown]
# *What we see.* What the pipeline adds is the joining: tokens of one word, then neighbours of one group, become a name
# with the mean of their scores. How to join is a choice, `aggregation_strategy`.
#
# *How it is scored.* By whole names: a name counts as found when its beginning, its end and its group are right. The
# share of found names that are right is called **precision**, the share of right names that were found **recall**, and
# F1 is between the two. *What it gets wrong first:* names of organisations, and names in texts without capitals.
#
# ### Exercise 2 · level 2 of 3 · 8 minutes
#
# A colleague has marked the names of some answers. Write `precision(found, marked)`: the share of the names in `found`
# that are also in `marked`. Both are lists like `[("tamsin", "LOC"), ("anna", "PER")]`. When nothing was found, it is 0.
#
# <details><summary>Hint</summary><code>name in marked</code> is True or False.</details>
# <details><summary>Bigger hint</summary>Count with <code>sum(name in marked for name in found)</code>, and divide by
# <code>len(found)</code> if there is something to divide by.</details>

# %% tags=["exercise", "check"]
def precision(found, marked):
    return ...  # your code here
    ### BEGIN SOLUTION
    if not found:
        return 0
    return sum(name in marked for name in found) / len(found)

found = [(one["word"], one["entity_group"]) for one in ner(text)]
marked = [("anna berg", "PER"), ("port sarn", "LOC"), ("tamsin", "LOC"),
          ("harbourside housing", "ORG")]
print(round(precision(found, marked), 2))
### END SOLUTION
checks.precision(precision)

# %% [markdown]
# ## 3. Translation
#
# A [seq2seq](../lessons/glossary.ipynb#seq2seq) model reads one text and writes another. This one learned English to German from everyday sentences.

# %%
translate = pipeline("translation_en_to_de", model="pocket/translator")
sentences = ["My mother visits us every week.", "The rent is too high.",
             "We need more buses in the evening."]
written = [one["translation_text"] for one in translate(sentences)]
pd.DataFrame({"English": sentences, "German": written})

# %% [markdown]
# *What we see.* German words in German order, and not always the meaning; who reads no German may not notice. By hand it
# is tokens in, `generate`, tokens out. The model writes one token after another until it writes its sign for the end.

# %%
reader = translate.tokenizer
ids = reader(sentences[0], return_tensors="pt")["input_ids"]
ids_written = translate.model.generate(ids, num_beams=1, max_new_tokens=20)[0]
print(reader.convert_ids_to_tokens(ids_written))
print(reader.decode(ids_written, skip_special_tokens=True))

# %% [markdown]
# *What we see.* The start token, then the pieces as they were written. How to choose each (`num_beams`, chance or not) is a
# matter of its own: lesson 8.
#
# *How it is scored.* By comparing with the translation of a person: how many words, and how many neighbours of two, three
# and four words, does it share? That is **BLEU**. *What it gets wrong first:* it writes fluently where it has not
# understood, and gives people the gender that is frequent in its texts.
#
# ### Exercise 3 · level 2 of 3 · 8 minutes
#
# BLEU begins with words. Write `overlap(written, reference)`: the share of the words of a translation that also stand in
# the reference. Capitals and the sign at the end do not count.
#
# <details><summary>Hint</summary><code>text.lower().strip(".!?").split()</code> makes comparable words.</details>
# <details><summary>Bigger hint</summary>Make both lists of words, count those of the first that are
# <code>in</code> the second, and divide by the length of the first.</details>

# %% tags=["exercise", "check"]
def overlap(written, reference):
    return ...  # your code here
    ### BEGIN SOLUTION
    ours = written.lower().strip(".!?").split()
    theirs = reference.lower().strip(".!?").split()
    return sum(word in theirs for word in ours) / len(ours)

people = ["Meine Mutter besucht uns jede Woche.", "Die Miete ist zu hoch.",
          "Wir brauchen abends mehr Busse."]
print([round(overlap(*pair), 2) for pair in zip(written, people, strict=True)])
### END SOLUTION
checks.overlap(overlap)

# %% [markdown]
# ## 4. The school of the others
#
# Most such models began with a gap, by [MLM](../lessons/glossary.ipynb#MLM), or with a next word (lesson 2); only then did
# they learn a task.

# %%
unmask = pipeline("fill-mask", model="pocket/encoder")
gaps = ("She moved to [MASK] last year.", "He works as a [MASK] in town.")
pd.DataFrame({gap: [one["token_str"] for one in unmask(gap)] for gap in gaps})

# %% [markdown]
# *What we see.* To fill the first gap well one has to know that a place is meant: that is half of finding names.
#
# *How it is scored.* By **perplexity**: among how many words, on average, does the model hesitate? *What it gets wrong
# first:* it repeats the world of its texts, with their cities and their professions.
#
# The same form have `question-answering`, `zero-shot-classification` (labels that you invent), `summarization` and
# `text-generation`; try `pipeline("zero-shot-classification")(text, candidate_labels=["housing", "transport"])`. A
# section on each is to come.

# %%
steps = [("fill a gap", "text alone"), ("learn a task", "coded examples"),
         ("score it", "texts never seen"), ("use it", "and keep looking")]
plots.flow(steps, "From a task to a measurement")

# %% [markdown]
# ## What we learned
#
# A task is a form of answer: a label a text, a label a token, a text for a text. The pipeline joins, the score says
# what counts as right, and every task has a mistake that it makes first.
#
# **To discuss**
#
# 1. You count named places in 10,000 speeches. Which places does the count miss, and is that random?
# 2. May interviews be translated by a machine before they are coded? Who should read both versions?
# 3. Two programs have an F1 of 0.9. On which texts was each measured?
#
# ## The same with a research model
#
# ```python
# ner = pipeline("ner", model="dbmdz/bert-large-cased-finetuned-conll03-english")
# ```
#
# A download of 1.3 GB. Its published F1 on news of 2003 is about 0.93; on other texts, measure.
