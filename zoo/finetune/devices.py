"""Several devices of one machine: each has the weights and takes its share of every batch.

TensorFlow by tf.distribute.MirroredStrategy, JAX by keras.distribution.DataParallel. Both have to be there before
variables are made, so the last phase trains a twin of the model, whose weights are then taken over.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras

    from zoo.finetune.train import Settings
    from zoo.finetune.wishes import Wishes


def available() -> tuple[str, int]:
    """Returns (`GPU`, or `CPU` where there is no accelerator; how many) of what the Keras backend computes on."""
    names = _names()
    return ("CPU" if names[0].upper().startswith("CPU") else "GPU"), len(names)


def check(wish: Any) -> None:
    """Raises UsageError unless a wish is `auto`, `all` or a number."""
    if wish not in ("auto", "all") and _number(wish) is None:
        raise UsageError(f"devices={wish!r}: expected auto, all or a whole number of at least 1")


def choose(wish: Any, found: tuple[str, int]) -> tuple[int, str]:
    """Returns how many devices share a batch, and why.

    Args:
        wish: `auto` (all GPUs), `all` (CPUs as well, where they count as several devices), or how many.
        found: what `available` gave.

    Raises:
        UsageError: there are not so many; PyTorch.
    """
    import keras

    kind, count = found
    backend = keras.backend.backend()
    if wish == "auto":
        if kind == "CPU" or count == 1:
            return 1, ""
        if backend == "torch":
            return 1, f"of {count} GPUs; KERAS_BACKEND=jax or tensorflow uses them all"
        return count, "all GPUs, each with its share of every batch"
    number = count if wish == "all" else _number(wish) or 1
    if number > count:
        raise UsageError(f"devices={number}: {backend} sees {count} {kind}{'s' if count > 1 else ''} on this machine")
    if number > 1 and backend == "torch":
        raise UsageError(
            f"devices={number}: not with PyTorch, which wants a process for each; set KERAS_BACKEND=jax or tensorflow"
        )
    return number, "as asked"


def planned(wishes: Wishes, strategy: str, found: tuple[str, int], precision: str | None) -> tuple[int, str]:
    """Returns how many devices share each batch of a plan, and why: several where layers of the trunk are trained.

    Args:
        wishes: what was asked for.
        strategy: of the plan.
        found: what `available` gave.
        precision: the mixed precision the GPU offers.

    Raises:
        UsageError: see `choose`; what was asked for cannot be done on several.
    """
    number, why = choose(wishes.devices, found)
    if number > 1 and strategy not in ("blocks", "all"):
        return 1, "what is trained is too small to be divided"
    if wishes.devices != "auto" and number > 1:
        check_accumulation(wishes.accumulate or 1, number)
    elif number > 1 and _alone(wishes, precision):
        return (
            1,
            f"of {found[1]}: TensorFlow accumulates, scales losses and uses XLA on one only; KERAS_BACKEND=jax on all",
        )
    return number, why


def _alone(wishes: Wishes, precision: str | None) -> bool:
    """Whether TensorFlow has to do it on one device: devices cannot meet under a condition, nor within XLA."""
    import keras

    scaled = precision == "mixed_float16" and wishes.mixed_precision is not False
    return keras.backend.backend() == "tensorflow" and ((wishes.accumulate or 1) > 1 or scaled or bool(wishes.xla))


def check_accumulation(steps: int, spread: int) -> None:
    """Raises UsageError where gradients cannot be added up over several devices.

    Args:
        steps: whose gradients are added up.
        spread: devices.
    """
    import keras

    if steps > 1 and spread > 1 and keras.backend.backend() == "tensorflow":
        raise UsageError(
            f"accumulate={steps}: not on {spread} devices with TensorFlow, which updates them outside of conditions "
            f"only; set KERAS_BACKEND=jax, devices=1 or a smaller batch_size"
        )


@contextlib.contextmanager
def twin(model: keras.Model, settings: Settings, spread: int) -> Iterator[tuple[keras.Model, Settings]]:
    """Gives a copy of a model that is trained on several devices; its weights are then those of the model.

    Args:
        model: as it will be trained; it is given itself for one device.
        settings: how.
        spread: devices.

    Raises:
        UsageError: TensorFlow cannot train so on several devices.
    """
    if spread == 1:
        yield model, settings
        return
    import keras

    if keras.backend.backend() == "tensorflow":
        check_accumulation(settings.accumulate, spread)
        settings = _without_xla(settings, spread)
    with _shared(spread):
        copy = keras.models.clone_model(model)
        if keras.backend.backend() == "tensorflow":
            for layer in copy._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True  # statistics of the whole batch, as JAX has them in any case
        _assign(copy, model)
        yield copy, replace(settings, factors=_translated(settings.factors, model, copy))
    _assign(model, copy)


def _without_xla(settings: Settings, spread: int) -> Settings:
    """XLA programs run on one device: what TensorFlow divides is not compiled so."""
    if settings.xla:
        raise UsageError(f"xla=True: not on {spread} devices with TensorFlow; set KERAS_BACKEND=jax or leave it out")
    if settings.precision == "mixed_float16":
        raise UsageError(
            f"devices={spread}: not with float16 and TensorFlow, which scales the loss by conditions; set "
            f"mixed_precision=False, KERAS_BACKEND=jax or devices=1"
        )
    return replace(settings, xla=False)


def _assign(to: keras.Model, of: keras.Model) -> None:
    import keras

    for variable, other in zip(to.variables, of.variables, strict=True):
        variable.assign(keras.ops.convert_to_numpy(other))


def _translated(
    factors: Callable[[Any], float] | None, model: keras.Model, copy: keras.Model
) -> Callable[[Any], float] | None:
    if factors is None:
        return None
    known = {id(new): factors(old) for old, new in zip(model.variables, copy.variables, strict=True)}
    return lambda variable: known.get(id(variable), 1.0)


@contextlib.contextmanager
def _shared(spread: int) -> Iterator[None]:
    """Variables made in here are on every device, and batches given to `fit` are divided."""
    import keras

    names = _names()[:spread]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # NCCL is for GPUs; CPUs, which tests divide, have the plain sum.
        cross = None if names[0].startswith("GPU") else tf.distribute.ReductionToOneDevice()
        with tf.distribute.MirroredStrategy(names, cross_device_ops=cross).scope():
            yield
        return
    with keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope():
        yield


def spread_of(model: Any) -> int:
    """Returns how many devices share what a model is given now."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        return int(model.distribute_strategy.num_replicas_in_sync)
    if backend == "jax":
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else int(distribution.device_mesh.devices.size)
    return 1


