from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocrhpi.integrations.paddlex.patches import Changes


def test_all_is_as_before_after_undo() -> None:
    owner, mapping, values, calls = SimpleNamespace(x=1), {"a": 1}, [1], []
    changes = Changes()
    changes.set_attribute(owner, "x", 2)
    changes.set_attribute(owner, "x", 3)
    changes.set_item(mapping, "a", 2)
    changes.set_item(mapping, "b", 2)
    changes.append(values, 2)
    changes.call(lambda: calls.append("called"))
    assert (owner.x, mapping, values, calls) == (3, {"a": 2, "b": 2}, [1, 2], ["called"])
    changes.undo()
    assert (owner.x, mapping, values, calls) == (1, {"a": 1}, [1], ["called"] * 2)
    changes.undo()
    assert calls == ["called"] * 2


def test_adopted_changes_are_undone_with_the_others() -> None:
    values = [1]
    first, second = Changes(), Changes()
    first.append(values, 2)
    second.append(values, 3)
    first.adopt(second)
    second.undo()
    assert values == [1, 2, 3]
    first.undo()
    assert values == [1]


def test_an_attribute_that_is_not_there_is_not_made() -> None:
    owner = SimpleNamespace()
    with pytest.raises(AttributeError):
        Changes().set_attribute(owner, "x", 1)
    assert vars(owner) == {}
