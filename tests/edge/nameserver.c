/* nameserver.c - see nameserver.h. Records of a name nobody has are NXDOMAIN; of a type it has not, an empty answer. */
#include "nameserver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <strings.h>
#include <cmocka.h>

static unsigned server_port;

/* The program's own definition stands before the library's: the product has no door for this. */
int ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
	int (*real)(ares_channel *, struct ares_options *, int);
	char lookups[] = "fb", server[32];
	void *symbol = dlsym(RTLD_NEXT, "ares_init_options");

	memcpy(&real, &symbol, sizeof(real));
	options->domains = NULL;
	options->ndomains = 0;
	options->lookups = lookups;
	int status = real(channel, options, mask | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS);
	if (status != ARES_SUCCESS)
		return status;
	snprintf(server, sizeof(server), "127.0.0.1:%u", server_port);
	return ares_set_servers_ports_csv(*channel, server);
}

/* ── packets ── */

static size_t put_name(unsigned char *out, const char *name)
{
	size_t n = 0;
	while (*name) {
		size_t label = strcspn(name, ".");
		out[n++] = (unsigned char)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	out[n++] = 0;
	return n;
}

static size_t put16(unsigned char *out, unsigned v)
{
	out[0] = (unsigned char)(v >> 8);
	out[1] = (unsigned char)v;
	return 2;
}

/* Returns how long the question is: name, type, class. */
static size_t read_question(const unsigned char *at, char name[256], unsigned *type)
{
	size_t n = 0, out = 0;
	while (at[n]) {
		if (out)
			name[out++] = '.';
		memcpy(name + out, at + n + 1, at[n]);
		out += at[n];
		n += at[n] + 1u;
	}
	name[out] = '\0';
	*type = (unsigned)at[n + 1] << 8 | at[n + 2];
	return n + 5;
}

static size_t put_record(unsigned char *out, const struct record *r)
{
	size_t n = put16(out, 0xc000 | NS_HFIXEDSZ);      /* the question's name */
	n += put16(out + n, r->type);
	n += put16(out + n, ns_c_in);
	n += put16(out + n, r->ttl >> 16);
	n += put16(out + n, r->ttl & 0xffff);
	n += put16(out + n, (unsigned)r->len);
	memcpy(out + n, r->data, r->len);
	return n + r->len;
}

static size_t answer(struct nameserver *s, const unsigned char *query, unsigned char *out)
{
	char name[256];
	unsigned type, found = 0;
	bool known = false;
	size_t n = NS_HFIXEDSZ, question = read_question(query + n, name, &type);

	memset(out, 0, NS_HFIXEDSZ);
	memcpy(out, query, 2);
	memcpy(out + n, query + n, question);
	n += question;
	for (unsigned i = 0; i < s->count && !s->rcode; i++) {
		if (strcasecmp(s->records[i].name, name) != 0)
			continue;
		known = true;
		if (s->records[i].type == type) {
			n += put_record(out + n, &s->records[i]);
			found++;
		}
	}
	put16(out + 2, 0x8180 | (s->rcode ? s->rcode : known ? 0 : ns_r_nxdomain));
	put16(out + 4, 1);
	put16(out + 6, found);
	return n;
}

static void asked(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct nameserver *s = udp->data;
	unsigned char out[16384];
	(void)flags;
	if (n <= 0 || !from)
		return;
	s->asked++;
	if (s->mute)
		return;
	size_t len = answer(s, (const unsigned char *)buf->base, out);
	uv_buf_t reply = uv_buf_init((char *)out, (unsigned)(s->cut && s->cut < len ? s->cut : len));
	uv_udp_try_send(udp, &reply, 1, from);
}

static void room(uv_handle_t *h, size_t wanted, uv_buf_t *buf)
{
	static char memory[1024];
	(void)h; (void)wanted;
	*buf = uv_buf_init(memory, sizeof(memory));
}

/* ── life ── */

void nameserver_open(struct nameserver *s, uv_loop_t *uv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int len = sizeof(at);
	memset(s, 0, sizeof(*s));
	assert_int_equal(uv_udp_init(uv, &s->udp), 0);
	s->udp.data = s;
	assert_int_equal(uv_udp_bind(&s->udp, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_udp_getsockname(&s->udp, (struct sockaddr *)&at, &len), 0);
	server_port = s->port = ntohs(at.sin_port);
	assert_int_equal(uv_udp_recv_start(&s->udp, room, asked), 0);
}

void nameserver_close(struct nameserver *s) { uv_close((uv_handle_t *)&s->udp, NULL); }
void nameserver_forget(struct nameserver *s) { s->count = 0; }

static struct record *record(struct nameserver *s, const char *name, unsigned type, uint32_t ttl)
{
	assert_true(s->count < RECORDS_MAX);
	struct record *r = &s->records[s->count++];
	*r = (struct record){ .name = name, .type = type, .ttl = ttl };
	return r;
}

void nameserver_a(struct nameserver *s, const char *name, const char *address, uint32_t ttl)
{
	bool v6 = strchr(address, ':');
	struct record *r = record(s, name, v6 ? ns_t_aaaa : ns_t_a, ttl);
	r->len = v6 ? 16 : 4;
	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, address, r->data), 1);
}

void nameserver_srv(struct nameserver *s, const char *name, const unsigned numbers[3], const char *target, uint32_t ttl)
{
	struct record *r = record(s, name, ns_t_srv, ttl);
	for (int i = 0; i < 3; i++)
		r->len += put16(r->data + r->len, numbers[i]);
	r->len += put_name(r->data + r->len, target);
}
