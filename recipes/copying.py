"""First weights with which a T5 copies: a summary consists mostly of words of its text, and a model that starts with random
weights needs far more texts than there are to find out how words are carried over.

It is the circuit that large models form by themselves, "induction heads" (Olsson et al. 2022,
https://arxiv.org/abs/2209.11895): which place of the text follows the words that I have just written?
- In the reader, head 0 looks one place back and head 1 two; each writes a short code of the word there beside the word.
- In the writer, head 0 looks one place back in the same way. Cross-attention of its last layer compares codes: the word just
  written, and the one before it, with those that stand before each place of the text. Its value is the word at that place.
All of this is trained further like any other weight.
"""
import torch

from course import T5ForConditionalGeneration

NEAR = 12.0                                             # bias that makes a head look at one distance only


@torch.no_grad()
def copying_start(model: T5ForConditionalGeneration, other: float = 0.3, sharp: float = 0.16, loud: float = 6.0) -> None:
    """Changes the weights in place. other: by how much what else the layers say is made smaller; sharp: factor of the scores;
    loud: how much more the copied word counts than the last one written. The heads must be as wide as the model together."""
    config, body = model.config, model.transformer
    width, head, half = config.d_model, config.d_kv, config.d_kv // 2
    if config.num_heads * head != width or config.num_heads < 3:
        raise ValueError(f"{config.num_heads} heads of {head} numbers do not share out a width of {width}")
    basis = torch.linalg.qr(torch.randn(width, width))[0]
    codes = [basis[:half], basis[half: 2 * half]]       # what the code of a word is: (half, width), for either distance
    basis = torch.linalg.qr(torch.randn(width, width))[0]
    places = [basis[:half], basis[half: 2 * half]]      # where in a vector it is written
    for stack in (body.encoder, body.decoder):
        for layer in stack.layers:
            layer.attention.out.weight.mul_(other)
            layer.feed_forward.down.weight.mul_(other)
            if layer.cross_attention is not None:
                layer.cross_attention.out.weight.mul_(other)
        first = stack.layers[0].attention
        for number, (code, place) in enumerate(zip(codes, places, strict=True)):
            if stack is body.decoder:                   # the word just written needs no look back, only the one before it
                if number == 0:
                    continue
                number, distance = 0, 1
            else:
                distance = number + 1
            stack.distances.weight[:, number] = 0.0
            stack.distances.weight[distance, number] = NEAR
            rows = slice(number * head, number * head + half)
            first.q.weight[number * head: (number + 1) * head] *= 0.1
            first.v.weight[number * head: (number + 1) * head] = 0.0
            first.v.weight[rows] = code
            first.out.weight[:, number * head: (number + 1) * head] = 0.0
            first.out.weight[:, rows] = 3.0 * place.T
    cross = body.decoder.layers[-1].cross_attention
    word = torch.eye(width) - sum(place.T @ place for place in places)                 # everything but the codes
    for number in range(config.num_heads):
        rows = slice(number * head, number * head + half), slice(number * head + half, (number + 1) * head)
        cross.q.weight[rows[0]], cross.k.weight[rows[0]] = sharp * codes[0], places[0]
        cross.q.weight[rows[1]], cross.k.weight[rows[1]] = sharp * places[1], places[1]
    cross.v.weight.copy_(word)
    cross.out.weight.copy_(loud * torch.eye(width))
    body.decoder.norm.weight.fill_(1.5)
