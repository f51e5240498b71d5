"""Abstract and introduction in the JSON forms in which collections of papers come.

The abstract is `abstract` (or `abstract_text`): a text, or a list of paragraphs. The introduction is the
first of

- `introduction`: a text, or a list of paragraphs;
- `sections`: a list of objects with a `heading`, `title`, `section` or `name` and a `text`, `paragraphs` or
  `content`; or lists of sentences beside a list `section_names` (Cohan et al. 2018, arXiv 1804.05685);
- `full_text`: `section_name` and `paragraphs`, lists side by side, or a list of objects with both (QASPER,
  arXiv 2105.03011);
- `body_text`: a list of objects with `section` and `text`, a paragraph each (S2ORC, arXiv 1911.02782;
  CORD-19), also within `pdf_parse` or `latex_parse`.

A paragraph may be a text or an object with a `text`. Knows values, not files.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ramekin.errors import DataError
from ramekin.sources.papers.letters import plain_text
from ramekin.sources.papers.paper import Paper
from ramekin.sources.papers.sections import is_introduction
from ramekin.sources.rows import show

__all__ = ["paper_of_document"]

_Section: TypeAlias = tuple[str, list[str]]
_HEADINGS = ("heading", "title", "section", "section_name", "name")
_TEXTS = ("text", "paragraphs", "content", "sentences")
_FORMS = "introduction, sections, full_text or body_text"


def paper_of_document(value: object, where: str) -> Paper:
    """The paper that a JSON value holds.

    >>> paper = paper_of_document({"abstract": "We bake.", "introduction": ["Flan", "is old."]}, "p.json")
    >>> paper.introduction
    'Flan is old.'

    Raises:
        DataError: there is no abstract or no introduction in it, or a key holds what it should not.
    """
    if not isinstance(value, dict):
        raise DataError(
            "a paper's JSON is no object",
            where=where,
            expected="one object a file, with abstract and introduction",
            got=f"a list of {len(value)}" if isinstance(value, list) else show(value),
            fix="write each paper to a file of its own",
        )
    parsed: dict[str, Any] = next(
        (value[key] for key in ("pdf_parse", "latex_parse") if isinstance(value.get(key), dict)), {}
    )
    abstract = _abstract(value, parsed, where)
    introduction, remarks = _introduction(value, parsed, where)
    title = value.get("title")
    return Paper(_clean(title) if isinstance(title, str) else "", abstract, introduction, where, remarks)


def _abstract(value: Mapping[str, Any], parsed: Mapping[str, Any], where: str) -> str:
    for holder, key in ((value, "abstract"), (value, "abstract_text"), (parsed, "abstract")):
        text = " ".join(_paragraphs(holder.get(key), f"{where}, key '{key}'"))
        # "Abstract" before the abstract is a heading that was taken along.
        text = re.sub(r"^abstract\s*[.:—–-]+\s*", "", text, flags=re.I)
        if text:
            return text
    raise DataError(
        "the paper has no abstract",
        where=where,
        expected="a key 'abstract' with a text or a list of paragraphs",
        got=_keys(value),
    )


def _introduction(
    value: Mapping[str, Any], parsed: Mapping[str, Any], where: str
) -> tuple[str, tuple[str, ...]]:
    text = " ".join(_paragraphs(value.get("introduction"), f"{where}, key 'introduction'"))
    if text:
        return text, ()
    sections = _sections(value, parsed, where)
    for at, (heading, _) in enumerate(sections):
        if is_introduction(_own_name(heading)):
            found = [p for each in _with_subsections(sections[at:]) for p in each[1]]
            if found:
                return " ".join(found), ()
    if sections and not sections[0][0] and sections[0][1]:
        guess = "the introduction is guessed: it is the first section, which has no heading"
        return " ".join(sections[0][1]), (guess,)
    raise DataError(
        "the paper has no introduction",
        where=where,
        expected=f"one in {_FORMS}",
        got=", ".join(show(heading, width=30) for heading, _ in sections[:6]) or _keys(value),
        fix="add a key 'introduction' with a text or a list of paragraphs",
    )


def _with_subsections(sections: Sequence[_Section]) -> list[_Section]:
    """The first of some sections and those that belong to it: of its own name, below it, or numbered 1.x."""
    first, *rest = sections
    kept = [first]
    for section in rest:
        heading = section[0]
        is_below = heading.startswith(f"{first[0]} :::") or re.match(r"1\.\d", heading)
        if not (is_below or heading == first[0]):
            break
        kept.append(section)
    return kept


def _own_name(heading: str) -> str:
    """QASPER writes the section before the subsection: "Introduction ::: Aims"."""
    return heading.partition(" ::: ")[0]


def _sections(value: Mapping[str, Any], parsed: Mapping[str, Any], where: str) -> list[_Section]:
    """The sections of whichever form is there, in their order."""
    for holder, key in (
        (value, "sections"),
        (value, "full_text"),
        (value, "body_text"),
        (parsed, "body_text"),
    ):
        found = holder.get(key)
        if found:
            names = value.get("section_names") if key == "sections" else None
            return _read_sections(found, names, f"{where}, key '{key}'")
    return []


def _read_sections(found: object, names: object, where: str) -> list[_Section]:
    if isinstance(found, dict):
        names, found = found.get("section_name"), found.get("paragraphs")
    if not isinstance(found, list):
        raise _misfit(found, "a list of sections", where)
    if names is not None:
        if not isinstance(names, list) or len(names) != len(found):
            got = f"{len(names)} names" if isinstance(names, list) else show(names)
            raise _misfit_text(f"as many names as sections, {len(found)}", got, where)
        return [_section(name, texts, where) for name, texts in zip(names, found, strict=True)]
    sections = []
    for each in found:
        if not isinstance(each, dict):
            raise _misfit(each, "an object a section", where)
        name = next((each[key] for key in _HEADINGS if each.get(key)), "")
        texts: object = next((each[key] for key in _TEXTS if each.get(key)), [])
        sections.append(_section(name, texts, where))
    return sections


def _section(name: object, texts: object, where: str) -> _Section:
    if name is not None and not isinstance(name, str):
        raise _misfit(name, "a text as the name of a section", where)
    return _clean(name or ""), _paragraphs(texts, where)


def _paragraphs(value: object, where: str) -> list[str]:
    """The paragraphs of a text, of a list of texts, or of a list of objects with a text; none of None."""
    if value is None:
        return []
    found = []
    for each in value if isinstance(value, list) else [value]:
        text = each.get("text") if isinstance(each, dict) else each
        if not isinstance(text, str):
            raise _misfit(each, "a text or a list of paragraphs", where)
        found.append(_clean(text))
    return [text for text in found if text]


def _clean(text: str) -> str:
    return " ".join(plain_text(text).split())


def _keys(value: Mapping[str, Any]) -> str:
    return f"the keys {', '.join(list(value)[:12])}" if value else "an empty object"


def _misfit(value: object, expected: str, where: str) -> DataError:
    return _misfit_text(expected, show(value), where)


def _misfit_text(expected: str, got: str, where: str) -> DataError:
    return DataError("a paper's JSON holds what cannot be read", where=where, expected=expected, got=got)
