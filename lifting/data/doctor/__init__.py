"""The doctor behind ``lifting data check NAME``: everything that is wrong with a data set's files.

A reader refuses the first thing wrong; the doctor goes on and names each kind of damage.

- ``check``      data section -> rows of the table: all checks in turn, and the reader's own word
- ``takes``      what all data sets look like to the checks: takes, and how cameras saw them; and
  one row of an answer: what, expected, found, verdict, what to do
- ``presence``   files that are there, checksums, readable containers; subjects, recordings and
  frames against what was published
- ``containers`` published npz files, taken as they are; files in VideoPose3D's form
- ``body``       3D alone: values, unit, joint order, vertical axis, left and right
- ``constancy``  3D over time: bone lengths, speed, frames and recordings that repeat
- ``keypoints``  2D alone: lengths, values, pixels, confidence
- ``reprojection``  2D against projected 3D, as it is and under every suspicion, and what that
  says: axes, sides, joint order, cameras, time

What is asked of one data set alone is ``check`` in its own folder, ``sets/<name>``.
"""
