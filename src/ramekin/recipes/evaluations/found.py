"""What a suite came to for one model: every entry's score, the parts' and the headline.

Plain values and their JSON. Knows nothing of how answers were found or of how scores are shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, final

from ramekin.evaluate.evaluation import Evaluation
from ramekin.evaluate.spread import template_spread
from ramekin.evaluate.suites import Average, EntryScore, entry_score, suite_average
from ramekin.recipes.evaluations.asking import AskedEntry, Missing
from ramekin.text.score import have_a_mean, normalised_value
from ramekin.text.suite import Suite, SuiteEntry, suite_shares

__all__ = ["SuiteResult", "suite_result"]


@final
@dataclass(frozen=True)
class SuiteResult:
    """One model on a suite."""

    model: str
    suite: Suite
    evaluation: Evaluation
    entries: Mapping[SuiteEntry, EntryScore]
    """Those whose data was there, in the suite's order."""
    missing: tuple[Missing, ...]

    @cached_property
    def headline(self) -> Average:
        """The suite's one number, of the entries that are there."""
        return self._average(self.suite)

    @cached_property
    def parts(self) -> Mapping[str, Average]:
        """The number of each part of which anything is there."""
        return {
            part.title: self._average(_alone(self.suite, part))
            for part in self.suite.parts
            if suite_shares(_alone(self.suite, part), self.entries)
        }

    def _average(self, suite: Suite) -> Average:
        shares = suite_shares(suite, self.entries)
        scores = {_key(entry): score for entry, score in self.entries.items() if entry in shares}
        named = {_key(entry): share for entry, share in shares.items()}
        return suite_average(scores, named, normalised=suite.normalised)

    def _told(self, suite: Suite, average: Average) -> dict[str, Any]:
        """An average as JSON values; of scores that have no mean it has no value."""
        metrics = {self.entries[entry].score.metric for entry in suite_shares(suite, self.entries)}
        values = asdict(average)
        if suite.normalised or have_a_mean(metrics):
            return values
        return {**values, "value": None, "low": None, "high": None, "chance": None}

    @property
    def how_partial(self) -> str:
        """How much of the suite is there, in words; empty where all of it is."""
        if not self.missing:
            return ""
        total = len(self.entries) + len(self.missing)
        names = ", ".join(each.entry.name for each in self.missing)
        return f"Partial: {len(self.entries)} of {total} tasks; the data of these is missing: {names}."

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        shares = suite_shares(self.suite, self.entries)
        return {
            "suite": self.suite.name,
            "headline": {**self._told(self.suite, self.headline), "normalised": self.suite.normalised},
            "parts": {
                part.title: self._told(_alone(self.suite, part), self.parts[part.title])
                for part in self.suite.parts
                if part.title in self.parts
            },
            "entries": [
                {
                    "path": list(entry.path),
                    "name": entry.name,
                    "task": entry.task,
                    "share": shares[entry],
                    "prompts": [part.name for part in found.parts],
                    "over": found.over,
                    **asdict(found.score),
                    "majority": found.majority,
                    "normalised": normalised_value(found.score.value, found.score.chance),
                    **({"spread": _spread(found)} if len(found.parts) > 1 else {}),
                }
                for entry, found in self.entries.items()
            ],
            "missing": [
                {"path": list(each.entry.path), "name": each.entry.name, "reason": each.reason}
                for each in self.missing
            ],
        }


def suite_result(
    model: str,
    suite: Suite,
    asked: Sequence[AskedEntry],
    missing: tuple[Missing, ...],
    evaluation: Evaluation,
    *,
    seed: int,
) -> SuiteResult:
    """The scores of an evaluation as those of the suite that was asked."""
    entries, start = {}, 0
    for each in asked:
        end = start + len(each.sets)
        over = each.entry.settings.over_templates
        entries[each.entry] = entry_score(evaluation.tasks[start:end], over=over, seed=seed)
        start = end
    return SuiteResult(model, suite, evaluation, entries, missing)


def _alone(suite: Suite, part: Any) -> Suite:
    """A part as if it were the suite."""
    return Suite(part.title, (part,), average=suite.average, normalised=suite.normalised)


def _spread(found: EntryScore) -> dict[str, Any]:
    return asdict(template_spread(found.parts, seed=found.seed))


def _key(entry: SuiteEntry) -> str:
    return "\n".join((*entry.path, entry.name))
