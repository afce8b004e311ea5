/* sandbox.c - see sandbox.h: in which order things are given up, and the user and the capabilities. */
#include "app/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/server.h"
#include "base/log.h"
#include "sandbox_parts.h"

#ifdef OUTRIGGER_COVERAGE
#define COVERAGE 1                            /* it writes what it has counted wherever it was built, at the very end */
#else
#define COVERAGE 0
#endif

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "outrigger: sandbox: %s: %s\n", what, why);
	return EXIT_INTERNAL;
}

/* ── capabilities ── */

static void drop_bounds(void)
{
	for (unsigned cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);     /* works with CAP_SETPCAP only; without, there is nothing to bound */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* keep: bits of the first 32; never one that was not there. */
static bool set_capabilities(uint32_t keep, bool *kept)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct now[2];
	if (syscall(__NR_capget, &head, now) != 0)
		return false;
	keep &= now[0].permitted;
	*kept = keep != 0;
	if (!(now[0].permitted | now[1].permitted | now[0].inheritable | now[1].inheritable))
		return true;                      /* a filter around us may not even let us ask for nothing */
	const struct __user_cap_data_struct then[2] = { { .effective = keep, .permitted = keep, .inheritable = 0 }, { 0, 0, 0 } };
	return syscall(__NR_capset, &head, then) == 0;
}

/* ── the user ── */

static int become(const char *name)
{
	char what[96];
	snprintf(what, sizeof(what), "user: %.64s", name);
	const struct passwd *p = getpwnam(name);
	int when_orphaned = 0;
	prctl(PR_GET_PDEATHSIG, &when_orphaned);
	if (!p) {
		complain(what, "there is no such user");
		return EXIT_CONFIG;
	}
	if (p->pw_uid == geteuid())
		return EXIT_DONE;                 /* a service manager has done it */
	if (geteuid() != 0) {
		complain(what, "only root can become somebody else");
		return EXIT_CONFIG;
	}
	if (setgroups(0, NULL) != 0 || initgroups(name, p->pw_gid) != 0 || setresgid(p->pw_gid, p->pw_gid, p->pw_gid) != 0
			|| setresuid(p->pw_uid, p->pw_uid, p->pw_uid) != 0)
		return complain(what, strerror(errno));
	prctl(PR_SET_DUMPABLE, 1);                /* else /proc/self would be root's, and there would be no core file */
	prctl(PR_SET_PDEATHSIG, when_orphaned);   /* the change of user has cleared it */
	return EXIT_DONE;
}

static int change_user(struct sandbox *s, const struct conf *conf)
{
	char name[64] = "";
	if (conf->user.len >= sizeof(name)) {
		complain("user", "that is too long for a name");
		return EXIT_CONFIG;
	}
	if (conf->user.len)
		memcpy(name, conf->user.at, conf->user.len);
	int code = name[0] ? become(name) : EXIT_DONE;
	s->changed = name[0] != '\0' && code == EXIT_DONE;
	const struct passwd *now = getpwuid(geteuid());
	snprintf(s->user, sizeof(s->user), "%.63s", now ? now->pw_name : "");
	if (!now)
		snprintf(s->user, sizeof(s->user), "%u", (unsigned)geteuid());
	return code;
}

static const char *capabilities_of(const struct sandbox *s)
{
	return s->kept ? "as started" : s->may_read_all ? "dac_read_search" : s->on || s->changed ? "none" : "as started";
}

/* ── all of it ── */

static void tell(const struct sandbox *s)
{
	struct log_line l;
	bool weak = s->on && (s->kept || (geteuid() == 0 && !s->landlock));
	log_begin(&l, weak ? LOG_WARN : LOG_INFO, "sandbox");
	log_text(&l, "user", s->user);
	log_text(&l, "capabilities", capabilities_of(s));
	log_u64(&l, "landlock", (uint64_t)s->landlock);
	log_text(&l, "seccomp", s->seccomp);
	if (weak)
		log_text(&l, "advice", s->kept ? "the capabilities could not be dropped"
			: "this kernel has no Landlock: set `user` to somebody who owns nothing");
	log_end(&l);
}

int sandbox_enter(struct sandbox *s, const struct conf *conf, struct shared *shared)
{
	*s = (struct sandbox){ .on = conf->sandbox && !COVERAGE, .seccomp = SANITIZED ? "off: an instrumented build" : "off" };
	bool was_root = geteuid() == 0;
	if (s->on)
		drop_bounds();                    /* while it still may */
	int code = change_user(s, conf);
	if (code != EXIT_DONE)
		return code;
	if (s->on) {
		bool read_all = was_root && !conf->user.len && landlock_version() > 0;
		s->kept = !set_capabilities(read_all ? 1u << CAP_DAC_READ_SEARCH : 0, &s->may_read_all);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
			return complain("no_new_privs", strerror(errno));
		if ((s->landlock = landlock_enter(conf, shared)) < 0)
			return complain("landlock", strerror(errno));
		if (!SANITIZED)
			s->seccomp = seccomp_enter();
	}
	tell(s);
	return EXIT_DONE;
}

void sandbox_json(const struct sandbox *s, struct json *j)
{
	json_bool(j, "on", s->on);
	json_text(j, "user", s->user);
	json_text(j, "capabilities", capabilities_of(s));
	json_bool(j, "no_new_privs", s->on);
	json_u64(j, "landlock", (uint64_t)s->landlock);
	json_text(j, "seccomp", s->seccomp);
}
