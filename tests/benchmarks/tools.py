"""The packages of the other tools, each set in a virtual environment of its own that pip fills on first use."""

from __future__ import annotations

import json
import subprocess
import sys

from harness import ROOT, NotMeasured

PLACE = ROOT / ".venv-bench"
SETS: dict[str, list[list[str]]] = {
    # torchvision and timm state a PyTorch of their own choice: they take the one that is there.
    "tools": [
        [
            "opencv-python-headless<5",
            "torch==2.13.0",
            "pooch==1.9.0",
            "huggingface_hub",
            "pyyaml",
            "safetensors",
            "pillow",
        ],
        ["--no-deps", "torchvision==0.28.0", "timm==1.0.31"],
    ],
    "onnx2tf": [["onnx2tf"]],
    # nobuco 0.17.0 needs Keras 2.
    "nobuco": [
        ["nobuco==0.17.0", "torch==2.13.0", "tensorflow==2.15.1", "keras==2.15.0", "numpy<2", "pillow"],
        ["--no-deps", "torchvision==0.28.0"],
    ],
}
"""Name -> what pip is told, one list after the other."""
NAMED = (
    "huggingface_hub", "nobuco", "onnx", "onnx2tf", "opencv-python-headless", "pooch", "tensorflow", "timm", "torch",
    "torchvision",
)  # fmt: skip
"""Packages whose versions the table names."""
_failed: dict[str, str] = {}


def interpreter(name: str) -> str:
    """Returns the Python that has a set of packages, installed now if need be.

    Raises:
        NotMeasured: pip cannot install them.
    """
    python, done = PLACE / name / "bin" / "python", PLACE / name / "installed.txt"
    wanted = "\n".join(" ".join(packages) for packages in SETS[name])
    if done.exists() and done.read_text() == wanted:
        return str(python)
    if name in _failed:
        raise NotMeasured(_failed[name])
    print(f"installing {wanted!r} into {PLACE / name}", file=sys.stderr, flush=True)
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(PLACE / name)])
        for packages in SETS[name]:
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    except NotMeasured as error:
        _failed[name] = str(error)
        raise
    done.write_text(wanted)
    return str(python)


def versions() -> dict[str, str]:
    """Returns `package (set)` -> version of what the installed sets were made for."""
    found: dict[str, str] = {}
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    for name in SETS:
        if (PLACE / name / "installed.txt").exists():
            python = PLACE / name / "bin" / "python"
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
            there = json.loads(done.stdout)
            found |= {f"{package} ({name})": there[package] for package in NAMED if package in there}
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise NotMeasured(f"cannot be installed: {said[-1][:200] if said else f'pip ended with {done.returncode}'}")
