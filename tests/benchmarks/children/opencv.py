"""`opencv.py PROTOTXT CAFFEMODEL`: OpenCV loads a Caffe network."""

from __future__ import annotations

import sys
import time

import cv2
from protocol import forget_peak, resident, tell

forget_peak()
before, start = resident("VmRSS"), time.perf_counter()
cv2.dnn.readNetFromCaffe(sys.argv[1], sys.argv[2])
tell(seconds=time.perf_counter() - start, memory=resident("VmHWM") - before)
