"""How a server opens its model; here, or in replicas elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.loader import batch_size_of, open_predictor

if TYPE_CHECKING:
    from ocrhpi.predictor import Predictor
    from ocrhpi.reading_options import ReadingOptions
    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.tuning.progress import OnProgress


def open_model(
    served: ReadingOptions, options: ServingOptions, on_progress: OnProgress = lambda _: None
) -> tuple[Predictor, ServingOptions]:
    """Open the predictor, and return it with the options, in which the batch size is settled.

    Args:
        served: What reads.
        options: Of the server. Without a batch size, it is what was measured for this model, or 8.
        on_progress: Is told of every step of a tuning.

    Raises:
        OcrhpiError: The model cannot be found, fetched or run, or a configuration does not fit.
    """
    predictor = open_predictor(served, on_progress)
    settled = options.batch_size or batch_size_of(served)
    return predictor, options.model_copy(update={"batch_size": settled})
