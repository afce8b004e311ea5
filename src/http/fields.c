/* fields.c - the field list, and the one place that turns a name into an id.
 *
 * Invariants: `present` has the bit of every id in the list and no other; order is the order of adding; dropping keeps it.
 * A name's id is found by a perfect hash over its length, first and last two letters: one probe, one comparison. The
 * unit test proves the table against FIELD_NAMES and prints the slot that a new name needs.
 */
#include "http/fields.h"

#include "bytes.h"
#include "fields_put.h"

#define TOKEN_ALSO (BYTE_TOKEN | BYTE_TARGET | BYTE_QUOTED)
#define UNRESERVED (TOKEN_ALSO | BYTE_AUTHORITY | BYTE_UNRESERVED)
const uint8_t http_bytes[256] = {
	[0 ... 8] = BYTE_CONTROL, ['\t'] = BYTE_QUOTED, [10 ... 31] = BYTE_CONTROL, [127] = BYTE_CONTROL,
	[' '] = BYTE_QUOTED, ['"'] = BYTE_TARGET, ['#'] = BYTE_TOKEN | BYTE_QUOTED, ['\\'] = BYTE_TARGET,
	['!'] = TOKEN_ALSO | BYTE_AUTHORITY, ['$'] = TOKEN_ALSO | BYTE_AUTHORITY, ['&'] = TOKEN_ALSO | BYTE_AUTHORITY,
	['\''] = TOKEN_ALSO | BYTE_AUTHORITY, ['*'] = TOKEN_ALSO | BYTE_AUTHORITY, ['+'] = TOKEN_ALSO | BYTE_AUTHORITY,
	['%'] = TOKEN_ALSO, ['^'] = TOKEN_ALSO, ['`'] = TOKEN_ALSO, ['|'] = TOKEN_ALSO,
	['('] = BYTE_TARGET | BYTE_QUOTED | BYTE_AUTHORITY, [')'] = BYTE_TARGET | BYTE_QUOTED | BYTE_AUTHORITY,
	[';'] = BYTE_TARGET | BYTE_QUOTED | BYTE_AUTHORITY, ['='] = BYTE_TARGET | BYTE_QUOTED | BYTE_AUTHORITY,
	[','] = BYTE_TARGET | BYTE_QUOTED, ['/'] = BYTE_TARGET | BYTE_QUOTED, [':'] = BYTE_TARGET | BYTE_QUOTED,
	['<'] = BYTE_TARGET | BYTE_QUOTED, ['>'] = BYTE_TARGET | BYTE_QUOTED, ['?'] = BYTE_TARGET | BYTE_QUOTED,
	['@'] = BYTE_TARGET | BYTE_QUOTED, ['['] = BYTE_TARGET | BYTE_QUOTED, [']'] = BYTE_TARGET | BYTE_QUOTED,
	['{'] = BYTE_TARGET | BYTE_QUOTED, ['}'] = BYTE_TARGET | BYTE_QUOTED,
	['-'] = UNRESERVED, ['.'] = UNRESERVED, ['_'] = UNRESERVED, ['~'] = UNRESERVED,
	['0' ... '9'] = UNRESERVED, ['A' ... 'Z'] = UNRESERVED, ['a' ... 'z'] = UNRESERVED,
	[128 ... 255] = BYTE_QUOTED,
};

enum { NAME_ROOM = 32 };
static const struct { char text[NAME_ROOM]; uint8_t len; bool hop_by_hop; } names[FIELD_IDS] = {
	[FIELD_OTHER] = { "", 0, false },
#define X(word, name, hop) [FIELD_##word] = { name, sizeof(name) - 1, hop },
	FIELD_NAMES(X)
#undef X
};

#define HASH_FACTOR 0x86ac1709u           /* found by trying: no two names share a slot */
static const uint8_t slots[128] = {
	[1] = FIELD_IDEMPOTENCY_KEY, [4] = FIELD_CONTENT_ENCODING, [11] = FIELD_HOST, [14] = FIELD_X_ENVOY_TIMEOUT_MS,
	[20] = FIELD_TRANSFER_ENCODING, [23] = FIELD_AUTHORIZATION, [24] = FIELD_CONTENT_LENGTH, [25] = FIELD_X_REQUEST_ID,
	[27] = FIELD_X_FORWARDED_PROTO, [32] = FIELD_USER_AGENT, [34] = FIELD_X_OUTRIGGER_ATTEMPT,
	[36] = FIELD_PROXY_CONNECTION, [48] = FIELD_VIA, [52] = FIELD_SEC_WEBSOCKET_KEY, [56] = FIELD_GRPC_TIMEOUT,
	[57] = FIELD_ORIGIN, [59] = FIELD_TE, [61] = FIELD_TRAILER, [66] = FIELD_RETRY_AFTER, [68] = FIELD_KEEP_ALIVE,
	[75] = FIELD_EXPECT, [76] = FIELD_HTTP2_SETTINGS, [79] = FIELD_ACCEPT, [80] = FIELD_FORWARDED,
	[82] = FIELD_SET_COOKIE, [85] = FIELD_TRACESTATE, [86] = FIELD_CONNECTION, [88] = FIELD_UPGRADE,
	[93] = FIELD_X_FORWARDED_FOR, [94] = FIELD_TRACEPARENT, [98] = FIELD_CONTENT_TYPE, [102] = FIELD_RANGE,
	[108] = FIELD_VARY, [109] = FIELD_X_REQUEST_TIMEOUT_MS, [111] = FIELD_X_FORWARDED_PORT, [116] = FIELD_CACHE_CONTROL,
	[117] = FIELD_SERVER, [120] = FIELD_LOCATION, [121] = FIELD_DATE, [123] = FIELD_X_FORWARDED_HOST,
	[125] = FIELD_COOKIE,
};

