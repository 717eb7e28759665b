from __future__ import annotations

import pytest

from ocrhpi.backends.trt.request import Placement, Profile, input_shape, place, plan_profiles
from ocrhpi.values import InputSpec

BUCKETS = (Profile(16, 320, 320), Profile(8, 640, 640), Profile(1, 3200, 3200))
RANGES = plan_profiles((), InputSpec())


def test_each_width_gets_a_profile_from_narrow_to_wide() -> None:
    assert plan_profiles([(1, 3200), (16, 320), (8, 640)], InputSpec()) == BUCKETS


def test_a_width_that_comes_twice_gets_one_profile_for_the_most_lines() -> None:
    assert plan_profiles([(4, 320), (8, 320)], InputSpec()) == (Profile(8, 320, 320),)


def test_without_shapes_ranges_hold_every_width_once() -> None:
    assert [(profile.narrowest, profile.width) for profile in RANGES] == [
        (32, 320),
        (321, 640),
        (641, 1280),
        (1281, 3200),
    ]
    assert [profile.lines for profile in RANGES] == [8, 4, 2, 1]


def test_ranges_end_at_the_widest_line() -> None:
    profiles = plan_profiles((), InputSpec(max_width=640))
    assert [(profile.narrowest, profile.width) for profile in profiles] == [(32, 320), (321, 640)]


def test_a_model_that_stretches_lines_has_one_width() -> None:
    assert plan_profiles((), InputSpec(stretch_width=100)) == (Profile(25, 100, 100),)


@pytest.mark.parametrize("may_pad", [True, False])
def test_widths_of_a_profile_run_as_they_are(may_pad: bool) -> None:
    assert place(640, BUCKETS, may_pad=may_pad) == Placement(1, 8, 640)
    assert place(333, RANGES, may_pad=may_pad) == Placement(1, 4, 333)


@pytest.mark.parametrize(("width", "profiles", "padded"), [(321, BUCKETS, 640), (1, BUCKETS, 320), (5, RANGES, 32)])
def test_other_widths_are_padded_where_that_changes_nothing_and_refused_elsewhere(
    width: int, profiles: tuple[Profile, ...], padded: int
) -> None:
    placement = place(width, profiles, may_pad=True)
    assert placement is not None
    assert placement.width == padded
    assert place(width, profiles, may_pad=False) is None


def test_wider_lines_than_the_widest_profile_are_refused() -> None:
    assert place(3201, BUCKETS, may_pad=True) is None


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("x", (2, 3, 48, 320)),
        ("pixels", (2, 48, 320, 3)),
        ("contents", (2,)),
        ("widths", (2,)),
        ("image", (2, 3, 48, 320)),
    ],
)
def test_shapes_of_inputs(name: str, shape: tuple[int, ...]) -> None:
    assert input_shape(name, 2, 320, 48) == shape


@pytest.mark.parametrize(("profile", "text"), [(BUCKETS[0], "1 to 16 x 320"), (RANGES[1], "1 to 4 x 321 to 640")])
def test_profiles_are_told_in_words(profile: Profile, text: str) -> None:
    assert str(profile) == text
