"""YAML that others wrote: plain data, in bounds that are checked while it is read.

PyYAML ends the process on deep nesting (libyaml's composer recurses in C) and hands out lists that hold each other, so
that a kilobyte of aliases is a billion entries to whoever walks them. Here only the events of the parser are taken,
which it makes one at a time, and the data is built of them without recursion, in 60 % of the time, too.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_NODES: Final = 250_000
"""Scalars, lists and mappings, with those that aliases repeat; long text counts as several. The largest vocabulary has
20,000, a thorough tuning less than 100,000."""

DEEPEST: Final = 100
"""Levels of nesting."""

_CHARACTERS = 64  # of text that count as one node
_LONGEST = 100  # characters of a number or date
_LARGEST = 1 << 63  # which no setting reaches; and larger keys can be made to have one and the same hash
_MAX_DIRECTIVES = 10  # libyaml compares each with all
_LINE_ENDS = "\n\r\x85\u2028\u2029"

_TAG = "tag:yaml.org,2002:"
_TEXT = frozenset({"!", *(_TAG + kind for kind in ("str", "value", "merge"))})  # "=" and "<<" where they mean nothing
_KINDS = {_TAG + kind: kind for kind in ("null", "bool", "int", "float", "binary", "timestamp")}
_MERGE = object()  # in the place of a key: the values are mappings whose entries belong to this one


def read_yaml(data: bytes) -> Any:  # noqa: ANN401 - YAML
    """Return the plain data that a YAML document holds, as ``yaml.safe_load`` does; None if it is empty.

    Raises:
        ValueError: It is no YAML in UTF-8 or UTF-16, holds several documents, or more or deeper than a file of settings
            does, or contains itself; a phrase that names the line.
    """
    import yaml  # noqa: PLC0415 - `import ocrhpi` is light

    text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    if sum(text.count(f"{end}%") for end in _LINE_ENDS) > _MAX_DIRECTIVES:
        raise ValueError(f"more than {_MAX_DIRECTIVES} directives")
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            return _Builder(loader).build()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


class _Open:
    """A list or mapping whose end has not come."""

    __slots__ = ("anchor", "before", "height", "into", "key", "keyed", "merged")

    def __init__(self, into: list[Any] | dict[Any, Any], anchor: str | None, before: int) -> None:
        self.into = into
        self.anchor = anchor
        self.before = before  # nodes before it
        self.height = 0  # levels within it
        self.key: Any = None
        self.keyed = False  # whether the key is there, and its value is to come
        self.merged: list[Mapping[Any, Any]] = []


class _Builder:
    """Builds the data of one document.

    Args:
        loader: One of PyYAML's safe loaders.
    """

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 - of two kinds
        import yaml  # noqa: PLC0415

        self._loader = loader
        self._scalar_node = yaml.ScalarNode
        self._meaning = frozenset(loader.yaml_implicit_resolvers)  # first characters of what may be more than text
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}  # value, nodes, and levels
        self._nodes = 0
        self._documents = 0
        self._result: Any = None
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._start_list,
            yaml.MappingStartEvent: self._start_mapping,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.DocumentStartEvent: self._document,
        }

    def build(self) -> Any:  # noqa: ANN401 - YAML
        """Return it."""
        event = self._loader.get_event()
        while event is not None:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
            event = self._loader.get_event()
        return self._result

    def _document(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's are of no common type
        self._documents += 1
        if self._documents > 1:
            raise _fault(event, "another document begins; expected one")

    def _scalar(self, event: Any) -> None:  # noqa: ANN401
        value = event.value
        nodes = 1 + len(value) // _CHARACTERS
        self._count(event, nodes)
        if event.tag is not None or (event.implicit[0] and value[:1] in self._meaning):
            value = self._meant(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, nodes, 0
        self._put(event, value, 0)

    def _meant(self, event: Any) -> Any:  # noqa: ANN401
        """Return what a scalar stands for that has a tag, or looks like a number or the like."""
        text, tag = event.value, event.tag
        if tag is None and len(text) > _LONGEST:
            return text
        node = self._scalar_node
        tag = self._loader.resolve(node, text, event.implicit) if tag is None else tag
        if tag == f"{_TAG}merge" and self._wants_key():
            return _MERGE
        if tag in _TEXT:
            return text
        kind = _KINDS.get(tag)
        if kind is None:
            raise _fault(event, f"the tag {tag!r:.80} has no meaning here")
        if kind != "binary" and len(text) > _LONGEST:
            raise _fault(event, f"{text!r:.60} makes no {kind}")
        try:
            value = self._loader.yaml_constructors[tag](self._loader, node(tag, text))
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:  # text of another kind
            raise _fault(event, f"{text!r:.60} makes no {kind} ({error})") from error
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise _fault(event, f"the number {text:.60} is too large")
        return value

    def _alias(self, event: Any) -> None:  # noqa: ANN401
        if event.anchor not in self._anchors:
            raise _fault(event, f"the alias *{event.anchor:.40} stands for nothing before it, or for what it is in")
        value, nodes, height = self._anchors[event.anchor]
        self._count(event, nodes)
        if len(self._open) + height > DEEPEST:
            raise _too_deep(event)
        self._put(event, value, height)

    def _start_list(self, event: Any) -> None:  # noqa: ANN401
        self._start(event, [], "seq")

    def _start_mapping(self, event: Any) -> None:  # noqa: ANN401
        self._start(event, {}, "map")

    def _start(self, event: Any, into: list[Any] | dict[Any, Any], kind: str) -> None:  # noqa: ANN401
        if event.tag not in {None, "!", _TAG + kind}:
            raise _fault(event, f"the tag {event.tag!r:.80} has no meaning here")
        self._open.append(_Open(into, event.anchor, self._nodes))
        self._count(event, 1)
        if len(self._open) > DEEPEST:
            raise _too_deep(event)

    def _end(self, event: Any) -> None:  # noqa: ANN401
        ended = self._open.pop()
        value, height = ended.into, ended.height + 1
        if ended.merged and isinstance(value, dict):
            value = {key: one for mapping in (*ended.merged, value) for key, one in mapping.items()}
        if ended.anchor is not None:
            self._anchors[ended.anchor] = value, self._nodes - ended.before, height
        self._put(event, value, height)

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].into, dict) and not self._open[-1].keyed

    def _put(self, event: Any, value: Any, height: int) -> None:  # noqa: ANN401
        """Put a whole value where it belongs."""
        if not self._open:
            self._result = value
            return
        top = self._open[-1]
        top.height = max(top.height, height)
        if isinstance(top.into, list):
            top.into.append(value)
        elif not top.keyed:
            if isinstance(value, (list, dict)):
                raise _fault(event, "a list or mapping cannot be a key")
            top.key, top.keyed = value, True
        else:
            if top.key is _MERGE:
                top.merged += _mappings(event, value)
            else:
                top.into[top.key] = value
            top.keyed = False

    def _count(self, event: Any, nodes: int) -> None:  # noqa: ANN401
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _fault(event, f"more than {MAX_NODES} values, with those that aliases repeat")


def _mappings(event: Any, value: Any) -> list[Mapping[Any, Any]]:  # noqa: ANN401
    """Return what ``<<`` merges, the last one wins: of a list, the first."""
    mappings = value[::-1] if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in mappings):
        raise _fault(event, "'<<' takes a mapping, or a list of these")
    return mappings


def _too_deep(event: Any) -> ValueError:  # noqa: ANN401
    return _fault(event, f"nested more than {DEEPEST} levels deep")


def _fault(event: Any, problem: str) -> ValueError:  # noqa: ANN401
    return ValueError(f"line {event.start_mark.line + 1}: {problem}")
