"""What hostile template texts meet: escapes and resource bombs are refused, quickly and by name and line."""

import copy
import marshal
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.text.sandbox import Dialect, compile_expression, compile_program
from ramekin.text.sandbox.p3 import METHODS, P3_FILTERS
from ramekin.text.template import Template

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
SECONDS = 0.1
BYTES = 24 << 20

RECORD: dict[str, Any] = {
    "text": "aaaa",
    "words": ["x", "y", "z"],
    "row": {"a": 1, "b": ["p"]},
    "rows": [{"a": 2, "b": "q"}, {"a": 1, "b": "r"}],
    "long": list(range(1000)),
    "label": 1,
    "gone": None,
    "options": ["no", "yes"],
}
LINES = "first\nsecond\n"  # what is hostile stands on the third line

ESCAPES = [
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "text.__init__.__globals__",
    "words.__len__",
    "row.__class__",
    "row['__class__']",
    "text['__class__']",
    "text['__cla' ~ 'ss__']",
    "words['__class__']['__base__']",
    "(1).__class__",
    "(1)['__class__']",
    "none['__class__']",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner.__init__.__globals__",
    "lipsum.__globals__['os']",
    "namespace.__init__",
    "range.__self__",
    "zip.__class__",
    "self",
    "self._TemplateReference__context",
    "self['_TemplateReference__context']",
    "request.application.__globals__",
    "config.__class__",
    "config.items()",
    "url_for.__globals__",
    "get_flashed_messages.__globals__",
    "loop.__class__",
    "__builtins__",
    "nope.__class__",
    "nope['__class__']",
    "nope.mro()",
    "'{0.__class__}'.format(text)",
    "'{0.__class__}' | format(text)",
    "'%(a)s' | format(row)",
    "'{}'.format_map(row)",
    "text | attr('__class__')",
    "text | attr('upper')",
    "words | map(attribute='__class__') | list",
    "rows | map(attribute='a.__class__') | list",
    "rows | map(attribute='a.b.c') | list",
    "rows | map('attr', '__class__') | list",
    "[words] | map('.append', 'w') | list",
    "[words] | map('.pop') | list",
    "rows | map('.update', row) | list",
    "words | map('_mark', 0) | list",
    "words | map('map', '.append') | list",
    "words | map('_handle') | list",
    "rows | selectattr('__class__') | list",
    "rows | selectattr('a.b') | list",
    "rows | rejectattr('a') | list",
    "rows | sort(attribute='__class__')",
    "rows | sort(false, false, '__class__')",
    "rows | unique(attribute='a,__class__')",
    "rows | max(attribute='__class__')",
    "rows | min(false, '_a')",
    "rows | groupby('__class__')",
    "words | join(attribute='__class__')",
    "words | select('filter') | list",
    "words | _counted",
    "words | _mark(0)",
    "words | tojson",
    "words | pprint",
    "text | safe",
    "text | xmlattr",
    "text | upper.__class__",
    "text is callable",
    "text is sameas(text)",
    "text is filter",
    "text is escaped",
    "text.upper",
    "text.format",
    "text['format']",
    "words.append",
    "words['append']",
    "(words | list).gi_frame.__class__",
    "(words | map('upper')).gi_frame.f_back.f_globals",
    "words.cr_frame.f_globals",
    "label.real",
    "words.clear()",
    "words.extend(words)",
    "words.remove('x')",
    "words.sort()",
    "row.setdefault('c', 1)",
    "row.popitem()",
    "words.insert(0, 'w')",
    "text.encode('utf-16')",
    "text.translate(row)",
    "text.join",
    "range(*words)",
    "range(**row)",
    "text | replace(*words)",
    "text | replace(**row)",
    "words | map(**row)",
    "namespace(**row)",
    "namespace(__class__=1)",
    "caller()",
    "super()",
    "varargs()",
    "(text)(1)",
    "words[0]()",
    "row.a()",
    "row['a']()",
    "lipsum(5)",
    "cycler('a').next()",
    "joiner(',')()",
    "_('a')",
    "gettext('a')",
    "debug()",
    "open('/etc/passwd').read()",
    "text.__ｃlass__",
    "ｔext",
    "＿＿class＿＿",
    "words | sort(ａttribute='a')",
    "words[1:2, 3:4]",
    "text ** 2",
]  # fmt: skip
"""Expressions; those that mean nothing to a dialect are refused for that."""

