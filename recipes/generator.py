"""Make pocket/generator: a Llama-type language model for English stories, speeches and articles, trained from scratch.

    python -m recipes.generator --data ../shared/data
    python -m recipes.generator --data ../shared/data --evaluate     (scores and model card only)

Byte-level BPE of its own, so that no text is unknown. Scored in bits per byte, beside a 5-gram model of the same tokens.
"""
import json
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course import GPT2Tokenizer, GPT2TokenizerFast, LlamaConfig, LlamaForCausalLM, set_seed
from course.tokenizers.training import train_byte_bpe
from recipes.common import HERE, Guard, evaluation_texts, everyday, log, run, train
from recipes.from_scratch import Muon, save
from recipes.kneser_ney import KneserNey, bits_per_byte

NAME = "generator"
SHARES = {"wikitext2": 0.3, "state_of_the_union": 0.2, "tales": 0.25, "books": 0.1, "un_general_debate": 0.05,
          "onestop_elementary": 0.05, "tinystories": 0.05}          # of the training tokens; small sources are read again
ALWAYS_THE_BEST = {"do_sample": False, "temperature": 1.0, "top_k": 50}
END = "<|endoftext|>"                                   # between two texts, and before the first


def paragraphs(text: str) -> str:
    """Lines that were cut at a fixed width become paragraphs again."""
    return re.sub(r"[ \t]+", " ", re.sub(r"(?<=\S)[ \t]*\n[ \t]*(?=\S)", " ", text)).strip()


