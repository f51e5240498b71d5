"""Suites as values: their entries, and the shares against the means by the book."""

import doctest
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramekin.text.suite
from ramekin.catalog import Catalog
from ramekin.errors import UsageError
from ramekin.text.suite import (
    Suite,
    SuiteEntry,
    SuitePart,
    SuiteSettings,
    SuiteTask,
    changed,
    suite_entries,
    suite_shares,
)

PLAIN = SuiteSettings()


def part(title: str, *sets: str, settings: SuiteSettings = PLAIN) -> SuitePart:
    """A part of data sets, each the names of its tasks in one text."""
    return SuitePart(
        title, tuple(tuple(SuiteTask(f"t/{name}", settings) for name in one.split()) for one in sets)
    )


class TestSettings:
    def test_what_is_free_text_may_have_a_mode_of_its_own(self) -> None:
        settings = SuiteSettings("flan", text_mode="generate")
        kinds = ("classification", "multiple_choice", "text", "number")
        assert [settings.mode_for(kind) for kind in kinds] == ["flan", "flan", "generate", "generate"]
        assert [SuiteSettings("t0").mode_for(kind) for kind in kinds] == ["t0"] * 4

    def test_the_splits_are_those_that_the_task_has_in_the_suites_order(self) -> None:
        catalog = Catalog()
        settings = SuiteSettings(splits=("test", "validation"))
        assert settings.splits_of(catalog["glue/rte"]) == ("validation",)
        assert settings.splits_of(catalog["sentiment/imdb"]) == ("test",)
        assert settings.splits_of(catalog["math/gsm8k"]) == ("test", "validation")
        assert replace(settings, splits=("dev",)).splits_of(catalog["glue/rte"]) == ()

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"shots": -1}, "shots must be 0 or more: got -1"),
            ({"limit": 0}, "limit must be 1 or more: got 0"),
            ({"max_new_tokens": 0}, "max_new_tokens must be 1 or more: got 0"),
            ({"max_input_tokens": -3}, "max_input_tokens must be 1 or more: got -3"),
            ({"splits": ()}, "splits must name at least one split"),
            ({"mode": ""}, "mode is empty"),
            ({"metric": "f1_marco"}, "unknown metric 'f1_marco': did you mean 'f1_macro'?"),
        ],
    )
    def test_what_is_refused(self, wrong: dict[str, object], message: str) -> None:
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            SuiteSettings(**wrong)  # type: ignore[arg-type]
        suite = Suite("s", (part("p", "a"),))
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            changed(suite, **wrong)


class TestForm:
    def test_a_part_is_either_sets_or_a_suite(self) -> None:
        suite = Suite("s", (part("p", "a"),))
        for sets, inner in (((), None), (part("p", "a").sets, suite), (((),), None)):
            with pytest.raises(UsageError, match="a part is either data sets or a suite: p"):
                SuitePart("p", sets, inner)

    def test_titles_are_unique(self) -> None:
        with pytest.raises(UsageError, match="two parts are called 'p': s"):
            Suite("s", (part("p", "a"), part("p", "b")))
        with pytest.raises(UsageError, match="at least one part: s"):
            Suite("s", ())
        with pytest.raises(UsageError, match="the task 't/a' stands twice in a part: p"):
            part("p", "a", "b a")
        titled = SuitePart("p", ((SuiteTask("t/a"),), (SuiteTask("t/a", title="again"),)))
        assert [each.name for each in titled.tasks] == ["t/a", "again"]

    def test_entries_come_in_order_with_their_paths(self) -> None:
        few, many = SuiteSettings(shots=1), SuiteSettings(shots=9)
        inner = Suite("in", (part("x", "a b", settings=few), part("y", "c", settings=few)))
        outer = Suite("out", (part("own", "a", settings=many), SuitePart("nested", suite=inner)))
        assert suite_entries(outer) == (
            SuiteEntry(("own",), "t/a", many),
            SuiteEntry(("nested", "x"), "t/a", few),
            SuiteEntry(("nested", "x"), "t/b", few),
            SuiteEntry(("nested", "y"), "t/c", few),
        )

    def test_settings_are_changed_everywhere_and_nothing_else_is(self) -> None:
        inner = Suite("in", (part("x", "a b", settings=SuiteSettings(shots=3)),), average="parts")
        outer = Suite("out", (part("own", "c"), SuitePart("nested", suite=inner)), "d", normalised=True)
        found = changed(outer, mode="rank", limit=7)
        assert [(e.settings.mode, e.settings.limit, e.settings.shots) for e in suite_entries(found)] == [
            ("rank", 7, 0), ("rank", 7, 3), ("rank", 7, 3),
        ]  # fmt: skip
        assert changed(found, mode="generate", limit=None) == outer
        with pytest.raises(UsageError, match="unknown setting of a suite 'shot': did you mean 'shots'"):
            changed(outer, shot=1)


