"""A redis-py client by the facts that connectionFacts gives: connect(json.load(open("facts.json")))."""

import atexit
import os
import shutil
import tempfile
import time

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, LoadBalancingStrategy, RedisCluster
from redis.connection import Connection, SSLConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ClusterError,
    ConnectionError,
    SlotNotCoveredError,
    TimeoutError,
)
from redis.retry import Retry

KNOWN_VERSION = 1
READ_FROM = {
    "masters": None,
    "replicas": LoadBalancingStrategy.ROUND_ROBIN_REPLICAS,
    "all": LoadBalancingStrategy.ROUND_ROBIN,
}
PASSES = (ConnectionError, TimeoutError, ClusterDownError, SlotNotCoveredError, ClusterError)


class PatientCluster(RedisCluster):
    """Goes on through a failover. redis-py by itself tries again without a pause, and has given up long before a replica leads."""

    def __init__(self, facts, **options):
        self._patience = facts["failoverMilliseconds"] / 1000
        self._pause = facts["retryMilliseconds"] / 1000
        super().__init__(**options)

    def execute_command(self, *args, **options):
        end = time.monotonic() + self._patience
        while True:
            try:
                return super().execute_command(*args, **options)
            except (AuthenticationError, AuthorizationError):
                raise
            except PASSES:
                # The command may have been carried out when its connection was lost: INCR and the like belong where twice does no harm.
                if time.monotonic() > end:
                    raise
                time.sleep(self._pause)


def connect(facts, **more):
    """An open client; `more` goes to RedisCluster, as decode_responses=True does."""
    if facts["version"] != KNOWN_VERSION:
        raise ValueError(f"facts of version {facts['version']}, known is {KNOWN_VERSION}; take cluster.py of the same release")
    options = {
        "retry": Retry(NoBackoff(), 3),
        "load_balancing_strategy": READ_FROM[facts["readFrom"]],
        "socket_connect_timeout": facts["connectTimeoutMilliseconds"] / 1000,
        # A machine that vanished says nothing any more; blocking commands need more than they block.
        "socket_timeout": facts["failoverMilliseconds"] / 1000,
        **_tls(facts),
        **more,
    }
    # A name without a password is that of an open cluster, where nobody logs in.
    if "password" in facts:
        options |= {"username": facts["username"], "password": facts["password"]}
    nodes = facts["nodes"]
    ways = {
        (host, node["port"]): (node["connectHost"], node["connectPort"])
        for node in nodes
        for host in (node["host"], node["address"])
        if (node["connectHost"], node["connectPort"]) != (node["host"], node["port"])
    }
    if ways:
        # Only a client that is made by a URL takes a kind of connection.
        host = nodes[0]["host"]
        options["url"] = f"redis://{f'[{host}]' if ':' in host else host}:{nodes[0]['port']}"
        options["connection_class"] = _through(ways, tls=options.pop("ssl", False))
    seeds = [ClusterNode(node["host"], node["port"]) for node in nodes]
    return PatientCluster(facts, startup_nodes=seeds, **options)


def _through(ways, tls):
    """
    Connections that are made to tunnels, while the client calls nodes as the cluster does: so names in certificates are checked, and
    redirections lead through tunnels too. (With address_remap, certificates would be checked against the tunnel, and redirections go past it.)
    """

    class Tunnelled(Connection):
        def _connect(self):
            node = (self.host, self.port)
            self.host, self.port = ways.get(node, node)
            try:
                return super()._connect()
            finally:
                self.host, self.port = node

    class TunnelledTls(SSLConnection, Tunnelled):
        pass

    return TunnelledTls if tls else Tunnelled


def _tls(facts):
    tls = facts.get("tls")
    if tls is None:
        return {}
    options = {"ssl": True, "ssl_ca_data": tls["caCertificatePem"], "ssl_check_hostname": True}
    if "certificatePem" in tls:
        # Python reads these from files only: in a folder of this process's own user, until it ends.
        folder = tempfile.mkdtemp(prefix="redis-client-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for option, name in (("ssl_certfile", "certificatePem"), ("ssl_keyfile", "keyPem")):
            options[option] = os.path.join(folder, name)
            with open(os.open(options[option], os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(tls[name])
    return options
