"""The card: everything zoo knows about one pretrained model, validated.

A card is read from TOML (see `zoo.registry`). There are no defaults for facts that change numbers: a field left out
refuses the card, and a fact that no source gives is written `"unknown"`. Ranges and orders follow the origin:
`y = (x - mean) / std` with `x` in `value_range` and in `channel_order`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from zoo.errors import UnknownFactError
from zoo.files import File, PositiveInt, Unknown
from zoo.sources import GraphSource, Source, Strict, UnsupportedSource

Nothing = Literal["none"]
Origin = Literal["caffe", "keras", "tensorflow", "torch", "mxnet"]
Status = Literal["verified", "convertible", "unverified", "unsupported"]
"""verified: its numbers were compared with the origin framework's (`check`); convertible: the same network's were, with
other weights; unverified: zoo has the means to convert it, nothing was compared; unsupported: it has not, yet."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")
CHANNELS = {"RGB": "R, G, B", "BGR": "B, G, R", "gray": "L"}
_SPDX = """
    0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear
    BSL-1.0 CC-BY-3.0 CC-BY-4.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 CC-BY-SA-3.0
    CC-BY-SA-4.0 CC0-1.0 ECL-2.0 EPL-2.0 GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 MS-PL ODC-By-1.0 ODbL-1.0 OFL-1.1 PDDL-1.0
    Unlicense WTFPL Zlib
"""
SPDX = frozenset(_SPDX.split())
"""Licences a card may name without explaining them in `note`."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class ShortSide(Strict):
    """Scale so that the shorter side is `size`, aspect kept, then cut the central square of the card's size."""

    kind: Literal["short-side"]
    size: int = Field(gt=0)
    """Pixels of the shorter side."""


class Square(Strict):
    """Scale to `size` x `size`, aspect lost, then cut the central square of the card's size."""

    kind: Literal["square"]
    size: int = Field(gt=0)
    """Pixels of either side."""


class CropFraction(Strict):
    """Cut the central `fraction` of both sides, then scale to the card's size, aspect lost."""

    kind: Literal["crop-fraction"]
    fraction: float = Field(gt=0, le=1)
    """Of either side, 0 to 1."""


class CropPadding(Strict):
    """Cut the central square of short side x side / (side + `padding`), then scale to the card's size."""

    kind: Literal["crop-padding"]
    padding: int = Field(ge=0)
    """Pixels, at the card's size."""


Resize = Annotated[ShortSide | Square | CropFraction | CropPadding, Field(discriminator="kind")]


class MeanFile(Strict):
    """A mean image: one value per pixel and channel."""

    file: str
    """Key in `files` of the mean image."""


class Preprocessing(Strict):
    """From an RGB image to the array the origin network takes. Nothing here has a default."""

    height: PositiveInt | Unknown
    """Rows of the network's input, pixels."""
    width: PositiveInt | Unknown
    """Columns of the network's input, pixels."""
    channel_order: Literal["RGB", "BGR", "gray"] | Unknown
    """Order of the colours in the array the origin network takes."""
    value_range: tuple[float, float] | Unknown
    """Range of a pixel before mean and std: [0, 255] or [0, 1]."""
    mean: tuple[float, ...] | MeanFile | Nothing | Unknown
    """Subtracted; one number per channel in `channel_order` on `value_range`, or a mean image."""
    std: tuple[float, ...] | Nothing | Unknown
    """Divided by, after the mean; one number per channel in `channel_order` on `value_range`."""
    resize: Resize | Unknown
    """How an image of any size becomes one of the network's."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "area"] | Unknown
    """Which neighbours that resize took into account."""
    library: Literal["pil", "opencv", "tensorflow", "torchvision", "skimage"] | Unknown
    """Library that resized when the published accuracy was measured; two libraries' bilinear are not the same."""
    antialias: bool | Unknown
    """Whether that resize widened its kernel when it shrank."""

    @field_validator("value_range")
    @classmethod
    def _range(cls, value: Any) -> Any:
        if value != "unknown" and value not in ((0.0, 1.0), (0.0, 255.0)):
            raise ValueError(f"expected [0, 1] or [0, 255], got {list(value)}")
        return value

    @model_validator(mode="after")
    def _one_number_per_channel(self) -> Preprocessing:
        if isinstance(self.std, tuple) and (not self.std or min(self.std) <= 0):
            raise ValueError(f"std: expected numbers above 0, got {list(self.std)}")
        side = max((side for side in (self.height, self.width) if side != "unknown"), default=0)
        if isinstance(self.resize, ShortSide | Square) and self.resize.size < side:
            raise ValueError(
                f"resize.size: expected at least {side}, the side that is cut out of it, got {self.resize.size}"
            )
        if self.channel_order == "unknown":
            return self
        count = 1 if self.channel_order == "gray" else 3
        for key in ("mean", "std"):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != count:
                numbers = "1 number" if count == 1 else f"{count} numbers"
                raise ValueError(f"{key}: expected {numbers} ({CHANNELS[self.channel_order]}), got {len(value)}")
        return self

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the network's input, pixels.

        Raises:
            UnknownFactError: no source gives them, and the caller did not either.
        """
        if self.height == "unknown" or self.width == "unknown":
            raise UnknownFactError(
                "preprocessing: no source gives the size of the network's input; state it (--height 224 --width 224)"
            )
        return self.height, self.width

    @property
    def unknown(self) -> list[str]:
        """Names of the fields that no source gives."""
        return [name for name in type(self).model_fields if getattr(self, name) == "unknown"]


class Labels(Strict):
    """What the outputs mean."""

    count: PositiveInt | Unknown
    """Number of outputs."""
    list: str | Unknown
    """Stem of a file in registry/labels: one line per class, `id<TAB>name`."""
    offset: int = Field(default=0, ge=0)
    """Index of the list's first class: 1 where output 0 is a background class."""
    names: tuple[tuple[str, str], ...] | None = None
    """(id, name) per output, where no list has them: a network trained on classes of its own."""

    @field_validator("list")
    @classmethod
    def _stem(cls, stem: str) -> str:
        if not NAME.match(stem):
            raise ValueError(f"expected the stem of a file in registry/labels, such as 'imagenet-2012', got {stem!a}")
        return stem

    @model_validator(mode="after")
    def _one_name_per_output(self) -> Labels:
        if self.names is not None and (self.list != "unknown" or len(self.names) != self.count):
            raise ValueError(f"names: expected {self.count} pairs of id and name and no list, got {len(self.names)}")
        return self


