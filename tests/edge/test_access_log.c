/* test_access_log.c - where lines go when the log moves while data threads write, step by step. The threads are played one after the other here;
 * tests/e2e/test_access_log.py has them at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/access_log.h"
#include "base/log.h"
#include "stage.h"

enum { WORKERS = 2, TICKS_MS = 70, FAREWELL_MS = 1000, LINES = 100 };

struct scene {
	struct stage      *stage;
	char               folder[32], a[40], b[40];
	struct conf        conf[4];
	unsigned           confs;
	struct worker      workers[WORKERS];
	struct access_log *log;
	struct text        why;
	char               long_path[2000];
};
static struct scene scene;

/* Never freed as a configuration: it has no arena. */
static struct conf *conf_to(enum conf_access_to to, const char *file)
{
	struct conf *c = &scene.conf[scene.confs++];
	c->refs = 1;
	c->access_log = (struct conf_access_log){ .to = to, .file = file ? span_of(file) : SPAN_NONE, .format = CONF_ACCESS_TEXT, .sample = 1 };
	return c;
}

static int open_scene(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.stage = stage_open();
	snprintf(scene.folder, sizeof(scene.folder), "/tmp/test_log.XXXXXX");
	assert_non_null(mkdtemp(scene.folder));
	snprintf(scene.a, sizeof(scene.a), "%s/a", scene.folder);
	snprintf(scene.b, sizeof(scene.b), "%s/b", scene.folder);
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_init(&scene.workers[i], i, i + 1);
		scene.workers[i].wall_ms = 1795216324123;
	}
	memset(scene.long_path, 'x', sizeof(scene.long_path) - 1);
	scene.long_path[0] = '/';
	text_init(&scene.why, 1000);
	log_set_level(LOG_ERROR);
	return 0;
}

static void begin(enum conf_access_to to, const char *file)
{
	scene.log = access_log_new(conf_to(to, file), &scene.stage->loop, WORKERS, &scene.why);
	assert_non_null(scene.log);
}

static void end(void)
{
	access_log_free(scene.log);
	scene.log = NULL;
	stage_close(scene.stage);
	for (unsigned i = 0; i < scene.confs; i++)
		assert_int_equal(__atomic_load_n(&scene.conf[i].refs, __ATOMIC_RELAXED), 1);
}

static int close_scene(void **state)
{
	(void)state;
	text_fini(&scene.why);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_fini(&scene.workers[i]);
	unlink(scene.a);
	unlink(scene.b);
	return rmdir(scene.folder);
}

static void note(unsigned worker, const char *path)
{
	struct upstream upstream = { .name = SPAN("u") };
	struct route route = { .name = SPAN("r"), .upstream = &upstream };
	struct exchange ex = {
		.worker = &scene.workers[worker], .route = &route, .served_by = SERVED_BY_upstream,
		.request = { .method_text = SPAN("GET"), .authority = SPAN("h"), .path = span_of(path) },
	};
	struct measured m = { .status = 200 };
	access_log_write(scene.log, ex.worker, &ex, &m);
}

static void prepare(enum conf_access_to to, const char *file) { assert_int_equal(access_log_prepare(scene.log, conf_to(to, file), &scene.why), 0); }
static void adopt(unsigned worker) { access_log_adopt(scene.log, &scene.workers[worker]); }
static void let_it_write(void) { stage_wait(scene.stage, TICKS_MS); }

static void adopt_all(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		adopt(i);
	access_log_adopted(scene.log);
}

/* Lines with this path in what a descriptor gives. */
static unsigned count_in(int fd, const char *path)
{
	static char text[1 << 20];
	char word[2048];
	size_t len = 0;
	ssize_t n;
	unsigned found = 0;
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	snprintf(word, sizeof(word), " h%s → u\n", path);
	for (char *at = text; (at = strstr(at, word)); at += strlen(word))
		found++;
	return found;
}

static unsigned count(const char *file, const char *path)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	unsigned found = count_in(fd, path);
	close(fd);
	return found;
}

static void test_each_line_goes_where_its_settings_say(void **state)
{
	(void)state;
	begin(CONF_LOG_FILE, scene.a);
	note(0, "/old");
	note(1, "/old");
	prepare(CONF_LOG_FILE, scene.b);
	adopt(0);
	note(0, "/new");
	note(1, "/old");                          /* has not heard of it yet */
	let_it_write();
	assert_int_equal(count(scene.a, "/old"), 3);
	assert_int_equal(count(scene.b, "/new"), 1);      /* nobody waits for the other thread */
	note(1, "/old");
	adopt(1);
	note(1, "/new");
	note(0, "/new");
	access_log_adopted(scene.log);
	let_it_write();
	assert_int_equal(count(scene.a, "/old"), 4);
	assert_int_equal(count(scene.b, "/new"), 3);
	assert_int_equal(count(scene.a, "/new") + count(scene.b, "/old"), 0);
	assert_int_equal(access_log_dropped(scene.log), 0);
	end();
}

static void test_it_ends_in_the_middle_of_a_reload(void **state)
{
	(void)state;
	begin(CONF_LOG_FILE, scene.a);
	note(1, "/old");
	prepare(CONF_LOG_FILE, scene.b);
	adopt(0);
	note(0, "/new");
	note(1, "/old");
	end();
	assert_int_equal(count(scene.a, "/old"), 2);
	assert_int_equal(count(scene.b, "/new"), 1);
}

