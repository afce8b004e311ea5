/* test_keyring.c - getting keys from servers and files of ours: when, how often, and what becomes of bad answers. */
#include <cjose/cjose.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/keyring.h"
#include "base/log.h"
#include "peer.h"
#include "stage.h"

struct scene {
	struct stage   *stage;
	struct peer     peer;
	struct fetcher *fetcher;
	struct shared  *shared;
	struct keyring *ring;
	struct key_source *source;
	char            url[120], set[2][4096], reply[6000];
};
static struct scene scene;
static const struct key_terms terms = { 3600000000, 1000000 };

/* Two sets of one key each. */
static int make_sets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		cjose_jwk_t *key = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, NULL);
		char *json = key ? cjose_jwk_to_json(key, false, NULL) : NULL;
		if (!json)
			return -1;
		snprintf(scene.set[i], sizeof(scene.set[i]), "{\"keys\":[%s]}", json);
		free(json);
		cjose_jwk_release(key);
	}
	log_set_level(LOG_ERROR);
	return 0;
}

static void answers(const char *status, const char *fields, const char *body)
{
	snprintf(scene.reply, sizeof(scene.reply), "HTTP/1.1 %s\r\n%scontent-length: %zu\r\n\r\n%s", status, fields, strlen(body), body);
	scene.peer.reply = scene.reply;
}

static int open_scene(void **state)
{
	(void)state;
	memset(&scene, 0, offsetof(struct scene, set));
	scene.stage = stage_open();
	assert_true(peer_open(&scene.peer, &scene.stage->loop.uv, "127.0.0.1", 0));
	scene.fetcher = fetcher_new(&scene.stage->loop.uv);
	scene.shared = shared_new();
	scene.ring = keyring_new(&scene.stage->loop.uv, scene.fetcher, scene.shared);
	assert_true(scene.fetcher && scene.shared && scene.ring);
	snprintf(scene.url, sizeof(scene.url), "http://127.0.0.1:%u/keys", scene.peer.port);
	answers("200 OK", "", scene.set[0]);
	return 0;
}

static int close_scene(void **state)
{
	(void)state;
	keyring_free(scene.ring);
	fetcher_free(scene.fetcher);
	if (scene.source)
		key_source_give(scene.shared, scene.source);
	shared_free(scene.shared);                /* fails when a set is still held */
	peer_close(&scene.peer);
	stage_close(scene.stage);
	return 0;
}

static void take(const char *name, const struct key_terms *t)
{
	scene.source = key_source_take(scene.shared, span_of(name), t);
	assert_non_null(scene.source);
	keyring_look(scene.ring);
}

static bool attempts_reach(void *self) { return key_source_attempts(scene.source) >= *(const unsigned *)self; }
static bool attempts(unsigned n, unsigned at_most_ms) { return stage_until(scene.stage, attempts_reach, &n, at_most_ms); }
static unsigned keys(void) { return scene.source->set ? scene.source->set->count : 0; }
static bool asked_with(const char *text) { return memmem(scene.peer.last, scene.peer.last_len, text, strlen(text)) != NULL; }

static void note(void *self) { ++*(unsigned *)self; }
static bool is_one(void *self) { return *(unsigned *)self == 1; }

static void test_fetched_at_once_and_settled(void **state)
{
	unsigned settled = 0;
	(void)state;
	keyring_on_settled(scene.ring, note, &settled);
	assert_int_equal(settled, 1);             /* nothing to wait for */
	take(scene.url, &terms);
	settled = 0;
	keyring_on_settled(scene.ring, note, &settled);
	assert_int_equal(settled, 0);
	assert_true(stage_until(scene.stage, is_one, &settled, 2000));
	assert_true(keys() == 1 && scene.source->state.fetched == 1 && scene.source->state.fetched_us);
	assert_true(asked_with("GET /keys HTTP/1.1\r\n") && !asked_with("If-None-Match"));
	stage_wait(scene.stage, 100);
	assert_int_equal(scene.peer.requests, 1);
}

static void test_settled_by_failures_too(void **state)
{
	unsigned settled = 0;
	(void)state;
	answers("500 Oh", "", "");
	take(scene.url, &terms);
	keyring_on_settled(scene.ring, note, &settled);
	assert_true(stage_until(scene.stage, is_one, &settled, 2000));
	assert_true(keys() == 0 && strcmp(scene.source->state.error, "status 500") == 0);
	answers("200 OK", "", scene.set[0]);
	assert_true(attempts(2, 2000));           /* half a second later at most */
	assert_true(keys() == 1 && !scene.source->state.error[0]);
}

