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
# - train a model in Keras, carry it back to torch, and check that it arrived;
# - write down which file gave the published labels.
#
# 50 minutes · data: `local_life` · model: `pocket/sentiment` · memory: 1.5 GB · no network needed · builds on
# lessons 1 and 7

# %% [markdown]
# ## 1. What the file holds
#
# A model is a list of named tables of numbers, and a description of how to use them. The numbers were learned once;
# every program that multiplies and adds them in the same way gives the same answers. So what does such a number cost?

# %%
import os
from copy import deepcopy
from importlib.util import find_spec
from tempfile import mkdtemp

from course import AutoModelForSequenceClassification, AutoTokenizer
from course import load_dataset, pipeline, plots, widgets
from course.checks import lesson_13 as checks

name, folder = "pocket/sentiment", mkdtemp()
survey = load_dataset("local_life").dropna(subset="answer")

# %%
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

# %% [markdown]
# *What we see.* With 8 bits the row hardly changes. With $b$ bits the largest stored number is $2^{b-1} - 1$: 127 for
# 8, 31 for 6, 7 for 4, 3 for 3, and with 2 bits only -1, 0 and 1 are left. One large weight makes the steps coarse for its whole row: that is why each row has a factor
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
survey = survey.query("language == 'en'")
answers = survey["answer"].sample(96, random_state=13).tolist()

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
# `sure` and `unsure`: the mean **margin** of the answers that keep their label, and of those that change it.
#
# <details><summary>Hint</summary><code>logits[3].argmax(1) != exact.argmax(1)</code> is True where a label
# changed.</details>
# <details><summary>Bigger hint</summary><code>margin[flipped]</code> are the margins of those,
# <code>margin[~flipped]</code> of all others.</details>

# %% tags=["exercise", "check"]
margin = (exact[:, 0] - exact[:, 1]).abs()  # how clear the full model is
changed, sure, unsure = ..., ..., ...  # your code here
### BEGIN SOLUTION
flipped = logits[3].argmax(1) != exact.argmax(1)
changed = flipped.double().mean()
sure, unsure = margin[~flipped].mean(), margin[flipped].mean()
### END SOLUTION
checks.changed(changed, sure, unsure, exact, logits[3])

# %% [markdown]
# Rounding is no random error that averages out: it meets the answers near the border, the ambivalent ones. If one
# group of people answers in a more mixed tone than another, its labels suffer more. Type ambivalent answers for the
# model of 3 bits: which word tips the scale?

# %%
coarse = pipeline("sentiment-analysis", rounded(model, 3), tokenizer=tokenizer)
widgets.prediction_explorer(
    coarse, "The new bus is quick, but we lost the school.",
    word="school", others="market, clinic, noise")

# %% [markdown]
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
# it, runs it again in its own runtime, compares, and only then says that it is done. An earlier run, on two cores:
#
# | model | MB | ms a text | largest difference | labels agreed |
# |---|---:|---:|---:|---:|
# | torch, float32 | 59.7 | 12.1 | 0.0e+00 | 100.0% |
# | onnx, float32 | 59.8 | 7.6 | 1.4e-06 | 100.0% |
# | onnx, int8 | 15.3 | 7.6 | 9.7e-02 | 100.0% |

# %%
if find_spec("onnx") and find_spec("onnxruntime"):
    from course.export import export, table
    print(table(export(name, "onnx", int8=True, texts=answers,
                       folder=f"{folder}/onnx")))
else:
    print('Not run here: pip install "course[onnx]"')

# %% [markdown]
# *What we see.* The float32 file differs in the sixth digit: it adds in another order. The int8 file has a quarter
# of the size. `course export pocket/sentiment --to browser` makes a web page of it that a class can open, `--to
# tflite` a file for phones (it needs TensorFlow).
#
# ## 6. To Keras and back
#
# Many courses train with **Keras**, and older checkpoints are files of **TensorFlow**, `tf_model.h5`. `course` reads
# and writes them without TensorFlow, and Keras computes with TensorFlow or with torch: here torch does the work. Our
# model goes into such a file, learns from our own coders in Keras, and comes home. Half of the respondents teach, the
# others are the test: one person's answers are alike.

