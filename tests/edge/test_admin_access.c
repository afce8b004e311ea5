/* test_admin_access.c - who gets in: by path, peer, token, Host and Origin. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../src/app/admin_access.h"

static struct span publics[] = { SPAN("/livez") };
static struct conf_admin conf = { .listen = SPAN("admin.example:9901"), .public_paths = { publics, 1 } };
static struct admin_access access_to;

struct visit { const char *peer, *path, *host, *authorization, *origin; bool changes, in; };

static bool gets_in(const struct visit *v)
{
	struct exchange ex;
	memset(&ex, 0, sizeof(ex));
	arena_init(&ex.arena, NULL, 65536);
	ex.client_address = span_of(v->peer);
	ex.request.path = span_of(v->path);
	ex.request.authority = span_of(v->host);
	assert_true(fields_init(&ex.request.fields, &ex.arena, 4));
	if (v->authorization)
		assert_true(fields_add_id(&ex.request.fields, FIELD_AUTHORIZATION, span_of(v->authorization)));
	if (v->origin)
		assert_true(fields_add_id(&ex.request.fields, FIELD_ORIGIN, span_of(v->origin)));
	const char *why = admin_access_refuses(&access_to, &ex, v->changes);
	arena_fini(&ex.arena);
	return why == NULL;
}

static void visit_all(const struct visit *visits, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (gets_in(&visits[i]) != visits[i].in)
			fail_msg("row %zu: %s %s from %s", i, visits[i].host, visits[i].path, visits[i].peer);
}

static void test_without_token(void **state)
{
	static const struct visit visits[] = {
		{ "10.0.0.9", "/livez", "evil.example", NULL, NULL, false, true },        /* public */
		{ "10.0.0.9", "/livez", "10.0.0.1:9901", NULL, NULL, true, false },       /* ... to look at */
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", NULL, NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer ", NULL, false, false },
		{ "127.0.0.1", "/routes", "127.0.0.1:9901", NULL, NULL, false, true },
		{ "127.8.8.8", "/routes", "localhost:9901", NULL, NULL, false, true },
		{ "::1", "/routes", "[::1]:9901", NULL, NULL, false, true },
		{ "", "/routes", "localhost", NULL, NULL, false, true },                  /* a unix socket */
		{ "127.0.0.1", "/routes", "", NULL, NULL, false, true },                  /* HTTP/1.0 */
		{ "127.0.0.1", "/routes", "Admin.Example:9901", NULL, NULL, false, true },
		{ "127.0.0.1", "/routes", "evil.example:9901", NULL, NULL, false, false },/* rebound */
		{ "127.0.0.1", "/routes", "localhost.evil.example", NULL, NULL, false, false },
		{ "127.0.0.1", "/routes", "127.0.0.1.evil.example", NULL, NULL, false, false },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, NULL, true, true },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, "http://127.0.0.1:9901", true, true },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, "http://127.0.0.1:8080", true, false },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, "http://evil.example", true, false },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, "https://127.0.0.1:9901", true, false },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, "null", true, false },
		{ "127.0.0.1", "/drain", "127.0.0.1:9901", NULL, "", true, false },
	};
	char why[128];
	(void)state;
	assert_true(admin_access_init(&access_to, &conf, why));
	visit_all(visits, sizeof(visits) / sizeof(*visits));
}

static bool init_with(const char *token, char why[128])
{
	static char name[64];
	snprintf(name, sizeof(name), "/tmp/outrigger-token-XXXXXX");
	int fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, token, strlen(token)), strlen(token));
	close(fd);
	struct conf_admin with = conf;
	with.token_file = span_of(name);
	bool ok = admin_access_init(&access_to, &with, why);
	unlink(name);
	access_to.conf = &conf;
	return ok;
}

static void test_with_token(void **state)
{
	static const struct visit visits[] = {
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer s3cret", NULL, false, true },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "bearer   s3cret", NULL, false, true },
		{ "10.0.0.9", "/drain", "10.0.0.1:9901", "Bearer s3cret", NULL, true, true },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer s3cre", NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer s3crets", NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer s3crets3cret", NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer S3cret", NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Bearer ", NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", "Basic s3cret", NULL, false, false },
		{ "10.0.0.9", "/routes", "10.0.0.1:9901", NULL, NULL, false, false },
		{ "10.0.0.9", "/routes", "evil.example", "Bearer s3cret", NULL, false, false },
	};
	char why[128];
	(void)state;
	assert_true(init_with("s3cret\n", why));
	visit_all(visits, sizeof(visits) / sizeof(*visits));
}

static void test_bad_token_files(void **state)
{
	static char longest[TOKEN_MAX_BYTES + 1];
	char why[128];
	struct conf_admin missing = conf;
	(void)state;
	assert_false(init_with("\n", why));
	assert_non_null(strstr(why, "empty"));
	memset(longest, 'x', sizeof(longest) - 1);
	assert_false(init_with(longest, why));
	assert_non_null(strstr(why, "too long"));
	missing.token_file = SPAN("/nowhere/token");
	assert_false(admin_access_init(&access_to, &missing, why));
	assert_non_null(strstr(why, "No such file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_token), cmocka_unit_test(test_with_token), cmocka_unit_test(test_bad_token_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
