"""The glossary: `course.glossary("attention mask")` shows a card, `course.glossary()` a table to search in.

A card says in a few sentences what a term means and runs a small example at that moment, so that no result in here can
grow old. (The file is not called glossary.py: importing a module of that name would hide the function.)

Long, because it is text: a card for each term.
"""

import ast
import difflib
import html
import re
import textwrap
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Term:
    """One entry. example: Python that runs on its own; the value of its last line is the result that a card shows."""

    name: str
    meaning: str
    example: str
    related: tuple[str, ...]
    lessons: tuple[int, ...]
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.meaning = " ".join(self.meaning.split())
        self.example = textwrap.dedent(self.example).strip()


TERMS = [
    # -- Texts and models --------------------------------------------------------------------------------------------------
    Term("token", """
         The unit in which a model reads: a frequent word, a piece of a rare one, a sign. Two answers of the same number of
         words can have different numbers of tokens, and the limit of a model counts tokens.
         """, """
         from course import AutoTokenizer
         AutoTokenizer.from_pretrained("pocket/encoder").tokenize("Our neighbourhood is gentrifying.")
         """, ("tokenizer", "input IDs", "special tokens"), (1, 2, 3, 6, 7, 8), ("subword", "word piece")),
    Term("tokenizer", """
         The program that cuts a text into tokens and looks up the number of each. It belongs to its model: with the tokenizer
         of another one, the numbers mean other words.
         """, """
         from course import AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
         tokenizer.decode(tokenizer("The rent is too high.")["input_ids"])
         """, ("token", "input IDs", "special tokens"), (1, 2, 4, 7)),
    Term("BPE", """
         Byte-pair encoding: a way to make a vocabulary. It begins with single letters (or bytes) and joins the two neighbours
         that stand side by side most often, again and again. GPT's tokenizers are made so.
         """, """
         from course import train_bpe
         texts = ["the rent", "the rents", "the renter", "other rents"] * 9
         {size: train_bpe(texts, vocab_size=size).tokenize("the renters") for size in (15, 20, 30)}
         """, ("token", "tokenizer"), (6,), ("byte-pair encoding",)),
    Term("truncation", """
         Cutting a text that is longer than a model reads. It is silent, and it takes the end: where complaints come last, a cut
         text looks content. Windows that overlap read everything.
         """, """
         from course import AutoTokenizer
         AutoTokenizer.from_pretrained("pocket/encoder")("Nice, but far too loud.", truncation=True, max_length=4).tokens()
         """, ("padding", "token"), (4,), ("truncate",)),
    Term("special tokens", """
         Tokens that no author wrote. [CLS] and [SEP] frame a text, [PAD] fills a short one up, [MASK] covers a word, [UNK]
         stands for what the vocabulary cannot spell. Other families of models have other signs.
         """, """
         from course import AutoTokenizer
         AutoTokenizer.from_pretrained("pocket/encoder").all_special_tokens
         """, ("token", "padding", "MLM"), (2, 4)),
    Term("pipeline", """
         A model with all that stands around it, in one function: its tokenizer before it, the step from scores to an answer
         behind it. It is made by the name of a task.
         """, """
         from course import pipeline
         pipe = pipeline("sentiment-analysis", model="pocket/sentiment")
         [type(part).__name__ for part in (pipe, pipe.tokenizer, pipe.model)]
         """, ("tokenizer", "logits", "pretrained model"), (1, 4)),
    Term("NLP", """
         Natural language processing: everything that a computer does with the language of people. It covers understanding a
         text, writing one, and plain steps such as cutting it into tokens.
         """, """
         from course import pipeline
         pipeline("sentiment-analysis", model="pocket/sentiment")("I feel at home here.")
         """, ("NLU", "NLG"), (2,), ("natural language processing",)),
    Term("NLU", """
         Natural language understanding: a text goes in, and a judgement about it comes out, such as a code, a name or the place
         of an answer. Coding open answers is NLU. The word promises more than models do: they find regularities in the use of
         words.
         """, """
         from course import pipeline
         pipeline("sentiment-analysis", model="pocket/sentiment")(["They listened to us.", "They ignored us."])
         """, ("NLP", "NLG", "autoencoding"), (2,), ("natural language understanding",)),
    Term("NLG", """
         Natural language generation: the model writes. A summary, a translation and an answer in a chat are NLG. It writes a
         token, reads what it has written, and writes the next; here a model that was made to fill gaps does so, which shows how
         ill suited it is.
         """, """
         from course import AutoModelForMaskedLM, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
         model = AutoModelForMaskedLM.from_pretrained("pocket/encoder")
         text = "Our city needs"
         for step in range(5):
             batch = tokenizer(f"{text} [MASK].", return_tensors="pt")
             text += " " + tokenizer.decode(model(**batch).logits[0, -3].argmax())
         text
         """, ("NLP", "NLU", "autoregressive"), (2,), ("natural language generation",)),
    Term("deep learning", """
         Learning with many layers, each of which works on the result of the one before. Nobody writes the rules: numbers inside
         the layers, the weights, are changed step by step until the errors become small.
         """, """
         from course import AutoModel
         model = AutoModel.from_pretrained("pocket/encoder")
         f"{len(model.layers)} layers, {model.num_parameters():,} weights"
         """, ("Transformer", "loss", "pretrained model"), (2,), ("neural network",)),
    Term("self-supervised learning", """
         Learning from texts that nobody has coded. The text itself holds the answers: cover a word, or the rest of a sentence,
         and let the model guess. This makes whole libraries usable, with all that they take for granted.
         """, """
         text = "My landlord never answers".split()
         [(" ".join(text[:n]), text[n]) for n in range(1, len(text))]
         """, ("MLM", "CLM", "pretrained model"), (2,), ("self-supervision",)),
    Term("LLM", """
         Large language model: a Transformer with billions of weights that was trained to go on with texts, and then to follow
         instructions. Large is no clear border. What a model takes in memory is its number of weights times their size.
         """, """
         weights = {"pocket/encoder": 15e6, "GPT-2": 124e6, "a model of 8 billion": 8e9}
         {name: f"{4 * n / 1e9:.2f} GB in float32, {2 * n / 1e9:.2f} in bfloat16" for name, n in weights.items()}
         """, ("Transformer", "autoregressive", "prompt"), (), ("large language model", "foundation model", "chat model")),
    Term("prompt", """
         The text that an LLM is given to go on with: a question, a codebook with an answer to be coded, an example or two. The
         same question in other words can give another code, so a prompt belongs into the appendix of a paper.
         """, """
         codebook = {"housing": "rent, landlords, repairs", "transport": "buses, roads, parking"}
         lines = [f"- {code}: {what}" for code, what in codebook.items()]
         print_me = ["Which topic does the answer name?", *lines, "Answer: The 7 is never on time.", "Topic:"]
         chr(10).join(print_me)
         """, ("LLM", "autoregressive"), ()),
    Term("pretrained model", """
         A model that has already learned from a large collection of texts, mostly by guessing words. Its weights are published,
         and others start from them. It brings a knowledge of the language along, and the habits of its texts too.
         """, """
         from course import AutoModelForMaskedLM, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
         model = AutoModelForMaskedLM.from_pretrained("pocket/encoder")
         blank = AutoModelForMaskedLM.from_config(model.config).eval()
         batch = tokenizer("She teaches at a [MASK].", return_tensors="pt")
         guess = lambda m: tokenizer.decode(m(**batch).logits[0, 5].argmax())
         {"pretrained": guess(model), "random weights": guess(blank)}
         """, ("fine-tuning", "self-supervised learning"), (2,), ("pretraining",)),
    Term("fine-tuning", """
         Training a pretrained model a little further on examples of one's own, for instance on a few hundred coded answers. The
         body changes slightly, the head is learned from nothing.
         """, """
         import torch
         from course import AutoModelForSequenceClassification, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")
         model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
         batch = tokenizer("It could be worse.", return_tensors="pt")
         before = model(**batch, labels=torch.tensor([1])).loss
         before.backward()
         with torch.no_grad():
             for weight in model.parameters():
                 weight -= 0.01 * weight.grad
         f"loss {before:.3f} -> {model(**batch, labels=torch.tensor([1])).loss:.3f} after one step"
         """, ("pretrained model", "LoRA", "labels", "loss"), (5, 9)),
    Term("LoRA", """
         Low-rank adaptation: fine-tuning that leaves the large matrices of a model alone and learns two thin ones beside each,
         whose product is added. A fine-tuned model is then a small file that belongs to a large one.
         """, """
         import torch
         large, thin = torch.zeros(384, 384), (torch.randn(384, 16), torch.randn(16, 384))
         new = large + thin[0] @ thin[1]
         f"{new.numel():,} numbers change, {sum(t.numel() for t in thin):,} are learned"
         """, ("fine-tuning",), (9,), ("low-rank adaptation", "adapter")),
    Term("Transformer", """
         A network made of layers in which attention lets tokens exchange information and a feed-forward network works on each
         token alone. It reads all tokens at once. Nearly all language models since 2018 are Transformers.
         """, """
         from course import AutoModel
         AutoModel.from_pretrained("pocket/encoder").layers[0]
         """, ("attention", "feed-forward network", "RNN"), (2, 7)),
    Term("RNN", """
         Recurrent neural network: it reads token after token and keeps what it has read in one state of fixed size. What was
         said early has to survive every later step; the example changes the first of n tokens and measures how much of the
         change is left at the end. Attention removed this path.
         """, """
         import torch
         rnn, change = torch.nn.RNN(8, 32), {}
         for n in (2, 5, 10, 20):
             text = torch.randn(n, 8)
             other = torch.cat([-text[:1], text[1:]])
             change[n] = round((rnn(text)[1] - rnn(other)[1]).norm().item(), 5)
         change
         """, ("Transformer", "attention", "hidden state"), (2,), ("recurrent neural network",)),
    Term("autoencoding", """
         Said of models that learn by repairing a damaged text, and so may look to both sides of a gap. They are made for
         reading, as BERT is: coding, searching, comparing.
         """, """
         from course import AutoModelForMaskedLM, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
         model = AutoModelForMaskedLM.from_pretrained("pocket/encoder")
         batch = tokenizer("The [MASK] was late, so I walked to work.", return_tensors="pt")
         tokenizer.convert_ids_to_tokens(model(**batch).logits[0, 2].topk(4).indices)
         """, ("MLM", "autoregressive", "encoder"), (2, 7), ("autoencoding model",)),
    Term("MLM", """
         Masked language modelling: some tokens of a text are covered, and the model guesses them from both sides. It is the way
         in which autoencoding models learn.
         """, """
         from course import AutoModelForMaskedLM, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
         model = AutoModelForMaskedLM.from_pretrained("pocket/encoder")
         batch = tokenizer("The nurses went on [MASK] for better pay.", return_tensors="pt")
         tokenizer.convert_ids_to_tokens(model(**batch).logits[0, 5].topk(4).indices)
         """, ("autoencoding", "CLM", "labels"), (1, 2, 3),
         ("masked language modelling", "masked language modeling", "masked language model", "fill-mask")),
    Term("autoregressive", """
         Said of models that guess the next token from those before it, add it to the text, and go on. They are made for
         writing, as GPT is. No token may see what follows it: changing the last one leaves all earlier results as they were.
         """, """
         import torch
         from course import GPT2Config, GPT2LMHeadModel
         model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=12)).eval()
         ids = torch.tensor([[7, 3, 9, 4]])
         other = torch.tensor([[7, 3, 9, 8]])
         (model(ids).logits - model(other).logits).abs().amax(-1).gt(1e-6).tolist()
         """, ("CLM", "causal mask", "decoder", "autoencoding"), (2, 7), ("autoregressive model",)),
    Term("CLM", """
         Causal language modelling: at every place the model guesses the next token, with everything later hidden. It is the way
         in which autoregressive models learn. The labels are the text itself; the model moves them by one.
         """, """
         import torch
         from course import GPT2Config, GPT2LMHeadModel
         model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=12)).eval()
         ids = torch.tensor([[7, 3, 9, 4]])
         model(ids, labels=ids).loss.item()
         """, ("autoregressive", "causal mask", "labels", "MLM"), (2, 3, 7),
         ("causal language modelling", "causal language modeling", "causal language model")),
    Term("seq2seq", """
         Sequence to sequence: a text goes in, another text of any length comes out, as in translation and summaries. An encoder
         reads, a decoder writes and looks at what the encoder has read.
         """, """
         import torch
         from course import BartConfig, BartModel
         model = BartModel(BartConfig(vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1,
                                      encoder_attention_heads=2, decoder_attention_heads=2))
         out = model(torch.tensor([[5, 6, 7, 8, 9]]), decoder_input_ids=torch.tensor([[2, 5]]))
         {"read": tuple(out.encoder_last_hidden_state.shape), "written": tuple(out.last_hidden_state.shape)}
         """, ("encoder", "decoder", "decoder input IDs"), (2, 3, 7), ("sequence to sequence", "encoder-decoder")),
    Term("multimodal", """
         Said of models that take in more than text: pictures, sound, video. Each kind is cut into parts and turned into vectors
         of the same width; from then on, a patch of a photo is one more token.
         """, """
         import torch
         from course import AutoModel, AutoTokenizer
         tokenizer, model = (A.from_pretrained("pocket/encoder") for A in (AutoTokenizer, AutoModel))
         words = model.tokens(tokenizer("A protest march.", return_tensors="pt")["input_ids"])
         patches = torch.rand(1, 4, 8 * 8 * 3) @ torch.randn(8 * 8 * 3, words.shape[-1])
         model(inputs_embeds=torch.cat([patches, words], 1)).last_hidden_state.shape
         """, ("token", "embedding"), (2,), ("multimodal model",)),
    Term("encoder", """
         A Transformer, or the half of one, in which every token sees the whole text. It turns a text into vectors for reading.
         BERT is an encoder.
         """, """
         from course import AutoModel, AutoTokenizer
         batch = AutoTokenizer.from_pretrained("pocket/encoder")("Rents are rising.", return_tensors="pt")
         AutoModel.from_pretrained("pocket/encoder")(**batch).last_hidden_state.shape
         """, ("decoder", "seq2seq", "autoencoding"), (2, 7)),
    Term("decoder", """
         A Transformer, or the half of one, in which a token sees itself and what came before. It writes: the vector of the last
         token becomes scores for the next. GPT is a decoder.
         """, """
         import torch
         from course import GPT2Config, GPT2LMHeadModel
         model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=12)).eval()
         ids = torch.tensor([[7, 3, 9, 4]])
         model(ids, output_attentions=True).attentions[0][0, 0].tril().sum(-1).tolist()
         """, ("causal mask", "autoregressive", "encoder", "seq2seq"), (2, 7)),
    # -- What a model is given ---------------------------------------------------------------------------------------------
    Term("input IDs", """
         The tokens of a text as numbers: each is the row of a token in the vocabulary, and of its vector in the model. Often
         the only input that a model must have.
         """, """
         from course import AutoTokenizer
         AutoTokenizer.from_pretrained("pocket/encoder")("Rents are rising.")["input_ids"]
         """, ("token", "tokenizer", "embedding", "attention mask"), (1, 2, 7)),
    Term("padding", """
         Filling short texts up with [PAD], so that a batch becomes a rectangle of numbers. It carries no meaning; the attention
         mask tells the model to look past it.
         """, """
         from course import AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/encoder")
         batch = tokenizer(["Fine.", "The noise never stops."], padding=True)
         [tokenizer.convert_ids_to_tokens(ids) for ids in batch["input_ids"]]
         """, ("attention mask", "special tokens"), (1, 2, 4)),
    Term("attention mask", """
         One number a token: 1 means read it, 0 means look past it. It keeps padding out of the result. Without it, the score of
         an answer depends on the length of the others in its batch.
         """, """
         from course import AutoModelForSequenceClassification, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")
         model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
         batch = tokenizer("It is all right here.", padding="max_length", max_length=40, return_tensors="pt")
         positive = lambda **inputs: round(model(**inputs).logits.softmax(-1)[0, 1].item(), 3)
         {"with the mask": positive(**batch), "without": positive(input_ids=batch["input_ids"])}
         """, ("padding", "input IDs", "causal mask"), (1, 2, 4, 7), ("mask",)),
    Term("token type IDs", """
         One number a token that says to which of two texts it belongs, 0 for the first and 1 for the second: question and
         answer, statement and reply. Models of the BERT kind use them, most others do not.
         """, """
         from course import AutoTokenizer
         AutoTokenizer.from_pretrained("pocket/encoder")("Why did you move?", "The rent.")["token_type_ids"]
         """, ("input IDs", "special tokens"), (2, 4, 7), ("segment IDs",)),
    Term("position IDs", """
         The place of each token: 0, 1, 2 and so on. Attention alone does not know the order of words. The model counts by
         itself, so one gives these numbers only to break the rule; the example gives every token the same place, and two
         opposite sentences become one.
         """, """
         import torch
         from course import AutoModel, AutoTokenizer
         tokenizer, model = (A.from_pretrained("pocket/encoder") for A in (AutoTokenizer, AutoModel))
         batch = tokenizer(["The tenant sued the owner.", "The owner sued the tenant."], return_tensors="pt")
         def distance(**inputs):
             first, second = model(**batch, **inputs).last_hidden_state[:, 0]
             return round((first - second).norm().item(), 3)
         {"in order": distance(), "one place for all": distance(position_ids=torch.zeros_like(batch["input_ids"]))}
         """, ("embedding", "input IDs", "attention"), (2, 7), ("positional encoding", "position embedding")),
    Term("labels", """
         The right answers, given to a model so that it returns a loss. One class a text for coding; one token a place for
         language modelling, where -100 marks the places that do not count.
         """, """
         import torch
         from course import AutoModelForSequenceClassification, AutoTokenizer
         tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")
         model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
         batch = tokenizer("The new park is lovely.", return_tensors="pt")
         {name: round(model(**batch, labels=torch.tensor([n])).loss.item(), 3) for n, name in model.config.id2label.items()}
         """, ("loss", "fine-tuning", "MLM", "CLM", "decoder input IDs"), (1, 2)),
    Term("decoder input IDs", """
         What the decoder of a seq2seq model has written so far, as numbers. In training these are the labels, moved one place
         to the right behind a start token: to guess a token, it may see the ones before. Models make them from the labels; the
         example shows that both ways give one loss.
         """, """
         import torch
         from course import T5Config, T5ForConditionalGeneration
         model = T5ForConditionalGeneration(T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1,
                                                     num_heads=2, decoder_start_token_id=0)).eval()
         text, labels = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9, 1]])
         moved = torch.tensor([[0, 8, 9]])
         [model(text, labels=labels).loss.item(), model(text, decoder_input_ids=moved, labels=labels).loss.item()]
         """, ("seq2seq", "labels", "decoder"), (2,), ("teacher forcing",)),
    Term("feed-forward chunking", """
         Computing the feed-forward network for a few places at a time instead of all at once. The network treats each place
         alone, so the result stays the same, while the widest numbers of a layer need less memory at any moment. A setting,
         chunk_size_feed_forward, not an input.
         """, """
         import torch
         from course import apply_chunking_to_forward
         network = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.GELU(), torch.nn.Linear(64, 8))
         x = torch.rand(1, 6, 8)
         torch.allclose(network(x), apply_chunking_to_forward(network, 2, 1, x), atol=1e-6)
         """, ("feed-forward network",), (2,), ("chunking", "chunk_size_feed_forward")),
    # -- What happens inside -----------------------------------------------------------------------------------------------
    Term("embedding", """
         A list of numbers, a vector, that stands for a token or a text. The first layer of a model is a table with one for each
         token of its vocabulary; words that are used alike have vectors that point the same way.
         """, """
         import torch
         from course import AutoModel, AutoTokenizer
         tokenizer, model = (A.from_pretrained("pocket/encoder") for A in (AutoTokenizer, AutoModel))
         rent, money, tree = model.tokens.weight[tokenizer.convert_tokens_to_ids(["rent", "money", "tree"])]
         near = lambda a, b: round(torch.cosine_similarity(a, b, dim=0).item(), 2)
         {"rent, money": near(rent, money), "rent, tree": near(rent, tree)}
         """, ("hidden state", "input IDs", "position IDs"), (2, 6, 7, 9, 10), ("word vector", "vector")),
    Term("pooling", """
         Making one vector of many: of the tokens of a text, their mean or that of the first one; of the windows of a long
         document, the mean or the most extreme. The choice is part of the measurement.
         """, """
         import torch
         tokens = torch.tensor([[0.1, 0.9], [0.3, 0.7], [0.8, 0.0]])
         {"mean": tokens.mean(0).tolist(), "first": tokens[0].tolist(), "largest": tokens.amax(0).tolist()}
         """, ("hidden state", "embedding"), (1, 4), ("mean pooling", "pooler")),
    Term("tensor", """
         Numbers in a rectangle of any dimension: one is a number, a list is a vector, a list of lists of equal length a matrix.
         Its shape says how many there are in each direction. Models take tensors and give tensors.
         """, """
         import torch
         numbers = torch.tensor([[2, 7, 1], [8, 2, 8]])
         {"shape": tuple(numbers.shape), "sum of each column": numbers.sum(0).tolist(), "larger than 5": (numbers > 5).tolist()}
         """, ("input IDs", "embedding"), (0, 2, 7)),
    Term("hidden state", """
         What a layer makes of a token: a vector that has taken in more and more of the context. A model with n layers has n + 1
         hidden states for each token, the first of which is the embedding.
         """, """
         from course import AutoModel, AutoTokenizer
         tokenizer, model = (A.from_pretrained("pocket/encoder") for A in (AutoTokenizer, AutoModel))
         states = model(**tokenizer("Rents are rising.", return_tensors="pt"), output_hidden_states=True).hidden_states
         len(states), tuple(states[-1].shape)
         """, ("embedding", "attention"), (1, 7)),
    Term("attention", """
         The step in which every token gathers information from others. It compares a question of its own, the query, with the
         key of each token, and takes the mean of their values, weighted by how well they fit. The weights of a token sum to 1.
         """, """
         import torch
         query, keys, values = torch.tensor([1., 0.]), torch.tensor([[2., 0.], [0., 2.]]), torch.tensor([[10.], [20.]])
         weights = (keys @ query / 2**0.5).softmax(0)
         {"weights": weights.tolist(), "result": (weights @ values).item()}
         """, ("head", "causal mask", "attention mask", "softmax"), (1, 7), ("self-attention", "query", "key", "value")),
    Term("head", """
         A part of a model, in two senses. In attention it is one of several maps that a layer computes side by side, each with
         a share of the numbers. On top of a model it is the small last part, which turns vectors into the scores of a task.
         """, """
         from course import AutoModelForSequenceClassification
         model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
         {"attention heads": model.config.num_attention_heads, "head of the task": model.classifier}
         """, ("attention", "logits", "fine-tuning"), (1, 5, 7),
         ("attention head", "classification head", "multi-head attention")),
    Term("causal mask", """
         The rule that a token may look at itself and at what came before, never ahead. Scores of later tokens are set to a very
         low number, so that their weights become 0. It makes a decoder of an encoder.
         """, """
         import torch
         from course.nn import causal_mask
         causal_mask(None, torch.zeros(1), 4, 4)[0, 0].eq(0).int().tolist()
         """, ("decoder", "autoregressive", "attention mask"), (7,), ("look-ahead mask",)),
    Term("feed-forward network", """
         The part of a layer that works on each token alone: to a wider vector, through a bend, and back. Attention moves
         information between tokens, this part works it up, with most of a layer's weights.
         """, """
         from course import AutoModel
         layer = AutoModel.from_pretrained("pocket/encoder").layers[0]
         size = lambda part: f"{sum(p.numel() for p in part.parameters()):,}"
         {"attention": size(layer.attention), "feed-forward": size(layer.feed_forward)}
         """, ("feed-forward chunking", "Transformer"), (7,), ("MLP",)),
    Term("residual connection", """
         A layer adds its result to what it was given, instead of replacing it. What a token was stays, and is corrected step by
         step; training reaches the first layers through this path.
         """, """
         import torch
         layers, plain = [torch.nn.Linear(8, 8) for _ in range(20)], torch.ones(8)
         added = plain
         for layer in layers:
             plain, added = layer(plain).tanh(), added + 0.1 * layer(added).tanh()
         start, near = torch.ones(8), torch.cosine_similarity
         {"replaced": round(near(start, plain, 0).item(), 2), "added": round(near(start, added, 0).item(), 2)}
         """, ("layer normalization", "Transformer"), (7,), ("skip connection",)),
    Term("layer normalization", """
         Shifts and stretches the numbers of a token to mean 0 and spread 1, then lets the model choose a new scale. It keeps
         vectors from growing from layer to layer.
         """, """
         import torch
         x = torch.nn.LayerNorm(4)(torch.tensor([3.0, 5.0, 7.0, 900.0]))
         {"mean": round(x.mean().item(), 4), "spread": round(x.std(correction=0).item(), 4)}
         """, ("residual connection",), (7,), ("LayerNorm", "norm")),
    Term("logits", """
         The scores that come out of a model, any numbers, one a class or one a word. Softmax makes probabilities of them.
         """, """
         from course import AutoModelForSequenceClassification, AutoTokenizer
         batch = AutoTokenizer.from_pretrained("pocket/sentiment")("I like it here.", return_tensors="pt")
         AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")(**batch).logits.tolist()
         """, ("softmax", "loss", "head"), (1, 2, 8, 13)),
    Term("softmax", """
         Turns any scores into positive numbers that sum to 1. Only differences between scores count, and large ones sharpen the
         result.
         """, """
         import torch
         scores = torch.tensor([1.0, 2.0, 4.0])
         [[round(p, 3) for p in (scale * scores).softmax(0).tolist()] for scale in (0.5, 1, 2)]
         """, ("logits", "attention"), (1, 2, 3, 7)),
    Term("loss", """
         How much the right answers surprise a model: minus the logarithm of the probability that it gave them. 0 means no
         surprise. Training changes the weights so that it falls.
         """, """
         import math
         {p: round(-math.log(p), 2) for p in (0.99, 0.5, 0.01)}
         """, ("labels", "fine-tuning", "logits"), (1, 2, 3), ("cross-entropy",)),
]


