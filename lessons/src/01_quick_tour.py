# %% [markdown]
# # Quick tour
#
# > A city asks its residents how they live, and hundreds answer in their own words. Can a small language model read
# > the answers with us, and how do we notice when it misreads?
#
# You will be able to
#
# - put a model to work on a list of texts with one line, and read its results like a colleague's opinion;
# - repeat that line by hand: tokens, ids, mask, logits, probabilities, loss;
# - look inside a model: its layers, its attention, its code;
# - save a model, load it again, and find where downloads are kept;
# - say when to change only the head of a model and when to train from scratch.
#
# 60 minutes · data: six answers, invented for this lesson · models: `pocket/sentiment` and `pocket/encoder`, 15
# million weights, and six more, part of the package · memory: under 1 GB · no network needed · new to notebooks: lesson
# 0 first

# %% [markdown]
# ## 1. One line, one task
#
# A **pipeline** is a model with everything around it: text goes in, a readable result comes out. You name the task;
# it chooses a model.

# %%
from course import pipeline, plots, show_attention, widgets
from course.checks import lesson_01 as checks

classifier = pipeline("sentiment-analysis")
classifier("Since the new tram line opened, my mother visits us every week.")

# %% [markdown]
# *What we see.* A label and a score. The score says how the model divides its belief among its own labels, not how
# likely it is to be right: a model can be wrong with 0.99. It knows two labels, so even "I moved here in May" becomes
# one of them.
#
# Research has many texts: give the pipeline a list. `index=` keeps each result beside its text.

# %% tags=["nbval-check-output"]
answers = [
    "I love the new park, my children play there every day.",
    "The rent has doubled and nobody at the town hall listens.",
    "Not bad at all, I would move here again.",
    "I don't hate it.",
    "The neighbours are kind, but the noise is unbearable.",
    "What a brilliant idea to close the only library we had.",
]
results = pd.DataFrame(classifier(answers), index=answers)
results.round(2)

# %% [markdown]
# *What we see.* Read the last answer aloud. Its irony lives in what we know about libraries, not in the words
# *brilliant idea*.
#
# ### Exercise 1 · level 1 of 3 · 5 minutes
#
# A human coder has read the same answers. On what **share** of them do coder and model agree, and which answers are
# **disputed**?
#
# <details><summary>Hint</summary>Comparing the column <code>results["label"]</code> with a list gives a column of
# True and False.</details>
# <details><summary>Bigger hint</summary>Its mean is a share. <code>results.index[~same]</code> keeps the answers
# where <code>same</code> is False.</details>

# %% tags=["exercise", "check"]
coder = ["POSITIVE", "NEGATIVE", "POSITIVE", "POSITIVE", "NEGATIVE", "NEGATIVE"]
share = ...  # your code here
disputed = ...  # your code here
### BEGIN SOLUTION
same = results["label"] == coder
share = same.mean()
disputed = list(results.index[~same])
print(f"They agree on {share:.0%}. Disputed:", *disputed, sep="\n")
### END SOLUTION
checks.agreement(share, disputed, results, coder)

# %% [markdown]
# ## 2. Eight more tasks
#
# `fill-mask` shows how such models learned language: by guessing covered words. Type into the box.

# %%
unmask = pipeline("fill-mask")
widgets.fill_mask_explorer(unmask, "My children walk to [MASK] every morning.")

# %% [markdown]
# *What we see.* Candidates and their probabilities. They are no facts; they mirror the texts that the model was
# trained on. Turn *children* into *parents*. Then try: The nurse said that [MASK] was tired.
#
# Two tasks find a place in a text: `ner` the names, `question-answering` an answer.

# %%
news = "Anna Berg of Port Sarn wants more buses. The council votes in May."
names = pipeline("ner", aggregation_strategy="average")(news)
found = pipeline("question-answering")(question="When is voting?", context=news)
plots.Spans(news, [*names, found | {"entity": "when?"}])

# %% [markdown]
# Three write: `summarization`, `translation_en_to_de`, and `text-generation`, which goes on with a text.
# `zero-shot-classification` takes labels that you invent.

# %%
given = {"summarization": news, "translation_en_to_de": answers[0],
         "text-generation": "Once upon a time"}
for task, text in given.items():
    print(pipeline(task)(text, seed=1)[0])
code = pipeline("zero-shot-classification")
topics = code(news, candidate_labels=["transport", "health", "housing"])
plots.probabilities(topics["labels"], topics["scores"], news)

# %% [markdown]
# *What we see.* One form for all, and small models that err. Lesson 3 opens each.
#
# Name a **model** to replace the default. From the Hub, a public library of models,
# `model="nlptown/bert-base-multilingual-uncased-sentiment"` gives one to five stars in six languages, after a
# download of 670 MB. Here we name one that is on your computer already. `feature-extraction` returns a vector for
# each token; `pooling` makes one vector of a text.

