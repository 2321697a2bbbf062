"""Image classification with DenseNet-121: bytes of one image in, a class of the label file out.

Nothing in this package knows TorchServe; the entry module beside it translates.
Importing it does nothing: no file is read, no setting of the process changed.
"""

__version__ = "0.5.0"
