"""Make pocket/translator: English to German for short everyday sentences, a small T5 trained from scratch.

    python -m recipes.translator --data ../shared/data
    python -m recipes.translator --data ../shared/data --evaluate     (scores and model card only)

Pieces of words that both languages share (unigram), tied embeddings, three layers that read and two that write.
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sacrebleu.metrics import BLEU

from course import T5Config, T5ForConditionalGeneration, T5Tokenizer, T5TokenizerFast
from course.tokenizers.training import train_unigram
from recipes.common import HERE, Guard, batches, evaluation_texts, everyday, log, pad, run, table, train
from recipes.from_scratch import Muon, endless, save

NAME = "translator"
LIMIT = 60                                              # pieces of a training sentence


def learn_tokenizer(texts: list[str], folder: Path, size: int) -> T5Tokenizer:
    """Learned once: the folder keeps it for the next call."""
    if not (folder / "tokenizer_config.json").exists():
        train_unigram(texts, size, limit_alphabet=110, extra_ids=0).save_pretrained(str(folder))
    return T5TokenizerFast.from_pretrained(str(folder))


def new_model(size: int, **options) -> T5ForConditionalGeneration:
    settings = {"d_model": 192, "d_kv": 32, "num_heads": 6, "d_ff": 512, "num_layers": 3, "num_decoder_layers": 2}
    return T5ForConditionalGeneration(T5Config(
        vocab_size=size, dropout_rate=0.0, relative_attention_max_distance=64, decoder_start_token_id=0,
        **settings | options))


def loss(model: T5ForConditionalGeneration, sources: list[list[int]], targets: list[list[int]]) -> torch.Tensor:
    """Cross-entropy with a tenth of the target spread over all pieces, which keeps the model from being too sure."""
    ids, labels = pad(sources), pad(targets, -100)
    mask = ids.ne(0).long()
    logits = model(ids, mask, decoder_input_ids=F.pad(labels, (1, 0), value=0)[:, :-1].clamp(min=0), use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)


def fit(args) -> None:
    guard = Guard(evaluation_texts(args.data))
    rows = guard.clean(table(args.data / "translation/tatoeba_en_de_train.tsv"), lambda row: [row["en"]], "tatoeba")
    tokenizer = learn_tokenizer([text for row in rows for text in row.values()], args.work / "tokenizer", args.pieces)
    ids = (tokenizer([row[part] for row in rows])["input_ids"] for part in ("en", "de"))
    pairs = [(source, target) for source, target in zip(*ids, strict=True) if max(len(source), len(target)) <= LIMIT]
    log.info("%d pairs, %.1f and %.1f pieces a sentence", len(pairs), *(np.mean([len(p[i]) for p in pairs]) for i in (0, 1)))
    plan = endless(np.array([max(len(a), len(b)) for a, b in pairs]), args.tokens, args.steps, args.seed)
    model = new_model(len(tokenizer))
    steps = train(model, plan, lambda pick: loss(model, [pairs[i][0] for i in pick], [pairs[i][1] for i in pick]), args, guard,
                  (row["en"] for row in rows), Muon(model, args.lr, args.adam))
    model.config.task_specific_params = {"translation_en_to_de": {"max_length": 80, "num_beams": 4}}
    model.generation_config = model.generation_config.with_settings(
        {"max_length": 80, "num_beams": 4})
    save(model, tokenizer, args, steps=steps, pairs=len(pairs))


@torch.inference_mode()
def translations(folder: Path, texts: list[str]) -> list[str]:
    """By beam search, as the pipeline does it; texts of the same length together."""
    tokenizer = T5TokenizerFast.from_pretrained(str(folder))
    model = T5ForConditionalGeneration.from_pretrained(str(folder)).float().eval()
    ids, out = tokenizer(texts, truncation=True, max_length=LIMIT)["input_ids"], [""] * len(texts)
    for pick in batches(np.array([len(row) for row in ids]), 1024, np.random.default_rng(0)):
        rows = pad([ids[i] for i in pick])
        for i, row in zip(pick, model.generate(rows, attention_mask=rows.ne(0).long()), strict=True):
            out[i] = tokenizer.decode(row, skip_special_tokens=True)
    return out


def bleu(found: list[str], wanted: list[list[str]]) -> list[float]:
    """sacreBLEU and its standard error over sentences. wanted: the translations of each sentence."""
    references = [[some[i] if i < len(some) else None for some in wanted] for i in range(max(map(len, wanted)))]
    result = BLEU().corpus_score(found, references, n_bootstrap=300)
    return [round(result.score, 2), round(result._ci / 1.96, 2)]


def score(data: Path, folder: Path) -> dict:
    wanted: dict[str, list[str]] = {}
    for row in table(data / "translation/tatoeba_en_de_dev.tsv"):
        wanted.setdefault(row["en"], []).append(row["de"])
    rows, unlike = table(HERE / "everyday_translator.tsv"), table(HERE / "unlike_translator.tsv")
    found = translations(folder, [*wanted, *(row["sentence"] for row in rows + unlike)])
    ours = dict(zip(wanted, found, strict=False))
    answers = iter(found[len(wanted):])
    return {"bleu": bleu(list(ours.values()), list(wanted.values())),
            "bleu_one_reference": bleu([ours[english] for english, some in wanted.items() for _ in some],
                                       [[german] for some in wanted.values() for german in some]), "sentences": len(wanted),
            "everyday": everyday(NAME, lambda rows: [next(answers) for _ in rows], lambda a, b: a in b.split(" / ")),
            "unlike": "\n".join(f"| {row['sentence']} | {next(answers)} |" for row in unlike)}


if __name__ == "__main__":
    run(__doc__, NAME, fit, score, lr=0.02, adam=0.005, tokens=2000, steps=1200, pieces=6000, length=LIMIT, warm=100)
