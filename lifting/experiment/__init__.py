"""Experiments: from a YAML file to a trained model and a result record.

* ``config``   the schema (no torch)
* ``load``     extends, overrides, validation (no torch)
* ``build``    schema -> data module, module, callbacks, loggers, trainer
* ``run``      train, test, predict
* ``record``   ``result.json``; ``panels`` what W&B shows
"""
