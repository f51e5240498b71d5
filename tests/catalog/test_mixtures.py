"""The built-in mixtures, and files of the user's."""

import json
from pathlib import Path
from typing import Any

import pytest

from ramekin.catalog import Catalog
from ramekin.catalog.clusters import clusters
from ramekin.catalog.mixtures import adjusted_mixture, load_mixture, mixture_file, mixture_names
from ramekin.errors import DataError, UsageError
from ramekin.text.mixing.adjustments import Adjustments
from ramekin.text.mixing.form import prompting
from ramekin.text.mixing.mixture import (
    Leaf,
    Mixture,
    MixturePart,
    leaf_templates,
    leaves,
    missing_sets,
    mixture_files,
    passed_over,
    task_parts,
)
from ramekin.text.mixing.rates import Size, mix
from ramekin.text.prompting.prompt import prompt

COUNTS = {  # tasks, leaves, data sets that the catalogue lacks
    "cot": (9, 72, 0),
    "dialog": (2, 8, 3),
    "direct": (20, 20, 0),
    "flan_2021": (68, 68, 1),
    "flan_2022_a": (93, 640, 21),
    "flan_2022_b": (93, 640, 21),
    "flan_2022_open": (93, 642, 24),  # few-shot forms of CoQA and QuAC are in two parts
    "glue": (8, 8, 0),
    "mini": (8, 8, 0),
    "mini_all": (11, 11, 0),
    "mini_words": (4, 4, 0),
    "mini_words_fewer": (1, 1, 0),
    "mini_words_many": (3, 3, 0),
    "mini_steps": (2, 2, 0),
    "mini_study": (13, 13, 0),
    "muffin": (68, 476, 7),
    "natural_instructions": (2, 2, 0),
    "niv2": (4, 8, 0),
    "papers": (1, 1, 0),
    "relations": (3, 3, 0),
    "t0": (27, 27, 11),
    "t0_p3": (38, 38, 0),
    "t0_plus": (34, 34, 14),
    "t0_plus_p3": (48, 48, 0),
    "t0_plus_plus": (40, 40, 14),
    "t0_plus_plus_p3": (54, 54, 0),
    "t0_sf": (12, 84, 14),
    "t0_sf_p3": (26, 104, 0),
}
OF_CLONES = ("niv2", "natural_instructions", "t0_p3", "t0_plus_p3", "t0_plus_plus_p3", "t0_sf_p3")
FLAN_CLUSTERS = list(clusters())[:12]
INSTRUCTIONS = ("1_a", "2_b", "663_c", "664_mmlu", "667_mmlu", "685_mmlu", "699_mmlu", "737_mmlu", "738_d")