STATEMENTS = [
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends 'base.html' %}",
    "{% block a %}{% endblock %}",
    "{% macro m() %}{% endmacro %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call row() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% set a %}{{ text }}{% endset %}",
    "{% set a | upper %}x{% endset %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% with a = 1 %}{% endwith %}",
    "{% do words.append(1) %}",
    "{% trans %}a{% endtrans %}",
    "{% debug %}",
    "{% for w in words recursive %}{{ loop(words) }}{% endfor %}",
    "{% for w in words %}{{ loop(words) }}{% endfor %}",
    "{% for w in words %}{{ loop.__class__ }}{% endfor %}",
    "{% for w in words %}{{ loop._iterator }}{% endfor %}",
    "{% for w in words %}{{ loop['_iterator'] }}{% endfor %}",
    "{% for w in words %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for w in words %}{{ loop.changed }}{% endfor %}",
    "{% for w in words %}{{ loop }}{% endfor %}",
    "{% for w in words %}{{ [loop] }}{% endfor %}",
    "{% for w in words %}{% break %}{% endfor %}",
    "{% for loop in words %}{% endfor %}",
    "{% set __a = 1 %}",
    "{% set words.x = 1 %}",
    "{% set namespace.__class__ = 1 %}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "{% set n = namespace() %}{% set n._Namespace__attrs = row %}",
    "{% set n = namespace() %}{{ n._Namespace__attrs }}",
    "{% set n = namespace() %}{{ n['_Namespace__attrs'] }}",
    "{% set n = namespace() %}{{ n }}",
    "{% set n = namespace() %}{% set n.n = n %}{{ [n] }}",
    "{% set n = namespace() %}{{ n.pop() }}",
    "{% if words.append %}{% endif %}",
    "{% for a in self %}{% endfor %}",
    "{% set a = text.__class__ %}",
    "{% if text.__class__ %}{% endif %}",
    "{% for a in text.__class__.mro() %}{% endfor %}",
    "{% for __a in words %}{% endfor %}",
    "{% for k in row %}{% set _ = row.update({k ~ 'x': 1}) %}{% endfor %}",
    "{% if %}",
    "{{ text",
    "{% endfor %}",
    "{# never closed",
    "{{ 'a' | }}",
    "{{ text | replace(old='a', old='b') }}",
]

TOWER = "{% set x = ['a'] %}" + "{% set x = [x, x] %}" * 40
TUPLES = "{% set x = ('a', 'b') %}" + "{% set x = (x, x) %}" * 40
DOUBLED = "{% set y = text %}" + "{% set y = y ~ y %}" * 12  # 16,384 characters
TENS = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}"

