"""Test the count of distinct frames among repeated ones."""

import itertools

import pytest

from harness.analysis.repeated import least_frames


@pytest.mark.parametrize(("frames", "images"), [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (2, 2)])
def test_the_least_number_of_frames_is_that_of_every_choice_of_images(frames, images):
    """The count is never above, and in the worst case equal to, the distinct frames of the aligned images."""
    repeated = [n % frames for n in range(images)]
    for aligned in range(images + 1):
        possible = {len(set(chosen)) for chosen in itertools.combinations(repeated, aligned)}
        assert least_frames(frames, images, aligned) == min(possible)
