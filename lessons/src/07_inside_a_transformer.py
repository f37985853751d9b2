# %% [markdown]
# # Inside a Transformer
#
# > "The bank refused my loan", "We sat on the bank of the river." A word means what its neighbours make of it. How
# > does a machine do that, with nothing but additions and multiplications?
#
# You will be able to
#
# - follow a word from its vector in a table to a vector that knows its sentence;
# - write attention, a causal mask and a whole layer in a few lines each, equal to the library's;
# - tell encoder, decoder and encoder-decoder by what each lets a token see;
# - put BERT together from parts and fill it with real weights.
#
# 60 minutes · data: a few sentences, invented for this lesson · model: `pocket/encoder` · memory: under 0.8 GB · no
# network needed · builds on lessons 1 and 2

# %% [markdown]
# ## 1. A word is a vector
#
# The first layer of a model is a table: a row of numbers, an
# [embedding](../lessons/glossary.ipynb#embedding), for each [token](../lessons/glossary.ipynb#token). Rows that point
# the same way belong to words that are used alike.

# %%
from course import AutoModel, AutoTokenizer, nn, plots, show_attention
from course.checks import lesson_07 as checks

tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
model = AutoModel.from_pretrained("pocket/encoder")
table = model.tokens.weight.detach()

def neighbours(word):
    row = table[tokenizer.convert_tokens_to_ids(word)]
    closest = torch.cosine_similarity(row, table).topk(6).indices[1:]
    return tokenizer.convert_ids_to_tokens(closest)

pd.DataFrame({word: neighbours(word) for word in ("rent", "nurse", "bank")})

# %% [markdown]
# *What we see.* A thesaurus that nobody wrote: it comes from counting company. But a table has one row for *bank*,
# whatever the sentence. Follow the word through the layers: `states` gives its vector at the entrance, and after each
# layer.

# %%
def states(text, word="bank"):
    encoded = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        layers = model(**encoded, output_hidden_states=True).hidden_states
    return torch.stack(layers)[:, 0, encoded.tokens().index(word)]

loan = states("The bank refused my loan.")
fees = states("The bank raised its fees.")
river = states("We sat on the bank of the river.")
pd.DataFrame({"loan, fees": torch.cosine_similarity(loan, fees, -1),
              "loan, river": torch.cosine_similarity(loan, river, -1)}).round(2)

# %% [markdown]
# *What we see.* A row for the entrance (0) and one for each layer. At the entrance the three are nearly one; only
# their places differ. Inside, two kinds of bank part company. Each of these vectors is a
# [hidden state](../lessons/glossary.ipynb#hidden-state).
#
# ### Exercise 1 · level 1 of 3 · 4 minutes
#
# `cosine_similarity` compares directions. Write it: the product of two vectors, divided by both lengths.
#
# <details><summary>Hint</summary><code>a @ b</code> multiplies number by number and adds up.</details>
# <details><summary>Bigger hint</summary>The length of <code>a</code> is <code>a.norm()</code>.</details>

# %% tags=["exercise", "check"]
def cosine(a, b):
    return ...  # your code here
    ### BEGIN SOLUTION
    return a @ b / (a.norm() * b.norm())

print(f"{cosine(loan[-1], river[-1]):.2f}")
### END SOLUTION
checks.cosine(cosine)

# %% [markdown]
# ## 2. Attention: a weighted mean of the company
#
# To know its sentence, a word takes in something of the other words: more from those that fit it. Three words, two
# numbers each:

# %%
words, x = ["river", "bank", "loan"], torch.tensor([[2.0, 0], [1, 1], [0, 2]])
weights = (x @ x.T).softmax(-1)  # how well each fits each; rows sum to 1
mixed = torch.cat([weights @ x, weights], 1)
pd.DataFrame(mixed, words, ["water", "money", *words]).round(2)

# %% [markdown]
# *What we see.* On the right, what each word takes from each; on the left, the mixtures that result. *Bank* stays in
# the middle between water and money: delete *loan* and its row from the cell, and watch it move.
#
# That is [attention](../lessons/glossary.ipynb#attention). A real layer adds three learned matrices, so that what a word
# looks for (its *query*), what it is found by (its *key*) and what it gives (its *value*) can differ. And it divides:

# %%
for width in (4, 64, 1024):
    query, keys = torch.randn(width), torch.randn(8, width)
    scores = torch.stack([keys @ query, keys @ query / width**0.5])
    print(width, scores.softmax(-1).amax(-1).numpy().round(2))

# %% [markdown]
# *What we see.* The largest of eight weights, without and with the division. The wider the vectors, the larger their products, and
# [softmax](../lessons/glossary.ipynb#softmax) gives everything to one word, unless we divide by the root of the width.
#
# ### Exercise 2 · level 2 of 3 · 7 minutes
#
# Write **scaled dot-product attention**: a function of queries, keys, values (one row a word) and a mask that is added
# to the scores.
#
# <details><summary>Hint</summary>Three steps: scores, softmax over the last dimension, weighted mean of the
# values.</details>
# <details><summary>Bigger hint</summary><code>q @ k.T / q.shape[-1]**0.5 + mask</code> are the
# scores.</details>

