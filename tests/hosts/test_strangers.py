"""Another user of the cluster: no byte of protocol, no key, no socket, on whichever host."""

import json

from host import STRANGER

# Executed as another user. At each TCP port of a host that listens it tries what anybody can do
# who has a socket, a TLS library and the public ZEO: to be greeted, to read, to change, and to
# plant a pickle that is executed by whoever loads it. Then it looks for files and sockets.
ATTACK = """\
import contextlib, json, os, pickle, socket, ssl, stat, sys
from pathlib import Path

import ZEO.ClientStorage
from ZODB.Connection import TransactionMetaData

host, ports, mark, *places = sys.argv[1:]
got = []
GREETINGS = (
    b"",
    b"Z5\\n",
    b"\\0\\0\\0\\4Z5\\n\\n",
    b'{"command": "status"}\\n',
    b"\\xff" + bytes(8) + b"\\x7f",
)


def planted(mark):
    class Planted:
        def __reduce__(self):
            return os.system, (f"id -u > {mark}",)

    return pickle.dumps(Planted(), 3)


def listen(port, greeting, tls):
    with contextlib.suppress(OSError), socket.create_connection((host, port), 5) as plain:
        plain.settimeout(3)
        connection = plain
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(plain, server_hostname="control")
        if greeting:
            connection.sendall(greeting)
        if data := connection.recv(100):
            # Of TLS there may be an alert, which has nothing of ours.
            if tls or not (data[0] == 21 and len(data) == 7):
                got.append(f"port {port}, tls {tls}, {greeting!r}: {data!r}")


def as_client(port):
    try:
        storage = ZEO.ClientStorage.ClientStorage((host, port), wait_timeout=4)
    except Exception:
        return
    data, tid = storage.load(bytes(8))
    got.append(f"port {port}: read {len(data)} bytes")
    meta = TransactionMetaData()
    storage.tpc_begin(meta)
    storage.store(bytes(8), tid, planted(mark), "", meta)
    storage.tpc_vote(meta)
    storage.tpc_finish(meta)
    got.append(f"port {port}: changed")
    storage.close()


for port in map(int, ports.split(",")):
    for greeting in GREETINGS:
        listen(port, greeting, False)
    listen(port, b'{"run": null}\\n', True)
    as_client(port)
for place in places:
    for path in [Path(place), *Path(place).rglob("*")]:
        with contextlib.suppress(OSError):
            mode = path.stat().st_mode
            if stat.S_ISSOCK(mode):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                got.append(f"socket {path}")
            elif path.suffix == ".pem" or "channel" in path.parts:
                if stat.S_ISREG(mode):
                    got.append(f"file {path}: {len(path.read_bytes())} bytes")
            if os.access(path, os.W_OK) and not stat.S_ISLNK(mode) and str(path) != "/tmp":
                got.append(f"can be written: {path}")
print(json.dumps(got))
"""
LISTEN = "0A"


def ports(host):
    """The TCP ports at which processes of a host listen to others."""
    found = set()
    for line in host.run("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout.splitlines():
        _, local, _, state, *_ = line.split()
        if state == LISTEN:
            address, port = local.split(":")
            if address != "0100007F":
                found.add(int(port, 16))
    return found


def attacked(victim, lab, ports, mark):
    """What a stranger on each host gets of a host's ports, and of files and sockets."""
    listed = ",".join(map(str, sorted(ports)))
    got = {}
    for host in (lab.head, *lab.nodes[:2]):
        out = host.python(
            ATTACK, victim, listed, str(mark), "/tmp", str(lab.shared), user=STRANGER, timeout=90
        )
        got[host.name] = json.loads(out)
    return got


def open_to_all(lab):
    """Where a stranger may plant its mark: whoever writes into it is known by the file's owner."""
    place = lab.shared / "planted"
    place.mkdir()
    place.chmod(0o777)
    return place / "mark"


def test_today_s_port_gives_all(placed, lab):
    """Where somebody insists on it. It shows that the attack below is one."""
    settings = {"mult": "    host: zeo://head:9500\n    insecure_tcp: true\n"}
    flow, _ = placed(below=settings)
    mark = open_to_all(lab)
    got = attacked("head", lab, {9500}, mark)["n1"]
    assert any("read" in line for line in got) and any("changed" in line for line in got), got
    done = flow.motoko("explain", "mult.1")  # it reads the objects themselves, and no mirror
    assert mark.exists(), done.stdout + done.stderr
    assert mark.read_text().strip() == "0"  # the owner has executed it


def test_a_stranger_gets_nothing(batch, lab, slurm):
    """From no port, while runs compute on the nodes."""
    before = ports(lab.head)
    flow, session = batch()
    numbers = session.create("until [ -e ../../go ]; do sleep 0.05; done; python doIt.py")
    session.until(numbers, batch_state="RUNNING")
    opened = ports(lab.head) - before
    assert len(opened) == 1, opened  # the gate's, and no other
    mark = open_to_all(lab)
    got = attacked("head", lab, opened, mark)
    allowed = f"can be written: {mark.parent}"
    assert {name: [line for line in lines if line != allowed] for name, lines in got.items()} == {
        "head": [],
        "n1": [],
        "n2": [],
    }
    for node in lab.nodes:
        assert not ports(node) - slurm_ports(node), "a relay listens to a network"
    (flow.directory / "mult" / "go").touch()
    session.finished(numbers)
    assert flow.motoko("info").returncode == 0 and not mark.exists()


def slurm_ports(node):
    return {6818}
