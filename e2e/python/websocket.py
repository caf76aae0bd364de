"""A WebSocket server and a client by a library that no one here wrote, for tests.

    websocket.py serve PORT         answers until it is killed
    websocket.py talk URL ACCEPT    does everything a client may do, and prints what came of it
    websocket.py hold URL ACCEPT    sends each line that it reads, and prints each answer; "closed CODE" at the end

ACCEPT is what the server's Sec-WebSocket-Accept has to be: "right", or a word that whoever stands in between says instead.
What `talk` prints depends on the two ends alone: whatever stands in between must not show.
"""

import asyncio
import hashlib
import random
import sys

import websockets.client
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

PATIENCE = 15
MESSAGE_BYTES_MAX = 20 << 20
TOO_LARGE = b"\x82\xff" + (MESSAGE_BYTES_MAX + 1).to_bytes(8, "big") + bytes(4)
BIG = random.Random(1).randbytes(16 << 20)

# How each connection ended for the server, by the name that its client gave it.
endings = {}


def short(message):
    if isinstance(message, bytes) and len(message) > 32:
        return f"{len(message)} bytes, {hashlib.sha256(message).hexdigest()[:16]}"
    return repr(message)


# ---- the server


async def answer(socket):
    _, what, name = socket.request.path.split("/", 2)
    try:
        await ACTS[what](socket)
        await socket.wait_closed()
    except ConnectionClosed:
        pass
    endings[name] = f"{socket.close_code} {socket.close_reason!r}"


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def count_fragments(socket):
    while True:
        sizes = [len(fragment) async for fragment in socket.recv_streaming()]
        await socket.send(f"fragments of {sizes}")


async def send_fragments(socket):
    async def fragments():
        for number in range(5):
            yield f"fragment {number} "
            await (await socket.ping())

    await socket.send(fragments())


async def close(socket):
    code, _, reason = (await socket.recv()).partition(" ")
    await socket.close(int(code), reason)


async def send_no_text(socket):
    await socket.send(b"\xce\xba\xff", text=True)


async def half_close(socket):
    await socket.recv()
    await socket.send("the last")
    socket.transport.write_eof()


async def break_off(socket):
    await socket.recv()
    socket.transport.abort()


async def tell_ending(socket):
    name = await socket.recv()
    while name not in endings:
        await asyncio.sleep(0.01)
    await socket.send(endings[name])


ACTS = {
    "echo": echo,
    "count": count_fragments,
    "fragments": send_fragments,
    "close": close,
    "no-text": send_no_text,
    "half-close": half_close,
    "break-off": break_off,
    "ending": tell_ending,
}


def refuse(connection, request):
    if request.path.startswith("/refuse"):
        return connection.respond(403, "not today\n")
    return None


def choose(connection, offered):
    return offered[-1] if offered else None


async def run_server(port):
    settings = {"max_size": MESSAGE_BYTES_MAX, "ping_interval": None, "close_timeout": 2}
    async with serve(
        answer, "127.0.0.1", port, process_request=refuse, select_subprotocol=choose, **settings
    ) as server:
        await server.serve_forever()


# ---- the client


class Client:
    def __init__(self, url):
        self.url = url

    def open(self, path, **settings):
        settings = {"max_size": None, "ping_interval": None, "close_timeout": 2, "proxy": None} | settings
        return connect(self.url + path, **settings)

    async def scene(self, what, act, path, **settings):
        """What `act` says, how it ended for the client, and how for the server."""
        said = []
        name = what.replace(" ", "-")
        async with asyncio.timeout(PATIENCE):
            socket = await self.open(f"/{path}/{name}", **settings)
            try:
                await act(socket, lambda *words: said.append(" ".join(map(str, words))))
            except ConnectionClosed:
                pass
            await socket.wait_closed()
            said.append(f"ended {socket.close_code} {socket.close_reason!r}")
            async with self.open("/ending/-") as socket:
                await socket.send(name)
                said.append(f"for the server {await socket.recv()}")
        print(f"{what}: " + "; ".join(said), flush=True)


