"""The clusters and published collections, against what was published."""

import pytest

from ramekin.catalog import Catalog
from ramekin.catalog.clusters import clusters, published, published_names
from ramekin.errors import UsageError
from ramekin.text.clusters import hold_out

FLAN_2021 = {  # data sets of each cluster, arXiv 2109.01652, figure 3
    "natural_language_inference": 7,
    "commonsense": 4,
    "sentiment": 4,
    "paraphrase": 4,
    "closed_book_qa": 3,
    "struct_to_text": 4,
    "reading_comprehension": 5,
    "reading_comprehension_with_commonsense": 2,
    "coreference": 3,
    "miscellaneous": 7,
    "summarization": 11,
    "translation": 8,
}
CROSS = {  # flan/task_splits.py
    ("reading_comprehension", "reading_comprehension_with_commonsense"),
    ("commonsense", "reading_comprehension_with_commonsense"),
    ("paraphrase", "natural_language_inference"),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


def test_flans_clusters_come_first_and_have_as_many_data_sets(catalog: Catalog) -> None:
    assert set(list(clusters())[:12]) == set(FLAN_2021)
    found = {cluster: len(sets) for cluster, sets in published("flan_2021", catalog).items()}
    assert found == FLAN_2021 and sum(found.values()) == 62


def test_the_exclusions_are_flans_and_go_both_ways() -> None:
    found = {(name, other) for name, cluster in clusters().items() for other in cluster.excludes}
    assert found == CROSS | {(other, name) for name, other in CROSS}


@pytest.mark.parametrize(
    ("name", "sets"),
    [
        ("direct_training", 20), ("direct_evaluation", 14), ("big_bench_14", 14), ("chain_of_thought_nine", 9),
        ("t0_training", 27), ("t0_plus_training", 7), ("t0_plus_plus_training", 6), ("t0_sf", 12), ("mmlu", 57), ("bbh", 27), ("tydiqa", 8), ("mgsm", 11),
    ],
)  # fmt: skip
def test_the_other_collections(catalog: Catalog, name: str, sets: int) -> None:
    assert sum(map(len, published(name, catalog).values())) == sets


def test_every_task_that_a_collection_names_is_there_once(catalog: Catalog) -> None:
    for name in published_names():
        tasks = [t for sets in published(name, catalog).values() for each in sets for t in each]
        assert not set(tasks) - set(catalog) and len(set(tasks)) == len(tasks), name


def test_every_tasks_cluster_is_known_and_every_cluster_has_tasks(catalog: Catalog) -> None:
    assert {task.cluster for task in catalog.values()} == set(clusters())


def test_flans_own_tasks_are_in_the_clusters_that_it_has_them_in(catalog: Catalog) -> None:
    for cluster, sets in published("flan_2021", catalog).items():
        for each in sets:
            assert {catalog[name].cluster for name in each} == {cluster}


@pytest.mark.parametrize("cluster", FLAN_2021)
def test_what_may_be_trained_on_shares_nothing_with_what_is_held_out(catalog: Catalog, cluster: str) -> None:
    held = hold_out(cluster, catalog.values(), clusters=clusters())
    flan = published("flan_2021", catalog)
    assert {name for each in flan[cluster] for name in each} <= set(held.evaluate)
    groups = {catalog[name].group for name in held.evaluate}
    for name in held.train:
        assert catalog[name].group not in groups
        assert catalog[name].cluster not in (cluster, *clusters()[cluster].excludes)
    for one, other in CROSS:
        for here, there in ((one, other), (other, one)):
            if here == cluster:
                assert {name for each in flan[there] for name in each} <= set(held.left_out)


def test_esnli_is_entailment_too(catalog: Catalog) -> None:
    held = hold_out("natural_language_inference", catalog.values(), clusters=clusters())
    assert "chain_of_thought/esnli" in held.left_out and "glue/mrpc" in held.left_out
    assert "glue/sst2" in held.train and {"glue/rte", "super_glue/cb", "mini/rte"} <= set(held.evaluate)


def test_an_unknown_collection(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="unknown collection 'flan_2012': did you mean 'flan_2021'"):
        published("flan_2012", catalog)
    with pytest.raises(UsageError, match="unknown cluster 'sentimnt'"):
        clusters()["sentimnt"]


def test_a_pattern_stands_for_the_tasks_given() -> None:
    assert published("mmlu", ["mmlu/b", "bbh/x", "mmlu/a"]) == {"examination": (("mmlu/a",), ("mmlu/b",))}
