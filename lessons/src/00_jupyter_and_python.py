# %% [markdown]
# # Jupyter and the Python of this course
#
# > You can read a table of survey answers. What do you have to know to read a *cell*, to change it, and to trust what
# > it prints?
#
# You will be able to
#
# - run, stop and restart a notebook, and say in which order its cells were run;
# - read the few forms of Python that the lessons use: names, texts, lists, functions;
# - take columns, rows and shares from a table;
# - read an error message from its last line.
#
# 30 minutes · data: `local_life`, 300 people of an invented country answer three open questions · memory: under 0.5 GB
# · no network needed

# %% [markdown]
# ## 1. Cells
#
# A **notebook** is made of cells. Some hold text, like this one; the others hold code. Click into a cell and press
# Shift+Enter: it runs, its result appears below, and the next cell is chosen. The cell above this text is the same in
# every lesson and loads what the lesson needs. Did you run it?

# %%
from course import load_dataset, plots, widgets
from course.checks import lesson_00 as checks

steps = [("cell", "what you write"), ("kernel", "Python, remembers names"),
         ("output", "what the last line is worth")]
plots.flow(steps, "What happens when you run a cell")

# %% [markdown]
# *What we see.* A picture, because the last line of the cell makes one. Cells are only paper; the **kernel** works, and
# it remembers what was run, in the order in which it was run. The number in brackets on the left counts: `[3]` ran
# third, `[ ]` never, `[*]` is running or waits.
#
# - *Stop* a cell that takes too long: the ■ above, or the key I twice.
# - *Start again* when you have lost track: Kernel → Restart Kernel and Run All Cells. Names are forgotten, the text
#   stays.
# - *Save* by Ctrl+S. This copy is yours: write into it what you like.
#
# A **name** is made by `=`; what stands right of it is kept under it. A `#` begins a remark for people.

# %%
invited = 480
answered = 312  # after one reminder
invited - answered

# %% [markdown]
# *What we see.* Only the last line is shown. With `print(…)` any line shows something.
#
# ### Exercise 1 · level 1 of 3 · 2 minutes
#
# Replace the three points: what is the response **rate**, answered divided by invited?
#
# <details><summary>Hint</summary>Division is written <code>/</code>, and names can stand in place of their
# numbers.</details>

# %% tags=["exercise", "check"]
rate = ...  # your code here
### BEGIN SOLUTION
rate = answered / invited
print(f"{rate:.0%}")
### END SOLUTION
checks.response_rate(rate, invited, answered)

# %% [markdown]
# *What we see.* A check answers every exercise: ○ not done yet, ? a question that helps, ✓ solved. A wrong answer
# breaks nothing; change the cell and run it again.
#
# ## 2. Texts and lists
#
# A text stands in quotation marks, a **list** in square brackets. Counting begins with 0, from the end with -1.

# %%
answers = ["The rent is too high.", "Noise", "I like it here", "No late buses"]
print(len(answers), "answers; the first:", answers[0], "the last:", answers[-1])
print(answers[0].lower())
print(answers[0].split())

# %% [markdown]
# *What we see.* `len(…)` is a **function**: what stands in the brackets goes in, something comes out. `.lower()` and
# `.split()` are functions that belong to a text, and stand behind a point. `split` makes a list of words.
#
# What is to be done with each item of a list is written with `for`. Lines that belong to it are moved to the right.

# %%
for answer in answers:
    print(len(answer.split()), answer)

# %% [markdown]
# The same word in one line makes a new list. Read it from the middle: *for* each answer *in* answers, take … ; *if* lets
# only some pass.

# %%
print([len(answer) for answer in answers])
print([answer for answer in answers if "rent" in answer])

# %% [markdown]
# Some results can be touched. Type into the box, and see into which pieces a model cuts your words (more in lesson 1).

# %%
widgets.token_explorer("pocket/sentiment", text=answers[0])

# %% [markdown]
# ### Exercise 2 · level 1 of 3 · 5 minutes
#
# Make the list `kept` of all answers with **more than three words**.
#
# <details><summary>Hint</summary>The second line above is nearly it. What comes after <code>if</code>?</details>
# <details><summary>Bigger hint</summary><code>len(answer.split()) > 3</code> is True or False.</details>

# %% tags=["exercise", "check"]
kept = ...  # your code here
### BEGIN SOLUTION
kept = [answer for answer in answers if len(answer.split()) > 3]
print(kept)
### END SOLUTION
checks.long_answers(kept, answers)

# %% [markdown]
# ## 3. Functions of your own
#
# `def` gives a name to some lines, so that they can be used again. What goes in stands in brackets; `return` hands the
# result back. `f"…"` is a text with gaps: what stands in `{}` is filled in.

