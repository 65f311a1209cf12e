"""How fast DiffPose samples, and what an answer in few steps costs in accuracy.

* ``forms``      the reference form and ours with the same weights and the same noise
* ``speed``      both of them timed, MixSTE too: rows of ``lifting bench diffpose``
* ``precision``  bfloat16 and compilation of what an answer calls
* ``plan``       which answers a study compares; imports no torch
* ``study``      scores, calls and cost of each of them on trained runs
* ``report``     the study as Markdown, JSON and a chart; ``lifting sampling`` is its front
"""
