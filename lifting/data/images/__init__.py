"""Procedural images: posed ellipsoid bodies, clothed, lit, before a background; and photographs.

* ``people``      motion -> bodies at single instants, seen by rigs
* ``crops``       the square around a person, and the rays of its pixels
* ``raycast``     rays against ellipsoids: which solid a pixel shows, where, with which normal; and
  which joints a picture shows
* ``appearance``  skin, hair, clothes and their patterns, drawn by person and recording; material
  and colour of a point of the surface
* ``textures``    random grids drawn large, and noise in space
* ``scenery``     background and occluders of a picture, of soft-edged boxes, ellipses and bars
* ``render``      all of it, in chunks of pictures, with lamps and shading
* ``advocc``      adversarial occlusion: a square slides over a picture, the worst place counts
* ``photos``      squares of pictures on disk, for the data set ``image_folder``
* ``store``       pictures in the cache, mapped into memory

The data sets are ``sets/images`` and ``sets/image_folder``.
"""
