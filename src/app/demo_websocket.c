/* demo_websocket.c - an echo at the other end of a WebSocket (RFC 6455). Frames are streamed back as they come, so that a message of any
 * length costs no memory; only the payload of control frames (at most 125 bytes) is gathered. The text of messages is not checked for UTF-8:
 * what comes in goes out. After our Close frame our side is shut, and what still comes is thrown away.
 */
#include <openssl/evp.h>

#include "demo.h"

enum { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10, CONTROL_MAX = 125, KEY_LEN = 24, PIECE = 4096 };
enum { CLOSE_PROTOCOL = 1002 };

struct websocket {
	struct demo_call call;
	unsigned char    head[14];                /* of the frame that comes in                    */
	unsigned         head_len;
	bool             in_payload, in_message;  /* a message of several frames has begun         */
	uint64_t         left;                    /* of its payload                                */
	unsigned         mask_at;
	unsigned char    control[CONTROL_MAX];
	unsigned         control_len;
};

static void send_bytes(struct websocket *ws, const void *at, size_t n)
{
	exchange_upstream_body(ws->call.ex, slice_of((struct span){ at, n }), false);
}

/* Length as the shortest of its three forms, no mask: we are the server. */
static void send_head(struct websocket *ws, unsigned char first, uint64_t len)
{
	unsigned char out[10] = { first };
	unsigned n = len < 126 ? 0 : len <= 0xffff ? 2 : 8;
	out[1] = (unsigned char)(n == 0 ? len : n == 2 ? 126 : 127);
	for (unsigned i = 0; i < n; i++)
		out[2 + i] = (unsigned char)(len >> (8 * (n - 1 - i)));
	send_bytes(ws, out, 2 + n);
}

static void end_reply(struct websocket *ws)
{
	if (ws->call.ended)
		return;
	ws->call.ended = true;
	exchange_upstream_body(ws->call.ex, slice_of(SPAN_NONE), true);
}

static void close_with(struct websocket *ws, const unsigned char *payload, unsigned len)
{
	send_head(ws, 0x80 | OP_CLOSE, len);
	send_bytes(ws, payload, len);
	end_reply(ws);
}

static void protocol_error(struct websocket *ws)
{
	static const unsigned char why[2] = { CLOSE_PROTOCOL >> 8, CLOSE_PROTOCOL & 0xff };
	close_with(ws, why, sizeof(why));
}

static unsigned opcode_of(const struct websocket *ws) { return ws->head[0] & 15; }

/* How long the head is, as far as that is known yet. */
static unsigned head_size(const struct websocket *ws)
{
	unsigned short_len = ws->head[1] & 127;
	return ws->head_len < 2 ? 2 : 2 + (short_len == 126 ? 2 : short_len == 127 ? 8 : 0) + 4;
}

static bool first_bytes_ok(const struct websocket *ws)
{
	unsigned op = opcode_of(ws);
	bool fin = ws->head[0] & 0x80, control = op >= OP_CLOSE;

	if (ws->head[0] & 0x70 || !(ws->head[1] & 0x80))          /* an extension nobody agreed on; a client that does not mask */
		return false;
	if (control)
		return op <= OP_PONG && fin && (ws->head[1] & 127) <= CONTROL_MAX;
	return op <= OP_BINARY && (op == OP_MORE) == ws->in_message;
}

static void control_over(struct websocket *ws)
{
	unsigned op = opcode_of(ws);
	if (op == OP_CLOSE && ws->control_len == 1)
		protocol_error(ws);               /* half a status code */
	else if (op == OP_CLOSE)
		close_with(ws, ws->control, ws->control_len);
	else if (op == OP_PING) {
		send_head(ws, 0x80 | OP_PONG, ws->control_len);
		send_bytes(ws, ws->control, ws->control_len);
	}
}

static void frame_over(struct websocket *ws)
{
	if (opcode_of(ws) >= OP_CLOSE)
		control_over(ws);
	ws->head_len = 0;
	ws->in_payload = false;
}

