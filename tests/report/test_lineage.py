import xml.etree.ElementTree as ElementTree

from ramekin.report.lineage import layers_of, lineage_svg
from ramekin.report.values import CheckpointFact


def names(checkpoints):
    return [[node.name for node in layer] for layer in layers_of(checkpoints)]


def drawn(checkpoints):
    return ElementTree.fromstring(lineage_svg(checkpoints))


def edges(checkpoints):
    return len(drawn(checkpoints).findall("./g[@class='edges']/path"))


def test_layers_follow_the_longest_way_from_the_oldest(report):
    assert names(report.facts.checkpoints) == [["mini/base"], ["full/cola", "full/rte"], ["ties"]]


def test_a_parent_from_outside_the_run_is_shown():
    tuned = CheckpointFact("runs/rte", "finetune", ("google/flan-t5-base",))
    assert names([tuned]) == [["google/flan-t5-base"], ["runs/rte"]]
    assert [text.text for text in drawn([tuned]).iter("text")] == ["google/flan-t5-base", "runs/rte"]


def test_lines_that_a_longer_way_implies_are_left_out(report):
    # base -> ties is implied by base -> full/cola -> ties
    assert edges(report.facts.checkpoints) == 4


def test_a_parent_named_twice_is_one_line():
    assert edges([CheckpointFact("m", "merge", ("a", "a", "b"))]) == 2


def test_circles_and_repeated_names_end():
    circle = [CheckpointFact("a", "x", ("b",)), CheckpointFact("b", "x", ("a",)), CheckpointFact("c", "x")]
    assert names(circle) == [["c"], ["a", "b"]]
    assert drawn(circle) is not None
    itself = [CheckpointFact("a", "x", ("a",)), CheckpointFact("b", "x", ("c",))]
    assert edges(itself) == 1
    assert names([CheckpointFact("a"), CheckpointFact("a", "x", ("b",))]) == [["a"]]


def test_nothing_to_connect_is_not_drawn():
    assert lineage_svg([]) == ""
    assert lineage_svg([CheckpointFact("a"), CheckpointFact("b")]) == ""


def test_too_many_to_read_are_not_drawn():
    assert lineage_svg([CheckpointFact(f"c{i}", "finetune", ("base",)) for i in range(100)]) == ""


def test_hostile_and_long_names_are_text():
    root = drawn([CheckpointFact("</text><script>" + "x" * 90, "<i>", ('"&\x00',))])
    assert {element.tag for element in root.iter()} == {"svg", "g", "path", "circle", "text", "title"}
    assert max(len(text.text) for text in root.iter("text")) <= 34


def test_every_node_lies_in_the_picture(report):
    root = drawn(report.facts.checkpoints)
    _, _, width, height = (float(number) for number in root.get("viewBox").split())
    for circle in root.iter("circle"):
        assert 0 < float(circle.get("cx")) < width
        assert 0 < float(circle.get("cy")) < height