class TestShares:
    def test_data_sets_count_once_or_parts_do(self) -> None:
        suite = Suite("s", (part("p", "a b", "c"), part("q", "d")))
        assert list(suite_shares(suite).values()) == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
        by_parts = replace(suite, average="parts")
        assert list(suite_shares(by_parts).values()) == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 2])

    def test_a_suite_within_is_one_number(self) -> None:
        inner = Suite("in", (part("x", "a", "b"), part("y", "c")), average="parts")
        outer = Suite("out", (part("own", "d", "e"), SuitePart("nested", suite=inner)))
        shares = {entry.task: share for entry, share in suite_shares(outer).items()}
        expected = {"t/d": 1 / 3, "t/e": 1 / 3, "t/a": 1 / 12, "t/b": 1 / 12, "t/c": 1 / 6}
        assert shares == pytest.approx(expected)

    def test_what_is_not_there_gives_its_share_to_the_others(self) -> None:
        suite = Suite("s", (part("p", "a b", "c"), part("q", "d")), average="parts")
        a, b, c, d = suite_entries(suite)
        assert suite_shares(suite, [b, d]) == {b: 0.5, d: 0.5}
        assert suite_shares(suite, [a, b, c]) == {a: 0.25, b: 0.25, c: 0.5}
        assert suite_shares(suite, []) == {}

    @given(st.data())
    def test_the_sum_of_share_times_score_is_the_mean_of_means(self, data: st.DataObject) -> None:
        suite = data.draw(suites(2))
        entries = suite_entries(suite)
        assert len({(entry.path, entry.name) for entry in entries}) == len(entries)
        values = data.draw(st.lists(st.integers(0, 100), min_size=len(entries), max_size=len(entries)))
        there = data.draw(st.sets(st.sampled_from(entries)))
        scores = {entry: Fraction(v) for entry, v in zip(entries, values, strict=True) if entry in there}
        shares = suite_shares(suite, there)
        assert set(shares) == there and list(shares) == [e for e in entries if e in there]
        expected = mean_of_means(suite, (), scores)
        if expected is None:
            assert not shares
            return
        assert sum(shares.values()) == pytest.approx(1)
        headline = sum(share * float(scores[entry]) for entry, share in shares.items())
        assert headline == pytest.approx(float(expected))


def mean(values: list[Fraction | None]) -> Fraction | None:
    there = [value for value in values if value is not None]
    return sum(there, Fraction()) / len(there) if there else None


def mean_of_means(
    suite: Suite, above: tuple[str, ...], scores: dict[SuiteEntry, Fraction]
) -> Fraction | None:
    """The headline by the book: tasks to data sets to parts to the suite."""
    parts: list[list[Fraction | None]] = []
    for each in suite.parts:
        path = (*above, each.title)
        if each.suite is not None:
            parts.append([mean_of_means(each.suite, path, scores)])
        else:
            parts.append(
                [mean([scores.get(SuiteEntry(path, t.task, t.settings)) for t in one]) for one in each.sets]
            )
    if suite.average == "parts":
        return mean([mean(units) for units in parts])
    return mean([unit for units in parts for unit in units])


def suites(depth: int) -> st.SearchStrategy[Suite]:
    names = st.lists(
        st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), min_size=1, max_size=3
    ).filter(lambda sets: len({n for one in sets for n in one}) == sum(map(len, sets)))
    own = names.map(lambda sets: part("p", *map(" ".join, sets)))
    nested = suites(depth - 1).map(lambda s: SuitePart("p", suite=s)) if depth else own
    return st.builds(
        lambda parts, average: Suite(
            "s", tuple(replace(each, title=str(n)) for n, each in enumerate(parts)), average=average
        ),
        st.lists(st.one_of(own, nested), min_size=1, max_size=3),
        st.sampled_from(["sets", "parts"]),
    )


def test_the_examples_in_its_docstrings() -> None:
    done = doctest.testmod(ramekin.text.suite)
    assert done.attempted and not done.failed