EXPRESSION_BOMBS = [
    "'a' * 2000000000",
    "'a' * 99999999 * 99999999",
    "[1] * 2000000000",
    "9 ** 9 ** 9 ** 9",
    "9999999999 ** 99999999",
    "10000000000000 * 10000000000000 * 10000000000000 * 10000000000000",
    "1" + "0" * 5000,
    "0x" + "f" * 60_000,
    "1e999",
    "1e308 * 10",
    "'%0500000000d' % 1",
    "'%500000000s' | format(text)",
    "'%.500000000f' | format(1.5)",
    "'%*d' | format(500000000, 1)",
    "'%500000000d' is odd",
    "'%500000000d' is even",
    "'{:>500000000}'.format(1)",
    "text | center(500000000)",
    "text.center(500000000)",
    "text.ljust(500000000)",
    "text.zfill(500000000)",
    "text | indent(500000000)",
    "text | wordwrap(1)",
    "text | truncate(500000000)",
    "text | urlize",
    "lipsum(n=200000)",
    "1 | decimals(500000000)",
    "5 | round(-1000000000)",
    "5 | round(1000000000, 'ceil')",
    "range(1000000000) | list",
    "range(10 ** 30)",
    "range(100000) | sort | unique | join",
    "long | map('string') | map('replace', '0', '" + "x" * 2000 + "') | join",
    "long" + " + long" * 45,
    "text" + " | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 12,
    "'a'" + " | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 12,
    "text | replace('', 'x')",
    "long | join('" + "x" * 1000 + "')",
    "long | join('" + "x" * 1000 + "') | length",
    "text | trim('" + "b" * 10_000 + "')",
    "('a' ~ '" + "ab" * 20_000 + "') | split('b') | length",
    "(" * 5000 + "1" + ")" * 5000,
    "(" * 60 + "1" + ")" * 60 + " | nope",
    "[" * 5000 + "]" * 5000,
    "{1:" * 5000 + "1" + "}" * 5000,
    "not " * 5000 + "1",
    "-" * 5000 + "1",
    "row" + ".a" * 5000,
    "row" + "['a']" * 5000,
    "row" + ".a" * 60,
    "text" + " | lower" * 5000,
    "text" + " | lower" * 60,
    "1" + " + 1" * 5000,
    "text" + " ~ text" * 10_000,
    "1" + " if 1 else 1" * 5000,
    "1" + " == 1" * 5000,
    "1" + " or 1" * 5000,
    "[" + "text, " * 15_000 + "]",
    "[" + "1, " * 20_000 + "]",
    "{" + "text: 1, " * 7_000 + "}",
    "text | replace(" + "'a', " * 10_000 + ")",
    "'" + "x" * 70_000 + "'",
    "long[::-1]" + "[::-1]" * 4000,
]  # fmt: skip

