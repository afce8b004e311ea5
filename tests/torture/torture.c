/* torture.c - every scenario again, in many worlds: each client taken away after each event, allocations failing one after the other.
 *
 *   torture FILE.scn ...           all of it, and some thousand random worlds
 *   torture --each FILE.scn ...    without the random ones; says how long each file took
 *   torture --random FIRST COUNT   only random worlds, seeds FIRST to FIRST + COUNT - 1
 *
 * What must hold afterwards is in world_close(). When it does not, the world is named before the abort.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "nth.h"
#include "random_world.h"
#include "scenario.h"

enum { POINTS_DENSE = 10, POINTS = 20, VICTIMS = 4, RANDOM_WORLDS = 6000, SHARES_MAX = 16 };

static struct scenario scenario;
static struct world world;
static unsigned long worlds;
static uint64_t simulated_us;             /* by random worlds */

/* ── the world at hand, for the last words ── */

static struct { const char *kind, *file; unsigned way, drain, victim; uint64_t point; } now;

static void last_words(int signal)
{
	char line[512];
	struct text t;
	(void)signal;
	text_over(&t, line, sizeof(line));
	text_f(&t, "torture: in this world: %s %s doors %u drain %u guest %u at %llu\n", now.kind, now.file ? now.file : "", now.way, now.drain,
		now.victim, (unsigned long long)now.point);
	(void)!write(2, line, t.len);
}

/* ── the ways in which the doors are laid out ── */

enum { WAYS = 4 };

static struct world_plan plan_of(unsigned way, unsigned drain)
{
	struct world_plan plan = scenario.plan;
	plan.drain_every = drain;
	plan.witnesses = way > 0;
	if (way >= 2) {
		plan.asker = true;
		plan.store_us = way == 2 ? 0 : 3000;
		plan.turner = plan.turner ? plan.turner : 3;
	}
	return plan;
}

static void open_world(unsigned way, unsigned drain)
{
	struct world_plan plan = plan_of(way, drain);
	now.file = scenario.file;
	now.way = way;
	now.drain = drain;
	worlds++;
	if (!world_open(&world, &plan))
		abort();
}

static uint64_t play_and_close(void)
{
	scenario_play(&scenario, &world, false);
	uint64_t steps = world.steps;
	world_close(&world);
	return steps;
}

/* Of `all` points the first ones, and then some that lie apart; which, depends on the way: together they cover more. */
static uint64_t next_point(uint64_t point, uint64_t all, unsigned salt)
{
	uint64_t apart = all / POINTS + 1;
	return point < POINTS_DENSE ? point + 1 : point + apart + (point == POINTS_DENSE ? salt % apart : 0);
}

/* ── clients that leave ── */

static void take_away(struct world *w)
{
	if (w->steps == now.point && now.victim < w->guest_count)
		guest_leaves(&w->guests[now.victim]);
}

static void kill_everywhere(unsigned way, unsigned drain)
{
	now.kind = "kill";
	now.point = 0;
	open_world(way, drain);
	uint64_t steps = play_and_close();
	unsigned guests = world.guest_count;
	/* of a crowd, some in each way: all have their turn */
	unsigned stride = (guests + VICTIMS - 1) / VICTIMS;
	for (unsigned victim = stride ? (way * 3 + drain) % stride : 0; victim < guests; victim += stride)
		for (uint64_t k = 1; k <= steps; k = next_point(k, steps, way * 7 + drain * 3 + victim)) {
			now.victim = victim;
			now.point = k;
			open_world(way, drain);
			world.watch = take_away;
			play_and_close();
		}
}

/* ── memory that is not there ── */

static void starve(unsigned way, unsigned drain, uint64_t times)
{
	now.kind = "starve";
	now.point = 0;
	open_world(way, drain);
	nth_arm(UINT64_MAX, 0);
	scenario_play(&scenario, &world, false);
	uint64_t all = nth_disarm();
	world_close(&world);
	for (uint64_t n = 1; n <= all; n = next_point(n, all, way * 5 + drain)) {
		now.point = n;
		open_world(way, drain);
		nth_arm(n, times);
		scenario_play(&scenario, &world, false);
		nth_disarm();
		world_close(&world);
	}
}

