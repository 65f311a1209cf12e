"""From lifted frames to people who move in one world: metric, on the ground, without jitter.

* ``options``  which stages run, and what is known of people and camera (no torch)
* ``clean``    keypoints before they are lifted: gaps, outliers, jitter
* ``body``     metric scale, and bones that keep their length
* ``root``     where people stand in front of the camera
* ``contact``  which feet stand, and feet that stay where they stand
* ``ground``   which way is up, and where the ground is
* ``camera_path``  where a camera was that moves
* ``smooth``   the one smoother, whose window bounds the delay
* ``chain``    all of it in order

NumPy on arrays whose rows are frames of tracks, one after another. Every stage takes the number
of frames that it may look ahead; None is the whole of the video.
"""
