# %% [markdown]
# # Summary of the tasks
#
# > Do two people say the same? Who is spoken of, when does the pool close, what was said in another language? Each of
# > these is two lines. What happens inside them, how is it scored, and what does it get wrong?
#
# You will be able to
#
# - name the four forms of answer that a model can give, and use a pipeline for each;
# - repeat each by hand with tokenizer and model;
# - code survey answers with labels that nobody has trained, and compare with guessing;
# - say how each task is scored, and which mistake to look for first.
#
# 60 minutes · data: `local_life`, and texts invented for this lesson · models: `pocket/paraphrase`, `nli`, `ner`, `qa`,
# `encoder`, `generator`, `summarizer`, `translator` · memory: under 1 GB · no network needed · builds on lessons 1 and 2

# %%
from course import load_dataset, pipeline, plots, show_attention, widgets
from course.checks import lesson_03 as checks

def by_hand(pipe, *texts):
    inputs = pipe.tokenizer(*texts, return_tensors="pt")
    with torch.inference_mode():
        return inputs, pipe.model(**inputs)

# %% [markdown]
# *What we see.* Nothing yet: `by_hand` is what all reading tasks share. Text becomes numbers, numbers become scores. The
# tasks differ in what the scores are for.
#
# ## 1. A label for a text, or for two
#
# **Paraphrase**: do two sentences say the same? The model reads both at once, as a pair.

# %%
same = pipeline("text-classification", model="pocket/paraphrase")
pairs = [("The bus is often late.", "Buses rarely come on time."),
         ("They want a new school.", "A new school is what they want."),
         ("The clinic opens at eight.", "The clinic opens at nine."),
         ("The dog bit the postman.", "The postman bit the dog.")]
person = ["paraphrase", "paraphrase", "different", "different"]
table = pd.DataFrame(pairs, columns=["one", "the other"])
table.join(pd.DataFrame(same(pairs))).assign(person=person).round(2)

# %% [markdown]
# *What we see.* The model's label and a person's. *Scored* by **accuracy**, the share of equal labels. *Wrong first:*
# shared words look like shared meaning, whatever their order.
#
# **Zero-shot classification** codes with labels that you invent. It is a pair task too: does the answer *entail* "This
# text is about housing."? We code thirty survey answers and compare with coder A.

# %%
labels = ["housing", "transport", "health", "education"]
survey = load_dataset("local_life").query("language == 'en'")
survey = survey[survey["topic_a"].isin(labels)].head(30)
coder = pipeline("zero-shot-classification", candidate_labels=labels,
                 hypothesis_template="This text is about {}.")
coded = coder.frame(survey["answer"])["label"]
widgets.confusion_explorer(survey["topic_a"], coded, survey["answer"])

# %% [markdown]
# *What we see.* Rows: coder A; columns: the model. On the diagonal they agree; every other cell is a kind of mistake.
# Press a number and read its answers: would you have sided with coder A?
#
# Now both by hand: [softmax](../lessons/glossary.ipynb#softmax) over the two labels of a pair, then over the entailment of four
# hypotheses.

# %%
inputs, outputs = by_hand(same, *pairs[0])
print(same.model.config.id2label, outputs.logits.softmax(-1).tolist())

answer = survey["answer"].iloc[0]
scores = [by_hand(coder, answer, f"This text is about {label}.")[1].logits[0]
          for label in labels]
entailed = torch.stack(scores)[:, coder.entailment].softmax(0)
plots.probabilities(labels, entailed, answer[:60])

# %% [markdown]
# ### Exercise 1 · level 1 of 3 · 6 minutes
#
# On what share of the thirty answers do model and coder A agree (`accuracy`)? And what share would somebody get right who
# reads nothing and always says coder A's most frequent topic (`baseline`)?
#
# <details><summary>Hint</summary><code>coded == survey["topic_a"]</code> is True or False for each answer.</details>
# <details><summary>Bigger hint</summary><code>value_counts(normalize=True)</code> gives the share of each
# topic.</details>

# %% tags=["exercise", "check"]
accuracy, baseline = ..., ...  # your code here
### BEGIN SOLUTION
accuracy = (coded == survey["topic_a"]).mean()
baseline = survey["topic_a"].value_counts(normalize=True).max()
print(f"{accuracy:.0%}, by guessing {baseline:.0%}")
### END SOLUTION
checks.better_than_guessing(accuracy, baseline, coded, survey["topic_a"])

