"""A gRPC server of raw bytes: one method of each kind, health checks, and ways to fail. Prints its port."""

import sys
import threading
import time
from concurrent import futures

import grpc

serving = threading.Event()
serving.set()
calls = {"count": 0}


def unary(request, context):
    calls["count"] += 1
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", metadata.get("x-given", "none")),))
    context.set_trailing_metadata((("x-trailing", "end"), ("x-bytes-bin", b"\x00\xff")))
    return request[::-1]


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d:" % number + b"x" * (number * 1000)


def client_stream(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    calls["count"] += 1
    context.abort(grpc.StatusCode[request.decode()], "as asked: ü%")


def fail_late(request, context):
    calls["count"] += 1
    yield b"a message"
    time.sleep(0.05)
    context.abort(grpc.StatusCode[request.decode()], "after a message")


def slow(request, context):
    left = context.time_remaining()
    time.sleep(float(request))
    return b"%.1f" % (left if left is not None and left < 1e6 else -1)


def health(request, context):
    return b"\x08\x01" if serving.is_set() else b"\x08\x02"


def control(request, context):
    if request == b"well":
        serving.set()
    if request == b"unwell":
        serving.clear()
    return b"%d" % calls["count"]


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        kinds = {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/test.Echo/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
            "/test.Echo/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
            "/test.Echo/Both": grpc.stream_stream_rpc_method_handler(both),
            "/test.Echo/Fail": grpc.unary_unary_rpc_method_handler(fail),
            "/test.Echo/FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
            "/test.Echo/Slow": grpc.unary_unary_rpc_method_handler(slow),
            "/test.Echo/Control": grpc.unary_unary_rpc_method_handler(control),
            "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(health),
        }
        return kinds.get(details.method)


server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=16),
    handlers=[Handler()],
    options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)],
)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()  # until whoever started it goes
server.stop(0)
