"""The three claims of 3DNBF on rendered people, as one table; ``lifting nbf`` is the front.

* ``plan``    which trainings, pictures and likelihoods; imports no torch
* ``study``   trains what is not there yet, and scores first guess and fits
* ``report``  the table and what it says of the claims, as Markdown and JSON
"""
