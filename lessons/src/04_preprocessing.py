# %% [markdown]
# # Preprocessing
#
# > Hundreds of people tell us what troubles them where they live, in two words or in two pages. Which part of it does
# > a model get to read, and which part do we lose on the way without noticing?
#
# You will be able to
#
# - turn texts into the numbers a model reads, and back, and name what is lost;
# - put texts of different length into one batch, and choose where to fill up and where to cut;
# - read documents that are longer than a model, without losing their end;
# - give a model pairs of texts, and words that already carry labels;
# - clean survey answers without cleaning away what people said.
#
# 45 minutes · data: `local_life`, 300 people of an invented country answer three open questions · models:
# `pocket/sentiment` and its tokenizer · memory: under 0.8 GB · no network needed

# %% [markdown]
# ## 1. From an answer to numbers
#
# A [tokenizer](../lessons/glossary.ipynb#tokenizer) cuts a text into pieces that the model knows, and gives the number
# of each. The vocabulary was fixed when the model was trained, so take the tokenizer of your model, never another one.

# %%
from course import AutoModelForSequenceClassification, AutoTokenizer
from course import load_dataset, plots
from course.checks import lesson_04 as checks

survey = load_dataset("local_life").query("language == 'en'").dropna(subset="answer")
tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")
answer = survey["answer"].iloc[0]
encoded = tokenizer(answer)
columns = {"token": encoded.tokens(), "id": encoded["input_ids"], "word": encoded.word_ids()}
pd.DataFrame(columns, dtype=object).head(12)

# %% [markdown]
# *What we see.* `[CLS]` opens every text and belongs to no word; `[SEP]` closes it. They are
# [special tokens](../lessons/glossary.ipynb#special-tokens): the model was trained with them and misses them when they
# are absent. Back we go:

# %%
print(answer[:95])
print(tokenizer.decode(encoded["input_ids"])[:95])
print(tokenizer.decode(encoded["input_ids"], skip_special_tokens=True)[:95])

# %% [markdown]
# *What we see.* Capital letters are gone: this tokenizer reads lower case only. If *May* and *may*, or shouting, matter
# to your question, choose a *cased* model. A word outside the vocabulary is not lost but falls into pieces, marked
# with `##`:

# %%
for word in ("neighbourhood", "Harbourside", "beurocracy", "Wohngeld"):
    print(word, tokenizer.tokenize(word))

# %% [markdown]
# ### Exercise 1 · level 1 of 3 · 6 minutes
#
# In how large a **share** of the answers did the tokenizer split at least one word?
#
# <details><summary>Hint</summary>A word was split when one of its pieces starts with <code>##</code>.</details>
# <details><summary>Bigger hint</summary><code>any(token.startswith("##") for token in tokenizer.tokenize(text))</code>
# is True or False for one text. Its mean over all texts is a share.</details>

# %% tags=["exercise", "check"]
split_share = ...  # your code here
### BEGIN SOLUTION
texts = list(survey["answer"])
split = [any(token.startswith("##") for token in tokenizer.tokenize(text)) for text in texts]
split_share = sum(split) / len(split)
print(f"{split_share:.0%}")
### END SOLUTION
checks.split_share(split_share, survey["answer"], tokenizer)

# %% [markdown] tags=["solution"]
# Split words are the price of a small vocabulary. Names of places, dialect and mistakes pay it first: ask whose
# words a vocabulary holds whole.

# %% [markdown]
# ## 2. Many answers in one batch
#
# A batch is a rectangle of numbers, and answers are not equally long.

# %%
sizes = pd.Series([len(ids) for ids in tokenizer(list(survey["answer"]))["input_ids"]])
groups = pd.cut(sizes, [0, 10, 20, 40, 80, 160]).value_counts(sort=False)
labels = [f"up to {group.right}" for group in groups.index]
plots.bars(labels, groups, "Answers by number of tokens", decimals=0)

# %% [markdown]
# [Padding](../lessons/glossary.ipynb#padding) fills the short ones up; the
# [attention mask](../lessons/glossary.ipynb#attention-mask) says which positions are text (1) and which are filling
# (0).

# %%
three = sorted(survey["answer"].iloc[:30], key=len)[::14]
batch = tokenizer(three, padding=True, return_tensors="pt")
print(three, batch["input_ids"].shape, batch["attention_mask"], sep="\n")

# %% [markdown]
# *What we see.* One row a text, as long as the longest. Without the mask the model would read the filling as words.
# Padding and **truncation** (cutting) are chosen apart. Every cell of this table is one call for these three texts
# with `max_length=12`; the numbers are the lengths that come out.

# %%
def lengths(padding, truncation):
    settings = {"padding": padding, "truncation": truncation, "max_length": 12, "verbose": False}
    return [len(ids) for ids in tokenizer(three, **settings)["input_ids"]]

