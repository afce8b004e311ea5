/* test_resolve.c - names and sets of endpoints that follow what a name server of ours, and a hosts file, say. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "edge/resolve.h"
#include "nameserver.h"
#include "stage.h"

struct scene {
	struct stage      *stage;
	struct nameserver  server;
	struct resolver   *resolver;
	struct upstream   *upstream;
	unsigned           settled;
};
static struct scene scene;

static int open_scene(void **state)
{
	memset(&scene, 0, sizeof(scene));
	setenv("CARES_HOSTS", "/dev/null", 1);
	scene.stage = stage_open();
	nameserver_open(&scene.server, &scene.stage->loop.uv);
	scene.resolver = resolver_new(&scene.stage->loop.uv);
	assert_non_null(scene.resolver);
	*state = &scene;
	return 0;
}

static int close_scene(void **state)
{
	(void)state;
	resolver_free(scene.resolver);
	nameserver_close(&scene.server);
	stage_close(scene.stage);
	if (scene.upstream)
		upstream_gone(scene.upstream);
	return 0;
}

static void count_settled(void *self) { ++*(unsigned *)self; }
static bool has_settled(void *self) { return *(unsigned *)self > 0; }

static void settle(void)
{
	scene.settled = 0;
	resolver_on_settled(scene.resolver, count_settled, &scene.settled);
	assert_int_equal(scene.settled, 0);       /* never from inside */
	assert_true(stage_until(scene.stage, has_settled, &scene.settled, 6000));
	stage_wait(scene.stage, 20);
	assert_int_equal(scene.settled, 1);
}

static void add(enum conf_discovery how, const char *what)
{
	struct conf_endpoint endpoint = { span_of(what), 1 };
	scene.upstream = upstream_like(&(struct conf_upstream){ .discovery = how, .discover = span_of(what), .endpoints = &endpoint,
		.endpoint_count = how == CONF_STATIC });
	assert_true(resolver_add(scene.resolver, scene.upstream));
}

