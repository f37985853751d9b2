# %% [markdown]
# # Glossary and model inputs
#
# > Three residents say what has changed where they live. What does a model get to see of their sentences, and what
# > happens to our results when one of its inputs is missing?
#
# You will be able to
#
# - tell families of models apart by how they learned: filling gaps, going on, turning one text into another;
# - name every input of a model, and show what it does by taking it away;
# - build a mask, positions and decoder inputs by hand;
# - look up a term, with an example that runs.
#
# 55 minutes · data: three answers, invented for this lesson · models: `pocket/encoder`, `pocket/sentiment` · memory:
# under 0.8 GB · no network needed · builds on lesson 1

# %% [markdown]
# ## 1. Words about models
#
# [NLP](../lessons/glossary.ipynb#NLP) is the field. Reading a text is [NLU](../lessons/glossary.ipynb#NLU), writing
# one is [NLG](../lessons/glossary.ipynb#NLG). The machine does neither with words.

# %%
from course import AutoModel, AutoModelForMaskedLM, AutoTokenizer
from course import glossary, pipeline, plots, widgets
from course.checks import lesson_02 as checks

glossary("token")

# %% [markdown]
# *What we see.* A card of the glossary, with an example that ran just now. `glossary()` shows all terms and a box to
# search in.
#
# How does a machine learn a language from texts that nobody has coded? Cover a word, let it guess: that is
# [self-supervised](../lessons/glossary.ipynb#self-supervised-learning)
# [deep learning](../lessons/glossary.ipynb#deep-learning). The question is what it may look at.

# %%
tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
trained = AutoModelForMaskedLM.from_pretrained("pocket/encoder")
blank = AutoModelForMaskedLM.from_config(trained.config).eval()  # random

# %% [markdown]
# Two helpers, used throughout. `gap` asks a model what it expects in the place of `[MASK]`: it finds the place, takes
# the [logits](../lessons/glossary.ipynb#logits) there, one score for each entry of the vocabulary, and makes
# probabilities of them with [softmax](../lessons/glossary.ipynb#softmax). `guesses` names the best five.

# %%
def gap(model, batch):
    place = batch["input_ids"] == tokenizer.mask_token_id
    with torch.inference_mode():
        return model(**batch).logits[place][0].softmax(-1)

def guesses(model, text, **options):
    batch = tokenizer(text, return_tensors="pt", **options)
    best = gap(model, batch).topk(5).indices
    return tokenizer.convert_ids_to_tokens(best)

# %%
whole = "The bus was [MASK] again, so I walked to work."
left = "The bus was [MASK]"
pd.DataFrame({"both sides": guesses(trained, whole),
              "left side": guesses(trained, left, add_special_tokens=False),
              "both sides, random weights": guesses(blank, whole)})

# %% [markdown]
# *What we see.* Three lists for one gap.
#
# - With both sides: **masked** language modelling ([MLM](../lessons/glossary.ipynb#MLM)). Models that learn so are
#   [autoencoding](../lessons/glossary.ipynb#autoencoding) and good readers, like BERT and ours.
# - From the left alone: **causal** language modelling ([CLM](../lessons/glossary.ipynb#CLM)). Models that learn so are
#   [autoregressive](../lessons/glossary.ipynb#autoregressive) and write, token after token, like GPT.
# - With random weights the same network knows nothing. A [pretrained](../lessons/glossary.ipynb#pretrained-model)
#   model has its knowledge, and its prejudice, from texts.
#
# Why [Transformers](../lessons/glossary.ipynb#Transformer)? Look at what came before.

# %%
glossary("RNN")

# %% [markdown]
# *What we see.* The first word fades while the RNN reads on. In a Transformer every token looks at every other
# directly (lesson 7). [Multimodal](../lessons/glossary.ipynb#multimodal) models turn patches of a picture into vectors
# and treat them as tokens.
#
# ### Exercise 1 · level 1 of 3 · 4 minutes
#
# Which **words** of this answer are not in the vocabulary, so that the tokenizer cuts them into pieces?
#
# <details><summary>Hint</summary><code>tokenizer.tokenize("gentrification")</code> gives the pieces of one
# word.</details>
# <details><summary>Bigger hint</summary>Go through <code>answer.split()</code> and keep a word when the list of its
# pieces is longer than 1.</details>

# %% tags=["exercise", "check"]
answer = "gentrification reached our neighbourhood before the kindergartens did"
pieces = ...  # your code here
### BEGIN SOLUTION
pieces = [word for word in answer.split() if len(tokenizer.tokenize(word)) > 1]
print(*map(tokenizer.tokenize, pieces), sep="\n")
### END SOLUTION
checks.words_in_pieces(pieces, answer, tokenizer)

# %% [markdown]
# ## 2. Input IDs and attention mask
#
# A batch is a rectangle of numbers, but residents do not write equally much.

