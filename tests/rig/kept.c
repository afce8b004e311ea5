/* kept.c - see kept.h. */
#include "kept.h"

#include "base/must.h"

enum { FINGERPRINT = 64 };

static struct kept *find(struct kept *table, struct span key, uint64_t now_us)
{
	for (unsigned i = 0; i < KEPT_MAX; i++) {
		if (table[i].len && table[i].until_us <= now_us)
			table[i].len = 0;
		if (table[i].len && span_eq((struct span){ table[i].key, table[i].key_len }, key))
			return &table[i];
	}
	return NULL;
}

static struct kept *find_free(struct kept *table, struct span key)
{
	for (unsigned i = 0; i < KEPT_MAX; i++)
		if (!table[i].len && key.len <= KEPT_KEY) {
			memcpy(table[i].key, key.at, key.len);
			table[i].key_len = key.len;
			return &table[i];
		}
	return NULL;
}

static bool put(struct kept *k, struct span kind, struct span fingerprint, struct span rest, uint64_t until_us)
{
	if (kind.len + fingerprint.len + rest.len > KEPT_VALUE)
		return false;
	memcpy(k->value, kind.at, kind.len);
	memcpy(k->value + kind.len, fingerprint.at, fingerprint.len);
	if (rest.len)
		memcpy(k->value + kind.len + fingerprint.len, rest.at, rest.len);
	k->len = kind.len + fingerprint.len + rest.len;
	k->until_us = until_us;
	return true;
}

static struct span value_of(const struct kept *k) { return (struct span){ k->value, k->len }; }

static struct span claim(struct kept *table, const struct span *words, struct kept *k, uint64_t until_us)
{
	if (!k)
		return (k = find_free(table, words[1])) && put(k, SPAN("R"), words[4], words[3], until_us) ? SPAN("F") : SPAN_NONE;
	if (!span_eq(span_first(span_from(value_of(k), 1), FINGERPRINT), words[4]))
		return SPAN("O");
	return k->value[0] == 'D' ? value_of(k) : span_first(value_of(k), 1);
}

struct span kept_run(struct kept table[KEPT_MAX], const struct span *words, unsigned count, uint64_t now_us)
{
	struct kept *k = find(table, words[1], now_us);
	uint64_t ms;
	must((count == 6 || count == 8) && span_eq(words[0], SPAN("1")) && words[4].len == FINGERPRINT && span_to_u64(words[5], UINT64_MAX / 1000, &ms));
	uint64_t until_us = now_us + ms * 1000;
	if (span_eq(words[2], SPAN("claim")))
		return claim(table, words, k, until_us);
	if (!k || k->value[0] != 'R' || !span_eq(span_from(value_of(k), 1 + FINGERPRINT), words[3]))
		return SPAN("0");
	if (span_eq(words[2], SPAN("renew")))
		k->until_us = until_us;
	else if (span_eq(words[2], SPAN("save")))
		return put(k, words[6], words[4], words[7], until_us) ? SPAN("1") : SPAN_NONE;
	else if (span_eq(words[2], SPAN("release")))
		k->len = 0;
	else
		must(!"an operation of the script");
	return SPAN("1");
}
