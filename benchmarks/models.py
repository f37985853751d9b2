"""Forward pass of each architecture: time and peak memory, same random weights, same batch, one process, in turn.

    .venv-parity/bin/python benchmarks/models.py [bert gpt2 …] [--batch 8] [--tokens 128] [--runs 15]
    .venv/bin/python benchmarks/models.py --length cost_by_length.png

Bodies without a head, as they come: transformers chooses its fastest attention. Two batches: one of texts of different
length with padding, one of texts of the same length. Memory is what a pass has in use at most beside the weights, counted
from torch's own allocations. --length draws time and memory against the length of a text, for attention that builds
its weights, fused attention, fused attention with a feed-forward network in chunks, and hashed (LSH) attention.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from side_by_side import machine

import course
from course.config import MODELS

WIDTH, LAYERS, HEADS, VOCABULARY, POSITIONS = 384, 6, 6, 8192, 512
GPT = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
LLAMA = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": 2,
         "intermediate_size": 1024, "max_position_embeddings": POSITIONS}
BERT = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH,
        "max_position_embeddings": POSITIONS + 2}

# model_type -> sizes, by the names of config.json; an architecture that course does not have is left out
SIZES = {
    "bert": BERT, "roberta": BERT,
    "distilbert": {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 4 * WIDTH},
    "xlm": {"emb_dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS},
    "openai-gpt": GPT, "gpt2": GPT, "ctrl": GPT | {"dff": 4 * WIDTH},
    "llama": LLAMA, "qwen2": LLAMA,
    "bart": {"d_model": WIDTH, "encoder_layers": LAYERS // 2, "decoder_layers": LAYERS // 2,
             "encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS, "encoder_ffn_dim": 4 * WIDTH,
             "decoder_ffn_dim": 4 * WIDTH, "max_position_embeddings": POSITIONS},
    "t5": {"d_model": WIDTH, "d_kv": WIDTH // HEADS, "d_ff": 4 * WIDTH, "num_layers": LAYERS // 2, "num_heads": HEADS},
    "transfo-xl": {"d_model": WIDTH, "d_embed": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "d_head": WIDTH // HEADS,
                   "d_inner": 4 * WIDTH, "cutoffs": [2048, 4096], "div_val": 1, "mem_len": 128},
    "xlnet": {"d_model": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 4 * WIDTH},
    "reformer": {"hidden_size": WIDTH, "num_attention_heads": HEADS, "attention_head_size": WIDTH // HEADS,
                 "feed_forward_size": 4 * WIDTH, "attn_layers": ["local", "lsh"] * (LAYERS // 2),
                 "axial_pos_shape": [16, 32], "axial_pos_embds_dim": [WIDTH // 4, WIDTH - WIDTH // 4],
                 "max_position_embeddings": POSITIONS, "hash_seed": 0},
}


def pair(model_type: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same random body in transformers and in course."""
    import transformers

    sizes = SIZES[model_type] | {"vocab_size": VOCABULARY, "pad_token_id": 0}
    theirs = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(model_type, **sizes)).eval()
    with tempfile.TemporaryDirectory() as folder:
        # Transformer-XL: biases that layers share it can only save in the older format
        theirs.save_pretrained(folder, safe_serialization=model_type != "transfo-xl")
        return theirs, course.AutoModel.from_pretrained(folder)


