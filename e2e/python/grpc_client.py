"""Calls a gRPC server in every way there is, and prints what it saw: the same directly and through a proxy."""

import json
import sys

import grpc

target, mode = sys.argv[1], sys.argv[2]
seen = {}
channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", 64 << 20)])


def unary(method):
    return channel.unary_unary(method)


def ended(call, *arguments, **named):
    try:
        return ["ok", call(*arguments, timeout=named.pop("timeout", 20), **named).decode()]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


if mode == "kinds":
    response, call = unary("/test.Echo/Unary").with_call(b"abc", metadata=(("x-given", "7"),), timeout=20)
    trailing = {key: str(value) for key, value in call.trailing_metadata()}
    seen["unary"] = [response.decode(), dict(call.initial_metadata()).get("x-initial"), trailing.get("x-trailing"),
                     trailing.get("x-bytes-bin")]
    big = bytes(range(256)) * 40_000
    seen["big"] = unary("/test.Echo/Unary")(big, timeout=30) == big[::-1]
    stream = channel.unary_stream("/test.Echo/ServerStream")(b"50", timeout=20)
    seen["server_stream"] = [len(message) for message in stream]
    messages = (b"y" * (number * 100) for number in range(100))
    seen["client_stream"] = channel.stream_unary("/test.Echo/ClientStream")(messages, timeout=20).decode()

    # Each message waits for the answer to the one before: nothing may be held back.
    import queue
    outgoing = queue.Queue()
    call = channel.stream_stream("/test.Echo/Both")(iter(outgoing.get, None), timeout=20)
    answers = []
    for word in (b"a", b"bc", b"def") * 20:
        outgoing.put(word)
        answers.append(next(call).decode())
    outgoing.put(None)
    seen["both"] = ["".join(answers), len(list(call))]
    seen["fails"] = [ended(unary("/test.Echo/Fail"), name) for name in (b"NOT_FOUND", b"ABORTED", b"UNAVAILABLE")]
    seen["unknown"] = ended(unary("/test.Echo/Nothing"), b"")[0]
    seen["deadline"] = ended(unary("/test.Echo/Slow"), b"2", timeout=0.5)[0]
    seen["remaining"] = ended(unary("/test.Echo/Slow"), b"0", timeout=30)[1][:2] in ("29", "30")
else:
    method, request = mode.split("=", 1)
    seen = ended(unary(method), request.encode(), timeout=float(sys.argv[3]) if len(sys.argv) > 3 else 20)
print(json.dumps(seen, sort_keys=True))
