# %% [markdown]
# # Training and fine-tuning
#
# > Two coders need a week for 900 answers, and the survey has 20,000. How many must people code before a machine can
# > code the rest, and how would we notice that it codes badly?
#
# You will be able to
#
# - say what a loss is, and lower it by a step that you wrote yourself;
# - choose what shrinks, what is frozen, and how the learning rate goes;
# - fine-tune a model with a Trainer, and read the plain loop behind it;
# - find out where a model is wrong, down to the texts;
# - estimate how many coded answers are enough.
#
# 60 minutes · data: `local_life`, 300 people of an invented country answer three open questions · model:
# `pocket/encoder`, which has read much and codes nothing yet · memory: under 1.5 GB · no network needed · builds on
# lessons 1, 2 and 4

# %% [markdown]
# ## 1. One batch, one loss, one step
#
# A codebook knows ten topics; coder A gave every answer one. We keep a quarter of the **people** for the test. Not a
# quarter of the answers: two answers of one person in both halves would be a question whose answer the model has seen.

# %%
from course import AutoModelForSequenceClassification, AutoTokenizer, set_seed
from course import Trainer, TrainingArguments, classification_scores, widgets
from course import confusion_matrix, load_dataset, per_class, pipeline, plots
from course.checks import lesson_05 as checks

survey = load_dataset("local_life").query("language == 'en'")
survey = survey.dropna(subset="answer")
topics = sorted(survey["topic_a"].unique())
held_out = survey["respondent"] % 4 == 0
answers = survey[held_out].copy()
print((~held_out).sum(), "to learn from,", len(answers), "for the test")

# %%
from tempfile import mkdtemp

folder = mkdtemp()  # where the runs write their curves
tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")

def example(text, topic):
    encoded = tokenizer(text, truncation=True, max_length=64)
    return dict(encoded) | {"label": topics.index(topic)}

rows = list(map(example, survey["answer"], survey["topic_a"]))
train = [row for row, test in zip(rows, held_out, strict=True) if not test]
test = [row for row, test in zip(rows, held_out, strict=True) if test]

# %% [markdown]
# A model gives each topic a score; `softmax` makes probabilities of them. The **loss** is minus the logarithm of the
# probability that the right topic got: 0 when the model was sure and right, large when it was sure and wrong.

# %%
from course import DataCollatorWithPadding

def fresh_model():
    set_seed(5)
    return AutoModelForSequenceClassification.from_pretrained(
        "pocket/encoder", id2label=dict(enumerate(topics)))

model = fresh_model()
batch = DataCollatorWithPadding(tokenizer)(train[:16])
model(**batch).loss

# %% [markdown]
# *What we see.* The note is right: the [head](../lessons/glossary.ipynb#head) is new, its weights are random numbers. Its
# loss tells how much it knows.
#
# ### Exercise 1 · level 1 of 3 · 4 minutes
#
# Which loss has a model that knows nothing and gives all ten topics the same probability?
#
# <details><summary>Hint</summary>The right topic gets the probability 1/10.</details>
# <details><summary>Bigger hint</summary><code>math.log</code> of it, with the other sign.</details>

# %% tags=["exercise", "check"]
import math

blind = ...  # your code here
### BEGIN SOLUTION
blind = -math.log(1 / len(topics))
print(f"{blind:.2f}")
### END SOLUTION
checks.blind_loss(blind, len(topics))

# %% [markdown]
# ## 2. The loop
#
# `loss.backward()` finds for every weight in which direction the loss falls, its **gradient**. An **optimizer** then moves
# all weights a little that way. Do it again with the next batch, and again: that is training.
#
# ### Exercise 2 · level 2 of 3 · 8 minutes
#
# Write `one_step(model, batch, optimizer)`: it computes the loss of a batch, lets the optimizer make one step, and
# returns the loss as a plain number. The next step must begin without the old gradients.
#
# <details><summary>Hint</summary>Four calls: <code>model(**batch).loss</code>, <code>.backward()</code>,
# <code>optimizer.step()</code>, <code>optimizer.zero_grad()</code>.</details>
# <details><summary>Bigger hint</summary><code>loss.item()</code> is the number without its history.</details>

# %% tags=["exercise", "check"]
def one_step(model, batch, optimizer):
    return ...  # your code here
    ### BEGIN SOLUTION
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()
### END SOLUTION

