"""Procedural images: posed ellipsoid bodies, clothed, lit, before a background; and photographs.

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
* ``photos``      squares of pictures on disk, for the data set ``image_folder``
* ``store``       pictures in the cache, mapped into memory

The data sets are ``sets/images`` and ``sets/image_folder``.
"""