BOMBS = [
    "{% for a in long %}{% for b in long %}{% for c in long %}" + "{% endfor %}" * 3,
    "{% for a in long %}{% for b in long %}{% for c in long %}{{ text }}" + "{% endfor %}" * 3,
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    TENS * 15 + "{% endfor %}" * 15,
    TENS * 15 + "x" + "{% endfor %}" * 15,
    TENS * 40 + "{% endfor %}" * 40,
    TENS * 4 + "{{ text | without_punctuation | length }}" * 200 + "{% endfor %}" * 4,
    TENS * 4 + "{% if label == 2 %}x{% endif %}" * 150 + "{% endfor %}" * 4,
    "{% for a in long %}{% for b in long %}{% if a == b and text in words %}{% endif %}{% endfor %}{% endfor %}",
    "{% set y = text %}" + "{% set y = y ~ y %}" * 40 + "{{ y }}",
    "{% set y = text %}" + "{% set y = y + y %}" * 40 + "{{ y }}",
    "{% set y = words %}" + "{% set y = [y, y] | join %}" * 40 + "{{ y }}",
    "{% set y = text %}" + "{% set y = y | replace('a', y) %}" * 40 + "{{ y }}",
    "{% set y = long %}" + "{% set y = y + y %}" * 40 + "{{ y | length }}",
    "{% set y = 9 %}" + "{% set y = y * y %}" * 40 + "{{ y }}",
    "{% set y = 9 %}" + "{% set y = y + y %}" * 100 + "{{ y }}",
    TOWER + "{{ x }}",
    TOWER + "{{ x | string }}",
    TOWER + "{{ x ~ 'a' }}",
    TOWER + "{{ x | join }}",
    TOWER + "{% set z = x[0] %}{% if [x] == [[z, z]] %}{% endif %}",
    TOWER + "{% if [x[0]] in [[x[1]], x] and x[0] ~ '' %}{% endif %}",
    TOWER + "{{ 'a' if x is eq([x[0], x[1]]) else 'b' }}",
    TOWER + "{{ [x, x] | unique | length }}",
    TOWER + "{{ [x, [x[0], x[1]]] | sort | length }}",
    TOWER + "{{ words | position(x) }}",
    TOWER + "{{ words[x] }}",
    TOWER + "{{ [x] | shuffled }}",
    TUPLES + "{{ {x: 1} | length }}",
    TUPLES + "{{ row[x] }}",
    TUPLES + "{{ [x] | unique | length }}",
    DOUBLED + TENS * 4 + "{% if y == y ~ '' %}{% endif %}" + "{% endfor %}" * 4,
    DOUBLED + TENS * 4 + "{% if 'b' in y %}{% endif %}" + "{% endfor %}" * 4,
    DOUBLED + TENS * 4 + "{{ y | upper | length }}" + "{% endfor %}" * 4,
    DOUBLED + TENS * 4 + "{% set z = y[::-1] %}" + "{% endfor %}" * 4,
    DOUBLED + TENS * 4 + "{% set z = y ~ a %}" + "{% endfor %}" * 4,
    DOUBLED + TENS * 4 + "{% set z = y | without_punctuation %}" + "{% endfor %}" * 4,
    DOUBLED + TENS * 4 + "{% set z = [a, 2, 3, y] | shuffled %}" + "{% endfor %}" * 4,
    DOUBLED + "{% set p = y[0:600] ~ 'b' ~ y[0:600] %}{% set y = y[0:2499] %}" + TENS * 4
    + "{% if p in y %}{% endif %}" + "{% endfor %}" * 4,
    TENS * 4 + "{{ long | shuffled | length }}" + "{% endfor %}" * 4,
    TENS * 4 + "{% set z = long | sort | unique | list %}" + "{% endfor %}" * 4,
    TENS * 4 + "{% if long == long[:] %}{% endif %}" + "{% endfor %}" * 4,
    TENS * 4 + "{% if long | position(999) %}{% endif %}" + "{% endfor %}" * 4,
    TENS * 4 + "{% set z = long[0:999] %}" + "{% endfor %}" * 4,
    TENS * 5 + "{% set z = range(1000) %}" + "{% endfor %}" * 5,
    "{% for a in words %}" * 200 + "{% endfor %}" * 200,
    "{% if label %}" * 200 + "{% endif %}" * 200,
    "{% if label %}" * 3000 + "{% endif %}" * 3000,
    "{% if 0 %}" + "{% elif 0 %}" * 5000 + "{% endif %}",
    "{{ text }}" * 6000,
    "{% set a = b %}" * 4000,
    "".join(f"{{% set v{i} = v{i + 1} %}}" for i in range(3000)) + "{{ v0 }}",
    "{{ text }}{# " + "x" * 70_000 + " #}",
    "{{ '" * 20_000,
    "{% raw %}" * 6000,
    "{{" * 30_000,
]  # fmt: skip

P3_BOMBS = [
    "{% set x = [] %}{% set _ = x.append(x) %}{{ x }}",
    "{% set x = {} %}{% set _ = x.update({'a': x}) %}{{ x }}",
    "{% set x = [] %}{% set _ = x.append(x) %}{% set y = [] %}{% set _ = y.append(y) %}{{ x == y }}",
    "{% set x = {} %}{% set _ = x.update({'a': x}) %}{{ rows | map(attribute='" + "a." * 20_000 + "a') | list }}",
    "{% set n = namespace(x=text) %}{% for a in long %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=(1,)) %}{% for a in long %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ {n.x: 1} }}",
    "{% set n = namespace(x=9) %}{% for a in long %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=1) %}{% for a in long %}{% set n.x = zip([n.x], [n.x])[0] %}{% endfor %}{{ n.x }}",
    "{% for w in words %}{% set _ = words.append(w) %}{% endfor %}",
    "{% for w in long %}{% set _ = words.append(words[:]) %}{% endfor %}{{ words }}",
    "{% for a in long %}{% for b in long %}{% set _ = row.update({a ~ b: long}) %}{% endfor %}{% endfor %}",
    DOUBLED + "{% set l = [] %}{% for a in long %}{% set _ = l.append(y) %}{% endfor %}{{ l | sort | length }}",
    DOUBLED + "{% set l = [] %}{% for a in long %}{% set _ = l.append(y) %}{% endfor %}{{ l }}",
    DOUBLED + "{{ '%s' * 900 | format(y) }}",
    DOUBLED + "{{ '" + "%s" * 900 + "' | format(" + "y, " * 900 + ") }}",
    "{% for a in range(20000) %}{{ range(20000) | max }}{% endfor %}",
    "{{ zip(range(20000), range(20000), range(20000)) | list }}",
    "{% for a in range(4000) %}{{ long.index(999) }}{{ (row.items() | list) }}{% endfor %}",
    "{% for a in range(900) %}{{ rows | map('items') | map('first') | list | max }}{{ long | max }}{% endfor %}",
    "{{ '%99d%99d%99d'" + " | format(1, 2, 3) ~ '%99d'" * 40 + " }}",
]  # fmt: skip


