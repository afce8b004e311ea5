/* test_health.c - health checks against servers of ours: thresholds, names, sockets, changing sets, endings. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/health.h"
#include "core/discover.h"
#include "peer.h"
#include "stage.h"

struct scene {
	struct stage    *stage;
	struct peer      peer;
	struct fetcher  *fetcher;
	struct health   *health;
	struct upstream *upstream;
	char             url[120];
};
static struct scene scene;

static int open_scene(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.stage = stage_open();
	assert_true(peer_open(&scene.peer, &scene.stage->loop.uv, "127.0.0.1", 0));
	scene.fetcher = fetcher_new(&scene.stage->loop.uv);
	scene.health = health_new(&scene.stage->loop.uv, scene.fetcher);
	assert_true(scene.fetcher && scene.health);
	snprintf(scene.url, sizeof(scene.url), "http://127.0.0.1:%u", scene.peer.port);
	return 0;
}

static int close_scene(void **state)
{
	(void)state;
	health_free(scene.health);
	fetcher_free(scene.fetcher);
	peer_close(&scene.peer);
	stage_close(scene.stage);
	if (scene.upstream)
		upstream_gone(scene.upstream);
	return 0;
}

static struct conf_upstream checked(struct conf_endpoint *endpoint, const char *url)
{
	*endpoint = (struct conf_endpoint){ span_of(url), 1 };
	return (struct conf_upstream){ .endpoints = endpoint, .endpoint_count = 1, .host_header = SPAN("keep"), .health_check = {
		.present = true, .path = SPAN("/healthz?full=1"), .interval_us = 20000, .jitter = 0.2, .timeout_us = 500000,
		.status_min = 200, .status_max = 299, .healthy_after = 2, .unhealthy_after = 3 } };
}

static void start(const struct conf_upstream *conf)
{
	scene.upstream = upstream_like(conf);
	assert_true(health_add(scene.health, scene.upstream));
}

static void start_at(const char *url)
{
	struct conf_endpoint endpoint;
	struct conf_upstream conf = checked(&endpoint, url);
	start(&conf);
}

static struct endpoint *endpoint(void) { return scene.upstream->set->at[0]; }
static struct health_counts counts(void) { return health_counts(scene.health, scene.upstream); }
static bool is_unhealthy(void *self) { (void)self; return endpoint_is_unhealthy(endpoint()); }
static bool is_healthy(void *self) { (void)self; return !endpoint_is_unhealthy(endpoint()); }
static bool was_checked(void *self) { const unsigned *n = self; struct health_counts c = counts(); return c.ok + c.failed >= *n; }
static bool checks(unsigned more)
{
	struct health_counts c = counts();
	unsigned n = (unsigned)(c.ok + c.failed) + more;
	return stage_until(scene.stage, was_checked, &n, 4000);
}

static bool request_has(const struct peer *p, const char *text) { return memmem(p->last, p->last_len, text, strlen(text)) != NULL; }

static void good(void **state)
{
	(void)state;
	start_at(scene.url);
	assert_false(endpoint_is_unhealthy(endpoint()));
	assert_true(checks(4));
	assert_true(counts().ok >= 4);
	assert_int_equal(counts().failed, 0);
	assert_false(endpoint_is_unhealthy(endpoint()));
	assert_true(request_has(&scene.peer, "GET /healthz?full=1 HTTP/1.1\r\n") && request_has(&scene.peer, "Host: 127.0.0.1:"));
	assert_true(scene.peer.connections >= 4);                         /* a new one each time */
	assert_string_equal(endpoint()->last_error, "");
}

static void thresholds(void **state)
{
	(void)state;
	start_at(scene.url);
	assert_true(checks(1));
	scene.peer.reply = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
	assert_true(checks(2));
	assert_false(endpoint_is_unhealthy(endpoint()));                  /* two are not three */
	scene.peer.reply = OK_REPLY("0");
	assert_true(checks(1));
	scene.peer.reply = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
	assert_true(checks(2));
	assert_false(endpoint_is_unhealthy(endpoint()));                  /* and they must be in a row */
	assert_true(checks(1));
	assert_true(endpoint_is_unhealthy(endpoint()));
	assert_int_equal(counts().failed, 5);
	assert_string_equal(endpoint()->last_error, "status 503");
	assert_int_equal(endpoint_state(endpoint(), 0), ENDPOINT_unhealthy);

	scene.peer.reply = OK_REPLY("0");
	assert_true(checks(1));
	assert_true(endpoint_is_unhealthy(endpoint()));
	assert_true(checks(1));
	assert_false(endpoint_is_unhealthy(endpoint()));
	assert_string_equal(endpoint()->last_error, "");
}

static void expected_status(void **state)
{
	struct conf_endpoint at;
	struct conf_upstream conf = checked(&at, scene.url);
	(void)state;
	conf.health_check.status_min = conf.health_check.status_max = 418;
	conf.host_header = SPAN("app.example");
	scene.peer.reply = "HTTP/1.1 418 Teapot\r\ncontent-length: 0\r\n\r\n";
	start(&conf);
	assert_true(checks(2));
	assert_int_equal(counts().failed, 0);
	assert_true(request_has(&scene.peer, "Host: app.example\r\n"));
	scene.peer.reply = OK_REPLY("0");
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 2000));
}

static void silence(void **state)
{
	struct conf_endpoint at;
	struct conf_upstream conf = checked(&at, scene.url);
	(void)state;
	conf.health_check.timeout_us = 50000;
	scene.peer.reply = NULL;
	start(&conf);
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 3000));
	assert_string_equal(endpoint()->last_error, "timed out");
}

