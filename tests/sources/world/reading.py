"""A reader of the world's sentences written apart from its grammar: patterns, no shared code or tables.

It gives the set of possible worlds in which a sentence is true only as far as tests need: events as the set of
concrete happenings, counts as the set of numbers, comparisons as ordered pairs.
"""

import re
from itertools import product

KINDS = {
    "worker": "baker nurse farmer pilot singer",
    "relative": "uncle aunt cousin sister brother",
    "animal": "dog cat goat bear duck",
}
SAME_VERB = {
    "assist": "help", "pursue": "chase", "welcome": "greet", "shove": "push", "observe": "watch",
    "haul": "carry", "frighten": "scare", "phone": "call",
}  # fmt: skip
OPPOSITE = {"shorter": "taller", "younger": "older", "slower": "faster", "weaker": "stronger"}
DIGITS = {
    w: i
    for i, w in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
}


def root(verb: str) -> str:
    """'carried' and 'carry' to 'carry'; synonyms to one of them."""
    for end, put in (("ied", "y"), ("ted", "t"), ("sued", "sue"), ("ed", ""), ("", "")):
        if verb.endswith(end):
            base = verb[: len(verb) - len(end)] + put
            break
    base = {"chas": "chase", "observ": "observe", "welcom": "welcome", "shov": "shove", "scar": "scare",
            "pursu": "pursue", "phon": "phone"}.get(base, base)  # fmt: skip
    return SAME_VERB.get(base, base)


def members(determiner: str, noun: str) -> set[str]:
    return set(KINDS[noun].split()) if determiner != "the" else {noun}


def happenings(text: str) -> tuple[bool, set[tuple[str, str, str]], str | None, str | None]:
    """(it happened, the (agent, verb, patient) that would do, place or None, day or None)."""
    place = re.search(r"\bin the (\w+)", text)
    day = re.search(r"\bon (\w+)", text)
    core = re.sub(r"\b(in the|on) \w+", "", text).split()
    happened = "never" not in core and "no" not in core
    core = [word for word in core if word != "never"]
    passive = core[2] == "was"
    first, verb, second = (core[0], core[1]), core[3] if passive else core[2], (core[-2], core[-1])
    agents, patients = (second, first) if passive else (first, second)
    events = {(a, root(verb), p) for a, p in product(members(*agents), members(*patients))}
    return happened, events, place and place[1], day and day[1]


def numbers(text: str) -> tuple[str, str, set[int]]:
    """(owner, thing, the numbers from 0 to 20 that would do)."""
    _, owner, _, *amount, thing = text.split()
    value = DIGITS[amount[-1]]
    form = " ".join(amount[:-1])
    keep = {
        "": lambda k: k == value, "exactly": lambda k: k == value,
        "more than": lambda k: k > value, "at least": lambda k: k >= value,
        "fewer than": lambda k: k < value, "at most": lambda k: k <= value,
    }[form]  # fmt: skip
    return owner, thing, {k for k in range(21) if keep(k)}


def order(text: str) -> tuple[str, str, str]:
    """(greater, comparative, lesser)."""
    _, one, _, word, _, _, other = text.split()
    return (other, OPPOSITE[word], one) if word in OPPOSITE else (one, word, other)


def kind(text: str) -> str:
    if " is " in text:
        return "order"
    return "numbers" if " has " in text else "happenings"


def verdict(premise: str, hypothesis: str) -> str:
    """By possible worlds: in how many ways can the hypothesis turn out, given the premise?"""
    if kind(premise) != kind(hypothesis):
        return "neutral"
    if kind(premise) == "numbers":
        (owner, thing, can), (owner2, thing2, may) = numbers(premise), numbers(hypothesis)
        if (owner, thing) != (owner2, thing2):
            return "neutral"
        return "entailment" if can <= may else "neutral" if can & may else "contradiction"
    if kind(premise) == "order":
        (a, by, b), (c, by2, d) = order(premise), order(hypothesis)
        if by != by2 or {a, b} != {c, d}:
            return "neutral"
        return "entailment" if (a, b) == (c, d) else "contradiction"
    return _events_verdict(premise, hypothesis)


