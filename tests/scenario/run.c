/* run.c - plays scenarios and compares: run FILE.scn ... ; each plain, and again with witnesses between all doors. */
#include <stdio.h>

#include "base/log.h"
#include "scenario.h"

static struct scenario scenario;
static struct world world;

static unsigned play(bool witnesses)
{
	struct world_plan plan = scenario.plan;
	plan.witnesses = witnesses;
	if (!world_open(&world, &plan)) {
		fprintf(stderr, "%s: no world\n", scenario.file);
		return 1;
	}
	unsigned failures = scenario_play(&scenario, &world, true);
	if (failures)
		world_print(&world);
	world_close(&world);
	return failures;
}

int main(int argc, char **argv)
{
	unsigned failures = 0, failed = 0;
	log_set_level(LOG_ERROR);             /* ejections and the like are what the stories are about */
	for (int i = 1; i < argc; i++) {
		unsigned n = !scenario_load(&scenario, argv[i]);
		if (!n)
			n = play(false);
		if (!n)
			n = play(true);
		failures += n;
		failed += n > 0;
	}
	printf("scenarios: %d played, %u failed\n", argc - 1, failed);
	return failures > 0;
}
