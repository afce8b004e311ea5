"""What is measured: outrigger and its peers, each with the configuration it is measured with.

A proxy has one or more variants. Peers have several where no one setting is best for every kind of work (buffer sizes,
request buffering, splice): bench.py tries them all and measures each case with the variant that did best, so that a peer
is never shown below what it can do. Tried and dropped because they never won: nginx with 8 or 16 buffers of 64k, 8 of
256k, 64 of 16k; haproxy with 32k and 128k buffers, and with pipes of 64k to 512k.
Every variant keeps its upstream connections, logs nothing, passes the client's Host and adds X-Forwarded-For: the least
that all three do.
"""
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENTS_MAX = 12000  # more than the 10,000 idle ones; twice that and more is not to be had everywhere

OUTRIGGER = """\
listen: 127.0.0.1:{port}
routes:
  - path: /
    upstream: http://127.0.0.1:{origin}
    timeout: 10s
admin: {{ listen: "127.0.0.1:{admin}" }}
access_log: {{ to: "off" }}
client: {{ max_connections: {clients} }}
workers: 1
"""

NGINX = """\
{user}
worker_processes 1;
worker_rlimit_nofile {files};
daemon off;
pid nginx.pid;
error_log error.log crit;
events {{ worker_connections {files}; multi_accept on; accept_mutex off; }}
http {{
	access_log off;
	default_type text/plain;
	tcp_nodelay on;
	keepalive_timeout 75s;
	keepalive_requests 1000000000;
	client_max_body_size 16m;
	client_body_buffer_size {body};
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	upstream origin {{
		server 127.0.0.1:{origin};
		keepalive 256;
		keepalive_requests 1000000000;
	}}
	server {{
		listen 127.0.0.1:{port} backlog=4096;
		location / {{
			proxy_pass http://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_buffering {buffering};
			proxy_buffer_size {buffer};
			proxy_buffers 4 {buffer};
			proxy_busy_buffers_size 128k;
			proxy_max_temp_file_size 0;
			proxy_request_buffering {request_buffering};
		}}
	}}
}}
"""

HAPROXY = """\
global
	nbthread 1
	no strict-limits
	maxconn {clients}
	tune.bufsize {bufsize}
	tune.maxrewrite 1024
	tune.pipesize 1048576
defaults
	mode http
	no log
	maxconn {clients}
	backlog 4096
	{splice}
	option forwardfor
	http-reuse always
	timeout connect 5s
	timeout client 75s
	timeout server 75s
	timeout http-keep-alive 75s
frontend clients
	bind 127.0.0.1:{port}
	default_backend origin
backend origin
	server origin 127.0.0.1:{origin} maxconn 10000
"""


class Proxy:
    """One proxy of the table. `variants` maps a name to the settings its template is filled with."""

    def __init__(self, name, path, template, variants, argv, version_argv, stop):
        self.name, self.path, self.template, self.variants = name, path, template, variants
        self.argv, self.version_argv, self.stop = argv, version_argv, stop

    def found(self):
        return self.path is not None and os.access(self.path, os.X_OK)

    def version(self):
        out = subprocess.run([self.path] + self.version_argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        match = re.search(r"\d+\.\d+\.\d+\S*", out.stdout)
        return match.group(0) if match else out.stdout.split("\n")[0]


def which(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


ALL = [
    Proxy("outrigger", os.path.join(ROOT, "build/tuned/outrigger"), OUTRIGGER, {"default": {}},
          ["-c"], ["--version"], signal.SIGQUIT),
    Proxy("nginx", which("nginx"), NGINX,
          {"4 x 64k buffers, request streamed": {"request_buffering": "off", "body": "64k", "buffering": "on", "buffer": "64k"},
           "4 x 64k buffers, request buffered": {"request_buffering": "on", "body": "2m", "buffering": "on", "buffer": "64k"},
           "unbuffered answer in 128k, request streamed": {"request_buffering": "off", "body": "128k", "buffering": "off",
                                                           "buffer": "128k"}},
          ["-p", ".", "-e", "error.log", "-c"], ["-v"], signal.SIGTERM),
    Proxy("haproxy", which("haproxy"), HAPROXY,
          {"16k buffers, splice-auto": {"bufsize": 16384, "splice": "option splice-auto"},
           "64k buffers, splice-auto": {"bufsize": 65536, "splice": "option splice-auto"},
           "16k buffers, always splice": {"bufsize": 16384, "splice": "option splice-request\n\toption splice-response"}},
          ["-db", "-f"], ["-v"], signal.SIGTERM),
]


def free_port():
    """Below the range that clients' own ports are taken from, or a client could take it before the proxy does."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def task_cpu_ns(task):
    """CPU time of one thread, user and system: by the scheduler's own clock, or in ticks where that is not kept."""
    try:
        with open(task + "/schedstat") as f:
            return int(f.read().split()[0])
    except FileNotFoundError:
        with open(task + "/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000000000 // os.sysconf("SC_CLK_TCK")


class Running:
    """A proxy that runs, pinned to its core. started_ms is from before exec to the first answer with 200."""

    def __init__(self, proxy, variant, origin_port, core, directory):
        self.proxy, self.port = proxy, free_port()
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        config = os.path.join(directory, proxy.name + ".conf")
        user = "user %s;" % pwd.getpwuid(0).pw_name if os.geteuid() == 0 else ""
        with open(config, "w") as f:
            f.write(proxy.template.format(port=self.port, origin=origin_port, admin=free_port(), clients=CLIENTS_MAX,
                                          files=CLIENTS_MAX + 2000, user=user, **proxy.variants[variant]))
        self.log = open(os.path.join(directory, "output"), "w+b")
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # inherited by the proxy
        begun = time.perf_counter()
        try:
            self.process = subprocess.Popen([proxy.path] + proxy.argv + [config], cwd=directory,
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        finally:
            os.sched_setaffinity(0, ours)
        self.await_first_answer(begun + 5)
        self.started_ms = (time.perf_counter() - begun) * 1000

    def await_first_answer(self, give_up):
        while not self.answers():
            status = self.process.poll()
            if status is not None or time.perf_counter() > give_up:
                self.stop()
                self.log.seek(0)
                words = "no answer with 200 in time" if status is None else "it ended with status %d" % status
                raise RuntimeError("did not start: %s\n%s" % (words, self.log.read().decode(errors="replace")))
            time.sleep(0.0002)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                s.sendall(b"GET /small HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n")
                return s.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def pids(self):
        """The process and all below it (nginx: master and worker)."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                    todo.extend(int(word) for word in f.read().split())
        return found

    def cpu_ns(self):
        """CPU time of every thread of the proxy so far."""
        return sum(task_cpu_ns("/proc/%d/task/%s" % (pid, task))
                   for pid in self.pids() for task in os.listdir("/proc/%d/task" % pid))

    def pss_bytes(self):
        total = 0
        for pid in self.pids():
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(self.proxy.stop)
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()
