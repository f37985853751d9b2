"""Checks of lesson 7, Inside a Transformer."""

from typing import Any

from course.checks import exercise, is_number, near, tensor


@exercise(1, "1 is the same direction, 0 a right angle, -1 the opposite. Length does not count.")
def cosine(function: Any) -> str | None:
    import torch

    if not callable(function):
        return "`cosine` should be a function of two vectors. Did you call it, and keep what it returned?"
    for first, second in (((3.0, 4.0, 0.0), (0.0, 6.0, 8.0)), ((1.0, 2.0, 2.0), (-4.0, 4.0, -2.0)), ((5.0, 0.0), (2.0, 0.0))):
        a, b = torch.tensor(first), torch.tensor(second)
        if not is_number(found := function(a, b)):
            return "the function should return one number. Which product of two vectors is one number?"
        product, one, other = ((a * b).sum().item(), sum(x * x for x in first) ** 0.5, sum(x * x for x in second) ** 0.5)
        if near(found, product / one / other):
            continue
        for value, question in (
                (product, "this is the product of the two vectors. How long are they?"),
                (product / one, "the product is divided by the length of the first vector alone. What about the second?"),
                (product / other, "the product is divided by the length of the second vector alone. What about the first?"),
                (product / (one + other), "are the two lengths added? They should be multiplied."),
                (product / (one * other) ** 2, "are the lengths squared? Their root is missing.")):
            if near(found, value):
                return question
        return (f"for {first} and {second} it gives {float(found):.3f}. Work it out on paper: the lengths are {one:g} and "
                f"{other:g}.")
    return None


@exercise(2, "this line is in every Transformer that you have used.")
def attend(function: Any) -> str | None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if not callable(function):
        return "`attend` should be a function of q, k, v and mask. Did you call it, and keep what it returned?"
    random = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(length, width, generator=random) for length, width in ((3, 4), (5, 4), (5, 6)))
    mask = torch.zeros(3, 5)
    mask[:, 4] = float("-inf")
    found = function(q, k, v, mask)
    if tuple(getattr(found, "shape", ())) != (3, 6):
        return ("three queries look at five values of width 6, so the result has the shape (3, 6); this one has "
                f"{tuple(getattr(found, 'shape', ()))}. What is multiplied by the values?")

    def same(*inputs: Any, **options: Any) -> bool:
        return torch.allclose(found, scaled_dot_product_attention(*inputs, **options), atol=1e-5)

    if same(q, k, v):
        return "where does the mask come in? Here it should have hidden the last value."
    if same(q, k, v, mask, scale=1.0):
        return "the scores are not divided by anything. By what does their size grow with the width?"
    if same(q, k, v, mask, scale=1 / 4):
        return "the scores are divided by the width. Which part of it keeps their spread at 1?"
    if torch.allclose(found, (q @ k.T / 2 + mask).softmax(0) @ v, atol=1e-5, equal_nan=True):
        return "each row of the weights should sum to 1. Over which dimension goes the softmax?"
    if not same(q, k, v, mask):
        return "the numbers differ from the library's. In which order come dividing, mask, softmax and values?"
    wide = torch.randn(2, 9, generator=random)
    found = function(wide, wide, wide, torch.zeros(2, 2))
    if not same(wide, wide, wide):
        return "right for vectors of width 4, wrong for width 9. Which number of yours should depend on the width?"
    return None


