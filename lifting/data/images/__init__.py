"""Procedural images: posed ellipsoid bodies, clothed, lit, before a background.

* ``people``      motion -> bodies at single instants, seen by rigs
* ``cast``        rays against ellipsoids: which solid a pixel shows, where, with which normal
* ``looks``       skin, hair, clothes and their patterns, drawn by person and recording
* ``materials``   which material a point of the surface has, and its colour
* ``light``       lamps and shading
* ``noise``       random grids drawn large, and noise in space
* ``shapes``      soft-edged boxes, ellipses and bars: background clutter and occluders
* ``scenery``     background and occluders of a picture
* ``sight``       which joints a picture shows
* ``render``      all of it, in chunks of pictures
* ``store``       pictures on disk, mapped into memory
* ``source``      ``tracks`` and ``with_pictures``: the data set ``images``
"""
