"""`onnx2tf_convert.py ONNX FOLDER`: onnx2tf writes a TensorFlow model; its import is not counted."""

from __future__ import annotations

import sys
import time

import numpy as np
import onnx2tf
from protocol import forget_peak, resident, tell


def pictures() -> np.ndarray:
    """Stands for the twenty images that onnx2tf would download to compare outputs on."""
    return np.random.default_rng(0).uniform(0, 1, (20, 128, 128, 3)).astype(np.float32)


for module in list(sys.modules.values()):
    if module.__name__.startswith("onnx2tf") and hasattr(module, "download_test_image_data"):
        module.download_test_image_data = pictures

forget_peak()
before, start = resident("VmRSS"), time.perf_counter()
onnx2tf.convert(
    input_onnx_file_path=sys.argv[1],
    output_folder_path=sys.argv[2],
    copy_onnx_input_output_names_to_tflite=False,
    non_verbose=True,
)
tell(seconds=time.perf_counter() - start, memory=resident("VmHWM") - before)
