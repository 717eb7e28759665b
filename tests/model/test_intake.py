"""Models as people have them, through the API: each is read right, or a sentence says what to give."""

from __future__ import annotations

import logging
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ocrhpi import TextRecognition, load_predictor, loader
from ocrhpi.config.hpi_config import HpiConfig
from ocrhpi.edge.images import to_tensor as edge_to_tensor
from ocrhpi.errors import BackendError, ExportError, ModelError, ModelFormatError, ModelNotFound, OptionError
from ocrhpi.export.exporter import GraphForm, export_model, write_export
from ocrhpi.loader import find_model
from ocrhpi.model import ModelSource, load_model
from ocrhpi.quantization.plan import cache_path
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.tuner import plan
from ocrhpi.tuning.cache import save
from ocrhpi.values import InputSpec
from tests.conftest import needs_paddle2onnx
from tests.oracle import LETTERS, draw, labels_of, operators_of, write_config, write_onnx, write_paddle
from tests.report.tuning_samples import tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocrhpi.values import Batching, Pixels

PADDLES: tuple[tuple[str | None, Batching], ...] = ((None, "exact"), ("paddle", "exact"))
CONVERTED: tuple[tuple[str | None, Batching], ...] = (
    ("onnxruntime", "exact"),
    ("onnxruntime", "masked"),
    ("openvino", "exact"),
    ("openvino", "masked"),
)
ONNX = ((None, "exact"), *CONVERTED)
TEXTS = ("abcj", "j", "fedcbabcdefghij")  # a space would be read by some only
STRETCHED = ("abcdefghijabcdef", "jihgfedcbabababa", "abababababababab")  # as wide as 256 pixels


@dataclass(frozen=True)
class Case:
    """A model, and lines that it must read.

    Attributes:
        write: Writes it into a folder, and returns what is opened.
        ways: Engines and batchings that must read it.
        texts: What is drawn.
        labels: Of its classes.
        height: Of the lines.
        draw: Changes a line.
        facts: What its files do not say.
    """

    write: Callable[[Path], Path]
    ways: Sequence[tuple[str | None, Batching]] = ONNX
    texts: Sequence[str] = TEXTS
    labels: Sequence[str] = labels_of(LETTERS)
    height: int = 48
    change: Callable[[Pixels], Pixels] = lambda pixels: pixels
    facts: dict[str, Any] = field(default_factory=dict)


def texts_of(
    model_dir: Path, lines: Sequence[Pixels], engine: str | None = None, batching: Batching = "exact", **facts: Any
) -> list[str]:
    """Return what an engine reads, or without one what normal mode reads, in batches of three."""
    if engine is None:
        with TextRecognition(model_dir=model_dir, device="cpu", **facts) as recognition:
            return [result["rec_text"] for result in recognition.predict(list(lines), batch_size=3)]
    with load_predictor(model_dir=model_dir, backend=engine, device="cpu", batching=batching, **facts) as predictor:
        return [result["rec_text"] for result in predictor.predict(list(lines), batch_size=3)]


def lines_of(*texts: str, labels: Sequence[str] = labels_of(LETTERS), height: int = 48) -> list[Pixels]:
    return [draw(text, labels, height) for text in texts]


def half_as_wide(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::2])


def twice_as_wide(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 2, axis=1)


def as_paddle(**facts: Any) -> Callable[[Path], Path]:
    return lambda folder: write_paddle(folder, LETTERS, **facts)


def as_onnx(**facts: Any) -> Callable[[Path], Path]:
    """Write ``inference.onnx`` with ``inference.yml``, and return their folder."""
    return lambda folder: write_onnx(folder / "inference.onnx", LETTERS, config=True, **facts).parent


def with_dictionary(text: str, **facts: Any) -> Callable[[Path], Path]:
    """Write a bare ONNX file and a dictionary as it stands, and return the file."""

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "dict.txt").write_bytes(text.encode())
        return write_onnx(folder / "rec.onnx", LETTERS, **facts)

    return write


