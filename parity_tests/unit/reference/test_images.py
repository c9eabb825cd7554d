"""The images of one call: each derived thing is made once for each image."""

from __future__ import annotations

import numpy as np

from auparity.reference.images import Images

COLOUR = [np.full((4, 5, 3), 10, np.uint8), np.full((6, 7, 3), 20, np.uint8)]


def test_what_is_derived_is_made_once_for_each_image_and_maker():
    made = []

    def brightness(image):
        made.append(image)
        return image.mean(axis=2)

    images = Images(COLOUR)
    first = images.derived(brightness, 0)
    assert first.shape == (4, 5)
    assert images.derived(brightness, 0) is first
    assert images.derived(brightness, 1)[0, 0] == 20
    assert [image is given for image, given in zip(made, COLOUR, strict=True)] == [True, True]
    assert images.derived(np.negative, 0)[0, 0, 0] == 246  # another maker, another thing
    assert len(made) == 2


def test_they_are_a_sequence_of_what_was_given():
    images = Images(COLOUR)
    assert len(images) == 2
    assert images[1] is COLOUR[1]
    assert [image is given for image, given in zip(images, COLOUR, strict=True)] == [True, True]


def test_images_stay_the_same_object_and_anything_else_becomes_one():
    images = Images(COLOUR)
    assert Images.of(images) is images
    made = Images.of(np.stack([COLOUR[0]] * 3))
    assert isinstance(made, Images)
    assert len(made) == 3
