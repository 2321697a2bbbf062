"""`soak`: open-loop load of a stated multiple of capacity, for minutes or hours, and what it does.

options -> stack: TorchServe, with --proxy nginx in front
             |
traffic -> requester: capacity, then load at a constant rate -> records --+
             |                                                            +-> figures -> report
           watch: memory, descriptors, threads, files -> samples ---------+   plot
"""