/* Lower case where that can make one of our names: they hold only a-z, 0-9 and '-', and no other byte becomes one of
 * those by this. */
static inline uint32_t fold(char c)
{
	unsigned char u = (unsigned char)c;

	return u | (u & 0x40u) >> 1;
}

static inline uint64_t fold_word(const char *at)
{
	uint64_t w;

	memcpy(&w, at, 8);
	return w | (w & 0x4040404040404040u) >> 1;
}

static inline bool word_equals(const char *folded, const char *at)
{
	uint64_t w;

	memcpy(&w, folded, 8);
	return w == fold_word(at);
}

/* Same length, and `known` is one of ours, followed by NULs: whole words, of which the last two overlap. */
static inline bool name_equals(const char *known, struct span name)
{
	if (name.len >= 8) {
		for (size_t i = 8; i < name.len; i += 8)
			if (!word_equals(known + i - 8, name.at + i - 8))
				return false;
		return word_equals(known + name.len - 8, name.at + name.len - 8);
	}
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)known[i] != fold(name.at[i]))
			return false;
	return true;
}

enum field_id field_id_of(struct span name)
{
	uint32_t key;
	unsigned id;

	if (name.len < 2 || name.len >= NAME_ROOM)
		return FIELD_OTHER;
	key = (uint32_t)name.len | fold(name.at[name.len - 1]) << 8 | fold(name.at[name.len - 2]) << 16 | fold(name.at[0]) << 24;
	id = slots[key * HASH_FACTOR >> 25];
	return names[id].len == name.len && name_equals(names[id].text, name) ? (enum field_id)id : FIELD_OTHER;
}

const char *field_id_name(enum field_id id)
{
	return names[id].text;
}

bool field_id_is_hop_by_hop(enum field_id id)
{
	return names[id].hop_by_hop;
}

bool field_name_is_token(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!byte_is(name.at[i], BYTE_TOKEN))
			return false;
	return name.len > 0;
}

bool field_value_is_safe(struct span value)
{
	if (value.len == 0)
		return true;
	if (value.at[0] == ' ' || value.at[0] == '\t' || value.at[value.len - 1] == ' ' || value.at[value.len - 1] == '\t')
		return false;
	return control_or_end(value.at, span_end(value)) == span_end(value);
}

bool fields_init(struct fields *f, struct arena *arena, unsigned size)
{
	*f = (struct fields){ .at = arena_take(arena, (size ? size : 1) * sizeof *f->at), .size = size };
	if (!f->at)
		f->size = 0;
	return f->at;
}

bool fields_add(struct fields *f, struct span name, struct span value)
{
	return fields_put(f, (struct field){ name, value, field_id_of(name) });
}

bool fields_add_id(struct fields *f, enum field_id id, struct span value)
{
	return fields_put(f, (struct field){ { names[id].text, names[id].len }, value, id });
}

const struct field *fields_find(const struct fields *f, enum field_id id)
{
	if (!fields_have(f, id))
		return NULL;
	for (unsigned i = 0; i < f->count; i++)
		if (f->at[i].id == id)
			return &f->at[i];
	return NULL;
}

const struct field *fields_find_name(const struct fields *f, struct span name)
{
	enum field_id id = field_id_of(name);

	if (id != FIELD_OTHER)
		return fields_find(f, id);
	for (unsigned i = 0; i < f->count; i++)
		if (f->at[i].id == FIELD_OTHER && span_eq_nocase(f->at[i].name, name))
			return &f->at[i];
	return NULL;
}

struct span fields_value(const struct fields *f, enum field_id id)
{
	const struct field *field = fields_find(f, id);

	return field ? field->value : SPAN_NONE;
}

void fields_drop(struct fields *f, enum field_id id)
{
	unsigned kept = 0;

	if (!fields_have(f, id))
		return;
	for (unsigned i = 0; i < f->count; i++)
		if (f->at[i].id != id)
			f->at[kept++] = f->at[i];
	f->count = kept;
	f->present &= ~(UINT64_C(1) << id);
}

void fields_drop_name(struct fields *f, struct span name)
{
	enum field_id id = field_id_of(name);
	unsigned kept = 0;

	if (id != FIELD_OTHER) {
		fields_drop(f, id);
		return;
	}
	for (unsigned i = 0; i < f->count; i++)
		if (f->at[i].id != FIELD_OTHER || !span_eq_nocase(f->at[i].name, name))
			f->at[kept++] = f->at[i];
	f->count = kept;
}

bool fields_copy(struct fields *to, const struct fields *from, struct arena *arena, unsigned spare)
{
	if (!fields_init(to, arena, from->count + spare))
		return false;
	for (unsigned i = 0; i < from->count; i++) {
		struct field *f = &to->at[i];
		*f = from->at[i];
		f->name = arena_copy(arena, f->name);
		f->value = arena_copy(arena, f->value);
		if ((!f->name.at && from->at[i].name.len) || (!f->value.at && from->at[i].value.len))
			return false;
	}
	to->count = from->count;
	to->present = from->present;
	return true;
}
