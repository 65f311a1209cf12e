"""Pictures, from plain arrays: nothing here knows a data set, a method or a run.

* ``style``          colours by side, line widths, saving
* ``view``           frames and viewpoints: camera or world axes -> what a viewer sees
* ``skeleton_plot``  2D keypoints, a 3D skeleton, and a sample's input, truth and prediction
* ``rig_plot``       cameras around the skeletons of some frames
* ``contact_sheet``  many poses at one scale
* ``bars``           errors per joint and per action
* ``curves``         logged scalars against steps
* ``fit_picture``    a body on its way over an image; ``fit_plots``, drawn as a sheet and a film
* ``animation``      a moving pose as gif or mp4

Matplotlib draws through its object-oriented interface and the Agg renderer, so no display is
needed and no figure outlives its variable.
"""
