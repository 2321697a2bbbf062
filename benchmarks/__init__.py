"""Measure the service beside its rivals and beside what the machine could do at best.

options.py        the command line
photographs.py    what is sent: files of a folder, or drawn ones; and 12-megapixel ones
archives.py       the archives that are served, and the OpenVINO models in them
reference.py      what every server must answer: PyTorch, float32, the tutorial's transform
wrk.py wrk.lua    load over HTTP
processes.py      a server's processes: start, first answer, memory, end
row.py            what one row of the table is; ours.py image_classifier.py python_servers.py:
                  the rows; flask_app.py litserve_app.py: the rivals that are programs of ours
raw.py            the same model and decoder without any server: the ceilings
rounds.py         interleaved rounds over the rows
figures.py        medians and ratios; report.py plot.py machine.py: how they are shown
"""
