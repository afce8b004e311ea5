/* test_log.c - formats, escaping, cutting; the ring under a slow reader, a full ring, and many threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

static int ends[2];
static unsigned woken;
static char said[2 << 20];
static size_t said_len;

static void wake(void *self) { ++*(unsigned *)self; }

static int begin(void **state)
{
	(void)state;
	woken = 0;
	said_len = 0;
	return pipe2(ends, O_NONBLOCK);
}

static int end(void **state)
{
	(void)state;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* Appends what the pipe holds to said[]; true when there was something. */
static bool hear(void)
{
	ssize_t n = read(ends[0], said + said_len, sizeof(said) - 1 - said_len);

	if (n > 0)
		said_len += (size_t)n;
	said[said_len] = '\0';
	return n > 0;
}

static void start(enum log_format format)
{
	log_setup(LOG_INFO, format, ends[1]);
	log_start(wake, &woken);
}

static void hear_all(void)
{
	log_stop();
	while (hear())
		log_flush();
}

static void assert_ends_with(const char *want)
{
	assert_true(said_len >= strlen(want));
	assert_string_equal(said + said_len - strlen(want), want);
}

static void text_lines(void **state)
{
	(void)state;
	uint64_t v[4];

	start(LOG_TEXT);
	log_event(LOG_WARN, "endpoint_ejected", "upstream", "orders", "endpoint", "10.0.8.3:8080", NULL);
	assert_int_equal(woken, 1);
	assert_false(hear());                                             /* nothing is written until the writer does */
	hear_all();
	assert_ends_with(" warn endpoint_ejected upstream=orders endpoint=10.0.8.3:8080\n");
	assert_true(said[2] == ':' && said[5] == ':' && said[8] == '.' && said[12] == ' ');
	assert_true(span_to_u64((struct span){ said, 2 }, 23, &v[0]) && span_to_u64((struct span){ said + 3, 2 }, 59, &v[1]));
	assert_true(span_to_u64((struct span){ said + 6, 2 }, 60, &v[2]));
	assert_true(span_to_u64((struct span){ said + 9, 3 }, 999, &v[3]));
}

static void json_lines(void **state)
{
	(void)state;
	start(LOG_JSON);
	log_event(LOG_ERROR, "boom", NULL);
	log_event(LOG_WARN, "endpoint_ejected", "upstream", "orders", "why", "a \"b\"\n", NULL);
	hear_all();
	static const char year[] = "{\"time\":\"2";
	assert_memory_equal(said, year, strlen(year));
	static const char first[] = "Z\",\"level\":\"error\",\"event\":\"boom\"}\n";
	assert_memory_equal(said + strlen("{\"time\":\"2026-11-20T23:12:04.123"), first, strlen(first));
	assert_ends_with("Z\",\"level\":\"warn\",\"event\":\"endpoint_ejected\","
	                 "\"upstream\":\"orders\",\"why\":\"a \\\"b\\\"\\n\"}\n");
}

static void values_cannot_forge_lines_or_fields(void **state)
{
	(void)state;
	static const struct { const char *value, *want; } cases[] = {
		{ "a b", "k=\"a b\"\n" }, { "x\n23:00:00.000 error forged", "k=\"x\\n23:00:00.000 error forged\"\n" },
		{ "a=b", "k=\"a=b\"\n" }, { "", "k=\"\"\n" }, { "\"", "k=\"\\\"\"\n" }, { "\\", "k=\"\\\\\"\n" },
		{ "\x1b[2J", "k=\"\\u001b[2J\"\n" }, { "\xc2\x9b" "2J", "k=\"\\u009b2J\"\n" }, { "\xff", "k=\"\xef\xbf\xbd\"\n" },
		{ "\xc3\xa4", "k=\"\xc3\xa4\"\n" }, { "/a?b&c", "k=/a?b&c\n" },
	};
	start(LOG_TEXT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		log_event(LOG_INFO, "e", "k", cases[i].value, NULL);
		log_flush();
		hear();
		assert_ends_with(cases[i].want);
	}
	log_stop();
}

static void piece_by_piece(void **state)
{
	(void)state;
	struct log_line l;
	for (unsigned json = 0; json < 2; json++) {
		start(json ? LOG_JSON : LOG_TEXT);
		log_begin(&l, LOG_WARN, "e");
		log_span(&l, "upstream", span_first(SPAN("orders and more"), 6));
		log_u64(&l, "left", 18446744073709551615u);
		log_f(&l, "for_s", "%.3f", 2.5);
		log_text(&l, "why", "no reason");
		log_end(&l);
		log_begin(&l, LOG_DEBUG, "unheard");      /* the level is info */
		log_u64(&l, "n", 1);
		log_f(&l, "f", "%d", 2);
		log_end(&l);
		hear_all();
		assert_ends_with(json ? ",\"event\":\"e\",\"upstream\":\"orders\",\"left\":18446744073709551615,\"for_s\":\"2.500\",\"why\":\"no reason\"}\n"
			: " warn e upstream=orders left=18446744073709551615 for_s=2.500 why=\"no reason\"\n");
	}
}