async def messages(socket, say):
    say(socket.subprotocol, socket.protocol.extensions)
    for message in ["text", "", b"", b"\x00\xff", "κόσμε 🦀", BIG]:
        await socket.send(message)
        say(short(await socket.recv()))
    await socket.close()


async def many(socket, say):
    async def send():
        for number in range(3000):
            await socket.send(str(number))

    sending = asyncio.create_task(send())
    answers = [await socket.recv() for _ in range(3000)]
    await sending
    say(answers == [str(number) for number in range(3000)])
    await socket.close()


async def fragments_up(socket, say):
    async def pieces():
        for number in range(4):
            yield bytes([number]) * (number * 1000)
            await (await socket.ping(f"between {number}"))

    await socket.send(pieces())
    say(await socket.recv())
    await socket.close()


async def fragments_down(socket, say):
    say([fragment async for fragment in socket.recv_streaming()])
    await socket.close()


def closes(code, reason):
    async def act(socket, say):
        await socket.send("before")
        say(await socket.recv())
        await socket.close(code, reason)

    return act


def is_closed(word):
    async def act(socket, say):
        await socket.send(word)
        say(await socket.recv())

    return act


async def is_told(socket, say):
    say(short(await socket.recv()))


async def no_text(socket, say):
    await socket.send(b"\xce\xba\xff", text=True)
    say(await socket.recv())


def raw(frame):
    async def act(socket, say):
        socket.transport.write(frame)
        say(await socket.recv())

    return act


async def ends_its_side(socket, say):
    await socket.send("before")
    say(await socket.recv())
    socket.transport.write_eof()


async def breaks_off(socket, say):
    await socket.send("before")
    say(await socket.recv())
    socket.transport.abort()


async def hears_the_last(socket, say):
    await socket.send("go on")
    say(await socket.recv())


async def talk(url):
    client = Client(url)
    await client.scene("messages", messages, "echo", subprotocols=["chat", "superchat"])
    await client.scene("uncompressed messages", messages, "echo", compression=None)
    await client.scene("many messages", many, "echo")
    await client.scene("fragments with pings between them", fragments_up, "count", compression=None)
    await client.scene("fragments the other way", fragments_down, "fragments", compression=None)
    for code, reason in [(1000, ""), (1001, "gone"), (3999, "r" * 123), (4321, "κόσμε")]:
        await client.scene(f"close with {code}", closes(code, reason), "echo")
        await client.scene(f"closed with {code}", is_closed(f"{code} {reason}"), "close")
    await client.scene("bytes that are no text", no_text, "echo", compression=None)
    await client.scene("bytes that are no text the other way", is_told, "no-text", compression=None)
    await client.scene("a message over the limit", raw(TOO_LARGE), "echo", compression=None)
    await client.scene("an unknown opcode", raw(b"\x83\x80\0\0\0\0"), "echo", compression=None)
    await client.scene("a frame without a mask", raw(b"\x81\x02hi"), "echo", compression=None)
    await client.scene("a ping that is too long", raw(b"\x89\xfe\x00\x7e\0\0\0\0" + bytes(126)), "echo")
    await client.scene("a client that ends its side", ends_its_side, "echo")
    await client.scene("a client that breaks off", breaks_off, "echo")
    await client.scene("a server that ends its side", hears_the_last, "half-close")
    await client.scene("a server that breaks off", hears_the_last, "break-off")
    try:
        async with client.open("/refuse/-"):
            print("refused: no")
    except InvalidStatus as refused:
        print("refused:", refused.response.status_code, refused.response.body)


async def hold(url):
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with Client(url).open("/echo/hold") as socket:

        async def pass_on():
            async for line in lines:
                await socket.send(line.decode().strip())

        passing = asyncio.create_task(pass_on())
        try:
            while True:
                print(await socket.recv(), flush=True)
        except ConnectionClosed:
            pass
        print("closed", socket.close_code, flush=True)
        passing.cancel()


def main(what, where, accept="right"):
    if accept != "right":
        websockets.client.accept_key = lambda key: accept
    asyncio.run({"serve": run_server, "talk": talk, "hold": hold}[what](where))


main(*sys.argv[1:])