def read(data: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Training and evaluation texts by source."""
    folder = data / "text"

    def stories(name: str) -> list[str]:
        return [story.strip() for story in (folder / name).read_text(encoding="utf-8").split("<|endofstory|>")]

    def speeches(name: str) -> list[str]:
        return [json.loads(line)["text"] for line in open(folder / name, encoding="utf-8")]

    def articles(name: str) -> list[str]:
        return re.split(r"\n(?= = [^=]+ = \n)", (folder / name).read_text(encoding="utf-8"))

    last = -len(unions := speeches("state_of_the_union.jsonl")) // 10
    return {"wikitext2": articles("wikitext2_train.txt"), "state_of_the_union": unions[:last],
            "tales": stories("fairytales_train.txt") + [paragraphs(s) for s in stories("children_classics.txt")],
            "books": [paragraphs(path.read_text(encoding="utf-8")) for path in sorted((folder / "books").glob("*.txt"))],
            "un_general_debate": speeches("un_general_debate_2017.jsonl"),
            "onestop_elementary": stories("onestop_elementary.txt"), "tinystories": stories("tinystories_part.txt")}, {
                "wikitext2_valid": articles("wikitext2_valid.txt"), "fairytales_valid": stories("fairytales_valid.txt"),
                "state_of_the_union_last_tenth": unions[last:]}


def clean(sources: dict[str, list[str]], guard: Guard) -> dict[str, list[str]]:
    """Without the paragraphs that overlap with evaluation texts: books and tales quote what others tell as well."""
    return {name: ["\n".join(guard.clean(text.split("\n"), lambda part: [part] if len(part) > 40 else [], name))
                   for text in texts] for name, texts in sources.items()}


def tokens(tokenizer: GPT2Tokenizer, texts: list[str]) -> np.ndarray:
    """The ids of all texts, one after the other, an END before each."""
    rows = tokenizer([text for text in texts if text.strip()], verbose=False)["input_ids"]
    return np.concatenate([[tokenizer.eos_token_id, *row] for row in rows]).astype(np.int64)


def new_model(size: int, **options) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**{
        "vocab_size": size, "hidden_size": 160, "intermediate_size": 416, "num_hidden_layers": 4, "num_attention_heads": 5,
        "max_position_embeddings": 256, "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0} | options))


def prepare(args, guard: Guard) -> tuple[GPT2Tokenizer, dict[str, torch.Tensor]]:
    """The tokenizer, and the tokens of each source without what overlaps; kept in --work for the next call."""
    kept = args.work / "tokens.npz"
    if not kept.exists():
        sources = clean(read(args.data)[0], guard)
        guard.check(part for texts in sources.values() for text in texts for part in text.split("\n") if len(part) > 40)
        tokenizer = train_byte_bpe([text for texts in sources.values() for text in texts], args.pieces)
        tokenizer.save_pretrained(str(args.work / "tokenizer"))
        np.savez(kept, **{name: tokens(tokenizer, texts) for name, texts in sources.items()})
    ids = {name: torch.from_numpy(row) for name, row in np.load(kept).items()}
    log.info("tokens: %s", {name: len(row) for name, row in ids.items()})
    return GPT2TokenizerFast.from_pretrained(str(args.work / "tokenizer")), ids


def fit(args) -> None:
    guard = Guard(evaluation_texts(args.data), least=12)
    tokenizer, ids = prepare(args, guard)
    rng = np.random.default_rng(args.seed)
    plan = [[(name, int(rng.integers(len(ids[name]) - args.length)))
             for name in rng.choice(list(SHARES), args.tokens // args.length, p=list(SHARES.values()))]
            for _ in range(args.steps)]
    model = new_model(len(tokenizer))

    def loss(batch: list[tuple[str, int]]) -> torch.Tensor:
        rows = torch.stack([ids[name][start: start + args.length] for name, start in batch])
        return model(rows, labels=rows, use_cache=False).loss

    steps = train(model, plan, loss, args, guard, (), Muon(model, args.lr, args.adam))  # prepare() let the guard see the texts
    model.generation_config = model.generation_config.with_settings(
        {"do_sample": True, "temperature": 0.7, "top_k": 40, "max_new_tokens": 60})
    save(model, tokenizer, args, steps=steps)


@torch.inference_mode()
def surprise(model: LlamaForCausalLM, ids: np.ndarray, window: int = 256, step: int = 192) -> np.ndarray:
    """(T,) -> (T,) nats a token, each seen after at least window - step others (at the start, those that there are)."""
    starts = range(0, max(1, len(ids) - window + step), step)
    out = np.zeros(len(ids))
    for begin in range(0, len(starts), 16):
        rows = [torch.from_numpy(ids[start: start + window]) for start in starts[begin: begin + 16]]
        batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        logits = model(batch, use_cache=False).logits[:, :-1]
        nats = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none").view(len(rows), -1).numpy()
        for row, start, found in zip(rows, starts[begin:], nats, strict=False):
            new = 0 if start == 0 else window - step - 1
            out[start + 1 + new: start + len(row)] = found[new: len(row) - 1]
    return out


def score(data: Path, folder: Path) -> dict:
    tokenizer = GPT2TokenizerFast.from_pretrained(str(folder))
    model = LlamaForCausalLM.from_pretrained(str(folder)).float().eval()
    known, held_out = read(data)
    baseline = KneserNey(tokens(tokenizer, [text for texts in known.values() for text in texts]))
    sizes = np.array([0 if piece == END else len(piece) for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))])
    out: dict = {}
    for name, texts in held_out.items():
        ids = tokens(tokenizer, texts)
        for kind, nats in (("", surprise(model, ids)), ("_5gram", -baseline.log_probs(ids))):
            out[f"{name}{kind}"] = bits_per_byte(np.where(ids == tokenizer.eos_token_id, 0.0, nats), ids, sizes)
    set_seed(0)
    out["continuations"] = "\n".join(f"- **{prompt}**{write(tokenizer, model, prompt)}" for prompt in
                                     (HERE / "prompts.txt").read_text(encoding="utf-8").splitlines())
    return out | {"everyday": everyday(
        NAME, lambda rows: [write(tokenizer, model, row["prompt"], max_new_tokens=8, **ALWAYS_THE_BEST) for row in rows],
        lambda found, wanted: any(word in found for word in wanted.split(" / ")))}


def write(tokenizer: GPT2Tokenizer, model: LlamaForCausalLM, prompt: str, **options) -> str:
    ids = tokenizer(prompt, return_tensors="pt")
    found = model.generate(**ids, **{"max_new_tokens": 50, "do_sample": True, "temperature": 0.7, "top_k": 40} | options)
    return re.sub(r"\s+", " ", tokenizer.decode(found[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)).rstrip()


if __name__ == "__main__":
    run(__doc__, NAME, fit, score, lr=0.02, adam=0.003, tokens=3072, length=256, steps=2700, pieces=4096, warm=100)