static void test_prepared_and_discarded(void **state)
{
	(void)state;
	begin(CONF_LOG_FILE, scene.a);
	access_log_discard(scene.log);            /* nothing is prepared: nothing happens */
	prepare(CONF_LOG_FILE, scene.b);
	access_log_discard(scene.log);
	note(0, "/old");
	prepare(CONF_LOG_FILE, scene.b);
	adopt_all();
	note(0, "/new");
	end();
	assert_int_equal(count(scene.a, "/old"), 1);
	assert_int_equal(count(scene.b, "/new"), 1);
}

static void test_what_cannot_be_opened(void **state)
{
	(void)state;
	char want[100];
	begin(CONF_LOG_FILE, scene.a);
	snprintf(want, sizeof(want), "access_log: %s/b: Not a directory", scene.a);
	char below[64];
	snprintf(below, sizeof(below), "%s/b", scene.a);
	assert_int_equal(access_log_prepare(scene.log, conf_to(CONF_LOG_FILE, below), &scene.why), ENOTDIR);
	assert_true(span_eq(text_span(&scene.why), span_of(want)));
	note(0, "/old");
	end();
	assert_int_equal(count(scene.a, "/old"), 1);
}

/* There was no memory to tell thread 1 that the log is off: its lines go nowhere, and it is not forgotten for good. */
static void test_a_thread_that_was_not_told(void **state)
{
	(void)state;
	begin(CONF_LOG_FILE, scene.a);
	prepare(CONF_LOG_OFF, NULL);
	adopt(0);
	access_log_adopted(scene.log);
	note(0, "/unheard");
	note(1, "/lost");
	let_it_write();
	assert_int_equal(access_log_dropped(scene.log), 1);
	prepare(CONF_LOG_FILE, scene.b);
	adopt_all();
	note(0, "/new");
	note(1, "/new");
	let_it_write();
	assert_int_equal(access_log_dropped(scene.log), 1);
	end();
	assert_int_equal(count(scene.a, "/lost") + count(scene.b, "/lost"), 0);
	assert_int_equal(count(scene.b, "/new"), 2);
}

static void test_the_same_place_is_not_opened_again(void **state)
{
	(void)state;
	begin(CONF_LOG_FILE, scene.a);
	assert_int_equal(rename(scene.a, scene.b), 0);
	prepare(CONF_LOG_FILE, scene.a);
	scene.conf[1].access_log.sample = 0;
	adopt_all();
	note(0, "/sampled-away");
	prepare(CONF_LOG_FILE, scene.a);
	access_log_discard(scene.log);            /* and what goes on is not closed */
	prepare(CONF_LOG_FILE, scene.a);
	adopt_all();
	note(0, "/old");
	access_log_reopen(scene.log);
	note(0, "/new");
	end();
	assert_int_equal(count(scene.b, "/sampled-away"), 0);
	assert_int_equal(count(scene.b, "/old"), 1);
	assert_int_equal(count(scene.a, "/new"), 1);
}

/* A pipe that takes less than all of it, and is read by the test only. */
static int make_pipe(void)
{
	assert_int_equal(mkfifo(scene.a, 0600), 0);
	int fd = open(scene.a, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void move_away_from_a_full_pipe(void)
{
	begin(CONF_LOG_FILE, scene.a);
	for (unsigned i = 0; i < LINES; i++)
		note(i % WORKERS, scene.long_path);
	let_it_write();
	prepare(CONF_LOG_FILE, scene.b);
	adopt_all();
	note(0, "/new");
	let_it_write();
	assert_int_equal(count(scene.b, "/new"), 1);      /* at once */
	assert_int_equal(access_log_dropped(scene.log), 0);
}

static void test_who_reads_again_in_time_gets_all(void **state)
{
	(void)state;
	int fd = make_pipe();
	unsigned found = 0;
	move_away_from_a_full_pipe();
	static char text[LINES * 2100];
	size_t len = 0;
	for (unsigned turns = 0; turns < 600 && found < LINES; turns++) {
		ssize_t n = read(fd, text + len, sizeof(text) - len);
		len += n > 0 ? (size_t)n : 0;
		found = 0;
		for (size_t i = 0; i < len; i++)
			found += text[i] == '\n';
		stage_wait(scene.stage, 3);
	}
	assert_int_equal(found, LINES);
	assert_int_equal(access_log_dropped(scene.log), 0);
	end();
	close(fd);
}

static void test_who_does_not_costs_lines(void **state)
{
	(void)state;
	int fd = make_pipe();
	move_away_from_a_full_pipe();
	stage_wait(scene.stage, FAREWELL_MS + TICKS_MS);
	unsigned took = count_in(fd, scene.long_path);
	assert_true(took > 0);
	assert_int_equal(took + access_log_dropped(scene.log), LINES);
	end();
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
		TEST(test_each_line_goes_where_its_settings_say), TEST(test_it_ends_in_the_middle_of_a_reload), TEST(test_prepared_and_discarded),
		TEST(test_what_cannot_be_opened), TEST(test_a_thread_that_was_not_told), TEST(test_the_same_place_is_not_opened_again),
		TEST(test_who_reads_again_in_time_gets_all), TEST(test_who_does_not_costs_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
