"""Bad input by the hundred thousand, in process or over HTTP, and what the service makes of it.

Every case is drawn from a seed and its number alone, so that any of them comes again:

    seeds.py, handmade.py   files of every format that Pillow saves or reads, accepted or not
    mutations.py            bytes changed anyhow; structures.py: within a format's own structure
    amplified.py            little input that means a lot of work
    documents.py, forms.py  JSON, forms, headers, as TorchServe hands them to a worker
    cases.py                seed and number -> one case
    worker.py, judging.py   cases in batches with neighbours -> what is wrong with the answers
    http_*.py               requests and things that are none -> a running server
"""