def refused(run: Callable[[], Any], *, place: str, memory: bool = False) -> DataError:
    """What `run` raises: a DataError that names the place, within the limits of time (and memory)."""
    times = []
    for _ in range(3):
        start = time.thread_time()  # what other processes do is not the template's time
        with pytest.raises(DataError) as caught:
            run()
        times.append(time.thread_time() - start)
        if times[0] < SECONDS / 4:
            break
    assert statistics.median(times) < SECONDS, times
    assert place in str(caught.value)
    assert caught.value.what and "\n" not in caught.value.what and len(str(caught.value)) < 1000
    if memory:
        tracemalloc.start()
        try:
            with pytest.raises(DataError):
                run()
            assert tracemalloc.get_traced_memory()[1] < BYTES
        finally:
            tracemalloc.stop()
    return caught.value


def refused_everywhere(body: str, dialect: Dialect, *, memory: bool = False) -> None:
    record = copy.deepcopy(RECORD)

    def template(first: int | None = None) -> Template:
        return Template("t", LINES + body + " ||| a", where="f.yaml", first_line=first, dialect=dialect)

    refused(lambda: template(10).render(record), place="f.yaml:12#t", memory=memory)
    refused(lambda: template().spans(record, key="k"), place="f.yaml#t, line 3 of the template")
    if dialect == "promptsource":
        choices = Template("t", "a ||| b", where="f.yaml", dialect=dialect, answer_choices=LINES + body)
        refused(lambda: choices.choices(record), place="f.yaml#t answer_choices, line 3")
    assert record == RECORD


def test_the_lists_are_long_enough() -> None:
    assert len({*ESCAPES, *STATEMENTS}) >= 40 + 40
    assert len({*EXPRESSION_BOMBS, *BOMBS, *P3_BOMBS}) >= 20 + 40


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", ESCAPES)
def test_escapes_are_refused(source: str, dialect: Dialect) -> None:
    refused_everywhere("{{ " + source + " }}", dialect)


@pytest.mark.parametrize("source", ESCAPES)
def test_escapes_are_refused_in_expressions(source: str) -> None:
    record = copy.deepcopy(RECORD)
    refused(
        lambda: compile_expression("\n" + source, where="f.yaml", name="answer", line=11).value(record),
        place="f.yaml:12#answer",
    )
    together = [("first", "label", 3), ("made", source, 12)]
    refused(lambda: compile_program(together, where="f.yaml").values(record), place="f.yaml:12")
    assert record == RECORD


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", STATEMENTS)
def test_statements_that_are_not_for_templates_are_refused(source: str, dialect: Dialect) -> None:
    refused_everywhere(source, dialect)


@pytest.mark.parametrize(
    "source", ["text }}{{ text", "text }}{% set a = 1 %}{{ a", "text }} a", "text #}", ""]
)
def test_an_expression_cannot_leave_its_braces(source: str) -> None:
    refused(lambda: compile_expression(source, where="f.yaml", line=4), place="f.yaml:4")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", EXPRESSION_BOMBS, ids=range(len(EXPRESSION_BOMBS)))