def names(mixture: Mixture) -> list[str]:
    return [part.task for _, part in task_parts(mixture)]


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Small stand-ins for clones of natural-instructions and of promptsource."""
    instructions = tmp_path_factory.mktemp("natural-instructions")
    (instructions / "tasks").mkdir()
    data = {
        "Definition": ["Count."], "Positive Examples": [{"input": "a", "output": "1"}], "Negative Examples": [],
        "Instances": [{"input": "b", "output": ["2"]}] * 2, "Categories": ["Counting"],
    }  # fmt: skip
    for name in INSTRUCTIONS:
        (instructions / "tasks" / f"task{name}.json").write_text(json.dumps(data))
    (instructions / "splits" / "default").mkdir(parents=True)
    (instructions / "splits" / "default" / "train_tasks.txt").write_text("task1_a\ntask738_d\n")
    promptsource = tmp_path_factory.mktemp("promptsource")
    wanted = {each.task for name in OF_CLONES[2:] for each in mixture_file(name).selections}
    for task in wanted:
        folder = promptsource / "promptsource" / "templates" / task.removeprefix("p3/").replace(".", "/", 1)
        folder.mkdir(parents=True)
        asked = "".join(f"  {n}: !Template {{name: t{n}, jinja: 'a ||| b'}}\n" for n in range(3))
        (folder / "templates.yaml").write_text(f"dataset: x\ntemplates:\n{asked}")
    return instructions, promptsource


@pytest.fixture(scope="module")
def catalog(clones: tuple[Path, Path]) -> Catalog:
    return Catalog(clones)


def test_every_mixture_is_counted() -> None:
    assert set(mixture_names()) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_every_mixture_loads(catalog: Catalog, name: str) -> None:
    mixture = load_mixture(name, catalog)
    found = leaves(mixture)
    assert (len(set(names(mixture))), len(found), len(missing_sets(mixture))) == COUNTS[name]
    assert set(names(mixture)) <= set(catalog) and mixture.description and mixture.name == name
    for leaf in found:
        task = catalog[leaf.task]
        assert leaf_templates(leaf, task)
        assert leaf.split in task.source.splits or not task.source.splits
        assert leaf.form.cot != "rationale" or task.rationale is not None
    weighed = mix(mixture, {leaf: Size(1000 + place, 3) for place, leaf in enumerate(found)})
    assert sum(weighed.rates) == pytest.approx(1)


@pytest.mark.parametrize("name", COUNTS)
def test_a_file_begins_with_what_it_is(name: str) -> None:
    file = mixture_file(name)
    assert file.description and Path(file.where).read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", OF_CLONES)
def test_a_mixture_of_a_clone_says_what_to_clone(name: str) -> None:
    what = "promptsource" if "p3" in name else "natural-instructions"
    with pytest.raises(
        UsageError, match=rf"mixtures/.*\.yaml:\d+: got .*tasks_root=FOLDER with a clone of {what}"
    ):
        load_mixture(name)


@pytest.mark.parametrize("name", ["flan_2022_a", "flan_2022_b", "flan_2022_open"])
def test_flan_2022_without_its_largest_part(catalog: Catalog, name: str) -> None:
    with pytest.raises(UsageError, match=r"leave it out: without=\[niv2\]"):
        load_mixture(name)
    whole = load_mixture(name, without=["niv2"])
    assert "niv2" not in [part.name for part in whole.parts] and len(whole.parts) >= 3
    with pytest.raises(UsageError, match="unknown mixture to leave out 'niv': did you mean 'niv2'"):
        load_mixture(name, catalog, without=["niv"])


class TestPublished:
    def test_flan_2021(self, catalog: Catalog) -> None:
        mixture = load_mixture("flan_2021", catalog)
        assert (mixture.mixing.cap_examples, mixture.mixing.mixing_temperature) == (3000, 1.0)
        assert {part.limit_examples for _, part in task_parts(mixture)} == {30_000}
        splits = {part.task: part.split for _, part in task_parts(mixture)}
        assert splits.pop("commonsense/story_cloze") == "validation" and set(splits.values()) == {"train"}
        templates = {leaf_templates(leaf, catalog[leaf.task]) for leaf in leaves(mixture)}
        assert {len(each) for each in templates} == {10}

    def test_t0s_larger_mixtures_are_weighted_as_one(self, catalog: Catalog) -> None:
        mixture = load_mixture("t0_plus_plus", catalog)
        sizes = {leaf: Size(600_000 if "imdb" in leaf.task else 1000, 10) for leaf in leaves(mixture)}
        weights = {each.leaf.task: each.weight for each in mix(mixture, sizes).leaves}
        assert weights.pop("sentiment/imdb") == 500_000 and set(weights.values()) == {10_000}
        assert {"super_glue/wic", "commonsense/piqa", "glue/mrpc"} < set(weights)

    def test_every_set_of_t0s_is_there_or_missing(self, catalog: Catalog) -> None:
        for name, published in (("t0", 38), ("t0_plus", 48), ("t0_plus_plus", 54), ("t0_sf", 26)):
            mixture = load_mixture(name, catalog)
            assert len(names(mixture)) + len(missing_sets(mixture)) == published
        for name, published in (("t0", 38), ("t0_plus", 48), ("t0_plus_plus", 54)):
            assert len(names(load_mixture(f"{name}_p3", catalog))) == published

    def test_direct(self, catalog: Catalog) -> None:
        mixture = load_mixture("direct", catalog)
        assert (mixture.mixing.cap_scope, mixture.mixing.cap_examples) == ("dataset", 500_000)
        for leaf in leaves(mixture):
            assert catalog[leaf.task].kind in ("classification", "multiple_choice")
            assert leaf_templates(leaf, catalog[leaf.task]) == tuple(catalog[leaf.task].plain_templates)

    @pytest.mark.parametrize(
        ("name", "rates"),
        [
            ("flan_2022_a", {"muffin": 0.52, "t0_sf": 0.15, "cot": 0.03, "niv2": 0.30}),
            ("flan_2022_b", {"muffin": 0.460, "t0_sf": 0.279, "cot": 0.018, "niv2": 0.242}),
            ("flan_2022_open", {"muffin": 0.4, "t0_sf": 0.32, "niv2": 0.2, "cot": 0.05, "dialog": 0.03}),
        ],
    )
    def test_flan_2022(self, catalog: Catalog, name: str, rates: dict[str, float]) -> None:
        mixture = load_mixture(name, catalog)
        assert {part.name: part.rate for part in mixture.parts} == rates
        caps = {part.name: part.mixture.mixing.cap_examples for part in mixture.parts}  # type: ignore[union-attr]
        expected = {"muffin": 30_000, "t0_sf": 20_000, "cot": 100_000, "niv2": 5000, "dialog": 200_000}
        assert caps == {part: expected[part] for part in rates}
        found = mix(mixture, {leaf: Size(50_000, 10) for leaf in leaves(mixture)}).task_rates()
        of_part = sum(rate for task, rate in found.items() if task in names(load_mixture("t0_sf")))
        assert of_part == pytest.approx(rates["t0_sf"] / sum(rates.values()))

    @pytest.mark.parametrize("name", ["muffin", "t0_sf"])
    def test_a_quarter_each_with_and_without_exemplars_and_options(self, catalog: Catalog, name: str) -> None:
        forms = load_mixture(name, catalog).forms
        shares: dict[tuple[bool, bool], float] = {}
        for form in forms:
            kind = form.shots > 0, form.options != "none"
            shares[kind] = shares.get(kind, 0.0) + form.share
        assert shares == dict.fromkeys([(False, True), (False, False), (True, True), (True, False)], 0.25)
        several = [form for form in forms if form.shots in (2, 3) and form.options == "none"]
        assert sum(form.share * form.shots for form in several) / sum(form.share for form in several) == 2.5

    def test_chains_of_thought(self, catalog: Catalog) -> None:
        forms = load_mixture("cot", catalog).forms
        inverted = sum(form.share for form in forms if form.inverted)
        assert inverted / sum(form.share for form in forms if not form.inverted) == pytest.approx(0.3)
        zero_shot = sum(form.share for form in forms if not form.shots)
        assert zero_shot / sum(form.share for form in forms) == pytest.approx(0.5)
        assert {form.cot for form in forms} == {"rationale"}

    def test_natural_instructions(self, catalog: Catalog) -> None:
        assert names(load_mixture("niv2", catalog)) == [
            "ni/task1_a",
            "ni/task2_b",
            "ni/task663_c",
            "ni/task738_d",
        ]
        mixture = load_mixture("natural_instructions", catalog)
        assert [str(leaf) for leaf in leaves(mixture)] == [
            f"ni/{task} limit_examples=100 templates=two_positive" for task in ("task1_a", "task738_d")
        ]


@pytest.mark.parametrize("cluster", FLAN_CLUSTERS)
@pytest.mark.parametrize("name", ["flan_2021", "t0_plus_plus", "direct", "cot", "mini"])
def test_holding_out_leaves_nothing_of_the_cluster_or_its_groups(
    catalog: Catalog, name: str, cluster: str
) -> None:
    mixture = load_mixture(name, catalog)
    try:
        held = names(adjusted_mixture(mixture, Adjustments(hold_out=cluster), catalog))
    except UsageError as error:
        assert "leave nothing" in str(error)
        held = []
    unseen = {cluster, *clusters()[cluster].excludes}
    groups = {task.group for each in Catalog() if (task := catalog[each]).cluster in unseen and task.group}
    for task in held:
        assert catalog[task].cluster not in unseen and catalog[task].group not in groups
    overlapping = [
        task for task in names(mixture) if catalog[task].cluster in unseen or catalog[task].group in groups
    ]
    assert len(held) + len(overlapping) == len(names(mixture))


def test_esnli_goes_with_inference_where_the_mixture_has_no_other(catalog: Catalog) -> None:
    held = adjusted_mixture(
        load_mixture("cot", catalog), Adjustments(hold_out="natural_language_inference"), catalog
    )
    assert len(names(held)) == 8 and "chain_of_thought/esnli" not in names(held)


def test_tasks_of_a_clone_stand_in_the_way_of_holding_out(catalog: Catalog) -> None:
    for name, pattern in (("flan_2022_b", "ni/*"), ("t0_p3", "p3/*")):
        mixture = load_mixture(name, catalog)
        with pytest.raises(UsageError, match=rf"exclude=\['{pattern[:-1]}\*'\]"):
            adjusted_mixture(mixture, Adjustments(hold_out="sentiment"), catalog)
    mixture = load_mixture("flan_2022_b", catalog)
    held = adjusted_mixture(mixture, Adjustments(hold_out="sentiment", exclude=("ni/*",)), catalog)
    assert "glue/rte" in names(held) and "glue/sst2" not in names(held)


@pytest.mark.parametrize(("exemplars", "template"), [("leave_out", "definition"), ("only", "two_positive")])
def test_natural_instructions_own_examples_are_exemplars(
    catalog: Catalog, exemplars: Any, template: str
) -> None:
    mixture = load_mixture("flan_2022_b", catalog)
    adjusted = adjusted_mixture(mixture, Adjustments(exemplars=exemplars), catalog)
    met = {
        name for leaf in leaves(adjusted) if leaf.task.startswith("ni/")
        for name in leaf_templates(leaf, catalog[leaf.task])
    }  # fmt: skip
    assert met == {template}
    assert [part.rate for part in adjusted.parts] == [part.rate for part in mixture.parts]


def test_with_and_without_chains_of_thought(catalog: Catalog) -> None:
    mixture = load_mixture("flan_2022_open", catalog)
    without = adjusted_mixture(mixture, Adjustments(cot="leave_out"), catalog)
    assert [part.name for part in without.parts] == ["muffin", "t0_sf", "niv2", "dialog"]
    only = adjusted_mixture(mixture, Adjustments(cot="only"), catalog)
    assert [part.name for part in only.parts] == ["cot"]


class TestOwnFiles:
    def write(self, folder: Path, **texts: str) -> Path:
        for name, text in texts.items():
            (folder / f"{name}.yaml").write_text(text)
        return folder / f"{next(iter(texts))}.yaml"

    def test_names_patterns_collections_and_mixtures(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            own="mixtures: {inner.yaml: 2, mini: 1}\n",
            inner="tasks: [mgsm/*, {collection: flan_2021, clusters: [coreference]}]\nexclude: [mgsm/en]\n",
        )
        mixture = load_mixture(path)
        inner, mini = (part.mixture for part in mixture.parts if isinstance(part, MixturePart))
        assert mixture.name == "own" and len(names(inner)) == 10 + 3 and len(names(mini)) == 8
        assert load_mixture(str(path)) == mixture

    def test_what_is_named_takes_the_place_of_what_a_pattern_says(self, tmp_path: Path) -> None:
        for order in (
            "glue/*, {task: glue/rte, limit_examples: 5}",
            "{task: glue/rte, limit_examples: 5}, glue/*",
        ):
            mixture = load_mixture(self.write(tmp_path, own=f"tasks: [{order}]\nlimit_examples: 9\n"))
            limits = {part.task: part.limit_examples for _, part in task_parts(mixture)}
            assert limits.pop("glue/rte") == 5 and set(limits.values()) == {9} and len(limits) == 8

    def test_other_words_must_be_for_the_options_of_every_task(self, tmp_path: Path) -> None:
        forms = "forms: [{words: [{}, {yes: agree, no: disagree}]}]"
        mixture = load_mixture(self.write(tmp_path, own=f"tasks: [glue/rte, glue/qnli]\n{forms}"))
        assert mixture.forms[0].words == ((), (("yes", "agree"), ("no", "disagree")))
        for task, message in (
            ("glue/sst2", "own.yaml:2: glue/sst2"),
            ("glue/stsb", "only the options of a task"),
        ):
            with pytest.raises(UsageError, match=message):
                load_mixture(self.write(tmp_path, own=f"tasks: [glue/rte, {task}]\n{forms}"))

    def test_tasks_of_a_pattern_that_lack_the_split_are_passed_over(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, own="mixtures: [a.yaml]", a="tasks: [glue/*]\nexclude: [glue/wnli]")
        mixture = load_mixture(path)
        assert passed_over(mixture) == ("glue/mnli_mismatched",)
        assert len(names(mixture)) == 8 and "glue/mnli_mismatched" not in names(mixture)
        whole = load_mixture(self.write(tmp_path, own="tasks: [glue/*]\nsplit: validation"))
        assert passed_over(whole) == () and "glue/mnli_mismatched" in names(whole)

    def test_a_damaged_task_is_told_when_its_rows_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "odd").mkdir()
        (tmp_path / "odd" / "one.yaml").write_text("description: [")
        path = self.write(tmp_path, own="tasks: [odd/one, glue/rte]")
        assert names(load_mixture(path, Catalog(tmp_path))) == ["odd/one", "glue/rte"]

    def test_of_a_clones_tasks_that_a_pattern_means_one_is_read(
        self, tmp_path: Path, clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[str] = []
        whole = Catalog.__getitem__
        monkeypatch.setattr(Catalog, "__getitem__", lambda own, name: read.append(name) or whole(own, name))
        forms = "forms: [{templates: [definition]}]"
        path = self.write(tmp_path, own=f"tasks: [ni/*]\n{forms}")
        assert len(names(load_mixture(path, Catalog(clones)))) == len(INSTRUCTIONS) and len(set(read)) == 1
        path = self.write(tmp_path, own=f"tasks: [ni/*]\n{forms.replace('definition', 'defnition')}")
        with pytest.raises(UsageError, match="did you mean 'definition'.: .*own.yaml:2: ni/"):
            load_mixture(path, Catalog(clones))

    def test_a_mixture_met_twice_is_one(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            own="mixtures: {a.yaml: 1, b.yaml: 1}",
            a="mixtures: [c.yaml]",
            b="mixtures: [c.yaml]",
            c="tasks: [glue/rte, glue/cola]",
        )
        assert leaves(load_mixture(path)) == (Leaf("glue/rte"), Leaf("glue/cola"))

    @pytest.mark.parametrize(
        ("texts", "message"),
        [
            ({"own": "tasks: [glue/rte,\n glue/rtt]"}, "unknown task 'glue/rtt': did you mean 'glue/rte'.: .*own.yaml:2"),
            ({"own": "tasks: [gleu/*]"}, "the pattern 'gleu/.' matches no task: .*own.yaml:1"),
            ({"own": "tasks: [gleu/*, glu/*]"}, "got 2 such entries: gleu/., glu/."),
            ({"own": "tasks: [p3/glue.mrpc]"}, "tasks_root=FOLDER with a clone of promptsource"),
            ({"own": "tasks: [big_bench/*]"}, "tasks_root=FOLDER with a clone of BIG-bench"),
            ({"own": "tasks:\n- {collection: flan_2012}"}, "unknown collection 'flan_2012': .*own.yaml:2"),
            (
                {"own": "tasks: [{collection: mmlu, clusters: [exam]}]"},
                "unknown cluster of the collection 'exam': did you mean 'examination'",
            ),
            ({"own": "tasks: [glue/rte,\n glue/rte]"}, "'glue/rte' is selected twice: .*own.yaml:2: got also in line 1"),
            ({"own": "tasks: [glue/*,\n glue/r*]"}, "'glue/rte' is selected twice"),
            ({"own": "tasks: [glue/*]\nexclude: [glue/snli]"}, "unknown task to exclude 'glue/snli'.*own.yaml:2"),
            ({"own": "tasks: [glue/*]\nexclude: ['*/*']"}, "nothing is left of the mixture: .*own.yaml"),
            ({"own": "mixtures: [t00]"}, "unknown mixture 't00': did you mean 't0'.: .*own.yaml:1"),
            ({"own": "mixtures: [a.yaml]", "a": "mixtures: [b.yaml]", "b": "mixtures: [a.yaml]"}, "within itself: .*b.yaml:1: got a -> b -> a"),
            ({"own": "description: x\nmixtures: [own.yaml]"}, "own.yaml:2: got own -> own"),
            ({"own": "mixtures: {mini: 1}\ntasks: [glue/rte]"}, "some parts .* others none: .*own.yaml:2: got no rate: glue/rte"),
            ({"own": "mixtures: [a.yaml]", "a": "mixtures: {mini: 1}"}, "the mixture 'a' has rates of its own.*own.yaml:1"),
            ({"own": "tasks: [glue/rte,\n glue/mnli_mismatched]"}, "unknown split 'train'; known: validation: .*own.yaml:2: glue/mnli_mismatched"),
            ({"own": "tasks: [glue/rte,\n bbh/*]"}, "no task of 'bbh/.' has the split 'train': .*own.yaml:2"),
            ({"own": "tasks: [glue/*]\nsplit: trian"}, "no task of 'glue/.' has the split 'trian'"),
            ({"own": "tasks: [glue/rte]\nforms:\n- {shots: 1}\n- {templates: [fusionbnech]}"}, "unknown template 'fusionbnech': did you mean 'fusionbench'.: .*own.yaml:4: glue/rte"),
            ({"own": "mixtures: [mini, a.yaml]", "a": "tasks: [glue/cola]\ntemplates: [rte_1]"}, "unknown template 'rte_1'.*a.yaml:2: glue/cola"),
            ({"own": "tasks:\n- glue/cola\n- {task: glue/rte, templates: [rte_1]}"}, "unknown template 'rte_1'.*own.yaml:3: glue/rte"),
            ({"own": "tasks: [glue/rte]\ntemplates: [fusionbench]\nforms:\n- {templates: [proof_form]}"}, "none of the templates that are asked for: .*own.yaml:4: glue/rte"),
            ({"own": "tasks: [glue/rte]\nforms:\n- words: {ja: agree}"}, "unknown option 'ja'; known: no, yes: .*own.yaml:3: glue/rte"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_resolved(self, tmp_path: Path, texts: dict[str, str], message: str) -> None:
        path = self.write(tmp_path, **texts)
        with pytest.raises(UsageError, match=message):
            load_mixture(path)

    def test_a_missing_file_and_an_unknown_name(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the file is missing: .*none.yaml"):
            load_mixture(tmp_path / "none.yaml")
        with pytest.raises(UsageError, match="unknown mixture 'flan_2020': did you mean 'flan_2021'"):
            load_mixture("flan_2020")

    def test_all_of_it_left_out(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nothing is left of the mixture"):
            load_mixture(self.write(tmp_path, own="mixtures: [mini]"), without=["mini"])


class TestLists:
    def test_a_list_that_is_not_in_the_clone(self, tmp_path: Path, clones: tuple[Path, Path]) -> None:
        path = tmp_path / "own.yaml"
        path.write_text("tasks: [{task: 'ni/*', listed_in: splits/none.txt}]")
        with pytest.raises(UsageError, match="the list 'splits/none.txt' is not in the clone: .*own.yaml:1"):
            load_mixture(path, Catalog(clones))
        with pytest.raises(UsageError, match="fix: name the whole clone in tasks_root"):
            load_mixture(path, Catalog(clones[0] / "tasks"))

    def test_the_files_of_a_mixture_are_known_with_their_lists(self, clones: tuple[Path, Path]) -> None:
        found = mixture_files(load_mixture("natural_instructions", Catalog(clones)))
        assert [Path(each).name for each in found] == ["natural_instructions.yaml", "train_tasks.txt"]
        found = mixture_files(load_mixture("t0_plus_plus"))
        assert [Path(each).stem for each in found] == ["t0_plus_plus", "t0_plus", "t0"]

    def test_a_list_of_another_version(self, tmp_path: Path, clones: tuple[Path, Path]) -> None:
        (clones[0] / "splits" / "newer.txt").write_text("task1_a\n\ntask999_new\n")
        path = tmp_path / "own.yaml"
        path.write_text("tasks: [{task: 'ni/*', listed_in: splits/newer.txt}]")
        with pytest.raises(DataError, match="ni/task999_new: .*newer.txt: expected 2 tasks, got 1"):
            load_mixture(path, Catalog(clones))


@pytest.mark.parametrize("name", ["cot", "dialog", "muffin", "t0_sf"])
def test_every_form_can_be_put_on_every_tasks_own_row(name: str) -> None:
    catalog = Catalog()
    for leaf in leaves(load_mixture(name)):
        task = catalog[leaf.task]
        assert task.sample is not None
        how = prompting(leaf.form, split=leaf.split)
        exemplars = [(row, task.sample) for row in range(1, leaf.form.shots + 1)]
        template = leaf_templates(leaf, task)[0]
        found = prompt(
            task, task.sample, template=template, split=leaf.split, row=0, how=how, exemplars=exemplars
        )
        assert found.used == leaf.form.shots and found.example.inputs and found.example.targets
        if leaf.form.inverted:
            assert found.example.inputs.rstrip().endswith("What was the question?")
        elif leaf.form.cot == "rationale":
            assert " The answer is " in found.example.targets


def test_the_guides_example_can_be_loaded_and_lists_every_mixture(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "mixtures.md").read_text(encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text(guide.split("```yaml\n")[1].split("```")[0])
    mixture = load_mixture(path)
    limits = {part.task: part.limit_examples for _, part in task_parts(mixture)}
    assert limits.pop("glue/rte") == 2000 and set(limits.values()) == {30_000} and "glue/wnli" not in limits
    assert len(mixture.forms) == 2 and all(f"`{name}`" in guide for name in mixture_names())