# %% [markdown]
# ## 2. A place in a text
#
# **Named entities** (`ner`): which words name a person (PER), a place (LOC), an organisation (ORG) or something else
# (MISC)?

# %%
ner = pipeline("ner", aggregation_strategy="simple")
text = ("Anna Berg left Port Sarn for Tamsin in May, "
        "and Harbourside Housing kept her deposit.")
plots.Spans(text, ner(text))

# %%
inputs, outputs = by_hand(ner, text)
chances = outputs.logits[0].softmax(-1)
tags = [ner.model.config.id2label[n] for n in chances.argmax(-1).tolist()]
pd.DataFrame({"tag": tags, "score": chances.amax(-1)}, inputs.tokens())[1:12]

# %% [markdown]
# *What we see.* By hand each [token](../lessons/glossary.ipynb#token) has a tag: `B-` begins a name, `I-` continues it, `O`
# is outside. The pipeline joins them. *Scored* by whole names: **precision** is the share of found names that are right,
# **recall** the share of right names that were found, F1 lies between. *Wrong first:* organisations, and texts without
# capitals.
#
# **Question answering** copies the part of a text that answers a question. It may find that none does.

# %%
brief = ("The swimming pool of Tamsin will close in March. The council voted "
         "for it on Tuesday, eight members to five. Repairs would cost two "
         "million euros. Parents have collected 900 signatures against it.")
asked = {"When will the pool close?": "in March",
         "What would the repairs cost?": "two million euros",
         "What is the mayor called?": "no answer"}
ask = pipeline("question-answering", handle_impossible_answer=True)
found = ask(question=list(asked), context=brief)
plots.Spans(brief, [one | {"entity": question} for question, one
                    in zip(asked, found, strict=True) if one["answer"]])

# %% [markdown]
# By hand: a score for each token to be the first of the answer, and one to be the last.

# %%
for question, person in asked.items():
    inputs, outputs = by_hand(ask, question, brief)
    first, last = outputs.start_logits.argmax(), outputs.end_logits.argmax()
    print(question, inputs.tokens()[first:last + 1], "person:", person)

# %% [markdown]
# *What we see.* `[CLS]` means no answer. By hand, nothing forbids an end before the start; the pipeline does. *Scored* by
# **exact match**, and by F1 over the shared words. *Wrong first:* it answers what the text does not say.
#
# ### Exercise 2 · level 2 of 3 · 8 minutes
#
# A colleague has marked the names of a text. Write `precision(found, marked)`: the share of the names in `found` that are
# also in `marked`. Both are lists like `[("Tamsin", "LOC"), ("Anna", "PER")]`. When nothing was found, it is 0.
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

names = [(one["word"], one["entity_group"]) for one in ner(text)]
marked = [("Anna Berg", "PER"), ("Port Sarn", "LOC"), ("Tamsin", "LOC"),
          ("Harbourside Housing", "ORG")]
print(round(precision(names, marked), 2))
### END SOLUTION
checks.precision(precision)

# %% [markdown]
# ## 3. The next word, or a missing one
#
# How models learn before any task: by a gap ([MLM](../lessons/glossary.ipynb#MLM)), reading both sides, or by the next
# word ([CLM](../lessons/glossary.ipynb#CLM)), reading the left side only.

# %%
unmask = pipeline("fill-mask")
gap = "She moved to [MASK] last year."
pd.DataFrame(unmask(gap))[["token_str", "score"]].round(2)

# %%
write = pipeline("text-generation")
start, pictures = "Once upon a time there was a", []
for pipe, words in ((unmask, gap), (write, start)):
    inputs, outputs = by_hand(pipe, words)
    place = inputs.tokens().index("[MASK]") if pipe is unmask else -1
    best = outputs.logits[0, place].softmax(-1).topk(5)
    guesses = [repr(pipe.tokenizer.decode([n])) for n in best.indices.tolist()]
    pictures.append(plots.probabilities(guesses, best.values, words))
plots.Row(*pictures)

