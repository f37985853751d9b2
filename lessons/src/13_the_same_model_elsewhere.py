# %% [markdown]
# # The same model elsewhere
#
# > Interviewers in the field are to see a model's label on their tablets, without a network. The tablet knows no
# > Python, and the file has to be small. Will it still give the labels that our paper reports?
#
# You will be able to
#
# - say what the file of a model holds, and what each number format costs;
# - round weights to a few bits by hand, and watch which labels change;
# - tell a difference in numbers from a difference in findings;
# - carry a model to another program and back, and check that it arrived;
# - write down which file gave the published labels.
#
# 45 minutes · data: `local_life` · model: `pocket/sentiment` · memory: under 1 GB · no network needed · builds on
# lessons 1 and 7

# %% [markdown]
# ## 1. What the file holds
#
# A model is a list of named tables of numbers, and a description of how to use them. The numbers were learned once;
# every program that multiplies and adds them in the same way gives the same answers. So what does such a number cost?

# %%
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from course import AutoModelForSequenceClassification, AutoTokenizer
from course import load_dataset, plots
from course.checks import lesson_13 as checks

# %%
name = "pocket/sentiment"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForSequenceClassification.from_pretrained(name).eval()
weights = model.num_parameters()
f"{weights:,} weights"

# %%
row = model.bert.layers[0].attention.q.weight[0].detach()  # the first output
row[:6]

# %% [markdown]
# *What we see.* Small numbers with many digits. `float32` spends 32 bits on each, four bytes; `bfloat16` keeps the
# size of a number but only two or three of its digits, in 16 bits. An `int8` is a whole number from -127 to 127.
#
# ### Exercise 1 · level 1 of 3 · 5 minutes
#
# Write `megabytes(weights, bits)`: how large is a file with so many weights of so many bits? A megabyte is a million
# bytes.
#
# <details><summary>Hint</summary>A byte has 8 bits.</details>
# <details><summary>Bigger hint</summary>At 8 bits, a million weights are one megabyte.</details>

# %% tags=["exercise", "check"]
def megabytes(weights, bits):
    return ...  # your code here
    ### BEGIN SOLUTION
    return weights * bits / 8 / 1e6
    ### END SOLUTION

checks.megabytes(megabytes)

# %% [markdown]
# ## 2. Rounding by hand
#
# To make whole numbers of a row, take its largest number as 127 and let the others follow: divide by a **factor**,
# round, and remember the factor. Whoever uses the row multiplies it back. This is called *quantisation*.

# %%
factor = row.abs().max() / 127
whole = (row / factor).round()
pd.DataFrame({"weight": row, "stored": whole, "used": whole * factor}).head(6)

# %%
bits = torch.tensor([8, 6, 4, 3, 2])
steps = 2 ** (bits - 1) - 1  # whole numbers on each side of zero
pd.DataFrame({"largest stored number": steps.tolist()}, bits.tolist())

# %% [markdown]
# *What we see.* With 8 bits the row hardly changes. Each bit less halves the number of steps, and with 2 bits only
# -1, 0 and 1 are left. One large weight makes the steps coarse for its whole row: that is why each row has a factor
# of its own.
#
# ### Exercise 2 · level 2 of 3 · 8 minutes
#
# Write `worst(row, bits)`: by how much can rounding change a weight of this row, at most? You need the distance
# between two steps, and where between them a number is changed most.
#
# <details><summary>Hint</summary>The factor is the distance between two steps: the largest absolute value, divided
# by the largest stored number.</details>
# <details><summary>Bigger hint</summary>A number in the middle between two steps moves by half a step.</details>

# %% tags=["exercise", "check"]
def worst(row, bits):
    return ...  # your code here
    ### BEGIN SOLUTION
    return row.abs().max() / (2 ** (bits - 1) - 1) / 2
    ### END SOLUTION

checks.worst(worst)

# %% [markdown]
# ## 3. What precision is worth
#
# Now the whole model: every table is rounded, row by row, and the rounded models read the same answers of our survey.

# %%
def rounded(model, bits):
    copy = deepcopy(model)
    for weight in copy.parameters():
        if weight.dim() == 2:
            largest = weight.data.abs().amax(1, keepdim=True)
            factor = largest / (2 ** (bits - 1) - 1)
            weight.data = (weight.data / factor).round() * factor
    return copy

# %%
survey = load_dataset("local_life").query("language == 'en'")
answers = survey["answer"].dropna().sample(96, random_state=13).tolist()

# %%
def read(model):
    parts = [answers[start:start + 16] for start in range(0, 96, 16)]
    found = []
    for part in parts:
        batch = tokenizer(part, padding=True, return_tensors="pt")
        with torch.inference_mode():
            found.append(model(**batch).logits)
    return torch.cat(found)

# %%
exact = read(model)
logits = {bits: read(rounded(model, bits)) for bits in (8, 6, 4, 3)}
for bits, found in logits.items():
    print(f"{bits} bits: differ by up to {(found - exact).abs().max():.2f}")
kept = [(found.argmax(1) == exact.argmax(1)).double().mean().item()
        for found in logits.values()]
