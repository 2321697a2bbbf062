"""nginx in front of one or several TorchServes, run by `./scripts/proxy`.

configuration.py   the file that says where to listen, for whom, and in front of which hosts
limits.py          every limit and its default
clients.py         who may ask: names and tokens
hosts.py           one TorchServe: is it ready, and what does it take to reach it
watch.py           the same again and again, one thread a host
templates.py       deploy/nginx/*.conf, filled in
front.py           what clients reach: TLS, tokens, limits, the paths there are
balance.py         what stands behind it: the hosts, and who answers instead of whom
nginx.py           one nginx: start, reload, end
generation.py      which configuration it answers by
folders.py         where it all lies, and what a dead one left there
logs.py            files that do not grow for ever
supervisor.py      keeps the two nginxes in step with hosts and files
__main__.py        the command
"""