def key(name: str) -> str:
    """'Attention masks', 'attention_mask' and 'attention-mask' -> 'attention mask'."""
    words = re.sub(r"[\s_-]+", " ", name.strip().lower())
    return words[:-1] if words.endswith("s") and not words.endswith("ss") else words


NAMES = {key(name): term for term in TERMS for name in (term.name, *term.aliases)}


class Card:
    """One term: its meaning, its example with the result of this moment, related terms, and lessons that use it."""

    def __init__(self, term: Term):
        self.term, self.result = term, run(term.example)

    def __repr__(self) -> str:
        code = "\n".join(f"    {line}" for line in self.term.example.splitlines())
        result = "\n".join(f"    {line}" for line in repr(self.result).splitlines())
        return (f"{self.term.name}\n\n{self.term.meaning}\n\n{code}\n\ngives now\n\n{result}\n\n"
                f"See also: {', '.join(self.term.related)}" + lessons(self.term))

    def _repr_html_(self) -> str:
        code = '<pre style="padding: 6px 10px; margin: 6px 0; background: rgba(128, 128, 128, 0.12)">'
        return (f'<div style="border-left: 4px solid #0072b2; padding: 2px 16px; max-width: 60em">'
                f'<b style="font-size: 1.2em">{html.escape(self.term.name)}</b>'
                f'<p>{html.escape(self.term.meaning)}</p>{code}{html.escape(self.term.example)}</pre>'
                f'<div>gives now</div>{code}{html.escape(repr(self.result))}</pre>'
                f'<p>See also: {html.escape(", ".join(self.term.related))}{lessons(self.term)}</p></div>')