/* The head is whole. */
static void frame_begins(struct websocket *ws)
{
	unsigned n = head_size(ws) - 6;
	ws->left = n ? 0 : ws->head[1] & 127;
	for (unsigned i = 0; i < n; i++)
		ws->left = ws->left << 8 | ws->head[2 + i];
	if (ws->left >> 63) {
		protocol_error(ws);
		return;
	}
	ws->in_payload = true;
	ws->mask_at = ws->control_len = 0;
	if (opcode_of(ws) < OP_CLOSE) {
		ws->in_message = !(ws->head[0] & 0x80);
		send_head(ws, ws->head[0], ws->left);
	}
	if (ws->left == 0)
		frame_over(ws);
}

static void take_head(struct websocket *ws, struct span *in)
{
	while (in->len && ws->head_len < head_size(ws)) {
		ws->head[ws->head_len++] = (unsigned char)in->at[0];
		*in = span_from(*in, 1);
		if (ws->head_len == 2 && !first_bytes_ok(ws)) {
			protocol_error(ws);
			return;
		}
	}
	if (ws->head_len == head_size(ws))
		frame_begins(ws);
}

static void take_payload(struct websocket *ws, struct span *in)
{
	const unsigned char *mask = ws->head + ws->head_len - 4;
	unsigned char out[PIECE];
	size_t n = in->len < PIECE ? in->len : PIECE;

	n = n < ws->left ? n : (size_t)ws->left;
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)in->at[i] ^ mask[ws->mask_at++ & 3];
	*in = span_from(*in, n);
	ws->left -= n;
	if (opcode_of(ws) < OP_CLOSE)
		send_bytes(ws, out, n);
	else {
		memcpy(ws->control + ws->control_len, out, n);    /* first_bytes_ok has seen to it that it fits */
		ws->control_len += (unsigned)n;
	}
	if (ws->left == 0)
		frame_over(ws);
}

static void websocket_body(struct demo_call *call, struct slice bytes, bool end)
{
	struct websocket *ws = container_of(call, struct websocket, call);
	struct span in = slice_span(bytes);

	if (!call->ex->tunnel)
		return;                           /* the end of the request itself */
	while (in.len && !call->ended)
		if (ws->in_payload)
			take_payload(ws, &in);
		else
			take_head(ws, &in);
	if (end)
		end_reply(ws);
	else
		demo_take(call, bytes.len);
}

static void websocket_want(struct demo_call *call) { demo_take(call, 0); }

/* ── the handshake ── */

static bool accept_key(struct span key, char out[32])
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[KEY_LEN + sizeof(magic)], hash[EVP_MAX_MD_SIZE];
	unsigned len;

	memcpy(text, key.at, KEY_LEN);
	memcpy(text + KEY_LEN, magic, sizeof(magic) - 1);
	if (!EVP_Digest(text, KEY_LEN + sizeof(magic) - 1, hash, &len, EVP_sha1(), NULL))
		return false;
	return EVP_EncodeBlock((unsigned char *)out, hash, (int)len) == 28;
}

static bool version_is_13(const struct exchange *ex)
{
	const struct field *f = fields_find_name(&ex->request.fields, SPAN("sec-websocket-version"));
	return f && span_eq(f->value, SPAN("13"));
}

void *demo_websocket(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .body = websocket_body, .want = websocket_want };
	struct span key = fields_value(&ex->request.fields, FIELD_SEC_WEBSOCKET_KEY);
	struct field version = { .name = SPAN("sec-websocket-version"), .value = SPAN("13") };
	char *accept = arena_text(&ex->arena, 32);

	if (!span_eq_nocase(ex->request.upgrade, SPAN("websocket")) || key.len != KEY_LEN) {
		demo_say(ex, 400, "an upgrade to websocket needs a Sec-WebSocket-Key of 24 characters; others are not offered\n");
		return NULL;
	}
	if (!version_is_13(ex)) {
		service_answer(ex, 426, SPAN("text/plain"), SPAN("only version 13 of WebSocket (RFC 6455)\n"), version);
		return NULL;
	}
	struct demo_call *call = demo_call_new(demo, ex, &kind, sizeof(struct websocket));
	if (!call)
		return NULL;
	struct reply *r = &ex->reply;
	if (!accept || !accept_key(key, accept) || !fields_init(&r->fields, &ex->arena, 4)
			|| !fields_add_id(&r->fields, FIELD_UPGRADE, SPAN("websocket"))
			|| !fields_add(&r->fields, SPAN("sec-websocket-accept"), (struct span){ accept, 28 })) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	r->status = 101;
	r->minor = 1;
	exchange_upstream_head(ex);
	return call;
}
