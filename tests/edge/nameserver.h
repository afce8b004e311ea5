/* nameserver.h - a name server on loopback that says what the test wants, and keeps c-ares from asking any other. */
#ifndef TEST_NAMESERVER_H
#define TEST_NAMESERVER_H

#include <uv.h>

#include "base/span.h"

enum { RECORDS_MAX = 64 };
struct record { const char *name; unsigned type; uint32_t ttl; unsigned char data[300]; size_t len; };
struct nameserver {
	uv_udp_t udp;
	unsigned port;
	struct record records[RECORDS_MAX];
	unsigned count, asked;
	bool     mute;                        /* no answer at all           */
	unsigned rcode;                       /* answers this instead       */
	size_t   cut;                         /* sends only so many bytes   */
};

/* From now on every c-ares channel of this process asks this one only, with the hosts file of CARES_HOSTS before it. */
void nameserver_open(struct nameserver *, uv_loop_t *);
void nameserver_close(struct nameserver *);
void nameserver_forget(struct nameserver *);                       /* all records */
void nameserver_a(struct nameserver *, const char *name, const char *address, uint32_t ttl);      /* also AAAA */
/* numbers: priority, weight, port. */
void nameserver_srv(struct nameserver *, const char *name, const unsigned numbers[3], const char *target, uint32_t ttl);

#endif