class Table:
    """Terms with their meanings; in a notebook, with a box that keeps the rows in which a word occurs."""

    def __init__(self, terms: list[Term], note: str):
        self.terms, self.note = terms, note

    def __repr__(self) -> str:
        width = max((len(term.name) for term in self.terms), default=0)
        return "\n".join([self.note, *(f"{term.name:{width}}  {first_sentence(term)}" for term in self.terms)])

    def _repr_html_(self) -> str:
        rows = "".join(f'<tr><td style="text-align: left; white-space: nowrap; vertical-align: top"><b>{html.escape(term.name)}'
                       f'</b></td><td style="text-align: left">{html.escape(term.meaning)}'
                       f'<span hidden>{html.escape(" ".join(term.aliases))}</span></td></tr>' for term in self.terms)
        keep = ("for (const row of this.parentNode.querySelectorAll('tr')) "
                "row.hidden = !row.textContent.toLowerCase().includes(this.value.toLowerCase().replaceAll('_', ' '))")
        return (f'<div><p>{html.escape(self.note)}</p><input type="search" placeholder="search" aria-label="search the '
                f'glossary" oninput="{html.escape(keep)}"><table>{rows}</table></div>')


def first_sentence(term: Term) -> str:
    return re.split(r"(?<=\.) ", term.meaning)[0]