GREY = {"channels": 1, "height": 32, "base": 100}
GREY_TEXTS = ("abc", "j", "fedcbaj")
USUAL = operators_of(image_shape=[3, 48, 320])
UNPADDED = operators_of("RecResizeImg", image_shape=[3, 48, 320], padding=False)
SVTR = operators_of("SVTRRecResizeImg", image_shape=[3, 64, 256], padding=False)
SVTR_PADDED = operators_of("SVTRRecResizeImg", image_shape=[3, 64, 256], padding=True)
NORMALISED = [*USUAL, {"NormalizeImage": {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": "1./255."}}]
SPACELESS = labels_of(LETTERS, space=False)
CHARACTERS = "\n".join(LETTERS)

CASES = {
    "without a space, ONNX": Case(as_onnx(space=False), labels=SPACELESS),
    "without a space, ONNX of unnamed classes": Case(as_onnx(space=False, named_dims=False), labels=SPACELESS),
    "with a space, ONNX of unnamed classes": Case(as_onnx(named_dims=False), texts=("a b", *TEXTS)),
    "vocabulary that ends with nothing": Case(
        lambda folder: write_onnx(folder / "rec.onnx", LETTERS, metadata={"character": CHARACTERS + "\n\n"}),
        texts=("a b", *TEXTS),
    ),
    "metadata with CR": Case(
        lambda folder: write_onnx(
            folder / "rec.onnx", LETTERS, metadata={"character": CHARACTERS.replace("\n", "\r\n")}
        )
    ),
    "dictionary with a byte order mark and CR": Case(
        with_dictionary("\ufeff" + CHARACTERS.replace("\n", "\r\n") + "\r\n"),
        facts={"character_dict_path": "dict.txt"},
    ),
    "NormalizeImage": Case(as_onnx(operators=NORMALISED)),
    "padding false, Paddle": Case(as_paddle(operators=UNPADDED), PADDLES, ("abcdefghij" * 2, "jihgf" * 4)),
    "padding false": Case(as_onnx(operators=UNPADDED), texts=("abcdefghij" * 2, "jihgf" * 4)),
    "padding false, narrow lines": Case(
        as_onnx(operators=UNPADDED), texts=("abcdefghij" * 2, "jihgf" * 4), change=half_as_wide
    ),
    "padding false, wide lines": Case(
        as_onnx(operators=UNPADDED), texts=("abcdefghij" * 2, "jihgf" * 4), change=twice_as_wide
    ),
    "SVTR, padding false": Case(as_onnx(height=64, width=256, operators=SVTR), texts=STRETCHED, height=64),
    "SVTR, padding false, of any width": Case(
        as_onnx(height=64, operators=SVTR), texts=STRETCHED, height=64, change=half_as_wide
    ),
    "SVTR, padding true": Case(as_onnx(height=64, operators=SVTR_PADDED), texts=TEXTS, height=64),
    "SVTR, padding true, squeezed": Case(
        as_onnx(height=64, operators=SVTR_PADDED), texts=STRETCHED, height=64, change=twice_as_wide
    ),
    "grey, Paddle": Case(as_paddle(**GREY), PADDLES, GREY_TEXTS, height=32),
    "grey": Case(as_onnx(**GREY), texts=GREY_TEXTS, height=32),
    "grey, decoded so": Case(
        as_onnx(**GREY, operators=operators_of(color="GRAY", image_shape=[1, 32, 100])), texts=GREY_TEXTS, height=32
    ),
    "fixed width": Case(as_onnx(height=64, width=256, base=256), texts=TEXTS, height=64),
    "fixed width, squeezed": Case(
        as_onnx(height=64, width=256, base=256), texts=STRETCHED, height=64, change=twice_as_wide
    ),
    "four lines at a time": Case(as_onnx(batch=4), texts=TEXTS * 2),
    "one line at a time": Case(as_onnx(batch=1)),
    "height 32": Case(as_onnx(height=32, base=100), height=32),
    "bare, height 64": Case(
        with_dictionary(CHARACTERS, height=64), height=64, facts={"character_dict_path": "dict.txt"}
    ),
    "bare, height 32": Case(
        with_dictionary(CHARACTERS, height=32), height=32, facts={"character_dict_path": "dict.txt"}
    ),
    "bare, inference.yml beside it": Case(
        lambda folder: write_onnx(folder / "rec.onnx", LETTERS, height=32, base=100, config=True), height=32
    ),
    "a folder whose ONNX file has another name": Case(
        lambda folder: write_onnx(folder / "my_rec.v2.onnx", LETTERS, config=True).parent
    ),
    "weights in another file": Case(as_onnx(external_data="weights.bin")),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_read_right(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    source = case.write(tmp_path / "model")
    facts = dict(case.facts)
    if "character_dict_path" in facts:
        facts["character_dict_path"] = tmp_path / "model" / facts["character_dict_path"]
    lines = [case.change(line) for line in lines_of(*case.texts, labels=case.labels, height=case.height)]
    for engine, batching in case.ways:
        assert texts_of(source, lines, engine, batching, **facts) == list(case.texts), (engine, batching)


@needs_paddle2onnx
def test_a_model_without_a_space_is_read_right_by_every_engine(spaceless_dir: Path) -> None:
    lines = lines_of(*TEXTS, labels=SPACELESS)
    for engine, batching in (*PADDLES, *CONVERTED):
        assert texts_of(spaceless_dir, lines, engine, batching) == list(TEXTS), (engine, batching)


@needs_paddle2onnx
def test_a_folder_of_paddleocr_2_is_read_right_by_every_engine(old_dir: Path) -> None:
    given = {"character_dict_path": old_dir / "en_dict.txt", "rec_image_shape": "3, 48, 320", "use_space_char": True}
    texts = ["a b", *TEXTS]
    for engine, batching in (*PADDLES, *CONVERTED):
        assert texts_of(old_dir, lines_of(*texts), engine, batching, **given) == texts, (engine, batching)


@needs_paddle2onnx
@pytest.mark.parametrize(
    ("facts", "texts"),
    [
        ({"height": 64, "width": 256, "operators": SVTR}, STRETCHED),
        ({"height": 64, "batch": 1}, TEXTS),
    ],
    ids=["fixed width", "one line at a time"],
)
def test_fixed_shapes_of_paddle_stay_fixed(facts: dict[str, Any], texts: Sequence[str], tmp_path: Path) -> None:
    directory = write_paddle(tmp_path / "model", LETTERS, **facts)
    for engine, batching in (*PADDLES, *CONVERTED):
        assert texts_of(directory, lines_of(*texts, height=64), engine, batching) == list(texts), (engine, batching)


# What the classes say


@pytest.mark.parametrize("format_", ["Paddle", "ONNX", "ONNX of unnamed classes"])
@pytest.mark.parametrize("more", [2, -1])
def test_a_dictionary_of_another_model_is_refused_before_anything_is_opened(
    format_: str, more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format_ == "Paddle":
        directory = write_paddle(tmp_path, LETTERS)
    else:
        directory = as_onnx(named_dims=format_ == "ONNX")(tmp_path)
    write_config(directory, (LETTERS * 2)[: len(LETTERS) + more])
    monkeypatch.setattr(loader, "open_reader", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(ModelFormatError, match=r"12 classes.*the model and its dictionary do not belong together\.$"):
        TextRecognition(model_dir=directory)


def test_a_word_about_the_space_that_the_classes_contradict_is_refused(spaceless_dir: Path) -> None:
    assert load_model(ModelSource(model_dir=str(spaceless_dir), use_space_char=False)).labels == SPACELESS
    with pytest.raises(ModelFormatError, match=r"10 entries with use_space_char true.* makes 12; .*do not belong"):
        TextRecognition(model_dir=spaceless_dir, use_space_char=True)


def test_of_a_vocabulary_one_too_long_or_a_space_less_the_user_may_say_which_it_is(tmp_path: Path) -> None:
    """The last entry is empty, and there are as many classes as entries and a blank and one more."""
    file = write_onnx(tmp_path / "rec.onnx", LETTERS, metadata={"character": CHARACTERS + "\n\n"})
    assert load_model(file).labels[-1] == " "
    assert load_model(ModelSource(model_dir=str(file), use_space_char=False)).labels == ("", *LETTERS, "")


# What inference.yml says


def test_an_operator_that_is_unknown_is_refused(tmp_path: Path) -> None:
    directory = as_onnx(operators=operators_of("RecResizeImg", "RecGrayImg", image_shape=[3, 48, 320]))(tmp_path)
    with pytest.raises(ModelFormatError) as caught:
        TextRecognition(model_dir=directory)
    assert str(caught.value) == (
        f"{directory / 'inference.yml'}: PreProcess.transform_ops[1]: unknown operator 'RecGrayImg'; known are "
        "DecodeImage, RecResizeImg, SVTRRecResizeImg, NormalizeImage, and those of training: take it out if it does "
        "not change the image."
    )


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (None, True),
        ({}, True),
        ({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "scale": "1./255.", "order": "hwc"}, True),
        ({"mean": 0.5, "std": 0.5, "scale": 0.00392156862745098}, True),
        ({"mean": [0.485, 0.456, 0.406], "std": [0.5] * 3, "scale": "1./255."}, False),
        ({"std": [0.229, 0.224, 0.225]}, False),
        ({"scale": 1.0}, False),
        ({"scale": "1/"}, False),
        ({"scale": "1/0"}, False),
        ({"mean": ["half"] * 3}, False),
    ],
)
def test_normalisation_is_taken_where_it_is_ours(given: dict[str, Any] | None, *, taken: bool, tmp_path: Path) -> None:
    directory = as_onnx(operators=[*USUAL, {"NormalizeImage": given}])(tmp_path)
    if taken:
        assert texts_of(directory, lines_of("abc")) == ["abc"]
        return
    assert given
    (name, value) = next(iter(given.items()))
    with pytest.raises(ModelFormatError) as caught:
        load_model(directory)
    assert f"PreProcess.transform_ops.NormalizeImage.{name}: received {value!r}; lines are normalised as" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("operators", "graph", "spec"),
    [
        (USUAL, {}, InputSpec()),
        (UNPADDED, {}, InputSpec(stretch_width=320)),
        (SVTR, {"height": 64}, InputSpec(64, 256, max_width=256, stretch_width=256)),
        (SVTR_PADDED, {"height": 64}, InputSpec(64, 256, max_width=256)),
        (USUAL, {"width": 480}, InputSpec(48, 480, max_width=480)),
        (UNPADDED, {"width": 480}, InputSpec(48, 480, max_width=480, stretch_width=480)),
        (USUAL, {"height": 32}, InputSpec(32)),
        (operators_of(image_shape=[1, 32, 100]), {"height": 32, "channels": 1}, InputSpec(32, 100, color="GRAY")),
        (USUAL, {"channels": 1}, InputSpec(color="GRAY")),
        (operators_of(color="RGB", image_shape=[3, 48, 320]), {"batch": 4}, InputSpec(color="RGB", rows=4)),
        (operators_of(image_shape=[3, 48, 4000]), {}, InputSpec(48, 4000, max_width=4000)),
    ],
)
def test_the_graph_decides_what_it_fixes_and_the_configuration_the_rest(
    operators: list[Any], graph: dict[str, int], spec: InputSpec, tmp_path: Path
) -> None:
    assert load_model(as_onnx(operators=operators, **graph)(tmp_path)).spec == spec


def test_where_graph_and_configuration_contradict_each_other_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = as_onnx(height=32)(tmp_path)
    write_config(directory, LETTERS, shape=(3, 48, 320))
    assert texts_of(directory, lines_of(*TEXTS, height=32)) == list(TEXTS)
    (said,) = caplog.messages
    assert said == (
        f"{directory / 'inference.yml'} says 3 channels of height 48, but its graph takes 3 channels of height 32: "
        "the graph decides"
    )


# Names


@pytest.mark.parametrize(
    ("said", "given", "name"),
    [
        ("my_rec", None, "my_rec"),
        ("my_rec", "other", "other"),
        (None, None, "7771"),
        (None, "other", "other"),
        (12.5, None, "12.5"),
        (2024, None, "2024"),
        (True, None, None),
    ],
)
def test_its_name_is_what_is_given_else_what_it_says_else_that_of_its_folder(
    said: object, given: str | None, name: str | None, tmp_path: Path
) -> None:
    directory = as_onnx(name=said)(tmp_path / "7771")
    if name is None:
        with pytest.raises(ModelFormatError, match=r"Global\.model_name: received bool True; expected str or int"):
            load_model(directory)
        return
    with load_predictor(given, directory, device="cpu") as predictor:
        assert predictor.model.name == name
        assert predictor.predict(lines_of("abc"))[0]["rec_text"] == "abc"


def test_a_bare_file_is_called_as_its_metadata_say_or_as_it_is_called(tmp_path: Path) -> None:
    for name, metadata in (("said", {"model_name": "said"}), ("rec.v2", {})):
        file = write_onnx(tmp_path / "rec.v2.onnx", LETTERS, metadata={"character": CHARACTERS, **metadata})
        assert load_model(file).name == name
        assert load_model(ModelSource(model_name="mine", model_dir=str(file))).name == "mine"


@pytest.mark.parametrize(
    "name",
    ["../../../escaped", "x" * 250, "/etc/rec", r"..\..\rec", "a/b", "\u6211\u7684\u6a21\u578b", "..", " . ", "nul\0"],
)
def test_whatever_a_model_is_called_what_is_kept_of_it_stays_in_the_cache(name: str, tmp_path: Path) -> None:
    cache = tmp_path / "a" / "b" / "c" / "cache"
    directory = as_onnx(name=None)(tmp_path / "model")
    before = everything_in(tmp_path)
    model = load_model(ModelSource(model_name=name, model_dir=str(directory)))
    planned = plan(model, HpiConfig(cache_dir=cache), "cpu")
    assert save(tuning(), planned.path)
    lowered = cache_path(model, "int8", cache_dir=cache)
    lowered.parent.mkdir(parents=True)
    lowered.touch()
    exported = export_model(model, cache_dir=cache).files.onnx
    assert exported is not None
    written = {path for path in everything_in(tmp_path) - before if path.is_file()}
    assert {planned.path, lowered, exported} <= written
    assert all(path.resolve().is_relative_to(cache.resolve()) for path in written)
    assert {path.relative_to(cache).parts[0] for path in written} == {"exports", "hpi", "precision"}


def test_a_name_that_would_escape_is_read_through_every_door_of_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "a" / "b" / "c" / "cache"
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(cache))
    directory = as_onnx(name="../../../escaped")(tmp_path / "model")
    for engine, batching in ONNX:
        assert texts_of(directory, lines_of(*TEXTS), engine, batching) == list(TEXTS)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "model"}
    assert {path.name for path in cache.parent.iterdir()} == {"cache"}


def test_models_whose_names_come_out_alike_are_kept_apart(tmp_path: Path) -> None:
    directory = as_onnx(name=None)(tmp_path / "model")
    models = [load_model(ModelSource(model_name=name, model_dir=str(directory))) for name in ("a/b", "a_b", "a:b")]
    assert len({model.fingerprint for model in models}) == 1
    exports = {export_model(model, cache_dir=tmp_path / "cache").files.onnx for model in models}
    assert len(exports) == 3
    assert len({plan(model, HpiConfig(cache_dir=tmp_path), "cpu").path for model in models}) == 3


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


# Folders of PaddleOCR 2.x, and bare files


def test_what_an_old_folder_lacks_is_named_with_the_dictionary_that_lies_there(old_dir: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"inference\.yml: not found.*character_dict_path=.*lies en_dict\.txt\.$"):
        TextRecognition(model_dir=old_dir)


@pytest.mark.parametrize("shape", ["3, 32, 100", "3,32,100", "[3, 32, 100]", (3, 32, 100), [3, 32, 100]])
def test_the_shape_of_images_is_taken_as_paddleocr_2_spells_it(shape: Any, tmp_path: Path) -> None:
    directory = write_paddle(tmp_path / "rec", LETTERS, height=32, config=False)
    (directory / "dict.txt").write_text(CHARACTERS, "utf-8")
    facts: dict[str, Any] = {"character_dict_path": directory / "dict.txt", "rec_image_shape": shape}
    source = ModelSource(**{**facts, "model_dir": directory})
    assert load_model(source).spec == InputSpec(height=32, base_width=100)
    assert texts_of(directory, lines_of(*TEXTS, height=32), **facts) == list(TEXTS)


@pytest.mark.parametrize(
    "shape", ["3, 32", "a, b, c", (3, 32), (3, 0, 100), (3, 48, 20_000), (2, 48, 320), "4, 48, 320"]
)
def test_what_is_no_shape_is_refused(shape: Any, bare_file: Path) -> None:
    with pytest.raises(OptionError, match=r"'rec_image_shape(\.\d)?': received"):
        TextRecognition(model_dir=bare_file, character_dict_path=bare_file.parent / "keys.txt", rec_image_shape=shape)


@pytest.mark.parametrize("path", ["inference.pdmodel", "inference.pdiparams"])
def test_a_file_of_a_folder_stands_for_the_folder(path: str, old_dir: Path) -> None:
    source = ModelSource(model_dir=str(old_dir / path), character_dict_path=str(old_dir / "en_dict.txt"))
    assert load_model(source).path == old_dir


def test_an_old_graph_of_another_name_is_found(old_dir: Path, tmp_path: Path) -> None:
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copy(old_dir / f"inference{suffix}", tmp_path / f"rec{suffix}")
    facts: dict[str, Any] = {"character_dict_path": old_dir / "en_dict.txt"}
    assert texts_of(tmp_path, lines_of(*TEXTS), **facts) == list(TEXTS)
    (tmp_path / "rec.pdiparams").unlink()
    with pytest.raises(ModelNotFound, match=r"rec\.pdiparams: not found.*belong to rec\.pdmodel"):
        TextRecognition(model_dir=tmp_path, **facts)


def test_a_dictionary_is_never_guessed_but_named(bare_file: Path) -> None:
    with pytest.raises(
        ModelFormatError, match=r"metadata\.character: missing.*character_dict_path=.*lies keys\.txt\.$"
    ):
        TextRecognition(model_dir=bare_file)
    keys = bare_file.parent / "keys.txt"
    for engine, batching in ONNX:
        assert texts_of(bare_file, lines_of(*TEXTS), engine, batching, character_dict_path=keys) == list(TEXTS)


def test_a_configuration_without_a_vocabulary_asks_for_one(tmp_path: Path) -> None:
    directory = as_onnx()(tmp_path / "model")
    write_config(directory, None)
    (tmp_path / "dict.txt").write_text(CHARACTERS, "utf-8")
    with pytest.raises(
        ModelFormatError, match=r"inference\.yml: PostProcess\.character_dict: missing.*character_dict_path"
    ):
        TextRecognition(model_dir=directory)
    assert texts_of(directory, lines_of(*TEXTS), character_dict_path=tmp_path / "dict.txt") == list(TEXTS)


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", "a\n\u00e9".encode("latin-1")])
def test_a_dictionary_that_is_no_text_is_refused(content: bytes, bare_file: Path, tmp_path: Path) -> None:
    (tmp_path / "dict.txt").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"dict\.txt: dictionary: expected UTF-8 text, one entry a line"):
        TextRecognition(model_dir=bare_file, character_dict_path=tmp_path / "dict.txt")
    with pytest.raises(ModelNotFound, match=r"nowhere\.txt: not found; expected a dictionary"):
        TextRecognition(model_dir=bare_file, character_dict_path=tmp_path / "nowhere.txt")


def test_a_folder_of_two_onnx_files_asks_which(tmp_path: Path) -> None:
    for name in ("det.onnx", "rec.onnx"):
        write_onnx(tmp_path / name, LETTERS, config=True)
    with pytest.raises(ModelNotFound, match=r"one of det\.onnx, rec\.onnx to be named as model_dir"):
        TextRecognition(model_dir=tmp_path)
    assert texts_of(tmp_path / "rec.onnx", lines_of(*TEXTS)) == list(TEXTS)


def test_the_plain_call_of_a_model_that_is_onnx_alone_says_once_what_runs(
    bare_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"model_dir": bare_file, "character_dict_path": bare_file.parent / "keys.txt"}
    with caplog.at_level(logging.INFO, "ocrhpi"):
        for _ in range(3):
            with TextRecognition("said_once", **given) as recognition:
                assert recognition.predict(lines_of("abc"))[0]["rec_text"] == "abc"
                assert (recognition.effective.backend, recognition.effective.precision) == ("onnxruntime", "fp32")
    said = "said_once is ONNX alone: normal mode is ONNX Runtime in FP32"
    assert [(record.levelname, record.message) for record in caplog.records] == [("INFO", said)]


# Our own exports as bare files


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("head", ["full", "argmax"])
@pytest.mark.parametrize(
    "facts",
    [
        {"height": 32, "base": 100, "space": False, "operators": operators_of(image_shape=[3, 32, 100], color="RGB")},
        {"height": 64, "operators": operators_of("SVTRRecResizeImg", image_shape=[3, 64, 256])},
        {"operators": UNPADDED},
        {"batch": 4},
        {"width": 256},
        {"name": "../mine"},
    ],
    ids=["height, colour and space", "one width", "stretched", "rows", "fixed width", "name"],
)
def test_an_export_is_whole_without_its_folder(
    facts: dict[str, Any], head: Any, *, masked: bool, tmp_path: Path
) -> None:
    model = load_model(as_onnx(**facts)(tmp_path / "model"))
    form = GraphForm(head, masked=masked)
    if masked and facts.get("width"):
        with pytest.raises(ExportError, match=r"width mask: it takes lines of 256 pixels only.*use another form"):
            write_export(model, form, tmp_path / "export")
        return
    exported = write_export(model, form, tmp_path / "export")
    bare = Path(shutil.copy(tmp_path / "export" / "inference.onnx", tmp_path / "file.onnx"))
    texts = ["abcdefghijabcdefghij"] if "padding" in str(facts) else ["abc", "j", "aj"]
    lines = lines_of(*texts, labels=model.labels, height=model.spec.height)
    for one in (exported, load_model(bare)):
        assert (one.spec, one.labels, one.name) == (model.spec, model.labels, model.name)
        for engine in (None, "onnxruntime", "openvino"):
            for batching in ("exact", *["masked"] * masked):
                assert texts_of(one.path, lines, engine, batching) == texts, (engine, batching)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "renamed",
    [
        {"levels": "probabilities", "maps": "x", "columns": "indices", "sequence": "probs", "mean": "widths"},
        {"slopes": "steps", "biases": "pixels", "nothing": "contents", "levels": "other.x", "maps": "x"},
        {"image": "probabilities", "softmax_0.tmp_0": "x"},
    ],
)
def test_tensors_of_a_graph_may_be_called_as_ours_are(renamed: dict[str, str], tmp_path: Path) -> None:
    directory = as_onnx()(tmp_path / "model")
    graph = onnx.load(directory / "inference.onnx")
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for item in (*graph.graph.initializer, *graph.graph.input, *graph.graph.output):
        item.name = renamed.get(item.name, item.name)
    onnx.save(graph, directory / "inference.onnx")
    for engine, batching in ONNX:
        assert texts_of(directory, lines_of(*TEXTS), engine, batching) == list(TEXTS), (engine, batching)
    form = GraphForm("logits", masked=True, pixels=True)
    exported = write_export(load_model(directory), form, tmp_path / "export").path
    assert texts_of(exported, lines_of(*TEXTS)) == list(TEXTS)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (GraphForm("argmax"), "got one that finds top-1 itself"),
        (GraphForm(masked=True), r"got inputs \['x', 'widths'\]"),
        (GraphForm(pixels=True), r"got inputs \['pixels', 'contents'\]"),
    ],
)
def test_an_export_of_another_form_than_the_plain_one_is_not_exported_anew(
    form: GraphForm, reason: str, tmp_path: Path
) -> None:
    exported = write_export(load_model(as_onnx()(tmp_path / "model")), form, tmp_path / "export")
    with pytest.raises(ExportError, match=f"simplification: ValueError: expected a graph .*{reason}"):
        write_export(exported, GraphForm(), tmp_path / "again")


