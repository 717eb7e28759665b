"""`LineRecognizer`: the callable class that data engines map over their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ocrhpi.batch.formats import cells_of, with_readings
from ocrhpi.batch.reading import read_cells
from ocrhpi.batch.tunings import shared_predictor
from ocrhpi.config.reading_options import reading_options
from ocrhpi.loader import batch_size_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.batch.reading import Reading
    from ocrhpi.config.hpi_config import HpiConfig
    from ocrhpi.tuning.cache import Tuning

TableT = TypeVar("TableT")


class LineRecognizer:
    """Reads the lines in one column of a table; returns the table with ``rec_text``, ``rec_score`` and ``error``.

    Tables are pandas, Arrow, or mappings of numpy arrays; what comes out is of the kind that went in, with all its
    columns and rows. An image that cannot be read is a row whose ``error`` says why. Lines of like width share batches,
    across the whole table: give it some thousand rows at once.

    It pickles to a few hundred bytes, and opens its predictor where it is first called; all in a process that ask for
    the same share one, and it stays open. May be called from many threads.

    Args:
        model_name: Official name, fetched on first use.
        model_dir: Directory of an exported model, or a bare ONNX file; must be there on every machine.
        image_column: Column of encoded images (bytes), decoded images (arrays, BGR), paths or URLs; one line each.
        use_hpip: High-performance mode, which measures once per machine; else normal mode.
        hpi_config: See `ocrhpi.config.hpi_config.HpiConfig`; a file is read here and now.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the mode choose.
        threads: CPU threads of the engine: the share of the machine that this process has; None takes all.
        batch_size: Most lines in one call of the engine; None takes what was measured and, where nothing was, 8.
        **others: Other attributes of `ocrhpi.config.reading_options.ReadingOptions`, such as ``character_dict_path``.
        winners: What was measured on machines of other kinds, see `ocrhpi.batch.tunings`.

    Raises:
        OptionError: An option does not fit, or neither ``model_name`` nor ``model_dir`` is given.
    """

    def __init__(  # noqa: PLR0913 - one parameter an option
        self,
        model_name: str | None = None,
        model_dir: Path | str | None = None,
        *,
        image_column: str = "image",
        use_hpip: bool = True,
        hpi_config: HpiConfig | Mapping[str, Any] | Path | str | None = None,
        device: str | None = None,
        threads: int | None = None,
        batch_size: int | None = None,
        winners: Mapping[str, Tuning] | None = None,
        **others: Any,  # noqa: ANN401 - validated by ReadingOptions
    ) -> None:
        self.options = reading_options(
            model_name,
            model_dir,
            hpi_config=hpi_config,
            use_hpip=use_hpip,
            device=device,
            threads=threads,
            batch_size=batch_size,
            **others,
        )
        self.image_column = image_column
        self._winners = dict(winners or {})

    def __call__(self, table: TableT) -> TableT:
        """Read one table.

        Raises:
            OptionError: The table has no column ``image_column``, or has one of those that would be added.
            OcrhpiError: The model cannot be found or opened, or the engine failed.
        """
        cells = cells_of(table, self.image_column)
        readings: list[Reading] = []
        if cells:
            predictor = shared_predictor(self.options, self._winners)
            readings = read_cells(predictor, cells, batch_size_of(self.options))
        read: TableT = with_readings(table, readings)
        return read
