"""Features by a real Ray cluster of two machines, both of them this one; skipped where Ray is not installed."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import save_digits

from zoo.errors import DataError
from zoo.finetune import data as data_module
from zoo.finetune import spread as spread_module
from zoo.finetune.base import load
from zoo.finetune.cluster import Cluster
from zoo.finetune.features import Extraction, depths
from zoo.finetune.pictures import Pictures
from zoo.finetune.scratch import Scratch
from zoo.finetune.spread import Pass, Reader, Spread, Worker
from zoo.finetune.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'convnet-zoo[ray]'")
if not hasattr(ray, "init"):  # a folder named ray is no Ray
    pytest.skip("Ray is not installed: pip install 'convnet-zoo[ray]'", allow_module_level=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each."""
    from ray import cloudpickle
    from ray.cluster_utils import Cluster as Machines

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        machines = Machines(initialize_head=True, head_node_args=node)
        machines.add_node(num_cpus=1, object_store_memory=node["object_store_memory"])
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        ray.init(address=machines.address, log_to_driver=False, logging_level=logging.ERROR)
        yield machines
        ray.shutdown()
        machines.shutdown()


class Watched:
    """Opens images in workers; notes on which machines, waits for a second one, and kills one process on the way."""

    def __init__(self, opener: Any, notes: Path) -> None:
        self._opener, self._notes, self._driver = opener, notes, os.getpid()

    def __call__(self, position: int) -> Any:
        assert os.getpid() != self._driver, "this machine's own process opened an image"
        (self._notes / f"node-{ray.get_runtime_context().get_node_id()}").touch()
        deadline = time.monotonic() + 15
        while len(list(self._notes.glob("node-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        if position == 200:
            with contextlib.suppress(FileExistsError):
                (self._notes / "killed").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return self._opener(position)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen batches of images."""
    return save_digits(tmp_path_factory.mktemp("many") / "data", 3, 150)


def extraction(base: Any, dataset: Any, folder: Path, spread: bool) -> Extraction:
    images = Pictures(dataset, base.preprocessing, Scratch(), progress=False)
    work = Extraction(base.model, images, dataset.digests, Store(folder), 3, progress=False)
    if spread:
        work.spread = Spread(Cluster("auto"), dataset, base.preprocessing, progress=False)
    return work


def same(there: dict[str, np.ndarray], here: dict[str, np.ndarray]) -> None:
    assert list(there) == list(here)
    for name, values in here.items():
        assert there[name].dtype == values.dtype
        np.testing.assert_allclose(there[name], values, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("cluster")
def test_workers_on_two_machines_give_the_same_features_though_one_is_killed(
    many: Path, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread_module, "WORTH", 0.0)
    base, dataset = load(network, True), data_module.index(many, progress=False)
    tensors, positions = depths(base.model), np.arange(len(dataset.items))[::-1].copy()
    here = extraction(base, dataset, tmp_path / "here", spread=False)(tensors, positions)
    watched = replace(dataset, opener=Watched(dataset.opener, tmp_path))
    monkeypatch.setattr(spread_module, "_see", lambda ray, opener, digests: True)
    there = extraction(base, watched, tmp_path / "there", spread=True)(tensors, positions)
    same(there, here)
    assert (tmp_path / "killed").exists()
    assert len(list(tmp_path.glob("node-*"))) == 2
    # The same keys: what the cluster computed is found by a run without one.
    assert {path.name for path in (tmp_path / "there").iterdir()} == {
        path.name for path in (tmp_path / "here").iterdir()
    }
    again = extraction(base, watched, tmp_path / "there", spread=False)(tensors, positions)
    same(again, here)


@pytest.mark.usefixtures("cluster")
def test_images_that_workers_do_not_see_are_sent_and_changed_views_are_the_same(
    many: Path, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread_module, "WORTH", 0.0)
    found = data_module.index(many, progress=False)
    pixels = np.stack([np.asarray(found.open(number)) for number in range(70)])
    dataset = data_module.index((pixels, [found.classes[0]] * 40 + [found.classes[1]] * 30), progress=False)
    base, positions = load(network, True), np.arange(70)
    tensors, kinds = depths(base.model), ("translate", "flip")
    here = extraction(base, dataset, tmp_path / "here", spread=False)(tensors, positions, 2, kinds)
    there = extraction(base, dataset, tmp_path / "there", spread=True)(tensors, positions, 2, kinds)
    same(there, here)


def test_an_image_that_is_gone_and_another_keras_are_told_by_the_worker(
    few: Path, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    base, dataset = load(network, True), data_module.index(few, progress=False)
    (few / dataset.items[5]).write_bytes(b"")
    job = Pass(np.arange(len(dataset.items)), 32, (), 0, 0)
    held = [base.model, job, Reader(dataset.opener, dataset.items, base.preprocessing)]
    backend = keras.backend.backend()
    row = Worker(held, ["float32"], keras.__version__, {}, backend)({"number": np.array([0])})
    error = spread_module.told(row["error"][0])
    assert isinstance(error, DataError)
    assert re.search(rf"^{dataset.items[5]}: could be read a moment ago and on .* cannot", str(error))
    row = Worker(held, ["float32"], "2.0", {}, backend)({"number": np.array([0])})
    error = spread_module.told(row["error"][0])
    assert f"this machine 2.0 on {backend}; install the same" in str(error)
