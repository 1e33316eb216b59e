"""MobileNet v1 as slim has it."""

from __future__ import annotations

import numpy as np
import pytest
from test_published import shapes_in_file

from zoo import architectures


@pytest.mark.parametrize(
    ("variant", "parameters"),  # totals of the tables in slim's nets/mobilenet_v1.py
    [("mobilenetv1-100", 3_185_088), ("mobilenetv1-075", 1_800_144)],
)
def test_kernels_before_the_classifier_are_counted_as_the_publisher_counts_them(variant: str, parameters: int) -> None:
    shapes = shapes_in_file(architectures.build(variant, "slim"))
    kernels = [name for name in shapes if name.endswith("weights") and "Logits" not in name]
    assert len(kernels) == 27
    assert sum(int(np.prod(shapes[name])) for name in kernels) == parameters


def test_the_narrowest_network_has_eight_channels_where_it_has_fewest() -> None:
    params = architectures.build("mobilenetv1-025", "slim").params
    assert params["MobilenetV1/Conv2d_0/weights"].shape == (8, 3, 3, 3)
    assert params["MobilenetV1/Conv2d_1_depthwise/depthwise_weights"].shape == (8, 1, 3, 3)


def test_classes_with_background_are_read_off_the_classifier_which_is_a_convolution() -> None:
    shapes = shapes_in_file(architectures.build("mobilenetv1-050", "slim", classes=1001))
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    graph = architectures.fit("mobilenetv1-050/slim", {**arrays, "global_step": np.array(1)}, where="model.ckpt")
    assert graph.params["MobilenetV1/Logits/Conv2d_1c_1x1/weights"].shape == (1001, 512, 1, 1)
    assert list(graph.unused) == ["global_step"]