# %% tags=["exercise", "check"]
def attend(q, k, v, mask):
    return ...  # your code here
    ### BEGIN SOLUTION
    return (q @ k.T / q.shape[-1]**0.5 + mask).softmax(-1) @ v
### END SOLUTION
checks.attend(attend)

# %% [markdown]
# A layer does this several times side by side. Each [head](../lessons/glossary.ipynb#head) has a share of the numbers
# and a map of its own. Here is one of the real model, by hand.

# %%
encoded = tokenizer("The bank refused my loan.", return_tensors="pt")
layer, head = model.layers[0].attention, 0
with torch.no_grad():
    real = model(**encoded, output_hidden_states=True, output_attentions=True)
    x = real.hidden_states[0]
    q, k = [layer.split(part(x))[0, head] for part in (layer.q, layer.k)]
by_hand = (q @ k.T / q.shape[-1]**0.5).softmax(-1)
print("equal:", torch.allclose(by_hand, real.attentions[0][0, head], atol=1e-5))
show_attention(model, tokenizer, "The bank refused my loan.", heads=0)

# %% [markdown]
# *What we see.* By hand the same numbers as in the library, and all of its maps to explore: rest on *bank* on the left
# to see whom it looks at, click the coloured squares to switch heads on and off, choose another layer. Twelve heads give
# twelve answers. A picture for a report is `view="arcs"`.
#
# Does it matter where a head looks? `ablate_heads` switches one after the other off, and lets a model with a head for
# guessing answer again.

# %%
from course import AutoModelForMaskedLM, ablate_heads

guesser = AutoModelForMaskedLM.from_pretrained("pocket/encoder")
ablate_heads(guesser, tokenizer, "We sat on the bank of the [MASK].")

# %% [markdown]
# *What we see.* The guess is *bank* once more, and each cell says what becomes of its probability without one head.
# Head 2 of layer 0 has the tidiest map of all: each token looks at its left neighbour, with a weight of 1. Without it,
# next to nothing changes. Head 10 of layer 5 looks here and there, and most of the guess hangs on it: without it, *river*
# comes first (`heads=[(5, 10)]`). **A map says where a head looks, not what it does to the answer.**
#
# ## 3. Three families, three masks
#
# What may a token look at? Three small models with random weights show it: training does not change these rules.

# %%
from course import BartConfig, BartModel, BertConfig, BertModel
from course import GPT2Config, GPT2Model

bert = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1,
                            num_attention_heads=1)).eval()
gpt = GPT2Model(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1)).eval()
bart = BartModel(BartConfig(
    vocab_size=9, d_model=8, encoder_layers=1, decoder_layers=1,
    encoder_attention_heads=1, decoder_attention_heads=1)).eval()

# %%
read, written = ["the", "rent", "rises", "[PAD]"], ["[S]", "la", "renta", "es"]
ids, mask = torch.tensor([[5, 6, 7, 1]]), torch.tensor([[1, 1, 1, 0]])
one = bert(ids, mask, output_attentions=True).attentions
two = gpt(ids, output_attentions=True).attentions
both = bart(ids, mask, decoder_input_ids=ids, output_attentions=True)
plots.Row(
    plots.attention(one[0][0, 0], read, "encoder"),
    plots.attention(two[0][0, 0], written, "decoder"),
    plots.attention(both.cross_attentions[0][0, 0], written, "both", read))

# %% [markdown]
# *What we see.* Dark cells are forbidden.
#
# - An [encoder](../lessons/glossary.ipynb#encoder) (BERT) sees everything but padding. It reads, and is
#   [autoencoding](../lessons/glossary.ipynb#autoencoding).
# - A [decoder](../lessons/glossary.ipynb#decoder) (GPT) sees itself and what came before: a
#   [causal mask](../lessons/glossary.ipynb#causal-mask). So it can write, for what comes next is not there yet, and is
#   [autoregressive](../lessons/glossary.ipynb#autoregressive), trained by [CLM](../lessons/glossary.ipynb#CLM).
# - An [encoder-decoder](../lessons/glossary.ipynb#seq2seq) (BART, T5) has both, and a third map: what is written looks
#   at all that was read.
#
# ### Exercise 3 · level 2 of 3 · 5 minutes
#
# Make the **causal mask** for five tokens, to be added to scores: 0 where a token may look, minus infinity elsewhere.
#
# <details><summary>Hint</summary>Row 0 may look at column 0 only, row 4 at all five.
# <code>torch.full((5, 5), float("-inf"))</code> forbids everything.</details>
# <details><summary>Bigger hint</summary><code>tensor.triu(1)</code> keeps what lies above the diagonal and makes the rest
# 0.</details>

# %% tags=["exercise", "check"]
causal = ...  # your code here
### BEGIN SOLUTION
causal = torch.full((5, 5), float("-inf")).triu(1)
print(causal)
### END SOLUTION
checks.causal(causal)

