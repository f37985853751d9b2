# %% [markdown]
# # Tokenizers from scratch
#
# > Language models are sold by the token. The same sentence costs an English speaker less than a speaker of Māori.
# > Nobody voted for that price: where does it come from?
#
# You will be able to
#
# - say why models read neither words nor letters, and what they read instead;
# - write the two algorithms behind most vocabularies, WordPiece and BPE, in a few lines;
# - train a vocabulary on your own texts, and choose its size;
# - read the marks `##`, `Ġ` and `▁`;
# - measure how unequally a vocabulary treats languages.
#
# 70 minutes · data: `local_life`, answers of 300 people of an invented country, and `languages`, the same sentences
# in several languages · model: the tokenizer of `pocket/encoder` · memory: under 0.6 GB · no network needed · builds on
# lesson 4

# %% [markdown]
# ## 1. Why not words?
#
# A model has one row of weights, an [embedding](../lessons/glossary.ipynb#embedding), for each entry of its vocabulary.
# Why not one entry a word? Let us count how the list of different words grows while we read the survey.

# %%
import re
from collections import Counter
from itertools import pairwise
from course import AutoTokenizer, load_dataset, plots, widgets
from course.checks import lesson_06 as checks

table = load_dataset("local_life").query("language == 'en'")
survey = table["answer"].dropna().tolist()

def words_of(text):
    return re.findall(r"[\w']+|[^\w\s]", text.lower())

words_of(survey[0])[:12]

# %%
counts = Counter(word for text in survey for word in words_of(text))
half = Counter(word for text in survey[::2] for word in words_of(text))
once = sum(count == 1 for count in counts.values()) / len(counts)
print(f"{len(half):,} words in half, {len(counts):,} in all, {once:.0%} once")

# %% [markdown]
# *What we see.* Twice the text brings many new words, and about half of all words occur a single time. The list never
# ends: names, compounds, mistakes. **Letters** are the other extreme: a short list, but long texts, and an *e* alone
# means nothing.
#
# ### Exercise 1 · level 1 of 3 · 6 minutes
#
# Somebody built the list from every second answer (`half`). What **share** of the words that stand in the *other*
# answers does it not know? Count every word as often as it stands there.
#
# <details><summary>Hint</summary>The other answers are <code>survey[1::2]</code>.</details>
# <details><summary>Bigger hint</summary><code>[word not in half for text in survey[1::2] for word in
# words_of(text)]</code> is a list of True and False; its mean is a share.</details>

# %% tags=["exercise", "check"]
unknown = ...  # your code here
### BEGIN SOLUTION
missing = [word not in half for text in survey[1::2] for word in words_of(text)]
unknown = sum(missing) / len(missing)
print(f"{unknown:.1%}")
### END SOLUTION
checks.unknown_words(unknown, survey, words_of)

# %% [markdown]
# ## 2. WordPiece: the longest piece that fits
#
# The way out: [tokens](../lessons/glossary.ipynb#token). Frequent words stay whole, rare ones are spelled with pieces. BERT's **WordPiece** has a fixed list and
# reads greedily. It takes the longest piece that begins the word, then the longest for what is left; `##` marks a
# piece that continues a word.

# %%
tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
vocabulary = set(tokenizer.get_vocab())
for word in ("rent", "rents", "unaffordable", "greengrocer", "kindergartens"):
    print(word, tokenizer.tokenize(word))

# %% [markdown]
# ### Exercise 2 · level 3 of 3 · 10 minutes
#
# Write `wordpiece(word, vocabulary)`. It returns the pieces of a word as above, or `["[UNK]"]` when some part of it
# cannot be spelled. It never goes back to try a shorter piece.
#
# <details><summary>Hint</summary>Two places: where the piece starts, and where it ends. Let the end walk back from
# the end of the word until the piece is in the vocabulary.</details>
# <details><summary>Bigger hint</summary>A piece that does not start the word is looked up as <code>"##" +
# word[start:end]</code>. After a success, <code>start = end</code>.</details>

