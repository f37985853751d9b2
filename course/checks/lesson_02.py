"""Checks of lesson 2, Glossary and model inputs."""

from typing import Any

from course.checks import exercise, is_number, near, tensor


@exercise(1, "rare words cost more tokens. Whose words are rare in the texts that a vocabulary was made from?")
def words_in_pieces(pieces: Any, answer: str, tokenizer: Any) -> str | None:
    parts = tokenizer(answer).word_ids()                            # another way than tokenizing word by word
    cut = [word for place, word in enumerate(answer.split()) if parts.count(place) > 1]
    if isinstance(pieces, str) or not all(isinstance(word, str) for word in pieces):
        return "`pieces` should be a list of words. Did you keep their pieces, or numbers, instead of the words?"
    if any(word.startswith("##") for word in pieces):
        return "a piece that begins with ## is only a part. To which word of the answer does it belong?"
    if sorted(pieces) == sorted(set(answer.split()) - set(cut)):
        return "are these the words that stayed whole?"
    if extra := [word for word in pieces if word not in cut]:
        return f"{extra[0]!r} should not be in the list. How many pieces does the tokenizer make of it?"
    if len(pieces) < len(cut):
        return f"{len(cut)} words are cut and `pieces` has {len(pieces)}. Did you go through the whole answer?"
    return None


@exercise(2, "a mask can be rebuilt from the ids. A model's results without one cannot be repaired.")
def mask_by_hand(mask: Any, batch: Any) -> str | None:
    truth, given = batch["attention_mask"].tolist(), mask
    if (mask := tensor(mask)) is None or tuple(mask.shape) != tuple(batch["input_ids"].shape):
        return (f"`mask` needs one number for each token, so the shape {tuple(batch['input_ids'].shape)}, and has "
                f"{type(given).__name__ if mask is None else tuple(mask.shape)}.")
    found = mask.tolist()
    if found == [[1 - number for number in row] for row in truth]:
        return "1 means read it, 0 means look past it. Is it the other way round here?"
    if found != truth:
        return "some places are marked wrongly. Which number stands in a place that is only padding?"
    return None


@exercise(3, "for the model both sentences are now one bag of words. Somebody was sued by somebody.",
          "Without places a text is a bag of words. For topics that is often enough; for blame it is not.")
def bag_of_words(position_ids: Any, both: Any, model: Any) -> str | None:
    given, shape = tensor(position_ids), tuple(both["input_ids"].shape)
    if given is None or tuple(given.shape) not in (shape, (1, shape[1]), shape[1:]):        # one row serves both sentences
        return f"`position_ids` should be a tensor of the shape {shape}: one place for each token of both sentences."
    position_ids = given.expand(shape)
    first, second = model.base_model(**both, position_ids=position_ids).last_hidden_state[:, 0]
    if (distance := (first - second).norm().item()) > 1e-3:
        if position_ids[0].tolist() == list(range(shape[1])):
            return "these are the places that the model counts by itself. What do they tell it that it should not know?"
        return f"the two are still {distance:.3f} apart. Which token has a place that the other sentence gives to another?"
    return None


@exercise(4, "each place now sees what was written before it, and never the token it has to guess.")
def moved_right(decoder_input_ids: Any, labels: Any) -> str | None:
    truth = [[0, *(max(number, 0) for number in row[:-1])] for row in labels.tolist()]
    decoder_input_ids = tensor(decoder_input_ids)
    if decoder_input_ids is None or tuple(decoder_input_ids.shape) != tuple(labels.shape):
        return (f"`decoder_input_ids` should be a tensor of the shape {tuple(labels.shape)}. One column comes in front: "
                "which one has to go?")
    found = decoder_input_ids.tolist()
    if found == truth:
        return None
    if any(row[0] != 0 for row in found):
        left = [row[:-1] for row in found] == [[max(number, 0) for number in row[1:]] for row in labels.tolist()]
        return ("did the labels move to the left? Then each place sees what comes next." if left else
                "what does the decoder see before anything is written? Each row should begin with it.")
    if any(number < 0 for row in found for number in row):
        return "a negative number is still there. It means something in labels; which token would it be as an input?"
    return f"the first row is {found[0]} and should say what stands before each place of {labels[0].tolist()}."


@exercise(5, "time was exchanged for memory, and nothing was lost on the way.",
          "The same result, with an eighth of the memory at the widest point. The size has to divide the length: a text of 63 "
          "tokens is refused, with the cure.")
def chunks(chunked: Any, largest: Any, body: Any) -> str | None:
    import torch  # here, because checks of other lessons do without it

    if not hasattr(chunked, "config"):
        return f"`chunked` should be a model and is a {type(chunked).__name__}."
    if (size := chunked.config.chunk_size_feed_forward) != 8:
        return f"the chunks of this model have the size {size} (0: all at once). Where does from_pretrained learn of 8?"
    if len(chunked.layers) != len(body.layers):
        return "the two models differ in their layers. Do both come from the same name?"
    if not callable(largest):
        return "`largest_difference` should be a function of two tensors. Did you call it, and keep what it returned?"
    for a, b, truth in (([1.0, -5.0], [2.0, 1.0], 6.0), ([[0.5, 2.0]], [[0.25, 2.0]], 0.25), ([3.0], [3.0], 0.0)):
        first, second = torch.tensor(a), torch.tensor(b)
        found = largest(first, second)
        if not is_number(found):
            return f"the function should return one number and gave a {type(found).__name__}. What is the largest of them?"
        if near(found, truth):
            continue
        if near(found, (first - second).max().item()):
            return f"for {a} and {b} it gives {float(found):g}. A difference below zero is one, too: abs() comes before max()."
        return f"for {a} and {b} it gives {float(found):g}. Do you take the largest of all differences, and use both inputs?"
    return None
