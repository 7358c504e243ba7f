# A server of Python's, for the rows of servers: the kind, then the work.
import socket, socketserver, sys

kind, work = sys.argv[1], sys.argv[2]
address = ("127.0.0.1", 0)


def echo(sock):
    while True:
        data = sock.recv(512)
        if not data:
            return
        sock.sendall(data)
        if work == "once":
            return


class Handler(socketserver.BaseRequestHandler):
    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self):
        echo(self.request)


if kind == "gevent":
    from gevent.server import StreamServer

    server = StreamServer(address, lambda sock, _: echo(sock), backlog=1024)
    server.start()
    print("127.0.0.1:%d" % server.server_port, flush=True)
    server.serve_forever()
else:
    base = {"threading": socketserver.ThreadingTCPServer, "forking": socketserver.ForkingTCPServer}[kind]
    base.request_queue_size = 1024
    base.daemon_threads = True
    base.max_children = 1000
    server = base(address, Handler)
    print("127.0.0.1:%d" % server.server_address[1], flush=True)
    server.serve_forever(0.05)
