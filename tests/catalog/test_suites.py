"""The built-in suites against what was published, and files of the user's."""

import doctest
import re
from collections import Counter
from pathlib import Path

import pytest

import ramekin.catalog.suites
from ramekin.catalog import Catalog
from ramekin.catalog.clusters import clusters, published
from ramekin.catalog.mixtures import load_mixture
from ramekin.catalog.suites import load_suite, suite_file, suite_names
from ramekin.errors import DataError, UsageError
from ramekin.evaluate.mode import MODES
from ramekin.text.mixing.mixture import task_parts
from ramekin.text.render import Style, render
from ramekin.text.substitution import check_words
from ramekin.text.suite import Suite, SuiteEntry, SuitePart, suite_entries, suite_shares
from ramekin.text.task import Task

COUNTS = {  # tasks, data sets, parts
    "bbh": (27, 23, 2),
    "bbh_cot": (27, 23, 2),
    "bigbench14": (14, 14, 1),
    "direct": (14, 14, 5),
    "flan2022": (186, 178, 6),
    "flan_held_out": (69, 62, 12),
    "glue": (8, 8, 1),
    "label_generalisation": (5, 5, 2),
    "mgsm": (10, 10, 1),
    "mgsm_cot": (10, 10, 1),
    "mini": (15, 15, 3),
    "mmlu": (57, 57, 4),
    "mmlu_cot": (57, 57, 4),
    "paper_qa": (1, 1, 1),
    "t0": (11, 11, 4),
    "t0_p3": (11, 11, 4),
    "tydiqa": (8, 8, 1),
}
P3_TEMPLATES = {  # of T0's held-out data sets: evaluation/template_list.py of bigscience-workshop/t-zero
    "super_glue/rte": 10, "super_glue/cb": 15, "anli": 15, "super_glue/wsc.fixed": 10,
    "winogrande/winogrande_xl": 5, "story_cloze/2016": 5, "super_glue/wic": 10, "hellaswag": 4,
    "super_glue/copa": 12,
}  # fmt: skip
GUIDE = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The built-in tasks, and a small stand-in for a clone of promptsource."""
    clone = tmp_path_factory.mktemp("promptsource")
    for name, count in P3_TEMPLATES.items():
        folder = clone / "promptsource" / "templates" / name
        folder.mkdir(parents=True)
        asked = "".join(
            f"  {n}: !Template {{name: t{n}, answer_choices: 'a ||| b', jinja: 'a ||| b', "
            f"metadata: !TemplateMetadata {{original_task: {'true' if n < count else 'false'}}}}}\n"
            for n in range(count + 2)
        )
        (folder / "templates.yaml").write_text(f"dataset: x\ntemplates:\n{asked}")
    return Catalog(clone)


def entries(name: str, catalog: Catalog) -> tuple[SuiteEntry, ...]:
    return suite_entries(load_suite(name, catalog))


def tasks(suite: Suite | SuitePart) -> list[str]:
    if isinstance(suite, Suite):
        return [entry.task for entry in suite_entries(suite)]
    return [each.task for each in suite.tasks]


def num_sets(suite: Suite) -> int:
    return sum(len(part.sets) if part.suite is None else num_sets(part.suite) for part in suite.parts)


def templates(entry: SuiteEntry, task: Task) -> list[str]:
    if entry.settings.templates == "all":
        return list(task.plain_templates)
    return [task.template(entry.settings.templates).name]


class TestBuiltIn:
    def test_every_suite_is_counted(self) -> None:
        assert set(suite_names()) == set(COUNTS)

    @pytest.mark.parametrize("name", COUNTS)
    def test_every_suite_loads(self, catalog: Catalog, name: str) -> None:
        suite = load_suite(name, catalog)
        found = suite_entries(suite)
        assert (len(found), num_sets(suite), len(suite.parts)) == COUNTS[name]
        assert suite.name == name and suite.where.endswith(f"{name}.yaml")
        assert len({(entry.path, entry.name) for entry in found}) == len(found)
        assert sum(suite_shares(suite).values()) == pytest.approx(1)

    @pytest.mark.parametrize("name", COUNTS)
    def test_a_file_says_what_it_is_and_where_from(self, name: str) -> None:
        file = suite_file(name)
        assert file.description and Path(file.where).read_text(encoding="utf-8").startswith("# ")
        assert bool(file.source) == (name != "mini")

    @pytest.mark.parametrize("name", COUNTS)
    def test_settings_fit_the_tasks(self, catalog: Catalog, name: str) -> None:
        for entry in entries(name, catalog):
            task, settings = catalog[entry.task], entry.settings
            assert settings.splits_of(task)
            mode = settings.mode_for(task.kind)
            assert mode in MODES
            if MODES[mode].ranks:
                assert task.kind in ("classification", "multiple_choice")
            assert all(not task.template(each).turned for each in templates(entry, task))
            for words in settings.words:
                check_words(dict(words), task.options, where=entry.name)
                assert set(dict(words)) == set(task.options)
            if settings.shots and settings.exemplars == "split":
                assert settings.exemplar_split not in settings.splits
                assert settings.thought == "none" or task.rationale is not None

    @pytest.mark.parametrize("name", sorted(set(COUNTS) - {"t0_p3"}))
    def test_every_prompt_can_be_rendered_and_tells_other_words(self, catalog: Catalog, name: str) -> None:
        for entry in entries(name, catalog):
            task = catalog[entry.task]
            assert task.sample is not None
            for template in templates(entry, task):
                for words in entry.settings.words or ((),):
                    style = Style(options=entry.settings.options, words=dict(words))
                    found = render(task, task.sample, template=template, split="test", row=0, style=style)
                    assert found.inputs and found.targets
                    told = found.inputs.lower()
                    assert all(re.search(rf"\b{word}\b", told) for _, word in words)
                    assert not words or found.targets in dict(words).values()


class TestPublished:
    def test_glue_is_fusionbenchs_page(self, catalog: Catalog) -> None:
        found = entries("glue", catalog)
        order = ["cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb"]
        assert [entry.task for entry in found] == [f"glue/{name}" for name in order]
        assert {(e.settings.mode, e.settings.templates) for e in found} == {("fusionbench", "fusionbench")}
        assert set(suite_shares(load_suite("glue")).values()) == {1 / 8}

    def test_t0s_eleven(self, catalog: Catalog) -> None:
        found = entries("t0", catalog)
        assert {entry.task for entry in found} == {
            "super_glue/rte", "super_glue/cb", "nli/anli_r1", "nli/anli_r2", "nli/anli_r3", "super_glue/wsc",
            "coreference/winogrande", "commonsense/story_cloze", "super_glue/wic", "commonsense/hellaswag",
            "super_glue/copa",
        }  # fmt: skip
        settings = {entry.settings for entry in found}
        (one,) = settings
        assert (one.mode, one.templates, one.over_templates) == ("t0", "all", "median")
        assert set(tasks(load_suite("direct"))) > {entry.task for entry in found}

    def test_t0_in_p3s_templates(self, catalog: Catalog) -> None:
        found = entries("t0_p3", catalog)
        counts = {entry.name: len(templates(entry, catalog[entry.task])) for entry in found}
        assert counts == {
            "p3/super_glue.rte": 10, "p3/super_glue.cb": 15, "ANLI R1": 15, "ANLI R2": 15, "ANLI R3": 15,
            "p3/super_glue.wsc.fixed": 10, "p3/winogrande.winogrande_xl": 5, "p3/story_cloze.2016": 5,
            "p3/super_glue.copa": 12, "p3/hellaswag": 4, "p3/super_glue.wic": 10,
        }  # fmt: skip
        rounds = [entry.settings.splits for entry in found if entry.task == "p3/anli"]
        assert rounds == [("dev_r1",), ("dev_r2",), ("dev_r3",)]
        with pytest.raises(
            UsageError, match=r"t0_p3\.yaml:\d+: got .*tasks_root=FOLDER with a clone of promptsource"
        ):
            load_suite("t0_p3")

    @pytest.mark.parametrize(
        ("name", "collection"),
        [
            ("direct", "direct_evaluation"),
            ("bigbench14", "big_bench_14"),
            ("flan_held_out", "flan_2021"),
            ("mmlu", "mmlu"),
            ("mmlu_cot", "mmlu"),
            ("bbh", "bbh"),
            ("bbh_cot", "bbh"),
            ("tydiqa", "tydiqa"),
        ],
    )
    def test_a_suite_is_the_collection(self, catalog: Catalog, name: str, collection: str) -> None:
        sets = published(collection, catalog).values()
        expected = Counter(task for cluster in sets for one in cluster for task in one)
        assert Counter(tasks(load_suite(name))) == expected

    def test_flan_has_a_part_a_cluster(self) -> None:
        suite = load_suite("flan_held_out")
        flans = list(clusters().values())[:12]
        assert [part.title for part in suite.parts] == [cluster.title for cluster in flans]
        assert suite.average == "parts" and [len(part.sets) for part in suite.parts] == [
            7, 4, 4, 4, 3, 4, 5, 2, 3, 7, 11, 8,
        ]  # fmt: skip
        catalog = Catalog()
        for part, cluster in zip(suite.parts, flans, strict=True):
            assert {catalog[name].cluster for name in tasks(part)} == {cluster.name}

    def test_label_generalisation(self, catalog: Catalog) -> None:
        suite = load_suite("label_generalisation")
        assert [(part.title, tasks(part)) for part in suite.parts] == [
            ("unseen tasks", ["super_glue/wsc", "super_glue/cb", "super_glue/rte"]),
            ("seen tasks", ["sentiment/imdb", "paraphrase/paws"]),
        ]
        seen = {task for cluster in published("direct_training", catalog).values() for (task,) in cluster}
        for part, is_seen in zip(suite.parts, (False, True), strict=True):
            assert all((task in seen) == is_seen for task in tasks(part))
        for entry in suite_entries(suite):
            assert entry.settings.metric == "f1_macro" and len(entry.settings.words) == 5
            written = [word for words in entry.settings.words for _, word in words]
            assert len(set(written)) == len(written) and all(re.fullmatch("[a-z]+", w) for w in written)

    def test_mmlu_by_area_from_five_exemplars(self, catalog: Catalog) -> None:
        direct, reasoned = load_suite("mmlu"), load_suite("mmlu_cot")
        areas = {"STEM": 18, "humanities": 13, "social sciences": 12, "other": 14}
        for suite in (direct, reasoned):
            assert {part.title: len(part.tasks) for part in suite.parts} == areas
            for part in suite.parts:
                assert {catalog[name].constants["area"] for name in tasks(part)} == {part.title}
            assert {entry.settings.shots for entry in suite_entries(suite)} == {5}
            assert {entry.settings.options for entry in suite_entries(suite)} == {"items"}
        of = suite_entries(direct)[0].settings
        assert (of.exemplars, of.exemplar_split, of.exemplar_rows, of.thought) == (
            "split",
            "dev",
            "first",
            "none",
        )
        of = suite_entries(reasoned)[0].settings
        assert (of.exemplars, of.thought) == ("published", "rationale")

    def test_bbh_has_23_tasks_in_27_files(self) -> None:
        for name, thought in (("bbh", "none"), ("bbh_cot", "rationale")):
            suite = load_suite(name)
            several = [one for part in suite.parts for one in part.sets if len(one) > 1]
            assert [{each.task.rsplit("_", 2)[0] for each in one} for one in several] == [
                {"bbh/logical_deduction"}, {"bbh/tracking_shuffled_objects"},
            ]  # fmt: skip
            shares = {entry.task: share for entry, share in suite_shares(suite).items()}
            assert shares["bbh/navigate"] == pytest.approx(1 / 23)
            assert shares["bbh/logical_deduction_five_objects"] == pytest.approx(1 / 69)
            assert {(e.settings.shots, e.settings.exemplars, e.settings.thought) for e in suite_entries(suite)} == {
                (3, "published", thought)
            }  # fmt: skip

    def test_the_languages(self) -> None:
        assert tasks(load_suite("tydiqa")) == [
            f"tydiqa/{c}" for c in ["ar", "bn", "fi", "id", "ko", "ru", "sw", "te"]
        ]
        for name in ("mgsm", "mgsm_cot"):
            assert tasks(load_suite(name)) == [
                f"mgsm/{c}" for c in ["bn", "de", "es", "fr", "ja", "ru", "sw", "te", "th", "zh"]
            ]
            assert {entry.settings.shots for entry in suite_entries(load_suite(name))} == {8}
        (settings,) = {entry.settings for entry in suite_entries(load_suite("tydiqa"))}
        assert (settings.shots, settings.metric) == (1, "exact_match")

    def test_flan_2022_is_the_mean_of_six_suites(self) -> None:
        suite = load_suite("flan2022")
        assert suite.normalised and suite.average == "parts"
        within = [part.suite.name for part in suite.parts if part.suite is not None]
        assert within == ["mmlu", "mmlu_cot", "bbh", "bbh_cot", "tydiqa", "mgsm_cot"]
        shares = suite_shares(suite)
        of_parts = Counter[str]()
        for entry, share in shares.items():
            of_parts[entry.path[0]] += share  # type: ignore[assignment]
        assert list(of_parts.values()) == pytest.approx([1 / 6] * 6)
        assert shares[suite_entries(suite)[0]] == pytest.approx(1 / 6 / 57)

    def test_mini_is_the_whole_world_but_for_its_papers(self, catalog: Catalog) -> None:
        world = [name for name in catalog if name.startswith("mini/")]
        assert sorted([*tasks(load_suite("mini")), "mini/papers"]) == world


class TestOtherNames:
    def test_a_task_a_pattern_and_a_mixture_are_suites(self, catalog: Catalog) -> None:
        assert [(e.path, e.task) for e in entries("glue/rte", catalog)] == [(("glue/rte",), "glue/rte")]
        assert tasks(load_suite("mmlu/high_school_*")) == [
            name for name in catalog if name.startswith("mmlu/high_school_")
        ]
        mixture = [part.task for _, part in task_parts(load_mixture("flan_2021"))]
        assert tasks(load_suite("flan_2021")) == mixture

    def test_a_suites_name_comes_before_a_mixtures(self) -> None:
        assert {entry.settings.mode for entry in suite_entries(load_suite("direct"))} == {"t0"}

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("labels_generalisation", "unknown suite 'labels_generalisation': did you mean 'label_generalisation'"),
            ("glue/rta", "unknown task 'glue/rta': did you mean 'glue/rte'"),
            ("nothing/*", "the pattern 'nothing/\\*' matches no task"),
            ("p3/anli", "family 'p3' are not there.*clone of promptsource"),
        ],
    )  # fmt: skip
    def test_what_is_not_there(self, name: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            load_suite(name)
        if "/" not in name:
            with pytest.raises(UsageError, match=message):
                suite_file(name)


def own(tmp_path: Path, text: str, name: str = "own.yaml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestFiles:
    def test_every_way_to_select(self, tmp_path: Path, catalog: Catalog) -> None:
        own(tmp_path, "tasks: [glue/cola]", "mixtures/few.yaml")
        text = """