# %%
with_keras = find_spec("keras") and find_spec("h5py")
os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported
clear = survey.query("sentiment_a == sentiment_b != 'mixed'")
teach = clear.query("respondent <= 150").sample(96, random_state=13)
test = clear.query("respondent > 150").sample(96, random_state=13)

def arrays(part):
    x = tokenizer(part["answer"].tolist(), padding=True, max_length=40,
                  truncation=True, return_tensors="np")
    return x, (part["sentiment_a"] == "positive").astype(int)

print("Keras is here" if with_keras else 'Try: pip install "course[keras]"')

# %%
if with_keras:
    from course import TFAutoModelForSequenceClassification as TFAuto
    from keras.optimizers import Adam
    model.save_pretrained(folder, to_tf=True)
    there = TFAuto.from_pretrained(folder)
    there.compile(Adam(5e-5), metrics=["accuracy"])
    print("before:", there.evaluate(*arrays(test), verbose=0))
    fitted = there.fit(*arrays(teach), epochs=3, batch_size=16, verbose=0,
                       validation_data=arrays(test))
    display(pd.DataFrame(fitted.history))

# %% [markdown]
# *What we see.* In our run, the model gave 64 of 96 test answers the label of our coders before (`before:` is loss and
# accuracy), and 82 after three epochs. 96 answers fix such a share to about seven points. Where Keras is missing
# (`pip install "course[keras]"`) the cells do nothing, and you read our figures.
#
# ### Exercise 5 · level 2 of 3 · 5 minutes
#
# Is what comes home the model that left? Write `arrived(ours, theirs)` for two tables of logits, of the same texts: it
# returns the largest difference between them, and the share of labels that agree.
#
# <details><summary>Hint</summary>Section 3 computes both.</details>
# <details><summary>Bigger hint</summary><code>return (ours - theirs).abs().max(), …</code>: a tuple of two
# numbers.</details>

# %% tags=["exercise", "check"]
def arrived(ours, theirs):
    return ...  # your code here
    ### BEGIN SOLUTION
    agree = ours.argmax(1) == theirs.argmax(1)
    return (ours - theirs).abs().max(), agree.double().mean()
    ### END SOLUTION

checks.arrived(arrived)

# %%
if with_keras:
    there.save_pretrained(folder)
    back = type(model).from_pretrained(folder, from_tf=True)
    print(arrived(read(there), read(back)), arrived(exact, read(back)))

# %% [markdown]
# *What we see.* The first pair is the trip: 0.000001 and all labels (1.0). The second compares with the model that left:
# 2.4 and 0.81, so a fifth of the labels are other ones. The format changed nothing; what the coders taught changed
# much. The name of a file says neither.
#
# ## Recap
#
# - A model is numbers; their format decides the size of the file, and a little about its answers.
# - Eight bits with a factor a row are nearly free. Below that, count the labels that change, on your own texts.
# - Labels change where the model was in doubt, so not at random.
# - A file that was carried elsewhere is checked there: same texts, same tokens, labels compared.
# - Keras, torch and TensorFlow's files hold the same numbers; training changes them, a format hardly.
# - The paper names the file that gave the labels: its format, its version, and the share of labels that agreed.
#
# **To discuss.** A field team codes with the int8 file, the paper with float32: 1 % of labels differ. Must the paper
# say so? · Would you accept 4 bits if all lost labels came from one region? · Who checks a model that a tablet
# updates by itself?
#
# **The same with a research model.** `course export distilbert-base-uncased-finetuned-sst-2-english --to onnx --int8`
# (66 million weights, 268 MB; 91.3 % accuracy on the SST-2 development set by its model card): about 67 MB, and the
# same table.