def run(model: Any, batch: Any) -> Any:
    """Returns what a model gives for a batch, of which each device takes its share.

    Args:
        model: one input.
        batch: (N, ...), N a multiple of the number of devices.
    """
    import keras

    spread = spread_of(model)
    if spread == 1 or keras.backend.backend() != "tensorflow":
        return model.predict_on_batch(batch)
    import numpy as np

    # predict_on_batch would give each device the whole batch.
    shares, strategy = np.split(batch, spread), model.distribute_strategy
    divided = strategy.experimental_distribute_values_from_function(
        lambda context: shares[context.replica_id_in_sync_group]
    )
    model.make_predict_function()
    outputs = model.predict_function([(divided,)])
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def _number(wish: Any) -> int | None:
    if isinstance(wish, str) and wish.isdecimal():
        wish = int(wish)
    return wish if isinstance(wish, int) and not isinstance(wish, bool) and wish >= 1 else None


def _names() -> list[str]:
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return [f"{device.device_type}:{number}" for number, device in enumerate(found)]
    if backend == "jax":
        import jax

        return [f"{device.platform}:{device.id}" for device in jax.local_devices()]
    torch = importlib.import_module("torch")
    count = torch.cuda.device_count()
    return [f"GPU:{number}" for number in range(count)] or ["CPU:0"]
