"""Everything that reads the bytes of strangers: one place for limits and for the sandbox.

* ``checks``      a file is there, is the data itself and not too large; errors name it;
                  what a file was, for records and caches
* ``npz``         what a zip claims about itself, named arrays of numbers and text, writing them
* ``containers``  npz whose arrays are pickled dictionaries, as published data sets are
* ``pickles``     data pickles and stored lists of names, without running them
* ``json_file``   JSON whose size and structure were judged before it is parsed
* ``sandbox``     MATLAB, HDF5 and C3D, parsed by a child process (``sandbox_child``) with limits
* ``tensors``     foreign files of ``torch.save``: published weights
* ``tensor_archive`` our own ones, tested to the last byte: checkpoints
"""
