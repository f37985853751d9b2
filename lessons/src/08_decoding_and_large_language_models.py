# %% [markdown]
# # Decoding and large language models
#
# > The same model, asked the same question about the same answer, says *housing* in the morning and *safety* at noon.
# > Was it moody, was it told to throw dice, or did we word the question differently?
#
# You will be able to
#
# - read what a language model really says: a probability for every next token;
# - turn that into text greedily, by drawing, or by beams, and say what each setting does;
# - use log-probabilities to see where a model is in doubt;
# - write a prompt as a chat template makes it, and let a model choose among legal answers only;
# - test how much an answer depends on the wording, and make a run repeatable.
#
# 60 minutes · data: `local_life` · model: `pocket/generator`, a small storyteller trained for this course · memory:
# under 0.8 GB · no network needed · builds on lessons 1 and 2

# %% [markdown]
# ## 1. One distribution
#
# A language model writes one [token](../lessons/glossary.ipynb#token) at a time. It never "decides" anything: for each
# place it gives a probability to *every* token of its vocabulary.

# %%
from course import AutoModelForCausalLM, AutoTokenizer, load_dataset, plots
from course.checks import lesson_08 as checks

name = "pocket/generator"
tokenizer = AutoTokenizer.from_pretrained(name)
tokenizer.pad_token = tokenizer.eos_token  # it was made without one
model = AutoModelForCausalLM.from_pretrained(name)
prompt = "Once upon a time there was a"
inputs = tokenizer(prompt, return_tensors="pt")
with torch.inference_mode():
    logits = model(**inputs).logits[0, -1]

# %%
best = logits.softmax(-1).topk(8)
words = [repr(tokenizer.decode([number])) for number in best.indices.tolist()]
plots.probabilities(words, best.values, "What comes next?")

# %% [markdown]
# *What we see.* The eight most probable of thousands of tokens. Two dials change this picture before anything is
# chosen. **Temperature** divides the [logits](../lessons/glossary.ipynb#logits): below 1 the favourites gain, above 1
# the others. **top-p** keeps the most probable tokens until they hold a share p together, and drops the rest.

# %%
from course import widgets

widgets.next_token_explorer(name, prompt)

# %% [markdown]
# ### Exercise 1 · level 2 of 3 · 10 minutes
#
# Write `survivors(logits, temperature, top_p)`: how many tokens are left to draw from? Keep the most probable ones
# until their probabilities reach `top_p` *together*; the one that crosses the line still belongs to them.
#
# <details><summary>Hint</summary>Divide, softmax, sort from the largest, <code>cumsum</code>.</details>
# <details><summary>Bigger hint</summary>A token survives when what stands *before* it is still below top_p:
# <code>cumulated - sorted &lt; top_p</code>.</details>

# %% tags=["exercise", "check"]
def survivors(logits, temperature, top_p):
    return ...  # your code here
    ### BEGIN SOLUTION
    ordered = (logits / temperature).softmax(-1).sort(descending=True).values
    return int((ordered.cumsum(-1) - ordered < top_p).sum())
    ### END SOLUTION

checks.survivors(survivors, logits)

# %% [markdown]
# ## 2. From probabilities to a text
#
# **Greedy**: always the most probable token. **Sampling**: draw one, by the probabilities that the dials have left.
# `seed` fixes the dice.

# %%
def write(**settings):
    ids = model.generate(**inputs, max_new_tokens=24, **settings)
    return tokenizer.decode(ids[0], skip_special_tokens=True)

print("greedy: ", write(do_sample=False))
for seed in (1, 2):
    print("seed", seed, write(do_sample=True, temperature=0.8, seed=seed))

# %% [markdown]
# *What we see.* Greedy is always the same and soon repeats itself. Sampling is livelier and different with every seed.
# Neither is "what the model thinks": that is the distribution.
#
# ### Exercise 2 · level 1 of 3 · 6 minutes
#
# Draw ten texts at temperature 0.02 and ten at 1.5 (seeds 0 to 9 each). How many **different** texts are there in each
# ten?
#
# <details><summary>Hint</summary><code>write(do_sample=True, temperature=…, seed=…)</code> in a loop.</details>
# <details><summary>Bigger hint</summary>A <code>set</code> keeps each text once; its <code>len</code> is the
# answer.</details>

# %% tags=["exercise", "check"]
cold, hot = ..., ...  # your code here
### BEGIN SOLUTION
def texts_at(temperature):
    return {write(do_sample=True, temperature=temperature, seed=seed)
            for seed in range(10)}

cold, hot = len(texts_at(0.02)), len(texts_at(1.5))
print(cold, "and", hot)
### END SOLUTION
checks.different(cold, hot, write)

# %% [markdown]
# ## 3. Beams
#
# Greedy can walk into a dead end. **Beam search** keeps several beginnings alive and goes on with those whose whole
# text is most probable.

# %%
found = model.generate(**inputs, num_beams=4, num_return_sequences=4,
                       max_new_tokens=5, do_sample=False,
                       return_dict_in_generate=True)
texts = tokenizer.batch_decode(found.sequences)
pd.Series(found.sequences_scores, texts).round(2)

# %%
widgets.beam_explorer(name, prompt)

