"""`onnx2tf_convert.py ONNX FOLDER`: onnx2tf writes a TensorFlow model; its import is not counted."""

from __future__ import annotations

import sys
import time

import onnx2tf
from protocol import forget_peak, resident, tell

forget_peak()
before, start = resident("VmRSS"), time.perf_counter()
onnx2tf.convert(
    input_onnx_file_path=sys.argv[1],
    output_folder_path=sys.argv[2],
    copy_onnx_input_output_names_to_tflite=False,
    non_verbose=True,
)
tell(seconds=time.perf_counter() - start, memory=resident("VmHWM") - before)
