"""Pictures, from plain arrays: nothing here knows a data set, a method or a run.

* ``style``          colours by side, line widths, frames and viewpoints, saving
* ``skeleton_plot``  2D keypoints, a 3D skeleton, and a sample's input, truth and prediction
* ``rig_plot``       cameras around the skeletons of some frames
* ``clip_plots``     a contact sheet, angles over time and paths from above of a file of poses
* ``scene``          where people and cameras of a file of poses are, z up
* ``sheets``         many poses at one scale, or many images, in one picture
* ``viewer``         the page on which people are looked at, one HTML file
* ``video``          skeletons over the frames of a video
* ``film``           predicted poses over time as a looping gif
* ``charts``         errors by joint and action, logged scalars, learning curves, methods ranked

Matplotlib draws through its object-oriented interface and the Agg renderer, so no display is
needed and no figure outlives its variable.
"""