static void test_asked_whether_it_has_changed(void **state)
{
	const struct key_terms often = { 50000, 1000000 };
	(void)state;
	answers("200 OK", "etag: \"one\"\r\n", scene.set[0]);
	take(scene.url, &often);
	assert_true(attempts(1, 2000));
	scene.reply[0] = '\0';
	snprintf(scene.reply, sizeof(scene.reply), "HTTP/1.1 304 Not Modified\r\n\r\n");
	assert_true(attempts(2, 2000));
	assert_true(asked_with("If-None-Match: \"one\"\r\n") && keys() == 1);
	assert_true(scene.source->state.unchanged == 1 && scene.source->state.fetched == 1 && key_source_serial(scene.source) == 1);
	answers("200 OK", "", scene.set[0]);      /* the same bytes: not another set either */
	assert_true(attempts(3, 2000));
	assert_int_equal(key_source_serial(scene.source), 1);
	answers("200 OK", "", scene.set[1]);
	assert_true(attempts(4, 2000));
	assert_int_equal(key_source_serial(scene.source), 2);
	answers("304 Not Modified", "", "");      /* to whom that is no news */
	assert_true(attempts(5, 2000));
	assert_int_equal(keys(), 1);
}

static void test_the_last_good_one_stays(void **state)
{
	static const char *const bad[] = { "", "{", "{\"keys\":[]}", "<html>" };
	const struct key_terms often = { 50000, 300000 };
	unsigned n = 1;
	(void)state;
	take(scene.url, &often);
	assert_true(attempts(n, 2000));
	for (unsigned i = 0; i < 3; i++) {
		answers("200 OK", "", bad[i]);
		assert_true(attempts(++n, 4000));
		assert_true(keys() == 1 && scene.source->state.error[0]);
		answers("200 OK", "", scene.set[0]);
		assert_true(attempts(++n, 4000));
		assert_false(scene.source->state.error[0]);
	}
	scene.peer.reply = NULL;                  /* never answers */
	assert_true(attempts(++n, 4000));
	assert_string_equal(scene.source->state.error, "timed out");
	assert_true(keys() == 1 && key_source_serial(scene.source) == 1);
}

/* A token with an unknown key: at once, once, and again only after ten seconds. */
static void test_early(void **state)
{
	(void)state;
	take(scene.url, &terms);
	assert_true(attempts(1, 2000));
	assert_true(key_source_want(scene.source, clock_now_us()));
	assert_true(key_source_want(scene.source, clock_now_us()));
	answers("200 OK", "", scene.set[1]);
	assert_true(attempts(2, 1000));
	assert_int_equal(scene.peer.requests, 2);
	assert_int_equal(key_source_serial(scene.source), 2);
	assert_false(key_source_want(scene.source, clock_now_us()));
	assert_false(key_source_want(scene.source, clock_now_us() + 9000000));
	assert_true(key_source_want(scene.source, clock_now_us() + 10000001));
	assert_true(attempts(3, 1000));
}

static void test_without_users_nothing_is_fetched(void **state)
{
	const struct key_terms often = { 50000, 1000000 };
	(void)state;
	take(scene.url, &often);
	assert_true(attempts(1, 2000));
	shared_hold(scene.shared, scene.source);  /* it is there, but nobody uses it */
	key_source_give(scene.shared, scene.source);
	keyring_look(scene.ring);
	assert_false(key_source_want(scene.source, clock_now_us()));
	unsigned requests = scene.peer.requests;
	stage_wait(scene.stage, 300);
	assert_int_equal(scene.peer.requests, requests);
	shared_give(scene.shared, scene.source);
	scene.source = NULL;
}

static void test_closed_in_the_midst_of_a_fetch(void **state)
{
	(void)state;
	scene.peer.reply = NULL;
	take(scene.url, &terms);
	stage_wait(scene.stage, 50);
	assert_int_equal(key_source_attempts(scene.source), 0);
}

static void write_file(const char *path, const char *text)
{
	char next[200];
	snprintf(next, sizeof(next), "%s.next", path);
	FILE *f = fopen(next, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(next, path), 0);
}

