"""Start, watch and stop one TorchServe per configuration file, on this machine.

configuration.py   the file TorchServe reads: what is served, where, on which ports
java.py            the Java that TorchServe runs on
ports.py           the same on free ports, for servers beside it
runtime.py         a server's own folders and processes, and the note that it runs
torchserve.py      start it, wait until every worker is ready, stop it
serve.py stop.py   the commands
"""
