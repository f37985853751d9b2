"""Writing with a Llama-type model of 135 million weights: course against transformers and CTranslate2, in turn, in one process,
the same weights and the same tokens; and coding survey answers under one codebook with legal answers only.

    .venv-parity/bin/python benchmarks/generation.py [--model FOLDER] [--tokens 64] [--runs 7] [--only "batch 1"] [--cpu]

FOLDER: a checkpoint, for example SmolLM2-135M; without one a random model of the same architecture. The Python needs
transformers and course; CTranslate2 (pip install ctranslate2) runs beside them where it is installed. Reading speed: how
fast this machine reads a large tensor, measured in the same run; a token of one text cannot be written faster than all
weights are read. --cpu: seconds of the processor instead of the clock, for a machine that others use too; with one thread.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import torch
import transformers
from side_by_side import compare

import course

SHAPE = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
         "num_key_value_heads": 3, "max_position_embeddings": 2048, "tie_word_embeddings": True, "bos_token_id": 1,
         "eos_token_id": 2, "pad_token_id": 2}
clock = time.perf_counter
BATCHES = {"batch 1": (1, 1), "batch 8": (8, 1), "beam 4": (1, 4)}            # texts, beams


def checkpoint(folder: Path) -> Path:
    """A random model of SmolLM2's architecture."""
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).save_pretrained(folder)
    return folder


def reading_speed() -> float:
    """Bytes a second, reading 512 MB with all threads."""
    x, best = torch.ones(2**27), float("inf")
    for _ in range(5):
        begin = clock()
        x.sum()
        best = min(best, clock() - begin)
    return x.nbytes / best


def writing(folder: Path, tokens: int, runs: int, only: str) -> None:
    """Tokens a second of each program."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ours = {"course, float32": course.AutoModelForCausalLM.from_pretrained(folder),
            "course, bfloat16": course.AutoModelForCausalLM.from_pretrained(folder, dtype="bfloat16"),
            "course, int8": course.AutoModelForCausalLM.from_pretrained(folder, dtype="int8")}
    engines = {f"CTranslate2, {kind}": engine for kind in ("float32", "int8") if (engine := ctranslate2(folder, kind))}
    weights = sum(p.numel() for p in theirs.parameters())
    for what, (rows, beams) in BATCHES.items():
        if only and only != what:
            continue
        ids = torch.randint(100, 40000, (rows, 32), generator=torch.Generator().manual_seed(1))
        settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "num_beams": beams, "do_sample": False}
        written: dict[str, torch.Tensor] = {}

        def once(name: str, model, more=None) -> float:  # noqa: ANN001 - of both libraries
            begin = clock()
            with torch.no_grad():
                written[name] = model.generate(ids, **settings, **(more or {}))  # noqa: B023
            return rows * tokens / (clock() - begin)  # noqa: B023

        def engine(model) -> float:  # noqa: ANN001
            begin = clock()
            model.generate_batch([[str(i) for i in row] for row in ids.tolist()], max_length=tokens, min_length=tokens,  # noqa: B023
                                 beam_size=beams, sampling_topk=1, include_prompt_in_result=False)  # noqa: B023
            return rows * tokens / (clock() - begin)  # noqa: B023

        mask = {"attention_mask": torch.ones_like(ids)}
        programs = {"transformers, float32": lambda: once("transformers", theirs, mask)}  # noqa: B023
        programs |= {name: lambda name=name, model=model: once(name, model) for name, model in ours.items()}  # noqa: B023
        programs |= {name: lambda model=model: engine(model) for name, model in engines.items()}  # noqa: B023
        for program in programs.values():             # the first call of each prepares
            program()
        same = torch.equal(written["transformers"], written["course, float32"])
        compare(f"{what}, {tokens} new tokens, the same ones in float32: {'yes' if same else 'NO'}", "tokens/s", programs,
                runs, higher_is_better=True)
        if what == "batch 1":
            speed = reading_speed()
            print(f"reading at {speed / 1e9:.1f} GB/s allows {speed / weights / 4:.1f} tokens/s in float32, "
                  f"{speed / weights / 2:.1f} in bfloat16, {speed / weights:.1f} in int8")


def ctranslate2(folder: Path, kind: str):  # noqa: ANN201 - a type of an optional library
    """The model in CTranslate2, where that is installed. Tokens are texts there: the numbers serve."""
    try:
        import ctranslate2 as engine
    except ImportError:
        return None
    from ctranslate2.converters import TransformersConverter
    from ctranslate2.converters.transformers import _MODEL_LOADERS

    place = Path(tempfile.mkdtemp()) / "converted"
    loader = _MODEL_LOADERS["LlamaConfig"]
    loader.get_vocabulary = lambda model, tokenizer: [str(i) for i in range(model.config.vocab_size)]
    loader.set_vocabulary = lambda spec, tokens: spec.register_vocabulary(tokens)
    loader.set_config = lambda config, model, tokenizer: None
    transformers.AutoTokenizer.from_pretrained, plain = (lambda *_, **__: None), transformers.AutoTokenizer.from_pretrained
    try:
        TransformersConverter(str(folder)).convert(str(place), quantization=kind)
    finally:
        transformers.AutoTokenizer.from_pretrained = plain
    return engine.Generator(str(place), compute_type=kind, inter_threads=1, intra_threads=torch.get_num_threads())


def coding(folder: Path, runs: int, texts: int) -> None:
    """Texts a second: generate() on every full prompt, eight new tokens, against legal answers only."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ours = course.AutoModelForCausalLM.from_pretrained(folder)
    random = torch.Generator().manual_seed(2)
    codebook = torch.randint(100, 40000, (300,), generator=random)
    prompts = [torch.cat([codebook, torch.randint(100, 40000, (int(length),), generator=random)])
               for length in torch.randint(8, 30, (texts,), generator=random)]
    answers = [[int(i) for i in torch.randint(100, 40000, (int(n),), generator=random)] for n in (1, 1, 2, 2, 3, 1, 2, 1)]

    def every_prompt(model) -> float:  # noqa: ANN001
        few, begin = prompts[:max(4, texts // 20)], clock()              # a part of them: it takes long
        with torch.no_grad():
            for prompt in few:
                model.generate(prompt[None], attention_mask=torch.ones_like(prompt[None]), max_new_tokens=4, do_sample=False)
        return len(few) / (clock() - begin)

    def legal() -> float:
        begin, longest = clock(), max(map(len, prompts))
        ids, mask = torch.zeros(2, texts, longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, :len(prompt)], mask[row, :len(prompt)] = prompt, 1
        ours.generate(ids, attention_mask=mask, allowed_outputs=answers)
        return texts / (clock() - begin)

    programs = {"transformers, generate on every prompt": lambda: every_prompt(theirs),
                "course, generate on every prompt": lambda: every_prompt(ours), "course, legal answers only": legal}
    compare(f"coding {texts} answers of 8 to 29 tokens under a codebook of 300 tokens, 8 legal answers", "texts/s", programs,
            runs, higher_is_better=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "0")))
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--only", default="", help="batch 1, batch 8, beam 4 or coding")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    logging.getLogger("course").setLevel(logging.ERROR)
    if arguments.cpu:
        global clock
        clock, arguments.threads = time.process_time, 1
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.model or checkpoint(Path(place))
        if arguments.only != "coding":
            writing(folder, arguments.tokens, arguments.runs, arguments.only)
        if arguments.only in ("", "coding"):
            coding(folder, arguments.runs, arguments.texts)


if __name__ == "__main__":
    main()