def test_an_export_of_a_grey_model_stays_grey(tmp_path: Path) -> None:
    model = load_model(as_onnx(**GREY)(tmp_path / "model"))
    write_export(model, GraphForm(pixels=True), tmp_path / "export")
    bare = Path(shutil.copy(tmp_path / "export" / "inference.onnx", tmp_path / "file.onnx"))
    assert load_model(bare).spec == model.spec == InputSpec(32, 100, color="GRAY")
    assert texts_of(bare, lines_of(*GREY_TEXTS, height=32)) == list(GREY_TEXTS)


def test_an_export_knows_the_dictionary_that_was_given(bare_file: Path, tmp_path: Path) -> None:
    source = ModelSource(model_dir=str(bare_file), character_dict_path=str(bare_file.parent / "keys.txt"))
    write_export(load_model(source), GraphForm(), tmp_path)
    for model_dir in (tmp_path, tmp_path / "inference.onnx"):
        assert texts_of(model_dir, lines_of(*TEXTS)) == list(TEXTS)


# Weights in another file


def test_other_weights_in_the_same_place_are_another_model(tmp_path: Path) -> None:
    directory = as_onnx(external_data="weights.bin")(tmp_path)
    file, data = directory / "inference.onnx", directory / "weights.bin"
    first, graph = load_model(directory).fingerprint, file.read_bytes()
    for engine, batching in ONNX:
        assert texts_of(directory, lines_of("abc"), engine, batching) == ["abc"]
    swapped = onnx.load(file)
    for tensor in swapped.graph.initializer:
        if tensor.name in {"slopes", "biases"}:
            value = numpy_helper.to_array(tensor).copy()
            value[[1, 2]] = value[[2, 1]]
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    data.unlink()
    onnx.save(swapped, file, save_as_external_data=True, location="weights.bin", size_threshold=64)
    assert file.read_bytes() == graph
    assert load_model(directory).fingerprint != first
    for engine, batching in ONNX:
        assert texts_of(directory, lines_of("abc"), engine, batching) == ["bac"]


