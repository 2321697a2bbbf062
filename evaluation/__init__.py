"""How good the answers are on photographs whose classes are known.

__main__.py    the command `evaluate`; arguments.py has its options
labelled.py    files of a folder -> their classes, told by their names
outcomes.py    what becomes of a photograph: an answer, or why there is none
served.py      answers of a running server
in_process.py  answers of an archive, without a server
archives.py    an archive -> its files, labels and settings
reference.py   what float32 PyTorch answers with the same weights
figures.py     outcomes -> top-1, top-5, agreement, confusions
report.py      the figures as a table and as JSON
"""
