/* test_walk.c - the walker through its public face. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "world.h"

static struct world w;
static const struct span plain = { "listen: 127.0.0.1:8080\nroutes: [{path: /, upstream: 'http://10.0.0.1:80'}]\n",
	sizeof("listen: 127.0.0.1:8080\nroutes: [{path: /, upstream: 'http://10.0.0.1:80'}]\n") - 1 };

static void test_plain(void **state)
{
	(void)state;
	assert_true(world_open(&w, &(struct world_plan){ .config = plain, .witnesses = true }));
	struct deed *d = script_add(world_script(&w, NULL));
	d->after_us = 5000;
	d->body = 300000;
	d->by = 1000;
	struct guest *g = world_guest(&w, 0, "GET", "/a");
	world_run(&w);
	world_print(&w);
	assert_int_equal(g->status, 200);
	assert_int_equal(g->got, 300000);
	assert_int_equal(g->head_us, 5000);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_plain) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