sizes = [f"{bits} bits, {weights * bits / 8e6:.0f} MB" for bits in logits]
plots.bars(sizes, kept, "Share of labels kept", most=1)

# %% [markdown]
# *What we see.* Numbers differ at once; labels hold out longer, then they go. Between the two lies what matters to a
# study: a [logit](../lessons/glossary.ipynb#logits) may move a little as long as the *larger* one stays the larger.
#
# ### Exercise 3 · level 2 of 3 · 8 minutes
#
# Which answers change their label at 3 bits? Compute `changed`, the share of answers whose label is another one, and
# `sure` and `unsure`: the mean **margin** (below) of the answers that keep their label, and of those that change it.
#
# <details><summary>Hint</summary><code>logits[3].argmax(1) != exact.argmax(1)</code> is True where a label
# changed.</details>
# <details><summary>Bigger hint</summary><code>margin[flipped]</code> are the margins of those,
# <code>margin[~flipped]</code> of all others.</details>

# %%
margin = (exact[:, 0] - exact[:, 1]).abs()  # how clear the full model is

# %% tags=["exercise", "check"]
changed, sure, unsure = ..., ..., ...  # your code here
### BEGIN SOLUTION
flipped = logits[3].argmax(1) != exact.argmax(1)
changed = flipped.double().mean()
sure, unsure = margin[~flipped].mean(), margin[flipped].mean()
### END SOLUTION
checks.changed(changed, sure, unsure, exact, logits[3])

# %% [markdown]
# Rounding is no random error that averages out: it meets the answers near the border, the ambivalent ones. If one
# group of people answers in a more mixed tone than another, its labels suffer more.
#
# ## 4. A guarantee
#
# Suppose a file elsewhere gives logits that differ from ours by at most $d$, in either direction. A label can only
# change when the margin is used up: one logit falls by $d$, the other rises by $d$.
#
# ### Exercise 4 · level 3 of 3 · 8 minutes
#
# Write `safe(margin, d)`: the share of answers whose label *cannot* have changed, whatever happened to the numbers.
#
# <details><summary>Hint</summary>By how much can the two logits approach each other?</details>
# <details><summary>Bigger hint</summary>By twice <code>d</code>.</details>

# %% tags=["exercise", "check"]
def safe(margin, d):
    return ...  # your code here
    ### BEGIN SOLUTION
    return (margin > 2 * d).double().mean()
    ### END SOLUTION

checks.safe(safe, margin)

# %% [markdown]
# ## 5. To other programs
#
# **ONNX** is a file format for networks that many programs run: servers, phones, a web page. `course export` writes
# it, runs it again in its own runtime, compares, and only then says that it is done. Where ONNX is not installed
# (`pip install "course[onnx]"`), the next cell shows the table of an earlier run.

# %%
stored = """| model | MB | ms a text | largest difference | labels agreed |
|---|---:|---:|---:|---:|
| torch, float32 | 59.7 | 12.0 | 0.0e+00 | 100.0% |
| onnx, float32 | 59.8 | 7.6 | 2.1e-06 | 100.0% |
| onnx, int8 | 15.3 | 7.5 | 9.4e-02 | 100.0% |"""

# %%
if find_spec("onnx") and find_spec("onnxruntime"):
    from course.export import export, table
    folder = Path(mkdtemp()) / "sentiment"
    rows = export(name, "onnx", int8=True, folder=folder, texts=answers)
    stored = table(rows)
print(stored)

# %% [markdown]
# *What we see.* The float32 file differs in the sixth digit: it adds in another order. The int8 file has a quarter
# of the size. `course export pocket/sentiment --to browser` makes a web page of it that a class can open.
#
# Older checkpoints lie in the format of **TensorFlow**. `from_tf=True` reads them without TensorFlow; it needs the
# small library h5py (`pip install "course[h5]"`). There and back:

# %%
if find_spec("h5py"):
    folder = Path(mkdtemp())
    model.save_pretrained(folder, to_tf=True)
    back = type(model).from_pretrained(folder, from_tf=True).eval()
    print(sorted(path.name for path in folder.iterdir()))
    print("largest difference:", (read(back) - exact).abs().max().item())
else:
    print("h5py is not installed; on the authors' machine: difference 0.0")

# %% [markdown]
# ## Recap
#
# - A model is numbers; their format decides the size of the file, and a little about its answers.
# - Eight bits with a factor a row are nearly free. Below that, count the labels that change, on your own texts.
# - Labels change where the model was in doubt, so not at random.
# - A file that was carried elsewhere is checked there: same texts, same tokens, labels compared.
# - The paper names the file that gave the labels: its format, its version, and the share of labels that agreed.
#
# **To discuss.** A field team codes with the int8 file, the paper with float32: 1 % of labels differ. Must the paper
# say so? · Would you accept 4 bits if all lost labels came from one region? · Who checks a model that a tablet
# updates by itself?
#
# **The same with a research model.** `course export distilbert-base-uncased-finetuned-sst-2-english --to onnx --int8`
# (66 million weights, 268 MB; 91.3 % accuracy on the SST-2 development set by its model card): about 67 MB, and the
# same table.
