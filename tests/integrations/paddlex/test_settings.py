from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ocrhpi.errors import OptionError
from ocrhpi.integrations.paddlex.settings import as_mapping, read_settings

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_of_hpi_config_and_our_own_and_those_of_paddle_are_told_apart() -> None:
    given = {"objective": "latency", "padding": "line", "paddle_static": {"cpu_threads": 4}}
    settings = read_settings(given, "gpu:1,2")
    assert settings.hpi.objective == "latency"
    assert settings.padding == "line"
    assert settings.paddle == {"cpu_threads": 4}
    assert settings.device == "gpu:1"
    assert given["padding"] == "line"  # the caller's mapping stays whole


def test_the_padding_is_paddlexs_unless_asked_otherwise() -> None:
    assert read_settings({}).padding == "batch"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"padding": "lines"}, r"'padding': received 'lines'; expected 'batch' or 'line'.*Did you mean 'line'\?"),
        ({"objectiv": "latency"}, r"'hpi_config\.objectiv': unknown.*Did you mean 'objective'\?"),
        ({"backend": "openvino", "backend_config": {"thread": 2}}, None),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, object], sentence: str | None) -> None:
    if sentence is None:  # options of a backend are checked when it is opened
        read_settings(given)
        return
    with pytest.raises(OptionError, match=sentence):
        read_settings(given)


class TheirConfig(BaseModel):
    """As PaddleX's HPIConfig: another name in Python than in files."""

    model_config = ConfigDict(protected_namespaces=())
    pdx_model_name: str = Field(alias="model_name")
    backend: str | None = None


def test_hpi_config_in_all_forms_is_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "hpi.yml"
    file.write_text("objective: latency\n")
    assert as_mapping(None) == {}
    assert as_mapping({"backend": "openvino"}) == {"backend": "openvino"}
    assert as_mapping(file) == as_mapping(str(file)) == {"objective": "latency"}
    assert as_mapping(TheirConfig(model_name="x")) == {"model_name": "x"}
    with pytest.raises(OptionError, match="received int 3; expected a mapping"):
        as_mapping(3)
