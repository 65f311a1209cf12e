"""The page on which people are looked at: one HTML file, without a network and without node.

* ``page``         poses in, page out
* ``viewer.html``  what a browser opens, three.js inside, without data; ``viewer.json`` says from
  what it was made
* ``source/``      what it is made from, by ``make viewer``; not in the wheel
"""
