"""The options of one input as a tree of their prefixes: what several share is computed once.

A node is a prefix that something follows; it holds the prefix's last token, the root the start token. An
edge is a token that follows. An option is a path, and its log-probability the sum of its edges'. Options
without a common beginning cost what they would cost one after the other, never more. Pure Python: knows
nothing of tensors or models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

__all__ = ["OptionTree", "Tokens", "option_tree", "option_trees"]

Tokens: TypeAlias = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class OptionTree:
    """Options that are scored in one pass of the decoder.

    >>> tree = option_tree(((7, 1), (8, 1), (7, 9, 1)), start_id=0)
    >>> tree.tokens, tree.parents
    ((0, 7, 8, 9), (-1, 0, 0, 1))
    >>> tree.edges, tree.paths
    (((0, 7), (1, 1), (0, 8), (2, 1), (1, 9), (3, 1)), ((0, 1), (2, 3), (0, 4, 5)))
    """

    tokens: Tokens
    """What the decoder reads at each node; the root is node 0."""
    parents: tuple[int, ...]
    """The node before each, always one that stands earlier; -1 for the root."""
    edges: tuple[tuple[int, int], ...]
    """(node, token that follows it), each once."""
    options: tuple[Tokens, ...]
    paths: tuple[tuple[int, ...], ...]
    """The edges of each option, in the order of its tokens."""

    @property
    def depth(self) -> int:
        """Nodes on the longest way from the root, both ends counted."""
        return max(map(len, self.options))


def option_tree(options: Sequence[Tokens], *, start_id: int) -> OptionTree:
    """The tree of some options, which are different and not empty."""
    tokens, parents = [start_id], [-1]
    edges: dict[tuple[int, int], int] = {}
    children: dict[tuple[int, int], int] = {}
    paths: list[tuple[int, ...]] = []
    for option in options:
        node, path = 0, []
        for token in option[:-1]:
            path.append(edges.setdefault((node, token), len(edges)))
            if (node, token) not in children:
                children[node, token] = len(tokens)
                tokens.append(token)
                parents.append(node)
            node = children[node, token]
        path.append(edges.setdefault((node, option[-1]), len(edges)))
        paths.append(tuple(path))
    return OptionTree(tuple(tokens), tuple(parents), tuple(edges), tuple(options), tuple(paths))


def option_trees(options: Sequence[Tokens], *, start_id: int, max_nodes: int) -> tuple[OptionTree, ...]:
    """Trees of at most `max_nodes` nodes that hold all the options between them, the largest first.

    What a node looks at grows with the square of the nodes, so very many options are not one tree. An option
    that alone has more nodes gets a tree of its own.
    """
    if 1 + sum(len(option) - 1 for option in options) <= max_nodes:
        return (option_tree(options, start_id=start_id),)
    parts: list[list[Tokens]] = [[]]
    nodes = 1
    for option in sorted(options):  # neighbours share their beginnings
        if parts[-1] and nodes + len(option) - 1 > max_nodes:
            parts.append([])
            nodes = 1
        parts[-1].append(option)
        nodes += len(option) - 1
    trees = [option_tree(part, start_id=start_id) for part in parts]
    return tuple(sorted(trees, key=lambda tree: -len(tree.tokens)))
