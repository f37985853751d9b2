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
# 45 minutes · data: three answers, invented for this lesson · models: `pocket/encoder`, `pocket/sentiment`, and two
# that you train in seconds · memory: under 0.8 GB · no network needed · builds on lesson 1

# %% [markdown]
# ## 1. Words about models
#
# [NLP](../lessons/glossary.ipynb#NLP) is the field. Reading a text is [NLU](../lessons/glossary.ipynb#NLU), writing
# one is [NLG](../lessons/glossary.ipynb#NLG). The machine does neither with words.

# %%
from course import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification
from course import AutoTokenizer, glossary, plots
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
blank = AutoModelForMaskedLM.from_config(trained.config).eval()
whole, left = "The bus was [MASK] again, so I walked to work.", "The bus was [MASK]"

# %%
def gap(model, batch):
    """A probability for each word, in the place of [MASK]."""
    with torch.inference_mode():
        return model(**batch).logits[batch["input_ids"] == tokenizer.mask_token_id][0].softmax(-1)

def guesses(model, text, **options):
    batch = tokenizer(text, return_tensors="pt", **options)
    return tokenizer.convert_ids_to_tokens(gap(model, batch).topk(5).indices)

pd.DataFrame({"both sides": guesses(trained, whole),
              "left side": guesses(trained, left, add_special_tokens=False),  # no [SEP]
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
answer = "gentrification reached our neighbourhood long before the kindergartens did"
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
answers = ["The bus was late again, so I walked to work.", "Too expensive.",
           "The library is open until nine now, and people with nowhere to go sit there and read."]
batch = tokenizer(answers, padding=True, return_tensors="pt")
print({name: tuple(tensor.shape) for name, tensor in batch.items()}, batch["input_ids"][1], sep="\n")

# %% [markdown]
# *What we see.* A row for each answer, a column for each place, and in it the number of a token: its
# [input ID](../lessons/glossary.ipynb#input-IDs). "Too expensive." is short, so the rest of its row is
# [padding](../lessons/glossary.ipynb#padding). The [attention mask](../lessons/glossary.ipynb#attention-mask) marks
# it as not there. What if we forget the mask?

# %%
classifier = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")

def positive(input_ids, attention_mask=None):
    with torch.inference_mode():
        return classifier(input_ids, attention_mask).logits.softmax(-1)[:, 1]

wider = tokenizer(answers, padding="max_length", max_length=120, return_tensors="pt")
pd.DataFrame({"mask": positive(batch["input_ids"], batch["attention_mask"]),
              "mask, wider": positive(wider["input_ids"], wider["attention_mask"]),
              "no mask": positive(batch["input_ids"]),
              "no mask, wider": positive(wider["input_ids"])},
             index=[text[:30] for text in answers]).round(3)

# %% [markdown]
# *What we see.* The probability of POSITIVE. With the mask, more padding changes nothing. Without it, scores move
# although no word did: a resident's code depends on how much *others* wrote. Nothing warns you.
#
# ### Exercise 2 · level 1 of 3 · 4 minutes
#
# A colleague stored the `input_ids` and lost the masks. Rebuild the **mask** of `batch` from them.
#
# <details><summary>Hint</summary>Padding has a number of its own:
# <code>tokenizer.pad_token_id</code>.</details>
# <details><summary>Bigger hint</summary>Comparing a tensor with a number gives True and False;
# <code>.long()</code> makes 1 and 0 of them.</details>

# %% tags=["exercise", "check"]
ids = batch["input_ids"]
mask = ...  # your code here
### BEGIN SOLUTION
mask = (ids != tokenizer.pad_token_id).long()
### END SOLUTION
checks.mask_by_hand(mask, batch)

# %% [markdown]
# ## 3. Which text, which place
#
# Some tasks read two texts at once. [Token type IDs](../lessons/glossary.ipynb#token-type-IDs) say which is which,
# [position IDs](../lessons/glossary.ipynb#position-IDs) where a token stands. The model counts places by itself.

# %%
pair = tokenizer("How do you travel?", "I take the [MASK].", return_tensors="pt")
places = torch.arange(pair["input_ids"].shape[1])[None]
pd.DataFrame([pair.tokens(), pair["token_type_ids"][0].tolist(), places[0].tolist()],
             index=["token", "type", "position"])

# %% [markdown]
# Now we lie to the model about one thing at a time, and measure how much of its probability moves to other words.

# %%
lies = {"none": {}, "types swapped": {"token_type_ids": 1 - pair["token_type_ids"]},
        "back to front": {"position_ids": places.flip(1)},
        "all in one place": {"position_ids": 0 * places}}
truth, moved = gap(trained, pair), {}
for lie, inputs in lies.items():
    found = gap(trained, {**pair, **inputs})
    moved[f"{lie} -> {tokenizer.decode(found.argmax())}"] = (found - truth).abs().sum() / 2
plots.probabilities(list(moved), list(moved.values()), "Lie -> new first guess, probability moved")

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
both = tokenizer(["The tenant sued the owner.", "The owner sued the tenant."], return_tensors="pt")
position_ids = ...  # your code here
### BEGIN SOLUTION
position_ids = torch.zeros_like(both["input_ids"])
### END SOLUTION
checks.bag_of_words(position_ids, both, trained)

# %% [markdown] tags=["solution"]
# Without places a text is a bag of words. For topics that is often enough; for blame it is not.

# %% [markdown]
# ## 4. Labels and decoder input IDs
#
# With [labels](../lessons/glossary.ipynb#labels) a model returns a [loss](../lessons/glossary.ipynb#loss). The label
# -100 means: do not count this place.

# %%
gapped = tokenizer(whole, return_tensors="pt")
full = tokenizer(whole.replace("[MASK]", "late"), return_tensors="pt")["input_ids"]
only_gap = full.where(gapped["input_ids"] == tokenizer.mask_token_id, -100)
losses = [trained(**gapped, labels=labels).loss.item() for labels in (only_gap, full)]
print(only_gap, "loss in the gap: {:.2f}, at every place: {:.2f}".format(*losses), sep="\n")

# %% [markdown]
# *What we see.* The labels of the gap, their loss, and the loss when every place counts: two numbers under one name.
# The first measures guessing. The second is mostly about words that everybody can see.
#
# A [seq2seq](../lessons/glossary.ipynb#seq2seq) model reads one text and writes another. Its decoder needs
# [decoder input IDs](../lessons/glossary.ipynb#decoder-input-IDs): what has been written so far. In training these are
# the labels, moved one place to the right. We teach two small models to recode reversed items (5 becomes 1, 4 becomes
# 2 …) and forget to move for the second.

# %%
from course import BartConfig, BartForConditionalGeneration

config = BartConfig(vocab_size=8, d_model=64, encoder_layers=1, decoder_layers=1, dropout=0.0,
                    encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=128,
                    decoder_ffn_dim=128, init_std=0.1, pad_token_id=0, decoder_start_token_id=0)

def write(model, items):
    written = torch.zeros(len(items), 1, dtype=torch.long)      # the start token
    for _ in range(4):
        scores = model(items, decoder_input_ids=written).logits[:, -1]
        written = torch.cat([written, scores.argmax(-1, keepdim=True)], 1)
    return written[:, 1:]

# %%
def train(move):
    torch.manual_seed(0)
    model = BartForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    for _ in range(60):
        items = torch.randint(1, 6, (64, 4))
        inputs = {} if move else {"decoder_input_ids": 6 - items}  # {}: the model moves labels
        loss = model(items, labels=6 - items, **inputs).loss
        loss.backward(), optimizer.step(), optimizer.zero_grad()
    return model.eval(), loss.item()

# %%
new, rows = torch.randint(1, 6, (200, 4)), {}
for name, move in {"moved": True, "not moved": False}.items():
    model, loss = train(move)
    rows[name] = [loss, (write(model, new) == 6 - new).float().mean().item()]
pd.DataFrame.from_dict(rows, "index", columns=["training loss", "share right when writing"]).round(3)

# %% [markdown]
# *What we see.* Not moved, the model has the answer sheet in its hands during the exam: a wonderful loss, and nothing
# learned. Guessing among five codes gives 0.2.
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
decoder_input_ids = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], 1).clamp(min=0)
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
# Load `pocket/encoder` a second time, with `chunk_size_feed_forward=8`, as `chunked`. By how much do the hidden states
# of the two models **differ** at most on `speech`?
#
# <details><summary>Hint</summary><code>AutoModel.from_pretrained(name, setting=…)</code> changes a setting. Both models
# take <code>**speech</code>.</details>
# <details><summary>Bigger hint</summary><code>(a - b).abs().max().item()</code>, where both are a
# <code>last_hidden_state</code>.</details>

# %% tags=["exercise", "check"]
body = AutoModel.from_pretrained("pocket/encoder")
speech = tokenizer(" ".join(answers), padding="max_length", max_length=64, return_tensors="pt")
chunked = differ = ...  # your code here
### BEGIN SOLUTION
chunked = AutoModel.from_pretrained("pocket/encoder", chunk_size_feed_forward=8)
with torch.inference_mode():
    one, other = (model(**speech).last_hidden_state for model in (body, chunked))
differ = (one - other).abs().max().item()
print("below 0.00001:", differ < 1e-5)
### END SOLUTION
checks.chunks(chunked, differ, body)

# %% [markdown] tags=["solution"]
# The same result, with an eighth of the memory at the widest point. The size has to divide the length: a text of 63
# tokens is refused, with the cure.

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