def test_bombs_are_stopped(source: str, dialect: Dialect) -> None:
    refused_everywhere("{{ " + source + " }}", dialect, memory=True)


@pytest.mark.parametrize("source", EXPRESSION_BOMBS, ids=range(len(EXPRESSION_BOMBS)))
def test_bombs_are_stopped_in_expressions(source: str) -> None:
    record = copy.deepcopy(RECORD)
    refused(
        lambda: compile_expression("\n" + source, where="f.yaml", name="keep", line=11).value(record),
        place="f.yaml:12#keep",
        memory=True,
    )
    together = [("first", "label", 3), ("made", source, 12)]
    refused(lambda: compile_program(together, where="f.yaml").values(record), place="f.yaml:12")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", BOMBS, ids=range(len(BOMBS)))
def test_bombs_of_statements_are_stopped(source: str, dialect: Dialect) -> None:
    refused_everywhere(source, dialect, memory=True)


@pytest.mark.parametrize("source", P3_BOMBS, ids=range(len(P3_BOMBS)))
def test_bombs_of_promptsources_methods_are_stopped(source: str) -> None:
    refused_everywhere(source, "promptsource", memory=True)


def test_a_template_may_not_change_the_record_but_may_its_own_copy() -> None:
    record = {"words": ["x"], "row": {"a": 1, "b": [1]}, "rows": [{"a": ["deep"]}]}
    before = copy.deepcopy(record)
    changing = Template(
        "t",
        "{% set _ = words.append('y') %}{% set _ = row.update({'c': 2}) %}{% set _ = row.b.pop() %}"
        "{% for r in rows %}{% set _ = r.a.append('z') %}{% endfor %}"
        "{{ words | join }}{{ row | length }}{{ row.b | length }}{{ rows[0].a | join }} ||| a",
        dialect="promptsource",
    )
    for _ in range(2):
        assert changing.render(record) == ("xy30deepz", "a")
    assert record == before


@pytest.mark.parametrize(
    "source",
    [
        "{% for w in words %}{{ loop.nextitem }}{% endfor %}",
        "{% for w in words %}{% for v in loop %}{{ v[0] }}{% endfor %}{% endfor %}",
        "{% set a = [] %}{% set b = a %}{% set _ = b.append(text) %}{{ a[0] }}",
        "{% set a = [] %}{% set _ = a.append(value=text) %}{{ a[0] }}",
        "{% if label == 7 %}{% set text = 'own' %}{% endif %}{{ text }}",
        "{{ range }}{{ loop }}",
        "{% set n = namespace(a='') %}{% set n.a = text %}{{ n.a }}",
    ],
)
def test_a_records_text_is_known_as_the_records_by_whatever_way_it_comes(source: str) -> None:
    hostile = "a|||b"
    values = {"text": hostile, "words": [hostile, hostile], "label": 1, "range": hostile, "loop": hostile}
    template = Template("t", source + " ||| c", dialect="promptsource")
    inputs, targets = template.render(values)
    assert hostile in inputs and targets == "c"
    assert {span.kind for span in template.spans(values).inputs if hostile in span.text} == {"field"}


@pytest.mark.parametrize("text", ["|", "||", "|||", "a|", "|a", "a|||", "||||"])
def test_a_value_may_end_or_begin_with_the_separators_strokes(text: str) -> None:
    for source in ("{{ text }}|||{{ text }}", "{{ text }} ||| {{ text }}", "{{ text }}a|||a{{ text }}"):
        template = Template("t", source)
        edges = source.replace("{{ text }}", "").split("|||")
        expected = (text + edges[0].strip(), edges[1].strip() + text)
        assert template.render({"text": text}) == expected == template.spans({"text": text}).texts()