checks.one_step(one_step)

# %% [markdown]
# Which weights may shrink? **Weight decay** pulls them towards zero, which keeps a model from leaning on a few large ones.
# Biases and the factors of norms are left out of it: they are few, and zero means something else there.

# %%
from course import AdamW, get_scheduler, parameter_groups

groups = parameter_groups(model, weight_decay=0.01)
for group in groups:
    count = sum(p.numel() for p in group["params"])
    print(f"{count:>10,} weights, decay {group['weight_decay']}")
optimizer = AdamW(groups, lr=5e-4)
schedule = get_scheduler("linear", optimizer, num_warmup_steps=4,
                         num_training_steps=12)

# %%
losses, rates = [], []
for _ in range(12):
    rates.append(schedule.get_last_lr()[0] * 1e4)
    losses.append(one_step(model, batch, optimizer))
    schedule.step()
steps = [f"step {n}" for n in range(12)]
plots.bars(steps, rates, "Learning rate, in ten-thousandths")

# %% [markdown]
# *What we see.* The rate warms up, because the first gradients of a random head are wild, and then falls, so that the end
# settles. Look into `losses` (it holds dots as long as exercise 2 is open): on this one batch the model gets better and
# better. It may have learned sixteen answers by heart. Whether it learned **topics**, only answers that it never saw can
# tell.
#
# ## 3. Freeze the encoder, or tune it all?
#
# The encoder already knows English. We can leave it as it is and teach the head alone, with the **pooler**, the small new
# layer between them.

# %%
frozen = fresh_model()
frozen.base_model.requires_grad_(False)
frozen.base_model.pooler.requires_grad_(True)
frozen.describe().iloc[:, :2]

# %% [markdown]
# ### Exercise 3 · level 2 of 3 · 5 minutes
#
# Which share of the weights of `frozen` is trained?
#
# <details><summary>Hint</summary><code>p.numel()</code> counts the numbers in a weight <code>p</code> of
# <code>frozen.parameters()</code>; <code>p.requires_grad</code> says whether it learns.</details>
# <details><summary>Bigger hint</summary>The sum over those that learn, divided by the sum over all.</details>

# %% tags=["exercise", "check"]
trained = ...  # your code here
### BEGIN SOLUTION
sizes = [(p.numel(), p.requires_grad) for p in frozen.parameters()]
trained = sum(size for size, learns in sizes if learns)
trained = trained / sum(size for size, _ in sizes)
print(f"{trained:.1%}")
### END SOLUTION
checks.trained_share(trained, frozen)

# %% [markdown]
# ## 4. The Trainer
#
# A [Trainer](../lessons/glossary.ipynb#fine-tuning) is this loop with what long runs need: batches of similar length,
# evaluation, a curve, checkpoints. `compute_metrics` gets the scores of all test answers. Accuracy counts answers; the
# mean of F1 over topics counts a rare topic as much as a frequent one.

# %%
def scores(p):
    return classification_scores(p.label_ids, p.predictions.argmax(-1))

def fine_tune(model, rate):
    args = TrainingArguments(folder, num_train_epochs=3, learning_rate=rate,
                             per_device_train_batch_size=16, warmup_ratio=0.1)
    trainer = Trainer(model, args, train_dataset=train, eval_dataset=test,
                      processing_class=tokenizer, compute_metrics=scores,
                      callbacks=[widgets.training_dashboard()])
    trainer.train()
    return trainer

# %%
head_only = fine_tune(frozen, rate=2e-3)
tuned = fine_tune(fresh_model(), rate=3e-4)
rows = {"head only": head_only.evaluate(), "all weights": tuned.evaluate()}
pd.DataFrame(rows).T[["eval_loss", "eval_accuracy", "eval_f1"]].round(2)

# %% [markdown]
# *What we see.* Tuning all weights reads topics better than a head on a frozen encoder, and takes longer. Coders A and B agree
# on three quarters of these answers, so nothing trained on one of them can be expected to do better. What is behind the Trainer?
# `as_code()` prints the plain loop that does the same, step for step; a test of this course runs it and compares.

# %%
print(tuned.as_code())

# %% [markdown]
# ## 5. Where is it wrong?
#
# One number hides ten topics. A table for each class, and the texts behind a cell, show what the number is made of.