PLACES = ("park", "garden", "kitchen", "forest", "village", "harbour", "elsewhere")


def _events_verdict(premise: str, hypothesis: str) -> str:
    """Each sentence says that one of some concrete events happened, or that none of them did."""
    yes, some = _concrete(premise)
    yes2, some2 = _concrete(hypothesis)
    if yes and yes2:  # whichever of `some` it was, is it in `some2`? it cannot exclude anything
        return "entailment" if some <= some2 else "neutral"
    if yes and not yes2:
        return "contradiction" if some <= some2 else "neutral"
    if yes2:
        return "contradiction" if some2 <= some else "neutral"
    return "entailment" if some2 <= some else "neutral"


def sentences(passage: str) -> list[str]:
    return passage.removesuffix(" .").split(" . ")


def statement(text: str) -> str:
    """What a yes-or-no question asks about, as a sentence that `happenings`, `order` or `numbers` reads."""
    for pattern, put in (
        (r"is it told that (.*) \?", r"\1"),
        (r"did (the \w+) (\w+) (the \w+)(.*) \?", r"\1 \2 \3\4"),
        (r"was (the \w+) (\w+) by (the \w+)(.*) \?", r"\1 was \2 by \3\4"),
        (r"is (the \w+) (\w+ than the \w+) \?", r"\1 is \2"),
        (r"does (the \w+) have (.*) \?", r"\1 has \2"),
    ):
        if found := re.fullmatch(pattern, text):
            return found.expand(put)
    raise AssertionError(text)


def said(passage: str, question: str) -> bool:
    """Whether the passage says what a yes-or-no question asks about."""
    return any(verdict(each, statement(question)) == "entailment" for each in sentences(passage))


def told(passage: str, asked: tuple[object, ...]) -> set[str]:
    """All the answers that a passage gives to the question that `question` read."""
    return {_value(each, str(asked[0])) for each in sentences(passage) if answered(asked, each)}


def _value(text: str, what: str) -> str:
    if what == "number":
        return text.split()[-2]
    if what in ("greater", "lesser"):
        greater, _, lesser = order(text)
        return f"the {greater if what == 'greater' else lesser}"
    _, ((agent, _, patient),), place, day = happenings(text)
    return {"agent": f"the {agent}", "patient": f"the {patient}", "place": f"the {place}", "time": str(day)}[
        what
    ]


def _concrete(text: str) -> tuple[bool, set[tuple[str, str, str, str]]]:
    happened, events, place, _ = happenings(text)
    return happened, {(*event, where) for event in events for where in ([place] if place else PLACES)}


def meaning(text: str) -> object:
    """Equal for two sentences that say the same, and only for those."""
    if kind(text) == "numbers":
        owner, thing, can = numbers(text)
        return owner, thing, frozenset(can)
    if kind(text) == "order":
        return order(text)
    happened, events, place, day = happenings(text)
    return happened, frozenset(events), place, day


def question(text: str) -> tuple[object, ...]:
    """What is asked, without the answer: equal for two questions of one intent, and only for those."""
    place = re.search(r" in the (\w+) \?", text)
    where = place and place[1]
    bare = re.sub(r" in the \w+ \?", " ?", text)
    for pattern, make in _QUESTIONS:
        found = re.fullmatch(pattern, bare)
        if found:
            return (*make(found.groupdict()), where)
    raise AssertionError(text)


def _compared(found: dict[str, str], turned: bool) -> tuple[object, ...]:
    word, than = found["word"], found["x"]
    # 'who is taller than x' and 'than whom is x shorter' ask for the greater of two
    greater = (word not in OPPOSITE) != turned
    return ("greater" if greater else "lesser", OPPOSITE.get(word, word), than)


