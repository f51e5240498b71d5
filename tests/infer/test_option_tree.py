"""A tree holds exactly its options, each prefix once, and many options are several trees."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramekin.infer.option_tree as module
from ramekin.infer.option_tree import option_tree, option_trees

options_of = st.lists(
    st.lists(st.integers(1, 4), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12, unique=True
).map(tuple)


def way(tree, node):
    """The tokens read on the way from the root to a node."""
    return () if node == 0 else (*way(tree, tree.parents[node]), tree.tokens[node])


def test_the_example_of_the_docstring():
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 0


@given(options_of)
def test_a_path_spells_its_option(options):
    tree = option_tree(options, start_id=99)
    for option, path in zip(options, tree.paths, strict=True):
        assert tuple(tree.edges[edge][1] for edge in path) == option
        sources = [tree.edges[edge][0] for edge in path]
        assert [way(tree, node) for node in sources] == [option[:n] for n in range(len(option))]
    assert tree.tokens[0] == 99
    assert tree.depth == max(map(len, options))


@given(options_of)
def test_every_prefix_is_one_node_and_every_continuation_one_edge(options):
    tree = option_tree(options, start_id=99)
    prefixes = {option[:n] for option in options for n in range(len(option))}
    assert sorted(way(tree, node) for node in range(len(tree.tokens))) == sorted(prefixes)
    assert len(tree.edges) == len({option[:n] for option in options for n in range(1, len(option) + 1)})
    assert all(parent < node for node, parent in enumerate(tree.parents))


@given(options_of, st.integers(1, 12))
def test_many_options_are_trees_that_hold_all_of_them_once(options, max_nodes):
    trees = option_trees(options, start_id=99, max_nodes=max_nodes)
    assert sorted(option for tree in trees for option in tree.options) == sorted(options)
    for tree in trees:
        assert len(tree.tokens) <= max_nodes or len(tree.options) == 1
    sizes = [len(tree.tokens) for tree in trees]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("max_nodes", "parts"), [(4, 1), (3, 2), (2, 3), (1, 3)])
def test_an_option_is_never_cut(max_nodes, parts):
    options = ((5, 1), (6, 1), (7, 1))
    trees = option_trees(options, start_id=0, max_nodes=max_nodes)
    assert len(trees) == parts