static void a_number_fits_whole_or_not_at_all(void **state)
{
	(void)state;
	char filler[900];
	struct log_line l;
	memset(filler, 'x', sizeof(filler));
	for (size_t cut = 0; cut < 40; cut++) {   /* the last filler ends at each place near the line's end */
		said_len = 0;
		start(LOG_JSON);
		log_begin(&l, LOG_WARN, "e");
		for (unsigned i = 0; i < 4; i++)
			log_span(&l, "k", (struct span){ filler, sizeof(filler) });
		log_span(&l, "k", (struct span){ filler, LOG_LINE_BYTES - l.text.len - 7 - cut });
		log_u64(&l, "number", 1234567890);
		log_end(&l);
		hear_all();
		bool whole = memmem(said, said_len, ",\"number\":1234567890}\n", 22) != NULL;
		assert_true(whole || !memmem(said, said_len, "number", 6));
		assert_int_equal(whole, cut >= 22);
		assert_true(said_len <= LOG_LINE_BYTES && said[said_len - 2] == '}');
	}
}

static void levels(void **state)
{
	(void)state;
	enum log_level level = LOG_INFO;

	start(LOG_TEXT);
	log_event(LOG_DEBUG, "quiet", NULL);
	log_set_level(LOG_DEBUG);
	log_event(LOG_DEBUG, "loud", NULL);
	log_set_level(LOG_ERROR);
	log_event(LOG_WARN, "quiet", NULL);
	assert_int_equal(log_get_level(), LOG_ERROR);
	hear_all();
	assert_ends_with(" debug loud\n");
	assert_null(strstr(said, "quiet"));
	for (enum log_level i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		assert_true(log_level_of(span_of(log_level_name(i)), &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_of(SPAN("warning"), &level));
	assert_int_equal(level, LOG_DEBUG);
}

/* Whatever is too long, the line ends properly: closed quote, closed brace, newline, at most 4 KiB. */
static void long_values_are_cut(void **state)
{
	(void)state;
	static char value[5000];

	for (int json = 0; json < 2; json++) {
		start(json ? LOG_JSON : LOG_TEXT);
		for (size_t len = 900; len < 1100; len++) {
			memset(value, 'v', len);
			for (size_t i = 0; i < len; i += 1 + len % 5)
				value[i] = "\"\x01 v"[len % 4];
			value[len] = '\0';
			said_len = 0;
			log_event(LOG_INFO, "e", "one", value, "two", value, "three", value, "four", value, "five", "end", NULL);
			log_flush();
			assert_true(hear());
			assert_in_range(said_len, 3000, 4096);
			assert_int_equal(said[said_len - 1], '\n');
			assert_ptr_equal(strchr(said, '\n'), said + said_len - 1);
			size_t quotes = 0;
			for (size_t i = 0; i < said_len; i++) {
				if (said[i] == '\\')
					i += said[i + 1] == 'u' ? 5 : 1;
				else
					quotes += said[i] == '"';
			}
			assert_int_equal(quotes % 2, 0);
			if (json)
				assert_ends_with("\"}\n");
		}
		said_len = 0;
		memset(value, 'v', sizeof(value) - 1);
		log_event(LOG_INFO, "e", "k", value, "after", "it", NULL);       /* one long value does not push out the next */
		log_flush();
		hear();
		assert_ends_with(json ? ",\"after\":\"it\"}\n" : " after=it\n");
		log_stop();
	}
}

static void a_full_ring_drops_and_counts(void **state)
{
	(void)state;
	char number[24], want[48];
	uint64_t before = log_dropped();
	unsigned logged = 20000, lines = 0;

	start(LOG_TEXT);
	for (unsigned i = 0; i < logged; i++) {
		snprintf(number, sizeof(number), "%06u", i);
		log_event(LOG_INFO, "fill", "n", number, NULL);
		if (i % 1000 == 0)
			log_flush();          /* the pipe takes 64 KiB, then nothing: no hanging */
	}
	uint64_t dropped = log_dropped() - before;
	assert_true(dropped > 0);
	hear_all();
	for (const char *at = said; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines + dropped, logged);
	unsigned n = 0;
	/* the oldest are kept, whole, in order */
	for (const char *at = strstr(said, " n="); at; at = strstr(at + 1, " n="), n++) {
		snprintf(want, sizeof(want), " n=%06u\n", n);
		assert_memory_equal(at, want, strlen(want));
		if (n == 5000)
			break;
	}
	assert_int_equal(n, 5000);
	start(LOG_TEXT);
	log_event(LOG_INFO, "works_again", NULL);
	hear_all();
	assert_ends_with(" info works_again\n");
}

static void the_writer_is_woken_once_per_look(void **state)
{
	(void)state;
	start(LOG_TEXT);
	for (int i = 0; i < 5; i++)
		log_event(LOG_INFO, "e", NULL);
	assert_int_equal(woken, 1);
	log_flush();
	log_event(LOG_INFO, "e", NULL);
	assert_int_equal(woken, 2);
	log_stop();
	log_setup(LOG_ERROR, LOG_TEXT, ends[1]);
	log_event(LOG_INFO, "e", NULL);
	assert_int_equal(woken, 2);
}

/* A pipe shared with others cannot be set non-blocking; a reader that sleeps must not stop the writer all the same. */
static void a_blocking_descriptor_does_not_block(void **state)
{
	(void)state;
	assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
	start(LOG_TEXT);
	for (int i = 0; i < 3000; i++)
		log_event(LOG_INFO, "some_event_that_fills_the_pipe", "n", "0123456789", NULL);
	log_flush();                                                          /* would hang here */
	log_flush();
	hear_all();
	unsigned lines = 0;
	for (const char *at = said; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 3000);
}

static void lines_go_to_stderr_when_not_started(void **state)
{
	(void)state;
	int kept = dup(STDERR_FILENO);

	log_setup(LOG_INFO, LOG_TEXT, -1);
	dup2(ends[1], STDERR_FILENO);
	log_event(LOG_INFO, "directly", "k", "v", NULL);
	dup2(kept, STDERR_FILENO);
	close(kept);
	assert_true(hear());
	assert_ends_with(" info directly k=v\n");
}

/* A key that ends where the room for values ends: then the pair is left out, and the line ends where the one before did. */
static void keys_that_do_not_fit_are_left_out(void **state)
{
	(void)state;
	static char value[1021], last[1025];
	bool with = false, without = false;

	memset(value, 'v', sizeof(value) - 1);
	start(LOG_TEXT);
	for (size_t len = 900; len < sizeof(last); len++) {
		memset(last, 'w', len);
		last[len] = '\0';
		said_len = 0;
		log_event(LOG_INFO, "e", "a", value, "b", value, "c", value, "d", last, "key", "some words", NULL);
		log_flush();
		assert_true(hear());
		assert_true(said_len <= 4096);
		assert_int_equal(said[said_len - 1], '\n');
		const char *key = strstr(said, " key=");
		with |= key != NULL;
		without |= key == NULL;
		if (key)
			assert_true(key[5] == '"' && said[said_len - 2] == '"' && said_len - (size_t)(key - said) > 7);
		else
			assert_int_equal(said[said_len - 2], 'w');
	}
	assert_true(with && without);
	log_stop();
}

/* ── threads: every line arrives whole, each thread's in order ── */

enum { THREADS = 4, LINES = 1000 };

static void *writes_lines(void *name)
{
	char number[24];

	for (int i = 0; i < LINES; i++) {
		snprintf(number, sizeof(number), "%d", i);
		log_event(LOG_INFO, "threaded", "t", name, "n", number, NULL);
	}
	return NULL;
}

static void *changes_level(void *unused)
{
	for (int i = 0; i < 1000; i++)
		log_set_level(i % 2 ? LOG_INFO : LOG_DEBUG);
	return unused;
}

static void many_threads(void **state)
{
	(void)state;
	static char names[THREADS][2] = { "0", "1", "2", "3" };
	pthread_t thread[THREADS + 1];
	unsigned next[THREADS] = { 0 };
	uint64_t before = log_dropped();

	start(LOG_TEXT);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, writes_lines, names[i]), 0);
	assert_int_equal(pthread_create(&thread[THREADS], NULL, changes_level, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		log_flush();
		hear();
	}
	for (int i = 0; i <= THREADS; i++)
		pthread_join(thread[i], NULL);
	hear_all();
	assert_int_equal(log_dropped(), before);                          /* 4000 lines fit into ring and pipe */
	for (char *at = said, *newline; (newline = strchr(at, '\n')); at = newline + 1) {
		const char *fields = at + 12;
		assert_memory_equal(fields, " info threaded t=", 17);
		unsigned t = (unsigned)(fields[17] - '0');
		uint64_t n;
		assert_in_range(t, 0, THREADS - 1);
		assert_true(span_to_u64(span_between(fields + 21, newline), LINES, &n));
		assert_int_equal(n, next[t]++);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(next[i], LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_go_to_stderr_when_not_started, begin, end),
		cmocka_unit_test_setup_teardown(text_lines, begin, end),
		cmocka_unit_test_setup_teardown(json_lines, begin, end),
		cmocka_unit_test_setup_teardown(values_cannot_forge_lines_or_fields, begin, end),
		cmocka_unit_test_setup_teardown(piece_by_piece, begin, end),
		cmocka_unit_test_setup_teardown(a_number_fits_whole_or_not_at_all, begin, end),
		cmocka_unit_test_setup_teardown(levels, begin, end),
		cmocka_unit_test_setup_teardown(long_values_are_cut, begin, end),
		cmocka_unit_test_setup_teardown(keys_that_do_not_fit_are_left_out, begin, end),
		cmocka_unit_test_setup_teardown(a_full_ring_drops_and_counts, begin, end),
		cmocka_unit_test_setup_teardown(the_writer_is_woken_once_per_look, begin, end),
		cmocka_unit_test_setup_teardown(a_blocking_descriptor_does_not_block, begin, end),
		cmocka_unit_test_setup_teardown(many_threads, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
