"""Any lifting method as the student of labels that a teacher triangulated from several views.

Kocabas, Karagoz, Akbas: "Self-Supervised Learning of 3D Human Pose using Multi-view Geometry",
CVPR 2019, arXiv 1903.02330, in the form that lifts keypoints. The teacher is in
:mod:`lifting.teacher`; its labels serve every method of the project by its own losses, here are
those of a student without 3D truth.

* ``config``   the lifting method and the weights of the losses (no torch)
* ``student``  the losses of a batch, its views apart or together
* ``losses``   each of them
* ``module``   training and prediction
"""
