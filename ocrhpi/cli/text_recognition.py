"""``ocrhpi text_recognition``: the flags of ``paddleocr text_recognition`` and a few more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from ocrhpi.cli.options import model_facts, switch
from ocrhpi.output import say, say_json
from ocrhpi.text_recognition import DEFAULT_MODEL_NAME, TextRecognition

if TYPE_CHECKING:
    from ocrhpi.results import TextRecResult

_PROGRESS_DELAY_S = 2.0  # short runs show no bar


@click.command("text_recognition", help="Read text lines in images, folders, PDFs and URLs.")
@click.option("-i", "--input", "inputs", multiple=True, required=True, help="Path, folder or URL; may be repeated.")
@click.option("--save_path", help="Folder to save JSON and visualized results in.")
@click.option("--model_name", help=f"Official model name.  [default: {DEFAULT_MODEL_NAME}]")
@click.option("--model_dir", help="Folder of an exported model, or a bare ONNX file.")
@model_facts
@click.option("--device", help="cpu, gpu or gpu:INDEX.  [default: a GPU if the engine has one]")
@click.option("--batch_size", type=int, help="Maximum lines per engine call.  [default: 1, or what was measured]")
@click.option(
    "--on_error",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="What to do about unreadable inputs.",
)
@switch("--return_word_box", "Also print words and their columns.")
@switch("--use_hpip", "High-performance mode: what was measured to be fastest here; measures the first time.")
@switch("--enable_hpi", "The same as --use_hpip.")
@click.option("--hpi_config", help="hpi_config: a YAML file, or one that ocrhpi tune wrote.")
@click.option("--engine", help="Any of 'ocrhpi backends'.  [default: paddle, or for ONNX alone onnxruntime]")
@click.option("--input_shape", nargs=3, type=int, metavar="C H W", help="Stretch every line to this shape.")
@switch("--enable_mkldnn", "oneDNN on the CPU; where it refuses a model plain Paddle runs.")
@click.option("--mkldnn_cache_capacity", type=int, help="Input shapes that oneDNN remembers.")
@click.option("--cpu_threads", type=int, help="CPU threads.  [default: the usable cores]")
@switch("--use_tensorrt", "No effect in normal mode.")
@click.option("--precision", help="No effect in normal mode, which is fp32.")
@switch("--enable_cinn", "No effect in normal mode.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def command(  # noqa: D103 - click documents it; one parameter an option
    *,
    inputs: tuple[str, ...],
    save_path: str | None,
    batch_size: int | None,
    on_error: Any,  # noqa: ANN401 - one of the choices
    as_json: bool,
    **options: Any,  # noqa: ANN401 - validated by TextRecognition
) -> None:
    given = {name: value for name, value in options.items() if value is not None}
    unread = count = 0
    with TextRecognition(**given) as recognition:
        results = recognition.predict_iter(list(inputs), batch_size, on_error=on_error)
        for result in tqdm(results, unit=" lines", delay=_PROGRESS_DELAY_S, disable=None):
            with tqdm.external_write_mode():  # the bar makes way
                _print(result, as_json=as_json)
            count += 1
            unread += result["error"] is not None
            if save_path:
                result.save_all(save_path)
    if unread:
        say(f"{unread} of {count} inputs could not be read", err=True)


def _print(result: TextRecResult, *, as_json: bool) -> None:
    fields = result.json["res"]
    if as_json:
        say_json(fields)
        return
    page = "" if fields["page_index"] is None else f"[{fields['page_index']}]"
    read = f"error: {fields['error']}" if fields.get("error") else f"{fields['rec_text']}  ({fields['rec_score']:.4f})"
    say(f"{fields['input_path']}{page}: {read}")
