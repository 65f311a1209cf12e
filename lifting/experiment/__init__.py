"""Experiments: from a YAML file to a trained model and a result record.

Without torch, so that a mistake in a configuration shows at once:

* ``config``      the schema; ``schema`` and ``checks`` fill and check it
* ``load``        extends, overrides, validation
* ``files``       files that are whole or absent; ``folder`` the folders of runs
* ``record``      ``result.json``; ``results`` tables from many of them
* ``sweep``       a grid of experiments from one file; ``finished`` which runs need no repetition

With torch:

* ``build``       schema -> data module, module, trainer; ``callbacks``, ``progress``, ``loggers``
* ``checkpoint``  reads weights without trusting them, writes them whole
* ``run``         train, evaluate, predict; ``prediction`` what it writes
* ``baselines``   mean pose and nearest neighbour; ``summary`` the table at the end
* ``facts``       what a record says beside the numbers; ``panels`` what W&B shows
"""