pd.DataFrame({f"truncation={cut}": {f"padding={fill!r}": lengths(fill, cut)
                                    for fill in (False, True, "max_length")} for cut in (False, True)})

# %% [markdown]
# *What we see.* `padding=True` goes to the longest of this batch, `"max_length"` to a fixed length, whatever that
# wastes. A rectangle that never grows takes `truncation=True`. Without `max_length`, the longest text of the model
# counts.

# %% [markdown]
# ### Exercise 2 · level 2 of 3 · 7 minutes
#
# Put *all* answers into one padded batch. What **share** of its positions is filling, and what share is it when the
# answers are sorted by length and padded in groups of 32?
#
# <details><summary>Hint</summary>Filling is where the attention mask is 0.</details>
# <details><summary>Bigger hint</summary>A function <code>filling(groups)</code> that adds up zeros and positions over
# groups answers both: once with one group, once with many.</details>

# %% tags=["exercise", "check"]
one_batch, sorted_groups = ..., ...  # your code here
### BEGIN SOLUTION
def filling(groups):
    masks = [tokenizer(group, padding=True, return_tensors="pt").attention_mask for group in groups]
    return 1 - sum(mask.sum().item() for mask in masks) / sum(mask.numel() for mask in masks)

ordered = sorted(survey["answer"], key=lambda text: len(tokenizer(text)["input_ids"]))
one_batch = filling([ordered])
sorted_groups = filling([ordered[i: i + 32] for i in range(0, len(ordered), 32)])
print(f"{one_batch:.0%} and {sorted_groups:.0%}")
### END SOLUTION
checks.filling(one_batch, sorted_groups, survey["answer"], tokenizer)

# %% [markdown] tags=["solution"]
# The same predictions for a fraction of the work. Pipelines of this package sort by length for you and give the
# results back in your order.

# %% [markdown]
# ## 3. Longer than the model
#
# Some documents are long: an interview, a speech, or all that the people of one place have to say. Here is one
# made of the problems that villagers named.

# %%
document = " ".join(survey.query("area == 'village' and question == 'problem'")["answer"])
kept = tokenizer(document, truncation=True, return_offsets_mapping=True)
end = kept["offset_mapping"][-2][1]  # the letter at which the last piece before [SEP] stops
print(f"{len(document):,} letters; the model reads {end:,} of them.", "Never this: …", document[end:][:40])

# %% [markdown]
# *What we see.* Cutting is silent. If complaints come last, a cut text looks content. **Windows** read everything:
# `return_overflowing_tokens` keeps what was cut as further rows, and `stride` lets neighbours overlap, so that a
# sentence torn at one edge is whole in the next window.

# %%
def windows(text, size=128, stride=32):
    return tokenizer(text, truncation=True, max_length=size, stride=stride, padding=True, return_tensors="pt",
                     return_overflowing_tokens=True, return_offsets_mapping=True)

rows = windows(document)
spans = [(row[1, 0].item(), row.max().item()) for row in rows["offset_mapping"]]
print(len(spans), "windows; letters", *spans[:3], "…", spans[-1], "of", len(document))

# %% [markdown]
# ### Exercise 3 · level 3 of 3 · 10 minutes
#
# Write `positive(text)`: the mean probability of POSITIVE over all windows of a text.
#
# <details><summary>Hint</summary>The model takes <code>input_ids</code> and <code>attention_mask</code> of the
# windows as one batch.</details>
# <details><summary>Bigger hint</summary><code>model(...).logits.softmax(-1)[:, 1].mean().item()</code>, inside
# <code>torch.inference_mode()</code>.</details>

# %% tags=["exercise", "check"]
model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
positive = ...  # your code here
### BEGIN SOLUTION
def positive(text):
    rows = windows(text)
    with torch.inference_mode():
        logits = model(rows["input_ids"], attention_mask=rows["attention_mask"]).logits
    return logits.softmax(-1)[:, 1].mean().item()

print(f"all: {positive(document):.2f}, the first window only: {positive(document[:400]):.2f}")
### END SOLUTION
checks.window_mean(positive, windows, document, model)

# %% [markdown] tags=["solution"]
# A mean is one way to **pool** windows; the most negative window, or the share of negative ones, answer other
# questions. Say in your paper which one you took.

# %% [markdown]
# ## 4. Two texts, and words with labels
#
# Some models judge a pair: does this answer the question, does the second text follow from the first? Give two
# texts, and [token type IDs](../lessons/glossary.ipynb#token-type-IDs) say which is which. A cut then has to choose its victim:

# %%
question = "What troubles you most where you live?"
reply = "Speeding cars, my son crosses that road to school."