parts:
  - title: all
    tasks:
      - super_glue/*
      - {task: super_glue/rte, limit: 3}
      - [glue/rte, glue/qnli]
      - {collection: flan_2021, clusters: [commonsense]}
      - {cluster: paraphrase}
      - {mixture: mixtures/few.yaml}
      - {task: mini/rte, title: again, shots: 2}
      - {task: mini/rte}
      - {task: mgsm/*, having: {code: de}}
    exclude: [super_glue/copa, glue/mrpc, "super_glue/[mw]*"]
"""
        (part,) = load_suite(own(tmp_path, text), catalog).parts
        sets = [[each.name for each in one] for one in part.sets]
        assert sets == [
            ["super_glue/boolq"], ["super_glue/cb"], ["super_glue/record"], ["super_glue/rte"],
            ["glue/rte", "glue/qnli"],
            ["commonsense/hellaswag"], ["commonsense/piqa"], ["commonsense/story_cloze"],
            ["glue/qqp"], ["glue/stsb"], ["mini/mrpc"], ["mini/qqp"], ["mini/stsb"], ["paraphrase/paws"],
            ["sick/relatedness"], ["glue/cola"], ["again"], ["mini/rte"], ["mgsm/de"],
        ]  # fmt: skip
        limits = {each.task: each.settings.limit for each in part.tasks}
        assert limits.pop("super_glue/rte") == 3 and set(limits.values()) == {None}

    def test_a_suite_within_is_found_from_the_files_folder(self, tmp_path: Path) -> None:
        own(tmp_path, "tasks: [glue/rte]\nshots: 1", "inner/rte.yaml")
        path = own(
            tmp_path,
            "parts:\n  - suite: inner/rte.yaml\n  - {suite: inner/rte.yaml, title: twice}\n  - suite: glue",
        )
        suite = load_suite(str(path))
        assert [part.title for part in suite.parts] == ["rte", "twice", "glue"]
        assert {e.settings.shots for e in suite_entries(suite) if e.path[0] in ("rte", "twice")} == {1}
        assert set(suite_shares(suite)) == set(suite_entries(suite))

    def test_a_suite_within_itself_is_refused(self, tmp_path: Path) -> None:
        path = own(tmp_path, "parts:\n  - suite: b.yaml", "a.yaml")
        own(tmp_path, "parts:\n  - {suite: glue}\n  - {suite: a.yaml}", "b.yaml")
        with pytest.raises(UsageError, match=r"a suite is within itself: .*b\.yaml:3: got a -> b -> a"):
            load_suite(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("tasks:\n  - glue/rta", r"unknown task 'glue/rta': did you mean 'glue/rte'\?: .*own\.yaml:2"),
            ("tasks:\n  - [glue/rte, glue/colla]", r"did you mean 'glue/cola'\?: .*own\.yaml:2"),
            ("tasks:\n  - nothing/*", r"the pattern 'nothing/\*' matches no task: .*own\.yaml:2"),
            ("tasks:\n  - glue/rte\n  - ni/*", r"family 'ni' are not there: .*own\.yaml:3: got ni/\*; fix: tasks_root"),
            ("tasks:\n  - {cluster: sentimant}", r"unknown cluster 'sentimant': did you mean 'sentiment'\?: .*:2"),
            ("tasks:\n  - {collection: flan_2012}", r"unknown collection 'flan_2012'.*flan_2021.*own\.yaml:2"),
            ("tasks:\n  - {collection: mmlu, clusters: [x]}", r"unknown cluster of the collection 'x'.*own\.yaml:2"),
            ("tasks:\n  - {mixture: drect}", r"unknown mixture 'drect': did you mean 'direct'\?: .*own\.yaml:2"),
            ("tasks:\n  - {task: mmlu/*, having: {area: x}}", r"no task has \{'area': 'x'\}: .*own\.yaml:2"),
            ("tasks: [glue/rte]\nexclude:\n  - glue/cola", r"unknown task to exclude 'glue/cola'.*own\.yaml:3"),
            ("tasks:\n  - glue/rte\nexclude: ['*']", r"nothing is left of the part: .*own\.yaml:3"),
            ("tasks:\n  - glue/rte\n  - glue/rte", r"'glue/rte' stands twice: .*own\.yaml:3: got also .*own\.yaml:2"),
            ("tasks:\n  - glue/*\n  - {mixture: glue}", r"the task 'glue/cola' stands twice: .*own\.yaml:3"),
            ("parts:\n  - suite: gleu", r"unknown suite 'gleu': did you mean 'glue'\?: .*own\.yaml:2"),
            ("parts: [{suite: glue}, {suite: glue}]", r"two parts are called 'glue'"),
            (
                "tasks:\n  - glue/rte\nsplits: [test, dev]",
                r"the task has none of the splits: .*own\.yaml:3: glue/rte: expected train or validation, got test, dev",
            ),
            (
                "parts:\n  - title: x\n    templates: fusionbanch\n    tasks: [glue/rte]",
                r"unknown template 'fusionbanch': did you mean 'fusionbench'\?: .*own\.yaml:3: glue/rte",
            ),
            (
                "tasks:\n  - task: glue/rte\n    words: {yas: a, no: b}",
                r"unknown option 'yas': did you mean 'yes'\?: .*own\.yaml:3: glue/rte",
            ),
            ("words: {yes: a}\ntasks: [glue/stsb]", r"only the options of a task.*own\.yaml:1: glue/stsb"),
            (
                "shots: 1\nexemplar_split: dev\ntasks: [glue/rte]",
                r"unknown split 'dev'.*own\.yaml:2: glue/rte",
            ),
            (
                "tasks:\n  - bbh/navigate\nshots: 2\nsplits: test",
                r"unknown split 'train'.*own\.yaml:2: bbh/navigate",
            ),
            (
                "tasks:\n  - glue/rte\nshots: 2\nthought: rationale",
                r"no reasoning to show: .*own\.yaml:4: glue/rte; fix: exemplars: published",
            ),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told_with_its_line(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            load_suite(own(tmp_path, text))

    def test_a_damaged_or_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"own\.yaml:1: got unknown key 'tasksss'"):
            load_suite(own(tmp_path, "tasksss: [glue/rte]\nparts: [{suite: glue}]"))
        with pytest.raises(DataError, match="the file is missing"):
            load_suite(tmp_path / "nowhere.yaml")


class TestGuide:
    def test_its_table_is_what_the_suites_are(self, catalog: Catalog) -> None:
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\S+) \| (.+) \|$", GUIDE, re.M)
        assert [row[0] for row in rows] == list(suite_names())
        for name, num_tasks, sets, shots, modes in rows:
            suite = load_suite(name, catalog)
            found = suite_entries(suite)
            assert (int(num_tasks), int(sets)) == COUNTS[name][:2]
            assert shots.split("/") == [str(n) for n in sorted({entry.settings.shots for entry in found})]
            used = {entry.settings.mode_for(catalog[entry.task].kind) for entry in found}
            assert set(re.findall(r"`(\w+)`", modes)) == used

    def test_its_example_can_be_loaded(self, tmp_path: Path) -> None:
        suite = load_suite(own(tmp_path, GUIDE.split("```yaml\n")[1].split("```")[0]))
        assert len(suite.parts) == 3 and suite.average == "parts"

    def test_it_names_every_setting(self) -> None:
        settings = suite_entries(load_suite("glue"))[0].settings
        assert all(f"`{name}`" in GUIDE for name in settings.__dataclass_fields__)


def test_the_examples_in_its_docstrings() -> None:
    done = doctest.testmod(ramekin.catalog.suites)
    assert done.attempted and not done.failed
