"""Checkpoints from which a run goes on as if it had never stopped.

A checkpoint is written into a temporary folder, flushed to the disk, and only then given its name: a folder that is called
checkpoint-500 is whole, whatever happened to the computer. manifest.json lists size and SHA-256 of every file, so that one that
was damaged later is noticed and the one before is taken. Nothing in it is a program: torch.load(…, weights_only=True) reads it.
"""

import hashlib
import json
import logging
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course import hub

log = logging.getLogger(__name__)
PARTIAL = ".part-"      # what a folder is called while it is written or deleted


def folders(output_dir: str | os.PathLike) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    found = [p for p in Path(output_dir).glob("checkpoint-*") if p.is_dir() and re.fullmatch(r"checkpoint-\d+", p.name)]
    return sorted(found, key=lambda p: -int(p.name.split("-")[1]))


def get_last_checkpoint(folder: str | os.PathLike) -> str | None:
    """The newest checkpoint in output_dir, or None."""
    return next((str(path) for path in folders(folder)), None)


def random_states() -> dict[str, Any]:
    """The states of all random numbers of this process, as tensors and plain numbers."""
    kind, keys, *rest = np.random.get_state()  # type: ignore[misc]
    states = {"python": random.getstate(), "numpy": [kind, torch.from_numpy(np.asarray(keys, np.int64)), *map(float, rest)],
              "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    kind, keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), int(place), int(has_gauss), gauss))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def write(folder: Path, fill: Callable[[Path], None], accelerator: Any) -> None:
    """Makes `folder` with what fill(temporary folder) writes, in every process, or nothing at all."""
    temporary = folder.with_name(PARTIAL + folder.name)
    try:
        if accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        accelerator.wait_for_everyone()
        fill(temporary)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            files = sorted(path for path in temporary.rglob("*") if path.is_file())
            manifest = {path.relative_to(temporary).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
                        for path in files}
            (temporary / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
            for path in (*files, temporary / "manifest.json", temporary):
                flush(path)
            discard(folder)                           # of an older run in the same place
            os.replace(temporary, folder)
            flush(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        last = get_last_checkpoint(folder.parent)
        raise OSError(f"{folder} could not be written ({error}); nothing half is kept, and "
                      + (f"the last checkpoint is {last}" if last else "there is no checkpoint yet")
                      + ". Is the disk full? Make room, or set save_total_limit=2, then trainer.train(resume_from_checkpoint="
                        "True) goes on from there") from error
    finally:
        accelerator.wait_for_everyone()


def flush(path: Path) -> None:
    """What was written is on the disk, not in a buffer. Windows has this for files only."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def discard(folder: Path) -> None:
    """Deletes a checkpoint; a kill in between leaves none that looks whole."""
    if folder.exists():
        gone = folder.with_name(f"{PARTIAL}old-{folder.name}")
        shutil.rmtree(gone, ignore_errors=True)
        os.replace(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


def tidy(output_dir: str | os.PathLike) -> None:
    """Removes what a killed run has left half-written."""
    for path in Path(output_dir).glob(f"{PARTIAL}*checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)


def rotate(output_dir: str | os.PathLike, keep: int | None, best: str | None) -> None:
    """Deletes the oldest checkpoints until `keep` are left, the best one beside them."""
    if keep is not None:
        for path in folders(output_dir)[keep:]:
            if best is None or path != Path(best):
                discard(path)


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest = hub.read_json(folder / "manifest.json")
    except (OSError, ValueError):
        return "its manifest.json is missing or damaged"
    for name, wanted in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != wanted["bytes"] or digest(path) != wanted["sha256"]:
            return f"{name} is damaged"
    return None


def find(output_dir: str | os.PathLike, asked: bool | str | os.PathLike) -> Path | None:
    """The checkpoint to go on from: the one asked for, or (True) the newest whole one in output_dir."""
    if asked is not True:
        folder = Path(str(asked)).expanduser()
        if not folder.is_dir():
            there = ", ".join(path.name for path in folders(output_dir)) or "none"
            raise FileNotFoundError(f"there is no checkpoint {folder}; in {output_dir}: {there}")
        if (wrong := damage(folder)) is not None:
            raise OSError(f"{folder} cannot be used: {wrong}. resume_from_checkpoint=True takes the newest one that is whole")
        return folder
    for folder in folders(output_dir):
        if (wrong := damage(folder)) is None:
            return folder
        log.warning("%s is not used: %s. The checkpoint before it is taken.", folder, wrong)
    return None


def load(path: Path) -> Any:
    """A file of a checkpoint that torch.save wrote."""
    return torch.load(path, map_location="cpu", weights_only=True)