def lessons(term: Term) -> str:
    numbers = ", ".join(map(str, term.lessons))
    return f" · lesson{'s' if len(term.lessons) > 1 else ''} {numbers}" if numbers else ""


def run(example: str) -> Any:
    """Runs the lines and returns the value of the last one. Random numbers are the same each time, and the user's own
    go on as if nothing had happened."""
    import torch

    *lines, last = ast.parse(example).body
    space: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(ast.unparse(ast.Module(lines, [])), space)
        return eval(ast.unparse(last), space)


def glossary(term: str | None = None) -> Card | Table:
    """The card of a term, in any spelling ("attention_mask", "Attention masks"); without a term, a table of all.

    A term that is not in the glossary gives a table of those that come closest.
    """
    if term is None:
        return Table(TERMS, f'{len(TERMS)} terms. glossary("attention mask") shows one, with a live example.')
    if not isinstance(term, str):
        raise TypeError(f'glossary takes the name of a term, such as glossary("token"), got a {type(term).__name__}')
    wanted = key(term)
    if wanted in NAMES:
        return Card(NAMES[wanted])
    alike = [NAMES[name] for name in difflib.get_close_matches(wanted, NAMES, n=5)]
    mentioned = [entry for entry in TERMS if wanted and wanted in f"{entry.name} {entry.meaning}".lower()]
    closest = list(dict.fromkeys([*alike, *mentioned]))
    return Table(closest or TERMS, f"{term!r} is not in the glossary. " + (
        "These come closest:" if closest else "Nothing comes close to it; here is all of it:"))