_QUESTIONS = [
    (r"where did the (?P<a>\w+) (?P<v>\w+) the (?P<p>\w+) \?", lambda f: ("place", f["a"], root(f["v"]), f["p"])),
    (r"where was the (?P<p>\w+) (?P<v>\w+) by the (?P<a>\w+) \?",
     lambda f: ("place", f["a"], root(f["v"]), f["p"])),
    (r"when did the (?P<a>\w+) (?P<v>\w+) the (?P<p>\w+) \?", lambda f: ("time", f["a"], root(f["v"]), f["p"])),
    (r"when was the (?P<p>\w+) (?P<v>\w+) by the (?P<a>\w+) \?",
     lambda f: ("time", f["a"], root(f["v"]), f["p"])),
    (r"was the (?P<p>\w+) (?P<v>\w+) by the (?P<a>\w+) \?",
     lambda f: ("whether", f["a"], root(f["v"]), f["p"])),
    (r"did the (?P<a>\w+) (?P<v>\w+) the (?P<p>\w+) \?", lambda f: ("whether", f["a"], root(f["v"]), f["p"])),
    (r"is (?P<rest>the \w+) (?P<than>\w+ than the \w+) \?",
     lambda f: ("whether", order(f"{f['rest']} is {f['than']}"))),
    (r"does (?P<owner>the \w+) have (?P<rest>[\w ]+) \?",
     lambda f: ("whether", meaning(f"{f['owner']} has {f['rest']}"))),
    (r"by whom was the (?P<p>\w+) (?P<v>\w+) \?", lambda f: ("agent", None, root(f["v"]), f["p"])),
    (r"who was (?P<v>\w+) by the (?P<a>\w+) \?", lambda f: ("patient", f["a"], root(f["v"]), None)),
    (r"whom did the (?P<a>\w+) (?P<v>\w+) \?", lambda f: ("patient", f["a"], root(f["v"]), None)),
    (r"who is (?P<word>\w+) than the (?P<x>\w+) \?", lambda f: _compared(f, turned=False)),
    (r"than whom is the (?P<x>\w+) (?P<word>\w+) \?", lambda f: _compared(f, turned=True)),
    (r"how many (?P<t>\w+) does the (?P<o>\w+) have \?", lambda f: ("number", f["o"], f["t"])),
    (r"the (?P<o>\w+) has how many (?P<t>\w+) \?", lambda f: ("number", f["o"], f["t"])),
    (r"who (?P<v>\w+) the (?P<p>\w+) \?", lambda f: ("agent", None, root(f["v"]), f["p"])),
]  # fmt: skip


def answered(asked: tuple[object, ...], text: str) -> bool:
    """Whether a sentence answers the question that `question` read."""
    what, where = asked[0], asked[-1]
    if what == "number":
        if kind(text) != "numbers":
            return False
        owner, thing, can = numbers(text)
        return (owner, thing) == asked[1:3] and len(can) == 1
    if what in ("greater", "lesser"):
        if kind(text) != "order":
            return False
        greater, by, lesser = order(text)
        return (by, lesser if what == "greater" else greater) == asked[1:3]
    if kind(text) != "happenings":
        return False
    happened, events, place, day = happenings(text)
    if len(events) > 1:
        return False
    ((agent, verb, patient),) = events
    told = {"agent": agent, "patient": patient}
    fits = all(
        want is None or want == told[part] for part, want in (("agent", asked[1]), ("patient", asked[3]))
    )
    place_fits = place is not None if what == "place" else where is None or where == place
    return happened and fits and verb == asked[2] and place_fits and (what != "time" or day is not None)


def similarity(one: str, other: str) -> float:
    _, ((a, v, p),), place, day = happenings(one)
    _, ((a2, v2, p2),), place2, day2 = happenings(other)
    score = float(place == place2) + float(day == day2)
    if (a, p) == (p2, a2):
        return score
    score += float(v == v2)
    for mine, theirs in ((a, a2), (p, p2)):
        alike = any(mine in group.split() and theirs in group.split() for group in KINDS.values())
        score += 1.0 if mine == theirs else 0.5 * alike
    return score
