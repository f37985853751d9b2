"""course annotate's function over Ray Data, on a cluster of this machine that loses one of its two workers midway.

Ray is large (a quarter of a gigabyte), so CI goes without it: pip install "course[ray]" and pytest tests/unit/test_ray.py run this.
"""

import os
import time

import pandas as pd
import pytest
import tiny

import course
from course import corpus

ray = pytest.importorskip("ray", reason='ray is not installed here (pip install "course[ray]")')
pytest.importorskip("ray.data", reason='ray is not installed here (pip install "course[ray]")')

ROWS, PIECE = 480, 16


@pytest.fixture
def cluster(monkeypatch):
    """A head that computes nothing, and two workers."""
    monkeypatch.setenv("RAY_health_check_timeout_ms", "60000")           # a busy machine is no dead one
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(course.__file__)))
    from ray.cluster_utils import Cluster
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**8})
    found.workers = [found.add_node(num_cpus=3, object_store_memory=10**8) for _ in range(2)]
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


def test_a_lost_worker_costs_no_row_and_repeats_none(tmp_path, cluster, monkeypatch):
    words = ["good", "bad", "not", "the council", "new school", "happy people"]
    rows = pd.DataFrame({"number": range(ROWS), "text": [None if i % 17 == 5 else f"{words[i % 6]} {words[i % 5]}" for i in range(ROWS)]})
    tiny.save(tmp_path / "model", id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1})
    (tmp_path / "in").mkdir()
    for start in range(0, ROWS, PIECE):
        rows[start:start + PIECE].to_parquet(tmp_path / f"in/{start:04}.parquet")
    places = tmp_path / "places"
    places.mkdir()

    class Slow(corpus.Annotator):                     # goes to the workers by value; notes which of them computed what
        def __call__(self, table):
            time.sleep(0.2)
            node = ray.get_runtime_context().get_node_id()
            (places / f"{table['number'][0].as_py()} {node} {time.time()}").touch()
            return super().__call__(table)

    monkeypatch.setattr(corpus, "Annotator", Slow)
    answered = corpus.annotate_ray(ray.data.read_parquet(str(tmp_path / "in"), override_num_blocks=ROWS // PIECE), "sentiment-analysis",
                                   "text", str(tmp_path / "model"), workers=2, piece=PIECE)
    found, lost = [], None
    for table in answered.iter_batches(batch_size=None, batch_format="pandas", prefetch_batches=0):
        found.append(table)
        used = {name.split()[1] for name in os.listdir(places)}
        if lost is None and len(used) == 2:
            lost = cluster.workers[0].node_id
            cluster.remove_node(cluster.workers[0], allow_graceful=False)
            left = ROWS // PIECE - len(found)
    assert lost is not None and left > 0, "the worker was not lost midway"
    found = pd.concat(found).sort_values("number", ignore_index=True)
    assert found["number"].tolist() == list(range(ROWS))
    expected = course.pipeline("sentiment-analysis", model=str(tmp_path / "model")).frame(rows["text"])
    assert found["label"].fillna("").tolist() == expected["label"].fillna("").tolist()
    assert found["score"].fillna(-1).tolist() == pytest.approx(expected["score"].fillna(-1).tolist(), abs=1e-5)
    with pytest.raises(KeyError, match="no column 'txt'; it has number, text"):
        corpus.annotate_ray(ray.data.from_pandas(rows), "sentiment-analysis", "txt")
