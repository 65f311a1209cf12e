"""Methods, one folder each, found by listing: see ``discovery``.

A folder holds ``config.py`` (the dataclass ``Config``, no torch) and ``module.py`` (the
LightningModule ``Module``); larger methods add ``network.py``, ``checkpoint.py`` and so on. A
method knows the core; the core and other methods do not know it.
"""