static void test_a_file(void **state)
{
	char path[] = "/tmp/test_keyring.XXXXXX", name[64];
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	snprintf(name, sizeof(name), "file:%s", path);
	take(name, &terms);
	assert_true(attempts(1, 2000));
	assert_string_equal(scene.source->state.error, "No such file or directory");
	write_file(path, scene.set[0]);
	assert_true(attempts(2, 3000) && keys() == 1);
	stage_wait(scene.stage, 1200);
	assert_int_equal(key_source_attempts(scene.source), 2);   /* looked at, not read */
	write_file(path, "[");
	assert_true(attempts(3, 3000) && keys() == 1 && scene.source->state.error[0]);
	write_file(path, scene.set[1]);
	assert_true(key_source_want(scene.source, clock_now_us()));
	assert_true(attempts(4, 300));
	assert_true(key_source_serial(scene.source) == 2 && !scene.source->state.error[0]);
	unlink(path);
}

static void test_when(void **state)
{
	const struct key_terms t = { 600000000, 1000000 };
	struct fetch_result r = { .has_max_age = false };
	(void)state;
	assert_int_equal(keyring_pause_us(&t, NULL, 0, 1), 600000000);
	assert_int_equal(keyring_pause_us(&t, &r, 0, 0), 480000000);
	r.has_max_age = true;
	r.max_age_s = 100;
	assert_int_equal(keyring_pause_us(&t, &r, 0, 1), 100000000);
	assert_int_equal(keyring_pause_us(&t, &r, 0, 0), 80000000);       /* never later than told */
	r.max_age_s = 31536000;
	assert_int_equal(keyring_pause_us(&t, &r, 0, 1), 86400000000);
	r.max_age_s = 0;
	assert_int_equal(keyring_pause_us(&t, &r, 0, 1), 600000000);
	assert_int_equal(keyring_pause_us(&t, &r, 1, 1), 500000);
	assert_int_equal(keyring_pause_us(&t, &r, 1, 0), 250000);
	assert_int_equal(keyring_pause_us(&t, &r, 3, 1), 2000000);
	assert_int_equal(keyring_pause_us(&t, &r, 8, 1), 60000000);
	assert_int_equal(keyring_pause_us(&t, &r, 4000000000u, 1), 60000000);
}

/* ── what Cache-Control says ── */

struct told { bool done, has; uint64_t s; };
static void told(void *self, const struct fetch_result *r)
{
	*(struct told *)self = (struct told){ true, r->has_max_age, r->max_age_s };
}
static bool is_done(void *self) { return ((struct told *)self)->done; }

static void test_max_age(void **state)
{
	static const struct { const char *fields; bool has; uint64_t s; } cases[] = {
		{ "", false, 0 }, { "Cache-Control: max-age=300\r\n", true, 300 }, { "cache-control: public, MAX-AGE=7 , must-revalidate\r\n", true, 7 },
		{ "Cache-Control: public\r\nCache-Control: max-age=5\r\n", true, 5 }, { "Cache-Control: no-store\r\n", true, 0 },
		{ "Cache-Control: max-age=60, no-cache\r\n", true, 0 }, { "Cache-Control: max-age=-1\r\n", false, 0 }, { "Cache-Control: max-age=\r\n", false, 0 },
		{ "Cache-Control: s-maxage=9, max-age=99999999999999999999\r\n", false, 0 }, { "X-Cache-Control: max-age=1\r\n", false, 0 },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct told got = { .done = false };
		answers("200 OK", cases[i].fields, "x");
		struct fetch_request r = { .url = scene.url, .timeout_us = 1000000, .max_body = 10, .done = told, .self = &got };
		assert_non_null(fetch_start(scene.fetcher, &r));
		assert_true(stage_until(scene.stage, is_done, &got, 2000));
		if (got.has != cases[i].has || (got.has && got.s != cases[i].s))
			fail_msg("%s: %d %llu", cases[i].fields, got.has, (unsigned long long)got.s);
	}
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)
int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_fetched_at_once_and_settled), SCENE(test_settled_by_failures_too), SCENE(test_asked_whether_it_has_changed),
		SCENE(test_the_last_good_one_stays), SCENE(test_early), SCENE(test_without_users_nothing_is_fetched),
		SCENE(test_closed_in_the_midst_of_a_fetch), SCENE(test_a_file), cmocka_unit_test(test_when), SCENE(test_max_age),
	};
	return cmocka_run_group_tests(tests, make_sets, NULL);
}
