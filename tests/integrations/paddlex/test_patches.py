from __future__ import annotations

from typing import Any

import pytest

from ocrhpi.errors import OptionError
from ocrhpi.integrations.paddlex.patches import config_source, effective_engine, init_arguments, parsed_arguments

ENGINES = {"hpi", "paddle_static", "onnxruntime"}


def source(**given: Any) -> Any:
    def theirs(**arguments: Any) -> Any:
        return "theirs", arguments

    arguments: dict[str, Any] = {"engine": "hpi", "engine_config": None, "hpi_config": None, **given}
    return config_source(theirs, ENGINES)(**arguments, pp_option=None, genai_config=None)


def test_hpi_config_is_not_lost_beside_the_settings_of_paddle() -> None:
    paddle = {"cpu_threads": 10}
    got = source(engine_config={"paddle_static": paddle}, hpi_config={"objective": "latency"})
    assert got == {"hpi": {"objective": "latency", "paddle_static": paddle}}


def test_the_engines_own_configuration_wins_over_hpi_config() -> None:
    hpi_config = {"objective": "latency", "backend": "openvino"}
    for engine_config in ({"hpi": {"backend": "paddle"}}, {"backend": "paddle"}):
        got = source(engine_config=engine_config, hpi_config=hpi_config)
        assert got == {"hpi": {"objective": "latency", "backend": "paddle", "paddle_static": {}}}


def test_without_any_configuration_it_is_empty() -> None:
    assert source() == source(engine_config={}) == {"hpi": {"paddle_static": {}}}


def test_other_engines_and_faults_are_left_to_paddlex() -> None:
    for given in ({"engine": "onnxruntime"}, {"engine_config": {"hpi": {}, "backend": "openvino"}}):
        name, arguments = source(**given)
        assert name == "theirs"
        assert arguments.items() >= given.items()


def parse(given: dict[str, Any]) -> dict[str, Any]:
    def theirs(kwargs: dict[str, Any], *, default_enable_hpi: bool) -> dict[str, Any]:
        assert not kwargs.keys() - {"enable_hpi"}
        return {"enable_hpi": default_enable_hpi, **kwargs}

    parsed: dict[str, Any] = parsed_arguments(theirs)(given, default_enable_hpi=False)
    return parsed


def test_both_spellings_are_taken() -> None:
    expected = {"enable_hpi": True, "hpi_config": {"objective": "latency"}}
    assert parse({"use_hpip": True, "hpi_config": {"objective": "latency"}}) == expected
    assert parse({"enable_hpi": True, "hpi_config": {"objective": "latency"}}) == expected
    assert parse({"enable_hpi": None, "use_hpip": True})["enable_hpi"] is True
    assert parse({}) == {"enable_hpi": False, "hpi_config": None}


def test_contradictions_are_refused() -> None:
    with pytest.raises(OptionError, match="received True, and enable_hpi=False"):
        parse({"use_hpip": True, "enable_hpi": False})
    with pytest.raises(OptionError, match="given without enable_hpi=True"):
        parse({"hpi_config": {}})


def test_hpi_config_is_handed_on_and_a_default_taken_where_there_is_none() -> None:
    def theirs(model_name: str | None, common_args: dict[str, Any]) -> dict[str, Any]:
        return {"use_hpip": common_args["enable_hpi"]} if model_name in {None, "x"} else {}

    prepare = init_arguments(theirs, {"budget_s": 5.0})
    assert prepare(None, {"enable_hpi": True})["hpi_config"] == {"budget_s": 5.0}
    assert prepare(None, {"enable_hpi": True, "hpi_config": {"tune": "never"}})["hpi_config"] == {"tune": "never"}
    assert init_arguments(theirs, {})("x", {"enable_hpi": True}) == {"use_hpip": True}


def resolve(model_name: str, engine: str | None = None, *, use_hpip: bool = True) -> Any:
    def theirs(_: str, engine: str | None, use_hpip: bool, genai_config: Any) -> str:
        return engine or ("genai_client" if genai_config else "hpi" if use_hpip else "paddle")

    return effective_engine(theirs, lambda name: name == "vision")(model_name, engine, use_hpip, None)


def test_a_model_without_high_performance_inference_stays_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve("det") == resolve("vision", "hpi") == "hpi"
    assert resolve("vision", "onnxruntime") == "onnxruntime"
    assert resolve("vision", use_hpip=False) == "paddle"
    assert not caplog.records
    assert resolve("vision") == "paddle"
    assert [record.getMessage() for record in caplog.records] == [
        "vision stays on paddle: PaddleX has no high-performance inference for it"
    ]
