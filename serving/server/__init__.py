"""The server: one bundle, one call, no lost request. It imports no TensorFlow.

main.py        settings to a running server
app.py         the HTTP application: what is mounted where
connections.py a client's connection: how long it may take, how many there are
admission.py   what is let in: key, size, how many at once
direct.py      the short way to lists, neighbours and events
api.py         what requests and answers look like
routes.py      the friendly interface: /recommend, /similar, /events, /users, /items, health
catalogue.py   what can be asked
pages.py       the page at `/`, and /docs; page/ holds their files
service.py     what answers it: versions, users' state, logs, experiments
intake.py      events, taken in
exposures.py   lists, written down; journal.py: the logs of both
pruning.py     events that the store need not keep
recommend.py   one list, from the model or from popularity
versions.py    which versions are loaded, and who is answered by which
decided.py     what was decided of them
missing.py     why none answers, in words
version.py     one loaded version
batching.py    several requests in one call
metrics.py     what is counted
"""