/* A world that cannot even be built leaves nothing behind (the leak checker looks). */
static void starve_birth(void)
{
	struct world_plan plan = plan_of(1, 1);
	uint64_t all = 1;
	plan.quiet = true;
	now.kind = "birth";
	now.file = scenario.file;
	for (uint64_t n = 1; n <= all; n = next_point(n, all, 0)) {
		now.point = n;
		nth_arm(n, 1);
		bool born = world_open(&world, &plan);
		all = nth_disarm();
		worlds++;
		if (born)
			world_close(&world);
		else
			all = n + POINTS_DENSE;   /* how many there are is only known when none fails */
	}
}

/* ── all of it ── */

static void torture(const char *file)
{
	if (!scenario_load(&scenario, file))
		exit(1);
	for (unsigned way = 0; way < WAYS; way++)
		for (unsigned drain = 1; drain <= 3; drain++) {
			kill_everywhere(way, drain);
			starve(way, drain, drain == 2 ? 5 : 1);
		}
	starve_birth();
}

static void at_random(uint64_t first, uint64_t count)
{
	now.kind = "random seed";
	now.file = NULL;
	for (uint64_t seed = first; seed < first + count; seed++) {
		struct dice dice = { .bytes = NULL };
		rand_seed(&dice.rand, seed);
		now.point = seed;
		random_world(&world, &dice);
		simulated_us += world.simulated_us;
		worlds++;
	}
}

/* ── over all processors: a process each, so that each has its own leak check ── */

static void play_share(char **files, unsigned count, unsigned share, unsigned shares, bool each)
{
	for (unsigned i = share; i < count; i += shares) {
		unsigned long before = worlds;
		clock_t began = clock();
		torture(files[i]);
		if (each)
			printf("%6lu ms %6lu worlds %s\n", (unsigned long)((clock() - began) / (CLOCKS_PER_SEC / 1000)), worlds - before, files[i]);
	}
	if (!each)
		at_random(1 + share * (RANDOM_WORLDS / shares), RANDOM_WORLDS / shares);
}

static bool shared_out(char **files, unsigned count, bool each)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned shares = processors < 1 ? 1 : processors > SHARES_MAX ? SHARES_MAX : (unsigned)processors;
	struct { unsigned long worlds; uint64_t simulated_us; } played;
	int ends[2], status;
	bool ok = pipe(ends) == 0;
	for (unsigned share = 0; ok && share < shares; share++) {
		pid_t pid = fork();
		if (pid == 0) {
			play_share(files, count, share, shares, each);
			fflush(stdout);
			played.worlds = worlds;
			played.simulated_us = simulated_us;
			exit(write(ends[1], &played, sizeof(played)) != sizeof(played));
		}
		ok = pid > 0;
	}
	while (wait(&status) > 0)
		ok &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
	close(ends[1]);
	while (ok && read(ends[0], &played, sizeof(played)) == sizeof(played)) {
		worlds += played.worlds;
		simulated_us += played.simulated_us;
	}
	return ok;
}

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1:allocator_may_return_null=1"; }
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }

int main(int argc, char **argv)
{
	struct sigaction once = { .sa_handler = last_words, .sa_flags = (int)SA_RESETHAND };
	uint64_t first, count;
	sigaction(SIGABRT, &once, NULL);
	log_set_level(LOG_ERROR);
	if (argc == 4 && span_eq(span_of(argv[1]), SPAN("--random")) && span_to_u64(span_of(argv[2]), UINT32_MAX, &first)
			&& span_to_u64(span_of(argv[3]), UINT32_MAX, &count)) {
		at_random(first, count);
	} else {
		bool each = argc > 1 && span_eq(span_of(argv[1]), SPAN("--each"));
		if (!shared_out(argv + 1 + each, (unsigned)(argc - 1) - each, each))
			return 1;
	}
	printf("torture: %lu worlds, the random ones lived %llu hours\n", worlds, (unsigned long long)(simulated_us / 3600000000u));
	return 0;
}