static void down_and_up(void **state)
{
	unsigned port = scene.peer.port;
	(void)state;
	peer_close(&scene.peer);
	stage_wait(scene.stage, 5);
	start_at(scene.url);
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 3000));
	assert_string_equal(endpoint()->last_error, "cannot connect: Connection refused");
	assert_true(peer_open(&scene.peer, &scene.stage->loop.uv, "127.0.0.1", port));
	assert_true(stage_until(scene.stage, is_healthy, NULL, 3000));
}

static void large_body(void **state)
{
	char *reply = malloc(300000);
	(void)state;
	size_t n = (size_t)snprintf(reply, 300000, "HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n");
	memset(reply + n, 'x', 90000);
	reply[n + 90000] = '\0';
	scene.peer.reply = reply;
	start_at(scene.url);
	assert_true(checks(2));
	assert_int_equal(counts().failed, 0);
	health_remove(scene.health, scene.upstream);
	free(reply);
}

static void by_name(void **state)
{
	struct address at = { .len = sizeof(struct sockaddr_in) };
	char url[100];
	(void)state;
	snprintf(url, sizeof(url), "http://app.invalid:%u", scene.peer.port);
	start_at(url);
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 3000));
	assert_string_equal(endpoint()->last_error, "the name has no address");
	assert_int_equal(uv_ip4_addr("127.0.0.1", (int)scene.peer.port, (struct sockaddr_in *)&at.at), 0);
	endpoint_resolved(endpoint(), &at, 1, REASON_NONE);
	assert_true(stage_until(scene.stage, is_healthy, NULL, 3000));
	assert_true(request_has(&scene.peer, "Host: app.invalid:"));
}

static void on_socket(void **state)
{
	struct peer app;
	char path[64], url[80];
	(void)state;
	snprintf(path, sizeof(path), "/tmp/outrigger-health-%d.sock", (int)getpid());
	snprintf(url, sizeof(url), "unix:%s", path);
	assert_true(peer_open(&app, &scene.stage->loop.uv, path, 0));
	start_at(url);
	assert_true(checks(2));
	assert_int_equal(counts().failed, 0);
	assert_true(request_has(&app, "Host: localhost\r\n"));
	peer_close(&app);
	unlink(path);
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 3000));
}

static void follows_the_set(void **state)
{
	struct conf_upstream conf = checked(&(struct conf_endpoint){ SPAN_NONE, 0 }, "");
	struct found bad = { SPAN("127.0.0.1"), 1, 1 }, both[] = { bad, { SPAN("127.0.0.1"), scene.peer.port, 1 } };
	struct endpoint_set *next;
	(void)state;
	conf.endpoint_count = 0;
	conf.discovery = CONF_DNS;
	start(&conf);
	stage_wait(scene.stage, 50);
	assert_int_equal(scene.peer.requests, 0);
	assert_true(discover_merge(scene.upstream, both, 2, &next));
	upstream_replace(scene.upstream, next);
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 4000));
	assert_true(checks(4));
	assert_true(scene.peer.requests > 0);
	assert_false(endpoint_is_unhealthy(scene.upstream->set->at[1]));

	assert_true(discover_merge(scene.upstream, &bad, 1, &next));
	upstream_replace(scene.upstream, next);
	stage_wait(scene.stage, 1100);
	unsigned requests = scene.peer.requests;
	stage_wait(scene.stage, 100);
	assert_int_equal(scene.peer.requests, requests);                  /* what is gone is not asked */
	assert_true(endpoint_is_unhealthy(endpoint()));                   /* what stayed keeps its mark */
}

static void removed(void **state)
{
	(void)state;
	scene.peer.reply = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";
	start_at(scene.url);
	assert_true(stage_until(scene.stage, is_unhealthy, NULL, 3000));
	scene.peer.reply = NULL;
	stage_wait(scene.stage, 100);                                     /* a check is running */
	health_remove(scene.health, scene.upstream);
	assert_false(endpoint_is_unhealthy(endpoint()));
	assert_int_equal(scene.upstream->refs, 1);
	assert_int_equal(counts().failed, 0);
	unsigned requests = scene.peer.requests;
	stage_wait(scene.stage, 100);
	assert_int_equal(scene.peer.requests, requests);
	assert_int_equal(scene.peer.open, 0);
}

static void not_wanted(void **state)
{
	struct conf_endpoint at;
	struct conf_upstream conf = checked(&at, scene.url);
	(void)state;
	conf.health_check.present = false;
	start(&conf);
	assert_int_equal(scene.upstream->refs, 1);
	stage_wait(scene.stage, 60);
	assert_int_equal(scene.peer.connections, 0);
	health_remove(scene.health, scene.upstream);
}

static void freed_while_checking(void **state)
{
	(void)state;
	scene.peer.reply = NULL;
	start_at(scene.url);
	stage_wait(scene.stage, 60);
	assert_int_equal(scene.peer.open, 1);
	health_free(scene.health);
	scene.health = NULL;
	stage_wait(scene.stage, 20);
	assert_int_equal(scene.peer.open, 0);
}

int main(void)
{
#define SCENE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
		SCENE(good), SCENE(thresholds), SCENE(expected_status), SCENE(silence), SCENE(down_and_up), SCENE(large_body), SCENE(by_name),
		SCENE(on_socket), SCENE(follows_the_set), SCENE(removed), SCENE(not_wanted), SCENE(freed_while_checking),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
