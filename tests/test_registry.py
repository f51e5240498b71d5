import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.registry import Registry, nearest, unknown_name

METHODS = ("simple_average", "task_arithmetic", "ties_merging")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("task_arithmatic", "task_arithmetic"),
        ("ties_mergin", "ties_merging"),
        ("TASK_ARITHMETIC", "task_arithmetic"),
        ("simple-average", "simple_average"),
        ("tise", "ties_merging"),
        ("arithmetic", "task_arithmetic"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(name, found):
    assert nearest(name, METHODS) == found


def test_letters_in_another_order_come_before_a_letter_less():
    assert nearest("modle", ["mode", "model"]) == "model"
    assert nearest("ba", ["ab", "ba"]) == "ba"


def test_nearest_among_none():
    assert nearest("x", ()) is None


@given(st.lists(st.text(min_size=1), min_size=1), st.data())
def test_a_known_name_is_its_own_nearest(names, data):
    name = data.draw(st.sampled_from(names))
    assert nearest(name, names) == name


@pytest.mark.parametrize("at", range(len("task_arithmetic")))
@pytest.mark.parametrize("edit", ["delete", "double", "replace"])
def test_one_edit_away(at, edit):
    name = "task_arithmetic"
    changed = {"delete": "", "double": name[at] * 2, "replace": "q"}[edit]
    assert nearest(name[:at] + changed + name[at + 1 :], METHODS) == name


class TestUnknownName:
    def test_with_a_near_one(self):
        assert unknown_name("method", "ties_mergin", METHODS) == (
            "unknown method 'ties_mergin': did you mean 'ties_merging'?"
        )

    def test_without_lists_what_there_is(self):
        assert unknown_name("method", "zzz", ["b", "a"]) == "unknown method 'zzz'; known: a, b"

    def test_of_nothing(self):
        assert unknown_name("method", "zzz", []) == "unknown method 'zzz'; known: none"

    def test_a_long_list_is_cut_and_counted(self):
        message = unknown_name("task", "zzz", [f"n{number:02}" for number in range(30)], shown=3)
        assert message == "unknown task 'zzz'; known: n00, n01, n02, … (30 in all)"


class TestRegistry:
    registry = Registry("method", [("b", 1), ("a", 2)])

    def test_is_a_mapping_in_the_order_given(self):
        assert list(self.registry) == ["b", "a"]
        assert dict(self.registry) == {"b": 1, "a": 2}
        assert len(self.registry) == 2
        assert self.registry["a"] == 2

    def test_membership_and_get_raise_nothing(self):
        assert "a" in self.registry
        assert "c" not in self.registry
        assert 3 not in self.registry

    def test_a_missing_name(self):
        with pytest.raises(UsageError, match="unknown method 'c'; known: a, b"):
            self.registry["c"]
        with pytest.raises(UsageError, match="did you mean 'simple_average'"):
            Registry("method", [(name, name) for name in METHODS])["simple_avrage"]

    def test_a_name_given_twice(self):
        with pytest.raises(UsageError, match="method 'a' is defined twice; fix: rename one of them"):
            Registry("method", [("a", 1), ("a", 2)])

    def test_cannot_be_changed(self):
        with pytest.raises(TypeError):
            self.registry["c"] = 1  # type: ignore[index]
