"""What changes the scores of the next token, each a small function on all tokens so far and the scores.

ids (B, S): the text of every row, -1 where there is only padding; scores (B, V) -> new scores (B, V). -inf means: not this
token. generate() applies those that its settings ask for, in the order of `score_functions`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from course.generation_config import GenerationConfig

NEVER = float("-inf")


def lengths(ids: Tensor) -> Tensor:
    """(B, 1): how many tokens each row has, without padding."""
    return (ids >= 0).sum(1, keepdim=True)


def among(tokens: Tensor, scores: Tensor) -> Tensor:
    """tokens (B, N), -1 for none -> (B, V): True for those."""
    rows, width = scores.shape
    found = torch.zeros(rows, width + 1, dtype=torch.bool, device=scores.device)          # one column more for none
    return found.scatter(1, tokens % (width + 1), True)[:, :width]


# -- what makes a text repeat itself less ----------------------------------------------------------------------------------


def repetition_penalty(ids: Tensor, scores: Tensor, penalty: float) -> Tensor:
    """Tokens that stand in the text get less probable (Keskar et al. 2019, "CTRL", section 4.1)."""
    return torch.where(among(ids, scores), torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def no_repeat_ngram(ids: Tensor, scores: Tensor, size: int) -> Tensor:
    """No sequence of `size` tokens comes a second time (Paulus et al. 2017, section 2.5)."""
    if ids.shape[1] < size:
        return scores
    grams = ids.unfold(1, size, 1)                                                        # (B, S - size + 1, size)
    again = (grams[:, :, :-1] == ids[:, None, ids.shape[1] - size + 1:]).all(-1)          # it begins as the text ends
    return scores.masked_fill(among(grams[:, :, -1].where(again, -1), scores), NEVER)


# -- tokens that must or must not come -------------------------------------------------------------------------------------


def end_not_before(ids: Tensor, scores: Tensor, length: int | Tensor, ends: Tensor) -> Tensor:
    """No end token as long as a row has fewer than `length` tokens, a number or one for each row (B, 1)."""
    return scores.index_copy(1, ends, scores[:, ends].masked_fill(lengths(ids) < length, NEVER))


def bad_words(ids: Tensor, scores: Tensor, words: Sequence[Sequence[int]]) -> Tensor:
    """The last token of a bad word never follows its others."""
    scores = scores.clone()
    for *before, last in words:
        if len(before) <= ids.shape[1]:
            place = ids.shape[1] - len(before)
            scores[(ids[:, place:] == ids.new_tensor(before)).all(1), last] = NEVER
    return scores


def suppress(ids: Tensor, scores: Tensor, tokens: Sequence[int], at: Tensor | None = None) -> Tensor:
    """These tokens do not come; at (B, 1): only as the next token of a row with so many tokens."""
    without = scores.index_fill(1, ids.new_tensor(tokens), NEVER)
    return without if at is None else torch.where(lengths(ids) == at, without, scores)


def force(ids: Tensor, scores: Tensor, tokens: Sequence[int], at: int | Tensor) -> Tensor:
    """One of these tokens comes, as the next token of a row with `at` tokens."""
    only = torch.full_like(scores, NEVER).index_fill(1, ids.new_tensor(tokens), 0.0)
    return torch.where(lengths(ids) == at, only, scores)


def make_finite(ids: Tensor, scores: Tensor) -> Tensor:
    """NaN counts as 0, infinity as the largest number there is."""
    return torch.nan_to_num(scores)


# -- what the next token is drawn from -------------------------------------------------------------------------------------


def temperature(ids: Tensor, scores: Tensor, value: float) -> Tensor:
    """Below 1 the probable gets more probable, above 1 less."""
    return scores / value


def only_top_k(ids: Tensor, scores: Tensor, k: int, keep: int = 1) -> Tensor:
    """Only the k most probable tokens, with those that are as probable as the last of them (Fan et al. 2018)."""
    k = min(max(k, keep), scores.shape[-1])
    return scores.masked_fill(scores < scores.topk(k).values[..., -1:], NEVER)


def only_top_p(ids: Tensor, scores: Tensor, p: float, keep: int = 1) -> Tensor:
    """Only the most probable tokens that have the share p together (Holtzman et al. 2019, "nucleus sampling")."""
    ordered, places = scores.sort(descending=False)
    unlikely = ordered.softmax(-1).cumsum(-1) <= 1 - p                                    # (B, V), the least probable first
    unlikely[..., -keep:] = False
    return scores.masked_fill(unlikely.scatter(-1, places, unlikely), NEVER)


def keep_best(scores: Tensor, unlikely: Tensor, keep: int) -> Tensor:
    """Scores without unlikely (B, V) tokens, except the `keep` best ones."""
    return scores.masked_fill(unlikely & (scores < scores.topk(min(keep, scores.shape[-1])).values[..., -1:]), NEVER)


def only_min_p(ids: Tensor, scores: Tensor, share: float, keep: int = 1) -> Tensor:
    """Only tokens with at least this share of the best one's probability (Nguyen et al. 2024)."""
    shares = scores.softmax(-1)
    return keep_best(scores, shares < share * shares.amax(-1, keepdim=True), keep)


