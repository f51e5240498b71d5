"""What fits a tensor and what does not, with the error that says so."""

from pathlib import Path

from ramekin.weights.sides import misfit, misfit_error


def test_what_does_not_fit() -> None:
    shapes = {"a.q.weight": (16, 8)}
    assert misfit("a.q.weight", (16, None), shapes) is None
    assert misfit("a.q.weight", (8, 16), shapes) == "adapter-shape"
    assert misfit("b.q.weight", (16, 8), shapes) == "adapter-target"
    error = misfit_error("b.q.weight", (16, 8), shapes, folder=Path("ad"), base="base")
    assert error.kind == "adapter-target" and str(error).endswith("this one has 'a.q.weight'")
    error = misfit_error("a.q.weight", (None, 7), shapes, folder=Path("ad"), base="base")
    assert str(error).startswith(
        "the adapter does not fit its base: ad#a.q.weight: expected [16, 8] as in base"
    )
    assert "got [any, 7]" in str(error) and error.kind == "adapter-shape"
