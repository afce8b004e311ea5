/* test_fetch.c - the control plane's client against a server of ours: answers good and bad, limits, cancelling, pins. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "edge/fetch.h"
#include "peer.h"
#include "stage.h"

enum { BODY_MAX = 1000 };
struct outcome {
	unsigned calls;
	bool     ok;
	int      status;
	char     error[200], body[BODY_MAX + 1], etag[100];
	uint64_t took_us;
	struct fetch **cancels;
};
struct scene { struct stage *stage; struct peer peer; struct fetcher *fetcher; char url[100]; struct outcome outcome; };
static struct scene scene;

static int open_scene(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.stage = stage_open();
	assert_true(peer_open(&scene.peer, &scene.stage->loop.uv, "127.0.0.1", 0));
	scene.fetcher = fetcher_new(&scene.stage->loop.uv);
	assert_non_null(scene.fetcher);
	snprintf(scene.url, sizeof(scene.url), "http://127.0.0.1:%u/healthz?a=1", scene.peer.port);
	return 0;
}

static int close_scene(void **state)
{
	(void)state;
	fetcher_free(scene.fetcher);
	peer_close(&scene.peer);
	stage_close(scene.stage);
	return 0;
}

static void put(char *out, size_t size, struct span s) { snprintf(out, size, SPAN_FMT, SPAN_ARG(s)); }

static void done(void *self, const struct fetch_result *r)
{
	struct outcome *o = self;
	o->calls++;
	o->ok = r->ok;
	o->status = r->status;
	assert_true(r->ok == !r->error);
	put(o->error, sizeof(o->error), span_of(r->error ? r->error : ""));
	put(o->body, sizeof(o->body), r->body);
	put(o->etag, sizeof(o->etag), r->etag);
	o->took_us = r->took_us;
	if (o->cancels)
		fetch_cancel(*o->cancels);
}

static struct fetch_request ask(void)
{
	return (struct fetch_request){ .url = scene.url, .timeout_us = 2000000, .max_body = BODY_MAX, .direct = true, .done = done,
		.self = &scene.outcome };
}

static bool is_done(void *self) { return ((struct outcome *)self)->calls > 0; }

static const struct outcome *run(const struct fetch_request *r)
{
	memset(&scene.outcome, 0, sizeof(scene.outcome));
	assert_non_null(fetch_start(scene.fetcher, r));
	assert_int_equal(scene.outcome.calls, 0);
	assert_true(stage_until(scene.stage, is_done, &scene.outcome, 3000));
	stage_wait(scene.stage, 10);
	assert_int_equal(scene.outcome.calls, 1);
	return &scene.outcome;
}

static bool request_has(const char *text) { return memmem(scene.peer.last, scene.peer.last_len, text, strlen(text)) != NULL; }

static void plain(void **state)
{
	struct fetch_request r = ask();
	const char *const headers[] = { "Host: app.example", "x-one: 1" };
	(void)state;
	scene.peer.reply = "HTTP/1.1 103 Early Hints\r\netag: old\r\n\r\n"
		"HTTP/1.1 200 OK\r\nETag:  \"v1\" \r\ncontent-length: 5\r\n\r\nhello";
	r.headers = headers;
	r.header_count = 2;
	const struct outcome *o = run(&r);
	assert_true(o->ok);
	assert_int_equal(o->status, 200);
	assert_string_equal(o->body, "hello");
	assert_string_equal(o->etag, "\"v1\"");
	assert_true(o->took_us > 0);
	assert_true(request_has("GET /healthz?a=1 HTTP/1.1\r\n") && request_has("Host: app.example\r\n") && request_has("x-one: 1\r\n"));
	assert_true(request_has("User-Agent: outrigger\r\n"));
	assert_false(request_has("127.0.0.1"));
}

static void any_status_is_an_answer(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	scene.peer.reply = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
	const struct outcome *o = run(&r);
	assert_true(o->ok);
	assert_int_equal(o->status, 302);
	assert_int_equal(scene.peer.requests, 1);             /* not followed */
	scene.peer.reply = "HTTP/1.1 304 Not Modified\r\netag: W/\"2\"\r\n\r\n";
	o = run(&r);
	assert_true(o->ok);
	assert_int_equal(o->status, 304);
	assert_string_equal(o->etag, "W/\"2\"");
}

static void connections_are_kept_or_not(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	run(&r);
	run(&r);
	assert_int_equal(scene.peer.connections, 1);
	r.fresh = true;
	run(&r);
	assert_int_equal(scene.peer.connections, 2);
	assert_int_equal(scene.peer.open, 1);                 /* and it is closed at once */
	assert_int_equal(scene.peer.requests, 3);
}

