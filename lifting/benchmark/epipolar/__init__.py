"""What a teacher's labels are worth, and what a student learns from them.

* ``plan``     which teachers and students a table compares; imports no torch
* ``teacher``  errors of the labels against the truth of the test split, and of a held-out view
* ``student``  the same lifting method trained on the truth and on labels
* ``table``    both as Markdown and JSON; ``lifting epipolar`` is its front
"""