# %%
answers = ["The bus was late again and I missed my train.", "Too expensive.",
           "The park is lovely, and my children play there with their friends."]
batch = tokenizer(answers, padding=True, return_tensors="pt")
print(tuple(batch["input_ids"].shape), batch["input_ids"][1], sep="\n")
widgets.padding_explorer(tokenizer, answers)

# %% [markdown]
# *What we see.* A row for each answer, a column for each place, and in it the number of a token: its
# [input ID](../lessons/glossary.ipynb#input-IDs). "Too expensive." is short, so the rest of its row is
# [padding](../lessons/glossary.ipynb#padding). The [attention mask](../lessons/glossary.ipynb#attention-mask) marks
# it as not there: the 1 or 0 below each token. Move the controls. What if we forget the mask?

# %%
classifier = pipeline("sentiment-analysis", model="pocket/sentiment").model

def positive(ids, mask=None):
    with torch.inference_mode():
        return classifier(ids, mask).logits.softmax(-1)[:, 1].numpy().round(3)

# %%
wider = tokenizer(answers, padding="max_length", max_length=120,
                  return_tensors="pt")
table = {}
for name, one in {"": batch, ", wider": wider}.items():
    ids, mask = one["input_ids"], one["attention_mask"]
    table["mask" + name] = positive(ids, mask)
    table["no mask" + name] = positive(ids)
pd.DataFrame(table, index=[text[:30] for text in answers])

# %% [markdown]
# *What we see.* The probability of POSITIVE. With the mask, more padding changes nothing. Without it, scores move
# although no word did: a resident's score depends on how much *others* wrote. Nothing warns you.
#
# ### Exercise 2 · level 1 of 3 · 4 minutes
#
# A colleague stored the `input_ids` and lost the masks. Rebuild the mask of `batch` from them, as `rebuilt`.
#
# <details><summary>Hint</summary>Padding has a number of its own:
# <code>tokenizer.pad_token_id</code>.</details>
# <details><summary>Bigger hint</summary>Comparing a tensor with a number gives True and False;
# <code>.long()</code> makes 1 and 0 of them.</details>

# %% tags=["exercise", "check"]
ids = batch["input_ids"]
rebuilt = ...  # your code here
### BEGIN SOLUTION
rebuilt = (ids != tokenizer.pad_token_id).long()
### END SOLUTION
checks.mask_by_hand(rebuilt, batch)

# %% [markdown]
# ## 3. Which text, which place
#
# Some tasks read two texts at once. [Token type IDs](../lessons/glossary.ipynb#token-type-IDs) say which is which,
# [position IDs](../lessons/glossary.ipynb#position-IDs) where a token stands. The model counts places by itself.

# %%
two = tokenizer("How do you travel?", "I take the [MASK].", return_tensors="pt")
places = torch.arange(two["input_ids"].shape[1])[None]
pd.DataFrame({"token": two.tokens(), "type": two["token_type_ids"][0].numpy(),
              "position": places[0].numpy()})

# %% [markdown]
# Now we lie to the model about one thing at a time, and measure how much of its probability moves to other words.

# %%
types = two["token_type_ids"]
lies = {"none": {}, "types swapped": {"token_type_ids": 1 - types},
        "back to front": {"position_ids": places.flip(1)},
        "all in one place": {"position_ids": 0 * places}}
truth, moved = gap(trained, two), {}
for lie, inputs in lies.items():
    found = gap(trained, {**two, **inputs})
    word = tokenizer.decode(found.argmax())
    moved[f"{lie}, says {word}"] = (found - truth).abs().sum() / 2
plots.probabilities(list(moved), list(moved.values()), "Probability moved")

# %% [markdown]
# *What we see.* Lies about places do the greatest harm: order is most of grammar. What lies about types do depends on
# training; a model that has seen few pairs hardly listens to them.
#
# ### Exercise 3 · level 2 of 3 · 6 minutes
#
# Who sued whom? Find `position_ids` that make these two sentences the **same** for the model.
#
# <details><summary>Hint</summary>Both sentences hold the same tokens. What if no token had a place of its
# own?</details>
# <details><summary>Bigger hint</summary>A tensor in the shape of <code>both["input_ids"]</code> that holds one number
# everywhere.</details>

# %% tags=["exercise", "check"]
both = tokenizer(["The tenant sued the owner.", "The owner sued the tenant."],
                 return_tensors="pt")
position_ids = ...  # your code here
### BEGIN SOLUTION
position_ids = torch.zeros_like(both["input_ids"])
### END SOLUTION
checks.bag_of_words(position_ids, both, trained)

# %% [markdown]
# ## 4. Labels and decoder input IDs
#
# With [labels](../lessons/glossary.ipynb#labels) a model returns a [loss](../lessons/glossary.ipynb#loss). The label
# -100 means: do not count this place.

