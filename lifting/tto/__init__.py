"""Test-time optimisation: latents of a frozen method are moved until its pose fits the image.

* ``contract``   what a method offers and what comes back
* ``config``     the ``tto`` section of an experiment; imports no torch
* ``observe``    what was seen in the image, checked, and the mirrored copies
* ``energies``   what a pose is asked to satisfy, each term per sample
* ``objective``  the terms put together, with the root and the camera they need
* ``optimizer``  the loop over latents, every sample on its own
* ``progress``   what the loop knows of each sample: best iterate, whether it still moves
* ``step``       what an optimiser does: ``adam``, ``lbfgs``, ``gauss_newton``
* ``flat``       latents by name as rows of one matrix
* ``decoder``    a method's answers, checked, in the unmirrored frame
* ``generic``    the latent of methods that offer none: their 2D input
* ``freezing``   a module that cannot change, and is given back as it was
* ``refine``     one batch optimised, without Lightning
* ``callback``   the whole as a Lightning callback
"""