class Metric(Strict):
    """One published measurement."""

    dataset: str
    """What it was measured on: `ILSVRC2012 validation`."""
    top1: Fraction | Unknown
    """Fraction of images whose first answer is right."""
    top5: Fraction | Unknown
    """Fraction of images whose first five answers hold the right one."""
    protocol: str
    """How it was measured: crops, size, precision, by whom."""
    source: str
    """Page or file that states it, with commit or version."""


class License(Strict):
    """Three separate matters; SPDX identifiers, or "not stated"; anything else is explained in `note`."""

    code: str
    """Of the publisher's program."""
    weights: str
    """Of the files in `files`, where the publisher speaks of the weights themselves."""
    training_data: str
    """Of the images it was trained on."""
    note: str | None = None
    """What the identifiers do not say: the licence's own words, or whom it is of."""

    @model_validator(mode="after")
    def _spdx_or_explained(self) -> License:
        for key in ("code", "weights", "training_data"):
            value = getattr(self, key)
            if self.note is None and value != "not stated" and value not in SPDX:
                raise ValueError(
                    f"{key}: {value!a} is not an SPDX identifier that zoo knows; write one (Apache-2.0), "
                    '"not stated", or add license.note'
                )
        return self


class Training(Strict):
    """How the publisher trained it from scratch; fine-tuning starts at a tenth of this rate."""

    optimizer: Literal["sgd", "rmsprop", "adam", "adamw"]
    """The one that the publisher used."""
    learning_rate: float = Field(gt=0)
    """Peak learning rate at `batch_size`."""
    batch_size: int = Field(gt=0)
    """Images per step, over all machines."""


class Paper(Strict):
    """The paper that describes the architecture."""

    title: str | Unknown
    """As it is printed."""
    url: str | Unknown
    """Address of its page: `https://arxiv.org/abs/1512.03385`."""
    year: int | Unknown
    """Of its first appearance."""


class Check(Strict):
    """Output of the origin framework for zoo's test image, kept in registry/checks, compared after each conversion."""

    file: str
    """Name of a .json file in registry/checks."""

    @field_validator("file")
    @classmethod
    def _json_name(cls, file: str) -> str:
        if not re.match(r"[a-z0-9][a-z0-9._-]*\.json\Z", file):
            raise ValueError(f"expected the name of a .json file in registry/checks, got {file!a}")
        return file

    framework: str
    """What computed it, with version."""
    tolerance: float = Field(gt=0, le=1e-4)
    """Largest allowed max|a-b| / max|b|."""