def test_what_a_text_has_none_of_is_never_printed_by_joining_either() -> None:
    for source in ("gone ~ 'x'", "words ~ 'x'", "(label == 1) ~ 'x'", "row ~ 'x'", "nope ~ 'x'"):
        refused(
            lambda source=source: Template("t", f"{{{{ {source} }}}} ||| a", where="f").render(RECORD),
            place="f#t",
        )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_record_that_is_nested_too_deeply_is_refused(dialect: Dialect) -> None:
    deep: Any = "a"
    for _ in range(5000):
        deep = [deep]
    for source in ("{{ deep | string }}", "{{ deep ~ '' }}", "{{ [deep] | sort }}{{ deep == [deep] }}"):
        template = Template("t", source + " ||| a", where="f", dialect=dialect, answer_choices=source)
        refused(lambda template=template: template.render({"deep": deep}), place="f#t")
        refused(lambda template=template: template.choices({"deep": deep}), place="f#t")


def test_names_that_only_jinja_has_are_nothing_to_promptsources_templates() -> None:
    names = ("cycler", "joiner", "lipsum", "config", "request", "namespace", "range", "zip", "dict")
    source = "".join(f"{{{{ {name} }}}}" for name in names)
    assert Template("t", f"<{source}> ||| a", dialect="promptsource").render({}) == ("<>", "a")


# Templates of what is allowed, what is not, and noise.

NAMES = st.sampled_from(["a", "b", "c", "d", "loop", "n", "options", "x", "y", "nope", "_p", "__q", "self"])
CONSTANTS = st.sampled_from(
    ["0", "1", "-1", "2.5", "'a'", "''", "'|||'", "'%99d'", "none", "true", "[]", "{}", "()", "10**9", "1e300",
     "'__class__'", "'{0}'", "9" * 18, "9" * 30, "'é\\u1234'", "['a', 'b']", "{'a': 1}"]
)  # fmt: skip
FILTERS = st.sampled_from(
    [*sorted(P3_FILTERS), "attr", "safe", "tojson", "center", "_mark", "_counted", "nope"]
)
ATTRIBUTES = st.sampled_from(
    ["a", "b", "index", "previtem", "nextitem", "__class__", "mro", *sorted(METHODS)]
)
TESTS = st.sampled_from(
    ["defined", "none", "string", "odd", "even", "in", "eq", "lt", "iterable", "callable"]
)
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "~", "**", "==", "!=", "<", ">=", "in", "and", "or"]
)


def _bigger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("{} {} {}".format, inner, OPERATORS, inner),
        st.builds("({})".format, inner),
        st.builds("{} | {}".format, inner, FILTERS),
        st.builds("{} | {}({})".format, inner, FILTERS, arguments),
        st.builds("{} | map('{}')".format, inner, FILTERS),
        st.builds("{} | {}(attribute={})".format, inner, FILTERS, inner),
        st.builds("{}.{}".format, inner, ATTRIBUTES),
        st.builds("{}.{}({})".format, inner, ATTRIBUTES, arguments),
        st.builds("{}({})".format, st.sampled_from(["range", "zip", "namespace", "lipsum", "a"]), arguments),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{} is {}({})".format, inner, TESTS, arguments),
        st.builds("{} is {}".format, inner, TESTS),
        st.builds("{} if {} else {}".format, inner, inner, inner),
        st.builds("[{}]".format, arguments),
        st.builds("({},)".format, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("not {}".format, inner),
        st.builds("-{}".format, inner),
    )