@pytest.mark.parametrize("location", ["../wts.bin", "/tmp/w.bin"])  # noqa: S108 - as long as that in the file
def test_weights_outside_of_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    directory = as_onnx(external_data="weight.bin")(tmp_path / "model")
    shutil.copy(directory / "weight.bin", tmp_path / "wts.bin")
    file = directory / "inference.onnx"
    file.write_bytes(file.read_bytes().replace(b"weight.bin", location.encode()))
    for engine in (None, "onnxruntime", "openvino"):
        with pytest.raises(ModelFormatError, match=f"weights are said to be in '{location}', outside its folder"):
            texts_of(directory, lines_of("abc"), engine)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    directory = as_onnx(external_data="weights.bin")(tmp_path)
    (directory / "weights.bin").unlink()
    with pytest.raises(ModelNotFound, match=r"weights\.bin: not found; expected the weights that belong to inference"):
        TextRecognition(model_dir=directory)


# Direction

HEBREW = tuple("\u05d0\u05d1\u05d2\u05d3\u05d4")
ARABIC = tuple("\u0627\u0628\u062a\u062b\u062c")


@pytest.mark.parametrize(
    ("vocabulary", "given", "turned"),
    [
        (HEBREW, None, True),
        (ARABIC, None, True),
        ((*ARABIC, *LETTERS), None, True),
        ((*HEBREW, *"0123456789.,-"), None, True),
        (HEBREW, False, False),
        (ARABIC, False, False),
        ((*HEBREW[:2], *LETTERS), None, False),
        ((*HEBREW[:2], *LETTERS), True, True),
    ],
)
def test_a_right_to_left_script_is_turned_as_its_vocabulary_says_or_as_is_said(
    vocabulary: tuple[str, ...], given: bool | None, *, turned: bool, tmp_path: Path
) -> None:
    """The network emits what stands in the image from left to right; text is read the other way round."""
    write_onnx(tmp_path / "rec" / "inference.onnx", vocabulary)
    write_config(tmp_path / "rec", vocabulary)
    facts: dict[str, Any] = {} if given is None else {"right_to_left": given}
    emitted = "".join(vocabulary[:2]) + " " + vocabulary[1]
    expected = emitted[::-1] if turned else emitted
    lines = lines_of(emitted, labels=labels_of(vocabulary))
    for engine, batching in ONNX:
        assert texts_of(tmp_path / "rec", lines, engine, batching, **facts) == [expected]