# %%
answers["model"] = [topics[n] for n in tuned.predict(test)[0].argmax(-1)]
display(per_class(answers["topic_a"], answers["model"]).round(2))
found = confusion_matrix(answers["topic_a"], answers["model"])
found.rename(columns=lambda topic: topic[:4])

# %% [markdown]
# *What we see.* Rows are the coder's topics, columns the model's; the diagonal is agreement. Some topics are found far less
# often than the accuracy makes believe.
#
# ### Exercise 4 · level 2 of 3 · 8 minutes
#
# Write `behind(label, predicted)`: the answers to which coder A gave the topic `label` and the model `predicted`. Then read
# those of the largest cell beside the diagonal.
#
# <details><summary>Hint</summary><code>answers["topic_a"] == label</code> is True or False for each row.</details>
# <details><summary>Bigger hint</summary>Join two such columns with <code>&amp;</code>, and take
# <code>answers.loc[both, "answer"]</code>.</details>

# %% tags=["exercise", "check"]
def behind(label, predicted):
    return ...  # your code here
    ### BEGIN SOLUTION
    both = (answers["topic_a"] == label) & (answers["model"] == predicted)
    return list(answers.loc[both, "answer"])

for text in behind("community", "environment")[:3]:
    print("-", text[:110])
### END SOLUTION

checks.behind_a_cell(behind, answers[["answer", "topic_a", "model"]])

# %% [markdown]
# ## 6. How many coded answers do I need?
#
# Train on 25, 50, 100, … of them and look at the curve. To be quick we let the frozen encoder read each answer once, and
# fit a logistic regression on what it made of them: less good than the fine-tuned model, but the same shape. On the map,
# each point is an answer: where do the topics lie apart, and where not?

# %%
reader = pipeline("feature-extraction", model="pocket/encoder")
vectors = reader.frame(survey["answer"], pooling="mean")
widgets.embedding_map(vectors[:300], survey["answer"][:300],
                      survey["topic_a"][:300])

# %%
from sklearn.linear_model import LogisticRegression

def accuracy(count, seed):
    some = survey["topic_a"][~held_out].sample(count, random_state=seed)
    head = LogisticRegression(C=10, max_iter=1000)
    head.fit(vectors.loc[some.index], some)
    return head.score(vectors[held_out], survey["topic_a"][held_out])

# %%
sizes = [25, 50, 100, 200, 400, 640]
curve = pd.DataFrame({n: [accuracy(n, s) for s in range(3)] for n in sizes})
print("best minus worst:", (curve.max() - curve.min()).round(2).to_dict())
plots.bars(sizes, curve.mean(), "Accuracy by coded answers", most=1)

# %% [markdown]
# *What we see.* Up to two hundred answers every doubling helps. Then the curve is flat: a simple head on frozen vectors has
# learned what it can, and the fine-tuned model got further. The line above is the distance between the best and the worst
# of three runs that differ only in *which* answers were coded: with few of them it is as large as the gain from
# doubling. A score without its spread is not a result.
#
# ## What we learned
#
# A loss is what the right answer surprised the model. A step is forward, backward, step, zero. Split by people. Read the
# texts behind a confusion, and draw the curve before you pay for more coding.
#
# **To discuss**
#
# 1. Coder A is sometimes wrong. What does a model learn from that, and which score hides it?
# 2. Your rare topic is the one that your study is about. Which of today's numbers would you report?
# 3. You tried twelve learning rates and kept the best on the test answers. What is that score worth?
#
# ## Keep it, watch it, share it
#
# `tuned.save_model("my_topics")` writes a folder that `pipeline("text-classification", model="my_topics")` loads, and that
# anybody can load from you. The runs above have written their curves: `%load_ext tensorboard` and then
# `%tensorboard --logdir {folder}/runs`, each in a cell, draw them inside JupyterLab, without a network.
#
# ## The same with a research model
#
# ```python
# model = AutoModelForSequenceClassification.from_pretrained("bert-base-uncased", num_labels=10)
# ```
#
# A download of 440 MB; 109 million weights instead of 14, so about eight times as long for each step. With a learning rate
# of 2e-5 and three epochs, its paper reports 93.5 % on the two classes of SST-2.
