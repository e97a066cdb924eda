"""A service for the rule webhook in Python, without packages: python3 service.py TOKEN"""
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if len(sys.argv) != 2 or not sys.argv[1]:
    print("usage: python3 service.py TOKEN", file=sys.stderr)
    sys.exit(2)
TOKEN = f"Bearer {sys.argv[1]}".encode()
MAX_BODY = 16 << 10  # bytes: the rule sends no longer requests


def decide(question):
    """Answers a question of the rule: see guests/webhook/README.md."""
    hook, message = question["hook"], question.get("message")
    if hook == "join" and question["room"].startswith("staff-") and not question.get("user"):
        return {"verdict": "deny", "reason": "staff only", "code": 7}
    if hook == "onSayReceive" and isinstance(message, str):
        if "darn" in message:
            return {"verdict": "deny", "reason": "not in this house"}
        if "http://" in message:
            return {"verdict": "hold", "reason": "a link without TLS", "ttl": 3600}
        if message.startswith("LOUD "):
            return {"verdict": "rewrite", "message": message.lower()}
    if hook == "action":
        return {"verdict": "allow", "reply": {"echo": question.get("params", {}).get("data")}}
    return {"verdict": "allow"}


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.body()
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), TOKEN):
            return self.answer(401, b"")
        try:
            question = json.loads(body)
            answer = decide(question) if question["version"] == 1 else None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            answer = None  # it is not JSON, or a member is missing or of another type
        if answer is None:
            return self.answer(400, b"")
        self.answer(200, json.dumps(answer).encode())

    def body(self):
        """Reads the body of the request, and returns it; empty if it is too long or has no valid length."""
        try:
            size = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            size = -1
        if size < 0:
            self.close_connection = True  # the next request would begin at an unknown place
            return b""
        body, rest = self.rfile.read(min(size, MAX_BODY)), size - MAX_BODY
        while rest > 0 and (part := self.rfile.read(min(rest, MAX_BODY))):
            rest -= len(part)
        return body if size <= MAX_BODY else b""

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "4001"))), Service)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