def batches(model_type: str, rows: int, length: int) -> dict[str, dict[str, torch.Tensor]]:
    """Texts of random words: with padding on the right, and all of the same length."""
    ids = torch.randint(3, VOCABULARY, (rows, length))
    lengths = torch.linspace(length, length // 4, rows).long()[:, None]
    keep = (torch.arange(length) < lengths).long()
    found = {"padded": {"input_ids": ids * keep, "attention_mask": keep},
             "full": {"input_ids": ids, "attention_mask": torch.ones_like(ids)}}
    if model_type in ("bart", "t5"):
        for inputs in found.values():
            inputs["decoder_input_ids"] = ids
    if model_type == "transfo-xl":                    # has no attention mask: its texts are one long stream
        return {"full": {"input_ids": ids}}
    return found


@torch.inference_mode()
def seconds(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    start = time.perf_counter()
    model(**inputs)
    return time.perf_counter() - start


@torch.inference_mode()
def megabytes(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    """The most that a forward pass has in use at once, without the weights."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        model(**inputs)
    used = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            used += event.nbytes()
            most = max(most, used)
    return most / 1e6


def table(kinds: list[str], rows: int, length: int, runs: int) -> None:
    print(f"Forward pass, {rows} x {length} tokens, width {WIDTH}, {LAYERS} layers ({machine()})")
    print(f"{'':<22}{'milliseconds':^28}{'megabytes':^27}")
    print(f"{'':<22}{'transformers':>13}{'course':>8}{'ratio':>7}{'transformers':>13}{'course':>8}{'ratio':>6}")
    ratios = []
    for kind in kinds:
        theirs, ours = pair(kind)
        for name, inputs in batches(kind, rows, length).items():
            with torch.inference_mode():
                far = (ours(**inputs)[0] - theirs(**inputs)[0])[inputs.get("attention_mask", inputs["input_ids"]).bool()]
            times = [(seconds(theirs, inputs), seconds(ours, inputs)) for _ in range(runs + 2)][2:]
            (before, after), memory = map(statistics.median, zip(*times, strict=True)), [
                megabytes(model, inputs) for model in (theirs, ours)]
            ratios.append(before / after)
            print(f"{kind + ', ' + name:<22}{before * 1000:13.1f}{after * 1000:8.1f}{before / after:7.2f}"
                  f"{memory[0]:13.1f}{memory[1]:8.1f}{memory[0] / memory[1]:6.2f}   (apart: {far.abs().max():.0e})", flush=True)
    print(f"lowest ratio {min(ratios):.2f}, median {statistics.median(ratios):.2f}")


def curves() -> dict[str, Callable[[int], tuple[torch.nn.Module, dict]]]:
    """Name of a curve -> what runs at a length: model and inputs."""
    def bert(length: int, **settings) -> torch.nn.Module:
        return course.AutoModel.from_config(course.AutoConfig.for_model("bert", **BERT | {
            "num_hidden_layers": 2, "max_position_embeddings": length, "vocab_size": VOCABULARY}, **settings)).eval()

    def ids(length: int) -> dict:
        return {"input_ids": torch.randint(3, VOCABULARY, (1, length))}

    found = {"attention that builds its weights": lambda n: (bert(n), ids(n) | {"output_attentions": True}),
             "fused attention": lambda n: (bert(n), ids(n)),
             "fused, feed-forward in chunks of 64": lambda n: (bert(n, chunk_size_feed_forward=64), ids(n))}
    if "reformer" in MODELS:
        sizes = SIZES["reformer"] | {"attn_layers": ["lsh", "lsh"], "vocab_size": VOCABULARY}
        found["hashed (LSH) attention"] = lambda n: (course.AutoModel.from_config(course.AutoConfig.for_model(
            "reformer", **sizes | {"max_position_embeddings": n, "axial_pos_shape": [n // 32, 32]})).eval(), ids(n))
    return found


def draw(path: str, lengths: list[int], runs: int) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, make), marker in zip(curves().items(), "osD^", strict=False):
        times, memory = [], []
        for length in lengths:
            model, inputs = make(length)
            times.append(statistics.median([seconds(model, inputs) for _ in range(runs + 1)][1:]))
            memory.append(megabytes(model, inputs))
            print(f"{name:<38}{length:>6} tokens{times[-1]:9.3f} s{memory[-1]:9.1f} MB", flush=True)
        left.plot(lengths, times, marker=marker, label=name)
        right.plot(lengths, memory, marker=marker, label=name)
    for axes, title in ((left, "seconds"), (right, "megabytes beside the weights")):
        axes.set(xscale="log", yscale="log", xlabel="tokens of one text", title=title)
        axes.set_xticks(lengths, lengths)
    left.legend()
    figure.savefig(path)
    print(f"The plot is in {path}")


def type_as(self: torch.Tensor, other: torch.Tensor | None = None, dtype: torch.dtype | None = None,
            plain: Callable = torch.Tensor.type_as) -> torch.Tensor:
    """Transformer-XL of transformers 4.57 calls type_as(dtype=…), which torch never had."""
    return plain(self, other) if dtype is None else self.to(dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [kind for kind in SIZES if kind in MODELS]
    parser.add_argument("kinds", nargs="*", metavar="architecture", help=f"of {', '.join(known)}; without any: all")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--length", metavar="FILE.png", help="draw cost against length instead")
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    arguments = parser.parse_args()
    if wrong := set(arguments.kinds) - set(known):
        sys.exit(f"course has no {' and no '.join(sorted(wrong))}; it has: {', '.join(known)}")
    torch.manual_seed(0)
    torch.Tensor.type_as = type_as  # type: ignore[method-assign]
    if arguments.length:
        draw(arguments.length, arguments.lengths, min(arguments.runs, 3))
    else:
        table(arguments.kinds or known, arguments.batch, arguments.tokens, arguments.runs)


if __name__ == "__main__":
    main()