static void methods_and_bodies(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	r.method = "HEAD";
	scene.peer.reply = OK_REPLY("99");
	assert_true(run(&r)->ok);
	assert_true(request_has("HEAD /healthz"));
	r.method = NULL;
	r.body = SPAN("{\"a\":1}");
	scene.peer.reply = OK_REPLY("0");
	assert_true(run(&r)->ok);
	assert_true(request_has("POST /healthz") && request_has("Content-Length: 7\r\n") && request_has("\r\n\r\n{\"a\":1}"));
	assert_false(request_has("Expect"));
	r.method = "PUT";
	assert_true(run(&r)->ok);
	assert_true(request_has("PUT /healthz") && request_has("\r\n\r\n{\"a\":1}"));
	assert_int_equal(scene.peer.connections, 3);          /* never repeated on a kept connection */
}

static void too_long(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	scene.peer.reply = OK_REPLY("10") "0123456789";
	r.max_body = 10;
	assert_true(run(&r)->ok);
	r.max_body = 9;
	const struct outcome *o = run(&r);
	assert_false(o->ok);
	assert_int_equal(o->status, 200);
	assert_string_equal(o->error, "the answer is longer than 9 bytes");
	r.cut_body = true;
	o = run(&r);
	assert_true(o->ok);
	assert_string_equal(o->body, "012345678");
	r.max_body = 0;
	assert_true(run(&r)->ok);
}

static void long_head(void **state)
{
	struct fetch_request r = ask();
	char *reply = malloc(90000);
	(void)state;
	size_t n = (size_t)snprintf(reply, 90000, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 80; i++)
		n += (size_t)snprintf(reply + n, 90000 - n, "x-%d: %0900d\r\n", i, i);
	snprintf(reply + n, 90000 - n, "content-length: 0\r\n\r\n");
	scene.peer.reply = reply;
	const struct outcome *o = run(&r);
	assert_false(o->ok);
	assert_string_equal(o->error, "the head of the answer is too long");
	free(reply);
}

static void bad_peers(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	scene.peer.slam = true;
	const struct outcome *o = run(&r);
	assert_false(o->ok);
	assert_int_equal(o->status, 0);
	assert_true(o->error[0]);
	scene.peer.slam = false;

	scene.peer.close_after = true;
	scene.peer.reply = OK_REPLY("10") "0123";             /* cut */
	assert_false(run(&r)->ok);
	scene.peer.reply = "hello\n";                         /* HTTP/0.9 */
	assert_false(run(&r)->ok);
	scene.peer.reply = "";
	o = run(&r);
	assert_string_equal(o->error, "closed without an answer");
}

static void nobody_there(void **state)
{
	struct fetch_request r = ask();
	struct peer gone;
	(void)state;
	assert_true(peer_open(&gone, &scene.stage->loop.uv, "127.0.0.1", 0));
	snprintf(scene.url, sizeof(scene.url), "http://127.0.0.1:%u/", gone.port);
	peer_close(&gone);
	stage_wait(scene.stage, 5);
	const struct outcome *o = run(&r);
	assert_false(o->ok);
	assert_string_equal(o->error, "cannot connect: Connection refused");
}

static void silence(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	scene.peer.reply = NULL;
	r.timeout_us = 150000;
	uint64_t from = uv_hrtime();
	const struct outcome *o = run(&r);
	assert_false(o->ok);
	assert_string_equal(o->error, "timed out");
	uint64_t took_ms = (uv_hrtime() - from) / 1000000;
	assert_true(took_ms >= 140 && took_ms < 1500);
	scene.peer.reply = OK_REPLY("10") "0123";             /* and the rest never comes */
	o = run(&r);
	assert_string_equal(o->error, "timed out within the answer");
	assert_int_equal(o->status, 200);
}

static void only_http(void **state)
{
	static const char *const urls[] = { "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "not a url", "" };
	struct fetch_request r = ask();
	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		r.url = urls[i];
		assert_false(run(&r)->ok);
	}
	assert_int_equal(scene.peer.connections, 0);
}

static void no_proxy_of_the_environment(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	assert_true(run(&r)->ok);
	r.direct = false;
	assert_false(run(&r)->ok);                            /* nobody on port 1: it was asked */
	unsetenv("http_proxy");
}

static void unix_socket(void **state)
{
	struct fetch_request r = ask();
	struct peer on_socket;
	char path[64];
	(void)state;
	snprintf(path, sizeof(path), "/tmp/outrigger-fetch-%d.sock", (int)getpid());
	assert_true(peer_open(&on_socket, &scene.stage->loop.uv, path, 0));
	r.unix_socket = path;
	r.url = "http://localhost/ping";
	assert_true(run(&r)->ok);
	assert_int_equal(on_socket.requests, 1);
	assert_non_null(memmem(on_socket.last, on_socket.last_len, "Host: localhost\r\n", 17));
	peer_close(&on_socket);
	stage_wait(scene.stage, 5);
	unlink(path);
	assert_false(run(&r)->ok);
}

