"""AIST++: dance of one person before nine cameras.

* ``files``   reading the annotations: joints, keypoints, cameras, splits, names
"""
