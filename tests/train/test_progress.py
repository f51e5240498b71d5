import io

from rich.console import Console

from ramekin.train.events import EvalDone, Notice, StepDone
from ramekin.train.progress import BarReporter, duration_text


def step(number, total=10):
    return StepDone(number, total, 0, 1.25, 0.5, 1e-3, 640.0, 9000.0, 75.0)


def test_the_bar_shows_loss_rate_and_time_left():
    shown = io.StringIO()
    console = Console(file=shown, width=120, force_terminal=True, color_system=None)
    with BarReporter("rte", console=console) as reporter:
        for number in range(1, 11):
            reporter(step(number))
        reporter(EvalDone(10, {"accuracy": 0.75}))
        reporter(Notice(10, "continuing after [step] 4"))
    text = shown.getvalue()
    for part in (
        "rte",
        "10/10",
        "loss 1.2500",
        "640 examples/s",
        "1 min 15 s left",
        "step 10: accuracy 0.75",
    ):
        assert part in text
    assert "continuing after [step] 4" in text


def test_quick_steps_are_not_all_drawn():
    reporter = BarReporter(console=Console(file=io.StringIO()))
    updates = []
    reporter._bar.update = lambda *_, **fields: updates.append(fields["completed"])
    for number in range(1, 1001):
        reporter(step(number, total=1000))
    assert updates[0] == 1
    assert updates[-1] == 1000
    assert len(updates) < 100


def test_durations():
    assert [duration_text(s) for s in (0.2, 59.4, 60, 3599, 3600, 90061)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
        "25 h 01 min",
    ]
