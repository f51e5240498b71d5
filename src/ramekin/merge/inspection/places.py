"""In which layer a tensor is and what it does there, and short names of models: for tables and pictures.

The layer of a tensor in a block is the beginning of its name, `decoder.block.3`, which can be used as it is
as the pattern of a setting. This module knows names and nothing of weights.
"""

import itertools
import re
from collections.abc import Iterable, Sequence

__all__ = ["kind_of", "layer_of", "ordered_kinds", "ordered_layers", "short_names"]

_LAYER = re.compile(r"^((?:.*\.)?(encoder|decoder)\..*?(?:block|layers?)\.(\d+))\.")
_NORM = re.compile(r"norm(?:alization|_|$)|^ln_|^ln\d*$", re.IGNORECASE)
_HEADS = {"lm_head", "final_logits_bias"}
_TABLES = {"shared", "embed_tokens"}
_POSITIONS = {"relative_attention_bias", "embed_positions"}
_SELF, _CROSS = {"SelfAttention", "self_attn"}, {"EncDecAttention", "encoder_attn", "cross_attn"}
_PROJECTIONS = {"q": "q", "k": "k", "v": "v", "o": "o", "out": "o"}
_FEED_FORWARD = {"DenseReluDense", "mlp", "fc1", "fc2", "feed_forward"}
_ENDS = ("embedding", "", "", "norms", "head", "other")
_KINDS = (
    "embedding",
    "positions",
    *(f"{which}-attention {letter}" for which in ("self", "cross") for letter in "qkvo"),
    "feed-forward",
    "normalisation",
    "head",
    "other",
)


def layer_of(name: str) -> str:
    """The layer of a tensor: a block of the encoder or decoder, `embedding`, `norms`, `head` or `other`.

    `norms` are the normalisations outside the blocks.

    >>> layer_of("decoder.block.3.layer.1.EncDecAttention.q.weight"), layer_of("model.shared.weight")
    ('decoder.block.3', 'embedding')
    >>> layer_of("encoder.final_layer_norm.weight"), layer_of("lm_head.weight")
    ('norms', 'head')
    """
    if match := _LAYER.match(name):
        return match[1]
    kind = kind_of(name)
    return {"normalisation": "norms", "positions": "embedding"}.get(kind, kind if kind in _ENDS else "other")


def kind_of(name: str) -> str:
    """What a tensor does, whatever its layer; a bias does what its weight does.

    >>> kind_of("encoder.block.0.layer.0.SelfAttention.q.weight")
    'self-attention q'
    >>> kind_of("model.decoder.layers.0.encoder_attn.out_proj.bias"), kind_of("encoder.layers.1.fc1.weight")
    ('cross-attention o', 'feed-forward')
    """
    parts = name.split(".")
    held = set(parts)
    if held & _HEADS:
        return "head"
    if held & _POSITIONS:
        return "positions"
    if any(_NORM.search(part) for part in parts):
        return "normalisation"
    for which, words in (("self", _SELF), ("cross", _CROSS)):
        if held & words:
            letters = [_PROJECTIONS.get(part.removesuffix("_proj")) for part in parts]
            letter = next((each for each in letters if each is not None), None)
            return "other" if letter is None else f"{which}-attention {letter}"
    if held & _FEED_FORWARD:
        return "feed-forward"
    return "embedding" if held & _TABLES else "other"


def ordered_layers(names: Iterable[str]) -> tuple[str, ...]:
    """The layers of some tensors: the embedding, the encoder's blocks, the decoder's, and what follows.

    >>> ordered_layers(["lm_head.weight", "decoder.block.0.a", "encoder.block.10.a", "encoder.block.9.a"])
    ('encoder.block.9', 'encoder.block.10', 'decoder.block.0', 'head')
    """
    places: dict[str, tuple[int, int]] = {}
    for name in names:
        match = _LAYER.match(name)
        layer = layer_of(name)
        places[layer] = ((1 if match[2] == "encoder" else 2), int(match[3])) if match else _end(layer)
    return tuple(sorted(places, key=lambda layer: (places[layer], layer)))


def ordered_kinds(names: Iterable[str]) -> tuple[str, ...]:
    """The kinds of some tensors, from the embedding to the head."""
    found = {kind_of(name) for name in names}
    return tuple(kind for kind in _KINDS if kind in found)


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names as short as they can be told apart by: the ends of paths, without what all have in common.

    Nothing is cut where numbers alone would be left.

    >>> short_names(["runs/rte", "runs/cola"])
    ('rte', 'cola')
    >>> short_names(["hub/flan-t5-base_glue-rte_lora-16", "hub/flan-t5-base_glue-cola_lora-16"])
    ('rte', 'cola')
    >>> short_names(["a/final", "b/final"]), short_names(["runs/rte"]), short_names(["x/lora/rte", "rte"])
    (('a', 'b'), ('rte',), ('lora/rte', 'rte'))
    """
    paths = [name.split("/") for name in names]
    tails = (
        tuple("/".join(path[-depth:]) for path in paths)
        for depth in range(1, max(map(len, paths), default=0))
    )
    whole = next((each for each in tails if len(set(each)) == len(each) and all(each)), tuple(names))
    if len(names) < 2:
        return whole
    start = re.sub(r"[^-_/]*$", "", _common_start(whole))
    stop = re.sub(r"^[^-_/]*", "", _common_start([each[::-1] for each in whole])[::-1])
    cut = tuple(each[len(start) : len(each) - len(stop)] for each in whole)
    shortened = all(re.search("[^\\W\\d]", each) for each in cut) and all(
        len(start) + len(stop) < len(each) for each in whole
    )
    return cut if shortened and len(set(cut)) == len(cut) else whole


def _common_start(names: Sequence[str]) -> str:
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def _end(layer: str) -> tuple[int, int]:
    return _ENDS.index(layer), 0
