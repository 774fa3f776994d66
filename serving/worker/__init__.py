"""A bundle's graph in a process of its own: what crashes, hangs or grows there leaves the server as it is.

    wire.py         a call and its answer as bytes
    __main__.py     the process: loads a graph and answers calls
    connection.py   one of the sockets between them
    process.py      the server's side of one such process
    supervisor.py   starts another one when it dies

Nothing here imports TensorFlow: the process loads it through its C API.
"""
