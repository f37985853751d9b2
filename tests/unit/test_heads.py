"""Losses against plain torch, and labels that do not fit."""

import pytest
import tiny
import torch
import torch.nn.functional as F

from course.heads import classification_loss, cross_entropy, span_loss


@pytest.fixture
def logits():
    return torch.randn(4, 3)


def test_one_class_per_text(logits):
    labels = torch.tensor([0, 2, 1, 1])
    wanted = -logits.log_softmax(-1)[torch.arange(4), labels].mean()
    for same in (labels, labels[:, None], labels[None], labels.int(), labels.short()):
        torch.testing.assert_close(classification_loss(logits, same, tiny.config(num_labels=3)), wanted)
    two = torch.randn(4, 2)
    torch.testing.assert_close(classification_loss(two, labels > 0, tiny.config()), F.cross_entropy(two, (labels > 0).long()))


def test_several_labels_per_text(logits):
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    p = logits.sigmoid()
    wanted = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    torch.testing.assert_close(classification_loss(logits, labels, tiny.config(num_labels=3)), wanted)
    config = tiny.config(num_labels=3, problem_type="multi_label_classification")
    torch.testing.assert_close(classification_loss(logits, labels.long(), config), wanted)


def test_a_number_per_text(logits):
    labels = torch.tensor([0.5, 1, 2, 3])
    wanted = ((logits[:, 0] - labels) ** 2).mean()
    for same in (labels, labels[:, None]):
        torch.testing.assert_close(classification_loss(logits[:, :1], same, tiny.config(num_labels=1)), wanted)
    torch.testing.assert_close(classification_loss(logits[:, :1], torch.tensor([1, 2, 3, 4]), tiny.config(num_labels=1)),
                               ((logits[:, 0] - torch.arange(1.0, 5)) ** 2).mean())
    config = tiny.config(num_labels=3, problem_type="regression")
    torch.testing.assert_close(classification_loss(logits, 2 * logits, config), (logits ** 2).mean())


def test_positions_with_minus_100_do_not_count():
    scores, labels = torch.randn(2, 5, 3), torch.tensor([[0, -100, 2, 1, -100], [-100] * 5])
    wanted = -torch.stack([scores[0, i].log_softmax(-1)[labels[0, i]] for i in (0, 2, 3)]).mean()
    torch.testing.assert_close(cross_entropy(scores, labels), wanted)


def test_spans(logits):
    start, end = torch.randn(3, 6), torch.randn(3, 6)
    firsts, lasts = torch.tensor([0, 5, 9]), torch.tensor([1, 20, 2])
    wanted = (F.cross_entropy(start[:2], firsts[:2]) + F.cross_entropy(end[[0, 2]], lasts[[0, 2]])) / 2
    torch.testing.assert_close(span_loss(start, end, firsts, lasts), wanted)
    torch.testing.assert_close(span_loss(start, end, firsts[:, None], lasts[:, None]), wanted)
    assert span_loss(start, end, None, None) is None


@pytest.mark.parametrize(("labels", "error", "message"), [
    ([0, 1, 2, 0], TypeError, r"labels must be a tensor, got list: write labels=torch.tensor"),
    ("FOR", TypeError, "labels must be a tensor, got str"),
    (torch.tensor([0, 1, 3, 0]), ValueError, "labels holds 3, but this model has 3 classes: 0 to 2.*num_labels"),
    (torch.tensor([0, -1, 2, 0]), ValueError, "labels holds -1"),
    (torch.tensor([0, 1]), ValueError, r"labels has the shape \(2,\), a batch of 4 texts asks for \(4,\)"),
    (torch.tensor(1), ValueError, r"labels has the shape \(\)"),
    (torch.tensor([0.0, 1, 2, 0]), ValueError, r"class numbers are whole numbers, labels.long\(\)"),
    (torch.rand(3, 4), ValueError, r"labels has the shape \(3, 4\), a batch of 4 texts asks for \(4, 3\)"),
])
def test_labels_that_do_not_fit(logits, labels, error, message):
    with pytest.raises(error, match=message):
        classification_loss(logits, labels, tiny.config(num_labels=3))


def test_labels_of_tokens_that_do_not_fit(batch):
    model = tiny.model("ForTokenClassification")
    with pytest.raises(ValueError, match=r"labels has the shape \(3,\), the logits ask for \(3, \d+\)"):
        model(**batch, labels=torch.tensor([0, 1, 0]))
    with pytest.raises(TypeError, match="got floats"):
        model(**batch, labels=torch.zeros(batch["input_ids"].shape))
    with pytest.raises(ValueError, match="one token number per text"):
        tiny.model("ForQuestionAnswering")(**batch, start_positions=torch.tensor([1]), end_positions=torch.tensor([1, 2, 3]))


@pytest.mark.parametrize("kind", tiny.SIZES)
@pytest.mark.parametrize("task", ["ForSequenceClassification", "ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"])
def test_every_task_learns(kind, task, batch):
    """Labels give a loss, the loss has gradients for every weight that can be learned, and steps along them lower it."""
    model = tiny.model(task, kind)
    batch.pop("token_type_ids")
    shape = batch["input_ids"].shape
    labels = {"ForSequenceClassification": {"labels": torch.tensor([0, 1, 1])},
              "ForQuestionAnswering": {"start_positions": torch.tensor([1, 0, 2]), "end_positions": torch.tensor([3, 1, 2])}
              }.get(task, {"labels": torch.randint(2, shape).where(batch["attention_mask"] == 1, -100)})
    assert model(**batch).loss is None
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        loss = model(**batch, **labels).loss
        loss.backward()
        if not losses:
            # in a body with a pooler that no head reads, nothing; everywhere else every weight is on the way to the loss
            assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