# %%
gapped = tokenizer(whole, return_tensors="pt")
whole_text = tokenizer(whole.replace("[MASK]", "late"), return_tensors="pt")
full = whole_text["input_ids"]
only_gap = full.where(gapped["input_ids"] == tokenizer.mask_token_id, -100)
for labels in (only_gap, full):
    loss = trained(**gapped, labels=labels).loss
    print(labels[0].tolist(), "loss", round(loss.item(), 2))

# %% [markdown]
# *What we see.* The labels and their loss: first for the gap alone, then for every place. Two numbers under one name.
# The first measures guessing. The second is mostly about words that everybody can see.
#
# A [seq2seq](../lessons/glossary.ipynb#seq2seq) model reads one text and writes another, token after token. Its
# decoder needs [decoder input IDs](../lessons/glossary.ipynb#decoder-input-IDs): what has been written so far. In
# training the right text is known, so these are the labels, moved one place to the right behind a start token.

# %%
written = ["die", "Miete", "ist", "zu", "hoch", "[end]"]
plots.grid([["[start]", *written[:-1]], written],
           ["the decoder sees", "it has to guess"],
           "Learning to translate 'The rent is too high'", quiet=["[start]"])

# %% [markdown]
# *What we see.* In each column the decoder knows the upper row up to there, and has to guess the cell below. Suppose
# somebody forgets to move: then the word to be guessed stands in the input, like the answer sheet on the desk in an
# exam. The training loss becomes wonderful, and the model has learned to copy. No error, no warning.
#
# ### Exercise 4 · level 2 of 3 · 6 minutes
#
# Move these **labels** by hand: start with 0, drop the last column, and put 0 where -100 stands, for -100 is no token.
#
# <details><summary>Hint</summary><code>labels[:, :-1]</code> is all but the last column; <code>torch.cat([a, b],
# 1)</code> puts columns side by side.</details>
# <details><summary>Bigger hint</summary><code>torch.zeros_like(labels[:, :1])</code> is the first column.
# <code>tensor.clamp(min=0)</code> replaces what is negative.</details>

# %% tags=["exercise", "check"]
labels = torch.tensor([[5, 1, 3, 2], [4, 4, -100, -100]])
decoder_input_ids = ...  # your code here
### BEGIN SOLUTION
start = torch.zeros_like(labels[:, :1])
decoder_input_ids = torch.cat([start, labels[:, :-1]], 1).clamp(min=0)
print(decoder_input_ids)
### END SOLUTION
checks.moved_right(decoder_input_ids, labels)

# %% [markdown]
# ## 5. Feed-forward chunking
#
# One classic entry is a setting, not an input. A layer widens each token's vector before it narrows it again;
# [chunking](../lessons/glossary.ipynb#feed-forward-chunking) does so for a few places at a time.

#
# ### Exercise 5 · level 2 of 3 · 5 minutes
#
# Load `pocket/encoder` a second time, with `chunk_size_feed_forward=8`, as `chunked`. Then write
# `largest_difference(a, b)`, the largest distance between two numbers in the same place of two tensors, and compare
# what both models make of `speech`.
#
# <details><summary>Hint</summary><code>AutoModel.from_pretrained(name, setting=…)</code> changes a setting. Both models
# take <code>**speech</code>.</details>
# <details><summary>Bigger hint</summary><code>(a - b).abs().max().item()</code>; what a model gives is called
# <code>last_hidden_state</code>.</details>

# %% tags=["exercise", "check"]
body = AutoModel.from_pretrained("pocket/encoder")
speech = tokenizer(answers, padding="max_length", max_length=64,
                   return_tensors="pt")
chunked = ...  # your code here
### BEGIN SOLUTION
chunked = AutoModel.from_pretrained("pocket/encoder", chunk_size_feed_forward=8)
### END SOLUTION

def largest_difference(a, b):
    return ...  # your code here
    ### BEGIN SOLUTION
    return (a - b).abs().max().item()

with torch.inference_mode():
    one, other = body(**speech), chunked(**speech)
one, other = one.last_hidden_state, other.last_hidden_state
print("below 0.00001:", largest_difference(one, other) < 1e-5)
### END SOLUTION
checks.chunks(chunked, largest_difference, body)

# %% [markdown]
# ## What we learned
#
# IDs say what stands there, the mask what counts, types which text, positions where, labels what is right, decoder
# inputs what is written. A wrong input rarely raises an error; it changes numbers.
#
# **To discuss**
#
# 1. Which of these mistakes would a reviewer of your paper notice?
# 2. Your classifier was run in batches sorted by length, without a mask. Whose answers suffer?
# 3. When is a bag of words enough?
#
# ## The same with a research model
#
# ```python
# tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
# trained = AutoModelForMaskedLM.from_pretrained("bert-base-uncased")
# ```
#
# After a download of 440 MB, sections 1 and 3 run unchanged, on 110 million weights that were trained on pairs. Its
# published average over the tasks of GLUE is 79.6.
