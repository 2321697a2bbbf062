"""Start, watch, scale and stop one TorchServe per configuration file, on this machine.

configuration.py   what TorchServe is told: file and environment; torchserve_keys.py has its names
environment.py     the variables that are ours
archives.py        which archives are served; built and verified
java.py            the Java that TorchServe runs on
ports.py           the same on free ports, for servers beside it
runtime.py         a server's own folders and processes, and the note that it runs
torchserve.py      start it, wait until every worker is ready, stop it
own_http.py        requests to it, which know its certificate; keys.py: its tokens
management.py      its management API; readiness.py: whether it can answer
table.py           rows as a table for people
drain.py           empty it before it stops or scales down
serve.py stop.py ready.py status.py scale.py token.py versions.py verify_archive.py   the commands
"""
