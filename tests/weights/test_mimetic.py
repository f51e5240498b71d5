"""The matching start: equal tokens attend to each other, and nothing else of the model changes."""

import torch

from ramekin.weights.config import t5_config
from ramekin.weights.mimetic import start_matching
from ramekin.weights.seq2seq import build_model, tensors_of

CONFIG = t5_config(vocab_size=40, d_model=64, d_kv=32, d_ff=32, num_layers=2, num_heads=4)


def attention_of_first_layer(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """What each head looks at: (heads, length, length)."""
    model.set_attn_implementation("eager")
    out = model.encoder(input_ids=torch.tensor([ids]), output_attentions=True)
    return out.attentions[0][0]


def test_equal_tokens_find_each_other() -> None:
    model = build_model(CONFIG, seed=0, tied=False)
    start_matching(model, seed=0)
    ids = [5, 6, 7, 8, 9, 5, 6, 7, 8, 9]
    weights = attention_of_first_layer(model, ids)[:2].mean(0)
    assert [int(row.argmax()) for row in weights] == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_the_other_heads_start_on_the_neighbours() -> None:
    model = build_model(CONFIG, seed=0, tied=False)
    start_matching(model, seed=0)
    # Biases alone, as random queries and keys would blur them.
    for block in model.encoder.block:
        block.layer[0].SelfAttention.q.weight.data.zero_()
    weights = attention_of_first_layer(model, list(range(5, 15)))
    assert [int(row.argmax()) for row in weights[2]][2:] == list(range(1, 9))
    assert [int(row.argmax()) for row in weights[3]][:-2] == list(range(1, 9))


def test_only_the_encoders_matching_weights_change_and_the_seed_decides_them() -> None:
    before = build_model(CONFIG, seed=0, tied=False)
    models = [build_model(CONFIG, seed=0, tied=False) for _ in range(3)]
    state = torch.random.get_rng_state()
    for model, seed in zip(models, (1, 1, 2), strict=True):
        start_matching(model, seed=seed)
    assert torch.equal(state, torch.random.get_rng_state())
    changed = {n for n, t in tensors_of(models[0]).items() if not torch.equal(t, tensors_of(before)[n])}
    assert all(
        "encoder" in n and (".q." in n or ".k." in n or "relative_attention_bias" in n) for n in changed
    )
    assert len(changed) == 5
    for name in changed:
        assert torch.equal(tensors_of(models[0])[name], tensors_of(models[1])[name])
    assert any(not torch.equal(tensors_of(models[0])[n], tensors_of(models[2])[n]) for n in changed)
