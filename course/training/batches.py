"""Which examples a step sees, in which order: decided by seed and epoch alone, so that a run can go on where it stopped.

A batch is planned for all processes together and then shared out. Two processes with batches of 8 see in each step what one
process with batches of 16 sees.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from course.training.seed import set_seed

MEGA = 50               # batches that are sorted by length together: little padding, and still a different order every time


def as_rows(data: Any, what: str) -> Any:
    """Lists of dicts, a pandas table, a torch Dataset or one of `datasets` -> what len() and [number] work on; or a stream.

    Raises ValueError when it is empty, TypeError when it is something else.
    """
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        data = data.to_dict("records")
    stream = isinstance(data, IterableDataset) or (hasattr(data, "__iter__") and not hasattr(data, "__getitem__"))
    if stream and not isinstance(data, Iterator):
        return data
    if isinstance(data, (str, Mapping, Iterator)) or not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise TypeError(f"{what} is a {type(data).__name__}: give a list of dicts, a pandas DataFrame, a torch Dataset, or a "
                        "Dataset of the library datasets; each example a dict like {'input_ids': […], 'label': 1}"
                        + (". A generator can be read only once: list(…) keeps it" if isinstance(data, Iterator) else ""))
    if len(data) == 0:
        raise ValueError(f"{what} is empty: there is nothing to learn from. Did a filter drop every row?")
    return data


def lengths_of(rows: Any, column: str, always: bool) -> list[int] | None:
    """How long each example is, or None where that would mean to read everything first (unless always)."""
    if not always and not isinstance(rows, list) and not hasattr(rows, "column_names"):
        return None
    if hasattr(rows, "column_names"):                 # of the library datasets: a column at once
        name = column if column in rows.column_names else "input_ids"
        return None if name not in rows.column_names else [n if name == column else len(n) for n in rows[name]]
    found = []
    for number in range(len(rows)):
        row = rows[number]
        if not isinstance(row, Mapping) or ("input_ids" not in row and column not in row):
            return None
        found.append(int(row[column]) if column in row else len(row["input_ids"]))
    return found


def length_groups(order: list[int], lengths: Sequence[int], size: int, generator: torch.Generator) -> list[int]:
    """Examples in a random order -> an order in which each `size` that follow each other have about the same length: 50 batches
    at a time are sorted, then all batches are mixed. The longest comes first: memory that does not do is found out at once."""
    mega = size * MEGA
    order = [i for start in range(0, len(order), mega) for i in sorted(order[start:start + mega], key=lambda i: -lengths[i])]
    full = len(order) // size
    if full < 2:
        return order
    mixed = [0, *(torch.randperm(full - 1, generator=generator) + 1).tolist()]
    return [i for batch in mixed for i in order[batch * size:(batch + 1) * size]] + order[full * size:]


class Fetch(Dataset):
    """(number of a batch, numbers of its examples) -> the batch.

    A worker draws the random numbers of each batch (masks, a data set that changes its texts) anew from seed, epoch, process
    and number of the batch: a run that goes on in the middle has other workers, and the same batches.
    """

    def __init__(self, rows: Any, collate: Callable[[list], Any], seeds: tuple[int, ...]):
        self.rows, self.collate, self.seeds = rows, collate, seeds

    def __getitem__(self, key: tuple[int, list[int]]) -> Any:
        number, places = key
        if get_worker_info() is not None:             # without workers the state of the run goes on, and is in its checkpoints
            set_seed(int(np.random.SeedSequence([*self.seeds, number]).generate_state(1)[0]))
        together = getattr(self.rows, "__getitems__", None)          # all at once where the data set knows how
        return self.collate(together(places) if together else [self.rows[place] for place in places])


def as_it_is(batch: Any) -> Any:
    return batch


class Batches:
    """The batches of one process.

    rows: what as_rows returns. size: examples in a batch of one process. rank, world: which process of how many.
    lengths: batches of similar length, in an order that is random all the same. shuffle=False: in the order of the rows, or
    the longest first where lengths are given.
    """

    def __init__(self, rows: Any, size: int, collate: Callable[[list], Any], *, seed: int = 0, shuffle: bool = True,
                 lengths: Sequence[int] | None = None, drop_last: bool = False, rank: int = 0, world: int = 1,
                 workers: int = 0, pin: bool = False):
        self.rows, self.size, self.collate, self.seed, self.shuffle, self.lengths = rows, size, collate, seed, shuffle, lengths
        self.drop_last, self.rank, self.world, self.workers, self.pin = drop_last, rank, world, workers, pin
        self.is_stream = not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__"))

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole = self.size * self.world
        return len(self.rows) // whole if self.drop_last else -(-len(self.rows) // whole)

    def plan(self, epoch: int) -> list[list[int]]:
        """The numbers of the examples in each batch of all processes together."""
        count, whole = len(self.rows), self.size * self.world
        generator = torch.Generator().manual_seed(self.seed + epoch)
        if not self.shuffle:
            order = sorted(range(count), key=lambda i: -self.lengths[i]) if self.lengths else list(range(count))
        else:
            order = torch.randperm(count, generator=generator).tolist()
            if self.lengths:
                order = length_groups(order, self.lengths, whole, generator)
        batches = [order[i:i + whole] for i in range(0, count, whole)]
        return batches[:-1] if self.drop_last and len(batches[-1]) < whole else batches

    def share(self, batch: list) -> list:
        """What this process does of a batch; nothing is left for some when there are fewer examples than processes."""
        base, extra = divmod(len(batch), self.world)
        start = self.rank * base + min(self.rank, extra)
        return batch[start:start + base + (self.rank < extra)]

    def __iter__(self) -> Iterator[Any]:
        """The batches of the first epoch, to look at."""
        return (batch for _, batch in self.epoch(0))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[list, Any]]:
        """(numbers of the examples, batch) without the first `skip`. A process without a share computes the first example,
        and its numbers are empty."""
        if self.is_stream:
            yield from self.stream(epoch, skip)
            return
        plan = list(enumerate(self.plan(epoch)))[skip:]
        mine = [self.share(batch) for _, batch in plan]
        loader = DataLoader(Fetch(self.rows, self.collate, (self.seed, epoch, self.rank)), batch_size=None,
                            sampler=[(number, own or batch[:1]) for own, (number, batch) in zip(mine, plan, strict=True)],
                            collate_fn=as_it_is, num_workers=self.workers, pin_memory=self.pin,
                            # its own random numbers: those of the model do not depend on how often an epoch is begun
                            generator=torch.Generator().manual_seed(self.seed + epoch))
        yield from zip(mine, loader, strict=True)

    def stream(self, epoch: int, skip: int) -> Iterator[tuple[list, Any]]:
        if hasattr(self.rows, "set_epoch"):
            self.rows.set_epoch(epoch)
        rows, whole = iter(self.rows), self.size * self.world
        for number in itertools.count():
            batch = list(itertools.islice(rows, whole))
            if not batch or (self.drop_last and len(batch) < whole):
                return
            if number >= skip:
                places = self.share(list(range(number * whole, number * whole + len(batch))))
                yield places, self.collate(self.share(batch) or batch[:1])
