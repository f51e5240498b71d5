"""Where abstract and introduction begin and end, in the forms in which papers have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.sources.papers.furniture import without_furniture
from ramekin.sources.papers.sections import MAX_SECTION_CHARS, Line, find_sections, is_introduction

ABSTRACT = "We bake flans in two ovens and find that the older one is better by 1.4 points."
OPENING = (
    "Flans are baked in ramekins. Nobody has asked which oven is best for them, although ovens differ, and although "
    "guests can tell. We ask it in two hotels, over 24 days, and count what is left on the plates of the guests."
)


def lines_of(text: str, *, page: int = 1) -> list[Line]:
    return [Line(line.strip(), page) for line in text.split("\n")]


def found(text: str) -> tuple[str | None, str | None]:
    sections = find_sections(lines_of(text))
    return sections.abstract, sections.introduction


@pytest.mark.parametrize(
    "head",
    [
        "Abstract\n{}", "ABSTRACT\n{}", "A BSTRACT\n{}", "A B S T R A C T\n{}", "Abstract.\n{}", "Abstract: {}", "Abstract. {}",
        "Abstract—{}", "ABSTRACT – {}", "0 Abstract\n{}", "Abstract {}", "Abstract\n\n{}\nKeywords: flans, ovens",
        "Abstract\n{}\nIndex Terms—flans", "Abstract\n{}\nCCS Concepts\n• Food", "Abstract\n{}\n1",
    ],
)  # fmt: skip
def test_abstracts(head: str) -> None:
    ending = "1 Introduction" if not head.endswith("\n1") else "Introduction"
    text = f"On Flans\nA. Baker\n{head.format(ABSTRACT)}\n{ending}\n{OPENING}\n2 Ovens\nOld ones."
    assert found(text) == (ABSTRACT, OPENING)


@pytest.mark.parametrize(
    ("heading", "following"),
    [
        ("1 Introduction", "2 Related Work"), ("1. Introduction", "2. Ovens and Their Makers"), ("I. INTRODUCTION", "II. OVENS"),
        ("1 I NTRODUCTION", "2 R ELATED W ORK"), ("1 INTRODUCTION", "2 THE OVENS"), ("Introduction", "Background"),
        ("INTRODUCTION", "MATERIALS AND METHODS"), ("Introduction", "Ovens in Two Hotels"), ("I INTRODUCTION", "II OVENS"),
        ("§1 Introduction", "§2 Ovens"), ("1\nIntroduction", "2\nRelated Work"), ("1 Introduction and Motivation", "2 Ovens"),
        ("1 Introduction", "References"), ("Section 1 Introduction", "2 Preliminaries"), ("1) Introduction", "2) Ovens"),
        ("0 Introduction", "1 Ovens"), ("1 Introduction.", "2 Ovens: Old and New"), ("1 Introduction", "Related work"),
    ],
)  # fmt: skip
def test_introductions(heading: str, following: str) -> None:
    text = (
        f"On Flans\nAbstract\n{ABSTRACT}\n{heading}\n{OPENING}\n{following}\nOld ovens were built of stone."
    )
    sections = find_sections(lines_of(text))
    assert (sections.abstract, sections.introduction, sections.ended) == (ABSTRACT, OPENING, True)
    guess = "the introduction's end is guessed: 'Ovens in Two Hotels' looks like a heading"
    assert (guess in sections.remarks) == (following == "Ovens in Two Hotels")


@pytest.mark.parametrize(
    ("one", "two"), [("1. Introduction. {}", "2. Ovens. Old ones."), ("1 Introduction {}", "2 Related Work")]
)
def test_headings_that_run_into_their_text(one: str, two: str) -> None:
    text = f"On Flans\nAbstract. {ABSTRACT}\n{one.format(OPENING)}\n{two}\nMore."
    sections = find_sections(lines_of(text))
    assert (sections.abstract, sections.introduction) == (ABSTRACT, OPENING)
    assert any("runs into it" in each for each in sections.remarks) == (one == "1 Introduction {}")


@pytest.mark.parametrize(
    "inside",
    [
        "We improve by\n2 BLEU on the test set.",
        "We contribute:\n1. Asking the question.\n2. Counting What Is Left\n3. Releasing all plates.",
        "See the introduction of\nIntroduction to Baking and\nBackground of Ovens for more.",
        "as Fig. 1 shows, and\n2 Of The Guests Were Late\nto the table.",
        "Figure 1: Flans\nare shown.",
        "Guests were asked in\nBackground\nnoise of 60 dB.",
    ],
)
def test_what_looks_like_a_heading_and_is_none(inside: str) -> None:
    text = f"Abstract\n{ABSTRACT}\n1 Introduction\n{OPENING}\n{inside}\n2 Ovens\nOld ones."
    assert found(text) == (ABSTRACT, f"{OPENING} {' '.join(inside.split(chr(10)))}")


def test_a_table_of_contents_is_no_introduction() -> None:
    contents = (
        "Contents\n1 Introduction 2\n2 Ovens 3\n1 Introduction . . . . 2\n1 Introduction\n2\n2 Ovens\n3"
    )
    text = f"On Flans\nAbstract\n{ABSTRACT}\n{contents}\n1 Introduction\n{OPENING}\n2 Ovens\nOld ones."
    assert found(text) == (ABSTRACT, OPENING)


def test_headings_below_the_introduction_are_left_out_and_counted() -> None:
    text = f"Abstract\n{ABSTRACT}\n1 Introduction\n{OPENING}\n1.1 Why Flans\nFlans are good.\n2 Ovens\nOld."
    sections = find_sections(lines_of(text))
    assert sections.introduction == f"{OPENING} Flans are good."
    assert "1 heading within the introduction left out" in sections.remarks


def test_footnotes_with_a_mark_are_left_out_of_pages_and_told() -> None:
    first = lines_of(f"Abstract\n{ABSTRACT}\n∗Equal contribution. Ann asked\nfirst. Tom baked.", page=1)
    then = lines_of(
        f"and on we go.\n1 Introduction\n{OPENING}\n†Now at the harbour.\nThe end.\n2 Ovens\nOld.", page=2
    )
    sections = find_sections([*first, *then])
    assert (sections.abstract, sections.introduction) == (f"{ABSTRACT} and on we go.", f"{OPENING} The end.")
    assert "footnotes with a mark are left out" in sections.remarks
    in_a_text = find_sections([line._replace(page=0) for line in (*first, *then)])
    assert "Equal contribution" in (in_a_text.abstract or "") and "harbour" in (in_a_text.introduction or "")


def test_an_abstract_of_two_pages() -> None:
    pages = [
        *lines_of(f"On Flans\nAbstract\n{ABSTRACT}", page=1),
        *lines_of(f"{ABSTRACT}\n1 Introduction\n{OPENING}", page=2),
    ]
    sections = find_sections(pages)
    assert (sections.abstract, sections.introduction, sections.ended) == (
        f"{ABSTRACT} {ABSTRACT}",
        OPENING,
        False,
    )


def test_a_section_that_nothing_ends_is_cut_and_told() -> None:
    text = f"Abstract\n{ABSTRACT}\nIntroduction\n" + "and so on\n" * 10_000
    sections = find_sections(lines_of(text))
    assert sections.ended and len(sections.introduction or "") <= MAX_SECTION_CHARS
    assert any(each.startswith("the introduction is cut after") for each in sections.remarks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, None)),
        ("On Flans\nWe bake.", (None, None)),
        (f"Abstract\n1 Introduction\n{OPENING}", (None, OPENING)),
        (f"Abstract\n{ABSTRACT}\n1 Introduction\n2 Ovens\nOld.", (ABSTRACT, None)),
        (f"Abstract\n{ABSTRACT}", (ABSTRACT, None)),
        (f"1 Introduction\n{OPENING}\n2 Ovens\nAbstract\n{ABSTRACT}", (None, OPENING)),
        (f"the abstract\nintroduction\n{OPENING}", (None, None)),
    ],
)
def test_what_is_not_there_is_none(text: str, expected: tuple[str | None, str | None]) -> None:
    abstract, introduction = found(text)
    if expected[0] == ABSTRACT and expected[1] is None:
        assert abstract is not None and abstract.startswith(ABSTRACT) and introduction is None
    else:
        assert (abstract, introduction) == expected


def test_names_of_introductions() -> None:
    names = (
        "Introduction",
        "1 INTRODUCTION",
        "I. Introduction",
        "1. Introduction and Background",
        "introduction",
    )
    assert all(map(is_introduction, names))
    assert not any(
        map(is_introduction, ("Introduction to Algebra", "Introductory remarks", "Related Work", "", "1"))
    )


@given(
    st.lists(
        st.sampled_from(
            [*ABSTRACT.split(), *OPENING.split(), "Abstract", "1 Introduction", "2 Ovens", "", "1", "I."]
        )
    )
)
def test_any_lines_give_sections_of_their_own_words(lines: list[str]) -> None:
    sections = find_sections([Line(line, 1) for line in lines])
    for text in (sections.abstract, sections.introduction):
        assert text is None or (
            text and set(text.split()) <= {word for line in lines for word in line.split()}
        )


class TestFurniture:
    def test_running_heads_and_numbers_go_and_text_stays(self) -> None:
        pages = [
            ["Flans 1", "Text one", "w", "y", "z", "more", "12"],
            ["Flans 2", "Text two", "a", "b", "c", "end", "13"],
        ]
        assert without_furniture(pages) == [
            ["Text one", "w", "y", "z", "more"],
            ["Text two", "a", "b", "c", "end"],
        ]

    def test_a_single_page_loses_its_number_alone(self) -> None:
        assert without_furniture([["Flans", "We bake.", "- 3 -"]]) == [["Flans", "We bake."]]
        assert without_furniture([["Flans", "We bake.", "Page 3 of 9"]]) == [["Flans", "We bake."]]

    def test_the_number_of_a_heading_stays(self) -> None:
        page = ["the end.", "1", "Introduction", "a", "b", "c", "d", "4"]
        assert without_furniture([page]) == [page[:-1]]

    def test_numbered_lines_lose_their_numbers(self) -> None:
        page = [line for n in range(20) for line in (f"{n:03}", f"text {n % 3}")]
        assert without_furniture([page]) == [[f"text {n % 3}" for n in range(20)]]

    def test_a_few_numbers_amid_a_page_are_of_a_table(self) -> None:
        page = ["a", "b", "c", "d", "12", "13", "e", "f", "g", "h"]
        assert without_furniture([page]) == [page]

    @pytest.mark.parametrize(
        "stamp", ["arXiv:1706.03762v7 [cs.CL] 2 Aug 2023", "Published as a conference paper at ICLR 2031"]
    )
    def test_stamps_go(self, stamp: str) -> None:
        assert without_furniture([["a", "b", "c", "d", stamp, "e", "f", "g", "h"]]) == [list("abcdefgh")]
