"""The words of the synthetic world, as data.

Every table here is small on purpose: a model of a few million parameters must meet each word often. It
knows nothing of sentences (grammar.py) or of truth (meaning.py).
"""

__all__ = [
    "ACTIONS",
    "ALONE",
    "ASPECTS",
    "BLAME",
    "CLASSES",
    "CLASS_OF",
    "DENIALS",
    "DIMENSIONS",
    "ENTITIES",
    "FAINT",
    "NUMBERS",
    "PLACES",
    "PRAISE",
    "STATES",
    "STRONG",
    "THINGS",
    "TIMES",
]

CLASSES: dict[str, tuple[str, ...]] = {
    "worker": ("baker", "nurse", "farmer", "pilot", "singer"),
    "relative": ("uncle", "aunt", "cousin", "sister", "brother"),
    "animal": ("dog", "cat", "goat", "bear", "duck"),
}
"""A class and what belongs to it: 'a dog' is 'an animal'. No entity belongs to two classes."""

ENTITIES: tuple[str, ...] = tuple(entity for members in CLASSES.values() for entity in members)
CLASS_OF: dict[str, str] = {entity: name for name, members in CLASSES.items() for entity in members}

ACTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "help": (("help", "helped"), ("assist", "assisted")),
    "chase": (("chase", "chased"), ("pursue", "pursued")),
    "greet": (("greet", "greeted"), ("welcome", "welcomed")),
    "push": (("push", "pushed"), ("shove", "shoved")),
    "watch": (("watch", "watched"), ("observe", "observed")),
    "carry": (("carry", "carried"), ("haul", "hauled")),
    "scare": (("scare", "scared"), ("frighten", "frightened")),
    "call": (("call", "called"), ("phone", "phoned")),
}
"""An action and the verbs that mean it: (base form, past form which is also the participle)."""

PLACES: tuple[str, ...] = ("park", "garden", "kitchen", "forest", "village", "harbour")
TIMES: tuple[str, ...] = ("monday", "tuesday", "friday", "sunday")

DIMENSIONS: dict[str, tuple[str, str]] = {
    "height": ("taller", "shorter"),
    "age": ("older", "younger"),
    "speed": ("faster", "slower"),
    "strength": ("stronger", "weaker"),
}
"""A dimension and its two comparatives: 'x is taller than y' says what 'y is shorter than x' says."""

THINGS: tuple[str, ...] = ("coins", "books", "apples", "lamps")
NUMBERS: tuple[str, ...] = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
"""By value; 'zero' is never said."""

ASPECTS: tuple[str, ...] = ("film", "story", "acting", "music", "ending", "cast", "script", "camera")
PRAISE: tuple[str, ...] = ("good", "great", "lovely", "clever", "moving", "fresh")
BLAME: tuple[str, ...] = ("bad", "dull", "awful", "messy", "boring", "weak")
STRONG: tuple[str, ...] = ("very", "really", "truly")
FAINT: tuple[str, ...] = ("a bit", "slightly", "somewhat")
DENIALS: tuple[str, ...] = ("not", "never", "hardly", "anything but", "far from")

STATES: tuple[str, ...] = ("sleeping", "waiting", "tired", "hungry")
ALONE: tuple[str, ...] = ("slept", "waited", "smiled", "arrived")
"""Verbs that take no object."""
