import torch

from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, tensors_of
from ramekin.weights.sharing import share_equal_tensors


def make(seed=0):
    config = t5_config(vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2)
    return build_model(config, seed=seed, tied=False)


def test_what_is_equal_is_kept_once_and_nothing_changes():
    one, two, three = make(), make(), make()
    with torch.no_grad():
        for model in (two, three):
            model.get_parameter("encoder.block.0.layer.0.SelfAttention.q.weight").add_(1)
    before = [
        {name: tensor.clone() for name, tensor in tensors_of(model).items()} for model in (one, two, three)
    ]
    freed = share_equal_tensors([one, two, three])
    for model, old in zip((one, two, three), before, strict=True):
        now = tensors_of(model)
        assert now.keys() == old.keys()
        assert all(torch.equal(now[name], old[name]) for name in old)
    places = [dict((n, p.data_ptr()) for n, p in model.named_parameters()) for model in (one, two, three)]
    changed = "encoder.block.0.layer.0.SelfAttention.q.weight"
    for name, place in places[0].items():
        assert (places[1][name] == place) == (name != changed)
        assert places[2][name] == places[1][name]
    sizes = {name: 4 * p.numel() for name, p in one.named_parameters()}
    assert freed == 2 * sum(sizes.values()) - sizes[changed]
    assert share_equal_tensors([one, two, three]) == 0


def test_models_that_have_nothing_in_common_stay_apart():
    assert share_equal_tensors([make(0), make(1).to(torch.bfloat16)]) == 0


def test_equal_numbers_of_another_type_are_not_equal():
    one, two = make(), make().to(torch.bfloat16)
    with torch.no_grad():
        for parameter in (*one.parameters(), *two.parameters()):
            parameter.fill_(1)
    assert share_equal_tensors([one, two]) == 0
