"""The authors' weights of MixSTE, a mapping with the model under ``model_pos``, renamed.

Nothing but tensors and plain values is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lifting.files.tensors import load_tensors
from lifting.methods.conversion import Converted
from lifting.methods.mixste.config import Config
from lifting.methods.settings import ModuleSettings
from lifting.nn.mixste import import_mixste_state, model_part

FILES = ("weights",)
OWN_PREFIX = "network."


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module from the authors' file.

    Args:
        files: The one file.
        config: Configuration of the network they are for.
        settings: Of the module.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of a network of other depth.
    """
    (path,) = files
    state = import_mixste_state(model_part(load_tensors(path), path), config.layers)
    return Converted({f"{OWN_PREFIX}{name}": value for name, value in state.items()})