# %% [markdown]
# ## 4. The rest of a layer
#
# After attention, a [feed-forward network](../lessons/glossary.ipynb#feed-forward-network) works on each token alone.
# Around both stand a [residual connection](../lessons/glossary.ipynb#residual-connection), which adds the result to
# what was there, and a [norm](../lessons/glossary.ipynb#layer-normalization), which keeps numbers in range.

# %%
steps = [("x", "one token"), ("attention", "looks at others"), ("norm", ""),
         ("feed-forward", "each token alone"), ("norm", ""), ("x", "goes on")]
plots.flow(steps, "One layer of BERT", jumps=[(0, 2, "add"), (2, 4, "add")])

# %%
for name in ("attention", "feed_forward"):
    part = getattr(model.layers[0], name)
    print(name, f"{sum(p.numel() for p in part.parameters()):,} weights")

# %% [markdown]
# *What we see.* The way of a token through a layer, and where its weights are. Attention is famous; the feed-forward
# network is twice as large.
#
# ### Exercise 4 · level 3 of 3 · 8 minutes
#
# Write one **layer**: `attention`, add, `attention_norm`; `feed_forward`, add, `norm`. `block.attention(x)` returns
# two things; take the first.
#
# <details><summary>Hint</summary><code>x = block.attention_norm(x + …)</code> is the first half.</details>
# <details><summary>Bigger hint</summary>The second half has the same form, with <code>block.feed_forward(x)</code> and
# <code>block.norm</code>.</details>

# %% tags=["exercise", "check"]
def one_layer(x, block):
    return ...  # your code here
    ### BEGIN SOLUTION
    x = block.attention_norm(x + block.attention(x)[0])
    return block.norm(x + block.feed_forward(x))
### END SOLUTION
checks.one_layer(one_layer, model)

# %% [markdown]
# ## 5. The whole model
#
# BERT is a table for words, one for [places](../lessons/glossary.ipynb#position-IDs), one for
# [types](../lessons/glossary.ipynb#token-type-IDs), and six of these layers. `course.nn` has the parts.

# %%
D, vocabulary = 384, model.config.vocab_size  # the width of the model

def block():
    attention = nn.MultiHeadAttention(D, 12)
    feed_forward = nn.FeedForward(D, 1536, "gelu", 0.0)
    return nn.PostNormBlock(attention, feed_forward, D, 1e-12)

mine = torch.nn.ModuleDict({
    "tokens": nn.Embedding(vocabulary, D), "types": nn.Embedding(2, D),
    "positions": nn.Embedding(512, D), "norm": torch.nn.LayerNorm(D, 1e-12),
    "layers": torch.nn.ModuleList(block() for _ in range(6))})
mine.load_state_dict(model.state_dict())

# %%
def run(parts, ids):
    x = parts["tokens"](ids) + parts["positions"].weight[:ids.shape[1]]
    x = parts["norm"](x + parts["types"].weight[0])
    for layer in parts["layers"]:
        x, _ = layer(x)
    return x

ours = run(mine, encoded["input_ids"])
print("equal:", torch.allclose(ours, real.last_hidden_state, atol=1e-5))

# %% [markdown]
# *What we see.* Every weight found its place (anything missing or left over would have been an error), and these few
# lines read as the library does. That is a whole [Transformer](../lessons/glossary.ipynb#Transformer).
#
# ### Exercise 5 · level 3 of 3 · 8 minutes
#
# Since layers add, one can be left out. Which layer, **counted from 0**, changes the result `full` least, as a mean of
# absolute differences? `layer(x)` returns two things, as above.
#
# <details><summary>Hint</summary>A loop within a loop: for each number, run all layers but that one:
# <code>x, _ = layer(x)</code>.</details>
# <details><summary>Bigger hint</summary><code>for n, layer in enumerate(model.layers)</code>, and
# <code>if n != left_out</code>. Start from <code>real.hidden_states[0]</code>.</details>

# %% tags=["exercise", "check"]
full = real.last_hidden_state
spare = ...  # your code here
### BEGIN SOLUTION
def without(left_out, x):
    for n, layer in enumerate(model.layers):
        if n != left_out:
            x, _ = layer(x)
    return (x - full).abs().mean().item()

change = pd.Series([without(n, real.hidden_states[0]) for n in range(6)])
print(change.round(3))
spare = change.argmin()
### END SOLUTION
checks.spare_layer(spare, model, real)

# %% [markdown]
# ## What we learned
#
# A word begins as a row of a table; attention mixes in its company; masks decide who is company; the rest is adding
# and keeping in range. Nothing in it was told what a bank is.
#
# **To discuss**
#
# 1. A word is known by its company. Which meanings do not show in company?
# 2. Would you show an attention map in an article? What should its caption say?
# 3. A decoder codes your answers from left to right. Which answers would it misread?
#
# ## The same with a research model
#
# ```python
# tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
# model = AutoModel.from_pretrained("bert-base-uncased")
# ```
#
# 440 MB, 110 million weights. In your own model the width becomes 768, the feed-forward network 3,072 wide, and there
# are twelve layers; `mine.load_state_dict(…, strict=False)` leaves out its pooler. Its published average on GLUE is 79.6.