EXPRESSIONS = st.recursive(NAMES | NAMES | CONSTANTS, _bigger, max_leaves=6)
NOISE = st.one_of(
    st.text(max_size=6),
    st.text("{}%#|-+()[]'\"\\ \n.,:=_a0", max_size=8),
    st.sampled_from(
        ["|||", "{{", "}}", "{%", "%}", "{#", "\x00", "\ud800", "{% else %}", "{% endif %}", "\n", "x"]
    ),
)


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, max_size=3).map("".join)
    return st.one_of(
        st.builds(
            "{{% if {} %}}{}{{% elif {} %}}{}{{% endif %}}".format, EXPRESSIONS, body, EXPRESSIONS, body
        ),
        st.builds("{{% for {} in {} %}}{}{{% endfor %}}".format, NAMES, EXPRESSIONS, body),
        st.builds("{{% for x, y in {} %}}{}{{% else %}}{}{{% endfor %}}".format, EXPRESSIONS, body, body),
        st.builds("{{% for x in {} if {} %}}{}{{% endfor %}}".format, EXPRESSIONS, EXPRESSIONS, body),
        st.builds("{{% macro m() %}}{}{{% endmacro %}}".format, body),
        st.builds("{{% filter upper %}}{}{{% endfilter %}}".format, body),
    )


PIECES = st.recursive(
    st.one_of(
        st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
        st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
        st.builds("{{% set {} = {} %}}".format, NAMES, EXPRESSIONS),
        st.builds("{{% set n = namespace(a={}) %}}{{% set n.a = {} %}}".format, EXPRESSIONS, EXPRESSIONS),
        NOISE,
    ),
    _blocks,
    max_leaves=5,
)
SOURCES = st.builds("{} ||| {}".format, st.lists(PIECES, max_size=5).map("".join), PIECES)
HUGE = "<a number of thousands of digits>"  # which hypothesis could not print
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**18, -(10**40), 0.5, float("nan"), float("inf"), -0.0, 1e300]),
    st.text(max_size=8),
    st.sampled_from(["", "|||", "a, b", "%s%99d", "{{ a }}", "\ud800", "İß", "x" * 3000, "1", HUGE]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "append"]), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "loop", "range", "options", "x"]), VALUES, max_size=6
)


def _with_huge(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_huge(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_huge(part) for part in value]
    return 10**5000 if value == HUGE else value


def _outcome(run: Callable[[], Any]) -> Any:
    """What comes out: a value, or the message of a DataError; any other error is a failure of the test."""
    try:
        return run()
    except DataError as error:
        return str(error)


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str) else 24


def check_any_template(source: str, record: dict[str, Any], dialect: Dialect, choices: str) -> None:
    record = _with_huge(record)
    before = marshal.dumps(record, 2)
    runs, times = [], []
    for _ in range(2):
        start = time.thread_time()
        template = Template("t", source, where="f.yaml", dialect=dialect, answer_choices=choices)
        rendered = _outcome(lambda template=template: template.render(record, key="k"))
        options = _outcome(lambda template=template: template.choices(record, key="k"))
        value = _outcome(lambda: compile_expression(choices, where="f.yaml").value(record))
        times.append(time.thread_time() - start)
        runs.append(marshal.dumps((rendered, options, value), 2))
    assert min(times) < 0.5  # the other may have met the garbage collector
    assert runs[0] == runs[1]
    assert marshal.dumps(record, 2) == before
    if isinstance(rendered, tuple):
        assert all(type(text) is str for text in rendered)
        assert sum(map(len, rendered)) <= max(65_536, 4 * _size(record))
        assert template.spans(record, key="k").texts() == rendered
    else:
        assert "f.yaml" in rendered and len(rendered) < 5_000


ANY_TEMPLATE = given(SOURCES, RECORDS, st.sampled_from(DIALECTS), EXPRESSIONS | SOURCES)
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)


@settings(max_examples=300, suppress_health_check=QUIET)
@ANY_TEMPLATE
def test_any_template_gives_a_text_or_a_data_error(
    source: str, record: dict[str, Any], dialect: Dialect, choices: str
) -> None:
    check_any_template(source, record, dialect, choices)


@pytest.mark.slow
@settings(max_examples=10_000, suppress_health_check=QUIET)
@ANY_TEMPLATE
def test_ten_thousand_templates_give_a_text_or_a_data_error(
    source: str, record: dict[str, Any], dialect: Dialect, choices: str
) -> None:
    check_any_template(source, record, dialect, choices)