# %% tags=["exercise", "check"]
def wordpiece(word, vocabulary):
    return ...  # your code here
    ### BEGIN SOLUTION
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        places = range(len(word), start, -1)
        ends = [end for end in places if mark + word[start:end] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(mark + word[start:ends[0]])
        start = ends[0]
    return pieces

print(wordpiece("kindergartens", vocabulary))
### END SOLUTION
checks.wordpiece(wordpiece, vocabulary, tokenizer, survey)

# %% [markdown]
# ## 3. BPE: join what stands together
#
# Where does the list come from? **Byte-pair encoding** starts with letters and asks one question again and again:
# which two neighbours stand side by side most often? They become one piece.

# %%
spelled = {tuple(word): count for word, count in counts.items()}

def join(letters, pair):
    out = []
    for piece in letters:
        if out and (out[-1], piece) == pair:
            piece = out.pop() + piece
        out.append(piece)
    return tuple(out)

# %%
steps = [tuple("thethen")]
for pair in (("t", "h"), ("th", "e")):
    steps.append(join(steps[-1], pair))
plots.grid(steps, ["letters", "join t, h", "join th, e"], "Two steps of BPE")

# %% [markdown]
# ### Exercise 3 · level 2 of 3 · 8 minutes
#
# `spelled` holds each word as a tuple of pieces, with its count. Write `best_pair(spelled)`: the pair of neighbours
# that is most frequent in the survey. A word that occurs nine times counts nine times.
#
# <details><summary>Hint</summary><code>pairwise(letters)</code> gives all pairs of neighbours in a
# word.</details>
# <details><summary>Bigger hint</summary>Add the word's count to a <code>Counter</code> for each pair;
# <code>pairs.most_common(1)[0][0]</code> is the winner.</details>

# %% tags=["exercise", "check"]
def best_pair(spelled):
    return ...  # your code here
    ### BEGIN SOLUTION
    pairs = Counter()
    for letters, count in spelled.items():
        for pair in pairwise(letters):
            pairs[pair] += count
    return pairs.most_common(1)[0][0]

print(best_pair(spelled))
### END SOLUTION
checks.best_pair(best_pair, counts)

# %% [markdown]
# With `join` and `best_pair` you have all of BPE: join the best pair, two hundred times. (As long as the exercise is not
# solved, nothing is joined.)

# %%
merges, words = [], spelled
while len(merges) < 200 and isinstance(pair := best_pair(words), tuple):
    merges.append("".join(pair))
    words = {join(letters, pair): count for letters, count in words.items()}
print(*merges[:15], "…", *merges[-10:])

# %% [markdown]
# *What we see.* The pieces in the order in which they were learned. First come the joints of English (*th*, *in*, *er*),
# after two hundred steps whole words of this survey. A vocabulary is a portrait of the texts it was learned from.

# %% [markdown]
# ## 4. Train one, in four families
#
# The library has both algorithms, a byte-level kind and one more, **Unigram**, which starts with far too many pieces
# and drops those that help least. Each takes any list of texts.

# %%
from course import train_bpe, train_byte_bpe, train_unigram, train_wordpiece

families = {"WordPiece (BERT)": train_wordpiece, "BPE (GPT)": train_bpe,
            "byte BPE (GPT-2)": train_byte_bpe, "Unigram (T5)": train_unigram}
trained = {}
for name, train in families.items():
    trained[name] = train(survey, vocab_size=1200)
    print(f"{name:17}", *trained[name].tokenize("Unaffordable, naïve council."))
widgets.token_explorer(text="Unaffordable, naïve council.", **trained)

# %% [markdown]
# *What we see.* The families mark words differently. `##`: this piece continues a word. `Ġ` and `▁`: a blank stood
# before this piece. `</w>`: a word ends here. The byte-level kind reads bytes, not letters: *ï* becomes two strange
# signs, and nothing is ever unknown.
#
# What does size buy?

# %%
def per_word(tokenizer, texts):
    words = sum(len(text.split()) for text in texts)
    return len(tokenizer.tokenize(" ".join(texts))) / words

sizes, spent = (200, 400, 800, 1600), []
for size in sizes:
    learned = train_bpe(survey[::2], vocab_size=size)
    spent.append(per_word(learned, survey[1::2]))
plots.bars([str(size) for size in sizes], spent, "Tokens per word, new answers")

# %% [markdown]
# *What we see.* Each doubling saves less. Each entry also costs a row of weights, learned from the few texts that
# contain it. Real vocabularies have 30,000 to 250,000 pieces and were learned from gigabytes.
#
# Training tokenizers is quick, keeping them too: the folder has the usual files and loads in other libraries.

# %%
import os
import tempfile

folder = tempfile.TemporaryDirectory()
trained["byte BPE (GPT-2)"].save_pretrained(folder.name)
print(sorted(os.listdir(folder.name)))
AutoTokenizer.from_pretrained(folder.name).tokenize("The rent, again the rent.")

# %% [markdown]
# ### Exercise 4 · level 2 of 3 · 6 minutes
#
# Turn pieces back into words: write `glue(tokens)` for byte BPE. `["The", "Ġrent", "Ġis", "Ġhigh", "er"]` becomes
# `"The rent is higher"`.
#
# <details><summary>Hint</summary>Join first, then look at the mark.</details>
# <details><summary>Bigger hint</summary>Which sign does <code>Ġ</code> stand for?
# <code>str.replace</code>.</details>

# %% tags=["exercise", "check"]
def glue(tokens):
    return ...  # your code here
    ### BEGIN SOLUTION
    return "".join(tokens).replace("Ġ", " ")

print(glue(trained["byte BPE (GPT-2)"].tokenize(survey[0][:60])))
### END SOLUTION
checks.glue(glue, trained["byte BPE (GPT-2)"], survey)

# %% [markdown]
# ## 5. Who pays?
#
# Now the price. `languages` holds the same sentences in several languages.

# %%
sentences = load_dataset("languages")
sentences.groupby("language")["text"].first()

# %% [markdown]
# How many tokens does each language take in the vocabulary that we trained on English answers? And in one that was
# learned from `everybody`? What a vocabulary was learned from flatters it, so the second learns from one half of the
# sentences (700 pieces are all that they give), and both are measured on the other.

# %%
learn = sentences["sentence"] % 2 == 0
tested = sentences[~learn]

def tokens_by_language(tokenizer):
    counts = tested["text"].map(lambda text: len(tokenizer.tokenize(text)))
    return counts.groupby(tested["language"]).sum()

english = trained["byte BPE (GPT-2)"]
everybody = train_byte_bpe(sentences["text"][learn], vocab_size=700)

# %%
cost = pd.DataFrame({"learned from English": tokens_by_language(english),
                     "learned from everybody": tokens_by_language(everybody)})
cost.sort_values("learned from English")

# %% [markdown]
# *What we see.* The content is the same, the count is not. A text in a language that the vocabulary hardly knows falls
# into bytes. It costs more, fills the model's window sooner, and is read worse. Learned from everybody, the price
# changes: it is a choice of those who collect texts.
#
# ### Exercise 5 · level 2 of 3 · 7 minutes
#
# The **premium** of a language is its number of tokens divided by that of English. Make `premium`, a column for the
# tokenizer `english`, and find the `dearest` language.
#
# <details><summary>Hint</summary><code>cost["learned from English"]</code> holds the counts, and
# <code>.loc["English"]</code> one of them.</details>
# <details><summary>Bigger hint</summary><code>.idxmax()</code> names the row of the highest number.</details>

# %% tags=["exercise", "check"]
premium, dearest = ..., ...  # your code here
### BEGIN SOLUTION
column = cost["learned from English"]
premium = column / column.loc["English"]
dearest = premium.idxmax()
print(premium.round(2).sort_values().to_string())
### END SOLUTION
checks.premium(premium, dearest, tested, english)

# %% [markdown]
# ## What we learned
#
# Words never end and letters say little; pieces are the compromise. WordPiece takes the longest piece, BPE joins what
# stands together, Unigram drops what helps least. A vocabulary mirrors its texts, and so does its price.
#
# **To discuss**
#
# 1. Who should pay for a longer token sequence: speakers, providers, or public funds?
# 2. Your interviews are in dialect. Would you train a vocabulary of your own, and what would you lose?
# 3. Is one vocabulary for a hundred languages fairer than a hundred vocabularies?
#
# ## The same with a research model
#
# ```python
# tokenizer = AutoTokenizer.from_pretrained("bert-base-multilingual-cased")
# ```
#
# 119,547 pieces from 104 Wikipedias, a download of 1 MB. Put it into the last table: whose premium shrinks?
