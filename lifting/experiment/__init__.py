"""Experiments: from a YAML file to a trained model and a result record.

Without torch, so that a mistake in a configuration shows at once:

* ``config``      the options of an experiment; ``schema`` fills and checks them
* ``load``        extends, overrides, validation
* ``folder``      the folders of runs, which are finished, which is the newest
* ``lock``        one training in a folder at a time
* ``record``      ``result.json``; ``results`` tables from many of them
* ``sweep``       a grid of experiments from one file
* ``interruption``  signals, and how to go on after one
* ``recorded``    what a plain method reached in the same time, from recorded curves
* ``connection``, ``dashboard``   whether W&B can be reached, and what its page shows

With torch:

* ``build``       options -> data module, module, trainer; ``callbacks``, ``loggers``
* ``terminal``    what a person sees there: progress, and the table at the end
* ``forecast``    what a training is about to do and how long it takes, by measured steps
* ``checkpoint``  reads weights without trusting them, writes them whole
* ``trained``     trained weights and the data they are for; authors' weights converted
* ``monitor``     the score that chooses the best checkpoint; ``divergence`` when to give up
* ``processes``   several of one run
* ``resume``      what of a run may change when it goes on
* ``run``         train, evaluate, predict; ``prediction`` what it writes
* ``answer_file`` scores poses that another program made
* ``onnx``        a trained model as a file that needs none of this package
* ``baselines``   mean pose and nearest neighbour
* ``without_truth``  what goes with labels of a teacher: a guard, and scores that cannot be
* ``sequences``   the error of every test sequence
* ``facts``       what a record says beside the numbers; ``panels`` what pictures show of a run
* ``shown_tracks``  whole test tracks as page, film and table
* ``console``     where commands say their results
"""
