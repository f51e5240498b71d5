"""One pass of the decoder over a tree of options a row: the log-probability of every option.

All options of a row read the same encoder states and cross-attention keys and values, of which there is one
copy. A node looks at itself and its ancestors, with the position bias of how far back they lie, so its state
is the one it has when its option is decoded alone. The head runs on nodes only, never on padding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ramekin.infer.cross_cache import CrossCache
from ramekin.infer.layers import Layers, SelfAttend
from ramekin.infer.option_tree import OptionTree
from ramekin.infer.ready import require_finite

__all__ = ["tree_log_probs"]

_HEAD_POSITIONS = 256
"""Positions whose logits are held at one time: with T5's vocabulary 33 MB in fp32."""


def tree_log_probs(
    layers: Layers, inputs: CrossCache, trees: Sequence[OptionTree], *, pad_id: int
) -> list[tuple[float, ...]]:
    """The log-probabilities of each row's options, in the order of its tree's.

    Args:
        layers: of the model.
        inputs: the batch, with a row an input.
        trees: one a row of the batch.
        pad_id: of the padding.

    Raises:
        WeightsError: the logits are not finite.
    """
    device = layers.device
    tokens = _padded([tree.tokens for tree in trees], pad_id).to(device)
    # Rows of one classification task have one tree: what its nodes look at is laid out once for all.
    distinct = trees[:1] if all(tree is trees[0] for tree in trees) else trees
    back = _steps_back(_padded([tree.parents for tree in distinct], -1)).to(device)
    biases = layers.distance_biases(max(tree.depth for tree in distinct))
    hidden = layers.decode(tokens, _seeing_ancestors(biases, back), inputs.attend)
    nodes = [
        row * tokens.shape[1] + node for row, tree in enumerate(trees) for node in range(len(tree.tokens))
    ]
    hidden = hidden.flatten(0, 1)[torch.tensor(nodes, device=device)]
    values = _edge_log_probs(layers, hidden, trees)
    found, start = [], 0
    for tree in trees:
        found.append(tuple(sum(values[start + edge] for edge in path) for path in tree.paths))
        start += len(tree.edges)
    return found


def _edge_log_probs(layers: Layers, hidden: Tensor, trees: Sequence[OptionTree]) -> list[float]:
    """The log-probability of every edge, row after row, in fp32: hidden (all nodes, d_model)."""
    sources, tokens, start = [], [], 0
    for tree in trees:
        sources += [start + node for node, _ in tree.edges]
        tokens += [token for _, token in tree.edges]
        start += len(tree.tokens)
    source = torch.tensor(sources, device=hidden.device)
    token = torch.tensor(tokens, device=hidden.device)
    values = torch.empty(len(sources), device=hidden.device)
    for first in range(0, len(hidden), _HEAD_POSITIONS):
        logits = layers.logits(hidden[first : first + _HEAD_POSITIONS]).float()
        here = ((source >= first) & (source < first + _HEAD_POSITIONS)).nonzero()[:, 0]
        places = source[here] - first
        values[here] = logits[places, token[here]] - logits.logsumexp(dim=-1)[places]
    require_finite(values)
    found: list[float] = values.tolist()
    return found


def _seeing_ancestors(biases: Sequence[Tensor], back: Tensor) -> SelfAttend:
    """Self-attention in which a node sees its ancestors: back (rows or 1, nodes, nodes), -1 for what is none.

    Layers that share their biases share the mask made of them, and only one mask is held.
    """
    columns = biases[0].shape[1] - 1 - back.clamp(min=0)
    is_hidden = (back < 0)[:, None]
    made: list[Tensor] = [biases[0], _masked(biases[0], columns, is_hidden)]

    def attend(index: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if biases[index] is not made[0]:
            made[:] = biases[index], _masked(biases[index], columns, is_hidden)
        return scaled_dot_product_attention(queries, keys, values, attn_mask=made[1], scale=1.0)

    return attend


def _masked(table: Tensor, columns: Tensor, is_hidden: Tensor) -> Tensor:
    """(heads, distances) at (rows, nodes, nodes) -> (rows, heads, nodes, nodes), least where hidden."""
    return table[:, columns].transpose(0, 1).masked_fill(is_hidden, torch.finfo(table.dtype).min)


def _steps_back(parents: Tensor) -> Tensor:
    """How far back each node finds each other: parents (rows, nodes) -> (rows, nodes, nodes).

    -1 where the other is neither the node itself (0) nor one of its ancestors. Padding sees itself.
    """
    rows, nodes = parents.shape
    back = torch.full((rows, nodes, nodes), -1)
    seen = torch.arange(nodes).repeat(rows, 1)
    steps = 0
    while bool((seen >= 0).any()):
        row, node = (seen >= 0).nonzero(as_tuple=True)
        back[row, node, seen[row, node]] = steps
        seen[row, node] = parents[row, seen[row, node]]
        steps += 1
    return back


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([(*row, *(fill,) * (width - len(row))) for row in rows])
