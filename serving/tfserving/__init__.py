"""The interfaces of TF Serving, so that a client written for it works unchanged.

    models.py      what is served: the interfaces that a server of versions meets
    predict.py     one call, whatever the protocol: which version, which signature, and errors as TF Serving has them
    rest.py        `/v1/models/...` over HTTP, on FastAPI; `metadata.py` and `decode.py`, `encode.py` are its JSON
    grpc.py        PredictionService, ModelService and health over gRPC; `tensors.py` its arrays
    messages.py    the messages and stubs of gRPC, from `protos/`

Nothing here imports TensorFlow. `grpc.py`, `messages.py` and `tensors.py` need the extra `grpc`.
"""
