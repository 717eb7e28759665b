from __future__ import annotations

import inspect

import ocrhpi


def test_public_names() -> None:
    assert ocrhpi.__all__ == [
        "Backend",
        "BackendSpec",
        "Effective",
        "OcrhpiError",
        "Predictor",
        "TextRecResult",
        "TextRecognition",
        "__version__",
        "load_high_performance",
        "load_predictor",
    ]
    for name in ocrhpi.__all__:
        assert getattr(ocrhpi, name) is not None
    assert dir(ocrhpi) == ocrhpi.__all__


def test_the_door_has_the_signature_of_the_field() -> None:
    constructor = list(inspect.signature(ocrhpi.TextRecognition).parameters)
    assert constructor == ["model_name", "model_dir", "device", "use_hpip", "hpi_config", "options"]
    assert list(inspect.signature(ocrhpi.TextRecognition.predict).parameters)[:3] == [
        "self",
        "input",
        "batch_size",
    ]


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(ocrhpi, "no_such_name")
