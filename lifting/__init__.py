"""Experiment framework for monocular 3D human pose lifting.

Importing the package loads nothing heavy: torch is imported only by the rooms that compute.
"""

__version__ = "0.1.0"
