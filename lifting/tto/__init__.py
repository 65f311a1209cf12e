"""Test-time optimisation: latents of a frozen method are moved until its pose fits the image.

* ``contract``   what a method offers, what is minimised, and what comes back
* ``config``     the ``tto`` section of an experiment; imports no torch
* ``observe``    what was seen in the image, checked, and the mirrored copies
* ``adapter``    a method held still: its own latents or its 2D input, its answers checked
* ``objective``  what a pose is asked to satisfy: energies, and the objective that adds them up
* ``optimizer``  ``minimise``: the loop over latents, every sample on its own
* ``steppers``   what an optimiser does: Adam, L-BFGS, Gauss-Newton
* ``refine``     one batch optimised, without Lightning
* ``callback``   the whole as a Lightning callback

A method that fits something else gives its own energy to ``minimise`` (see 3DNBF).
"""
