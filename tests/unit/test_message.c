/* test_message.c - methods, phrases, paths for matching, authorities: by tables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "http/message.h"

static void methods(void **state)
{
	(void)state;
#define X(word, text, safe, idempotent) \
	assert_int_equal(method_of(SPAN(text)), METHOD_##word); \
	assert_string_equal(method_name(METHOD_##word), text); \
	assert_int_equal(method_is_idempotent(METHOD_##word), idempotent);
	METHODS(X)
#undef X
	static const char *const others[] = { "", "get", "GETS", "GE", "PROPFIND", "OPTION", "CONNECTS", "DELETX", "HEAX", "PUX" };
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_int_equal(method_of(span_of(others[i])), METHOD_OTHER);
	assert_string_equal(method_name(METHOD_OTHER), "OTHER");
	assert_false(method_is_idempotent(METHOD_OTHER));
}

static void phrases(void **state)
{
	(void)state;
	assert_string_equal(status_phrase(200), "OK");
	assert_string_equal(status_phrase(404), "Not Found");
	assert_string_equal(status_phrase(503), "Service Unavailable");
	assert_string_equal(status_phrase(299), "");
	assert_string_equal(status_phrase(0), "");
}

static void bodies(void **state)
{
	(void)state;
	assert_true(reply_has_no_body(METHOD_HEAD, 200));
	assert_true(reply_has_no_body(METHOD_GET, 204));
	assert_true(reply_has_no_body(METHOD_GET, 304));
	assert_true(reply_has_no_body(METHOD_GET, 103));
	assert_false(reply_has_no_body(METHOD_GET, 200));
	assert_false(reply_has_no_body(METHOD_POST, 205));
}

static void paths(void **state)
{
	static const struct { const char *target, *path, *query, *route; } table[] = {   /* route NULL: refused */
		{ "/",                   "/",             NULL,    "/" },
		{ "*",                   "*",             NULL,    "*" },
		{ "/a/b",                "/a/b",          NULL,    "/a/b" },
		{ "/a?b",                "/a",            "b",     "/a" },
		{ "/a?",                 "/a",            "",      "/a" },
		{ "/?a?b",               "/",             "a?b",   "/" },
		{ "/a?b=../%zz",         "/a",            "b=../%zz", "/a" },
		{ "/.",                  "/.",            NULL,    "/" },
		{ "/./",                 "/./",           NULL,    "/" },
		{ "/a/.",                "/a/.",          NULL,    "/a/" },
		{ "/a/..",               "/a/..",         NULL,    "/" },
		{ "/a/../",              "/a/../",        NULL,    "/" },
		{ "/a/b/../c",           "/a/b/../c",     NULL,    "/a/c" },
		{ "/a/b/../../c",        "/a/b/../../c",  NULL,    "/c" },
		{ "/a/./././b/./",       "/a/./././b/./", NULL,    "/a/b/" },
		{ "//a//b",              "//a//b",        NULL,    "//a//b" },
		{ "/a//../b",            "/a//../b",      NULL,    "/a/b" },
		{ "//..",                "//..",          NULL,    "/" },
		{ "/...",                "/...",          NULL,    "/..." },
		{ "/.a/..b/c..",         "/.a/..b/c..",   NULL,    "/.a/..b/c.." },
		{ "/a/..;x/b",           "/a/..;x/b",     NULL,    "/a/..;x/b" },
		{ "/a;p=1/b",            "/a;p=1/b",      NULL,    "/a;p=1/b" },
		{ "/%61%2D%2e%5F%7e%41", "/%61%2D%2e%5F%7e%41", NULL, "/a-._~A" },
		{ "/%2e%2e/a",           "/%2e%2e/a",     NULL,    NULL },
		{ "/a/%2E./b",           "/a/%2E./b",     NULL,    "/b" },
		{ "/%2f%5c%00%3f%23%25", "/%2f%5c%00%3f%23%25", NULL, "/%2f%5c%00%3f%23%25" },
		{ "/a%2f..%2fb",         "/a%2f..%2fb",   NULL,    "/a%2f..%2fb" },
		{ "/a\\..\\b",           "/a\\..\\b",     NULL,    "/a\\..\\b" },
		{ "/%c3%a4",             "/%c3%a4",       NULL,    "/%c3%a4" },
		{ "/%252e%252e/",        "/%252e%252e/",  NULL,    "/%252e%252e/" },
		{ "/..",                 "/..",           NULL,    NULL },
		{ "/../a",               "/../a",         NULL,    NULL },
		{ "/a/../..",            "/a/../..",      NULL,    NULL },
		{ "/a/../../a",          "/a/../../a",    NULL,    NULL },
		{ "/%",                  "/%",            NULL,    NULL },
		{ "/%4",                 "/%4",           NULL,    NULL },
		{ "/a%4g",               "/a%4g",         NULL,    NULL },
		{ "/%g4",                "/%g4",          NULL,    NULL },
		{ "a/b",                 "a/b",           NULL,    NULL },
		{ "",                    "",              NULL,    NULL },
		{ "?a",                  "",              "a",     NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct request r = { .target = span_of(table[i].target) };
		struct arena arena;
		bool good;

		arena_init(&arena, NULL, 4096);
		good = request_normalise_path(&r, &arena);
		if (good != (table[i].route != NULL))
			fail_msg("%s: %d", table[i].target, good);
		assert_true(span_eq(r.path, span_of(table[i].path)));
		assert_int_equal(r.query.at != NULL, table[i].query != NULL);
		assert_true(span_eq(r.query, span_of(table[i].query)));
		if (good && !span_eq(r.route_path, span_of(table[i].route)))
			fail_msg("%s: route '" SPAN_FMT "', expected '%s'", table[i].target, SPAN_ARG(r.route_path), table[i].route);
		arena_fini(&arena);
	}
}

