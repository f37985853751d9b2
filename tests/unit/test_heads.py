"""Losses against plain torch, and labels that do not fit."""

import pytest
import tiny
import torch
import torch.nn.functional as F

import course
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


# -- names that tutorials use --------------------------------------------------------------------------------------------------


def test_parts_and_sizes_by_their_public_names():
    model = tiny.model("ForMaskedLM")
    assert model.base_model_prefix == "bert" == course.BertModel.base_model_prefix and model.main_input_name == "input_ids"
    tables = sum(part.weight.numel() for part in (model.bert.tokens, model.bert.positions, model.bert.types))
    assert model.num_parameters(exclude_embeddings=True) == model.num_parameters() - tables
    assert model.get_memory_footprint() == 4 * model.num_parameters() == 2 * model.double().get_memory_footprint() // 4
    new = torch.nn.Embedding(120, 24)
    model.float().set_input_embeddings(new)
    assert model.get_input_embeddings() is new and model.get_output_embeddings().weight is new.weight
    assert model(torch.tensor([[119]])).logits.shape == (1, 1, 120)
    with pytest.raises(ValueError, match="the model is 24 wide, the new vectors 9"):
        model.set_input_embeddings(torch.nn.Embedding(120, 9))
    assert model.get_decoder() is model.bert
    with pytest.raises(AttributeError, match="BertModel is no encoder-decoder"):
        model.get_encoder()


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_the_encoder_of_an_encoder_decoder(kind):
    sizes = {"bart": {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
                      "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 20},
             "t5": {"num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 16}}[kind]
    model = course.AutoModelForSeq2SeqLM.from_config(course.AutoConfig.for_model(kind, vocab_size=50, d_model=16, **sizes)).eval()
    ids, mask = torch.tensor([[5, 6, 7, 2], [8, 9, 2, 1]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    encoder = model.get_encoder()
    encoded = encoder(input_ids=ids, attention_mask=mask)
    wanted = model(ids, mask, decoder_input_ids=ids)
    torch.testing.assert_close(encoded.last_hidden_state, wanted.encoder_last_hidden_state)
    torch.testing.assert_close(model(attention_mask=mask, encoder_outputs=encoded, decoder_input_ids=ids).logits, wanted.logits)
    for weight in encoder.parameters():
        weight.requires_grad_(False)
    assert not model.get_input_embeddings().weight.requires_grad
    assert all(w.requires_grad for w in model.get_decoder().layers.parameters())


def test_outputs_have_get(batch):
    out = tiny.model()(**batch)
    assert out.get("logits") is out.logits and out.get("attentions") is None and out.get("nothing", 5) == 5


def test_a_batch_without_stars_says_so(batch):
    for model in (tiny.model(), tiny.model("")):
        with pytest.raises(TypeError, match=r"put two stars before it, model\(\*\*batch\)"):
            model(batch)
        with pytest.raises(TypeError, match=r"put two stars before it, model\(\*\*batch\)"):
            model(dict(batch))


def test_both_tasks_of_the_first_training(tmp_path, batch):
    model = course.BertForPreTraining(tiny.config()).eval()
    follows = torch.tensor([0, 1, 1])
    out = model(**batch, labels=batch["input_ids"], next_sentence_label=follows)
    assert out.prediction_logits.shape == (*batch["input_ids"].shape, len(tiny.VOCAB)) and out.seq_relationship_logits.shape == (3, 2)
    assert model(**batch, labels=batch["input_ids"]).loss is None
    model.save_pretrained(tmp_path)
    pairs = course.BertForNextSentencePrediction.from_pretrained(tmp_path)
    words = course.AutoModelForMaskedLM.from_pretrained(tmp_path)
    found = pairs(**batch, labels=follows)
    torch.testing.assert_close(found.logits, out.seq_relationship_logits)
    torch.testing.assert_close(found.loss + words(**batch, labels=batch["input_ids"]).loss, out.loss)
    torch.testing.assert_close(pairs(**batch, next_sentence_label=follows[:, None]).loss, found.loss)
    assert type(course.AutoModelForPreTraining.from_pretrained(tmp_path)) is course.BertForPreTraining
    assert type(course.AutoModelForNextSentencePrediction.from_pretrained(tmp_path)) is course.BertForNextSentencePrediction