@pytest.mark.parametrize("given", [None, True, False])
def test_latin_text_stays_as_it_is(given: bool | None, tmp_path: Path) -> None:
    directory = as_onnx()(tmp_path)
    facts: dict[str, Any] = {} if given is None else {"right_to_left": given}
    assert texts_of(directory, lines_of("ab cd"), **facts) == ["ab cd"]


@pytest.mark.parametrize(("vocabulary", "given"), [(HEBREW, False), ((*HEBREW[:2], *LETTERS), True)])
def test_an_export_keeps_the_direction_that_was_given(vocabulary: tuple[str, ...], given: bool, tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "rec.onnx", vocabulary, metadata={"character": "\n".join(vocabulary)})
    model = load_model(ModelSource(model_dir=str(file), right_to_left=given))
    assert write_export(model, GraphForm(), tmp_path / "export").right_to_left is given


# What is given against what the graph takes


def test_an_input_shape_that_the_graph_does_not_take_is_refused(stretching_dir: Path) -> None:
    with pytest.raises(OptionError, match=r"'input_shape': received \(3, 64, 320\); my_rec takes \(3, 64, 256\)"):
        TextRecognition(model_dir=stretching_dir, input_shape=(3, 64, 320))
    for shape in ((3, 48, 256), (1, 64, 256)):
        with pytest.raises(OptionError, match="'input_shape'"):
            load_predictor(model_dir=stretching_dir, input_shape=shape)
    lines = lines_of(*STRETCHED, height=64)
    assert texts_of(stretching_dir, lines, input_shape=(3, 64, 256)) == list(STRETCHED)