static void plain_paths_need_no_memory(void **state)
{
	struct request r = { .target = SPAN("/a.b/c?d=%2e") }, dotted = { .target = SPAN("/a/./b") };
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL, 0);
	assert_true(request_normalise_path(&r, &arena));
	assert_ptr_equal(r.route_path.at, r.path.at);
	assert_false(request_normalise_path(&dotted, &arena));
	arena_fini(&arena);
}

static void authorities(void **state)
{
	static const struct { const char *text, *host, *port; } table[] = {   /* host NULL: refused */
		{ "a",                 "a",           NULL },
		{ "a.example",         "a.example",   NULL },
		{ "a.example:80",      "a.example",   "80" },
		{ "a.example:0",       "a.example",   "0" },
		{ "a.example:65535",   "a.example",   "65535" },
		{ "192.0.2.1:8080",    "192.0.2.1",   "8080" },
		{ "a_b-c~d!$&'()*+;=", "a_b-c~d!$&'()*+;=", NULL },
		{ "[::1]",             "[::1]",       NULL },
		{ "[::1]:80",          "[::1]",       "80" },
		{ "[2001:db8::192.0.2.1]", "[2001:db8::192.0.2.1]", NULL },
		{ "",                  NULL, NULL },
		{ ":80",               NULL, NULL },
		{ "a:",                NULL, NULL },
		{ "a:65536",           NULL, NULL },
		{ "a:000080",          NULL, NULL },
		{ "a:8a",              NULL, NULL },
		{ "a:-1",              NULL, NULL },
		{ "a:80:80",           NULL, NULL },
		{ "a b",               NULL, NULL },
		{ "a,b",               NULL, NULL },
		{ "a/b",               NULL, NULL },
		{ "u@a",               NULL, NULL },
		{ "a?b",               NULL, NULL },
		{ "a#b",               NULL, NULL },
		{ "a%2eb",             NULL, NULL },
		{ "a\\b",              NULL, NULL },
		{ "\xc3\xa4",          NULL, NULL },
		{ "[]",                NULL, NULL },
		{ "[",                 NULL, NULL },
		{ "[::1",              NULL, NULL },
		{ "[::1]a",            NULL, NULL },
		{ "[::1]:",            NULL, NULL },
		{ "[1]",               NULL, NULL },
		{ "[v1.x:y]",          NULL, NULL },
		{ "[fe80::1%25eth0]",  NULL, NULL },
		{ "::1",               NULL, NULL },
		{ "a]",                NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct span host = SPAN_NONE, port = SPAN_NONE;
		bool good = authority_split(span_of(table[i].text), &host, &port);

		if (good != (table[i].host != NULL))
			fail_msg("%s: %d", table[i].text, good);
		if (!good)
			continue;
		assert_true(span_eq(host, span_of(table[i].host)));
		assert_int_equal(port.at != NULL, table[i].port != NULL);
		assert_true(span_eq(port, span_of(table[i].port)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods), cmocka_unit_test(phrases), cmocka_unit_test(bodies), cmocka_unit_test(paths),
		cmocka_unit_test(plain_paths_need_no_memory), cmocka_unit_test(authorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
