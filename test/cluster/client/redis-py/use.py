"""What the tests do with examples/redis-py/cluster.py: facts come on stdin as one line, the work is argv[1], the outcome goes to stdout as JSON."""

import json
import os
import socket
import sys
import threading
import time

from cluster import connect

TAGS = json.loads(os.environ["TAGS"])


def stand_for_dns(hosts):
    """Only the way to a node comes from DNS; who it is, its certificate says."""
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: resolve(hosts.get(host, host), *rest, **more)


def messages(pubsub, read, count):
    heard = []
    end = time.monotonic() + 10
    while len(heard) < count and time.monotonic() < end:
        message = read(pubsub)
        if message and message["type"] in ("message", "smessage"):
            heard.append(f"{message['channel']} {message['data']}")
    return sorted(heard)


def use(client):
    for tag in TAGS:
        value = str(time.monotonic_ns())
        client.set(f"session:{tag}", value)
        assert client.get(f"session:{tag}") == value
    with client.pubsub() as plain, client.pubsub() as sharded:
        plain.subscribe("news")
        for tag in TAGS:
            sharded.ssubscribe(f"news:{tag}")
        # The answer to SUBSCRIBE comes first: what is published before is heard by nobody.
        while not (plain.get_message(timeout=1) or {}).get("type") == "subscribe":
            pass
        subscribed = 0
        while subscribed < len(TAGS):
            subscribed += (sharded.get_sharded_message(timeout=1) or {}).get("type") == "ssubscribe"
        client.publish("news", "plain")
        for tag in TAGS:
            client.spublish(f"news:{tag}", "sharded")
        return {
            "plain": messages(plain, lambda p: p.get_message(timeout=1), 1),
            "sharded": messages(sharded, lambda p: p.get_sharded_message(timeout=1), len(TAGS)),
        }


def reads(client):
    for i in range(90):
        client.get(f"session:{TAGS[i % len(TAGS)]}")
    return {}


def write(client):
    client.set(f"session:{TAGS[0]}", "x")
    return {}


def load(client):
    """Until stdin ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    rounds, longest, errors = 0, 0.0, []
    while not ended.is_set():
        began = time.monotonic()
        try:
            client.set(f"session:{TAGS[rounds % len(TAGS)]}", rounds)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        longest = max(longest, time.monotonic() - began)
        rounds += 1
        if rounds == 30:
            print("under way", flush=True)
    return {"rounds": rounds, "longest": longest * 1000, "errors": errors}


stand_for_dns(json.loads(os.environ.get("HOSTS", "{}")))
try:
    outcome = {"use": use, "reads": reads, "write": write, "load": load}[sys.argv[1]](
        connect(json.loads(sys.stdin.readline()), decode_responses=True)
    )
except Exception as error:
    outcome = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(outcome))