def test_every_line_is_stretched_to_the_input_shape(tmp_path: Path) -> None:
    directory = as_onnx(height=64)(tmp_path)
    lines = [half_as_wide(line) for line in lines_of(*STRETCHED, height=64)]
    for engine, batching in ONNX:
        assert texts_of(directory, lines, engine, batching, input_shape=(3, 64, 256)) == list(STRETCHED)
    assert texts_of(directory, lines) != list(STRETCHED)


@pytest.mark.parametrize("shape", ["3, 32, 320", "1, 48, 320"])
def test_an_image_shape_that_contradicts_the_graph_is_refused(shape: str, bare_file: Path) -> None:
    facts: dict[str, Any] = {"character_dict_path": bare_file.parent / "keys.txt", "rec_image_shape": shape}
    with pytest.raises(OptionError, match=r"'rec_image_shape': received .* takes 3 channels of height 48"):
        TextRecognition(model_dir=bare_file, **facts)


# Damaged files


def test_a_graph_that_is_damaged_is_told_by_the_engine(spaceless_dir: Path, tmp_path: Path) -> None:
    paddle = shutil.copytree(spaceless_dir, tmp_path / "paddle")
    graph = paddle / "inference.json"
    onnx_dir = as_onnx()(tmp_path / "onnx")
    file = onnx_dir / "inference.onnx"
    for path, model_dir in ((graph, paddle), (file, onnx_dir)):
        whole = path.read_bytes()
        for content in (b"", whole[:100], whole[: len(whole) // 2], whole[:-1], b"\xff" * 1000):
            path.write_bytes(content)
            assert find_model(model_dir).name == "my_rec"
    for model_dir, engine in ((paddle, None), (onnx_dir, None), (onnx_dir, "openvino")):
        with pytest.raises((BackendError, ExportError)):
            TextRecognition(model_dir=model_dir, engine=engine)


def test_no_damage_to_a_graph_crashes_the_search_for_its_model(
    spaceless_dir: Path, old_dir: Path, tmp_path: Path
) -> None:
    rng = random.Random(0)
    dictionary = old_dir / "en_dict.txt"
    as_onnx(external_data="weights.bin")(tmp_path)
    for original in (spaceless_dir / "inference.json", old_dir / "inference.pdmodel", tmp_path / "inference.onnx"):
        whole = original.read_bytes()
        folder = shutil.copytree(original.parent, tmp_path / original.suffix)
        for _ in range(300):
            content = bytearray(whole)
            for _ in range(rng.choice((1, 3, 10))):
                content[rng.randrange(len(content))] = rng.randrange(256)
            (folder / original.name).write_bytes(content[: rng.choice((len(content), rng.randrange(1, len(content))))])
            with suppress(ModelError, OptionError):  # it may look like a graph of other classes
                find_model(ModelSource(model_dir=str(folder), character_dict_path=str(dictionary)))


def test_keys_of_our_exports_mean_nothing_in_the_metadata_of_others(tmp_path: Path) -> None:
    foreign = {"character": CHARACTERS, "input": "image", "use_space_char": "True", "right_to_left": "true"}
    file = write_onnx(tmp_path / "rec.onnx", LETTERS, metadata=foreign)
    texts = ["a b", *TEXTS]
    for engine, batching in ONNX:
        assert texts_of(file, lines_of(*texts), engine, batching) == texts


def test_grey_is_the_same_on_a_device(tmp_path: Path) -> None:
    spec = load_model(as_onnx(**GREY)(tmp_path)).spec
    rng = np.random.default_rng(0)
    for height, width in ((32, 120), (48, 200), (64, 240), (17, 33)):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        geometry = line_geometry(width, height, spec)
        whole = to_tensor([image], [geometry], spec)
        small = edge_to_tensor([image], [geometry], (1, geometry.padded_width), spec)
        assert whole.shape == (1, 1, 32, geometry.padded_width)
        np.testing.assert_array_equal(small, whole)
