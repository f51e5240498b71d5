"""Small random models whose logits are far apart."""

import random

import pytest
import torch

from ramekin.infer import continuous_batch
from ramekin.infer.writing import begin
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

VOCAB = 90


def make_tiny(kind="t5", *, tied=False, seed=0, feed_forward="gated-gelu", buckets=32, sharpness=6.0):
    config = t5_config(
        vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=3, feed_forward_proj=feed_forward,
        relative_attention_num_buckets=buckets, relative_attention_max_distance=20,
    )  # fmt: skip
    model = build_model({**config, "model_type": kind}, seed=seed, tied=tied)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name or "relative_attention_bias" in name:
                parameter.mul_(sharpness)
    return model


@pytest.fixture
def tiny():
    """A random model: `tiny("umt5", tied=True, …)`."""
    return make_tiny


@pytest.fixture
def prompts():
    """Random inputs of different lengths, each with its `</s>`: `prompts(20)`."""

    def make(count, *, longest=30, seed=0):
        rng = random.Random(seed)
        lengths = [rng.randrange(1, longest) for _ in range(count)]
        return [[*(rng.randrange(3, VOCAB) for _ in range(length)), 1] for length in lengths]

    return make


class Toy:
    """A language in place of a model: the logits after what a row has been fed, as a function of it.

    It stands for the layers and for the decoder over them.
    """

    device = torch.device("cpu")

    def __init__(self, language):
        self._language = language
        self.fed, self.inputs = [], 0
        self.seen = []  # what the rows had been fed, step by step
        self.rows_of_steps, self.rows_of_heads = [], []

    @property
    def num_rows(self):
        return len(self.fed)

    def read(self, input_ids, attention_mask):
        return input_ids

    def admit(self, groups, *, max_new_tokens):
        for ids in groups:
            self.fed += [(self.inputs + place, ()) for place in range(len(ids))]
            self.inputs += len(ids)

    def advance(self, tokens):
        assert len(tokens) == len(self.fed)
        self.fed = [(place, (*fed, t)) for (place, fed), t in zip(self.fed, tokens.tolist(), strict=True)]
        self.rows_of_steps.append(len(self.fed))
        self.seen.append(self.fed)
        return torch.arange(len(self.fed))[:, None]

    def logits(self, hidden):
        self.rows_of_heads.append(len(hidden))
        return torch.tensor([self._language(*self.fed[row]) for row in hidden[:, 0].tolist()])

    def keep(self, rows):
        self.fed = [self.fed[row] for row in rows]


@pytest.fixture
def toy(monkeypatch):
    """`toy(language, requests)` writes for them: the toy, and the outputs of each.

    A language is `lambda place, fed: [...]`: the logits of what follows `fed`, start token included.
    """

    def write(language, requests, *, start_id=0, eos_id=1):
        layers = Toy(language)
        monkeypatch.setattr(continuous_batch, "Decoder", lambda layers: layers)
        state = continuous_batch.ContinuousBatch(layers, start_id=start_id, pad_id=0)
        writings = [begin(each, eos_id=eos_id, stops=None, form=None) for each in requests]
        inputs = [each.input_ids for each in requests]
        most = max(each.max_new_tokens for each in requests)
        state.admit(inputs, writings, max_new_tokens=most, batch_tokens=10**6)
        over = []
        while state.num_rows:
            over += state.step()
        assert sorted(map(id, over)) == sorted(map(id, writings))
        return layers, [[tuple(line.tokens) for line in each.lines] for each in writings]

    return write
