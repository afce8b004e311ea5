/* adaptive.c - see adaptive.h. */
#include "adaptive.h"

#include <math.h>
#include <string.h>

enum { WINDOW_US = 1000000, SAMPLES_MIN = 50, DROP_EVERY_US = 100000, FORGET_WINDOWS = 120 };

void adaptive_init(struct adaptive *a, const struct adaptive_conf *conf, uint64_t now_us)
{
	memset(a, 0, sizeof(*a));
	a->conf = *conf;
	a->limit = (double)conf->initial;
	a->window_began_us = now_us;
}

uint64_t adaptive_limit(const struct adaptive *a) { return (uint64_t)a->limit; }

static void set(struct adaptive *a, double limit)
{
	if (limit < (double)a->conf.min)
		limit = (double)a->conf.min;
	if (limit > (double)a->conf.max)
		limit = (double)a->conf.max;
	if (limit > a->limit && (double)a->most_in_flight < a->limit / 2)
		return;                           /* nobody needs more: nothing was learnt about more */
	a->limit = limit;
}

void adaptive_drop(struct adaptive *a, uint64_t now_us)
{
	if (a->dropped_us && now_us - a->dropped_us < DROP_EVERY_US)
		return;
	a->dropped_us = now_us;
	set(a, a->limit * 0.9);
}

static double vegas(struct adaptive *a, double now_us, double throughput)
{
	double step = log10(a->limit) + 1, alpha = 3 * step, beta = 6 * step;
	bool saturated = (double)a->most_in_flight >= a->limit * 0.9;

	if (!a->best_us || now_us < a->best_us || a->windows % FORGET_WINDOWS == 0)
		a->best_us = now_us;              /* the best is forgotten now and then: upstreams change */
	if (saturated && a->throughput > 0 && a->most_in_flight > a->in_flight_before && a->in_flight_before) {
		double growth = (double)a->most_in_flight / (double)a->in_flight_before - 1, gain = throughput / a->throughput - 1;
		if (gain < growth / 2)
			return a->limit - step;   /* more at a time, but not more done */
	}
	double queue = a->limit * (1 - a->best_us / now_us);
	if (queue < alpha)
		return a->limit + step;
	return queue > beta ? a->limit - step : a->limit;
}

static double gradient2(struct adaptive *a, double now_us)
{
	a->long_us = a->long_us ? a->long_us * 0.95 + now_us * 0.05 : now_us;
	if (a->long_us > 2 * now_us)
		a->long_us *= 0.95;               /* it was slow for long and is no more: believe it sooner */
	double gradient = 1.5 * a->long_us / now_us;
	gradient = gradient > 1 ? 1 : gradient < 0.5 ? 0.5 : gradient;
	return a->limit * 0.8 + (a->limit * gradient + sqrt(a->limit)) * 0.2;
}

static void end_window(struct adaptive *a, uint64_t now_us)
{
	double p90 = (double)hist_quantile_us(&a->window, 0.9), seconds = (double)(now_us - a->window_began_us) / 1e6;
	double throughput = (double)a->window.count / seconds;

	a->windows++;
	switch (a->conf.algorithm) {
	case ADAPT_VEGAS:     set(a, vegas(a, p90 > 1 ? p90 : 1, throughput)); break;
	case ADAPT_GRADIENT2: set(a, gradient2(a, p90 > 1 ? p90 : 1)); break;
	case ADAPT_AIMD:
		if (!a->dropped_us || a->dropped_us < a->window_began_us)
			set(a, a->limit + 1);
	}
	a->throughput = throughput;
	a->in_flight_before = a->most_in_flight;
	a->most_in_flight = 0;
	a->window_began_us = now_us;
	memset(&a->window, 0, sizeof(a->window));
}

void adaptive_sample(struct adaptive *a, uint64_t now_us, uint64_t took_us, uint64_t in_flight)
{
	hist_add(&a->window, took_us);
	if (in_flight > a->most_in_flight)
		a->most_in_flight = in_flight;
	if (now_us - a->window_began_us >= WINDOW_US && a->window.count >= SAMPLES_MIN)
		end_window(a, now_us);
}