# %%
def greet(place, hour=9):
    return f"Good morning, {place}! It is {hour} o'clock."

print(greet("Tamsin"))
print(greet("Harbourside", hour=10))

# %% [markdown]
# *What we see.* `hour` has a value for when nobody gives one; the lessons use many functions with such options.
#
# ### Exercise 3 · level 2 of 3 · 5 minutes
#
# Write `words(text)`: how many words has a text?
#
# <details><summary>Hint</summary>You have used both functions: one makes a list of words, one counts.</details>
# <details><summary>Bigger hint</summary><code>return len(…)</code></details>

# %% tags=["exercise", "check"]
def words(text):
    return ...  # your code here
    ### BEGIN SOLUTION
    return len(text.split())

print([words(answer) for answer in answers])
### END SOLUTION
checks.words(words)

# %% [markdown]
# ## 4. Tables
#
# Real answers come as tables, from the library pandas, called `pd` in the set-up cell. One is part of the course.

# %%
survey = load_dataset("local_life")
survey[["age", "area", "question", "answer"]].head(4)

# %% [markdown]
# *What we see.* One row an answer, one column a question about it; the numbers on the left name the rows. A column is
# `survey["age"]`. It can be compared and summed up as a whole, without a `for`.

# %%
print(survey["age"].mean())
print((survey["age"] < 30).mean())
survey["area"].value_counts()

# %% [markdown]
# *What we see.* The mean age, then a **share**: the comparison gives True or False for each row, and the mean counts
# True as 1 and False as 0. `value_counts` counts how often each value occurs.

# %%
survey.query("area == 'city' and age < 30")["answer"].iloc[0]

# %% [markdown]
# *What we see.* `query` keeps the rows for which something holds; `==` asks, while `=` gives a name. `.iloc[0]` is the
# first of them.
#
# ### Exercise 4 · level 2 of 3 · 4 minutes
#
# What **share** of the answers comes from a village?
#
# <details><summary>Hint</summary><code>survey["area"] == "village"</code> gives True or False for each row.</details>
# <details><summary>Bigger hint</summary>Put it in brackets and take <code>.mean()</code>.</details>

# %% tags=["exercise", "check"]
share = ...  # your code here
### BEGIN SOLUTION
share = (survey["area"] == "village").mean()
print(f"{share:.0%}")
### END SOLUTION
checks.village_share(share, survey)

# %% [markdown]
# Models want numbers only, in a [tensor](../lessons/glossary.ipynb#tensor): a list of lists of equal length. Its *shape*
# says how many rows and columns it has.

# %%
numbers = torch.tensor([[2, 7, 1], [8, 2, 8]])
print(numbers.shape, numbers.sum().item())

# %% [markdown]
# ## 5. When something goes wrong
#
# Everybody makes mistakes here all day long. Python stops and tells. The *last line* says what happened; an arrow in
# the lines above points to the place. Three that you will meet:

# %%
for mistake in ("len(answr)", "survey['Answer']", "invited + 'people'"):
    try:
        eval(mistake)  # runs a text as code
    except Exception as error:
        print(f"{mistake:20}", type(error).__name__, "·", error)

# %% [markdown]
# *What we see.* `NameError`: this name was never given; a typing mistake, or the cell that gives it was not run.
# `KeyError`: the table has no such column; capital letters count. `TypeError`: a number and a text do not add up.
#
# ### Exercise 5 · level 2 of 3 · 4 minutes
#
# A colleague wrote `length = survey["Answer"].str.length().mean()` for the mean number of letters in an answer. It
# fails twice. Write it here, run it, read the last line of the message, and **repair** it.
#
# <details><summary>Hint</summary>First the name of the column. Then run it again: the message changes.</details>
# <details><summary>Bigger hint</summary>In this course the length of a text is always <code>len</code>, and in a column
# <code>.str.len()</code>.</details>

# %% tags=["exercise", "check"]
length = ...  # your code here
### BEGIN SOLUTION
length = survey["answer"].str.len().mean()
print(round(length, 1))
### END SOLUTION
checks.repaired(length, survey)

# %% [markdown]
# ## What we learned
#
# The kernel remembers, the cell does not. Lists are walked through with *for*, tables by whole columns, and a share is a
# mean of True and False. Errors are read from below.
#
# **To discuss**
#
# 1. A notebook shows results that its code no longer gives. How can that happen, and how would a reviewer notice?
# 2. Which steps of your last study could have been one line like that of Exercise 2?
# 3. What should be written beside a cell so that a colleague can follow it in a year?
#
# ## Where to go on
#
# Lesson 1 puts a model to work on such answers in one line. What is said there about models holds for those of research,
# of which every lesson names one at its end.