# %% [markdown]
# *What we see.* Beams share their beginnings and part late; what is grey was given up. The number is the probability of
# all tokens up to there. `generate` compares beams by the mean of its logarithm: nearer to 0 is more probable. Translation and summaries are written so; stories are not, because the most probable story is a dull one.
#
# ## 4. Where is the model in doubt?
#
# Every token of a text was chosen with some probability. Its logarithm tells where the text could have gone
# elsewhere.

# %%
story = model.generate(**inputs, max_new_tokens=12, do_sample=False,
                       return_dict_in_generate=True)

# %%
chances = story.log_probs[0].exp().tolist()
pieces = tokenizer.batch_decode(story.sequences[0, inputs.input_ids.shape[1]:])
columns = {"token": pieces, "probability": chances}
pd.DataFrame(columns).round(2).T

# %% [markdown]
# ### Exercise 3 · level 2 of 3 · 8 minutes
#
# A text is as probable as all its tokens together. What is the probability of this whole text (`whole`), and what the
# **mean** log-probability of a token (`per_token`)?
#
# <details><summary>Hint</summary>Probabilities multiply, logarithms add.</details>
# <details><summary>Bigger hint</summary><code>story.log_probs.sum().exp()</code></details>

# %% tags=["exercise", "check"]
whole, per_token = ..., ...  # your code here
### BEGIN SOLUTION
whole = story.log_probs.sum().exp().item()
per_token = story.log_probs.mean().item()
print(f"{whole:.2e}, {per_token:.2f} a token")
### END SOLUTION
checks.whole_text(whole, per_token, story)

# %% [markdown]
# ## 5. Asking a model: chats and legal answers
#
# Assistants are language models that were trained on conversations. A **chat template** turns a conversation into one
# text with marks for who speaks; the model then continues it. This is the template of a widely used kind:

# %%
template = ("{% for m in messages %}<|im_start|>{{ m.role }}\n"
            "{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n")
chat = [{"role": "system", "content": "You code survey answers."},
        {"role": "user", "content": "Rent. Which topic?"}]
text = tokenizer.apply_chat_template(chat, chat_template=template,
                                     tokenize=False)
print(text)

# %% [markdown]
# *What we see.* No magic, only text. What stands in the system line is a wish, not a lock: a model may still answer
# anything, in any words. For coding we do better than asking politely. `allowed_outputs` gives *each legal answer* a
# probability, and nothing else can come out.

# %%
survey = load_dataset("local_life").query("language == 'en'")
texts = survey["answer"].dropna().iloc[:40].str.slice(0, 200).tolist()
labels = ["home", "money", "children"]

# %%
def code(texts, labels, ask="What is it about?"):
    ask = f"{ask} {', '.join(labels)}."
    prompts = [f"{ask}\nAnswer: {text}\nTopic:" for text in texts]
    batch = tokenizer(prompts, padding=True, return_tensors="pt")
    answers = [f" {label}\n" for label in labels]
    return model.generate(**batch, allowed_outputs=answers, tokenizer=tokenizer)

# %%
coded = code(texts, labels)
shares = pd.Series(coded.answers).str.strip().value_counts()
plots.bars(list(shares.index), shares, "Chosen, of 40 answers", decimals=0)

# %% [markdown]
# *What we see.* Always a legal label, and a probability for each. Legal is not right: this storyteller has never seen
# a codebook, and chooses the word that its tales are full of. But nothing about the *form* tells you so; a confident
# wrong label looks like a right one.
#
# ### Exercise 4 · level 3 of 3 · 10 minutes
#
# Nothing about an answer changes when the labels are listed in another order. For what **share** of the 40 answers does
# the label change when the list is reversed?
#
# <details><summary>Hint</summary><code>code(texts, labels[::-1])</code> gives answers as texts: compare those, not
# their numbers.</details>
# <details><summary>Bigger hint</summary>Compare the two lists <code>.answers</code> place by place; the mean of
# True and False is a share.</details>

# %% tags=["exercise", "check"]
changed = ...  # your code here
### BEGIN SOLUTION
backwards = code(texts, labels[::-1])
pairs = list(zip(coded.answers, backwards.answers, strict=True))
changed = sum(a != b for a, b in pairs) / len(pairs)
print(f"{changed:.0%}")
### END SOLUTION
checks.order_matters(changed, code, texts, labels)

# %% [markdown]
# *What we see.* If the order of labels moves answers, so will a synonym, a polite "please", a new version of the model.
# A study that reports one wording reports one draw. Lessons 10 to 12 show what to do about it.
#
# ## Recap
#
# - A language model gives distributions; a text is what our settings make of them.
# - Temperature and top-p change what may be drawn; seeds make a draw repeatable; beams look for the most probable
#   whole.
# - Legal answers give probabilities that can be validated. They do not make a model right.
# - Write down model, revision, prompt, settings and seed; otherwise nobody can repeat it.
#
# **To discuss.** Is a model at temperature 0 objective? · Who would notice if a provider changed the model overnight? ·
# Would you accept a coder whose decision depends on the order of the labels?
#
# **The same with a research model.** `name = "HuggingFaceTB/SmolLM2-135M-Instruct"` (270 MB) has its own chat template
# and has been trained to follow instructions; its authors report 29.9 on IFEval. Run the lesson again with it:
# the cells stay the same.