static struct address address_of(const char *text)
{
	struct address a = { .len = sizeof(struct sockaddr_in) };
	if (strchr(text, ':'))
		assert_int_equal(uv_ip6_addr(text, 0, (struct sockaddr_in6 *)&a.at), 0);
	else
		assert_int_equal(uv_ip4_addr(text, 0, (struct sockaddr_in *)&a.at), 0);
	return a;
}

static void pinned(void **state)
{
	struct fetch_request r = ask();
	struct address two[] = { address_of("127.0.0.9"), address_of("127.0.0.1") };
	(void)state;
	snprintf(scene.url, sizeof(scene.url), "http://no-such-host.invalid:%u/", scene.peer.port);
	r.fresh = true;
	r.pin.host = "no-such-host.invalid";
	r.pin.port = scene.peer.port;
	r.pin.at = &two[1];
	r.pin.count = 1;
	assert_true(run(&r)->ok);
	assert_true(request_has("Host: no-such-host.invalid:"));
	r.pin.at = two;                                       /* nobody listens at the first: the second is tried */
	r.pin.count = 2;
	assert_true(run(&r)->ok);
	r.pin.count = 1;                                      /* and what was pinned before is forgotten */
	assert_false(run(&r)->ok);
	assert_int_equal(scene.peer.requests, 2);
}

static void pinned_to_both_families(void **state)
{
	struct fetch_request r = ask();
	struct address two[] = { address_of("::1"), address_of("127.0.0.1") };
	(void)state;
	snprintf(scene.url, sizeof(scene.url), "http://app.test:%u/", scene.peer.port);
	r.pin.host = "app.test";
	r.pin.port = scene.peer.port;
	r.pin.at = two;
	r.pin.count = 2;
	assert_true(run(&r)->ok);
}

static void cancelled(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	scene.peer.reply = NULL;
	fetch_cancel(fetch_start(scene.fetcher, &r));         /* before anything happened */
	struct fetch *f = fetch_start(scene.fetcher, &r);
	stage_wait(scene.stage, 30);
	assert_int_equal(scene.peer.requests, 1);
	assert_int_equal(scene.peer.open, 1);
	fetch_cancel(f);
	stage_wait(scene.stage, 30);
	assert_int_equal(scene.peer.open, 0);
	assert_int_equal(scene.outcome.calls, 0);
	fetch_cancel(NULL);
}

/* Both end at about the same time; whoever is first cancels the other, whose end may be waiting to be told already. */
static void cancelled_by_another(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		struct fetch *running[2];
		struct outcome outcomes[2] = { { .cancels = &running[1] }, { .cancels = &running[0] } };
		for (int i = 0; i < 2; i++) {
			struct fetch_request r = ask();
			r.self = &outcomes[i];
			running[i] = fetch_start(scene.fetcher, &r);
		}
		stage_wait(scene.stage, 12);
		assert_int_equal(outcomes[0].calls + outcomes[1].calls, 1);
	}
}

static void freed_while_running(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	scene.peer.reply = NULL;
	for (int i = 0; i < 5; i++)
		assert_non_null(fetch_start(scene.fetcher, &r));
	stage_wait(scene.stage, 30);
	fetcher_free(scene.fetcher);
	scene.fetcher = NULL;
	stage_wait(scene.stage, 10);
	assert_int_equal(scene.outcome.calls, 0);
	assert_int_equal(scene.peer.open, 0);
}

static bool all_done(void *self) { return ((struct outcome *)self)->calls == 40; }

static void many_at_once(void **state)
{
	struct fetch_request r = ask();
	(void)state;
	for (int i = 0; i < 40; i++)
		assert_non_null(fetch_start(scene.fetcher, &r));
	assert_true(stage_until(scene.stage, all_done, &scene.outcome, 3000));
	assert_int_equal(scene.peer.requests, 40);
	assert_true(scene.outcome.ok);
}

int main(void)
{
#define SCENE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
		SCENE(plain), SCENE(any_status_is_an_answer), SCENE(connections_are_kept_or_not), SCENE(methods_and_bodies),
		SCENE(too_long), SCENE(long_head), SCENE(bad_peers), SCENE(nobody_there), SCENE(silence), SCENE(only_http),
		SCENE(no_proxy_of_the_environment), SCENE(unix_socket), SCENE(pinned), SCENE(pinned_to_both_families),
		SCENE(cancelled), SCENE(cancelled_by_another), SCENE(freed_while_running), SCENE(many_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
