import json
from pathlib import Path

import numpy as np
import pytest

from ramekin.errors import WeightsError
from ramekin.weights.statistics import (
    KindFacts,
    StatisticsFacts,
    StatisticsReader,
    check_statistics,
    read_statistics,
    statistics_sha256,
    write_arrays,
    write_statistics,
)

RNG = np.random.default_rng(0)
FISHER = {"a": RNG.random((3, 2)), "b": RNG.random(5), "c": np.asarray(2.0)}
GRAM = {"a": RNG.random((2, 2))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "fisher.safetensors", FISHER)
    write_arrays(tmp_path / "gram.safetensors", GRAM)
    facts = StatisticsFacts(
        model="runs/rte",
        model_sha256="ab" * 32,
        data={"tasks": ["glue/rte"], "rows": 3},
        kinds={
            "fisher": KindFacts(("fisher.safetensors",), about={"targets": "sampled", "seed": 1}),
            "gram": KindFacts(("gram.safetensors",), stored={"a": "a", "other": "a"}),
        },
    )
    write_statistics(tmp_path, facts)
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    facts = read_statistics(folder)
    assert facts.model == "runs/rte" and facts.base_sha256 is None and facts.data["rows"] == 3
    assert facts.kinds["fisher"].about == {"targets": "sampled", "seed": 1}
    assert facts.files.keys() == {"fisher.safetensors", "gram.safetensors"} and facts.versions["torch"]
    check_statistics(folder, facts)
    with StatisticsReader(folder, facts, "fisher") as reader:
        assert reader.names() == ("a", "b", "c") and reader.where == str(folder)
        assert reader.info("a").shape == (3, 2)
        np.testing.assert_array_equal(reader.read("a", 1, 5), FISHER["a"].astype(np.float32).reshape(-1)[1:5])
    with StatisticsReader(folder, facts, "gram") as reader:
        assert reader.names() == ("a", "other")
        for name in ("a", "other"):
            np.testing.assert_array_equal(reader.read(name, 0, 4), GRAM["a"].astype(np.float32).reshape(-1))
        with pytest.raises(WeightsError, match="no statistics for a tensor: .*#b"):
            reader.info("b")
        with pytest.raises(WeightsError, match="no statistics for a tensor: .*#b"):
            reader.read("b", 0, 1)


def test_a_kind_that_was_not_collected(folder: Path) -> None:
    facts = read_statistics(folder)
    with pytest.raises(WeightsError, match=r"hold no 'propagated_gram': .*got fisher and gram"):
        StatisticsReader(folder, facts, "propagated_gram")


def test_what_is_no_folder_of_statistics(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no statistics: .*ramekin merge statistics"):
        read_statistics(tmp_path / "none")
    path = folder / "statistics.json"
    whole = json.loads(path.read_text())
    for change, message in (
        ({"format": "ramekin.statistics/9"}, "another format"),
        ({"model": {}}, "not well described"),
        ({"kinds": {"fishes": {"files": [], "stored": {}}}}, "kind 'fishes'"),
        ({"kinds": {"gram": {"files": ["../gram.safetensors"], "stored": {}}}}, "file name '../gram"),
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(WeightsError, match=message):
            read_statistics(folder)
    path.write_text(
        json.dumps({**whole, "kinds": {"gram": {"files": ["gram.safetensors"], "stored": {"x": "y"}}}})
    )
    with pytest.raises(WeightsError, match="an array of the statistics is missing: .*#y"):
        StatisticsReader(folder, read_statistics(folder), "gram")


def test_files_that_are_not_what_was_collected(folder: Path) -> None:
    facts, file = read_statistics(folder), folder / "gram.safetensors"
    before = statistics_sha256(folder)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert read_statistics(folder) == facts and statistics_sha256(folder) == before
    with pytest.raises(WeightsError, match="changed or damaged: .*gram"):
        check_statistics(folder, facts)
    file.write_bytes(data[:-4])
    with pytest.raises(WeightsError, match=r"not what was collected: .*expected \d+ bytes, got \d+ bytes"):
        read_statistics(folder)
    file.unlink()
    with pytest.raises(WeightsError, match="got no file"):
        read_statistics(folder)


def test_what_is_not_finite_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not finite"):
        write_arrays(tmp_path / "gram.safetensors", {"a": np.asarray([np.inf])})
