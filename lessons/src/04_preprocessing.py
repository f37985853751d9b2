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
# - give a model words that already carry labels;
# - clean survey answers without cleaning away what people said;
# - put a model's labels back into a table, and compare them with two human coders.
#
# 70 minutes · data: `local_life`, 300 people of an invented country answer three open questions · models:
# `pocket/sentiment` and its tokenizer · memory: under 0.8 GB · no network needed · builds on lesson 1

# %% [markdown]
# ## 1. From an answer to numbers
#
# A [tokenizer](../lessons/glossary.ipynb#tokenizer) cuts a text into pieces that the model knows, and gives the number
# of each. The vocabulary was fixed when the model was trained, so take the tokenizer of your model, never another one.

# %%
from course import AutoTokenizer, load_dataset, pipeline, widgets
from course.checks import lesson_04 as checks

everyone = load_dataset("local_life").query("language == 'en'")
survey = everyone.dropna(subset="answer").copy()  # some left the field empty
tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")

# %%
answer = survey["answer"].iloc[0]
encoded = tokenizer(answer)
columns = [encoded.tokens(), encoded["input_ids"], encoded.word_ids()]
pd.DataFrame(columns, index=["token", "id", "word"], dtype=object).T.head(12)

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
words = "neighbourhood Harbourside beurocracy Wohngeld"
print(tokenizer.tokenize(words))
widgets.token_explorer("pocket/sentiment", "pocket/translator", text=words)

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
split = []
for text in survey["answer"]:
    split.append("##" in " ".join(tokenizer.tokenize(text)))
split_share = sum(split) / len(split)
print(f"{split_share:.0%}")
### END SOLUTION
checks.split_share(split_share, survey["answer"], tokenizer)

# %% [markdown]
# ## 2. Many answers in one batch
#
# A batch is a rectangle of numbers, and answers are not equally long.
# [Padding](../lessons/glossary.ipynb#padding) fills the short ones up; the
# [attention mask](../lessons/glossary.ipynb#attention-mask) says which places are text (1) and which are filling (0).

# %%
three = ["More buses in the evening.", "Rent.", "Nothing to complain about."]
batch = tokenizer(three, padding=True, return_tensors="pt")
widgets.padding_explorer(tokenizer, three)

# %% [markdown]
# *What we see.* One row a text, as long as the longest; the hatched places are filling, and the mask is 0 there. Without
# it the model would read them as words (lesson 2). Pipelines put texts of one length together, so that nothing is
# filled. Padding and **[truncation](../lessons/glossary.ipynb#truncation)** (cutting) are chosen apart. This table shows the
# lengths that come out with `max_length=6`.

# %%
def lengths(fill, cut):
    batch = tokenizer(three, padding=fill, truncation=cut, max_length=6)
    return [len(ids) for ids in batch["input_ids"]]

fills = (False, True, "max_length")
pd.DataFrame([[lengths(fill, cut) for cut in (False, True)] for fill in fills],
             index=[f"padding={fill}" for fill in fills],
             columns=["truncation=False", "truncation=True"])

# %% [markdown]
# *What we see.* `padding=True` goes to the longest of this batch, `"max_length"` to a fixed length, whatever that
# wastes. A rectangle that never grows takes `truncation=True`.

# %% [markdown]
# ## 3. Longer than the model
#
# Some documents are long: an interview, a speech, or all that the people of one place have to say. Here is one
# made of the problems that villagers named.

# %%
villages = survey.query("area == 'village' and question == 'problem'")
document = " ".join(villages["answer"])
kept = tokenizer(document, truncation=True, return_offsets_mapping=True)
end = kept["offset_mapping"][-2][1]  # where the last piece before [SEP] stops
print(f"{len(document):,} letters; the model reads {end:,} of them.")
print("Never this: …", document[end:][:40])

# %% [markdown]
# *What we see.* Cutting is silent. If complaints come last, a cut text looks content. **Windows** read everything:
# `return_overflowing_tokens` keeps what was cut as further rows, and `stride` lets neighbours overlap, so that a
# sentence torn at one edge is whole in the next window.

# %%
def windows(text, size=128, stride=32):
    return tokenizer(text, truncation=True, max_length=size, stride=stride,
                     return_overflowing_tokens=True, padding=True,
                     return_offsets_mapping=True, return_tensors="pt")

rows = windows(document)
print(*rows.keys(), sep=", ")
for row in rows["offset_mapping"][:3]:
    print("letters", row[1, 0].item(), "to", row.max().item())
print(len(rows["offset_mapping"]), "windows of", len(document), "letters")

# %% [markdown]
# ### Exercise 2 · level 3 of 3 · 10 minutes
#
# Write `positive(text)`: the mean probability of POSITIVE over all windows of a text, by
# [pooling](../lessons/glossary.ipynb#pooling) them.
#
# <details><summary>Hint</summary>The model takes two of the columns of <code>windows(text)</code>, as one batch:
# <code>model(input_ids, attention_mask)</code>.</details>
# <details><summary>Bigger hint</summary><code>model(…).logits.softmax(-1)[:, 1].mean().item()</code>, inside
# <code>torch.inference_mode()</code>.</details>

# %% tags=["exercise", "check"]
classifier = pipeline("sentiment-analysis", model="pocket/sentiment")
model = classifier.model

def positive(text):
    return ...  # your code here
    ### BEGIN SOLUTION
    rows = windows(text)
    with torch.inference_mode():
        logits = model(rows["input_ids"], rows["attention_mask"]).logits
    return logits.softmax(-1)[:, 1].mean().item()

print("all:", round(positive(document), 2))
print("the beginning:", round(positive(document[:400]), 2))
### END SOLUTION
checks.window_mean(positive, windows, document, model)