def cut(how):
    return tokenizer(question, reply, truncation=how, max_length=18).tokens()

pd.DataFrame({how: cut(how) for how in ("longest_first", "only_first", "only_second")}).T

# %% [markdown]
# *What we see.* `only_second` keeps the question whole; `longest_first` takes from whichever text is longer. With
# documents, keep the question.
#
# Data for finding names comes as **words with labels**. Say so with `is_split_into_words`, or the words are taken for
# separate texts. Then pieces outnumber labels, and `word_ids()` tells which piece came from which word.

# %%
words = ["The", "doctor", "in", "Tamsin", "moved", "to", "Harbourside"]
labels = [0, 0, 0, 1, 0, 0, 1]  # 1: the word names a place
pieces = tokenizer(words, is_split_into_words=True)
pd.DataFrame([pieces.tokens(), pieces.word_ids()], index=["token", "word"], dtype=object)

# %% [markdown]
# ### Exercise 4 · level 2 of 3 · 7 minutes
#
# Make `piece_labels`, one label a token. The first piece of a word gets its label; its other pieces and the special
# tokens get -100, the number that a loss ignores.
#
# <details><summary>Hint</summary>Walk through <code>word_ids()</code> and remember the word before.</details>
# <details><summary>Bigger hint</summary><code>None</code> is a special token; a number equal to the one before is a
# further piece.</details>

# %% tags=["exercise", "check"]
piece_labels = ...  # your code here
### BEGIN SOLUTION
piece_labels, before = [], None
for word in pieces.word_ids():
    piece_labels.append(-100 if word is None or word == before else labels[word])
    before = word
print(pd.Series(piece_labels, index=pieces.tokens()).to_string())
### END SOLUTION
checks.piece_labels(piece_labels, words, labels, tokenizer)

# %% [markdown]
# ## 5. Clean, but not too clean
#
# Older methods wanted text stripped: no capitals, no punctuation, no frequent words. A model that learned from whole
# sentences needs them. Watch what the old recipe does to the verdict:

# %%
def old_recipe(text):
    dropped = {"not", "no", "is", "it", "at", "all", "the", "was", "but", "i"}
    return " ".join(word for word in text.lower().strip(".!?").split() if word not in dropped)

for text in ("The new bus line is not bad at all.", "No, it was not a success."):
    pair = tokenizer([text, old_recipe(text)], padding=True, return_tensors="pt")
    with torch.inference_mode():
        chances = model(**pair).logits.softmax(-1)[:, 1]
    print(f"{text!r} {chances[0]:.2f}   {old_recipe(text)!r} {chances[1]:.2f}")

# %% [markdown]
# *What we see.* The little words carry the verdict. What does deserve cleaning comes from machines, not from people:
# `&amp;` from a web form, line breaks and double blanks, and cells that mean *no answer*: they would become
# opinions.
#
# ### Exercise 5 · level 2 of 3 · 7 minutes
#
# Write `clean(text)`. It repairs `&amp;` and its kind, turns every run of blanks and line breaks into one blank, and
# returns `None` when nothing was said: an empty text, or only signs like `-` or `...`. Everything else stays.
#
# <details><summary>Hint</summary><code>html.unescape(text)</code>, and <code>" ".join(text.split())</code>.</details>
# <details><summary>Bigger hint</summary><code>any(letter.isalnum() for letter in text)</code> is False when a text has
# neither letter nor digit. Is that true of 👍 as well?</details>

# %% tags=["exercise", "check"]
clean = ...  # your code here
### BEGIN SOLUTION
import html
import string

def clean(text):
    text = " ".join(html.unescape(text).split())
    return text if text.strip(string.punctuation + "…– ") else None

for raw in ("Rent &amp; noise,\n\n  every   day", " ... ", "👍", "NOT safe!!"):
    print(repr(raw), "->", repr(clean(raw)))
### END SOLUTION
checks.clean(clean)

# %% [markdown]
# ## What we learned
#
# A tokenizer belongs to its model. Padding costs time, truncation costs content, and only windows lose nothing. Pairs
# and labelled words need to be announced. Clean what machines added and leave what people wrote.
#
# **To discuss**
#
# 1. Older people in your survey write longer answers. What does `max_length=32` do to your age comparison?
# 2. Would you correct spelling before a model reads? Whose voice would change?
# 3. Two teams pool windows differently and reach different conclusions. How would you have prevented that?
#
# ## The same with a research model
#
# ```python
# tokenizer = AutoTokenizer.from_pretrained("bert-base-cased")
# ```
#
# A download of half a megabyte: 28,996 pieces, capitals kept, and the same calls throughout. The model behind it
# has 108 million weights (436 MB) and reads 512 tokens, like ours.