# %%
encoder = pipeline("feature-extraction", model="pocket/encoder", pooling="mean")
vectors = torch.tensor(encoder(["Housing is too expensive.", *answers]))
closeness = torch.cosine_similarity(vectors[:1], vectors[1:])
pd.Series(closeness, index=answers).round(2).sort_values(ascending=False)

# %% [markdown]
# *What we see.* The answers, sorted by closeness to "Housing is too expensive." The first shares no word with it.
#
# A model reads a limited length, this one 512 tokens, some 380 words. The pipeline reads longer texts in parts and
# says so.
#
# ### Exercise 2 · level 2 of 3 · 6 minutes
#
# What does the model assume about professions? Write a function `probability(text, word)`: how probable is this
# **word** in the place of `[MASK]`, however far down the list it stands?
#
# <details><summary>Hint</summary><code>unmask(text, targets=[word])</code> scores only the words of a list.</details>
# <details><summary>Bigger hint</summary>The result is a list of guesses, here with one. Its number is called
# <code>score</code>.</details>

# %% tags=["exercise", "check"]
def probability(text, word):
    return ...  # your code here
    ### BEGIN SOLUTION
    return unmask(text, targets=[word])[0]["score"]

for profession in ("nurse", "engineer"):
    sentence = f"The {profession} said that [MASK] was tired."
    for word in ("she", "he"):
        print(profession, word, round(probability(sentence, word), 2))
### END SOLUTION
checks.word_probability(probability, unmask)

# %% [markdown]
# ## 3. The same by hand
#
# A [pipeline](../lessons/glossary.ipynb#pipeline) has three parts: a
# [tokenizer](../lessons/glossary.ipynb#tokenizer) turns text into numbers, a **model** turns numbers into scores, a last
# step turns scores into labels.

# %% tags=["nbval-check-output"]
from course import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")
model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
batch = tokenizer(answers[2:4], padding=True, return_tensors="pt")
for ids in batch["input_ids"]:
    print(tokenizer.convert_ids_to_tokens(ids))
for name in ("input_ids", "attention_mask"):
    print(name, *batch[name].tolist(), sep="\n")

# %% [markdown]
# *What we see.* The pieces of two answers, then their numbers (`input_ids`). `[CLS]` and `[SEP]` frame a text. The
# shorter one is filled up with `[PAD]`, and the `attention_mask` says what counts: 1 is text, 0 is padding.
#
# The model returns [logits](../lessons/glossary.ipynb#logits), scores without a fixed range. Softmax turns them into
# probabilities. Give the model **labels** too, and it returns a [loss](../lessons/glossary.ipynb#loss): how much they
# surprise it. Training makes this number smaller.

# %%
for labels in ([1, 1], [0, 0]):  # twice POSITIVE, twice NEGATIVE
    outputs = model(**batch, labels=torch.tensor(labels))
    print(labels, "-> loss", round(outputs.loss.item(), 2))
outputs.logits.detach().softmax(-1)

# %% [markdown]
# *What we see.* NEGATIVE, then POSITIVE; the higher one is the pipeline's score. `classifier.explain(text)` prints these
# steps.
#
# ### Exercise 3 · level 2 of 3 · 6 minutes
#
# Of all six answers, which is the model **least sure** about? Use tokenizer and model, not the pipeline.
#
# <details><summary>Hint</summary>Unsure: the higher of the two probabilities is close to 0.5.</details>
# <details><summary>Bigger hint</summary><code>torch.softmax(logits, dim=-1).max(-1).values</code> holds one number an
# answer; <code>.argmin()</code> finds the place of the smallest.</details>

# %% tags=["exercise", "check"]
least_sure = ...  # your code here
### BEGIN SOLUTION
with torch.inference_mode():
    six = model(**tokenizer(answers, padding=True, return_tensors="pt")).logits
least_sure = answers[torch.softmax(six, dim=-1).max(-1).values.argmin()]
print(least_sure)
### END SOLUTION
checks.least_sure(least_sure, answers, model, tokenizer)

# %% [markdown]
# ## 4. Look inside
#
# A model is a stack of layers. In each, every token gathers information from the others:
# [attention](../lessons/glossary.ipynb#attention). Ask, and the
# model returns it.

# %%
inputs = tokenizer(answers[2], return_tensors="pt")
with torch.inference_mode():
    outputs = model(**inputs, output_attentions=True, output_hidden_states=True)
for name in ("hidden_states", "attentions"):
    print(len(outputs[name]), name, tuple(outputs[name][0].shape))
tokens = inputs.tokens()
heatmap = outputs.attentions[2][0, 8]
display(plots.attention(heatmap, tokens, "Layer 2, head 8, counted from 0"))
show_attention(model, tokenizer, answers[2], layers=2, heads=8)