# %% [markdown]
# ## 4. Words with labels
#
# Models that judge a pair of texts, such as a question and a reply, know them apart by
# [token type IDs](../lessons/glossary.ipynb#token-type-IDs) (lesson 2); `truncation="only_second"` then keeps the
# question whole.
#
# Data for finding names comes as **words with labels**. Say so with `is_split_into_words`, or the words are taken for
# separate texts. Then pieces outnumber labels, and `word_ids()` tells which piece came from which word.

# %%
words = ["The", "doctor", "in", "Tamsin", "left", "Harbourside"]
labels = [0, 0, 0, 1, 0, 1]  # 1: the word names a place
pieces = tokenizer(words, is_split_into_words=True)
pd.Series(pieces.word_ids(), pieces.tokens(), object).to_frame("word")

# %% [markdown]
# ### Exercise 3 · level 2 of 3 · 7 minutes
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
    new = word is not None and word != before
    piece_labels.append(labels[word] if new else -100)
    before = word
print(pd.Series(piece_labels, pieces.tokens()).to_string())
### END SOLUTION
checks.piece_labels(piece_labels, words, labels, tokenizer)

# %% [markdown]
# ## 5. Clean, but not too clean
#
# Older methods wanted text stripped: no capitals, no punctuation, no frequent words. A model that learned from whole
# sentences needs them. Watch what the old recipe does to the verdict:

# %%
def old_recipe(text):
    dropped = {"not", "no", "is", "it", "at", "all", "the", "was", "a"}
    words = [word.strip(".,!?") for word in text.lower().split()]
    return " ".join(word for word in words if word not in dropped)

for text in ("The bus line is not bad at all.", "No, it was not good."):
    for version in (text, old_recipe(text)):
        print(classifier(version)[0]["label"], version)

# %% [markdown]
# *What we see.* The little words carry the verdict. What does deserve cleaning comes from machines, not from people:
# `&amp;` from a web form, line breaks and double blanks, and cells that mean *no answer*: they would become
# opinions.
#
# ### Exercise 4 · level 2 of 3 · 8 minutes
#
# Write `clean(text)`. It repairs `&amp;` and its kind, turns every run of blanks and line breaks into one blank, and
# returns `None` when nothing was said: an empty text, or only signs like `-`, `?` or `...`. Everything else stays.
#
# <details><summary>Hint</summary><code>html.unescape(text)</code>, and <code>" ".join(text.split())</code>.</details>
# <details><summary>Bigger hint</summary><code>any(letter.isalnum() for letter in text)</code> is False when a text has
# neither letter nor digit. Is that true of 👍 as well?</details>

# %% tags=["exercise", "check"]
import html

def clean(text):
    return ...  # your code here
    ### BEGIN SOLUTION
    text = " ".join(html.unescape(text).split())
    return text if text.strip("-–—.…?!,;:/ ") else None

for raw in ("Rent &amp; noise,\n\n  every   day", " ... ", "👍", "NOT safe!!"):
    print(repr(raw), "->", repr(clean(raw)))
### END SOLUTION
checks.clean(clean)

# %% [markdown]
# ## 6. Back into the table
#
# The labels belong beside the answers, in all 881 rows of `everyone`. Ten left the field empty, and the pipeline refuses
# a missing text, as it should: a model asked about nothing would still answer.
#
# ### Exercise 5 · level 2 of 3 · 8 minutes
#
# Make `labelled`: the table `everyone` with a column `label`, what the model says about each answer, and nothing where
# nothing was said. Try it in your own way first; the check looks at every row.
#
# <details><summary>Hint</summary>The number in front of a row is its name. Look at those of
# <code>everyone["answer"].dropna()</code>, and at those of a new <code>pd.DataFrame</code>.</details>
# <details><summary>Bigger hint</summary><code>classifier.frame(column)</code> gives each result the name of its row, and
# leaves silent rows empty. <code>everyone.assign(label=…)</code> adds a column.</details>

# %% tags=["exercise", "check"]
labelled = ...  # your code here
### BEGIN SOLUTION
found = classifier.frame(everyone["answer"])
labelled = everyone.assign(label=found["label"])
### END SOLUTION
checks.labels_in_table(labelled, everyone, classifier)

# %% [markdown]
# Now the question that decides whether a model may be used: does it read like people who know the codebook? Two coders
# have labelled every answer. We treat the model as a third, and put beside it a coder who has read nothing and always
# says *negative*.

# %%
survey["model"] = classifier.frame(survey["answer"])["label"].str.lower()
survey["always negative"] = "negative"
clear = survey.query("sentiment_a != 'mixed'")  # no label of the model

# %%
def beside_a(coder):
    same = clear[coder] == clear["sentiment_a"]
    shares = {"all": (survey[coder] == survey["sentiment_a"]).mean(),
              "not mixed": same.mean()}
    return shares | same.groupby(clear["sentiment_a"]).mean().to_dict()

coders = ("sentiment_b", "model", "always negative")
pd.DataFrame({coder: beside_a(coder) for coder in coders}).T.round(2)

# %% [markdown]
# *What we see.* How often each agrees with coder A. On *all* answers the model has no chance: A calls almost half of
# them *mixed*, a label that it does not know. On the others it does about as well as saying *negative* blindly, and of
# A's *positive* answers it misses about four in ten. Coder B shows what a person reaches. So this model may sort
# answers for reading; a share of satisfied residents it must not report. Lesson 11 measures agreement
# beyond chance, lesson 12 repairs estimates that rest on such labels.

# %% [markdown]
# ## What we learned
#
# A tokenizer belongs to its model. Padding costs time, truncation costs content, and only windows lose nothing. Labelled
# words need to be announced. Clean what machines added and leave what people wrote. Look at a few rows after
# every merge, and at a blind coder beside every model.
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
