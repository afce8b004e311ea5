/* rate_store.c - see rate_store.h. */
#include "rate_store.h"

#include "base/digest.h"

/* KEYS[i] with ARGV: algorithm, count, per in µs, burst, weighs. Returns "passed allowed remaining wait reset allowed remaining ...".
 * A bucket is its theoretical arrival time (gcra), or the window's number with the counts of the one before and its own. It expires when it
 * would be full. */
const struct store_script rate_store_script = {
	"local t = redis.call('TIME') "
	"local now = t[1] * 1000000 + t[2] "
	"local passed, out, keep = true, {}, {} "
	"for i = 1, #KEYS do "
	"  local a = (i - 1) * 5 "
	"  local count, per, burst = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4]) "
	"  local old = redis.call('GET', KEYS[i]) or '' "
	"  local allowed, remaining, wait, reset, value, ttl = false, 0, 0, 0, '', 0 "
	"  if ARGV[a + 1] == 'gcra' then "
	"    local each = per / count "
	"    local most, at = each * burst, math.max(tonumber(old) or 0, now) "
	"    local after = at + each - now "
	"    allowed = after <= most + 0.5 "
	"    if allowed then remaining, reset = (most - after + 0.5) / each, after "
	"    else wait, reset = after - most, after - each end "
	"    value, ttl = string.format('%.3f', at + each), after "
	"  else "
	"    local number = math.floor(now / per) "
	"    local left, prev, cur = per - (now - number * per), 0, 0 "
	"    local w, p, c = string.match(old, '^(%d+) (%d+) (%d+)$') "
	"    w = tonumber(w) "
	"    if w == number then prev, cur = tonumber(p), tonumber(c) "
	"    elseif w == number - 1 then prev = tonumber(c) end "
	"    local used = prev * left / per + cur "
	"    allowed = used + 1 <= count + 0.000001 "
	"    if allowed then remaining, reset = count - used - 1 + 0.000001, left + per "
	"    else "
	"      reset = cur > 0 and left + per or left "
	"      if cur < count then wait = left - (count - cur - 1) * per / prev "
	"      else wait = left + per - (count - 1) * per / cur end "
	"    end "
	"    value, ttl = string.format('%.0f %.0f %.0f', number, prev, cur + 1), left + per "
	"  end "
	"  if allowed then keep[i] = { value, ttl } "
	"  elseif ARGV[a + 5] == '1' then passed = false end "
	"  out[i] = string.format('%d %.0f %.0f %.0f', allowed and 1 or 0, math.floor(remaining), math.ceil(wait), math.ceil(reset)) "
	"end "
	"if passed then "
	"  for i, k in pairs(keep) do redis.call('SET', KEYS[i], k[1], 'PX', math.max(1, math.ceil(k[2] / 1000))) end "
	"end "
	"return (passed and '1 ' or '0 ') .. table.concat(out, ' ')"
};

static struct span number(struct arena *arena, uint64_t n)
{
	char *out = arena_text(arena, 20);
	return out ? (struct span){ out, u64_to_text(n, out) } : SPAN_NONE;
}

/* The hash tag keeps the limits of a route on one node of a cluster: a script may only touch keys of one. */
static struct span key_of(struct arena *arena, struct span route, const struct rate_question *q)
{
	char hex[2 * RATE_STORE_DIGEST];
	size_t size = route.len + q->name.len + 2 * RATE_STORE_DIGEST + 40;
	char *memory = arena_text(arena, size);
	struct text t;
	if (!memory)
		return SPAN_NONE;
	text_over(&t, memory, size);
	text_add(&t, SPAN("outrigger:rate_limit:{"));
	text_add(&t, route);
	text_add(&t, SPAN("}:"));
	text_add(&t, q->name);
	text_char(&t, ':');
	digest_hex(q->digest, RATE_STORE_DIGEST, hex);
	text_add(&t, (struct span){ hex, sizeof(hex) });
	return text_span(&t);
}

unsigned rate_store_words(struct arena *arena, struct span route, const struct rate_question *q, unsigned count, struct span words[RATE_STORE_WORDS])
{
	unsigned n = 0;
	words[n++] = number(arena, count);
	for (unsigned i = 0; i < count; i++)
		words[n++] = key_of(arena, route, &q[i]);
	for (unsigned i = 0; i < count; i++) {
		words[n++] = q[i].conf.algorithm == BUCKET_GCRA ? SPAN("gcra") : SPAN("sliding_window");
		words[n++] = number(arena, q[i].conf.count);
		words[n++] = number(arena, q[i].conf.per_us);
		words[n++] = number(arena, q[i].conf.burst);
		words[n++] = q[i].weighs ? SPAN("1") : SPAN("0");
	}
	for (unsigned i = 0; i < n; i++)
		if (!words[i].at)
			return 0;
	return n;
}

static bool next_number(struct span *rest, uint64_t *out)
{
	struct span one;
	return rest->at && span_next(rest, ' ', &one) && span_to_u64(one, UINT64_MAX, out);
}

bool rate_store_read(struct span reply, struct bucket_answer *answers, unsigned count, bool *passed)
{
	struct span rest = reply;
	uint64_t yes, allowed;
	if (!next_number(&rest, &yes))
		return false;
	*passed = yes != 0;
	for (unsigned i = 0; i < count; i++) {
		struct bucket_answer *a = &answers[i];
		*a = (struct bucket_answer){ 0 };
		if (!next_number(&rest, &allowed) || !next_number(&rest, &a->remaining) || !next_number(&rest, &a->wait_us)
				|| !next_number(&rest, &a->reset_us))
			return false;
		a->allowed = allowed != 0;
	}
	return true;
}
