"""The twenty models of the published table: their families, their sizes and their dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from benchmarks.reference_models.dictionaries import read_dictionary
from benchmarks.reference_models.export import export
from benchmarks.reference_models.families import Recognizer, build
from benchmarks.reference_models.weights import set_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MODELS", "UNSPECIFIED", "ReferenceModel", "make_network", "read_vocabulary", "write_model"]

_CHINESE = ("ppocr_keys_v1", 6625)
_V5 = ("ppocrv5_dict", 18385)
_ENGLISH = ("en_dict", 97)


@dataclass(frozen=True)
class ReferenceModel:
    """What distinguishes one model from the others.

    Attributes:
        family: A key of `benchmarks.reference_models.families.FAMILIES`.
        dictionary: A name known to `benchmarks.reference_models.dictionaries`.
        classes: Entries of the dictionary, blank and space.
    """

    family: str
    dictionary: str
    classes: int


MODELS: Final[Mapping[str, ReferenceModel]] = MappingProxyType(
    {
        "PP-OCRv5_server_rec": ReferenceModel("v5-server", *_V5),
        "PP-OCRv5_mobile_rec": ReferenceModel("v4-mobile", *_V5),
        "PP-OCRv4_server_rec_doc": ReferenceModel("v4-server", "ppocrv4_doc_dict", 15631),
        "PP-OCRv4_mobile_rec": ReferenceModel("v4-mobile", *_CHINESE),
        "PP-OCRv4_server_rec": ReferenceModel("v4-server", *_CHINESE),
        "en_PP-OCRv4_mobile_rec": ReferenceModel("v4-mobile", *_ENGLISH),
        "ch_SVTRv2_rec": ReferenceModel("svtrv2", *_CHINESE),
        "ch_RepSVTR_rec": ReferenceModel("repsvtr", *_CHINESE),
        "PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", *_CHINESE),
        "en_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", *_ENGLISH),
        "korean_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "korean_dict", 3690),
        "japan_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "japan_dict", 4401),
        "chinese_cht_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "chinese_cht_dict", 8423),
        "te_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "te_dict", 153),
        "ka_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "ka_dict", 155),
        "ta_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "ta_dict", 130),
        "latin_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "latin_dict", 187),
        "arabic_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "arabic_dict", 163),
        "cyrillic_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "cyrillic_dict", 165),
        "devanagari_PP-OCRv3_mobile_rec": ReferenceModel("v3-mobile", "devanagari_dict", 169),
    }
)


UNSPECIFIED: Final = ("PP-OCRv6_tiny_rec", "PP-OCRv6_small_rec", "PP-OCRv6_medium_rec")
"""Models of the field whose architecture is not specified, so that they are not built here."""


def write_model(name: str, directory: Path, *, seed: int = 0, cache_dir: Path | None = None) -> Path:
    """Write the model ``name`` of `MODELS`, full size, into ``directory`` and return it.

    Args:
        name: As PaddleOCR names it.
        directory: Where its files go.
        seed: Of the weights.
        cache_dir: Where the dictionaries are kept; see `ocrhpi.cache.cache_root`.

    Raises:
        DictionaryError: The dictionary cannot be had, or is not the one the model was published with.
    """
    vocabulary = read_vocabulary(name, cache_dir=cache_dir)
    return export(make_network(name, seed=seed), directory, name=name, vocabulary=vocabulary)


def make_network(name: str, *, seed: int = 0) -> Recognizer:
    """Return the network of the model ``name``, full size, with weights drawn from ``seed``."""
    model = MODELS[name]
    network = build(model.family, scale="full", classes=model.classes)
    set_weights(network, seed=seed)
    return network


def read_vocabulary(name: str, *, cache_dir: Path | None = None) -> list[str]:
    """Return the text of every class of the model ``name`` but blank and space; arguments as for `write_model`."""
    model = MODELS[name]
    return read_dictionary(model.dictionary, entries=model.classes - 2, cache_dir=cache_dir)