/* "10.0.0.1:80 10.0.0.2:80", sorted: the addresses of the upstream's first endpoint. */
static const char *addresses(void)
{
	static char out[1024];
	char words[ENDPOINT_ADDRESSES][64];
	struct endpoint_set *set = upstream_endpoints(scene.upstream);
	unsigned n = 0;

	for (unsigned i = 0; set->count && i < set->at[0]->address_count; i++) {
		const struct sockaddr_storage *at = &set->at[0]->addresses[i].at;
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)at;
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at;
		char text[INET6_ADDRSTRLEN];
		bool is_v4 = at->ss_family == AF_INET;
		inet_ntop(at->ss_family, is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, text, sizeof(text));
		snprintf(words[n++], sizeof(words[0]), "%s:%u", text, ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
	}
	endpoint_set_unref(set);
	qsort(words, n, sizeof(words[0]), (int (*)(const void *, const void *))strcmp);
	out[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s", i ? " " : "", words[i]);
	return out;
}

/* "10.0.0.1:80*1": all endpoints with their weights, in order. */
static const char *endpoints(void)
{
	static char out[2048];
	struct endpoint_set *set = upstream_endpoints(scene.upstream);
	out[0] = '\0';
	for (unsigned i = 0; i < set->count; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s" SPAN_FMT "*%u", i ? " " : "", SPAN_ARG(set->at[i]->name),
			(unsigned)set->at[i]->weight);
	endpoint_set_unref(set);
	return out;
}

static bool addresses_are(void *wanted) { return strcmp(addresses(), wanted) == 0; }
static bool endpoints_are(void *wanted) { return strcmp(endpoints(), wanted) == 0; }

static struct endpoint *first_endpoint(void)
{
	struct endpoint_set *set = upstream_endpoints(scene.upstream);
	struct endpoint *e = set->at[0];
	endpoint_set_unref(set);
	return e;
}

static enum reason why_none(void)
{
	struct address a;
	enum reason why = REASON_NONE;
	assert_false(endpoint_address(first_endpoint(), &a, &why));
	return why;
}

/* ── hosts of endpoints ── */

static void use_hosts(char path[], const char *lines)
{
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	dprintf(fd, "%s", lines);
	close(fd);
	setenv("CARES_HOSTS", path, 1);
}

static void hosts_file(void **state)
{
	char path[] = "/tmp/outrigger-hosts-XXXXXX";
	(void)state;
	use_hosts(path, "10.9.8.7 app.example\nfd00::7 app.example\n");
	add(CONF_STATIC, "http://app.example:3000");
	settle();
	unlink(path);
	assert_string_equal(addresses(), "10.9.8.7:3000 fd00::7:3000");
	stage_wait(scene.stage, 1200);            /* asked again after 30 s, not as if its time to live were 0 */
	assert_string_equal(addresses(), "10.9.8.7:3000 fd00::7:3000");
	assert_int_equal(scene.server.asked, 0);
}

/* With a line of its own: where the hosts file has none, c-ares 1.18 answers from what it knows, and leaks ten bytes. */
static void localhost_needs_no_server(void **state)
{
	char path[] = "/tmp/outrigger-hosts-XXXXXX";
	(void)state;
	use_hosts(path, "127.0.0.1 localhost\n");
	add(CONF_STATIC, "http://localhost:3000");
	settle();
	unlink(path);
	assert_string_equal(addresses(), "127.0.0.1:3000");
	assert_int_equal(scene.server.asked, 0);
}

static void both_families(void **state)
{
	(void)state;
	nameserver_a(&scene.server, "app.test", "10.0.0.1", 300);
	nameserver_a(&scene.server, "app.test", "10.0.0.2", 300);
	nameserver_a(&scene.server, "app.test", "fd00::1", 300);
	add(CONF_STATIC, "http://app.test:8080");
	settle();
	assert_string_equal(addresses(), "10.0.0.1:8080 10.0.0.2:8080 fd00::1:8080");
	assert_int_equal(scene.server.asked, 2);
}

static void literal_and_socket_are_settled(void **state)
{
	struct conf_endpoint two[] = { { SPAN("http://127.0.0.1:1"), 1 }, { SPAN("unix:/run/app.sock"), 1 } };
	(void)state;
	scene.upstream = upstream_like(&(struct conf_upstream){ .endpoints = two, .endpoint_count = 2 });
	assert_true(resolver_add(scene.resolver, scene.upstream));
	settle();
	assert_int_equal(scene.server.asked, 0);
}

static void follows_ttl_and_keeps_the_last_good(void **state)
{
	(void)state;
	nameserver_a(&scene.server, "app.test", "10.0.0.1", 1);
	add(CONF_STATIC, "http://app.test:80");
	settle();
	assert_string_equal(addresses(), "10.0.0.1:80");
	nameserver_forget(&scene.server);
	nameserver_a(&scene.server, "app.test", "10.0.0.2", 0);           /* asked again after 1 s all the same */
	assert_true(stage_until(scene.stage, addresses_are, "10.0.0.2:80", 2000));
	scene.server.rcode = 2;
	unsigned asked = scene.server.asked;
	stage_wait(scene.stage, 1500);
	assert_true(scene.server.asked > asked && scene.server.asked <= asked + 12);
	assert_string_equal(addresses(), "10.0.0.2:80");
	scene.server.rcode = 0;
	nameserver_forget(&scene.server);
	nameserver_a(&scene.server, "app.test", "10.0.0.3", 60);
	assert_true(stage_until(scene.stage, addresses_are, "10.0.0.3:80", 6000));
}

static void unknown_name_then_known(void **state)
{
	(void)state;
	add(CONF_STATIC, "http://app.test:80");
	settle();
	assert_int_equal(why_none(), REASON_dns_error);
	nameserver_a(&scene.server, "app.test", "10.0.0.1", 60);
	assert_true(stage_until(scene.stage, addresses_are, "10.0.0.1:80", 2500));
}

static void silent_server(void **state)
{
	(void)state;
	scene.server.mute = true;
	add(CONF_STATIC, "http://app.test:80");
	uint64_t from = uv_hrtime();
	settle();
	assert_int_equal(why_none(), REASON_dns_timeout);
	assert_true(uv_hrtime() - from < 5000000000u);
}

/* ── dns: ── */

static void addresses_become_endpoints(void **state)
{
	(void)state;
	nameserver_a(&scene.server, "pods.test", "10.0.0.1", 1);
	nameserver_a(&scene.server, "pods.test", "10.0.0.2", 1);
	nameserver_a(&scene.server, "pods.test", "fd00::1", 1);
	add(CONF_DNS, "http://pods.test:9200");
	assert_string_equal(endpoints(), "");
	settle();
	assert_int_equal(scene.upstream->generation, 1);
	struct endpoint_set *before = upstream_endpoints(scene.upstream);
	assert_int_equal(before->count, 3);

	nameserver_forget(&scene.server);         /* the same in another order is no change */
	nameserver_a(&scene.server, "pods.test", "fd00::1", 1);
	nameserver_a(&scene.server, "pods.test", "10.0.0.2", 1);
	nameserver_a(&scene.server, "pods.test", "10.0.0.1", 1);
	stage_wait(scene.stage, 1300);
	assert_int_equal(scene.upstream->generation, 1);

	struct endpoint *kept = NULL, *other = NULL;
	for (unsigned i = 0; i < 3; i++)
		if (span_eq(before->at[i]->name, SPAN("10.0.0.2:9200")))
			kept = before->at[i];
	assert_non_null(kept);
	nameserver_forget(&scene.server);
	nameserver_a(&scene.server, "pods.test", "10.0.0.3", 60);
	nameserver_a(&scene.server, "pods.test", "10.0.0.2", 60);
	assert_true(stage_until(scene.stage, endpoints_are, "10.0.0.2:9200*1 10.0.0.3:9200*1", 3000));
	other = first_endpoint();
	assert_ptr_equal(other, kept);
	assert_int_equal(scene.upstream->generation, 2);
	endpoint_set_unref(before);
}

static void literal_host_of_dns(void **state)
{
	(void)state;
	add(CONF_DNS, "http://[::1]:9200");
	settle();
	assert_string_equal(endpoints(), "[::1]:9200*1");
	assert_string_equal(addresses(), "::1:9200");
}

/* ── srv: ── */

#define SERVICE "_http._tcp.billing.test"
static void service(unsigned priority, unsigned weight, unsigned port, const char *target, uint32_t ttl)
{
	nameserver_srv(&scene.server, SERVICE, (unsigned[]){ priority, weight, port }, target, ttl);
}

static void targets_of_best_priority(void **state)
{
	(void)state;
	service(10, 3, 8001, "a.test", 60);
	service(20, 1, 8009, "spare.test", 60);
	service(10, 0, 8002, "b.test", 60);
	nameserver_a(&scene.server, "a.test", "10.0.0.1", 60);
	nameserver_a(&scene.server, "b.test", "10.0.0.2", 60);
	add(CONF_SRV, SERVICE);
	settle();
	assert_string_equal(endpoints(), "a.test:8001*3 b.test:8002*1");
	assert_string_equal(addresses(), "10.0.0.1:8001");
	assert_int_equal(scene.upstream->generation, 1);
	assert_int_equal(scene.server.asked, 1 + 2 * 2);
}

static void services_change(void **state)
{
	(void)state;
	service(10, 1, 8001, "a.test", 1);
	nameserver_a(&scene.server, "a.test", "10.0.0.1", 60);
	add(CONF_SRV, SERVICE);
	settle();
	struct endpoint *a = first_endpoint();
	a->unhealthy = true;

	nameserver_forget(&scene.server);
	service(10, 5, 8001, "a.test", 1);
	service(10, 1, 8002, "b.test", 1);
	nameserver_a(&scene.server, "a.test", "10.0.0.1", 60);
	nameserver_a(&scene.server, "b.test", "10.0.0.2", 60);
	assert_true(stage_until(scene.stage, endpoints_are, "a.test:8001*5 b.test:8002*1", 3000));
	assert_true(endpoint_is_unhealthy(first_endpoint()));             /* a successor, with its mark ... */
	assert_string_equal(addresses(), "10.0.0.1:8001");                /* ... and its address */

	nameserver_forget(&scene.server);
	service(10, 1, 8002, "b.test", 60);
	nameserver_a(&scene.server, "b.test", "10.0.0.2", 60);
	assert_true(stage_until(scene.stage, endpoints_are, "b.test:8002*1", 3000));
	assert_string_equal(addresses(), "10.0.0.2:8002");
}

static void service_not_here(void **state)
{
	(void)state;
	service(0, 0, 0, "", 60);                 /* the target "." */
	add(CONF_SRV, SERVICE);
	settle();
	assert_string_equal(endpoints(), "");
}

static void damaged_answers(void **state)
{
	(void)state;
	service(10, 1, 8001, "a.test", 60);
	service(10, 1, 8002, "b.test", 60);
	scene.server.cut = 75;                    /* in the middle of the first record */
	add(CONF_SRV, SERVICE);
	settle();
	assert_string_equal(endpoints(), "");
	nameserver_a(&scene.server, "a.test", "10.0.0.1", 60);
	scene.server.cut = 0;
	assert_true(stage_until(scene.stage, endpoints_are, "a.test:8001*1 b.test:8002*1", 4000));
}

/* ── endings ── */

static void removed_while_asking(void **state)
{
	(void)state;
	scene.server.mute = true;
	add(CONF_SRV, SERVICE);
	stage_wait(scene.stage, 50);
	assert_true(scene.server.asked > 0);
	resolver_remove(scene.resolver, scene.upstream);
	assert_int_equal(scene.upstream->refs, 1);
	settle();                                 /* nothing left to wait for */
	scene.server.mute = false;
	service(10, 1, 8001, "a.test", 60);
	stage_wait(scene.stage, 1300);            /* the second try is answered, and nobody minds */
	assert_string_equal(endpoints(), "");
}

static void freed_while_asking(void **state)
{
	(void)state;
	scene.server.mute = true;
	add(CONF_DNS, "http://pods.test:80");
	resolver_on_settled(scene.resolver, count_settled, &scene.settled);
	stage_wait(scene.stage, 50);
	assert_true(scene.server.asked > 0);
	resolver_free(scene.resolver);
	scene.resolver = NULL;
	stage_wait(scene.stage, 50);
	assert_int_equal(scene.settled, 0);
}

int main(void)
{
#define SCENE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
		SCENE(hosts_file), SCENE(localhost_needs_no_server), SCENE(both_families), SCENE(literal_and_socket_are_settled),
		SCENE(follows_ttl_and_keeps_the_last_good), SCENE(unknown_name_then_known), SCENE(silent_server),
		SCENE(addresses_become_endpoints), SCENE(literal_host_of_dns),
		SCENE(targets_of_best_priority), SCENE(services_change), SCENE(service_not_here), SCENE(damaged_answers),
		SCENE(removed_while_asking), SCENE(freed_while_asking),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