# %% [markdown]
# *What we see.* The same picture twice: a probability for every word, at the gap and after the last word. *Scored* by
# **perplexity**: among how many words, on average, does the model hesitate? *Wrong first:* it repeats the world of its
# texts, their cities and their professions.
#
# ### Exercise 3 · level 2 of 3 · 8 minutes
#
# Write `perplexity(text)` for the model of `write`. With `labels=` it returns a
# [loss](../lessons/glossary.ipynb#loss), the mean surprise of a token; `.exp()` turns it into a number of words.
#
# <details><summary>Hint</summary>The labels of a language model are the text itself,
# <code>inputs["input_ids"]</code>.</details>
# <details><summary>Bigger hint</summary><code>write.model(**inputs, labels=…).loss.exp()</code>, as a number with
# <code>.item()</code></details>

# %% tags=["exercise", "check"]
def perplexity(text):
    return ...  # your code here
    ### BEGIN SOLUTION
    inputs = write.tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        loss = write.model(**inputs, labels=inputs["input_ids"]).loss
    return loss.exp().item()

for words in ("The little girl was very happy.", "Rents rose again.", brief):
    print(round(perplexity(words)), words[:40])
### END SOLUTION
checks.perplexity(perplexity, write)

# %% [markdown]
# ## 4. A new text
#
# **Open generation** appends one word after the other. Settings say how to choose it: `do_sample=False` the most probable
# (greedy); otherwise a draw, bolder with a higher `temperature`, `top_k` among so many only; `num_beams` the most probable
# whole. Lesson 8 goes deeper.

# %%
for how in ({"do_sample": False}, {"do_sample": False, "num_beams": 4},
            {"temperature": 0.5}, {"temperature": 1.5}, {"top_k": 5}):
    story = write(start, seed=1, max_new_tokens=20, **how)[0]["generated_text"]
    words = story.split()
    label = f"{how}: {len(set(words)) / len(words):.0%} different words"
    written = {"start": len(start), "end": len(story), "entity": label}
    display(plots.Spans(story, [written]))

# %% [markdown]
# *What we see.* Five texts by one model, what it wrote marked. *Scored* by readers, because there is no right answer; numbers like the share of
# different words only warn of repetition. *Wrong first:* it invents facts in a fluent voice.
#
# **Summarization** and **translation** read a text and write another, with a
# [seq2seq](../lessons/glossary.ipynb#seq2seq) model.

# %%
summarize = pipeline("summarization")
translate = pipeline("translation_en_to_de")
sentences = ["My mother visits us every week.", "The rent is too high."]
print(summarize(brief), *translate(sentences), sep="\n")

# %%
inputs = translate.tokenizer(sentences[0], return_tensors="pt")
ids = translate.model.generate(**inputs, num_beams=4, max_new_tokens=40)[0]
print(translate.tokenizer.convert_ids_to_tokens(ids))
show_attention(translate.model, translate.tokenizer, sentences[0], part="cross")

# %% [markdown]
# *What we see.* By hand: tokens in, `generate`, tokens out, until the sign for the end. Below, the German text looks at the
# English one: choose layer 1 and rest on *Meine*, on the left. It looks at *mother*, for the next word to write is
# *Mutter*. *Scored* by words and neighbouring words shared with a person's text, **BLEU** for translations, **ROUGE** for
# summaries. *Wrong first:* both write fluently what they have not understood.
#
# ### Exercise 4 · level 2 of 3 · 8 minutes
#
# Both scores begin with words. Write `overlap(written, reference)`: the share of the words of a text that also stand in
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

people = ["Meine Mutter besucht uns jede Woche.", "Die Miete ist zu hoch."]
written = [one["translation_text"] for one in translate(sentences)]
print([round(overlap(*pair), 2) for pair in zip(written, people, strict=True)])
summary = summarize(brief)[0]["summary_text"]
print(round(overlap(summary, "Tamsin closes its swimming pool in March."), 2))
### END SOLUTION
checks.overlap(overlap)

# %% [markdown]
# ## What we learned
#
# A task is a form of answer: a label, a place, a word, a text. The model gives scores, the pipeline makes the answer of
# them, a score against people's answers says what counts as right, and every task has a mistake that it makes first.
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
# coder = pipeline("zero-shot-classification", model="facebook/bart-large-mnli")
# ```
#
# A download of 1.6 GB; its authors report an accuracy of 0.90 on MNLI. On your texts, measure.