@exercise(3, "a triangle of zeros: all that it takes to make a writer of a reader.")
def causal(mask: Any) -> str | None:
    import torch

    if tuple(getattr(mask := tensor(mask), "shape", ())) != (5, 5):
        return f"`causal` should be a tensor of the shape (5, 5) and has {tuple(getattr(mask, 'shape', ()))}."
    may = torch.ones(5, 5).tril().bool()
    if mask.isnan().any():
        return "some cells are not a number: 0 times infinity has no value. How can cells be chosen without multiplying?"
    if set(mask.flatten().tolist()) <= {0.0, 1.0}:
        return "this marks cells with 0 and 1. Added to scores, 1 forbids nothing: which number does?"
    free = mask == 0
    if torch.equal(free, may.mT):
        return "here the first token sees all and the last only itself. Is the triangle on the right side?"
    if torch.equal(free, may & ~torch.eye(5).bool()):
        return "no token may look at itself, so the first has nowhere to look. Where does the triangle begin?"
    if torch.equal(free, ~may):
        return "a token sees only what comes later. Which cells should be 0?"
    if not torch.equal(free, may):
        return "in row 2 the first three columns should be free and the last two forbidden. Which are, here?"
    if mask[~may].max() > -1e4:
        return f"{mask[~may].max().item():g} lowers a score, but does not forbid it. What is lower than any score?"
    return None


@exercise(4, "a layer, as the authors of BERT drew it.")
def one_layer(function: Any, model: Any) -> str | None:
    import torch

    if not callable(function):
        return "`one_layer` should be a function of x and a block. Did you call it, and keep what it returned?"
    random, width = torch.Generator().manual_seed(0), model.config.hidden_size
    for block in (model.layers[-1], model.layers[0]):
        x = torch.randn(2, 4, width, generator=random).to(model.device)
        if doubt := one_layer_of(function, x, block):
            return doubt
    return None


def one_layer_of(function: Any, x: Any, block: Any) -> str | None:
    import torch

    with torch.inference_mode():
        found = function(x, block)
        if isinstance(found, tuple):
            return "the function returns two things. Of what `block.attention` returns, only the first goes on."
        half = block.attention_norm(x + block.attention(x)[0])
        forgotten = block.attention_norm(block.attention(x)[0])
        before = x + block.attention(block.attention_norm(x))[0]
        for wrong, question in (
                (half, "this is the first half. What works on each token alone?"),
                (block.norm(block.feed_forward(half)), "the feed-forward network replaces what was there. What is added?"),
                (block.norm(forgotten + block.feed_forward(forgotten)), "attention replaces what was there. What is added?"),
                (block.norm(block.feed_forward(forgotten)), "both halves forget what they were given. What is added?"),
                (before + block.feed_forward(block.norm(before)), "this is the order of GPT-2, norm first. BERT adds first."),
                (block.norm(x + block.feed_forward(half)), "the second half adds the x of the beginning. What is x by then?"),
                (block.attention_norm(half + block.feed_forward(half)), "the same norm twice? The second half has its own.")):
            if torch.allclose(found, wrong, atol=1e-4):
                return question
        if tuple(found.shape) != tuple(x.shape) or not torch.allclose(found, block(x)[0], atol=1e-4):
            return ("the result differs from the library's. Attention, add, norm; feed-forward, add, norm: in this order, and "
                    "with the parts of the block that was given?")
    return None


@exercise(5, "the model does without it here. One sentence is no proof: which sentences would you try next?")
def spare_layer(spare: Any, model: Any, outputs: Any) -> str | None:
    import torch

    changes = []
    with torch.inference_mode():
        for left_out in range(len(model.layers)):
            x = outputs.hidden_states[0]
            for layer in [*model.layers[:left_out], *model.layers[left_out + 1:]]:
                x = layer(x)[0]
            changes.append((x - outputs.last_hidden_state).abs().mean().item())
    if not is_number(spare) or spare != int(spare):
        return f"`spare` should be the number of a layer and is {spare!r}."
    if spare == len(changes):
        return f"the layers are counted from 0, so the last is {len(changes) - 1}."
    if not 0 <= spare < len(changes):
        return f"this model has {len(changes)} layers, numbered from 0. Is {spare} the amount of change?"
    if (found := changes[int(spare)]) == max(changes):
        return "without this one the result changes most. Which end of the list is it?"
    if found > min(changes) * 1.001:
        return ("another one is missed less. Did every run begin with the entrance, real.hidden_states[0], and leave out "
                "one layer only?")
    return None