def only_typical(ids: Tensor, scores: Tensor, mass: float, keep: int = 1) -> Tensor:
    """Only tokens that surprise about as much as is to be expected here (Meister et al. 2022)."""
    logs = scores.log_softmax(-1)
    entropy = -(logs * logs.exp()).nansum(-1, keepdim=True)
    distance, places = (-logs - entropy).abs().sort()                                     # (B, V), the typical ones first
    within = (scores.gather(-1, places).softmax(-1).cumsum(-1) < mass).sum(-1, keepdim=True).clamp(max=scores.shape[-1] - 1)
    odd = distance > distance.gather(-1, within)
    odd[..., :keep] = False
    return scores.masked_fill(odd.scatter(-1, places, odd), NEVER)


def only_above_epsilon(ids: Tensor, scores: Tensor, least: float, keep: int = 1) -> Tensor:
    """Only tokens with at least this probability (Hewitt et al. 2022)."""
    return keep_best(scores, scores.softmax(-1) < least, keep)


def only_above_eta(ids: Tensor, scores: Tensor, least: float, keep: int = 1) -> Tensor:
    """The same, less strict where many tokens are possible (Hewitt et al. 2022)."""
    logs = scores.log_softmax(-1)
    entropy = -(logs * logs.exp()).nansum(-1, keepdim=True)
    return keep_best(scores, logs.exp() < (least**0.5 * (-entropy).exp()).clamp(max=least), keep)


def renormalize(ids: Tensor, scores: Tensor) -> Tensor:
    """Logarithms of probabilities again."""
    return scores.log_softmax(-1)


def score_functions(settings: GenerationConfig, prompt: Tensor, limit: Tensor,
                    ends: Tensor) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """The functions on (ids, scores) that these settings ask for, in the order in which they are applied. prompt (B, 1): tokens
    that each row begins with; limit (B, 1): tokens that it has at most; ends: the end tokens."""
    s = settings
    found: list[Callable[[Tensor, Tensor], Tensor]] = []
    last = s.forced_eos_token_id
    if s.repetition_penalty != 1.0:
        found.append(partial(repetition_penalty, penalty=s.repetition_penalty))
    if s.no_repeat_ngram_size:
        found.append(partial(no_repeat_ngram, size=s.no_repeat_ngram_size))
    if words := [word for word in s.bad_words_ids or () if not (len(word) == 1 and word[0] in ends)]:
        found.append(partial(bad_words, words=words))
    if s.min_length and s.min_new_tokens is None and len(ends):
        found.append(partial(end_not_before, length=s.min_length, ends=ends))
    if s.min_new_tokens and len(ends):
        found.append(partial(end_not_before, length=prompt + s.min_new_tokens, ends=ends))
    if s.forced_bos_token_id is not None:
        found.append(partial(force, tokens=[s.forced_bos_token_id], at=1))
    if last is not None:
        found.append(partial(force, tokens=last if isinstance(last, (list, tuple)) else [last], at=limit - 1))
    if s.remove_invalid_values:
        found.append(make_finite)
    if s.suppress_tokens:
        found.append(partial(suppress, tokens=s.suppress_tokens))
    if s.begin_suppress_tokens:
        later = (prompt == 1) & (s.forced_bos_token_id is not None)                       # the forced token is no beginning
        found.append(partial(suppress, tokens=s.begin_suppress_tokens, at=prompt + later))
    if s.do_sample:
        keep = 1 if s.num_beams == 1 else len(ends) + 1                                   # a beam needs a way to go on
        if s.temperature != 1.0:
            found.append(partial(temperature, value=s.temperature))
        if s.top_k:
            found.append(partial(only_top_k, k=s.top_k, keep=keep))
        if s.top_p < 1.0:
            found.append(partial(only_top_p, p=s.top_p, keep=keep))
        if s.min_p is not None:
            found.append(partial(only_min_p, share=s.min_p, keep=keep))
        if s.typical_p < 1.0:
            found.append(partial(only_typical, mass=s.typical_p, keep=keep))
        if s.epsilon_cutoff:
            found.append(partial(only_above_epsilon, least=s.epsilon_cutoff, keep=keep))
        if s.eta_cutoff:
            found.append(partial(only_above_eta, least=s.eta_cutoff, keep=keep))
    if s.renormalize_logits:
        found.append(renormalize)
    return found


def top_k_top_p_filtering(logits: Tensor, top_k: int = 0, top_p: float = 1.0, filter_value: float = NEVER,
                          min_tokens_to_keep: int = 1) -> Tensor:
    """logits (B, V) with filter_value in the place of every token that is not among the top_k most probable ones (0: all), or
    not among the most probable ones that have the share top_p together. At least min_tokens_to_keep stay."""
    if not 0 <= top_p <= 1:
        raise ValueError(f"top_p is a share of all probability, from 0 to 1, got {top_p!r}")
    if top_k < 0 or min_tokens_to_keep < 1:
        raise ValueError(f"top_k must be at least 0 and min_tokens_to_keep at least 1, got {top_k!r}, {min_tokens_to_keep!r}")
    kept = only_top_k(logits, logits, top_k, min_tokens_to_keep) if top_k > 0 else logits
    kept = only_top_p(logits, kept, top_p, min_tokens_to_keep) if top_p < 1.0 else kept
    return logits.masked_fill(kept == NEVER, filter_value)
