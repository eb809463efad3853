"""Stock tus clients against the running server: they upload, they or the server are killed in the middle, they resume.

A gate stands between them: it lets a number of bytes through and then nothing more, so that the kill falls into the middle of
a body, each time at the same byte and without waiting for a clock.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parent.parent / "target" / "debug"
SERVER = os.environ.get("KIEUMAU", str(BUILT / "kieumau"))
TOKEN = str(pathlib.Path(SERVER).with_name("token"))
CLIENTS = {
    "tus-js-client": ["node", str(HERE / "upload.mjs")],
    "tuspy": [sys.executable, str(HERE / "upload.py")],
}
SIZE = 6_000_000


class Gate:
    """A port of its own in front of the server's, so many bytes wide towards it."""

    def __init__(self, port):
        self.target = port
        self.room = None
        self.full = threading.Event()
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def narrow(self, room):
        self.room = room
        self.full.clear()

    def open(self):
        """Lets everything through again; what was stuck is cut off."""
        self.room = None
        self.cut()

    def cut(self):
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.sockets.clear()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self.sockets += [client, server]
            threading.Thread(target=self.carry, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, False), daemon=True).start()

    def carry(self, source, sink, narrows):
        with contextlib.suppress(OSError):
            while some := source.recv(16_384):
                if narrows and self.room is not None:
                    some = some[: self.room]
                    self.room -= len(some)
                sink.sendall(some)
                if narrows and self.room == 0:
                    self.full.set()
                    return
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Ward:
    """A server in a folder, one phone's token, and the gate that clients go through."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.start("127.0.0.1:0")
        self.gate = Gate(self.port)
        # A chief reads what hangs on no document yet.
        chief = next(person["sign_in"] for person in self.people if person["role"] == "chief")
        command = [SERVER, "phone", "code", "--data", self.data, "--person", chief, "--json"]
        code = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["code"]
        token = subprocess.run([TOKEN, self.url, code], capture_output=True, check=True, text=True)
        self.authorization = token.stdout.strip()

    def start(self, listen):
        command = [SERVER, "demo", "--data", self.data, "--listen", listen, "--json", "--nights", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(self.folder / "log").open("ab"))
        said = json.loads(self.process.stdout.readline())
        self.url, self.people = said["url"], said["people"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self, name, file, **environment):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        endpoint = f"http://127.0.0.1:{self.gate.port}/v1/attachments"
        command = [*CLIENTS[name], endpoint, str(file), str(self.folder / f"{name}.json"), sha256]
        environment = {**os.environ, "AUTHORIZATION": self.authorization, **environment}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, name, file, first):
        """Runs a client to its end; it must begin or resume as `first` says, and the server must then hold the file."""
        out, errors = self.client(name, file).communicate(timeout=60)
        assert out.split() == [first, "uploaded"], out + errors
        assert self.download(file) == file.read_bytes()

    def download(self, file):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        request = urllib.request.Request(f"{self.url}/v1/attachments/{sha256}")
        request.add_header("Authorization", self.authorization)
        with urllib.request.urlopen(request) as answer:
            return answer.read()


@pytest.fixture
def ward(tmp_path):
    ward = Ward(tmp_path)
    yield ward
    ward.kill()


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"\xff\xd8\xff\xe0" + random.Random(7).randbytes(SIZE))
    return file


@pytest.mark.parametrize("name", CLIENTS)
def test_a_file_arrives_whole(ward, photo, name):
    ward.finish(name, photo, "begins")


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_killed_in_the_middle_of_a_body_resumes(ward, photo, name):
    ward.gate.narrow(3_500_000)
    client = ward.client(name, photo)
    assert ward.gate.full.wait(60)
    client.send_signal(signal.SIGKILL)
    client.communicate()
    ward.gate.open()
    ward.finish(name, photo, "resumes")


@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_killed_in_the_middle_of_a_body_goes_on_from_what_is_on_its_disk(ward, photo, name):
    ward.gate.narrow(5_500_000)
    client = ward.client(name, photo)
    assert ward.gate.full.wait(60)
    ward.kill()
    ward.gate.open()
    client.communicate(timeout=60)
    assert client.returncode != 0
    ward.start(f"127.0.0.1:{ward.port}")
    ward.finish(name, photo, "resumes")


def test_a_creation_carries_the_first_bytes(ward, photo):
    out, errors = ward.client("tus-js-client", photo, DURING_CREATION="yes").communicate(timeout=60)
    assert out.split() == ["begins", "uploaded"], errors
    assert ward.download(photo) == photo.read_bytes()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_file_that_is_not_what_was_announced_is_refused(ward, photo, name):
    page = photo.with_name("page.jpg")
    page.write_bytes(b"<!DOCTYPE html>" + bytes(100_000))
    _, errors = ward.client(name, page).communicate(timeout=60)
    assert "415" in errors or "wrong-kind" in errors, errors