class ModelCard(Strict):
    """One pretrained model."""

    name: str
    """`architecture.publisher`, of a-z, 0-9, '.', '_' and '-': `resnet50.torchvision-v1`."""
    aliases: tuple[str, ...] = ()
    """Other names it answers to, such as the publisher's own."""
    former_names: tuple[str, ...] = ()
    """Names that it had before; they work on, with a warning, and no list shows them."""
    origin: Origin
    """Framework it came from."""
    family: str
    """Family of its architecture: `resnet`."""
    architecture: str
    """As the paper or the publisher calls it: `EfficientNet-Lite0`."""
    summary: str
    """One line for people."""
    notes: str | None = None
    """What a user should know before trusting the numbers: quirks of the origin, sources that disagree."""
    source: Source
    """How its files are read."""
    files: dict[str, File] = Field(min_length=1)
    """Role (`weights`, `graph`, `mean`) -> file."""
    paper: Paper | Unknown
    """The paper that describes the architecture."""
    dataset: str | Unknown
    """What it was trained on: `ILSVRC2012`."""
    labels: Labels
    """What its outputs mean."""
    preprocessing: Preprocessing
    """What happens to an image before the network; no key has a default."""
    metrics: tuple[Metric, ...]
    """Published measurements, the one that lists show first; `[]` for none."""
    parameters: PositiveInt | Unknown
    """Trainable parameters, batch-norm statistics not counted."""
    license: License
    """Three separate licences."""
    training: Training | Unknown
    """How the publisher trained it."""
    status: Status
    """verified: its numbers were compared with the origin framework's (`check`); convertible: the same network's were,
    with other weights; unverified: zoo has the means to convert it, nothing was compared; unsupported: it has not."""
    check: Check | None = None
    """The origin framework's output, which every conversion is compared with."""
    sources: dict[str, str] = Field(min_length=1)
    """Where the facts come from: key of this card (`preprocessing`, `preprocessing.mean`) -> source."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        # Of a Hugging Face repository (zoo.hub_cards), or behind the name of a registry (zoo.registries): no file
        # states such names.
        own = re.sub(r"\A[a-z0-9][a-z0-9-]{0,39}/", "", name)
        if not NAME.match(own) and not name.startswith("hf:"):
            raise ValueError(f"expected at most 100 of a-z, 0-9, '.', '_', '-', got {name!a}")
        return name

    @field_validator("aliases", "former_names")
    @classmethod
    def _aliases(cls, aliases: tuple[str, ...]) -> tuple[str, ...]:
        for alias in aliases:
            cls._name(alias)
        return aliases

    @field_validator("summary")
    @classmethod
    def _one_line(cls, summary: str) -> str:
        if not summary.strip() or "\n" in summary:
            raise ValueError("expected one line of text")
        return summary

    @model_validator(mode="after")
    def _names_differ(self) -> ModelCard:
        for key in ("aliases", "former_names"):
            for name in getattr(self, key):
                if self.names.count(name) > 1:
                    raise ValueError(f"{key}: {name!r} is there twice, or is the model's own name; leave it out")
        return self

    @model_validator(mode="after")
    def _files_are_there(self) -> ModelCard:
        named = {f"source.{key}": role for key, role in self.source if role in self.source.roles}
        if isinstance(self.preprocessing.mean, MeanFile):
            named["preprocessing.mean.file"] = self.preprocessing.mean.file
        for key, role in named.items():
            if role not in self.files:
                raise ValueError(f"{key}: expected a key of files ({', '.join(self.files)}), got {role!a}")
        return self

    @model_validator(mode="after")
    def _facts_have_sources(self) -> ModelCard:
        for key in self.sources:
            value: Any = self
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
                if value is None:
                    raise ValueError(f"sources: {key!r} is not a key of this card; name a key that is, or leave it out")
        for fact in _FACTS:
            if getattr(self, fact) == "unknown" or any(key.split(".")[0] == fact for key in self.sources):
                continue
            raise ValueError(f'sources: no source for {fact!r}; add sources.{fact}, or write the fact as "unknown"')
        if (self.status == "unsupported") != isinstance(self.source, UnsupportedSource):
            raise ValueError("status: 'unsupported' is for files that zoo cannot read, whose source has that format")
        fits_any = isinstance(self.source, GraphSource | UnsupportedSource)
        if not fits_any and "unknown" in (self.preprocessing.height, self.preprocessing.width):
            raise ValueError(
                "preprocessing.height: expected the rows and columns of the input of a network that zoo builds itself"
            )
        if self.status == "verified" and self.check is None:
            raise ValueError("check: a verified model needs the origin framework's output; add it or lower the status")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Every name this card answers to, its own first."""
        return (self.name, *self.aliases, *self.former_names)


_FACTS = ("files", "paper", "dataset", "labels", "preprocessing", "parameters", "license", "training")
