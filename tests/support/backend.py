"""A backend of hooks: records what it is told, and behaves as its standard input says.

Usage: backend.py PORT [CERTIFICATE KEY]. Every request is one line of JSON on standard output.
Orders: `well`, `stall`, `answer CODE`, `judge CODE` (questions about calls alone).
"""

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

order = ["well"]
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = {
            "path": self.path,
            "type": self.headers["Content-Type"],
            "authorization": self.headers["Authorization"],
            "body": json.loads(body),
            "at": time.monotonic(),
        }
        with lock:
            print(json.dumps(told), flush=True)
        word, *rest = order
        if word == "stall":
            while order[0] == "stall":
                time.sleep(0.05)
            return
        question = self.path.endswith("/OnCallEvent")
        code = int(rest[0]) if word == "answer" or (word == "judge" and question) else 200
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("listening", flush=True)
for line in sys.stdin:
    order[:] = line.split()
    print("ordered " + line.strip(), flush=True)
