"""sentence-similarity: how close in meaning two texts are, from -1 to 1; 1 says the same."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from course.pipelines.feature_extraction import FeatureExtractionPipeline
from course.tokenizers.encoding import BatchEncoding


class SentenceSimilarityPipeline(FeatureExtractionPipeline):
    """The cosine of the mean vectors of two texts (Reimers and Gurevych 2019, "Sentence-BERT").

    pipe("a text", "another") -> a number; pipe("a text", [others]) -> a number for each; pipe([texts]) -> a table, each text
    against each; pipe([texts], [others]) -> a table with a row for each text.
    """

    task = "sentence-similarity"
    defaults: ClassVar[dict[str, Any]] = {"return_tensors": False, "pooling": "mean"}

    def __call__(self, source_sentence: Any, sentences: Any = None, *,  # type: ignore[override]
                 batch_size: int | None = None, **options: Any) -> Any:
        if isinstance(source_sentence, dict) and sentences is None:                   # as the Hub's own interface takes it
            if set(source_sentence) != {"source_sentence", "sentences"}:
                raise ValueError("sentence-similarity needs {'source_sentence': a text, 'sentences': [texts]}, got a dict with "
                                 f"{', '.join(map(str, source_sentence)) or 'nothing'}")
            source_sentence, sentences = source_sentence["source_sentence"], source_sentence["sentences"]
        if isinstance(source_sentence, str) and sentences is None:
            raise ValueError("sentence-similarity compares texts: give a second text or a list, pipe(text, others)")
        first = self.many(source_sentence)
        both = first if sentences is None else [*first, *self.many(sentences)]
        if not both or both is not first and len(first) in (0, len(both)):
            return []
        vectors = F.normalize(torch.stack(super().__call__(both, batch_size=batch_size, **options | {"return_tensors": True})),
                              dim=-1)                                                              # (texts, D)
        table = vectors[:len(first)] @ (vectors if sentences is None else vectors[len(first):]).T
        found = table if not isinstance(source_sentence, str) else table[0]
        found = found[..., 0] if isinstance(sentences, str) else found
        return found.clamp(-1, 1).tolist()

    @staticmethod
    def many(texts: Any) -> list[Any]:
        return [texts] if isinstance(texts, str) or not hasattr(texts, "__iter__") else list(texts)

    def frame(self, column: Any, sentences: Any = None, **options: Any) -> Any:
        """A table of similarities, with the column's index and a column for each of the sentences."""
        import pandas as pd
        texts = self.many(column if sentences is None else sentences)
        index = getattr(column, "index", None)
        return pd.DataFrame(self(column, texts, **options), index=index if isinstance(index, pd.Index) else None, columns=texts)

    def explain(self, item: Any, other: str = "", **options: Any) -> None:
        """Prints the steps behind `pipe(text, other)` for the first text; the second goes the same way."""
        super().explain(item, **options)
        if other:
            print(f"\n# 4. The same for the other text, and the cosine of both vectors\n# {self(item, other):.4f}")

    def steps(self, item: str, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        first = [round(x, 4) for x in outputs[0][0].float().mean(0)[:4].tolist()]
        return ["", "# 3. The mean over the tokens is the vector of the text", "vector = outputs[0][0].mean(0)",
                f"print(vector[:4])          # {first}"]