# %% [markdown]
# *What we see.* One state before the first layer and one after each; one map per layer and head. A row shows where
# its token looks, and sums to 1. Below, the same as lines: rest on a token, click squares for other heads. Maps show
# where information *may* flow, not why the model decided: **attention is not an explanation**.
#
# Which class did `Auto…` choose? Its code is short.

# %% tags=["nbval-check-output"]
import inspect

print(type(model).__name__)
print(inspect.getsource(type(model).forward))

# %% [markdown]
# *What we see.* An auto class reads the configuration and picks the architecture;
# `BertForSequenceClassification.from_pretrained(…)` does the same without magic. The body (`self.bert`) makes
# vectors, the head (`classifier`) makes logits, labels make a loss.
#
# ### Exercise 4 · level 2 of 3 · 4 minutes
#
# In the map above, which **token** does *not* look at most?
#
# <details><summary>Hint</summary>Rows look, columns are looked at. <code>tokens.index("not")</code> is the
# row.</details>
# <details><summary>Bigger hint</summary><code>heatmap[row].argmax()</code> is a place in
# <code>tokens</code>.</details>

# %% tags=["exercise", "check"]
favourite = ...  # your code here
### BEGIN SOLUTION
row = tokens.index("not")
favourite = tokens[heatmap[row].argmax()]
print(favourite)
print("layer 1, head 8:")
print(*[tokens[row.argmax()] for row in outputs.attentions[1][0, 8]])
### END SOLUTION
checks.favourite_token(favourite, "not", heatmap, tokens)

# %% [markdown]
# ## 5. Keep it, change it
#
# Two lines save a model with its tokenizer. The folder loads like any name, here or in the library Transformers.

# %%
import os
import tempfile

folder = tempfile.TemporaryDirectory()  # yours could be called "my_classifier"
tokenizer.save_pretrained(folder.name)
model.save_pretrained(folder.name)
print(sorted(os.listdir(folder.name)))
pipeline("sentiment-analysis", model=folder.name)(answers[3])

# %% [markdown]
# Models from the Hub are downloaded once, to `~/.cache/huggingface/hub`; `HF_HOME` moves that folder, `cache_dir=…`
# does so for one call. With `HF_HUB_OFFLINE=1` nothing asks the network, and the cache still loads. Set such variables
# before Python starts.
#
# Two ways lead to a model of your own, here for four topics: start **from scratch** with a configuration, or keep a
# trained body and change only the **head**.

# %%
from course import BertConfig, BertForSequenceClassification

config = BertConfig(vocab_size=len(tokenizer), num_labels=4, hidden_size=96,
                    num_hidden_layers=2, num_attention_heads=4)
scratch = BertForSequenceClassification(config)
topics = AutoModelForSequenceClassification.from_pretrained(
    "pocket/encoder", num_labels=4)
for one in (scratch, topics):
    print(f"{one.num_parameters():,} weights")

# %% [markdown]
# *What we see.* In `scratch` every weight is random. In `topics` two parts are new, and the message names them:
# `classifier`, the head, and `pooler`, the step before it. From scratch takes millions of texts; it pays off for a language that no model has seen.
# With a few hundred coded answers, change the head: lesson 5 trains it.
#
# ### Exercise 5 · level 2 of 3 · 4 minutes
#
# How many **weights** has the new `topics.classifier`? Use the width of the model and the number of labels.
#
# <details><summary>Hint</summary>One weight for each pair of input and label, one bias for each label. The width is
# <code>topics.config.hidden_size</code>.</details>
# <details><summary>Bigger hint</summary><code>sum(p.numel() for p in topics.classifier.parameters())</code> counts
# them.</details>

# %% tags=["exercise", "check"]
head = ...  # your code here
### BEGIN SOLUTION
head = (topics.config.hidden_size + 1) * topics.config.num_labels
print(f"{head:,} of {topics.num_parameters():,}")
### END SOLUTION
checks.head_weights(head, topics)

# %% [markdown]
# ## What we learned
#
# A pipeline is tokenizer, model and softmax. A score is a belief, not a certainty. A covered word mirrors a corpus. A
# model is a folder, and its head is small.
#
# **To discuss**
#
# 1. Coder and model agree on most answers. What else must you know before you report a "share of satisfied
#    residents"?
# 2. Which of your own texts would a model with two labels treat unfairly?
# 3. When is a nearly right label for 10,000 answers worth more than a right one for 200?
#
# ## The same with a research model
#
# ```python
# classifier = pipeline("sentiment-analysis", model="distilbert-base-uncased-finetuned-sst-2-english")
# ```
#
# After a download of 268 MB, sections 1, 3 and 4 run with this name unchanged. Its published accuracy is 91.3 % on
# the development set of SST-2: sentences from film reviews, not answers from your survey.
