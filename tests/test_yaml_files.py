"""YAML in bounds: the same data as PyYAML's, and a sentence for what would hang or end the process."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrhpi.yaml_files import DEEPEST, MAX_NODES, read_yaml

GRIDS = sorted((Path(__file__).parents[1] / "backend_configs").glob("*.yaml"))

SAME = [
    *("", "# nothing", "---\n", "~", "a", "1", "[]", "{}", "--- a\n...\n", "%YAML 1.1\n--- [a]\n"),
    "[1, -2, 0x1F, 0b11, 017, 1_000, 1:30, 1.5, .5, 1.0e+3, 1e3, .inf, -.inf, ~, null, yes, No, on, TRUE]",
    "['1', \"yes\", '~', '', \"\\u00e9\\x41\", 'it''s']",
    "[2001-01-01, 2001-12-14t21:59:43.10-05:00, 2001-12-14 21:59:43]",
    "[!!str 12, !!int '12', !!float '3', !!bool 'yes', !!null '', !!binary aGVsbG8=, !!timestamp 2001-01-01]",
    "a: !!seq [1]\nb: !!map {c: 1}\n",
    "- |\n  as it\n   is\n- >\n  folded\n  text\n- |-\n  x\n-\n- - a\n  - b\n",
    "? a\n: b\n? c\n",
    "1: x\ntrue: y\n~: z\n2001-01-01: q\n1.5: r\n",
    "a: 1\na: 2\n",
    "- &a [1, {b: 2}]\n- *a\n- &s text\n- *s\n- {k: *a, *s : 1}\n",
    "&a x: *a\n",
    "a: &x {b: 1, c: 2}\nd:\n  c: 3\n  <<: *x\n  e: 4\n",
    "x: &x {b: 1}\ny: &y {b: 2, q: 1}\nd:\n  c: 3\n  <<: [*x, *y]\n  q: 5\n",
    "d: {<<: {a: 1}, <<: {a: 2, b: 1}}\n",
    "d: &d {<<: {a: 1}}\ne: {<<: *d, b: 2}\n",
    "d:\n  '<<': 1\n",
    "字: [é, 😀, '\\']\n",
]


def same(one: Any, other: Any) -> bool:
    return one == other and repr(one) == repr(other)  # in the same order, and 1 is not true


@pytest.mark.parametrize("text", SAME)
def test_what_pyyaml_reads(text: str) -> None:
    expected = yaml.safe_load(text)
    assert same(read_yaml(text.encode()), expected)
    for encoding in ("utf-8-sig", "utf-16"):
        assert same(read_yaml(text.encode(encoding)), expected)


def test_shared_lists_and_merges_are_not_copied() -> None:
    first, second = read_yaml(b"[&a [1], *a]")
    assert first is second
    assert math.isnan(read_yaml(b".nan"))


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_our_own_files(path: Path) -> None:
    assert same(read_yaml(path.read_bytes()), yaml.safe_load(path.read_text("utf-8")))


LEAVES = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text() | st.dates()
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(data=DATA, flow=st.booleans())
def test_what_pyyaml_writes(data: Any, *, flow: bool) -> None:
    text = yaml.safe_dump([data, data], allow_unicode=True, default_flow_style=flow, sort_keys=False)
    # Not the data itself, since PyYAML loses rare line ends.
    expected = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe one
    assert same(read_yaml(text.encode()), expected)


def test_of_characters_that_mean_something_elsewhere() -> None:
    """A vocabulary may hold them unquoted; PyYAML has no idea what to make of the first two."""
    assert read_yaml(b"[=, <<, '<<']") == ["=", "<<", "<<"]


def laughs(levels: int) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * 10)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def nested_by_aliases(levels: int) -> str:
    return "\n".join(["- &a0 []", *(f"- &a{n} [*a{n - 1}]" for n in range(1, levels))])


TOO_MUCH = f"more than {MAX_NODES} values"
TOO_DEEP = f"nested more than {DEEPEST} levels deep"
BAD = [
    (laughs(12), f"line 6: {TOO_MUCH}"),
    (laughs(12).replace("[", "{? ").replace("]", "}").replace(", ", ", ? "), "a list or mapping cannot be a key"),
    (f"a: &a '{'x' * 100_000}'\nb: [{'*a, ' * 1000}]", TOO_MUCH),
    ("a: &a {b: 1}\n" + "c:\n" + "  <<: *a\n" * MAX_NODES, TOO_MUCH),
    ("[" * 100_000, f"line 1: {TOO_DEEP}"),
    ("[" * 100_000 + "]" * 100_000, TOO_DEEP),
    ("{a: " * 100_000, TOO_DEEP),
    ("- " * 100_000, TOO_DEEP),
    ("? " * 100_000, TOO_DEEP),
    ("".join(f"{' ' * n}a:\n" for n in range(300)), TOO_DEEP),
    (nested_by_aliases(102), TOO_DEEP),
    ("&a [*a]", r"the alias \*a stands for nothing before it, or for what it is in"),
    ("[*b]", r"the alias \*b stands for nothing"),
    ("- 1\n" * (MAX_NODES + 1), f"line {MAX_NODES}: {TOO_MUCH}"),
    ("%TAG !a! b\n" * 100_000, "more than 10 directives"),
    ("a: 1\nb: 2024-13-45\n", r"line 2: '2024-13-45' makes no timestamp \(month must be in 1\.\.12\)"),
    (f"a: {'9' * 60}", "the number 9* is too large"),
    (f"a: 0x{'f' * 90}", "the number 0xf* is too large"),
    (f"a: 1{':59' * 30}", "is too large"),
    (f"!!int '{'9' * 5000}'", "'9*.* makes no int"),
    (f"!!float '{'1:' * 60}1'", "makes no float"),
    *((f"!!{kind} ''", f"'' makes no {kind}") for kind in ("int", "float", "bool", "timestamp")),
    ("!!bool maybe", "'maybe' makes no bool"),
    ("!!python/object/apply:os.system [ls]", "the tag .*os.system' has no meaning here"),
    ("!!set {a, b}", "the tag .*set' has no meaning here"),
    ("!own text", "the tag '!own' has no meaning here"),
    ("? [a]\n: b", "a list or mapping cannot be a key"),
    ("a: {<<: 1}", "'<<' takes a mapping, or a list of these"),
    ("--- a\n--- b\n", "line 2: another document begins; expected one"),
    ("a: b: c", "mapping values are not allowed"),
    ("[a", "did not find expected"),
    ("a: '\0'", "not allowed"),
]


@pytest.mark.parametrize(("text", "problem"), BAD, ids=lambda text: ascii(text[:12]))
def test_what_is_refused_is_refused_in_a_sentence_and_soon(text: str, problem: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=problem) as caught:
        read_yaml(text.encode())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - began < 20  # of a second each


def test_bytes_that_are_no_text() -> None:
    for data in (b"a: \xff", b"\xff\xfea\x00b", "a: é".encode("latin-1")):
        with pytest.raises(ValueError, match="codec can't decode"):
            read_yaml(data)


def test_up_to_the_bounds() -> None:
    assert len(read_yaml(b"- 1\n" * (MAX_NODES - 1))) == MAX_NODES - 1
    read_yaml(("[" * DEEPEST + "]" * DEEPEST).encode())
    read_yaml(nested_by_aliases(DEEPEST - 1).encode())
    assert len(read_yaml(b"a: " + b"x" * 1_000_000)["a"]) == 1_000_000


@pytest.mark.parametrize("text", [*SAME, *(text for text, _ in BAD if len(text) < 1000)], ids=ascii)
def test_where_pyyaml_has_no_parser_in_c(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        expected = read_yaml(text.encode())
    except ValueError:
        expected = ValueError
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    try:
        assert same(read_yaml(text.encode()), expected)
    except ValueError:
        assert expected is ValueError
